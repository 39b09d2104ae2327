"""Exponentials and logarithms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.op import op, strip
from autodiff.ops.activations import sigmoid
from autodiff.sample import positive, real, unit

_LN2 = math.log(2)
_LN10 = math.log(10)

exp = op(np.exp, lambda g, y, x: g * y, formula="eˣ", samples=[real(2, 3)])
exp2 = op(np.exp2, lambda g, y, x: g * (y * _LN2), symbol="2ˣ", formula="2ˣ·ln 2", samples=[real(2, 3)])
expm1 = op(np.expm1, lambda g, y, x: g * (y + 1), symbol="eˣ−1", formula="eˣ", samples=[real(2, 3)])
log = op(np.log, lambda g, y, x: g / x, symbol="ln", formula="1/x", samples=[positive(2, 3)])
log2 = op(np.log2, lambda g, y, x: g / (x * _LN2), formula="1/(x·ln 2)", samples=[positive(2, 3)])
log10 = op(np.log10, lambda g, y, x: g / (x * _LN10), formula="1/(x·ln 10)", samples=[positive(2, 3)])
log1p = op(np.log1p, lambda g, y, x: g / (1 + x), symbol="ln(1+x)", formula="1/(1+x)", samples=[unit(2, 3)])


def difference(mine: Any, other: Any) -> Any:
    """Mine minus the other; 0 for two equal infinities, which so share the gradient."""
    a, b = strip(mine), strip(other)
    tied = np.isinf(a) & (a == b)
    return np.where(tied, 0, mine) - np.where(tied, 0, other) if tied.any() else mine - other


logaddexp = op(
    np.logaddexp,
    lambda g, y, a, b: g * sigmoid(difference(a, b)),
    lambda g, y, a, b: g * sigmoid(difference(b, a)),
    formula=("eᵃ/(eᵃ+eᵇ)", "eᵇ/(eᵃ+eᵇ)"),
    samples=[(real(2, 3), real(3))],
)
logaddexp2 = op(
    np.logaddexp2,
    lambda g, y, a, b: g * sigmoid(difference(a, b) * _LN2),
    lambda g, y, a, b: g * sigmoid(difference(b, a) * _LN2),
    formula=("2ᵃ/(2ᵃ+2ᵇ)", "2ᵇ/(2ᵃ+2ᵇ)"),
    samples=[(real(2, 3), real(3))],
)
