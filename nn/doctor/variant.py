"""One step of a model's training, with what an experiment changes about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.doctor.training.compiled import compiled, levelled
from autodiff.state import no_grad
from autodiff.tensor import Tensor
from nn.doctor.told import Told
from nn.layers import Linear
from nn.module import Module, Parameter
from nn.optim.optimizer import Optimizer

#: The size of a change by which a derivative is taken where there is no other way.
_STEP = 1e-6


@dataclass(frozen=True)
class Setting:
    """How a model is trained: all that an experiment may change.

    Attributes
    ----------
    start : {"present", "fresh"}
        Weights drawn like those that the model has, or around zero.
    rate : float
        A factor of the learning rate.
    steady : bool
        Hold the rate at its first value.
    scaled, reshaped, balanced, clean : bool
        Inputs of mean 0 and variance 1; labels of the prediction's shape; classes equally frequent; only samples whose
        numbers are finite.
    biased, bounded : bool
        A bias in every layer; probabilities kept off 0 and 1.
    level : {"", "layers", "clip"}
        Bring the gradients of all parameters to one size, or limit them.
    zeroing, whole, once, joined : bool
        Forget gradients before each step; hold all parameters; hold each once; take derivatives that the graph lacks
        from differences.
    """

    start: str = "present"
    rate: float = 1.0
    steady: bool = False
    scaled: bool = False
    reshaped: bool = False
    balanced: bool = False
    clean: bool = False
    biased: bool = False
    bounded: bool = False
    level: str = ""
    zeroing: bool = True
    whole: bool = False
    once: bool = False
    joined: bool = False


class Variant:
    """Data, step and optimizers of all settings that differ only in start and rate."""

    def __init__(
        self,
        setting: Setting,
        model: Any,
        loss: Callable[[Any, Any], Any],
        samples: tuple[Any, Any],
        parameters: Mapping[str, Tensor],
        told: Told,
        cut: list[Tensor],
    ) -> None:
        self.setting = setting
        self.X, self.y = samples
        self.parameters = dict(parameters)
        self.added: list[tuple[Linear, Parameter]] = []
        for m in bare_layers(model) if setting.biased else ():
            bias = Parameter(np.zeros(m.out_features, m.weight.dtype))
            self.added.append((m, bias))
            self.parameters[f"added {len(self.added)}"] = bias
        self.optimizers = _optimizers(told, self.parameters, setting, [b for _, b in self.added])
        self.loss = _loss(model, loss, setting)
        self.step = _step(self, cut if setting.joined else [])

    def put_biases(self, there: bool) -> None:
        """Give the layers the biases that they lack, or take these away."""
        for m, bias in self.added:
            m.bias = bias if there else None


def bare_layers(model: Any) -> list[Linear]:
    """Return the affine layers without a bias."""
    modules = model.modules() if isinstance(model, Module) else ()
    return [m for m in modules if isinstance(m, Linear) and m.bias is None]


def _loss(model: Any, loss: Callable[[Any, Any], Any], setting: Setting) -> Callable[[Any, Any], Any]:
    bounded = setting.bounded

    def value(x: Any, y: Any) -> Any:
        prediction = model(x)
        return loss(np.clip(prediction, 1e-12, 1 - 1e-12) if bounded else prediction, y)

    return value


def _step(variant: Variant, cut: list[Tensor]) -> Callable[[Any, Any], Any]:
    """Make the step of a variant, as a program where it can be one. What it reaches is small: it is looked at often."""
    setting, loss, parameters = variant.setting, variant.loss, list(variant.parameters.values())
    optimizers = [optimizer for optimizer, _ in variant.optimizers]
    zeroing, level = setting.zeroing, setting.level

    def step(x: Any, y: Any) -> Any:
        if zeroing:
            for p in parameters:
                p.grad = None
        value = loss(x, y)
        value.backward()
        for p in cut:
            p.grad = difference(loss, p, x, y)
        live = [p for p in parameters if p.grad is not None] if level else []
        for p, g in zip(live, levelled([p.grad for p in live], level), strict=True):
            p.grad = g
        for optimizer in optimizers:
            optimizer.step()
        return value

    return step if cut else compiled(step)


def difference(loss: Callable[[Any, Any], Any], p: Tensor, x: Any, y: Any) -> Any:
    """Return the derivative of a loss by a parameter, from differences."""
    slope = np.zeros(p.shape)
    with no_grad():
        here = float(loss(x, y).data)
        for at in np.ndindex(p.shape):
            old = p.data[at]
            p.data[at] = old + _STEP
            slope[at] = (float(loss(x, y).data) - here) / _STEP
            p.data[at] = old
    return slope


def _level(parameters: list[Tensor]) -> None:
    live = [p for p in parameters if p.grad is not None]
    sizes = [np.sqrt(np.mean(np.square(p.grad))) + 1e-30 for p in live]
    largest = sizes[0]
    for size in sizes[1:]:
        largest = np.maximum(largest, size)
    for p, size in zip(live, sizes, strict=True):
        p.grad = p.grad * (largest / size)


def _optimizers(
    told: Told, parameters: Mapping[str, Tensor], setting: Setting, added: list[Parameter]
) -> list[tuple[Optimizer, list[float]]]:
    """Make optimizers like those that trained, each with the first rates of its groups.

    A parameter that one optimizer holds twice gets twice the rate there.
    """
    made: list[tuple[Optimizer, list[float]]] = []
    known = {id(p) for p in parameters.values()}
    seen: set[int] = set()
    for kind, given in told.groups:
        groups = []
        for group in given:
            often: dict[int, tuple[Any, int]] = {}
            for p in group["params"]:
                if id(p) in known and not (setting.once and id(p) in seen):
                    often[id(p)] = p, often.get(id(p), (p, 0))[1] + 1
                if setting.once:
                    seen.add(id(p))
            for times in sorted({n for _, n in often.values()}):
                params = [p for p, n in often.values() if n == times]
                groups.append({**group, "params": params, "lr": group["lr"] * times})
        if groups:
            made.append((kind(groups), [float(group["lr"]) for group in groups]))
    held, new = {id(p) for p in told.held()}, {id(p) for p in added}
    missing = [p for p in parameters.values() if id(p) not in held and (setting.whole or id(p) in new)]
    if missing:
        kind, given = told.groups[0]
        group = {**given[0], "params": missing}
        made.append((kind([group]), [float(group["lr"])]))
    return made
