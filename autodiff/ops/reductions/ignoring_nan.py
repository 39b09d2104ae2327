"""Reductions and scans that leave NaN out: numpy's ``nansum`` and its kin."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from autodiff.op import Op, implements, op, strip
from autodiff.ops.reductions.moments import deviation_slope, one_correction, std, var, variance_slope
from autodiff.ops.reductions.scans import cumprod, cumsum
from autodiff.ops.reductions.totals import NOT_GIVEN, extreme_slope, mean_slope, prod_slope, reduce_by, sum_slope
from autodiff.sample import nonzero, real, sample

_HOLES = np.array([[0.5, np.nan, 1.5], [np.nan, -1.0, 2.0]])
_over = [sample(real(2, 3)), sample(_HOLES, axis=1), sample(nonzero(2, 3, 2), axis=(-1, 0), keepdims=True)]


def _numbers(x: Any, where: Any = True) -> Any:
    return ~np.isnan(strip(x)) & strip(where)


def _of_numbers(rule: Callable[..., Any]) -> Callable[..., Any]:
    """The rule of a reduction that takes NaN for masked."""

    @wraps(rule)
    def masked(g: Any, y: Any, x: Any, *, where: Any = True, **params: Any) -> Any:
        return rule(g, y, x, where=_numbers(x, where), **params)

    return masked


_nansum_op = op(np.nansum, _of_numbers(sum_slope), symbol="Σ", formula="1", samples=_over)
_nanprod_op = op(np.nanprod, _of_numbers(prod_slope), symbol="Π", formula="Πx / x", samples=_over)
_nanmean_op = op(np.nanmean, _of_numbers(mean_slope), formula="1/n", samples=_over)
_nanmax_op = op(np.nanmax, _of_numbers(extreme_slope), formula="[x = max x]", samples=_over)
_nanmin_op = op(np.nanmin, _of_numbers(extreme_slope), formula="[x = min x]", samples=_over)
_nanvar_op = op(np.nanvar, _of_numbers(variance_slope), formula="2(x − x̄)/(n − ddof)", samples=_over)
_nanstd_op = op(np.nanstd, _of_numbers(deviation_slope), formula="(x − x̄)/((n − ddof)·std)", samples=_over)


def _sum_like(function: Callable[..., Any], reduction: Op) -> None:
    @implements(function)
    def nan_sum(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: Any = NOT_GIVEN,
        initial: Any = NOT_GIVEN,
        where: Any = NOT_GIVEN,
    ) -> Any:
        return reduce_by(reduction, a, axis, dtype, out, keepdims, initial=initial, where=where)


def _extreme_like(function: Callable[..., Any], reduction: Op) -> Callable[..., Any]:
    @implements(function)
    def nan_extreme(
        a: Any,
        axis: Any = None,
        out: Any = None,
        keepdims: Any = NOT_GIVEN,
        initial: Any = NOT_GIVEN,
        where: Any = NOT_GIVEN,
    ) -> Any:
        return reduce_by(reduction, a, axis, None, out, keepdims, initial=initial, where=where)

    return nan_extreme


def _variance_like(function: Callable[..., Any], reduction: Op, with_mean: Callable[..., Any]) -> None:
    @implements(function)
    def nan_variance(
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
        ddof = one_correction(ddof, correction)
        if mean is not NOT_GIVEN:
            return with_mean(a, axis, dtype, out, ddof, keepdims, where=_numbers(a, where), mean=mean)
        return reduce_by(reduction, a, axis, dtype, out, keepdims, where=where, ddof=ddof)


@implements(np.nanmean)
def nanmean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = NOT_GIVEN,
    *,
    where: Any = NOT_GIVEN,
) -> Any:
    """Mean of what is not NaN, as ``np.nanmean``."""
    return reduce_by(_nanmean_op, a, axis, dtype, out, keepdims, where=where)


_sum_like(np.nansum, _nansum_op)
_sum_like(np.nanprod, _nanprod_op)
nanmax = _extreme_like(np.nanmax, _nanmax_op)
nanmin = _extreme_like(np.nanmin, _nanmin_op)
_variance_like(np.nanvar, _nanvar_op, var)
_variance_like(np.nanstd, _nanstd_op, std)


@implements(np.nancumsum)
def nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Sums of the elements up to each, with 0 for NaN, as ``np.nancumsum``."""
    return cumsum(np.where(_numbers(a), a, 0), axis, dtype, out)


@implements(np.nancumprod)
def nancumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Products of the elements up to each, with 1 for NaN, as ``np.nancumprod``."""
    return cumprod(np.where(_numbers(a), a, 1), axis, dtype, out)
