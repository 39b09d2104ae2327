"""Covariance and correlation of observed variables."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from autodiff.op import implements, strip
from autodiff.ops.operands import as_array


@implements(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """Covariance matrix of variables observed together, as ``np.cov``."""
    if ddof is not None and ddof != int(ddof):
        raise ValueError(f"cov takes a whole number as ddof, got {ddof!r}")
    given = [as_array(x) for x in (m, y) if x is not None]
    dtype = dtype or np.result_type(*(x.dtype for x in given), np.float64)
    x = _variables(given[0], dtype, transpose=not rowvar and given[0].ndim != 1)
    if not x.shape[0]:
        return np.reshape(x[:, :0], (0, 0))
    if len(given) > 1:
        both = [x, _variables(given[1], dtype, transpose=not rowvar and np.shape(np.atleast_2d(strip(y)))[0] != 1)]
        x = np.concatenate(both)
    if ddof is None:
        ddof = 0 if bias else 1
    frequencies, weights = _weights("fweights", fweights, x), _weights("aweights", aweights, x)
    if frequencies is not None and (strip(frequencies) != np.around(strip(frequencies))).any():
        raise TypeError("cov takes whole numbers as fweights: how often each observation was made")
    w = frequencies if weights is None else weights if frequencies is None else frequencies * weights
    count = x.shape[1] if w is None else np.sum(w)
    mean = np.sum(x if w is None else x * w, axis=1, keepdims=True) / count
    freedom = count - ddof
    if weights is not None and ddof:
        freedom = count - ddof * np.sum(w * weights) / count
    if freedom <= 0:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=2)
        freedom = 0.0
    x = x - mean
    return np.squeeze(np.dot(x, (x if w is None else x * w).T) * np.true_divide(1, freedom))


def _variables(x: Any, dtype: Any, transpose: bool) -> Any:
    """One variable a row."""
    if x.ndim > 2:
        raise ValueError(f"cov takes at most two dimensions, variables and observations; got shape {x.shape}")
    if x.ndim < 2:
        x = np.reshape(x, (1, -1))
    return (x.T if transpose else x).astype(dtype)


def _weights(name: str, w: Any, x: Any) -> Any:
    if w is None:
        return None
    w = as_array(w).astype(np.float64)
    if w.shape != (x.shape[1],):
        raise RuntimeError(f"cov takes {name} of shape ({x.shape[1]},), one for each observation; got shape {w.shape}")
    if (strip(w) < 0).any():
        raise ValueError(f"cov takes {name} that are not negative")
    return w


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    """Correlation coefficients, as ``np.corrcoef``."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return c / c
    spread = np.sqrt(np.diagonal(c))
    # Rounding may carry a coefficient a little beyond 1.
    return np.clip(c / spread[:, None] / spread[None, :], -1, 1)
