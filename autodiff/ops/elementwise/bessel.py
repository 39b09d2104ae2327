"""The modified Bessel function of order 0, numpy's ``i0``, and those of higher order, which its derivatives need."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.op import Op, op
from autodiff.sample import real, sample

# Up to here the power series, all of whose terms have one sign, is summed; beyond it the asymptotic one.
_FAR = 25.0


def _scaled(x: Any, order: int) -> Any:
    size = np.abs(x)
    z = size * np.float32(1)  # in float16 the exponential of _FAR overflows
    # Abramowitz & Stegun 9.6.10: Σ (z/2)²ᵏ/(k!(n + k)!), over 2ⁿ.
    near = np.minimum(z, _FAR) / 2
    term = total = np.full_like(near, 0.5**order / math.factorial(order))
    for k in range(1, 50):
        term = term * (near * near / (k * (order + k)))
        total = total + term
    # Abramowitz & Stegun 9.7.1: eᶻ/√(2πz) · (1 − (4n² − 1)/(8z) + …).
    far = np.maximum(z, _FAR)
    term = tail = np.ones_like(far)
    for k in range(1, 25):
        term = term * ((2 * k - 1) ** 2 - 4 * order**2) / (8 * k * far)
        tail = tail + term
    beyond = np.exp(far) / np.sqrt(2 * math.pi * far) * tail / far**order
    return np.where(z > _FAR, beyond, total).astype(size.dtype)


#: Iₙ(x)/xⁿ. Dividing leaves nothing that cancels near 0, and derivatives that are of the same kind.
scaled_bessel: Op = op(
    _scaled,
    lambda g, y, x, order: g * (x * scaled_bessel(x, order=order + 1)),
    name="scaled_bessel",
    symbol="Iₙ(x)/xⁿ",
    formula="Iₙ₊₁(x)/xⁿ",
    samples=[sample(real(2, 3), order=1), sample(real(2, 3), order=2)],
)
i0 = op(np.i0, lambda g, y, x: g * (x * scaled_bessel(x, order=1)), symbol="I₀", formula="I₁(x)", samples=[real(2, 3)])
