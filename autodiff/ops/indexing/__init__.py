"""Ops that pick, place and order elements."""

from autodiff.ops.indexing import (
    index,
    interpolation,
    mapping,
    selection,
    sorting,
    writing,
)

__all__ = [
    "index",
    "interpolation",
    "mapping",
    "selection",
    "sorting",
    "writing",
]
