"""Median, quantiles and percentiles, with every one of numpy's methods. Elements that tie share the gradient.

The values are numpy's own. A quantile is an average of one or two order statistics; the rule finds these again, and
their weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.op import Op, implements, op, refuse, strip
from autodiff.operators import settled
from autodiff.ops.operands import as_array
from autodiff.ops.reductions.totals import NOT_GIVEN, as_rows
from autodiff.sample import real, sample
from autodiff.tensor import Tensor

#: The methods that interpolate: α and β in the rank n·q + α + q·(1 − α − β) − 1 (Hyndman & Fan 1996).
_PLOTTING = {
    "linear": (1.0, 1.0),
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}


def _quantile_slope(g: Any, y: Any, x: Any, q: Any, axis: Any, method: str, skip_nan: bool) -> Any:
    rows, back = as_rows(x, axis)
    plain = strip(rows)
    if not plain.size:
        return np.zeros_like(strip(x))
    q = np.ravel(q)
    each = (q.size, *plain.shape[:-1], 1)
    g, y = np.reshape(g, each), np.reshape(strip(y), each)
    in_order = np.sort(plain, axis=-1)
    n = (~np.isnan(in_order)).sum(axis=-1, keepdims=True) if skip_nan else plain.shape[-1]
    slope: Any = 0
    for j in range(q.size):
        low, high, weight = _neighbours(in_order, y[j], n, q[j], method)
        slope = slope + _shared(g[j], plain, low, 1 - weight) + _shared(g[j], plain, high, weight)
    if skip_nan:
        slope = np.where(np.isnan(plain), 0, slope)
    return back(slope)


def _neighbours(in_order: Any, y: Any, n: Any, q: Any, method: str) -> tuple[Any, Any, Any]:
    """The two elements of each sorted row between which its quantile `y` lies, and the weight of the higher."""
    if method in _PLOTTING:
        alpha, beta = _PLOTTING[method]
        rank = np.clip(n * q + alpha + q * (1 - alpha - beta) - 1, 0, np.maximum(n - 1, 0))
        low = np.floor(rank).astype(int)
        high = np.minimum(low + 1, np.maximum(n - 1, 0))
        weight = rank - low
    else:  # y is an element, or the middle of two
        low = np.maximum((in_order <= y).sum(axis=-1, keepdims=True) - 1, 0)
        high = np.minimum((in_order < y).sum(axis=-1, keepdims=True), n - 1)
        weight = 0.5
    # With a NaN among them the quantile is NaN, and so are the elements that make it, which sort to the end.
    low, high = (np.where(np.isnan(y), in_order.shape[-1] - 1, i) for i in (low, high))
    return np.take_along_axis(in_order, low, axis=-1), np.take_along_axis(in_order, high, axis=-1), weight


def _shared(g: Any, rows: Any, value: Any, weight: Any) -> Any:
    """Share ``g · weight`` equally among the elements of each row that equal its `value`."""
    hit = (rows == value) | (np.isnan(rows) & np.isnan(value))
    return np.where(hit, g * (weight / hit.sum(axis=-1, keepdims=True)), 0)


def _rule(scale: float, skip_nan: bool) -> Callable[..., Any]:
    def rule(
        g: Any, y: Any, x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False,
        weights: Any = None,
    ) -> Any:  # fmt: skip
        return _quantile_slope(g, y, x, np.divide(q, scale), axis, method, skip_nan)

    return rule


def _median_rule(skip_nan: bool) -> Callable[..., Any]:
    def rule(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return _quantile_slope(g, y, x, 0.5, axis, "linear", skip_nan)

    return rule


_medians = [sample(real(2, 3)), sample(real(3, 4), axis=-1), sample(real(2, 3, 2), axis=(0, 2), keepdims=True)]
_WEIGHTS = np.array([[0.5, 1.0], [2.0, 0.0], [1.0, 3.0], [0.0, 0.5], [1.5, 1.0]])


def _quantiles(scale: float) -> list[Any]:
    several = np.array([[0.0, 0.31], [0.5, 0.83]]) * scale
    return [
        sample(real(2, 3), q=0.3 * scale),
        sample(real(3, 5), q=several, axis=-1),
        sample(real(2, 3, 2), q=0.77 * scale, axis=(0, 2), keepdims=True, method="hazen"),
        sample(real(4, 2), q=several, axis=0, method="midpoint"),
        sample(real(4, 2), q=several, axis=0, method="averaged_inverted_cdf"),
        sample(real(5, 2), q=several, axis=0, method="inverted_cdf", weights=_WEIGHTS),
    ]


def _declare_median(function: Callable[..., Any], skip_nan: bool) -> None:
    declared = op(function, _median_rule(skip_nan), formula="[x in the middle]", samples=_medians)

    @implements(function)
    def median(
        a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = NOT_GIVEN
    ) -> Any:
        refuse(declared.name, out=out)
        return declared(a, axis=axis, keepdims=keepdims is not NOT_GIVEN and bool(keepdims))


def _declare_quantile(function: Callable[..., Any], scale: float, skip_nan: bool) -> None:
    declared = op(function, _rule(scale, skip_nan), formula="[x at the rank]", samples=_quantiles(scale))

    @implements(function)
    def quantile(
        a: Any,
        q: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: Any = NOT_GIVEN,
        *,
        weights: Any = None,
    ) -> Any:
        refuse(declared.name, out=out)
        _refuse_gradient_by(declared, q)
        a = as_array(a)
        q = np.array(q, like=strip(a)) if isinstance(q, (list, tuple)) else settled(q)
        options = {"axis": axis, "method": method, "weights": settled(weights)}
        return declared(a, q=q, keepdims=keepdims is not NOT_GIVEN and bool(keepdims), **options)


def _refuse_gradient_by(declared: Op, q: Any) -> None:
    if isinstance(q, Tensor) and q.requires_grad:
        raise NotImplementedError(f"np.{declared.name} is not differentiated by q; pass q.data")


_declare_median(np.median, False)
_declare_median(np.nanmedian, True)
_declare_quantile(np.quantile, 1.0, False)
_declare_quantile(np.percentile, 100.0, False)
_declare_quantile(np.nanquantile, 1.0, True)
_declare_quantile(np.nanpercentile, 100.0, True)
