"""Diagonals and triangles of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import as_operand, implements, op, refuse, strip
from autodiff.ops.indexing.index import scatter
from autodiff.sample import real, sample


def _diagonal_rule(g: Any, y: Any, x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    steps = np.arange(g.shape[-1], like=strip(g))
    rest = [n for i, n in enumerate(x.shape) if i not in (axis1 % x.ndim, axis2 % x.ndim)]
    place = (..., steps + max(-offset, 0), steps + max(offset, 0))
    last = scatter(g, index=place, shape=(*rest, x.shape[axis1], x.shape[axis2]))
    return np.moveaxis(last, (-2, -1), (axis1, axis2))


diagonal = op(
    np.diagonal,
    _diagonal_rule,
    view=True,
    formula="1 on the diagonal",
    samples=[
        sample(real(3, 3)),
        sample(real(2, 3), offset=1),
        sample(real(2, 3, 4), offset=-1, axis1=-1, axis2=0),
    ],
)
_diag_op = op(
    np.diag,
    lambda g, y, x, k=0: np.diagonal(g, k),
    formula="diagonal of g",
    samples=[sample(real(3)), sample(real(2), k=-1)],
)


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """Make a diagonal matrix of a vector, or extract the diagonal of a matrix, as ``np.diag``."""
    return np.diagonal(v, k) if v.ndim == 2 else _diag_op(v, k=k)


@implements(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """Make a diagonal matrix of all elements, as ``np.diagflat``."""
    return _diag_op(np.ravel(as_operand(v)), k=k)


@implements(np.linalg.diagonal)
def linalg_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """Extract the diagonals of the matrices in the last two axes, as ``np.linalg.diagonal``."""
    return np.diagonal(x, offset, -2, -1)


@implements(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    """Sum along a diagonal, as ``np.trace``."""
    refuse("trace", out=out)
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


tril = op(
    np.tril,
    lambda g, y, x, k=0: np.tril(g, k),
    formula="[row ≥ column]",
    samples=[sample(real(3, 3)), sample(real(2, 2, 3), k=1), sample(real(3), k=-1)],
)
triu = op(
    np.triu,
    lambda g, y, x, k=0: np.triu(g, k),
    formula="[row ≤ column]",
    samples=[sample(real(3, 3)), sample(real(2, 2, 3), k=-1), sample(real(3), k=1)],
)
