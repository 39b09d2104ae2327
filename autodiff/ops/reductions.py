"""Reductions: sum, mean, extremes, product, variance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.op import implements, op, outside, strip
from autodiff.sample import nonzero, positive, real, sample


def _restore(reduced: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """Give back the axes that a reduction of `x` removed, with length 1, so that the result broadcasts."""
    if keepdims or axis is None or not x.ndim:
        return reduced
    return np.expand_dims(reduced, axis)


def _spread(g: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return np.broadcast_to(_restore(g, x, axis, keepdims), x.shape)


def _count(x: Any, y: Any) -> int:
    """How many elements of `x` went into each element of `y`."""
    return int(x.size // max(y.size, 1))


_over = [sample(real(2, 3)), sample(real(2, 3), axis=0), sample(real(2, 3, 2), axis=(-1, 0), keepdims=True)]

op(
    np.sum,
    lambda g, y, x, axis=None, keepdims=False: _spread(g, x, axis, keepdims),
    symbol="Σ",
    formula="1",
    samples=_over,
)
mean = op(
    np.mean,
    lambda g, y, x, axis=None, keepdims=False: _spread(g / _count(x, y), x, axis, keepdims),
    formula="1/n",
    samples=_over,
)


def _extreme(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Share the gradient equally among the elements that attain the extreme."""
    hit = strip(x) == _restore(strip(y), x, axis, keepdims)
    ties = hit.sum(axis=axis, keepdims=True).astype(x.dtype)
    return np.where(hit, _restore(g, x, axis, keepdims) / ties, 0)


op(np.max, _extreme, formula="[x = max x]", samples=_over)
op(np.min, _extreme, formula="[x = min x]", samples=_over)


def _prod(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    g = _restore(g, x, axis, keepdims)
    if not (strip(x) == 0).any():
        return g * _restore(y, x, axis, keepdims) / x
    return g * _products_of_others(x, axis)


def _products_of_others(x: Any, axis: Any) -> Any:
    """For each element the product of the others along `axis`, without dividing: zeros may be among them."""
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis) % x.ndim)
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    order = kept + axes
    moved = np.transpose(x, order)
    rows = np.reshape(moved, (*moved.shape[: len(kept)], -1))
    n = rows.shape[-1]
    # Row i of an n × n table holds all elements but the i-th, which is replaced by 1.
    table = np.where(np.eye(n, dtype=bool), 1, np.expand_dims(rows, -2))
    others = np.reshape(np.prod(table, axis=-1), moved.shape)
    return np.transpose(others, np.argsort(order))


prod = op(
    np.prod,
    _prod,
    symbol="Π",
    formula="Πx / x",
    samples=[
        sample(nonzero(2, 3)),
        sample(nonzero(2, 3), axis=1),
        sample(nonzero(2, 3, 2), axis=(0, -1), keepdims=True),
        sample(np.array([[0.0, 1.5, -2.0], [0.5, 0.0, 0.0]]), axis=1),
    ],
)


def _centred(x: Any, axis: Any) -> Any:
    return x - np.mean(x, axis=axis, keepdims=True)


def _per_freedom(x: Any, y: Any, ddof: float) -> float:
    """One over the degrees of freedom; without any the variance is infinite or undefined, and so is its slope."""
    freedom = _count(x, y) - ddof
    return 1 / freedom if freedom > 0 else math.inf


def _var(g: Any, y: Any, x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    return _restore(g, x, axis, keepdims) * (2 * _per_freedom(x, y, ddof)) * _centred(x, axis)


def _std(g: Any, y: Any, x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False) -> Any:
    # A constant column has standard deviation 0, a kink: its subgradient is 0, not 0/0.
    safe = np.where(strip(y) == 0, 1, y)
    return _restore(g / safe, x, axis, keepdims) * _per_freedom(x, y, ddof) * _centred(x, axis)


_spreads = [*_over, sample(positive(4, 3), axis=0, ddof=1)]
_var_op = op(np.var, _var, formula="2(x − x̄)/(n − ddof)", samples=_spreads)
_std_op = op(np.std, _std, formula="(x − x̄)/((n − ddof)·std)", samples=_spreads)


def _correction(ddof: Any, options: dict[str, Any]) -> Any:
    """`correction` is another name for `ddof`, as in numpy; both at once are refused."""
    correction = options.pop("correction", np._NoValue)
    if correction is np._NoValue:
        return ddof
    if ddof != 0:
        raise ValueError("ddof and correction mean the same: pass one of them")
    return correction


@implements(np.var)
def var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False, **options: Any
) -> Any:
    """Variance, as ``np.var``."""
    return _var_op(a, axis=axis, dtype=dtype, out=out, ddof=_correction(ddof, options), keepdims=keepdims, **options)


@implements(np.std)
def std(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0, keepdims: Any = False, **options: Any
) -> Any:
    """Standard deviation, as ``np.std``."""
    return _std_op(a, axis=axis, dtype=dtype, out=out, ddof=_correction(ddof, options), keepdims=keepdims, **options)


outside(np.argmax, np.argmin, np.argsort, np.any, np.all, np.count_nonzero, np.nonzero, np.argwhere, np.unique)
