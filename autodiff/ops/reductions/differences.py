"""Differences and their opposite, on a grid: numpy's ``diff``, ``gradient`` and ``trapezoid``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from autodiff.op import as_operand, implements, strip
from autodiff.ops.elementwise.conversion import convert


def _part(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return x[(*(slice(None),) * normalize_axis_index(axis, x.ndim), slice(start, stop))]


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = np._NoValue, append: Any = np._NoValue) -> Any:
    """Differences of neighbours, `n` times over, as ``np.diff``."""
    if n < 0:
        raise ValueError(f"np.diff takes differences n times, n ≥ 0; got n={n}")
    if n == 0:
        return a
    a = as_operand(a)
    if not np.ndim(strip(a)):
        raise ValueError("np.diff takes differences along an axis; got a single number, shape ()")
    parts = [a]
    if prepend is not np._NoValue:
        parts.insert(0, _column(prepend, a, axis))
    if append is not np._NoValue:
        parts.append(_column(append, a, axis))
    if len(parts) > 1:
        a = np.concatenate(parts, axis=axis)
    subtract = np.not_equal if strip(a).dtype == np.bool_ else np.subtract
    for _ in range(n):
        a = subtract(_part(a, axis, 1, None), _part(a, axis, None, -1))
    return a


def _column(value: Any, a: Any, axis: int) -> Any:
    """A value to be joined to `a` along the axis; a single number is repeated along the others."""
    value = as_operand(value)
    if np.ndim(strip(value)):
        return value
    shape = list(a.shape)
    shape[axis] = 1
    return np.broadcast_to(value, shape)


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours in the flattened array, between two ends, as ``np.ediff1d``."""
    flat = np.ravel(as_operand(ary))
    parts = [flat[1:] - flat[:-1]]
    if to_begin is not None:
        parts.insert(0, _end("to_begin", to_begin, flat.dtype))
    if to_end is not None:
        parts.append(_end("to_end", to_end, flat.dtype))
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _end(name: str, value: Any, dtype: Any) -> Any:
    value = as_operand(value)
    value = np.ravel(value if hasattr(value, "dtype") else np.asarray(value))
    if value.dtype == dtype:
        return value
    if not np.can_cast(value.dtype, dtype, casting="same_kind"):
        raise TypeError(f"np.ediff1d: {name} holds {value.dtype}, which does not go with differences of {dtype}")
    return convert(value, dtype)


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes on a grid, as ``np.gradient``, with derivatives by the values and by the grid."""
    f = as_operand(f)
    if f.dtype.kind not in "fc":
        f = convert(f, float)
    axes = range(f.ndim) if axis is None else normalize_axis_tuple(axis, f.ndim)
    grids = list(varargs) or [1.0]
    if len(grids) == 1 and not np.ndim(strip(grids[0])):
        grids = grids * len(axes)
    if len(grids) != len(axes):
        raise TypeError(f"np.gradient takes one spacing, or one for each of {len(axes)} axes; got {len(grids)}")
    widths = [_widths(grid, f, i) for grid, i in zip(grids, axes, strict=True)]
    if edge_order > 2:
        raise ValueError(f"np.gradient has edges of order 1 and 2; got edge_order={edge_order}")
    slopes = tuple(_slopes(f, width, i, edge_order) for width, i in zip(widths, axes, strict=True))
    return slopes[0] if len(slopes) == 1 else slopes


def _widths(grid: Any, f: Any, axis: int) -> Any:
    """The distances between neighbours along an axis: all of them, as an array that broadcasts with `f`."""
    grid = as_operand(grid)
    if not hasattr(grid, "__array_function__"):
        grid = np.asarray(grid, like=strip(f))
    shape = [1] * f.ndim
    shape[axis] = f.shape[axis] - 1
    if not np.ndim(strip(grid)):
        return np.broadcast_to(grid, shape)
    if grid.ndim != 1:
        raise ValueError(f"np.gradient takes numbers or 1-d coordinates; got an array of shape {grid.shape}")
    if grid.size != f.shape[axis]:
        raise ValueError(f"np.gradient: {grid.size} coordinates for axis {axis} of length {f.shape[axis]}")
    if grid.dtype.kind in "iu":  # unsigned differences would wrap around
        grid = convert(grid, float)
    return np.reshape(grid[1:] - grid[:-1], shape)


def _slopes(f: Any, widths: Any, axis: int, edge_order: int) -> Any:
    """The slopes of the parabolas through three neighbours each; at the ends those, or plain differences."""
    if f.shape[axis] < edge_order + 1:
        raise ValueError(
            f"np.gradient with edge_order={edge_order} needs {edge_order + 1} elements along axis {axis}; "
            f"got an array of shape {f.shape}"
        )
    steps = (_part(f, axis, 1, None) - _part(f, axis, None, -1)) / widths
    first, last = _part(steps, axis, None, 1), _part(steps, axis, -1, None)
    parts = [first, last]
    if f.shape[axis] > 2:
        left, right = _part(steps, axis, None, -1), _part(steps, axis, 1, None)
        before, after = _part(widths, axis, None, -1), _part(widths, axis, 1, None)
        share = before / (before + after)
        inside = left + (right - left) * share
        if edge_order == 2:
            bend = right - left
            first = first - _part(bend * share, axis, None, 1)
            last = last + _part(bend * (1 - share), axis, -1, None)
        parts = [first, inside, last]
    slopes = np.concatenate(parts, axis=axis)
    return slopes if slopes.dtype == f.dtype else convert(slopes, f.dtype)


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral over a grid by the trapezoidal rule, as ``np.trapezoid``."""
    y = as_operand(y)
    if x is not None:
        x = as_operand(x)
        dx = diff(x, axis=0 if x.ndim == 1 else axis)
        if x.ndim == 1:
            shape = [1] * y.ndim
            shape[axis] = dx.size
            dx = np.reshape(dx, shape)
    return np.sum(dx * (_part(y, axis, 1, None) + _part(y, axis, None, -1)) / 2.0, axis=axis)


for _name in ("trapezoid", "trapz"):  # the second is its name of old
    if hasattr(np, _name):
        implements(getattr(np, _name))(trapezoid)


@implements(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    """Take jumps of whole periods out of a sequence of angles, as ``np.unwrap``."""
    plain = strip(p)
    return p + (np.unwrap(plain, discont, axis, period=period) - plain)
