"""Arithmetic: sums, products, quotients, remainders, signs, and the parts of a floating-point number."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import implements, op, refuse, strip
from autodiff.sample import nonzero, real

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
reciprocal = op(np.reciprocal, lambda g, y, x: -g * y * y, symbol="1/x", formula="−1/x²", samples=[nonzero(2, 3)])

# Quotients rounded to whole numbers, and what is left over

remainder = op(
    np.remainder,
    lambda g, y, a, b: g,
    lambda g, y, a, b: -g * np.floor_divide(a, b),
    symbol="mod",
    formula=("1", "−⌊a/b⌋"),
    samples=[(real(2, 3), nonzero(3))],
)
fmod = op(
    np.fmod,
    lambda g, y, a, b: g,
    # The quotient without its fraction. Taken from the exact remainder: a/b itself may round up to a whole number.
    lambda g, y, a, b: -g * np.rint((strip(a) - strip(y)) / strip(b)),
    formula=("1", "−trunc(a/b)"),
    samples=[(real(2, 3), nonzero(3))],
)


@implements(np.divmod)
def quotient_and_remainder(a: Any, b: Any, /, **options: Any) -> tuple[Any, Any]:
    """Whole quotient (a plain array: its derivative is zero) and remainder, as ``np.divmod``."""
    refuse("divmod", **options)
    return np.floor_divide(a, b), remainder(a, b)


# Signs

absolute = op(np.absolute, lambda g, y, x: g * np.sign(x), symbol="|x|", formula="sign x", samples=[real(2, 3)])
op(np.fabs, lambda g, y, x: g * np.sign(x), symbol="|x|", formula="sign x", samples=[real(2, 3)])
copysign = op(
    np.copysign,
    lambda g, y, a, b: g * (np.sign(a) * np.sign(y)),
    None,
    symbol="|a|·sign b",
    formula="sign a · sign b",
    samples=[(real(2, 3), nonzero(3)), (real(3), -1.0)],
)

# Fraction and whole part, mantissa and exponent

ldexp = op(
    np.ldexp,
    lambda g, y, x, exponent: np.ldexp(g, strip(exponent)),
    None,
    symbol="x·2ⁿ",
    formula="2ⁿ",
    samples=[(real(2, 3), np.array([1, -2, 0])), (real(3), 2)],
)


@implements(np.modf)
def modf(x: Any, /, **options: Any) -> tuple[Any, Any]:
    """Fraction, and whole part as a plain array (its derivative is zero), as ``np.modf``."""
    refuse("modf", **options)
    # The fraction of an infinity is 0, where fmod gives NaN.
    finite = np.where(np.isinf(x), np.copysign(0.0, strip(x)), x)
    return fmod(finite, 1.0), np.modf(strip(x))[1]


@implements(np.frexp)
def frexp(x: Any, /, **options: Any) -> tuple[Any, Any]:
    """Mantissa, and exponent as a plain array of integers, as ``np.frexp``."""
    refuse("frexp", **options)
    exponent = np.frexp(strip(x))[1]
    return ldexp(x, -exponent), exponent
