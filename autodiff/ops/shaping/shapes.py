"""Shapes and axes: the same elements, in the same or another order of axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.op import as_operand, implements, op, strip
from autodiff.sample import real, sample

# Reading order


def _reshape(x: Any, shape: Any, order: str = "C") -> Any:
    return x.reshape(shape, order=order) if order != "C" else x.reshape(shape)  # Dask knows no other order


def _reshape_rule(g: Any, y: Any, x: Any, shape: Any, order: Any = "C") -> Any:
    return np.reshape(g, x.shape, order=order) if order != "C" else np.reshape(g, x.shape)


_reshape_op = op(
    _reshape,
    _reshape_rule,
    view=True,
    name="reshape",
    numpy=np.reshape,
    formula="1",
    samples=[sample(real(2, 3), shape=(3, 2)), sample(real(2, 3), shape=-1)],
)


@implements(np.reshape)
def reshape(a: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Any:
    """Give the elements another shape, as ``np.reshape``."""
    if copy is False:
        strip(a).reshape(shape, order=order, copy=False)  # raises where numpy would have to copy
    if order == "A":  # as the operand lies in memory, which is not how its gradient lies
        order = "F" if np.asarray(strip(a)).flags.fnc else "C"
    shaped = _reshape_op(as_operand(a), shape=strip(shape), order=order)
    return np.copy(shaped) if copy else shaped


@implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """Flatten, as ``np.ravel``; also in the order in which the elements lie in memory."""
    a = as_operand(a)
    if order == "K":
        a = np.transpose(a, np.argsort(-np.abs(strip(a).strides), kind="stable")) if a.ndim else a
        order = "C"
    flat = reshape(a, -1, order)
    # numpy's is contiguous, and a copy where no such view exists.
    return flat if getattr(strip(flat), "flags", _CONTIGUOUS).c_contiguous else np.copy(flat)


_CONTIGUOUS = np.zeros(1).flags


# Order of axes


def _inverse(axes: Any) -> tuple[int, ...]:
    """The permutation of axes that undoes `axes`."""
    return tuple(int(i) for i in np.argsort(np.asarray(axes) % len(axes)))


transpose = op(
    np.transpose,
    lambda g, y, x, axes=None: np.transpose(g, None if axes is None else _inverse(axes)),
    symbol="ᵀ",
    view=True,
    formula="1",
    samples=[sample(real(2, 3)), sample(real(2, 3, 2), axes=(1, -1, 0))],
)
swapaxes = op(
    np.swapaxes,
    lambda g, y, x, axis1, axis2: np.swapaxes(g, axis1, axis2),
    view=True,
    formula="1",
    samples=[sample(real(2, 3, 2), axis1=0, axis2=-1)],
)
moveaxis = op(
    np.moveaxis,
    lambda g, y, x, source, destination: np.moveaxis(g, destination, source),
    view=True,
    formula="1",
    samples=[
        sample(real(2, 3, 2), source=0, destination=-1),
        sample(real(2, 3, 2), source=(0, -1), destination=(1, 0)),
    ],
)


@implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """Move one axis back until it stands before `start`, as ``np.rollaxis``."""
    # numpy moves the axes of a stand-in whose lengths are the numbers of the axes, and holds no element.
    return np.transpose(a, _numbered(lambda x: np.rollaxis(x, axis, start), a.ndim))


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """Swap the last two axes, as ``np.matrix_transpose``."""
    if x.ndim < 2:
        raise ValueError(f"matrix_transpose swaps the last two axes; got an array of shape {x.shape}")
    return np.swapaxes(x, -1, -2)


def _numbered(function: Callable[[Any], Any], ndim: int) -> tuple[int, ...]:
    return function(np.empty(tuple(range(ndim)))).shape  # type: ignore[no-any-return]


# Axes of length 1

expand_dims = op(
    np.expand_dims,
    lambda g, y, x, axis: np.reshape(g, x.shape),
    view=True,
    formula="1",
    samples=[sample(real(2, 3), axis=1), sample(real(2, 3), axis=(0, -1))],
)
squeeze = op(
    np.squeeze,
    lambda g, y, x, axis=None: np.reshape(g, x.shape),
    view=True,
    formula="1",
    samples=[sample(real(1, 3, 1)), sample(real(2, 1, 1), axis=-1)],
)


def _at_least(function: Callable[..., Any]) -> None:
    @implements(function)
    def handler(*arys: Any) -> Any:
        arrays = tuple(as_operand(x) for x in arys)
        results = tuple(np.reshape(x, function(strip(x)).shape) for x in arrays)
        return results[0] if len(results) == 1 else results


for _function in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
    _at_least(_function)


# Stretched axes

broadcast_to = op(
    np.broadcast_to,
    lambda g, y, x, shape, subok=False: g,  # the engine sums over the axes that were stretched
    view=True,
    formula="1",
    samples=[sample(real(3), shape=(2, 3)), sample(real(2, 1), shape=(3, 2, 2))],
)


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Any, ...]:
    """Stretch arrays to their common shape, as ``np.broadcast_arrays``."""
    arrays = [as_operand(x) for x in args]
    shape = np.broadcast_shapes(*(np.shape(x) for x in arrays))
    return tuple(np.broadcast_to(x, shape) for x in arrays)


@implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    """Spread coordinate vectors over a grid, as ``np.meshgrid``."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid takes indexing='xy' or 'ij', got {indexing!r}")
    axes = list(range(len(xi)))
    if indexing == "xy":
        axes[:2] = axes[1::-1]
    grids = [
        np.reshape(as_operand(x), [-1 if i == axis else 1 for i in range(len(xi))])
        for axis, x in zip(axes, xi, strict=True)
    ]
    grids = grids if sparse else list(broadcast_arrays(*grids))
    return tuple([np.copy(grid) for grid in grids]) if copy else tuple(grids)


copy = op(
    np.copy,
    lambda g, y, x, order="K", subok=False: g,
    formula="1",
    samples=[real(2, 3), sample(real(2, 3), order="F")],
)


@implements(np.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True, **options: Any) -> Any:
    """Return an array filled with one value, as ``np.full_like``; a Tensor when the value is one."""
    fill_value = as_operand(fill_value)
    like = np.empty_like(strip(a), dtype, order, subok, **options)
    if strip(fill_value) is fill_value:
        return np.full_like(like, fill_value)
    return np.broadcast_to(fill_value, like.shape).astype(like.dtype)
