"""A person's functions applied to parts of an array: along an axis, or where conditions hold."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from autodiff.op import as_operand, implements, strip
from autodiff.ops.operands import as_array
from autodiff.tensor import as_tensor


@implements(np.apply_along_axis)
def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """Apply a function to every vector along an axis, as ``np.apply_along_axis``; the vectors are Tensors."""
    vectors = np.moveaxis(arr, axis, -1)
    outer = vectors.shape[:-1]
    if 0 in outer:
        raise ValueError(f"Cannot apply_along_axis when any iteration dimensions are 0: got shape {arr.shape}")
    results = [as_operand(func1d(vectors[i], *args, **kwargs)) for i in np.ndindex(*outer)]
    inner = np.shape(results[0])
    joined = np.reshape(np.stack(results), (*outer, *inner))
    new = range(len(outer), joined.ndim)
    return np.moveaxis(joined, tuple(new), tuple(axis % arr.ndim + i for i in range(len(inner))))


@implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """Compute by another function wherever another condition holds, as ``np.piecewise``."""
    x = as_tensor(as_array(x))
    conditions = strip(condlist)
    if np.isscalar(conditions) or (np.ndim(conditions[0]) == 0 and x.ndim):
        conditions = [conditions]
    masks = [as_array(condition).astype(bool) for condition in conditions]
    if len(funclist) == len(masks) + 1:
        masks.append(~reduce(np.logical_or, masks))
    elif len(funclist) != len(masks):
        raise ValueError(
            f"np.piecewise with {len(masks)} condition(s) takes {len(masks)} or {len(masks) + 1} functions, "
            f"got {len(funclist)}"
        )
    # Zeros that stay in the graph, so that a piecewise constant has a gradient, of zeros.
    y = np.where(False, x, 0) if x.requires_grad else as_tensor(np.zeros_like(strip(x)))
    for mask, function in zip(masks, funclist, strict=True):
        if not callable(function):
            y[mask] = function
        elif mask.any():
            y[mask] = function(x[mask], *args, **kw)
    return y
