"""Sample operands: what an op declares so that its tests can be generated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Draw:
    """An array to be drawn later: a shape and where its values lie."""

    shape: tuple[int, ...]
    values: Callable[[np.random.Generator, int], Any]
    real: bool = True

    def __call__(self, rng: np.random.Generator) -> np.ndarray[Any, Any]:
        """Draw the array. Real values are all distinct, so that no two of them tie in a maximum."""
        size = int(np.prod(self.shape, dtype=int))
        return np.asarray(self.values(rng, size)).reshape(self.shape)


@dataclass(frozen=True)
class Sample:
    """One call of an op: its operands (a `Draw` each, or constants) and its parameters."""

    operands: tuple[Any, ...]
    params: dict[str, Any] = field(default_factory=dict)

    def draw(self, rng: np.random.Generator) -> tuple[Any, ...]:
        """Return the operands with every `Draw` made into an array."""
        return tuple(x(rng) if isinstance(x, Draw) else x for x in self.operands)


def sample(*operands: Any, **params: Any) -> Sample:
    """Describe one call of an op: ``sample(real(2, 3), axis=0)``."""
    return Sample(operands, params)


def as_sample(entry: Any) -> Sample:
    """Accept ``real(3)``, ``(real(3), real(3))`` or ``sample(...)`` in a declaration."""
    if isinstance(entry, Sample):
        return entry
    return Sample(entry if isinstance(entry, tuple) else (entry,))


def _spread(low: float, high: float) -> Callable[[np.random.Generator, int], Any]:
    def values(rng: np.random.Generator, size: int) -> Any:
        step = (high - low) / max(size, 1)
        # One value in the middle half of each of `size` equal cells: random, yet never close to a tie.
        return low + step * (rng.permutation(size) + rng.uniform(0.25, 0.75, size))

    return values


def real(*shape: int) -> Draw:
    """Real numbers of both signs, distinct, none within 0.02 of zero."""
    spread = _spread(-1.7, 1.9)
    return Draw(shape, lambda rng, size: (lambda x: x + np.where(x < 0, -0.02, 0.02))(spread(rng, size)))


def positive(*shape: int) -> Draw:
    """Numbers between 0.3 and 2.5, distinct."""
    return Draw(shape, _spread(0.3, 2.5))


def nonzero(*shape: int) -> Draw:
    """Numbers of both signs, between 0.4 and 2 in absolute value."""
    spread = _spread(0.4, 2.0)
    return Draw(shape, lambda rng, size: spread(rng, size) * rng.choice([-1.0, 1.0], size))


def unit(*shape: int) -> Draw:
    """Numbers strictly between 0 and 1, distinct."""
    return Draw(shape, _spread(0.05, 0.95))


def regular(*shape: int) -> Draw:
    """Matrices close to a diagonal of 1, 2, 3, …: invertible, positive definite, all eigenvalues far apart."""

    def values(rng: np.random.Generator, size: int) -> Any:
        diagonal = np.zeros(shape[-2:])
        np.fill_diagonal(diagonal, 1 + np.arange(min(shape[-2:])))
        return rng.uniform(-0.25, 0.25, shape) + diagonal

    return Draw(shape, values)


def boolean(*shape: int) -> Draw:
    """Truth values, for conditions."""
    return Draw(shape, lambda rng, size: rng.random(size) < 0.5, real=False)
