"""Polynomials: their values, and the matrix of powers."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import implements, strip
from autodiff.ops.operands import as_array
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
    powers = np.arange(n) if increasing else np.arange(n)[::-1]
    return x.astype(np.promote_types(x.dtype, int))[:, None] ** powers
