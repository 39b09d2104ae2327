"""Train a model again as it was trained, or with something changed, and see whether it learns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from autodiff.doctor.training.starts import fresh, like
from autodiff.state import no_grad
from autodiff.tensor import Tensor
from nn.doctor.data import finite_rows
from nn.doctor.kept import reset_buffers, set_mode
from nn.doctor.told import Told
from nn.doctor.variant import Setting, Variant
from nn.optim.optimizer import Optimizer


class Rerun:
    """Trains one model over and over. To be used under `kept`.

    Parameters
    ----------
    model, loss, X, y
        As passed to `diagnose`.
    parameters : dict of str to Tensor
    weights : set of str
        Those that stand in a product.
    told : Told
        How it was trained.
    gain : float
        The scale of weights that are drawn afresh.
    cut : list of Tensor
        Parameters that count in the loss and have no gradient.
    goal, even_goal : float
        The losses below which it has learned: on all samples, and on classes made equally frequent.
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[[Any, Any], Tensor],
        X: Any,
        y: Any,
        parameters: Mapping[str, Tensor],
        weights: set[str],
        told: Told,
        gain: float,
        cut: list[Tensor],
    ) -> None:
        self.model, self.loss, self.X, self.y = model, loss, X, y
        self.parameters, self.weights, self.told, self.gain, self.cut = dict(parameters), weights, told, gain, cut
        self.present = {name: p.data.copy() for name, p in parameters.items()}
        self.prediction_shape: tuple[int, ...] = np.shape(y)
        self.even: Any = None
        self.goal = self.even_goal = 0.0
        self._variants: dict[Setting, Variant] = {}

    def data(self, setting: Setting) -> tuple[Any, Any]:
        """Return the samples and labels of a setting."""
        X, y = self.X, self.y
        if setting.clean:
            rows = finite_rows(X, y)
            X, y = X[rows], y[rows]
        if setting.reshaped:
            y = y.reshape(self.prediction_shape)
        if setting.balanced and self.even is not None:
            X, y = X[self.even], y[self.even]
        if setting.scaled:
            spread = X.std(axis=0)
            X = ((X - X.mean(axis=0)) / np.where(spread == 0, 1, spread)).astype(X.dtype)
        return X, y

    def value(self, x: Any, y: Any) -> Any:
        """Return the loss of the model."""
        return self.loss(self.model(x), y)

    def learns(self, setting: Setting, seed: int, end: float) -> bool | None:
        """Train once; None where the time was up at `end`."""
        variant = self._variant(setting)
        rng = np.random.default_rng(seed)
        variant.put_biases(True)
        try:
            with np.errstate(all="ignore"):
                return self._trained(variant, setting, rng, end)
        except (ValueError, FloatingPointError):  # as written, it may not even run
            return False
        finally:
            variant.put_biases(False)

    def begin(self, start: str, rng: np.random.Generator) -> None:
        """Draw the weights."""
        if start == "present":
            drawn = like(self.present, rng)
        else:
            drawn = fresh({n: p.shape for n, p in self.parameters.items()}, self.weights, self.gain, rng)
        for name, p in self.parameters.items():
            p.data[...] = drawn[name]
            p.data = p.data  # the same array: assigning it says that its contents changed
            p.grad = None
        reset_buffers(self.model)

    def _prepare(self, variant: Variant, setting: Setting, rng: np.random.Generator) -> None:
        self.begin(setting.start, rng)
        for _, bias in variant.added:
            bias.data[...] = 0
            bias.data, bias.grad = bias.data, None
        for optimizer, _ in variant.optimizers:
            _forget(optimizer)

    def _trained(self, variant: Variant, setting: Setting, rng: np.random.Generator, end: float) -> bool | None:
        self._prepare(variant, setting, rng)
        for x, y in self._batches(variant, setting, rng):
            if not np.isfinite(float(variant.step(x, y).data)):
                return False
            if time.monotonic() > end:
                return None
        return self._has_learned(variant)

    def _batches(self, variant: Variant, setting: Setting, rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
        """Yield the batches of all epochs, the optimizers set to the rates of each."""
        told, size = self.told, len(variant.X)
        batch = min(told.batch_size or size, size)
        for epoch in range(told.epochs):
            set_mode(self.model, True)
            factor = setting.rate * (1.0 if setting.steady else told.rate(epoch))
            for optimizer, firsts in variant.optimizers:
                for group, first in zip(optimizer.param_groups, firsts, strict=True):
                    group["lr"] = first * factor
            order = None if batch == size else rng.permutation(size)
            for at in range(0, size, batch):
                rows = slice(None) if order is None else order[at : at + batch]
                yield variant.X[rows], variant.y[rows]

    def breaking(self, setting: Setting, end: float) -> tuple[int, Tensor] | None:
        """Train as it was trained until the loss is not finite; return which step that is, and the loss there."""
        variant = self._variant(setting)
        for seed in range(5):
            when: int | None = None
            for again in (False, True):  # the first time to see when, the second time to stop there
                rng = np.random.default_rng(seed)
                self._prepare(variant, setting, rng)
                for number, (x, y) in enumerate(self._batches(variant, setting, rng)):
                    if again and number == when:
                        return number + 1, variant.loss(x, y)
                    if time.monotonic() > end:
                        return None
                    if not np.isfinite(float(variant.step(x, y).data)):
                        when = number
                        break
                if when is None:
                    break
        return None

    def _has_learned(self, variant: Variant) -> bool:
        set_mode(self.model, False)
        with no_grad():
            if float(variant.loss(variant.X, variant.y).data) < (
                self.even_goal if variant.setting.balanced else self.goal
            ):
                return True
            if self.even is None or variant.setting.balanced:
                return False
            return float(variant.loss(variant.X[self.even], variant.y[self.even]).data) < self.even_goal

    def _variant(self, setting: Setting) -> Variant:
        key = replace(setting, start="", rate=1.0, steady=False)
        if key not in self._variants:
            self._variants[key] = Variant(
                key, self.model, self.loss, self.data(key), self.parameters, self.told, self.cut
            )
        return self._variants[key]


def _forget(optimizer: Optimizer) -> None:
    for slots in optimizer._slots:
        for slot in slots:
            slot.steps = 0
            for buffer in slot.buffers.values():
                buffer[...] = 0
