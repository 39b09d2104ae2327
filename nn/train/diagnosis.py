"""Say where a training run that went to NaN or Inf left the finite numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.engine import first_nonfinite
from autodiff.tensor import Tensor
from nn.module import Module


class TrainingDiverged(ArithmeticError):  # noqa: N818 - it says what happened
    """The loss or a weight is no longer finite.

    Attributes
    ----------
    epoch, batch : int
        Where it was noticed, counted from 1.
    tensor : Tensor or None
        The first result that is not finite, with its op, operands and layer; None when the data or a weight
        was not finite to begin with.
    parameter : str or None
        The name of the weight that is not finite.
    """

    def __init__(
        self, message: str, epoch: int, batch: int, tensor: Tensor | None = None, parameter: str | None = None
    ) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.batch = batch
        self.tensor = tensor
        self.parameter = parameter


def diverged(
    model: Module,
    loss: Tensor,
    data: dict[str, Any],
    *,
    what: str,
    epoch: int,
    batch: int,
    place: str,
    lr: float,
) -> TrainingDiverged:
    """Explain a loss that is not finite, from its graph.

    Parameters
    ----------
    model : Module
        Whose weights are looked at.
    loss : Tensor
        The value, its graph still whole.
    data : dict of str to array
        All samples and targets by name, to find one that was never finite.
    what, place : str
        "loss" or "validation loss", and "epoch 3 of 10, batch 2 of 5".
    epoch, batch : int
        The same in numbers.
    lr : float
        The learning rate, for the advice.
    """
    start = f"the {what} became {_spell(loss.data)} in {place}"
    for name, array in data.items():
        position = nonfinite_position(array)
        if position is not None:
            index = ", ".join(map(str, position))
            return TrainingDiverged(
                f"{start}, because {name}[{index}] is {array[position]}: the data must be finite",
                epoch,
                batch,
            )
    weight = nonfinite_weight(model)
    if weight is not None:
        name, sentence = weight
        return TrainingDiverged(
            f"{start}, because {sentence} already: an earlier update went wrong; {advice(lr)}",
            epoch,
            batch,
            parameter=name,
        )
    tensor = first_nonfinite(loss)
    if tensor is None or tensor.op is None:
        return TrainingDiverged(f"{start}; {advice(lr)}", epoch, batch, tensor)
    return TrainingDiverged(f"{start}: {_origin(tensor)}; {advice(lr)}", epoch, batch, tensor)


def nonfinite_weight(model: Module) -> tuple[str, str] | None:
    """Name the first weight or buffer that is not finite, and say so: ``"parameter '0.weight' … holds NaN"``."""
    for kind, entries in (("parameter", model.named_parameters()), ("buffer", model.named_buffers())):
        for name, entry in entries:
            array = entry.data if isinstance(entry, Tensor) else entry
            position = nonfinite_position(array)
            if position is not None:
                return name, f"{kind} {name!r} of shape {array.shape} holds {_spell(array[position])}"
    return None


def nonfinite_position(array: Any) -> tuple[int, ...] | None:
    """Return the index of the first element that is NaN or infinite; None for integers and finite arrays."""
    if array.dtype.kind not in "fc":
        return None
    finite = np.isfinite(array)
    if finite.all():
        return None
    flat = int(np.argmin(finite.reshape(-1)))
    return tuple(int(i) for i in np.unravel_index(flat, array.shape))


def _origin(tensor: Tensor) -> str:
    """Name the op that made the first non-finite result, its layer, and what it was given."""
    op = tensor.op
    assert op is not None
    layer = f" in {'.'.join(tensor.scope)}" if tensor.scope else ""
    operands = [x.data if isinstance(x, Tensor) else x for x in tensor.inputs or ()]
    arrays = [x if hasattr(x, "__array_function__") else np.asarray(x) for x in operands]
    given = ", ".join(
        f"shape {x.shape} with values from {float(x.min()):.4g} to {float(x.max()):.4g}"
        for x in arrays
        if x.size and x.dtype.kind in "biuf"
    )
    data = tensor.data
    bad = int((~np.isfinite(data)).sum())
    count = f" in {bad} of {data.size} elements" if data.size > 1 else ""
    return (
        f"the first result that is not finite is that of {op.name}{layer}, of shape {tensor.shape}: "
        f"{_spell(data)}{count}, from operands of {given}"
    )


def _spell(array: Any) -> str:
    return "NaN" if bool(np.isnan(array).any()) else "infinite"


def advice(lr: float) -> str:
    """Return what a person may try who trained with this learning rate."""
    return f"try a smaller learning rate than {lr:g}, or clip_norm=1.0"
