"""Elements chosen by index, by mask, or among several arrays. The gradient goes to where each came from."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from autodiff.op import as_operand, implements, outside, refuse, strip
from autodiff.ops.indexing.index import pick
from autodiff.ops.operands import as_array, as_arrays, places


@implements(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """Take elements along an axis, as ``np.take``."""
    refuse("take", out=out)
    if axis is None or not a.ndim:
        a, axis = np.ravel(a), axis or 0
    axis = normalize_axis_index(axis, a.ndim)
    # numpy says which places are meant, for negative numbers and for every mode.
    chosen = np.take(np.arange(a.shape[axis], like=strip(a)), strip(indices), mode=mode)  # type: ignore[call-overload]
    taken = a[(*(slice(None),) * axis, chosen)]
    return taken if np.ndim(chosen) else np.copy(taken)  # at a single place it is a view, which numpy's is not


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, *axis: Any, **options: Any) -> Any:
    """Take elements by one index per position along an axis, as ``np.take_along_axis``."""
    return pick(np.take_along_axis, arr, indices, *axis, **options)


@implements(np.compress)
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    """Take the slices where a condition holds, as ``np.compress``."""
    refuse("compress", out=out)
    condition = as_array(strip(condition))
    if condition.ndim != 1:
        raise ValueError(f"np.compress takes a condition of 1 dimension, got one of shape {condition.shape}")
    return np.take(as_array(a), np.flatnonzero(condition), axis)


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """Take the elements where a condition holds, in one row, as ``np.extract``."""
    return np.ravel(as_array(arr))[np.flatnonzero(strip(condition))]


@implements(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """Choose each element from one of several arrays, as ``np.choose``."""
    refuse("choose", out=out)
    arrays = as_arrays(*choices)
    sizes = [x.size for x in arrays]
    # numpy chooses among positions in the row that all arrays make together.
    positions = [start + places(x) for x, start in zip(arrays, accumulate(sizes, initial=0), strict=False)]
    return np.concatenate([np.ravel(x) for x in arrays])[np.choose(strip(a), positions, mode=mode)]  # type: ignore[call-overload]


@implements(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """Choose each element from the array of the first condition that holds, as ``np.select``."""
    conditions = [as_array(strip(c)) for c in condlist]
    choices = [x if np.isscalar(x) else as_operand(x) for x in (*choicelist, default)]
    if len(conditions) != len(choices) - 1 or not conditions:
        raise ValueError(
            f"np.select takes as many conditions as choices, and at least one; got {len(conditions)} and "
            f"{len(choices) - 1}"
        )
    for position, condition in enumerate(conditions):
        if condition.dtype != bool:
            raise TypeError(f"np.select: condition {position} holds {condition.dtype}, it should hold booleans")
    dtype = np.result_type(*(x if isinstance(x, int | float | complex) else strip(x).dtype for x in choices))
    result: Any = choices.pop()
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        result = np.where(condition, choice, result)
    return result if result.dtype == dtype else result.astype(dtype)


outside(
    np.argwhere,
    np.diag_indices_from,
    np.flatnonzero,
    np.isin,
    np.ix_,
    np.nonzero,
    np.ravel_multi_index,
    np.tril_indices_from,
    np.triu_indices_from,
    np.unravel_index,
)
