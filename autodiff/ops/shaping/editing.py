"""Elements put in and left out: append, insert, delete, trim_zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import implements, strip
from autodiff.ops.indexing.index import pick, refuse_rounding
from autodiff.ops.operands import as_arrays, places


@implements(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """Join values to the end, as ``np.append``."""
    arr, values = as_arrays(arr, values)
    return np.concatenate([arr, values], axis)


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """Insert values before the given places, as ``np.insert``."""
    arr, values = as_arrays(arr, values)
    refuse_rounding(arr.dtype, values)
    # numpy inserts the values' positions among the array's; both in one row are then picked by position.
    positions = np.insert(places(arr), strip(obj), arr.size + places(values), axis)
    joined = np.concatenate([arr, values], axis=None)[positions]
    return joined if joined.dtype == arr.dtype else joined.astype(arr.dtype)


@implements(np.delete)
def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """Leave out the given places, as ``np.delete``."""
    return pick(np.delete, arr, obj, axis)


@implements(np.trim_zeros)
def trim_zeros(filt: Any, trim: Any = "fb", *axis: Any, **options: Any) -> Any:
    """Cut zeros off at the ends, as ``np.trim_zeros``."""
    values = strip(filt)
    left = np.trim_zeros(values, trim, *axis, **options).shape
    if "f" not in trim.lower():
        return filt[tuple(slice(n) for n in left)]
    without_front = np.trim_zeros(values, "f", *axis, **options).shape
    starts = [n - m for n, m in zip(filt.shape, without_front, strict=True)]
    return filt[tuple(slice(start, start + n) for start, n in zip(starts, left, strict=True))]
