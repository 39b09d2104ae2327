"""Determinants, inverses and equations. Stacks of matrices wherever numpy takes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.op import Op, implements, op, outside, strip
from autodiff.ops.linalg.decompositions import Factorisation, symmetric
from autodiff.ops.linalg.unfit import matrices, squares
from autodiff.ops.operands import as_array, as_arrays, eye, mT
from autodiff.sample import real, regular, sample
from autodiff.tensor import as_tensor

_Slogdet = type(np.linalg.slogdet(np.ones((1, 1))))

# Determinants


def _cofactors(a: Any) -> Any:
    """The derivative of the determinant, det(A)·A⁻ᵀ; from singular values, as the inverse need not exist."""
    u, s, vh = np.linalg.svd(a)
    sign = np.sign(np.linalg.det(u) * np.linalg.det(vh))
    return (u * (sign[..., None] * _without(s, 1))[..., None, :]) @ vh


def _without(s: Any, count: int) -> Any:
    """Products of all singular values but each one, or (`count` 2) but each pair; never by division."""
    n = s.shape[-1]
    left_out = eye(n, s)
    if count == 2:
        left_out = left_out[:, None] | left_out
    table = np.where(left_out, 1, np.reshape(s, (*s.shape[:-1], *(1,) * count, n)))
    return np.prod(table, axis=-1)


def _cofactors_rule(g: Any, y: Any, a: Any) -> Any:
    # In the basis of the singular vectors A is diagonal, and a second derivative of its determinant is the product
    # of all singular values but two: positive by two elements of the diagonal, negative by i,j and j,i.
    u, s, vh = np.linalg.svd(a)
    sign = np.sign(np.linalg.det(strip(u)) * np.linalg.det(strip(vh)))[..., None, None]
    n = a.shape[-1]
    pairs = np.where(eye(n, a), 0, _without(s, 2)) * sign
    inner = mT(u) @ g @ mT(vh)
    diagonal = np.sum(pairs * np.diagonal(inner, axis1=-2, axis2=-1)[..., None, :], axis=-1)
    return u @ (np.where(eye(n, a), diagonal[..., None, :], -pairs * mT(inner))) @ vh


def _det_rule(g: Any, y: Any, a: Any) -> Any:
    g = g[..., None, None]
    if a.size and not (np.linalg.cond(strip(a), 1) > 1e6).any():
        return g * y[..., None, None] * mT(np.linalg.inv(a))
    # Next to a singular matrix the inverse loses its digits: singular values keep them, at a higher price.
    return g * cofactors(a)


det = op(
    np.linalg.det,
    _det_rule,
    explain=squares("det"),
    symbol="det",
    formula="det(A)·A⁻ᵀ",
    samples=[regular(3, 3), regular(2, 2, 2), sample(np.array([[1.0, 2.0, 0.5], [2.0, 4.0, 1.0], [0.3, -1.0, 2.0]]))],
)
cofactors: Op = op(
    _cofactors,
    _cofactors_rule,
    name="cofactors",
    symbol="cof",
    formula="g·∂²det",
    samples=[regular(3, 3), regular(2, 2, 2), sample(np.array([[1.0, 2.0, 0.5], [2.0, 4.0, 1.0], [0.3, -1.0, 2.0]]))],
)


def _logabsdet_rule(g: Any, y: Any, a: Any, shared: Any = None) -> Any:
    # A singular matrix has log |det| = −∞, which rises without bound: NaN, and no error for the rest of a stack.
    regular_only = np.where(np.isinf(strip(y))[..., None, None], np.nan, a)
    return g[..., None, None] * mT(np.linalg.inv(regular_only))


logabsdet = op(
    lambda a, shared=None: (shared or Factorisation(np.linalg.slogdet)).part(a, 1),
    _logabsdet_rule,
    explain=squares("slogdet"),
    name="logabsdet",
    symbol="ln|det|",
    formula="A⁻ᵀ",
    samples=[regular(3, 3), regular(2, 2, 2)],
)


@implements(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """Sign and logarithm of the determinant, as ``np.linalg.slogdet``; the sign has no gradient."""
    a, shared = as_array(a), Factorisation(np.linalg.slogdet)
    logarithm = logabsdet(a, shared=shared)
    return _Slogdet(as_tensor(shared.part(strip(a), 0)), logarithm)


# Inverses

inv = op(
    np.linalg.inv,
    lambda g, y, a: -(mT(y) @ g @ mT(y)),
    explain=squares("inv", "np.linalg.pinv takes any"),
    symbol="A⁻¹",
    formula="−A⁻ᵀ·g·A⁻ᵀ",
    samples=[regular(3, 3), regular(2, 2, 2)],
)


def _pinv_rule(g: Any, y: Any, a: Any, rcond: Any = None, hermitian: bool = False, rtol: Any = None) -> Any:
    # G. H. Golub and V. Pereyra (1973), for changes of A that keep its rank.
    gradient = -(mT(y) @ g @ mT(y))
    missed = mT(g) - (a @ y) @ mT(g)
    spare = mT(g) - mT(g) @ (y @ a)
    return gradient + missed @ (y @ mT(y)) + (mT(y) @ y) @ spare


_pinv_op = op(
    np.linalg.pinv,
    _pinv_rule,
    explain=matrices("pinv"),
    symbol="A⁺",
    formula="−A⁺ᵀ·g·A⁺ᵀ + …",
    samples=[regular(3, 2), regular(2, 2, 3), regular(3, 3)],
)


@implements(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Any:
    """Pseudo-inverse, as ``np.linalg.pinv``; its derivative is that among matrices of the same rank."""
    limits = {"rcond": rcond} if rcond is not None else {"rtol": rtol}
    if rcond is not None and rtol is not np._NoValue:
        raise ValueError("pinv takes rcond or rtol, not both: they mean the same")
    if hermitian:
        return _pinv_op(symmetric(a), hermitian=True, **strip(limits))
    return _pinv_op(as_array(a), **strip(limits))


@implements(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """Inverse of a tensor as a map between its first `ind` axes and the others, as ``np.linalg.tensorinv``."""
    if ind <= 0:
        raise ValueError(f"tensorinv takes a positive number of axes as ind, got {ind}")
    a = as_array(a)
    columns = math.prod(a.shape[ind:])
    inverse = np.linalg.inv(np.reshape(a, (columns, a.size // max(columns, 1))))
    return np.reshape(inverse, a.shape[ind:] + a.shape[:ind])


# Equations


def _pull_back(g: Any, a: Any, b: Any) -> Any:
    """The gradient by the right-hand side of a·y = b, before broadcasting is undone."""
    if b.ndim > 1:
        return np.linalg.solve(mT(a), g)
    return np.squeeze(np.linalg.solve(mT(a), g[..., None]), -1)


def _solve_by_a(g: Any, y: Any, a: Any, b: Any) -> Any:
    gb = _pull_back(g, a, b)
    return -(gb @ mT(y)) if b.ndim > 1 else -(gb[..., :, None] * y[..., None, :])


_solve_op = op(
    np.linalg.solve,
    _solve_by_a,
    lambda g, y, a, b: _pull_back(g, a, b),
    explain=squares("solve", "write `np.linalg.lstsq(a, b)[0]` for the least-squares solution"),
    symbol="A⁻¹b",
    formula=("−A⁻ᵀ·g·yᵀ", "A⁻ᵀ·g"),
    samples=[
        (regular(3, 3), real(3)),
        (regular(3, 3), real(3, 2)),
        (regular(2, 3, 3), real(3)),
        (regular(2, 3, 3), real(3, 2)),
        (regular(3, 3), real(2, 3, 2)),
    ],
)


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """Solution of a linear system, as ``np.linalg.solve``: a vector only where `b` has one axis."""
    return _solve_op(*as_arrays(a, b))


@implements(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """Least-squares solution, squared residuals, rank and singular values, as ``np.linalg.lstsq``."""
    a, b = as_arrays(a, b)
    if a.ndim != 2 or b.ndim not in (1, 2) or a.shape[0] != b.shape[0]:
        raise np.linalg.LinAlgError(f"lstsq takes shapes (m, n) and (m,) or (m, k), got {a.shape} and {b.shape}")
    m, n = a.shape
    s = np.linalg.svdvals(a)
    precision = np.finfo(strip(s).dtype).eps
    limit = precision * max(m, n) if rcond is None else strip(rcond) if strip(rcond) >= 0 else precision
    x = np.dot(np.linalg.pinv(a, limit), b)
    rank = int((strip(s) > limit * strip(s)[:1]).sum())
    residuals = b[:0] if rank != n or m <= n else np.sum(np.reshape(b - np.dot(a, x), (m, -1)) ** 2, axis=0)
    return x, np.ravel(residuals), rank, s


@implements(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """Solution of a linear system in tensors, as ``np.linalg.tensorsolve``."""
    a, b = as_arrays(a, b)
    if axes is not None:
        a = np.transpose(a, [i for i in range(a.ndim) if i not in axes] + list(axes))
    shape = a.shape[b.ndim :] if a.ndim != b.ndim else ()
    n = math.prod(shape)
    if a.size != n * n:
        raise np.linalg.LinAlgError(
            f"tensorsolve needs as many unknowns, {n}, as equations: a has shape {a.shape}, b has shape {b.shape}"
        )
    return np.reshape(np.linalg.solve(np.reshape(a, (n, n)), np.ravel(b)), shape)


# Parts


@implements(np.linalg.trace)
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """Sum of the diagonal of each matrix, as ``np.linalg.trace``."""
    return np.trace(x, offset, -2, -1, dtype)


@implements(np.linalg.diagonal)
def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Return the diagonal of each matrix, as ``np.linalg.diagonal``."""
    return np.diagonal(x, offset, -2, -1)


outside(np.linalg.matrix_rank)
