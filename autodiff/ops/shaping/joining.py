"""Joining arrays: along an axis, along a new one, and in blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.op import as_operand, implements, op
from autodiff.sample import real, sample


def _part(i: int, g: Any, y: Any, *xs: Any, axis: int = 0) -> Any:
    """The slice of `g` that belongs to operand `i` of a concatenation."""
    start = sum(x.shape[axis] for x in xs[:i])
    before = (slice(None),) * (axis % g.ndim)
    return g[(*before, slice(start, start + xs[i].shape[axis]))]


_concatenate = op(
    lambda *xs, axis=0: np.concatenate(xs, axis=axis),
    _part,
    name="concatenate",
    formula="1",
    variadic=True,
    samples=[sample(real(2, 3), real(1, 3)), sample(real(2, 1), real(2, 2), real(2, 1), axis=-1)],
)
_stack = op(
    lambda *xs, axis=0: np.stack(xs, axis=axis),
    lambda i, g, y, *xs, axis=0: g[(*(slice(None),) * (axis % g.ndim), i)],
    name="stack",
    formula="1",
    variadic=True,
    samples=[sample(real(3), real(3)), sample(real(2, 3), real(2, 3), axis=-1)],
)


@implements(np.concatenate)
def concatenate(arrays: Any, /, axis: Any = 0, out: Any = None, **options: Any) -> Any:
    """Join along an existing axis, as ``np.concatenate``; with ``axis=None`` the flattened arrays."""
    arrays = [as_operand(x) for x in arrays]
    if axis is None:
        arrays, axis = [np.ravel(x) for x in arrays], 0
    return _concatenate(arrays, axis=axis, out=out, **options)


@implements(np.stack)
def stack(arrays: Any, axis: int = 0, out: Any = None, **options: Any) -> Any:
    """Join along a new axis, as ``np.stack``."""
    return _stack([as_operand(x) for x in arrays], axis=axis, out=out, **options)


@implements(np.vstack)
def vstack(tup: Any, **options: Any) -> Any:
    """Join as rows, as ``np.vstack``."""
    return concatenate(_each(np.atleast_2d, tup), 0, **options)


@implements(np.hstack)
def hstack(tup: Any, **options: Any) -> Any:
    """Join side by side, as ``np.hstack``."""
    arrays = _each(np.atleast_1d, tup)
    return concatenate(arrays, 0 if arrays and arrays[0].ndim == 1 else 1, **options)


@implements(np.dstack)
def dstack(tup: Any) -> Any:
    """Join along the third axis, as ``np.dstack``."""
    return concatenate(_each(np.atleast_3d, tup), 2)


@implements(np.column_stack)
def column_stack(tup: Any) -> Any:
    """Join vectors as columns, as ``np.column_stack``."""
    arrays = [as_operand(x) for x in tup]
    return concatenate([x if np.ndim(x) > 1 else np.reshape(x, (-1, 1)) for x in arrays], 1)


def _each(at_least: Callable[[Any], Any], arrays: Any) -> list[Any]:
    return [at_least(as_operand(x)) for x in arrays]


@implements(np.block)
def block(arrays: Any) -> Any:
    """Build an array of nested lists of blocks, as ``np.block``."""
    depth = _depth(arrays)
    ndim = max([depth, *(np.ndim(leaf) for leaf in _leaves(arrays))])
    return _joined(arrays, depth, ndim)


def _depth(blocks: Any) -> int:
    return 1 + (_depth(blocks[0]) if blocks else 0) if isinstance(blocks, list) else 0


def _leaves(blocks: Any) -> list[Any]:
    return [leaf for part in blocks for leaf in _leaves(part)] if isinstance(blocks, list) else [blocks]


def _joined(blocks: Any, depth: int, ndim: int) -> Any:
    """Join lists at this depth, counted from the innermost, along the axis that it stands for."""
    if isinstance(blocks, tuple):
        raise TypeError("np.block takes blocks nested in lists, got a tuple; write [[a, b], [c, d]]")
    if isinstance(blocks, list) != bool(depth) or (depth and not blocks):
        raise ValueError("np.block takes lists all nested to the same depth, none of them empty")
    if depth:
        return np.concatenate([_joined(part, depth - 1, ndim) for part in blocks], axis=-depth)
    return np.reshape(blocks, (1,) * (ndim - np.ndim(blocks)) + np.shape(blocks))
