"""Matrix products: matmul and dot for every combination of ranks, its kin, and the affine map of a layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.op import Op, implements, op
from autodiff.ops.linalg.unfit import products
from autodiff.ops.operands import as_array, mT
from autodiff.sample import real


def _column(v: Any) -> Any:
    return np.expand_dims(v, -1)


def _row(v: Any) -> Any:
    return np.expand_dims(v, -2)


def _rows(x: Any) -> Any:
    """All axes but the last made into one. Counted out, as −1 is ambiguous when the last has length 0."""
    return np.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _matmul_by_a(g: Any, y: Any, a: Any, b: Any) -> Any:
    if b.ndim == 1:
        return g * b if a.ndim == 1 else _column(g) * b
    if a.ndim == 1:
        return np.squeeze(b @ _column(g), -1)
    return g @ mT(b)


def _matmul_by_b(g: Any, y: Any, a: Any, b: Any) -> Any:
    if a.ndim == 1:
        return g * a if b.ndim == 1 else _column(a) * _row(g)
    if b.ndim == 1:
        return np.squeeze(mT(a) @ _column(g), -1)
    if b.ndim == 2 and a.ndim > 2:
        # One product over all batches at once, instead of one per batch and a sum.
        return _rows(a).T @ _rows(g)
    return mT(a) @ g


matmul = op(
    np.matmul,
    _matmul_by_a,
    _matmul_by_b,
    explain=products("matmul", -1, -2),
    symbol="@",
    formula=("g·Bᵀ", "Aᵀ·g"),
    samples=[
        (real(2, 3), real(3, 2)),
        (real(3), real(3)),
        (real(2, 3), real(3)),
        (real(3), real(3, 2)),
        (real(2, 2, 3), real(3, 2)),
        (real(2, 2, 3), real(2, 3, 2)),
        (real(2, 1, 2, 3), real(3, 3, 2)),
        (real(3), real(2, 3, 2)),
        (real(2, 2, 3), real(3)),
    ],
)
vecdot = op(
    np.vecdot,
    lambda g, y, a, b: _column(g) * b,
    lambda g, y, a, b: _column(g) * a,
    explain=products("vecdot", -1, -1),
    symbol="·",
    formula=("g·b", "g·a"),
    samples=[(real(2, 3), real(3)), (real(3), real(3)), (real(2, 1, 3), real(3, 3))],
)


def _along(product: Op, function: Any, rank: int | None) -> None:
    """Give a product numpy's keywords ``axes=`` and, where it reduces one axis of each operand, ``axis=``.

    `rank` is how many axes of the operands make up one element of the result; `None`: it depends on them.
    """

    def call(*operands: Any, axes: Any = None, axis: int | None = None, keepdims: bool = False, **options: Any) -> Any:
        if rank == 0 and axis is not None:
            axes = [axis, axis]
        elif axis is not None or (keepdims and rank != 0):
            raise TypeError(f"{product.name} takes axes=, neither axis= nor keepdims=: its operands differ in rank")
        if axes is None and not keepdims:
            return product(*operands, **options)
        operands = tuple(as_array(x) for x in operands)
        lists = [entry if isinstance(entry, tuple) else (entry,) for entry in axes or [-1, -1]]
        result = product(*map(_to_end, operands, lists), **options)
        width = len(lists[0]) + len(lists[1]) - 2 if rank is None else rank
        if keepdims:
            return np.expand_dims(result, (lists[2:] or lists)[0][0])
        target = lists[2] if len(lists) > 2 else ()
        if len(target) != width:
            raise ValueError(f"{product.name}: axes= gives {len(target)} axes of the result, which has {width}")
        return np.moveaxis(result, tuple(range(-width, 0)), target) if width else result

    implements(function)(call)


def _to_end(x: Any, axes: tuple[int, ...]) -> Any:
    return np.moveaxis(x, axes, tuple(range(-len(axes), 0)))


_along(matmul, np.matmul, None)
_along(vecdot, np.vecdot, 0)

if hasattr(np, "matvec"):  # numpy 2.2
    matvec = op(
        np.matvec,
        lambda g, y, a, v: _column(g) * _row(v),
        lambda g, y, a, v: np.vecmat(g, a),
        explain=products("matvec", -1, -1),
        symbol="@",
        formula=("g·vᵀ", "Aᵀ·g"),
        samples=[(real(2, 3), real(3)), (real(2, 2, 3), real(3)), (real(2, 3), real(4, 3))],
    )
    vecmat = op(
        np.vecmat,
        lambda g, y, v, a: np.matvec(a, g),
        lambda g, y, v, a: _column(v) * _row(g),
        explain=products("vecmat", -1, -2),
        symbol="@",
        formula=("A·g", "v·gᵀ"),
        samples=[(real(2), real(2, 3)), (real(2), real(2, 2, 3)), (real(4, 2), real(2, 3))],
    )
    _along(matvec, np.matvec, 1)
    _along(vecmat, np.vecmat, 1)


def _dot_by_a(g: Any, y: Any, a: Any, b: Any) -> Any:
    if not np.ndim(a) or not np.ndim(b) or b.ndim == 1:
        return g * b if not np.ndim(a) or not np.ndim(b) or a.ndim == 1 else _column(g) * b
    rows, columns = _dot_as_matrices(a, b)
    return np.reshape(np.reshape(g, (rows.shape[0], columns.shape[1])) @ columns.T, a.shape)


def _dot_by_b(g: Any, y: Any, a: Any, b: Any) -> Any:
    if not np.ndim(a) or not np.ndim(b) or (a.ndim == 1 == b.ndim):
        return g * a
    rows, columns = _dot_as_matrices(a, b)
    flat = rows.T @ np.reshape(g, (rows.shape[0], columns.shape[1]))
    if b.ndim == 1:
        return np.reshape(flat, b.shape)
    moved = np.reshape(flat, (b.shape[-2], *b.shape[:-2], b.shape[-1]))
    return np.transpose(moved, (*range(1, b.ndim - 1), 0, b.ndim - 1))


def _dot_as_matrices(a: Any, b: Any) -> tuple[Any, Any]:
    """`a` as rows over its last axis and `b` as columns over its last but one: dot is their matrix product."""
    rows = _rows(a)
    if b.ndim == 1:
        return rows, _column(b)
    moved = np.transpose(b, (b.ndim - 2, *range(b.ndim - 2), b.ndim - 1))
    return rows, np.reshape(moved, (b.shape[-2], math.prod(moved.shape[1:])))


dot = op(
    np.dot,
    _dot_by_a,
    _dot_by_b,
    explain=products("dot", -1, -2),
    symbol="·",
    formula=("g·Bᵀ", "Aᵀ·g"),
    samples=[
        (real(2, 3), real(3, 2)),
        (real(3), real(3)),
        (real(2, 3), real(3)),
        (real(3), real(3, 2)),
        (real(), real(2, 3)),
        (real(2, 3), 2.0),
        (real(2, 2, 3), real(3, 2)),
        (real(2, 2, 3), real(2, 3, 2)),
        (real(3), real(2, 3, 2)),
        (real(2, 2, 3), real(3)),
    ],
)


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    if not x.ndim:
        raise ValueError("linear takes rows of features, shape (..., in); got a single number, shape ()")
    # `.dot` is the same product at half the price of `@` for small matrices, but numpy's swallows other arrays whole.
    product = x.dot(weight.T) if type(x) is type(weight) else x @ weight.T
    return product if bias is None else product + bias


def _linear_by_weight(g: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
    if g.ndim != 2:
        g, x = _rows(g), _rows(x)
    return g.T.dot(x)


linear = op(
    _linear,
    lambda g, y, x, weight, bias: g.dot(weight),
    _linear_by_weight,
    lambda g, y, x, weight, bias: g,
    name="linear",
    symbol="x·Wᵀ + b",
    formula=("g·W", "gᵀ·x", "Σ g"),
    samples=[
        (real(4, 3), real(2, 3), real(2)),
        (real(4, 3), real(2, 3), None),
        (real(2, 2, 3), real(2, 3), real(2)),
        (real(3), real(2, 3), real(2)),
    ],
)
