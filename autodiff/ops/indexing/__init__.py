"""Ops that pick, place and order elements."""

from autodiff.ops.indexing import (
    counting,
    index,
    interpolation,
    mapping,
    selection,
    sorting,
    writing,
)

__all__ = [
    "counting",
    "index",
    "interpolation",
    "mapping",
    "selection",
    "sorting",
    "writing",
]
