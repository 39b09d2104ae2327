"""Ops that move elements without changing them: shapes, joining, splitting, padding."""

from autodiff.ops.shaping import (
    diagonals,
    editing,
    joining,
    padding,
    ranges,
    rearranging,
    shapes,
    splitting,
)

__all__ = [
    "diagonals",
    "editing",
    "joining",
    "padding",
    "ranges",
    "rearranging",
    "shapes",
    "splitting",
]
