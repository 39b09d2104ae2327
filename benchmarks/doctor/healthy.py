"""Prove that a patient is healthy: its update must be that of the finite differences of its own loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from case import Array, Case, quiet

STEP = 1e-5


def gap(case: Case) -> float:
    """Return the largest relative difference between the patient's updates and those of its differenced loss.

    Every update of the call is followed: the gradient of each is taken where the one before it led.
    """
    before = case.read()

    def gradient(values: list[Any], batch: tuple[Any, ...]) -> list[Array]:
        return differences(case, values, batch)

    if case.expected is not None:
        right = case.expected(before, gradient)
    else:
        right = before
        for batch in case.steps:
            right = [v - case.rate * g for v, g in zip(right, gradient(right, batch), strict=True)]
    case.write(before)
    after = case.after()
    moves = [(np.subtract(r, b), np.subtract(a, b)) for r, a, b in zip(right, after, before, strict=True)]
    return max(float(np.linalg.norm(got - want) / (np.linalg.norm(want) + 1e-12)) for want, got in moves)


def differences(case: Case, values: list[Any], batch: tuple[Any, ...]) -> list[Array]:
    """Return the central differences of the patient's loss on `batch` at `values`."""
    gradients = []
    for i, value in enumerate(values):
        g = np.zeros(np.shape(value))
        for at in np.ndindex(g.shape):
            sides = []
            for sign in (1, -1):
                moved = np.array(value, dtype=float)
                moved[at] += sign * STEP
                case.write([*values[:i], moved, *values[i + 1 :]])
                with quiet():
                    sides.append(float(case.cost(*batch)))
            g[at] = (sides[0] - sides[1]) / (2 * STEP)
        gradients.append(g)
    return gradients
