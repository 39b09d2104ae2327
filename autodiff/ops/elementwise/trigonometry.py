"""Trigonometric and hyperbolic functions, their inverses, and angles.

The derivatives of the inverses avoid ``1 + x²`` and ``1 − x²``, which overflow or cancel before the derivative does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from autodiff.op import handlers, op, strip
from autodiff.sample import Draw, nonzero, real, unit

sin = op(np.sin, lambda g, y, x: g * np.cos(x), formula="cos x", samples=[real(2, 3)])
cos = op(np.cos, lambda g, y, x: -g * np.sin(x), formula="−sin x", samples=[real(2, 3)])
tan = op(np.tan, lambda g, y, x: g * (1 + y * y), formula="1 + tan²x", samples=[unit(2, 3)])


def _arcsin(g: Any, y: Any, x: Any) -> Any:
    return g / np.sqrt((1 - x) * (1 + x))


arcsin = op(np.arcsin, _arcsin, formula="1/√(1−x²)", samples=[unit(2, 3)])
arccos = op(np.arccos, lambda g, y, x: -_arcsin(g, y, x), formula="−1/√(1−x²)", samples=[unit(2, 3)])


def _arctan(g: Any, y: Any, x: Any) -> Any:
    h = np.hypot(x, 1)
    return g / h / h


arctan = op(np.arctan, _arctan, formula="1/(1+x²)", samples=[real(2, 3)])


def _per_square(g: Any, side: Any, a: Any, b: Any) -> Any:
    """``g · side / (a² + b²)``, and 0 at the origin."""
    h = np.hypot(a, b)
    h = np.where(strip(h) == 0, 1, h)
    return g * (side / h / h)


arctan2 = op(
    np.arctan2,
    lambda g, y, a, b: _per_square(g, b, a, b),
    lambda g, y, a, b: -_per_square(g, a, a, b),
    symbol="∠(b, a)",
    formula=("b/(a²+b²)", "−a/(a²+b²)"),
    samples=[(real(2, 3), nonzero(3))],
)

sinh = op(np.sinh, lambda g, y, x: g * np.cosh(x), formula="cosh x", samples=[real(2, 3)])
cosh = op(np.cosh, lambda g, y, x: g * np.sinh(x), formula="sinh x", samples=[real(2, 3)])
tanh = op(np.tanh, lambda g, y, x: g * (1 - y * y), formula="1 − tanh²x", samples=[real(2, 3)])
arcsinh = op(np.arcsinh, lambda g, y, x: g / np.hypot(x, 1), formula="1/√(x²+1)", samples=[real(2, 3)])
arccosh = op(
    np.arccosh,
    lambda g, y, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)),
    formula="1/√(x²−1)",
    samples=[Draw((2, 3), lambda rng, size: 1.2 + rng.uniform(0, 2, size))],
)
arctanh = op(np.arctanh, lambda g, y, x: g / ((1 - x) * (1 + x)), formula="1/(1−x²)", samples=[unit(2, 3)])

deg2rad = op(np.deg2rad, lambda g, y, x: np.deg2rad(g), symbol="π/180", formula="π/180", samples=[real(2, 3)])
rad2deg = op(np.rad2deg, lambda g, y, x: np.rad2deg(g), symbol="180/π", formula="180/π", samples=[real(2, 3)])
handlers[np.radians] = deg2rad
handlers[np.degrees] = rad2deg


#: The Taylor coefficients of sinc′ in x, x³, x⁵, …: those of Σ (−1)ᵏ (πx)²ᵏ/(2k+1)!, differentiated.
_SINC_SERIES = [(-1) ** k * 2 * k * math.pi ** (2 * k) / math.factorial(2 * k + 1) for k in range(1, 12)]


def _sinc(g: Any, y: Any, x: Any) -> Any:
    """(cos πx − sinc x)/x, and near 0, where that cancels, its series, so that all higher derivatives are right."""
    near = np.abs(strip(x)) < 0.25
    small, large = np.where(near, x, 0), np.where(near, 1, x)
    square = small * small
    series: Any = 0
    for coefficient in reversed(_SINC_SERIES):
        series = series * square + coefficient
    return g * np.where(near, series * small, (np.cos(math.pi * large) - y) / large)


sinc = op(np.sinc, _sinc, formula="(cos πx − sinc x)/x", samples=[real(2, 3)])
