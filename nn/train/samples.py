"""Samples and targets as a model takes them, and their batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from autodiff.tensor import Tensor
from nn.data import batches
from nn.module import Module

Pair = tuple[Any, Any]


class Samples:
    """Samples and targets as arrays of the dtype of a model's parameters.

    Attributes
    ----------
    X, y : array
        Of one length along the first axis.
    names : tuple of str
        What messages call them.
    size, steps : int
        How many samples and how many batches there are.
    """

    def __init__(self, model: Module, X: Any, y: Any, batch_size: int | None, names: tuple[str, str]) -> None:
        dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float64))
        self.names = names
        self.X = _as_array(X, names[0])
        self.y = _as_array(y, names[1])
        if self.X.dtype != dtype:
            self.X = self.X.astype(dtype)
        if self.y.dtype != dtype and self.y.dtype.kind == "f":
            self.y = self.y.astype(dtype)
        shapes = f"{names[0]} of shape {self.X.shape} and {names[1]} of shape {self.y.shape}"
        if not self.X.ndim or not self.y.ndim or len(self.X) != len(self.y):
            raise ValueError(f"{shapes} must have one length along the first axis: one target per sample")
        self.size = len(self.X)
        if self.size == 0:
            raise ValueError(f"{shapes} hold no samples")
        if batch_size is None:
            batch_size = self.size
        elif isinstance(batch_size, bool) or not hasattr(batch_size, "__index__") or batch_size < 1:
            raise ValueError(f"batch_size must be an integer of at least 1, got {batch_size!r}")
        self.batch_size = min(batch_size, self.size)
        self.steps = -(-self.size // self.batch_size)

    def batches(self, rng: np.random.Generator | None) -> Iterable[Pair]:
        """Give the batches, shuffled when there is a generator."""
        if self.steps == 1:
            return ((self.X, self.y),)
        return batches(self.X, self.y, self.batch_size, rng is not None, rng)

    def kinds(self) -> Iterator[Pair]:
        """Give one batch of each shape that `batches` gives, as it gives them."""
        if self.steps == 1:
            yield self.X, self.y
            return
        for size in dict.fromkeys((self.batch_size, self.size % self.batch_size or self.batch_size)):
            yield self.X[:size].copy(), self.y[:size].copy()


def _as_array(values: Any, name: str) -> Any:
    """Take the array out of a Tensor, or make one of a list or a table."""
    if isinstance(values, Tensor):
        values = values.data
    if not hasattr(values, "__array_function__"):
        try:
            values = np.asarray(values)
        except ValueError as error:
            raise ValueError(f"{name} is no array of numbers: {error}") from None
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {values.dtype}")
    return values
