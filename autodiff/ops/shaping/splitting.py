"""Splitting an array along an axis. Every part is a slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.op import implements, strip


def _cut(function: Callable[..., Any], x: Any, marks: Any, axis: int) -> list[Any]:
    """Cut `x` where numpy's `function` cuts a row of consecutive numbers."""
    axis = int(strip(axis))
    rows = function(np.arange(x.shape[axis]), strip(marks))
    before = (slice(None),) * (axis % x.ndim)
    return [x[(*before, slice(row[0], row[-1] + 1) if row.size else slice(0, 0))] for row in rows]


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Cut into parts, not all of them alike, as ``np.array_split``."""
    return _cut(np.array_split, ary, indices_or_sections, axis)


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Cut into equal parts, or at the given places, as ``np.split``."""
    return _cut(np.split, ary, indices_or_sections, axis)


@implements(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Cut side by side, as ``np.hsplit``."""
    _need(1, ary, "hsplit")
    return split(ary, indices_or_sections, 1 if ary.ndim > 1 else 0)


@implements(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Cut between rows, as ``np.vsplit``."""
    _need(2, ary, "vsplit")
    return split(ary, indices_or_sections, 0)


@implements(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Cut along the third axis, as ``np.dsplit``."""
    _need(3, ary, "dsplit")
    return split(ary, indices_or_sections, 2)


def _need(ndim: int, x: Any, name: str) -> None:
    if x.ndim < ndim:
        raise ValueError(f"{name} only works on arrays of {ndim} or more dimensions; got one of shape {x.shape}")


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """Return the parts along an axis, without it, as ``np.unstack``."""
    if not x.ndim:
        raise ValueError("unstack takes an array of at least 1 dimension, got a single number")
    return tuple(np.moveaxis(x, axis, 0) if axis else x)


if hasattr(np, "unstack"):  # since numpy 2.1
    implements(np.unstack)(unstack)
