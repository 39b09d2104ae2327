"""Order: sorting and its relatives. The gradient goes to where each element came from; ranks and counts have none."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import as_operand, implements, outside, strip
from autodiff.ops.indexing.index import pick, scatter
from autodiff.tensor import Tensor


@implements(np.sort)
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: bool | None = None) -> Any:
    """Sort along an axis, as ``np.sort``; equal elements keep their order."""
    if kind is stable is None:
        stable = True
    return pick(_sorted, a, strip(a), axis, kind=kind, order=order, stable=stable)


def _sorted(positions: Any, values: Any, axis: Any, **options: Any) -> Any:
    return _ordered(positions, np.argsort(values, axis, **options), axis)


def _ordered(positions: Any, ranks: Any, axis: Any) -> Any:
    return ranks if axis is None or not positions.ndim else np.take_along_axis(positions, ranks, axis)


@implements(np.partition)
def partition(a: Any, kth: Any, axis: Any = -1, kind: Any = "introselect", order: Any = None) -> Any:
    """Put the `kth` smallest element in its place, with smaller ones before it, as ``np.partition``."""
    ranks = np.argpartition(strip(a), strip(kth), axis, kind, order)
    return pick(_ordered, a, ranks, axis)


@implements(np.unique)
def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    **options: Any,
) -> Any:
    """Return the distinct elements, as ``np.unique``. The gradient of each goes to where it stands first."""
    found: Any = np.unique(strip(ar), True, return_inverse, return_counts, axis, **options)  # type: ignore[call-overload]
    values = np.take(ar, found[1], axis)
    facts = found[1 if return_index else 2 :]
    return (values, *facts) if facts else values


@implements(np.union1d)
def union1d(ar1: Any, ar2: Any) -> Any:
    """Return the distinct elements of both, as ``np.union1d``."""
    return np.unique(np.concatenate([ar1, ar2], axis=None))


@implements(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """Count each number, as ``np.bincount``; with `weights` a Tensor, their differentiable sums."""
    x, weights = strip(x), as_operand(weights)
    if not isinstance(weights, Tensor):
        return np.bincount(x, weights, minlength)
    length = np.bincount(x, strip(weights), minlength).size  # raises where numpy does
    return scatter(weights.astype(np.float64), index=np.array(x, dtype=np.intp), shape=(length,))


@implements(np.histogram)
def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """Count elements in bins, as ``np.histogram``: plain arrays; with `weights` a Tensor, their differentiable sums."""
    a, weights = np.asarray(strip(a)), as_operand(weights)
    counts, edges = np.histogram(a, strip(bins), strip(range), density, strip(weights))
    if not isinstance(weights, Tensor):
        return counts, edges
    inside = (a >= edges[0]) & (a <= edges[-1])
    places = np.minimum(np.searchsorted(edges, a[inside], side="right"), counts.size) - 1
    sums = scatter(weights[inside], index=places, shape=counts.shape)
    return (sums / (np.diff(edges) * sums.sum()) if density else sums), edges


outside(np.argpartition, np.argsort, np.digitize, np.histogram_bin_edges, np.lexsort, np.searchsorted)
