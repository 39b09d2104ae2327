"""Ops that move elements without changing them: shapes, axes, joining."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import as_operand, implements, op
from autodiff.sample import real, sample


def _reshape(x: Any, shape: Any, order: str = "C") -> Any:
    return x.reshape(shape, order=order)


reshape = op(
    _reshape,
    lambda g, y, x, shape, order="C": np.reshape(g, x.shape, order=order),
    name="reshape",
    numpy=np.reshape,
    formula="1",
    samples=[sample(real(2, 3), shape=(3, 2)), sample(real(2, 3), shape=-1)],
)
transpose = op(
    np.transpose,
    lambda g, y, x, axes=None: np.transpose(g, None if axes is None else np.argsort(np.asarray(axes) % x.ndim)),
    symbol="ᵀ",
    formula="1",
    samples=[sample(real(2, 3)), sample(real(2, 3, 2), axes=(1, -1, 0))],
)
swapaxes = op(
    np.swapaxes,
    lambda g, y, x, axis1, axis2: np.swapaxes(g, axis1, axis2),
    formula="1",
    samples=[sample(real(2, 3, 2), axis1=0, axis2=-1)],
)
expand_dims = op(
    np.expand_dims,
    lambda g, y, x, axis: np.reshape(g, x.shape),
    formula="1",
    samples=[sample(real(2, 3), axis=1), sample(real(2, 3), axis=(0, -1))],
)
squeeze = op(
    np.squeeze,
    lambda g, y, x, axis=None: np.reshape(g, x.shape),
    formula="1",
    samples=[sample(real(1, 3, 1)), sample(real(2, 1, 1), axis=-1)],
)
broadcast_to = op(
    np.broadcast_to,
    lambda g, y, x, shape: g,  # the engine sums over the axes that were stretched
    formula="1",
    samples=[sample(real(3), shape=(2, 3)), sample(real(2, 1), shape=(3, 2, 2))],
)
copy = op(np.copy, lambda g, y, x: g, formula="1", samples=[real(2, 3)])


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
def concatenate(arrays: Any, axis: Any = 0, out: Any = None, **options: Any) -> Any:
    """Join along an existing axis, as ``np.concatenate``; with ``axis=None`` the flattened arrays."""
    arrays = [as_operand(x) for x in arrays]
    if axis is None:
        arrays, axis = [np.ravel(x) for x in arrays], 0
    return _concatenate(arrays, axis=axis, out=out, **options)


@implements(np.stack)
def stack(arrays: Any, axis: int = 0, out: Any = None, **options: Any) -> Any:
    """Join along a new axis, as ``np.stack``."""
    return _stack([as_operand(x) for x in arrays], axis=axis, out=out, **options)


@implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """Flatten, as ``np.ravel``."""
    return reshape(a, shape=-1, order=order)
