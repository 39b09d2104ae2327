"""Elements turned round, shifted and repeated along axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from autodiff.op import Op, implements, op, strip
from autodiff.ops.indexing.index import pick, scatter
from autodiff.ops.operands import as_array
from autodiff.sample import real, sample
from autodiff.tensor import as_tensor

# Turned round and shifted

flip = op(
    np.flip,
    lambda g, y, x, axis=None: np.flip(g, axis),
    view=True,
    formula="1",
    samples=[sample(real(2, 3)), sample(real(2, 3), axis=-1), sample(real(2, 3, 2), axis=(0, 2))],
)


@implements(np.fliplr)
def fliplr(m: Any) -> Any:
    """Reverse the columns, as ``np.fliplr``."""
    if m.ndim < 2:
        raise ValueError(f"fliplr reverses columns: it takes at least 2 axes, got an array of shape {m.shape}")
    return flip(m, axis=1)


@implements(np.flipud)
def flipud(m: Any) -> Any:
    """Reverse the rows, as ``np.flipud``."""
    if m.ndim < 1:
        raise ValueError(f"flipud reverses rows: it takes at least 1 axis, got an array of shape {m.shape}")
    return flip(m, axis=0)


rot90 = op(
    np.rot90,
    lambda g, y, x, k=1, axes=(0, 1): np.rot90(g, -k, axes),
    view=True,
    formula="1",
    samples=[sample(real(2, 3)), sample(real(2, 3, 2), k=3, axes=(-1, 1))],
)


def _shifted_back(g: Any, y: Any, x: Any, shift: Any, axis: Any = None) -> Any:
    return np.roll(g, tuple(-s for s in shift) if isinstance(shift, tuple) else -shift, axis)


_roll = op(
    np.roll,
    _shifted_back,
    formula="1",
    samples=[
        sample(real(2, 3), shift=2),
        sample(real(2, 3), shift=-1, axis=1),
        sample(real(2, 3), shift=(1, 2), axis=(0, -1)),
    ],
)


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Shift the elements round and round, as ``np.roll``."""
    return _roll(a, shift=shift if isinstance(shift, int) else _settled(shift), axis=axis)


def _settled(numbers: Any) -> Any:
    """Return integers as an int or a tuple, for the array that they came in may change before the backward pass."""
    plain = np.asarray(strip(numbers)).tolist()
    return tuple(plain) if isinstance(plain, list) else plain


# Repeated


def _tile_rule(g: Any, y: Any, x: Any, reps: Any) -> Any:
    reps = reps if isinstance(reps, tuple) else (reps,)
    reps = (1,) * (x.ndim - len(reps)) + reps
    shape = (1,) * (len(reps) - x.ndim) + x.shape
    interleaved = np.reshape(g, [n for pair in zip(reps, shape, strict=True) for n in pair])
    return np.reshape(np.sum(interleaved, axis=tuple(range(0, 2 * len(reps), 2))), x.shape)


_tile = op(
    np.tile,
    _tile_rule,
    formula="Σ over copies",
    samples=[sample(real(2, 3), reps=2), sample(real(3), reps=(2, 2)), sample(real(2, 3), reps=(3, 1))],
)


@implements(np.tile)
def tile(A: Any, reps: Any) -> Any:
    """Lay copies side by side, as ``np.tile``."""
    return _tile(A, reps=_settled(reps))


def _repeat_rule(g: Any, y: Any, x: Any, repeats: Any, axis: Any = None) -> Any:
    if axis is None or not x.ndim:
        return np.reshape(_repeat_rule(g, y, np.ravel(x), repeats, 0), x.shape)
    before = (slice(None),) * (axis % g.ndim)
    source = np.repeat(np.arange(x.shape[axis], like=strip(g)), repeats)
    return scatter(g, index=(*before, source), shape=x.shape)


_repeat = op(
    np.repeat,
    _repeat_rule,
    formula="Σ over copies",
    samples=[
        sample(real(2, 3), repeats=2),
        sample(real(2, 3), repeats=(2, 0, 1), axis=-1),
        sample(real(2, 3), repeats=3, axis=0),
    ],
)


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """Repeat each element, as ``np.repeat``."""
    return _repeat(a, repeats=_settled(repeats), axis=axis)


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """Give another shape, repeating or leaving out elements, as ``np.resize``."""
    a, new_shape = as_array(a), strip(new_shape)
    return pick(np.resize, a, new_shape) if a.size else as_tensor(np.resize(strip(a), new_shape))


# Windows


def _overlap_add(g: Any, shape: tuple[int, ...], window: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Zeros of `shape` with each window of `g` added where it was seen."""
    out = np.zeros_like(g, shape=shape)
    for offset in np.ndindex(*window):
        start = [0] * len(shape)
        for axis, step in zip(axes, offset, strict=True):
            start[axis] += step
        place = tuple(slice(s, s + n) for s, n in zip(start, g.shape, strict=False))
        out[place] += g[(..., *offset)]
    return out


def _windows(x: Any, window: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    return sliding_window_view(x, window, axes)


windows: Op = op(
    _windows,
    lambda g, y, x, window, axes: overlap_add(g, shape=x.shape, window=window, axes=axes),
    view=True,
    name="sliding_window_view",
    symbol="windows",
    numpy=_windows,
    formula="Σ over windows",
    samples=[
        sample(real(5), window=(3,), axes=(0,)),
        sample(real(3, 4), window=(2, 2), axes=(0, 1)),
        sample(real(4, 5), window=(3, 2), axes=(1, 1)),
    ],
)
overlap_add: Op = op(
    _overlap_add,
    lambda g, y, x, shape, window, axes: windows(g, window=window, axes=axes),
    name="overlap_add",
    formula="windows",
    samples=[sample(real(3, 2, 2), shape=(4, 2), window=(2,), axes=(0,))],
)


@implements(sliding_window_view)
def sliding_windows(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    """Return every window of a shape, as ``np.lib.stride_tricks.sliding_window_view``."""
    sliding_window_view(strip(x), window_shape, axis)  # raises where numpy does
    window = np.atleast_1d(np.asarray(window_shape))
    axes = np.arange(x.ndim) if axis is None else np.atleast_1d(np.asarray(axis)) % x.ndim
    return windows(x, window=_settled(window), axes=_settled(axes))
