"""A model that may be ill, and whether it is better than a constant answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.doctor.training.answer import Cause, Prognosis
from autodiff.doctor.training.constant import constant
from autodiff.doctor.training.symptoms import Symptom
from autodiff.op import strip
from autodiff.tensor import Tensor
from nn.doctor import data
from nn.doctor.kept import modes_on, noisy, set_mode
from nn.module import Module

#: A training is ill whose loss is at least this part of a constant answer's, and has learned below that part.
ILL, LEARNED = 0.95, 0.5
#: How often a model is asked that says something else each time.
_PASSES = 20


@dataclass
class Case:
    """A model that may be ill, and what was seen of it.

    Attributes
    ----------
    grads : list
        The gradients that the parameters came with.
    constant : float
        The loss of the best constant answer.
    error : str
        What the loss raises, if it does.
    unlike : str
        How the labels' shape differs, if it does.
    adding : bool
        Whether a step adds to the gradients before it.
    """

    model: Any
    loss: Callable[[Any, Any], Tensor]
    X: Any
    y: Any
    parameters: dict[str, Tensor]
    grads: list[Any]
    constant: float = 0.0
    prediction: Any = None
    error: str = ""
    unlike: str = ""
    adding: bool = False
    present: list[Symptom] = field(default_factory=list)

    @property
    def labels(self) -> Any:
        """The labels, in the shape of the prediction where theirs is a mistake."""
        return self.y.reshape(self.prediction.shape) if self.unlike else self.y

    def value(self) -> Tensor:
        """Compute the loss once more, with labels that fit."""
        return self.loss(self.model(self.X), self.labels)


def named(model: Any) -> dict[str, Tensor]:
    if isinstance(model, Module):
        found: dict[str, Tensor] = dict(model.named_parameters())
    else:
        held = list(model.parameters()) if hasattr(model, "parameters") else []
        found = {getattr(p, "name", None) or f"parameter {i}": p for i, p in enumerate(held)}
    if not found or not all(isinstance(p, Tensor) for p in found.values()):
        raise TypeError(
            f"diagnose() takes a model whose parameters() are Tensors, got {type(model).__name__}; for hand-written "
            "training write doctor.prognosis(net.train, X, y, epochs)"
        )
    return found


def gate(case: Case) -> Prognosis:
    """Compare with a constant answer; look no further where the model is better."""
    case.prediction = strip(case.model(case.X))
    case.unlike = data.unlike(case.prediction, case.y)
    final = float("nan")
    try:
        repeats = 5 if noisy(case.model, case.X) else 1
        final = float(np.mean([float(strip(case.loss(case.model(case.X), case.y))) for _ in range(repeats)]))
    except ValueError as error:
        if not case.unlike:
            raise
        case.error = str(error)
    if case.unlike and not case.error and float(strip(case.value())) == final:
        case.unlike = ""  # the loss sees to it
    rows = data.finite_rows(case.X, case.y)
    case.constant = constant(case.prediction[rows], case.loss, case.labels[rows])
    told = f"the loss is {final:.4g}, a constant answer has {case.constant:.4g}"
    if case.error:
        return Prognosis(f"It does not train: the loss raises {case.error}", True)
    if case.constant < 1e-9:
        return Prognosis("All labels are the same: there is nothing to learn.", False)
    if np.isfinite(final) and final < ILL * case.constant:
        return Prognosis(f"It learns: {told}.", False)
    answer = Prognosis(f"It does not learn: {told}.", True)
    if modes_on(case.model) and noisy(case.model, case.X):
        _drops(answer, case)
    return answer


def _drops(answer: Prognosis, case: Case) -> None:
    """Compare the model with its dropout on and off: the weights as they are, many times each."""
    better = [0, 0]
    for i, training in enumerate((True, False)):
        set_mode(case.model, training)
        losses = [float(strip(case.value())) for _ in range(_PASSES)]
        better[i] = sum(loss < ILL * case.constant for loss in losses)
    if better[1] > 0.8 * _PASSES > better[0] * 2:
        seen = f"it is in training mode, its dropout on; in evaluation mode the loss is {losses[-1]:.4g}"
        proof = f"as written {better[0]}/{_PASSES} passes are better than a constant answer; after model.eval() "
        answer.findings.append(Cause("dropout_on", seen, f"{proof}{better[1]}/{_PASSES}"))
