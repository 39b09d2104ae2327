"""Ops on each element alone: arithmetic, powers, exponentials, trigonometry, choices."""

from autodiff.ops.elementwise import (
    arithmetic,
    bessel,
    choices,
    conversion,
    exponentials,
    facts,
    powers,
    trigonometry,
)

__all__ = [
    "arithmetic",
    "bessel",
    "choices",
    "conversion",
    "exponentials",
    "facts",
    "powers",
    "trigonometry",
]
