"""Variance and standard deviation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.op import implements, op, refuse, strip
from autodiff.ops.elementwise.conversion import convert
from autodiff.ops.reductions.totals import NOT_GIVEN, count, overall, reduce_by, restore
from autodiff.sample import positive, real, sample

_MASK = np.array([[True, False, True], [True, True, False], [False, True, True], [True, True, True]])


def _centred(x: Any, axis: Any, where: Any) -> Any:
    if where is True:
        return x - np.mean(x, axis=axis, keepdims=True)
    # A group without elements has no mean; its elements are masked, so that any number will do.
    n = np.maximum(count(x, None, axis, where), 1)
    return np.where(where, x - np.sum(np.where(where, x, 0), axis=axis, keepdims=True) / n, 0)


def _per_freedom(n: Any, ddof: float) -> Any:
    """One over the degrees of freedom; without any the variance is infinite or undefined, and so is its slope."""
    if isinstance(n, int):
        return float(1 / (n - ddof)) if n > ddof else math.inf
    with np.errstate(divide="ignore"):
        return np.where(n == 0, 0, 1.0 / np.maximum(n - ddof, 0))


def variance_slope(
    g: Any, y: Any, x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False, where: Any = True
) -> Any:
    per_freedom = _per_freedom(count(x, y, axis, where), ddof)
    return restore(g, x, axis, keepdims) * (2 * per_freedom) * _centred(x, axis, where)


def deviation_slope(
    g: Any, y: Any, x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False, where: Any = True
) -> Any:
    # A constant column has standard deviation 0, a kink: its subgradient is 0, not 0/0. One without elements has NaN.
    safe = np.where(strip(y) > 0, y, 1)
    per_freedom = _per_freedom(count(x, y, axis, where), ddof)
    return restore(g / safe, x, axis, keepdims) * per_freedom * _centred(x, axis, where)


spreads = [
    *overall,
    sample(positive(4, 3), axis=0, ddof=1),
    sample(positive(4, 3), axis=0, ddof=1, where=_MASK),
    sample(real(4, 3), where=_MASK),
]
_var_op = op(np.var, variance_slope, formula="2(x − x̄)/(n − ddof)", samples=spreads)
_std_op = op(np.std, deviation_slope, formula="(x − x̄)/((n − ddof)·std)", samples=spreads)


def one_correction(ddof: Any, correction: Any) -> Any:
    """`correction` is another name for `ddof`, as in numpy; both at once are refused."""
    if correction is NOT_GIVEN:
        return ddof
    if ddof != 0:
        raise ValueError("ddof and correction mean the same: pass one of them")
    return correction


@implements(np.var)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = NOT_GIVEN,
    *,
    where: Any = True,
    mean: Any = NOT_GIVEN,
    correction: Any = NOT_GIVEN,
) -> Any:
    """Variance, as ``np.var``."""
    ddof = one_correction(ddof, correction)
    if mean is NOT_GIVEN:
        return reduce_by(_var_op, a, axis, dtype, out, keepdims, where=where, ddof=ddof)
    refuse("var", out=out)
    a = a if dtype is None else convert(a, dtype)
    centred = a - mean
    if where is not True:  # what is left out may be NaN: let nothing flow there
        centred = np.where(where, centred, 0)
    squares = np.square(centred)
    result = np.mean(squares, axis=axis, keepdims=keepdims, where=where)
    n = count(squares, result, axis, strip(where))
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = (n / np.maximum(n - ddof, 0)).astype(squares.dtype)
    return result * (factor if where is True else np.reshape(factor, result.shape))


@implements(np.std)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = NOT_GIVEN,
    *,
    where: Any = True,
    mean: Any = NOT_GIVEN,
    correction: Any = NOT_GIVEN,
) -> Any:
    """Standard deviation, as ``np.std``; at 0, a kink, its derivative is 0."""
    ddof = one_correction(ddof, correction)
    if mean is NOT_GIVEN:
        return reduce_by(_std_op, a, axis, dtype, out, keepdims, where=where, ddof=ddof)
    variance = var(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean)
    constant = strip(variance) == 0
    return np.where(constant, 0, np.sqrt(np.where(constant, 1, variance)))
