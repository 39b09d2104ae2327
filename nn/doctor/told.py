"""What is known of how a model was trained: epochs, batches, rates, optimizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.tensor import Tensor
from nn.optim.algorithms import SGD, Adam
from nn.optim.optimizer import Optimizer

#: How long a copy is trained where nobody says how long it was.
_EPOCHS = 300
#: What trains where nobody says what did.
_RATE = 0.01


#: Makes an optimizer of groups.
Kind = Callable[[list[dict[str, Any]]], Optimizer]


@dataclass
class Told:
    """How a model was trained.

    Attributes
    ----------
    epochs : int
    batch_size : int or None
        All samples at once where None.
    rates : list of float
        The learning rate of each epoch as a part of the first one.
    groups : list of (callable, list of dict)
        For each optimizer its kind, and its groups with the rate that they began with.
    lr : float or None
        The first rate; None where nobody said what trained it.
    rose : bool
        Whether the loss rose, or left the finite numbers.
    notes : list of str
        What had to be assumed.
    """

    epochs: int
    batch_size: int | None
    rates: list[float]
    groups: list[tuple[Kind, list[dict[str, Any]]]]
    lr: float | None
    rose: bool
    notes: list[str] = field(default_factory=list)

    def rate(self, epoch: int) -> float:
        """Return the rate of an epoch as a part of the first one."""
        return self.rates[min(epoch, len(self.rates) - 1)] if self.rates else 1.0

    def falling(self) -> str:
        """Say how the learning rate fell; empty where it did not."""
        if len(self.rates) < 3 or self.rates[-1] > 0.5:
            return ""
        harmonic = np.allclose([r * (t + 1) for t, r in enumerate(self.rates)], 1.0, rtol=0.05)
        first = self.lr or 0.0
        how = "as 1/t, " if harmonic else ""
        return f"the learning rate falls {how}from {first:g} to {first * self.rates[-1]:.3g}"

    def held(self) -> list[Any]:
        """Return the parameters of all optimizers, each as often as it is held."""
        return [p for _, groups in self.groups for group in groups for p in group["params"]]


def told(
    parameters: list[Tensor], samples: int, history: Any, optimizer: Any, epochs: int | None, batch_size: int | None
) -> Told:
    """Put together what a person has handed over."""
    lrs = [float(lr) for lr in column(history, "lr") if lr]
    steps = getattr(history, "steps", 0)
    if batch_size is None and steps > 1:
        batch_size = -(-samples // steps)
    notes: list[str] = []
    groups = [
        _groups(one, notes) for one in (optimizer if isinstance(optimizer, (list, tuple)) else [optimizer]) if one
    ]
    lr = lrs[0] if lrs else None
    if groups:
        now = float(groups[0][1][0]["lr"])
        for _, members in groups if lrs and now > 0 else ():
            for group in members:
                group["lr"] = group["lr"] * lrs[0] / now
        lr = lr or now
    elif lr is not None:
        groups = [(SGD, [{"params": parameters, "lr": lr}])]
        notes.append("nobody said which optimizer trained it: SGD was taken; pass optimizer=")
    else:
        groups = [(Adam, [{"params": parameters, "lr": _RATE}])]
        notes.append(f"nobody said how it was trained: Adam at {_RATE} was taken; pass optimizer= and history=")
    losses = column(history, "loss")
    count = epochs or len(losses) or _EPOCHS
    rose = bool(losses) and not (losses[-1] is not None and losses[-1] < 1.1 * (losses[0] or np.inf))
    return Told(count, batch_size, [rate / lrs[0] for rate in lrs], groups, lr, rose, notes)


def column(history: Any, name: str) -> list[Any]:
    """Return a column of a history: of a `History`, a mapping of lists, a list of records, or a list of losses."""
    if history is None:
        return []
    if isinstance(history, Mapping) or hasattr(history, "records"):
        try:
            return list(history[name])
        except (KeyError, TypeError):
            return []
    if isinstance(history, Sequence) and history and isinstance(history[0], Mapping):
        return [record[name] for record in history if name in record]
    return list(history) if name == "loss" and hasattr(history, "__iter__") else []


def _groups(optimizer: Any, notes: list[str]) -> tuple[Kind, list[dict[str, Any]]]:
    """Return the kind of an optimizer and copies of its groups."""
    if isinstance(optimizer, Optimizer):
        kind: Any = type(optimizer)
        return kind, [{**group, "params": list(group["params"])} for group in optimizer.param_groups]
    held = getattr(optimizer, "param_groups", None)
    if not held:
        params = getattr(optimizer, "parameters", getattr(optimizer, "params", None))
        params = params() if callable(params) else params
        if params is None:
            raise TypeError(
                f"optimizer= has `param_groups`, `parameters` or `params`, and `lr`; got {type(optimizer).__name__}"
            )
        held = [{"params": list(params)}]
    lr = float(getattr(optimizer, "lr", _RATE))
    notes.append(f"{type(optimizer).__name__} is none of nn.optim's: SGD at its rate took its place")
    return SGD, [{"params": list(group["params"]), "lr": float(group.get("lr", lr))} for group in held]
