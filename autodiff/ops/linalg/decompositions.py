"""Decompositions of matrices: eigenvalues, singular values, QR, Cholesky.

Each factor is an op of its own, with its own rule; all factors of one call share one `Factorisation`. The rules are
those of M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation"
(2008), and for QR of S. F. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra functions" (2010).

Vectors that belong to equal eigenvalues or singular values have no derivative, for they can be turned into each
other: their gradient is NaN or infinite there, as PyTorch's is. That of the values themselves is finite everywhere;
their second derivative needs the vectors, and is not.

A symmetric matrix gets a symmetric gradient. Of any other one, numpy reads a triangle, and the gradient goes there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.op import implements, op, strip
from autodiff.ops.linalg.unfit import matrices, squares
from autodiff.ops.operands import as_array, eye, mT
from autodiff.sample import regular, sample

# numpy's own types for what it returns; other arrays' libraries may return plain tuples.
_Eigh = type(np.linalg.eigh(np.ones((1, 1))))
_Svd = type(np.linalg.svd(np.ones((1, 1))))


class Factorisation:
    """A function of an array that keeps its last result, for the several ops that each take one part of it."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self._function = function
        self._options = options
        self._last: tuple[Any, Any] | None = None
        self.__name__ = function.__name__  # for pictures

    def of(self, a: Any) -> Any:
        """Return the factorisation of `a`; compared by value, so that it can never be that of another matrix."""
        last = self._last
        if last is None or not np.array_equal(last[0], a):
            last = self._last = a.copy(), self._function(a, **self._options)
        return last[1]

    def part(self, a: Any, i: int) -> Any:
        """Return a copy of one part: who takes it may change it in place."""
        return self.of(a)[i].copy()


# Symmetric matrices


def symmetric(a: Any, triangle: str = "L") -> Any:
    """Return the symmetric matrix that numpy reads from a triangle of `a`: `a` itself where it is symmetric."""
    if triangle.upper() not in ("L", "U"):
        raise ValueError(f"UPLO is 'L' or 'U', got {triangle!r}")
    a = as_array(a)
    data = strip(a)
    if not _is_square(data) or np.array_equal(data, mT(data)):
        return a
    return mirrored(a if triangle.upper() == "L" else mT(a))


def mirrored(a: Any) -> Any:
    """Return the lower triangle of `a`, and its mirror image above the diagonal."""
    return np.where(np.tri(a.shape[-1], dtype=bool, like=strip(a)), a, mT(a))


def _is_square(a: Any) -> bool:
    return bool(a.ndim > 1 and a.shape[-1] == a.shape[-2])


def _symmetrised(a: Any) -> Any:
    """Make the ops below true functions of all elements of a matrix that is symmetric anyway."""
    return (a + mT(a)) / 2 if _is_square(a) else a  # numpy refuses the latter


def _gaps(values: Any) -> Any:
    """How far the j-th value lies above the i-th; 1 on the diagonal, where nothing is divided."""
    return values[..., None, :] - values[..., :, None] + eye(values.shape[-1], values)


def _skew(x: Any) -> Any:
    return x - mT(x)


def _eigenvalues_rule(g: Any, y: Any, a: Any, shared: Any = None) -> Any:
    v = eigenvectors(a, shared=shared)
    return (v * g[..., None, :]) @ mT(v)


def _eigenvectors_rule(g: Any, y: Any, a: Any, shared: Any = None) -> Any:
    shared = shared or Factorisation(np.linalg.eigh)
    with np.errstate(divide="ignore", invalid="ignore"):
        return y @ (_skew(mT(y) @ g) / (2 * _gaps(eigenvalues(a, shared=shared)))) @ mT(y)


eigenvalues = op(
    lambda a, shared=None: shared.part(_symmetrised(a), 0) if shared else np.linalg.eigvalsh(_symmetrised(a)),
    _eigenvalues_rule,
    explain=squares("eigh"),
    name="eigenvalues",
    symbol="λ",
    formula="V·diag(g)·Vᵀ",
    samples=[regular(3, 3), regular(2, 2, 2)],
)
eigenvectors = op(
    lambda a, shared=None: (shared or Factorisation(np.linalg.eigh)).part(_symmetrised(a), 1),
    _eigenvectors_rule,
    explain=squares("eigh"),
    name="eigenvectors",
    symbol="V",
    formula="V·(Vᵀg / (λⱼ − λᵢ))·Vᵀ",
    samples=[regular(3, 3), regular(2, 2, 2)],
)


@implements(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues and eigenvectors of a symmetric matrix, as ``np.linalg.eigh``."""
    a, shared = symmetric(a, UPLO), Factorisation(np.linalg.eigh)
    return _Eigh(eigenvalues(a, shared=shared), eigenvectors(a, shared=shared))


@implements(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues of a symmetric matrix, as ``np.linalg.eigvalsh``."""
    return eigenvalues(symmetric(a, UPLO))


def _cholesky(a: Any, upper: bool = False) -> Any:
    lower = np.linalg.cholesky(_symmetrised(a))  # CuPy's knows no other
    return mT(lower) if upper else lower


def _cholesky_rule(g: Any, y: Any, a: Any, upper: bool = False) -> Any:
    lower, g = (mT(y), mT(g)) if upper else (y, g)
    diagonal = eye(a.shape[-1], a).astype(a.dtype)
    inner = np.tril(mT(lower) @ g) * (1 - diagonal / 2)
    half = np.linalg.solve(mT(lower), mT(np.linalg.solve(mT(lower), inner)))
    return (half + mT(half)) / 2


_cholesky_op = op(
    _cholesky,
    _cholesky_rule,
    explain=squares("cholesky", "of the columns of `a` it takes their products, `a.T @ a`"),
    name="cholesky",
    formula="sym(L⁻ᵀ·low(Lᵀg)·L⁻¹)",
    samples=[regular(3, 3), sample(regular(2, 2, 2), upper=True)],
)


@implements(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """Cholesky factor of a positive definite matrix, as ``np.linalg.cholesky``."""
    return _cholesky_op(symmetric(a, "U" if upper else "L"), upper=upper)


@implements(np.linalg.eig, np.linalg.eigvals)
def eig(a: Any) -> Any:
    """Refuse: eigenvalues of a general matrix are complex."""
    raise NotImplementedError(
        "np.linalg.eig and eigvals are not differentiated: their results may be complex. For a symmetric matrix "
        "write np.linalg.eigh(a) or np.linalg.eigvalsh(a); pass `a.data` when no gradient is wanted"
    )


# Singular values


def _singular_values_rule(g: Any, y: Any, a: Any, shared: Any = None) -> Any:
    shared = shared or _svd_of(False)
    k = y.shape[-1]
    return (left_vectors(a, shared=shared)[..., :k] * g[..., None, :]) @ right_vectors(a, shared=shared)[..., :k, :]


def _vectors_rule(g: Any, u: Any, s: Any, vh: Any) -> Any:
    """The gradient by A = U·S·Vᵀ of the vectors U, of which there may be more than singular values."""
    k = s.shape[-1]
    g1, u1, vh = g[..., :k], u[..., :k], vh[..., :k, :]
    projected = mT(u1) @ g1
    sums = np.where(eye(k, s), 1, s[..., None, :] + s[..., :, None])
    squares = _gaps(s) * sums  # the differences of two squares, written so that they keep their precision
    with np.errstate(divide="ignore", invalid="ignore"):
        result = u1 @ (_skew(projected) / squares * s[..., None, :])
        if u.shape[-2] > k:
            outside = g1 - u1 @ projected
            if u.shape[-1] > k:
                # The further vectors turn against the first ones, to stay orthogonal to them.
                outside = outside - u[..., k:] @ (mT(g[..., k:]) @ u1)
            result = result + outside / s[..., None, :]
        return result @ vh


def _left_rule(g: Any, y: Any, a: Any, full: bool = False, shared: Any = None) -> Any:
    shared = shared or _svd_of(full)
    return _vectors_rule(g, y, singular_values(a, shared=shared), right_vectors(a, full=full, shared=shared))


def _right_rule(g: Any, y: Any, a: Any, full: bool = False, shared: Any = None) -> Any:
    shared = shared or _svd_of(full)
    return mT(
        _vectors_rule(mT(g), mT(y), singular_values(a, shared=shared), mT(left_vectors(a, full=full, shared=shared)))
    )


def _svd_of(full: bool) -> Factorisation:
    return Factorisation(np.linalg.svd, full_matrices=full)


singular_values = op(
    lambda a, shared=None: shared.part(a, 1) if shared else np.linalg.svd(a, compute_uv=False),
    _singular_values_rule,
    explain=matrices("svd"),
    name="singular_values",
    symbol="σ(A)",
    formula="U·diag(g)·Vᵀ",
    samples=[regular(3, 2), regular(2, 2, 3)],
)
left_vectors = op(
    lambda a, full=False, shared=None: (shared or _svd_of(full)).part(a, 0),
    _left_rule,
    explain=matrices("svd"),
    name="left_vectors",
    symbol="U",
    formula="U·(skew(Uᵀg) / (σⱼ² − σᵢ²))·S·Vᵀ",
    samples=[regular(3, 2), regular(2, 2, 3), regular(3, 3)],
)
right_vectors = op(
    lambda a, full=False, shared=None: (shared or _svd_of(full)).part(a, 2),
    _right_rule,
    name="right_vectors",
    symbol="Vᵀ",
    formula="U·S·(skew(Vᵀgᵀ) / (σⱼ² − σᵢ²))·Vᵀ",
    samples=[regular(3, 2), regular(2, 2, 3), regular(3, 3)],
)


@implements(np.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """Singular value decomposition, as ``np.linalg.svd``."""
    a = as_array(a)
    if hermitian:
        return _svd_of_symmetric(a, compute_uv)
    if not compute_uv:
        return singular_values(a)
    shared = _svd_of(full_matrices)
    return _Svd(
        left_vectors(a, full=full_matrices, shared=shared),
        singular_values(a, shared=shared),
        right_vectors(a, full=full_matrices, shared=shared),
    )


@implements(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """Singular values, as ``np.linalg.svdvals``."""
    return singular_values(as_array(x))


def _svd_of_symmetric(a: Any, compute_uv: bool) -> Any:
    w, v = np.linalg.eigh(a) if compute_uv else (np.linalg.eigvalsh(a), None)
    order = np.argsort(np.abs(strip(w)), axis=-1)[..., ::-1]
    w = np.take_along_axis(w, order, axis=-1)
    if v is None:
        return np.abs(w)
    u = np.take_along_axis(v, order[..., None, :], axis=-1)
    vh = mT(u * np.copysign(1, strip(w))[..., None, :])
    return _Svd(u, np.abs(w), vh)
