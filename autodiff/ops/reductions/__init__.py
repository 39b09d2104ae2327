"""Ops over axes: totals, moments, order statistics, scans, differences, and the methods of ufuncs."""

from autodiff.ops.reductions import (
    covariance,
    differences,
    ignoring_nan,
    moments,
    order_statistics,
    scans,
    totals,
    ufunc_methods,
)

__all__ = [
    "covariance",
    "differences",
    "ignoring_nan",
    "moments",
    "order_statistics",
    "scans",
    "totals",
    "ufunc_methods",
]
