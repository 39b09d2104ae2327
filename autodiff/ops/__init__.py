"""The ops: declarations only. Importing this package registers them all."""

from autodiff.ops import activations, elementwise, indexing, linalg, reductions, shaping

__all__ = ["activations", "elementwise", "indexing", "linalg", "reductions", "shaping"]
