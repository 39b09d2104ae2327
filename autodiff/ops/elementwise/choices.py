"""Choices between elements: the larger, the smaller, by a condition, within limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import as_operand, implements, op, refuse, strip
from autodiff.sample import boolean, positive, real


def _larger(g: Any, mine: Any, other: Any) -> Any:
    """The part of `g` for the operand that was chosen; a tie is shared equally, and NaN, which wins, gets all."""
    mine, other = strip(mine), strip(other)
    return np.where(mine < other, 0, np.where(mine == other, 0.5 * g, g))


def _smaller(g: Any, mine: Any, other: Any) -> Any:
    mine, other = strip(mine), strip(other)
    return np.where(mine > other, 0, np.where(mine == other, 0.5 * g, g))


def _if_number(g: Any, mine: Any) -> Any:
    """`g`, but 0 for NaN, which loses this choice."""
    return np.where(np.isnan(strip(mine)), 0, g)


_against = [(real(2, 3), 0.0), (real(2, 3), positive(3))]

maximum = op(
    np.maximum,
    lambda g, y, a, b: _larger(g, a, b),
    lambda g, y, a, b: _larger(g, b, a),
    symbol="max",
    formula=("[a > b]", "[b > a]"),
    samples=_against,
)
minimum = op(
    np.minimum,
    lambda g, y, a, b: _smaller(g, a, b),
    lambda g, y, a, b: _smaller(g, b, a),
    symbol="min",
    formula=("[a < b]", "[b < a]"),
    samples=_against,
)
fmax = op(
    np.fmax,
    lambda g, y, a, b: _if_number(_larger(g, a, b), a),
    lambda g, y, a, b: _if_number(_larger(g, b, a), b),
    symbol="max",
    formula=("[a > b]", "[b > a]"),
    samples=_against,
)
fmin = op(
    np.fmin,
    lambda g, y, a, b: _if_number(_smaller(g, a, b), a),
    lambda g, y, a, b: _if_number(_smaller(g, b, a), b),
    symbol="min",
    formula=("[a < b]", "[b < a]"),
    samples=_against,
)
_heaviside_op = op(
    np.heaviside,
    None,
    lambda g, y, x, middle: np.where(strip(x) == 0, g, 0),
    formula="[x = 0]",
    samples=[(np.array([[-1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]), real(3))],
)


@implements(np.heaviside)
def heaviside(x: Any, middle: Any, /, **options: Any) -> Any:
    """The unit step, as ``np.heaviside``; only `middle`, its value at 0, has a derivative."""
    refuse("heaviside", **options)
    return _heaviside_op(strip(x), as_operand(middle))


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
def clip(a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, **limits: Any) -> Any:
    """Limit the elements to an interval, as ``np.clip``; the gradient passes where they are inside or on its ends."""
    low, high = limits.pop("min", a_min), limits.pop("max", a_max)
    return _clip_op(a, low, high, out=out, **limits)
