"""Polynomials, given by their coefficients, the highest power first: values, fits, arithmetic; the matrix of powers."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import implements, strip
from autodiff.ops.operands import as_array, as_arrays, as_floats
from autodiff.tensor import as_tensor


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """Value of the polynomial with coefficients `p`, the highest power first, as ``np.polyval``."""
    if isinstance(x, np.poly1d):
        raise NotImplementedError("polyval at a poly1d is not differentiated; write np.polyval(p, x.c) at numbers")
    x = as_array(x)
    value = np.zeros_like(strip(x))
    for coefficient in as_array(p):
        value = value * x + coefficient
    return as_tensor(value)  # of no coefficients, a plain 0


@implements(np.vander)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """Return the powers of every element, the highest first, as ``np.vander``."""
    x = as_array(x)
    if x.ndim != 1:
        raise ValueError(f"vander takes a vector, got shape {x.shape}")
    n = len(x) if N is None else N
    powers = np.arange(n, like=strip(x))
    powers = powers if increasing else powers[::-1]
    return x.astype(np.promote_types(x.dtype, int))[:, None] ** powers


@implements(np.polyfit)
def polyfit(x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False) -> Any:
    """Coefficients of the polynomial that fits best, as ``np.polyfit``, with derivatives by `x`, `y` and `w`."""
    if full or cov:
        raise NotImplementedError(
            f"polyfit on a Tensor takes neither full nor cov, got full={full!r}, cov={cov!r}; residuals are "
            "y - np.polyval(p, x), and np.linalg.lstsq(np.vander(x, deg + 1), y) gives all facts of the fit"
        )
    x, y = as_floats(x) + 0.0, as_floats(y) + 0.0
    np.polyfit(strip(x), strip(y), deg, rcond, w=strip(w))  # raises, or warns of a poor fit, as numpy does
    columns = np.vander(x, int(deg) + 1)
    if w is not None:
        w = as_floats(w)
        columns, y = columns * w[:, None], np.reshape(w, (-1, *(1,) * (y.ndim - 1))) * y
    # Columns of length 1 keep the equations from being numerically dependent.
    scale = np.sqrt(np.sum(strip(columns) ** 2, axis=0))
    limit = len(x) * np.finfo(strip(x).dtype).eps if rcond is None else rcond
    fitted = np.linalg.lstsq(columns / scale, y, limit)[0]
    return fitted / np.reshape(scale, (-1, *(1,) * (y.ndim - 1)))


@implements(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    """Sum of two polynomials, as ``np.polyadd``."""
    a1, a2 = (np.atleast_1d(x) for x in as_arrays(a1, a2))
    n = max(len(a1), len(a2))
    return np.pad(a1, (n - len(a1), 0)) + np.pad(a2, (n - len(a2), 0))


@implements(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """Difference of two polynomials, as ``np.polysub``."""
    return np.polyadd(a1, -as_array(a2))


@implements(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """Product of two polynomials, as ``np.polymul``."""
    return np.convolve(*(_trimmed(x) for x in as_arrays(a1, a2)))


@implements(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """Coefficients of the `m`-th derivative, as ``np.polyder``."""
    p = as_array(p)
    np.polyder(strip(p), m)  # raises where numpy does
    for _ in range(m):
        p = p[:-1] * np.arange(len(p) - 1, 0, -1)
    return p


@implements(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """Coefficients of the `m`-th antiderivative, with constants `k`, as ``np.polyint``."""
    p = as_array(p)
    np.polyint(strip(p), m, strip(k))  # raises where numpy does
    constants = as_array(0.0 if k is None else k)
    constants = np.broadcast_to(constants, (m,)) if constants.size == 1 else constants[:m]
    for constant in constants:
        p = np.append(p / np.arange(len(p), 0, -1), constant)
    return p


@implements(np.poly)
def poly(seq_of_zeros: Any) -> Any:
    """Coefficients of the polynomial with these roots, as ``np.poly``; of a matrix, its characteristic polynomial."""
    roots = np.atleast_1d(as_floats(seq_of_zeros))
    if roots.ndim != 1:
        raise NotImplementedError(
            f"poly of a matrix, shape {roots.shape}, is not differentiated: its eigenvalues may be complex; for a "
            "symmetric one write np.poly(np.linalg.eigvalsh(a))"
        )
    p: Any = np.ones(1, dtype=roots.dtype)
    for root in roots:
        p = np.append(p, 0.0) - np.append(0.0, p) * root
    return p


def _trimmed(p: Any) -> Any:
    """Leave out the zeros in front, as numpy's poly1d does; at least one coefficient stays."""
    p = np.atleast_1d(p)
    zeros = np.argmax(strip(p) != 0) if np.any(strip(p) != 0) else len(p) - 1
    return p[int(zeros) :]
