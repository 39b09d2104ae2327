"""One step of training as a case: the versions, the loss, the true derivatives and the claims."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.doctor.claims import Claim
from autodiff.doctor.tape import Tape
from autodiff.doctor.trial import Trial
from autodiff.doctor.truth import Truth
from autodiff.doctor.updates import Parameter

#: Relative errors up to here are exact, and up to the second rounding or a small epsilon in a logarithm.
EXACT, NOISE = 1e-7, 1e-4


@dataclass
class Case:
    """A step.

    Attributes
    ----------
    versions : dict of str to int
        The node of each parameter as the step used it, by path.
    claims : dict of str to Claim
        What each update takes the gradient to be.
    truth : Truth or None
        The derivatives of the loss; `doubt` says why there are none.
    loss_name : str or None
        What the loss is called when it is not their own.
    """

    trial: Trial
    parameters: list[Parameter]
    step: int
    mask: int
    depends: list[int]
    versions: dict[str, int]
    claims: dict[str, Claim]
    truth: Truth | None = None
    loss_name: str | None = None
    doubt: str | None = None
    partly: bool = False
    output: int | None = None
    labels: int | None = None
    pairs: list[tuple[int, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    memo: dict[str, Any] = field(default_factory=dict)

    @property
    def tape(self) -> Tape:
        """The run's tape."""
        return self.trial.tape

    def true_gradient(self, path: str) -> Any:
        """Return the true gradient of a parameter; zeros where the loss does not depend on it."""
        version = self.versions[path]
        assert self.truth is not None
        found = self.truth.adjoint.get(version)
        return np.zeros(self.tape[version].value.shape) if found is None else found


def proportion(g: Any, t: Any) -> tuple[float, float]:
    """Return `k` of ``g ≈ k·t`` by least squares, and what is left over, relative to `g`."""
    size, scale = float(np.linalg.norm(g)), float(np.linalg.norm(t))
    if scale < 1e-300 or size < 1e-300:
        return 0.0, 0.0 if size <= 1e-12 and scale <= 1e-12 else 1.0
    k = float(np.sum(g * t)) / scale**2
    return k, float(np.linalg.norm(g - k * t)) / size


def aligned(g: Any, shape: tuple[int, ...]) -> Any:
    """Return `g` in `shape` where numpy would broadcast it without making it larger; else None."""
    if g.shape == shape:
        return g
    if g.size == int(np.prod(shape)) and [n for n in g.shape if n != 1] == [n for n in shape if n != 1]:
        try:
            if np.broadcast_shapes(g.shape, shape) == shape:
                return g.reshape(shape)
        except ValueError:
            return None
    return None


def reduction(value: Any, target: Any) -> tuple[tuple[int, ...], float] | None:
    """Return the axes over which to sum a value to get `k` times the target, and `k`; None where nothing helps."""
    for axes in [(i,) for i in range(value.ndim)] + ([(0, 1)] if value.ndim == 2 else []):
        summed = value.sum(axis=axes)
        if summed.size == target.size and value.size > target.size:
            k, rest = proportion(summed.reshape(target.shape), target)
            if rest <= NOISE and k:
                return axes, k
    return None
