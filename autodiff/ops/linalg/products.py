"""Numpy's other products, each composed of elementwise ones, matrix products and changes of shape."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from autodiff.op import implements, refuse
from autodiff.ops.linalg.unfit import unfit
from autodiff.ops.operands import as_array, as_arrays, eye, mT


@implements(np.vdot)
def vdot(a: Any, b: Any, /) -> Any:
    """Sum of the products of all elements, as ``np.vdot``."""
    a, b = as_arrays(a, b)
    if a.size != b.size:
        raise ValueError(
            f"vdot of shapes {a.shape} and {b.shape}: it multiplies all elements in pairs, but there are {a.size} and "
            f"{b.size}; write `np.dot(a, b)` for a product of matrices"
        )
    return np.dot(np.ravel(a), np.ravel(b))


@implements(np.inner)
def inner(a: Any, b: Any, /) -> Any:
    """Products over the last axis of both, as ``np.inner``."""
    a, b = as_arrays(a, b)
    if a.ndim and b.ndim and a.shape[-1] != b.shape[-1]:
        raise unfit("inner", a.shape, b.shape, -1, -1)
    return np.dot(a, mT(b) if a.ndim and b.ndim > 1 else b)


@implements(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    """Every element of `a` times every element of `b`, as ``np.outer``."""
    refuse("outer", out=out)
    return np.reshape(as_array(a), (-1, 1)) * np.reshape(as_array(b), (1, -1))


@implements(np.linalg.outer)
def outer_of_vectors(x1: Any, x2: Any, /) -> Any:
    """Outer product of two vectors, as ``np.linalg.outer``."""
    x1, x2 = as_arrays(x1, x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(f"linalg.outer takes two vectors, got shapes {x1.shape} and {x2.shape}")
    return np.outer(x1, x2)


@implements(np.linalg.matmul)
def linalg_matmul(x1: Any, x2: Any, /) -> Any:
    """Matrix product, as ``np.linalg.matmul``."""
    return np.matmul(x1, x2)


@implements(np.linalg.vecdot)
def linalg_vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Dot products along `axis`, as ``np.linalg.vecdot``."""
    return np.vecdot(x1, x2, axis=axis)  # type: ignore[call-overload]


@implements(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Sum of products over pairs of axes, as ``np.tensordot``."""
    a, b = as_arrays(a, b)
    pair = axes if hasattr(axes, "__iter__") else (range(-axes, 0), range(axes))
    over_a, over_b = ([int(axis) for axis in np.atleast_1d(entry)] for entry in pair)
    over = f"it sums over axes {over_a} of the first, {over_b} of the second"
    said = f"tensordot of shapes {a.shape} and {b.shape}: {over}"
    if any(not -x.ndim <= i < x.ndim for x, over in ((a, over_a), (b, over_b)) for i in over):
        raise IndexError(f"{said}, which do not all exist; write `axes=([of the first], [of the second])`")
    lengths_a, lengths_b = ([x.shape[i] for i in over] for x, over in ((a, over_a), (b, over_b)))
    if lengths_a != lengths_b:
        raise ValueError(
            f"{said}, whose lengths {lengths_a} and {lengths_b} should be equal; write the pairs of axes that belong "
            "together as `axes=([of the first], [of the second])`"
        )
    over_a, over_b = [i % a.ndim for i in over_a], [i % b.ndim for i in over_b]
    if len({*over_a}) < len(over_a) or len({*over_b}) < len(over_b):
        raise ValueError(f"tensordot: duplicate axes among {over_a} of the first operand, {over_b} of the second")
    free_a = [i for i in range(a.ndim) if i not in over_a]
    free_b = [i for i in range(b.ndim) if i not in over_b]
    shape_a, shape_b = [a.shape[i] for i in free_a], [b.shape[i] for i in free_b]
    n = math.prod(a.shape[i] for i in over_a)
    rows = np.reshape(np.transpose(a, free_a + over_a), (math.prod(shape_a), n))
    columns = np.reshape(np.transpose(b, over_b + free_b), (n, math.prod(shape_b)))
    return np.reshape(np.dot(rows, columns), (*shape_a, *shape_b))


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """Kronecker product, as ``np.kron``."""
    a, b = as_arrays(a, b)
    ndim = max(a.ndim, b.ndim)
    shape_a, shape_b = ((1,) * (ndim - x.ndim) + x.shape for x in (a, b))
    blocks = np.reshape(a, [n for length in shape_a for n in (length, 1)])
    inside = np.reshape(b, [n for length in shape_b for n in (1, length)])
    return np.reshape(blocks * inside, [m * n for m, n in zip(shape_a, shape_b, strict=True)])


@implements(np.cross)
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """Cross product of vectors with three components, as ``np.cross``; before numpy 2.5 of two, too, the third 0."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = as_arrays(a, b)
    if not a.ndim or not b.ndim:
        raise ValueError(f"cross takes vectors, got shapes {a.shape} and {b.shape}")
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    lengths = a.shape[-1], b.shape[-1]
    if lengths != (3, 3):
        np.cross(np.zeros(lengths[0]), np.zeros(lengths[1]))  # warns or raises where numpy does
    if lengths == (2, 2):
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    a, b = (x if x.shape[-1] == 3 else np.concatenate([x, np.zeros_like(x[..., :1])], axis=-1) for x in (a, b))
    after, last = [1, 2, 0], [2, 0, 1]
    return np.moveaxis(a[..., after] * b[..., last] - a[..., last] * b[..., after], -1, axisc)


@implements(np.linalg.cross)
def cross_of_three(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """Cross product of vectors with three components, as ``np.linalg.cross``."""
    x1, x2 = as_arrays(x1, x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(f"linalg.cross takes vectors with 3 components, got shapes {x1.shape} and {x2.shape}")
    return np.cross(x1, x2, axis=axis)


@implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: Any) -> Any:
    """Product of `n` equal matrices, as ``np.linalg.matrix_power``, in about log2 `n` multiplications."""
    a = as_array(a)
    try:
        n = operator.index(n)
    except TypeError:
        raise TypeError(f"matrix_power takes a whole number as exponent, got {n!r}") from None
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError(f"matrix_power takes square matrices, got shape {a.shape}")
    if n == 0:
        return np.where(False, a, eye(a.shape[-1], a).astype(a.dtype))
    square, n = (np.linalg.inv(a), -n) if n < 0 else (a, n)
    result = None
    while True:
        if n % 2:
            result = square if result is None else result @ square
        n //= 2
        if not n:
            return result
        square = square @ square


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """Product of a chain of matrices in the cheapest order, as ``np.linalg.multi_dot``."""
    refuse("multi_dot", out=out)
    chain = list(as_arrays(*arrays))
    if len(chain) < 2:
        raise ValueError(f"multi_dot takes at least two arrays, got {len(chain)}")
    if len(chain) == 2:
        return np.dot(*chain)
    ends, between = chain[:: len(chain) - 1], chain[1:-1]
    if any(x.ndim not in (1, 2) for x in ends) or any(x.ndim != 2 for x in between):
        shapes = [x.shape for x in chain]
        raise np.linalg.LinAlgError(f"multi_dot takes matrices, and vectors at the ends; got shapes {shapes}")
    rows, columns = ends[0].shape[:-1] or (1,), ends[1].shape[1:] or (1,)
    splits = _splits([*rows, *(x.shape[0] for x in chain[1:]), *columns])
    return _multiply(chain, splits, 0, len(chain) - 1)


def _splits(sizes: list[int]) -> dict[tuple[int, int], int]:
    """After which matrix to split each part of a chain, whose i-th matrix is ``sizes[i]`` × ``sizes[i + 1]``."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    splits = {}
    for width in range(1, n):
        for i in range(n - width):
            j = i + width
            each = {k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1] for k in range(i, j)}
            splits[i, j] = min(each, key=each.__getitem__)
            cost[i, j] = each[splits[i, j]]
    return splits


def _multiply(chain: list[Any], splits: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return chain[i]
    k = splits[i, j]
    return np.dot(_multiply(chain, splits, i, k), _multiply(chain, splits, k + 1, j))
