"""QR decomposition: an orthogonal and a triangular factor, each an op of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import implements, op, strip
from autodiff.ops.linalg.decompositions import Factorisation, mirrored
from autodiff.ops.linalg.unfit import matrices
from autodiff.ops.operands import as_array, mT
from autodiff.sample import regular, sample

#: numpy's own type for both factors.
_Qr = type(np.linalg.qr(np.ones((1, 1))))


def _q_rule(g: Any, y: Any, a: Any, mode: str = "reduced", shared: Any = None) -> Any:
    shared = shared or _qr_of(mode)
    return _rule(g, None, y, r_factor(a, mode=mode, shared=shared), a)


def _r_rule(g: Any, y: Any, a: Any, mode: str = "reduced", shared: Any = None) -> Any:
    shared = shared or _qr_of(mode)
    return _rule(None, g, q_factor(a, mode=mode, shared=shared), y, a)


def _rule(gq: Any, gr: Any, q: Any, r: Any, a: Any) -> Any:
    """The gradient by A = Q·R, from that by Q and that by R (S. F. Walter and L. Lehmann 2010)."""
    m, n = a.shape[-2:]
    k = min(m, n)
    r = r[..., :k, :k]
    if q.shape[-1] > k:
        if gq is not None:
            # The columns that complete Q turn against the first ones, to stay orthogonal to them.
            gq = gq[..., :k] - q[..., k:] @ (mT(gq[..., k:]) @ q[..., :k])
        q = q[..., :k]
    inner = 0
    if gr is not None:
        inner = r @ mT(gr[..., :k, :k])
        if n > m:
            gq = a[..., m:] @ mT(gr[..., m:])
    if gq is not None:
        inner = inner - mT(gq) @ q
    total = q @ mirrored(inner) if gq is None else gq + q @ mirrored(inner)
    result = mT(np.linalg.solve(r, mT(total)))
    if n == k:
        return result
    rest = np.zeros_like(a[..., m:]) if gr is None else q @ gr[..., m:]
    return np.concatenate([result, rest], axis=-1)


def _qr_of(mode: str) -> Factorisation:
    return Factorisation(np.linalg.qr, mode=mode)


q_factor = op(
    lambda a, mode="reduced", shared=None: (shared or _qr_of(mode)).part(a, 0),
    _q_rule,
    explain=matrices("qr"),
    name="q_factor",
    symbol="Q",
    formula="(g + Q·copyltu(−gᵀQ))·R⁻ᵀ",
    samples=[regular(3, 3), regular(4, 2), regular(2, 2, 3)],
)
r_factor = op(
    lambda a, mode="reduced", shared=None: (shared or _qr_of(mode)).part(a, 1),
    _r_rule,
    explain=matrices("qr"),
    name="r_factor",
    symbol="R",
    formula="Q·copyltu(R·gᵀ)·R⁻ᵀ",
    samples=[regular(3, 3), regular(4, 2), regular(2, 2, 3), sample(regular(4, 2), mode="complete")],
)


@implements(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """QR decomposition, as ``np.linalg.qr``; of matrices whose first columns are linearly independent."""
    a = as_array(a)
    if mode == "r":
        return r_factor(a)
    if mode not in ("reduced", "complete"):
        np.linalg.qr(strip(a), mode)  # type: ignore[call-overload]  # which says what is wrong with any but numpy's own modes
        raise NotImplementedError(f"np.linalg.qr(mode={mode!r}) is not differentiated; write mode='reduced'")
    shared = _qr_of(mode)
    q = q_factor(a, mode=mode, shared=shared)
    return _Qr(q, r_factor(a, mode=mode, shared=shared))
