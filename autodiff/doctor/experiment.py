"""Train again with one thing changed, from many starts, and count how often it learns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Values = dict[str, Any]
Gradient = Callable[[Values], tuple[float, Values]]


@dataclass
class Setting:
    """How to train: all that a counterfactual may change."""

    gradient: Gradient
    rate: Callable[[int], float]
    start: Callable[[np.random.Generator], Values]
    changes: tuple[str, ...] = ()


@dataclass
class Outcome:
    """How many of the starts that were tried have learned, and the losses they ended on."""

    learned: int = 0
    tried: int = 0
    losses: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The part that learned."""
        return self.learned / self.tried if self.tried else 0.0

    def __str__(self) -> str:
        return f"{self.learned}/{self.tried} learn"


def attempt(setting: Setting, steps: int, goal: float, seeds: int, end: float) -> Outcome:
    """Train from `seeds` starts, until `end`; a run has learned when its loss falls below `goal`."""
    outcome = Outcome()
    for seed in range(seeds):
        if time.monotonic() > end:
            break
        loss = descend(setting, steps, goal, seed, end)
        if loss is None:
            break
        outcome.tried += 1
        outcome.learned += loss < goal
        outcome.losses.append(loss)
    return outcome


def descend(setting: Setting, steps: int, goal: float, seed: int, end: float = np.inf) -> float | None:
    """Return the last loss of one run; None where the time was up."""
    values = setting.start(np.random.default_rng(seed))
    loss = np.inf
    below = 0
    with np.errstate(all="ignore"):
        for step in range(steps):
            try:
                loss, gradients = setting.gradient(values)
            except (ValueError, FloatingPointError):
                return np.inf
            if not np.isfinite(loss):
                return np.inf
            below = below + 1 if loss < goal else 0
            if below > 20:
                return loss
            if step % 200 == 199 and time.monotonic() > end:
                return None
            rate = setting.rate(step)
            values = {p: v - rate * gradients[p] for p, v in values.items()}
    return loss


def like(values: Values) -> Callable[[np.random.Generator], Values]:
    """Return what draws parameters as these seem to have been drawn: constants stay, ranges stay."""

    def draw(rng: np.random.Generator) -> Values:
        found = {}
        for path, value in values.items():
            value = np.asarray(value, dtype=float)
            if value.size == 1 or np.ptp(value) == 0:
                found[path] = value.copy()
            elif value.min() >= 0 or value.max() <= 0:
                low, high = (0.0, max(value.max(), 1e-12)) if value.min() >= 0 else (value.min(), 0.0)
                top = 1.0 if 0.5 < high <= 1 else high
                found[path] = rng.uniform(low, top, value.shape)
            else:
                found[path] = rng.normal(0.0, value.std(), value.shape)
        return found

    return draw


def centred(values: Values) -> Callable[[np.random.Generator], Values]:
    """Return what draws weights around zero, with the variance 1/fan-in, and sets biases to zero."""

    def draw(rng: np.random.Generator) -> Values:
        found = {}
        for path, value in values.items():
            shape = np.shape(value)
            matrix = len([n for n in shape if n > 1]) > 1 or (len(shape) == 2 and 1 not in shape[:1])
            found[path] = rng.normal(0.0, 1.0, shape) if matrix or len(shape) == 2 else np.zeros(shape)
        return found

    return draw
