"""Order: sorting and its relatives. The gradient goes to where each element came from; ranks have none."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import implements, outside, strip
from autodiff.ops.indexing.index import pick


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


outside(np.argpartition, np.argsort, np.digitize, np.lexsort, np.searchsorted)
