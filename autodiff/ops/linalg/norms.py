"""Norms of vectors and matrices, of every order, and the condition number.

Where a norm has a kink its gradient is PyTorch's: 0 at the origin, shared between elements that tie.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from autodiff.op import implements, op, strip
from autodiff.ops.operands import as_array, as_floats, eye
from autodiff.sample import real, sample


def _restored(reduced: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return reduced if keepdims or axis is None else np.expand_dims(reduced, axis)


def _two_rule(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    y, g = _restored(y, x, axis, keepdims), _restored(g, x, axis, keepdims)
    origin = strip(y) == 0
    return np.where(origin, 0, g) / np.where(origin, 1, y) * x


_two = op(
    lambda x, axis=None, keepdims=False: np.linalg.norm(x, axis=axis, keepdims=keepdims),
    _two_rule,
    name="norm",
    symbol="‖x‖",
    formula="x/‖x‖",
    samples=[real(2, 3), sample(real(2, 3), axis=0), sample(real(2, 3, 2), axis=(-1, 0), keepdims=True)],
)


def _power_rule(g: Any, y: Any, x: Any, ord: float, axis: int, keepdims: bool = False) -> Any:
    y, g = _restored(y, x, axis, keepdims), _restored(g, x, axis, keepdims)
    origin = strip(y) == 0
    # For orders below 1 the norm has an infinite slope where an element is 0; the slope taken there is 0.
    flat = origin | (strip(x) == 0)
    ratio = np.abs(np.where(flat, 1, x)) / np.where(origin, 1, y)
    return np.where(flat, 0, g * np.sign(x) * ratio ** (ord - 1))


_power = op(
    lambda x, ord, axis, keepdims=False: np.linalg.norm(x, ord, axis, keepdims),
    _power_rule,
    name="norm_of_order",
    symbol="‖x‖ₚ",
    formula="sign x·(|x|/‖x‖ₚ)ᵖ⁻¹",
    samples=[
        sample(real(2, 3), ord=3, axis=-1),
        sample(real(2, 3), ord=1.5, axis=0),
        sample(real(2, 3), ord=-2, axis=1, keepdims=True),
    ],
)


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Norm of vectors or matrices, as ``np.linalg.norm``; that of order 0, a count, is a plain array."""
    x = as_floats(x)
    if axis is None:
        if ord is None or (ord in ("f", "fro") and x.ndim == 2) or (ord == 2 and x.ndim == 1):
            return _two(x, keepdims=keepdims)
        axes = tuple(range(x.ndim))
    elif isinstance(axis, tuple):
        axes = axis
    else:
        try:
            axes = (operator.index(axis),)
        except TypeError:
            raise TypeError(f"norm takes an integer or a tuple of integers as axis, or None; got {axis!r}") from None
    if len(axes) == 1:
        return _vector(x, ord, axes[0], keepdims)
    if len(axes) == 2:
        return _matrix(x, ord, axes, keepdims)
    raise ValueError(f"norm reduces one axis (vectors) or two (matrices), got axis={axis} for shape {x.shape}")


def _vector(x: Any, ord: Any, axis: int, keepdims: bool) -> Any:
    if isinstance(ord, str):
        raise ValueError(f"the norm of vectors has no order {ord!r}")
    if ord is None or ord == 2:
        return _two(x, axis=axis, keepdims=keepdims)
    if ord == 0:
        return np.linalg.norm(strip(x), ord, axis, keepdims)
    if ord == 1 or (ord == np.inf and not x.shape[axis]):
        return np.sum(np.abs(x), axis=axis, keepdims=keepdims)
    if abs(ord) == np.inf:
        return (np.max if ord > 0 else np.min)(np.abs(x), axis=axis, keepdims=keepdims)
    return _power(x, ord=ord, axis=axis, keepdims=keepdims)


def _matrix(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    rows, columns = (axis % x.ndim for axis in axes)
    if rows == columns:
        raise ValueError(f"the norm of matrices is taken over two axes, got axis={axes} twice the same")
    if ord in (None, "f", "fro"):
        return _two(x, axis=(rows, columns), keepdims=keepdims)
    if ord in (2, -2, "nuc"):
        s = np.linalg.svdvals(np.moveaxis(x, (rows, columns), (-2, -1)))
        result = np.sum(s, axis=-1) if ord == "nuc" else _end(s, ord, -1)[..., 0]
        return np.expand_dims(result, (rows, columns)) if keepdims else result
    if ord in (1, -1, np.inf, -np.inf):
        summed, left = (rows, columns) if abs(ord) == 1 else (columns, rows)
        result = _end(np.sum(np.abs(x), axis=summed, keepdims=True), ord, left)
        return result if keepdims else np.squeeze(result, (rows, columns))
    raise ValueError(f"the norm of matrices has no order {ord!r}: 1, 2, inf, their negatives, 'fro' and 'nuc'")


def _end(x: Any, ord: float, axis: int) -> Any:
    """The largest or, for a negative order, the smallest along `axis`; the largest of nothing is 0."""
    if ord < 0:
        return np.min(x, axis=axis, keepdims=True)
    return (np.max if x.shape[axis] else np.sum)(x, axis=axis, keepdims=True)


@implements(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """Norm of the elements along any axes, as ``np.linalg.vector_norm``."""
    x = as_array(x)
    axes = tuple(range(x.ndim)) if axis is None else tuple(int(i) % x.ndim for i in np.atleast_1d(axis))
    rest = [i for i in range(x.ndim) if i not in axes]
    lengths = [x.shape[i] for i in rest]
    result = np.linalg.norm(np.reshape(np.transpose(x, rest + list(axes)), (*lengths, -1)), ord, -1)
    return np.expand_dims(result, axes) if keepdims else result


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """Norm of the matrices in the last two axes, as ``np.linalg.matrix_norm``."""
    return np.linalg.norm(x, ord, (-2, -1), keepdims)


@implements(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """Condition number, as ``np.linalg.cond``; infinite, with no gradient, for singular matrices."""
    x = as_floats(x)
    value = np.linalg.cond(strip(x), p)
    singular = ~np.isfinite(value)
    if p in (None, 2, -2):
        s = np.linalg.svdvals(x)
        over, under = (s[..., -1], s[..., 0]) if p == -2 else (s[..., 0], s[..., -1])
        return np.where(singular, value, over / np.where(singular, 1, under))
    sound = np.where(singular[..., None, None], eye(x.shape[-1], x).astype(x.dtype), x)
    product = np.linalg.norm(x, p, (-2, -1)) * np.linalg.norm(np.linalg.inv(sound), p, (-2, -1))
    return np.where(singular, value, product)
