"""Reductions: sum, mean, extremes, product, range, weighted average. Variances are in moments.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from autodiff.op import Op, apply, as_operand, implements, op, refuse, strip
from autodiff.operators import settled
from autodiff.ops.elementwise.conversion import convert
from autodiff.sample import nonzero, real, sample
from autodiff.tensor import Tensor

_MASK = np.array([[True, False, True], [True, True, False]])
#: The default of numpy's own for an argument that was left out.
NOT_GIVEN = np._NoValue
overall = [sample(real(2, 3)), sample(real(2, 3), axis=0), sample(real(2, 3, 2), axis=(-1, 0), keepdims=True)]


def restore(reduced: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """Give back the axes that a reduction of `x` removed, with length 1, so that the result broadcasts."""
    if keepdims or axis is None or not x.ndim:
        return reduced
    return np.expand_dims(reduced, axis)


def spread(g: Any, x: Any, axis: Any, keepdims: bool, where: Any = True) -> Any:
    """Hand the gradient of a sum to the elements that were summed."""
    g = np.broadcast_to(restore(g, x, axis, keepdims), x.shape)
    return g if where is True else np.where(where, g, 0)


def count(x: Any, y: Any, axis: Any, where: Any = True) -> Any:
    """How many elements of `x` went into each element of `y`; an array that broadcasts where a mask chose them."""
    if where is True:
        return int(x.size // max(y.size, 1))
    return np.sum(np.broadcast_to(where, x.shape), axis=axis, keepdims=True)


def sum_slope(
    g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False, initial: Any = 0, where: Any = True
) -> Any:
    return spread(g, x, axis, keepdims, where)


_sum_op = op(
    np.sum,
    sum_slope,
    symbol="Σ",
    formula="1",
    samples=[*overall, sample(real(2, 3), axis=1, where=_MASK, initial=2.0)],
)


def mean_slope(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False, where: Any = True) -> Any:
    if where is True:
        # Not g / n: n may be too large for float16.
        return spread(g * (1 / max(count(x, y, axis), 1)), x, axis, keepdims)
    n = np.maximum(count(x, y, axis, where), 1)
    return spread(restore(g, x, axis, keepdims) / n, x, axis, True, where)


_mean_op = op(np.mean, mean_slope, formula="1/n", samples=[*overall, sample(real(2, 3), axis=0, where=_MASK)])


def extreme_slope(
    g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Any:
    """Share the gradient equally among the elements that attain the extreme; NaN attains it before all others."""
    plain, attained = strip(x), restore(strip(y), x, axis, keepdims)
    hit = ((plain == attained) | ((plain != plain) & (attained != attained))) & where
    ties = np.maximum(hit.sum(axis=axis, keepdims=True), 1).astype(x.dtype)
    return np.where(hit, restore(g, x, axis, keepdims) / ties, 0)


_limited = sample(real(2, 3), axis=1, initial=-0.3, where=_MASK)
_max_op = op(np.max, extreme_slope, formula="[x = max x]", samples=[*overall, _limited])
_min_op = op(np.min, extreme_slope, formula="[x = min x]", samples=[*overall, _limited])


def prod_slope(
    g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False, initial: Any = 1, where: Any = True
) -> Any:
    if where is not True:
        x = np.where(where, x, 1)
    g = restore(g, x, axis, keepdims)
    if (strip(x) != 0).all():
        slope = g * restore(y, x, axis, keepdims) / x
    else:
        slope = g * (1 if initial is None else initial) * _products_of_others(x, axis)
    return slope if where is True else np.where(where, slope, 0)


def _products_of_others(x: Any, axis: Any) -> Any:
    """For each element the product of the others along `axis`, without dividing: zeros may be among them."""
    rows, back = as_rows(x, axis)
    one = np.ones_like(strip(rows)[..., :1])
    before = np.cumprod(np.concatenate([one, rows[..., :-1]], axis=-1), axis=-1)
    after = np.cumprod(np.concatenate([one, rows[..., :0:-1]], axis=-1), axis=-1)[..., ::-1]
    return back(before * after)


def as_rows(x: Any, axis: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Make one last axis of those that a reduction of `x` is over; return that, and the way back."""
    axes = range(x.ndim) if axis is None or not x.ndim else normalize_axis_tuple(axis, x.ndim)
    kept = [i for i in range(x.ndim) if i not in axes]
    order = [*kept, *axes]
    moved = np.transpose(x, order)
    rows = np.reshape(moved, (*moved.shape[: len(kept)], math.prod(moved.shape[len(kept) :])))
    back = sorted(range(x.ndim), key=order.__getitem__)
    return rows, lambda rows: np.transpose(np.reshape(rows, moved.shape), back)


_prod_op = op(
    np.prod,
    prod_slope,
    symbol="Π",
    formula="Πx / x",
    samples=[
        sample(nonzero(2, 3)),
        sample(nonzero(2, 3), axis=1),
        sample(nonzero(2, 3, 2), axis=(0, -1), keepdims=True),
        sample(np.array([[0.0, 1.5, -2.0], [0.5, 0.0, 0.0]]), axis=1, initial=2.0),
        sample(np.array([[0.0, 1.5, -2.0], [0.5, 0.0, 0.0]]), axis=1, where=_MASK),
    ],
)


def reduce_by(
    reduction: Op,
    a: Any,
    axis: Any,
    dtype: Any,
    out: Any,
    keepdims: Any,
    initial: Any = NOT_GIVEN,
    where: Any = NOT_GIVEN,
    ddof: Any = 0,
) -> Any:
    """Apply a reduction with those of numpy's arguments that ask for something."""
    params = {} if axis is None else {"axis": axis}
    if keepdims is not NOT_GIVEN and keepdims:
        params["keepdims"] = True
    if out is not None:
        refuse(reduction.name, out=out)
    if dtype is not None:
        a = convert(a, dtype)
    if initial is not NOT_GIVEN:
        params["initial"] = settled(initial)
    if where is not NOT_GIVEN and where is not True:
        params["where"] = settled(where)
    if ddof:
        params["ddof"] = ddof
    return apply(reduction, (a,), params)


@implements(np.sum)
def total(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = NOT_GIVEN,
    initial: Any = NOT_GIVEN,
    where: Any = NOT_GIVEN,
) -> Any:
    """Sum, as ``np.sum``."""
    if isinstance(initial, Tensor):  # it may want a gradient itself
        return np.add(total(a, axis, dtype, out, keepdims, where=where), initial)
    return reduce_by(_sum_op, a, axis, dtype, out, keepdims, initial=initial, where=where)


@implements(np.prod)
def product(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = NOT_GIVEN,
    initial: Any = NOT_GIVEN,
    where: Any = NOT_GIVEN,
) -> Any:
    """Product, as ``np.prod``; the gradient is exact with zeros among the factors."""
    if isinstance(initial, Tensor):
        return np.multiply(product(a, axis, dtype, out, keepdims, where=where), initial)
    return reduce_by(_prod_op, a, axis, dtype, out, keepdims, initial=initial, where=where)


@implements(np.max, np.amax)
def largest(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = NOT_GIVEN,
    initial: Any = NOT_GIVEN,
    where: Any = NOT_GIVEN,
) -> Any:
    """Maximum, as ``np.max``; ties share the gradient."""
    if isinstance(initial, Tensor):
        return np.maximum(largest(a, axis, out, keepdims, -np.inf, where), initial)
    return reduce_by(_max_op, a, axis, None, out, keepdims, initial=initial, where=where)


@implements(np.min, np.amin)
def smallest(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = NOT_GIVEN,
    initial: Any = NOT_GIVEN,
    where: Any = NOT_GIVEN,
) -> Any:
    """Minimum, as ``np.min``; ties share the gradient."""
    if isinstance(initial, Tensor):
        return np.minimum(smallest(a, axis, out, keepdims, np.inf, where), initial)
    return reduce_by(_min_op, a, axis, None, out, keepdims, initial=initial, where=where)


@implements(np.mean)
def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = NOT_GIVEN, *, where: Any = True
) -> Any:
    """Mean, as ``np.mean``."""
    return reduce_by(_mean_op, a, axis, dtype, out, keepdims, where=where)


@implements(np.ptp)
def peak_to_peak(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NOT_GIVEN) -> Any:
    """Maximum minus minimum, as ``np.ptp``."""
    refuse("ptp", out=out)
    return largest(a, axis, keepdims=keepdims) - smallest(a, axis, keepdims=keepdims)


@implements(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = NOT_GIVEN) -> Any:
    """Weighted average, as ``np.average``, with derivatives by the weights too."""
    a = as_operand(a)
    if weights is None:
        result = mean(a, axis, keepdims=keepdims)
        weight: Any = np.full_like(strip(result), a.size / max(result.size, 1))
    else:
        weights = _aligned(as_operand(weights), a, axis)
        weights = convert(weights, np.result_type(a.dtype, weights.dtype, *([] if a.dtype.kind in "fc" else [float])))
        weight = np.sum(weights, axis=axis, keepdims=keepdims)
        if np.any(weight == 0):
            raise ZeroDivisionError("np.average: the weights sum to zero")
        result = np.sum(np.multiply(a, weights), axis=axis, keepdims=keepdims) / weight
        weight = np.broadcast_to(weight, result.shape)
    return (result, weight) if returned else result


def _aligned(weights: Any, a: Any, axis: Any) -> Any:
    """Bring weights that were given along the averaged axes only to a shape that broadcasts with `a`."""
    if weights.shape == a.shape:
        return weights
    if axis is None:
        raise TypeError(
            f"np.average: weights of shape {weights.shape} for an array of shape {a.shape} need to be told their axis"
        )
    axes = normalize_axis_tuple(axis, a.ndim)
    if weights.shape != tuple(a.shape[i] for i in axes):
        raise ValueError(
            f"np.average: weights of shape {weights.shape} do not fit axes {axes} of an array of shape {a.shape}"
        )
    in_order = np.transpose(weights, np.argsort(axes))
    return np.reshape(in_order, [n if i in axes else 1 for i, n in enumerate(a.shape)])
