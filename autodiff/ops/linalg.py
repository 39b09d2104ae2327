"""Products: matmul and dot for every combination of ranks, and the affine map of a layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.op import op
from autodiff.sample import real


def _t(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


def _column(v: Any) -> Any:
    return np.expand_dims(v, -1)


def _rows(x: Any) -> Any:
    """All axes but the last made into one. Counted out, as −1 is ambiguous when the last has length 0."""
    return np.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _matmul_by_a(g: Any, y: Any, a: Any, b: Any) -> Any:
    if b.ndim == 1:
        return g * b if a.ndim == 1 else _column(g) * b
    if a.ndim == 1:
        return np.squeeze(b @ _column(g), -1)
    return g @ _t(b)


def _matmul_by_b(g: Any, y: Any, a: Any, b: Any) -> Any:
    if a.ndim == 1:
        return g * a if b.ndim == 1 else _column(a) * np.expand_dims(g, -2)
    if b.ndim == 1:
        return np.squeeze(_t(a) @ _column(g), -1)
    if b.ndim == 2 and a.ndim > 2:
        # One product over all batches at once, instead of one per batch and a sum.
        return _rows(a).T @ _rows(g)
    return _t(a) @ g


matmul = op(
    np.matmul,
    _matmul_by_a,
    _matmul_by_b,
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
    # `.dot` is the same product, at half the price of `@` for small matrices.
    product = x.dot(weight.T)
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
