"""Powers and roots."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import as_operand, implements, op, refuse, strip
from autodiff.ops.elementwise.conversion import convert
from autodiff.sample import nonzero, positive, real


def _power_by_base(g: Any, y: Any, a: Any, b: Any) -> Any:
    if isinstance(b, (int, float)):
        return g * (b * a ** (b - 1)) if b not in (0, 1) else g * b * np.ones_like(strip(a))
    # At a = b = 0 the derivative is 0, but a**(b − 1) is infinite: take another power there.
    return g * (b * a ** np.where((strip(b) == 0) & (strip(a) == 0), 1, b - 1))


def _power_by_exponent(g: Any, y: Any, a: Any, b: Any) -> Any:
    base, exponent = strip(a), strip(b)
    # At a = 0 the power is flat in b (for b ≥ 0), though log a is −∞. For a < 0 there is no derivative: NaN, which
    # the logarithm of a negative number would give with a warning that the power itself did not.
    log = np.log(np.where((base == 0) & (exponent >= 0), 1, np.where(base < 0, np.nan, a)))
    return g * y * log


power = op(
    np.power,
    _power_by_base,
    _power_by_exponent,
    symbol="aᵇ",
    formula=("b·aᵇ⁻¹", "aᵇ·ln a"),
    samples=[(positive(2, 3), real(3)), (real(4), 2), (real(2), 3.0)],
)


@implements(np.float_power)
def float_power(a: Any, b: Any, /, **options: Any) -> Any:
    """Power in double precision at least, as ``np.float_power``."""
    refuse("float_power", **options)
    return power(_widened(a), _widened(b))


def _widened(x: Any) -> Any:
    x = as_operand(x)
    return convert(x, np.result_type(x.dtype, np.float64)) if hasattr(x, "dtype") else float(x)


square = op(np.square, lambda g, y, x: g * (2 * x), symbol="x²", formula="2x", samples=[real(2, 3)])
sqrt = op(np.sqrt, lambda g, y, x: g / (2 * y), symbol="√", formula="1/(2√x)", samples=[positive(2, 3)])
cbrt = op(np.cbrt, lambda g, y, x: g / (3 * y * y), symbol="∛", formula="1/(3∛x²)", samples=[nonzero(2, 3)])


def _hypot(g: Any, y: Any, mine: Any) -> Any:
    # At the origin, a kink, the subgradient is 0 and not 0/0.
    return g * (mine / np.where(strip(y) == 0, 1, y))


hypot = op(
    np.hypot,
    lambda g, y, a, b: _hypot(g, y, a),
    lambda g, y, a, b: _hypot(g, y, b),
    symbol="√(a²+b²)",
    formula=("a/y", "b/y"),
    samples=[(nonzero(2, 3), real(3))],
)
