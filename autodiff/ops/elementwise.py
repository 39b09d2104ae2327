"""Elementwise ops: arithmetic, exponentials, trigonometry, choices between elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import implements, op, outside, strip
from autodiff.sample import boolean, nonzero, positive, real, sample, unit

add = op(
    np.add,
    lambda g, y, a, b: g,
    lambda g, y, a, b: g,
    symbol="+",
    formula=("1", "1"),
    samples=[(real(2, 3), real(3)), (real(2, 1), real(1, 3))],
)
subtract = op(
    np.subtract,
    lambda g, y, a, b: g,
    lambda g, y, a, b: -g,
    symbol="−",
    formula=("1", "−1"),
    samples=[(real(2, 3), real(3)), (real(), real(2, 2))],
)
multiply = op(
    np.multiply,
    lambda g, y, a, b: g * b,
    lambda g, y, a, b: g * a,
    symbol="×",
    formula=("b", "a"),
    samples=[(real(2, 3), real(3)), (real(2, 1), real(1, 3))],
)
divide = op(
    np.divide,
    lambda g, y, a, b: g / b,
    lambda g, y, a, b: -g * y / b,
    symbol="÷",
    formula=("1/b", "−a/b²"),
    samples=[(real(2, 3), nonzero(3)), (real(3), nonzero(2, 1))],
)
negative = op(np.negative, lambda g, y, x: -g, symbol="−", formula="−1", samples=[real(2, 3)])
op(np.positive, lambda g, y, x: g, symbol="+", formula="1", samples=[real(2, 3)])
remainder = op(
    np.remainder,
    lambda g, y, a, b: g,
    lambda g, y, a, b: -g * np.floor_divide(a, b),
    symbol="mod",
    formula=("1", "−⌊a/b⌋"),
    samples=[(real(2, 3), nonzero(3))],
)


def _power_by_base(g: Any, y: Any, a: Any, b: Any) -> Any:
    if isinstance(b, (int, float)):
        return g * (b * a ** (b - 1)) if b not in (0, 1) else g * b * np.ones_like(strip(a))
    # Where b is 0 the derivative is 0, but a**(b − 1) is infinite at a = 0: take another power there.
    return g * (b * a ** np.where(strip(b) == 0, 1, b - 1))


def _power_by_exponent(g: Any, y: Any, a: Any, b: Any) -> Any:
    # At a = 0 the power is flat in b (for b > 0), though log a is −∞.
    return g * y * np.log(np.where(strip(a) == 0, 1, a))


power = op(
    np.power,
    _power_by_base,
    _power_by_exponent,
    symbol="aᵇ",
    formula=("b·aᵇ⁻¹", "aᵇ·ln a"),
    samples=[(positive(2, 3), real(3)), (real(4), 2), (real(2), 3.0)],
)
square = op(np.square, lambda g, y, x: g * (2 * x), symbol="x²", formula="2x", samples=[real(2, 3)])
sqrt = op(np.sqrt, lambda g, y, x: g / (2 * y), symbol="√", formula="1/(2√x)", samples=[positive(2, 3)])
exp = op(np.exp, lambda g, y, x: g * y, formula="eˣ", samples=[real(2, 3)])
expm1 = op(np.expm1, lambda g, y, x: g * (y + 1), symbol="eˣ−1", formula="eˣ", samples=[real(2, 3)])
log = op(np.log, lambda g, y, x: g / x, symbol="ln", formula="1/x", samples=[positive(2, 3)])
log1p = op(np.log1p, lambda g, y, x: g / (1 + x), symbol="ln(1+x)", formula="1/(1+x)", samples=[unit(2, 3)])
sin = op(np.sin, lambda g, y, x: g * np.cos(x), formula="cos x", samples=[real(2, 3)])
cos = op(np.cos, lambda g, y, x: -g * np.sin(x), formula="−sin x", samples=[real(2, 3)])
tanh = op(np.tanh, lambda g, y, x: g * (1 - y * y), formula="1 − tanh²x", samples=[real(2, 3)])
absolute = op(np.absolute, lambda g, y, x: g * np.sign(x), symbol="|x|", formula="sign x", samples=[real(2, 3)])
logaddexp = op(
    np.logaddexp,
    lambda g, y, a, b: g * np.exp(a - y),
    lambda g, y, a, b: g * np.exp(b - y),
    formula=("eᵃ/(eᵃ+eᵇ)", "eᵇ/(eᵃ+eᵇ)"),
    samples=[(real(2, 3), real(3))],
)


def _chosen(g: Any, mine: Any, other: Any, better: np.ufunc) -> Any:
    """The part of `g` for the operand that was chosen; a tie is shared equally."""
    mine, other = strip(mine), strip(other)
    return np.where(better(mine, other), g, np.where(mine == other, 0.5 * g, 0))


maximum = op(
    np.maximum,
    lambda g, y, a, b: _chosen(g, a, b, np.greater),
    lambda g, y, a, b: _chosen(g, b, a, np.greater),
    symbol="max",
    formula=("[a > b]", "[b > a]"),
    samples=[(real(2, 3), 0.0), (real(2, 3), positive(3))],
)
minimum = op(
    np.minimum,
    lambda g, y, a, b: _chosen(g, a, b, np.less),
    lambda g, y, a, b: _chosen(g, b, a, np.less),
    symbol="min",
    formula=("[a < b]", "[b < a]"),
    samples=[(real(2, 3), 0.0), (real(2, 3), positive(3))],
)
_where_op = op(
    np.where,
    None,
    lambda g, y, condition, a, b: np.where(strip(condition), g, 0),
    lambda g, y, condition, a, b: np.where(strip(condition), 0, g),
    symbol="where",
    formula=("[c]", "[not c]"),
    samples=[(boolean(2, 3), real(2, 3), real(3))],
)


@implements(np.where)
def where(condition: Any, *branches: Any) -> Any:
    """Choose between two operands, as ``np.where``; without them, the indices where the condition holds."""
    if len(branches) == 1:
        raise ValueError("np.where takes a condition alone, or with both operands to choose from; got one of them")
    return _where_op(condition, *branches) if branches else np.nonzero(strip(condition))


def _clip(x: Any, a_min: Any = None, a_max: Any = None) -> Any:
    return np.clip(x, a_min, a_max)


def _above(x: Any, low: Any) -> Any:
    return True if low is None else strip(x) >= strip(low)


def _below(x: Any, high: Any) -> Any:
    return True if high is None else strip(x) <= strip(high)


_clip_op = op(
    _clip,
    lambda g, y, x, low, high: np.where(_above(x, low) & _below(x, high), g, 0),
    lambda g, y, x, low, high: np.where(_above(x, low), 0, g),
    lambda g, y, x, low, high: np.where(_below(x, high), 0, g),
    name="clip",
    formula=("[low ≤ x ≤ high]", "[x < low]", "[x > high]"),
    samples=[
        (real(2, 3), -0.5, 0.5),
        (real(2, 3), None, 0.6),
        (real(2, 3), -0.5, None),
        (real(4, 3), np.array([-0.9, -0.2, 0.3]), np.array([0.4, 0.9, 1.1])),
    ],
)


@implements(np.clip)
def clip(a: Any, a_min: Any = None, a_max: Any = None, **limits: Any) -> Any:
    """Limit the elements to an interval, as ``np.clip``; the gradient passes where they are inside or on its ends."""
    return _clip_op(a, limits.pop("min", a_min), limits.pop("max", a_max), **limits)


astype = op(
    lambda x, dtype: x.astype(dtype),
    lambda g, y, x, dtype: g,  # the engine converts a gradient to its tensor's dtype
    name="astype",
    formula="1",
    samples=[sample(real(2, 3), dtype=np.float64)],
)


@implements(np.astype)
def convert(x: Any, dtype: Any, /, *, copy: bool = True, **unused: Any) -> Any:
    """Convert the elements, as ``np.astype``; to a type without derivatives, the plain array."""
    return astype(x, dtype=dtype) if np.dtype(dtype).kind in "fc" else strip(x).astype(dtype)


outside(
    np.equal,
    np.not_equal,
    np.less,
    np.less_equal,
    np.greater,
    np.greater_equal,
    np.logical_and,
    np.logical_or,
    np.logical_xor,
    np.logical_not,
    np.sign,
    np.floor,
    np.ceil,
    np.rint,
    np.trunc,
    np.floor_divide,
    np.signbit,
    np.isnan,
    np.isinf,
    np.isfinite,
    np.isclose,
    np.allclose,
    np.array_equal,
    np.shape,
    np.ndim,
    np.size,
    np.result_type,
    np.can_cast,
    np.zeros_like,
    np.ones_like,
    np.empty_like,
    np.array_repr,
    np.array_str,
    np.array2string,
    np.iscomplexobj,
    np.isrealobj,
    np.shares_memory,
    np.may_share_memory,
)
