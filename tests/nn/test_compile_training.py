"""Training with a compiled step: the loss and all that is learnt, beside the same steps uncompiled."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nn
from autodiff import no_grad
from autodiff.compile import compile
from nn import (
    MLP,
    BatchNorm1d,
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    Dropout,
    LayerNorm,
    Linear,
    MSELoss,
    Sequential,
    optim,
)
from nn.optim import SGD, Adam, clip_grad_norm, clip_grad_value
from tests.nn.beside import OPTIMIZERS, Batch, Training, beside, regression


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str, dtype: Any) -> None:
    beside(lambda: Training(MLP([3, 5, 2], seed=0, dtype=dtype), None, OPTIMIZERS[name]), regression(dtype))


def test_large_parameters_are_updated_in_parts() -> None:
    """Above the optimizers' block size."""
    model = lambda: MLP([3, 70000, 2], seed=0, dtype=np.float32)
    beside(lambda: Training(model(), None, lambda p: Adam(p, lr=1e-4)), regression(np.float32, steps=5))


@pytest.mark.parametrize("optimizer", [lambda p: SGD(p, lr=0.1, momentum=0.9), lambda p: Adam(p, lr=0.01)])
def test_parameters_are_updated_together_however_many_recordings_came_first(optimizer: Any) -> None:
    """The first one, which makes the buffers, holds no array any more, without the garbage collector's help."""
    model = MLP([3, 5, 1], seed=0)
    training = optimizer(model.parameters())

    @compile
    def step(x: Any, y: Any) -> Any:
        training.zero_grad()
        loss = BCEWithLogitsLoss()(model(x), y)
        loss.backward()
        training.step()
        return loss

    gc.disable()
    try:
        for _ in range(4):
            step(np.ones((4, 3)), np.ones((4, 1)))
    finally:
        gc.enable()
    assert len({id(p.data.base) for p in model.parameters()}) == 1


SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "StepLR": lambda o: optim.StepLR(o, 3, gamma=0.5),
    "ExponentialLR": lambda o: optim.ExponentialLR(o, 0.9),
    "CosineAnnealingLR": lambda o: optim.CosineAnnealingLR(o, 5, eta_min=0.001),
    "LambdaLR": lambda o: optim.LambdaLR(o, lambda epoch: 0.95**epoch),
    "ReduceLROnPlateau": lambda o: optim.ReduceLROnPlateau(o, patience=1),
}


@pytest.mark.parametrize("optimizer", ["SGD Nesterov", "AdamW", "RMSprop all", "groups"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name: str, optimizer: str) -> None:
    def make() -> Training:
        training = Training(optimizer=OPTIMIZERS[optimizer])
        training.scheduler = SCHEDULES[name](training.optimizer)
        return training

    def between(training: Training, number: int, loss: Any) -> None:
        if number % 4 == 3:
            training.scheduler.step(*([loss.item()] if name == "ReduceLROnPlateau" else []))

    beside(make, regression(steps=60), between)


def test_every_setting_may_change_on_the_way() -> None:
    def between(training: Training, number: int, loss: Any) -> None:
        group = training.optimizer.param_groups[0]
        if number == 10:
            group["betas"] = (0.7, 0.9)
        if number == 20:
            group["weight_decay"] = 0.1
        if number == 30:
            group["eps"] = 1e-3
        if number == 40:
            group["amsgrad"] = True

    beside(lambda: Training(optimizer=OPTIMIZERS["Adam"]), regression(), between, recordings=5)


CLIPS: dict[str, Callable[[Any], Any]] = {
    "norm": lambda p: clip_grad_norm(p, 0.5),
    "norm 1": lambda p: clip_grad_norm(p, 1.0, 1.0),
    "norm 3": lambda p: clip_grad_norm(p, 0.5, 3.0),
    "norm inf": lambda p: clip_grad_norm(p, 0.2, math.inf),
    "norm, finite": lambda p: clip_grad_norm(p, 0.5, error_if_nonfinite=True),
    "value": lambda p: clip_grad_value(p, 0.1),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", CLIPS)
def test_clipping(name: str, dtype: Any) -> None:
    """Batches are scaled so that some gradients are clipped and some are not."""

    class Clipped(Training):
        def after_backward(self) -> None:
            self.norm = CLIPS[name](self.model.parameters())

        def step(self, x: Any, *target: Any) -> Any:
            loss = super().step(x, *target)
            return loss if self.norm is None else loss + self.norm

    scaled = [(x * (1 + i % 7), y * (1 + i % 5)) for i, (x, y) in enumerate(regression(dtype))]
    beside(lambda: Clipped(MLP([3, 5, 2], seed=0, dtype=dtype), None, OPTIMIZERS["SGD momentum"]), scaled)


def _targets(kind: str) -> list[Batch]:
    rng = np.random.default_rng(2)
    batches: list[Batch] = []
    for x, y in regression(steps=30):
        p = rng.dirichlet([1, 1], len(x))
        target = {"real": y, "unit": p, "classes": rng.integers(0, 2, len(x)), "probabilities": p}[kind]
        batches.append((x, target, rng.uniform(0.5, 1.5, len(x))))
    return batches


LOSSES = [(MSELoss, "real"), (BCELoss, "unit"), (BCEWithLogitsLoss, "unit"), (CrossEntropyLoss, "classes"),
          (CrossEntropyLoss, "probabilities")]  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("loss", "kind"), LOSSES)
def test_losses(loss: Any, kind: str, reduction: str, weighted: bool) -> None:
    class Reduced(Training):
        def step(self, x: Any, y: Any, weight: Any) -> Any:
            self.optimizer.zero_grad()
            out = self.model(x)
            losses = self.criterion(out, y, weight) if weighted else self.criterion(out, y)
            losses.sum().backward()
            self.optimizer.step()
            return losses

    output = "sigmoid" if loss is BCELoss else None
    make = lambda: Reduced(MLP([3, 4, 2], output=output, seed=0), loss(reduction=reduction))
    beside(make, _targets(kind))


def test_pos_weight() -> None:
    beside(lambda: Training(criterion=BCEWithLogitsLoss(pos_weight=[2.0, 0.5])), [b[:2] for b in _targets("unit")])


LAYERS: dict[str, Callable[[Any], Any]] = {
    "no bias": lambda d: Linear(4, 4, bias=False, seed=3, dtype=d),
    "LayerNorm": lambda d: LayerNorm(4, dtype=d),
    "LayerNorm plain": lambda d: LayerNorm(4, elementwise_affine=False),
    "LayerNorm no bias": lambda d: LayerNorm(4, bias=False, dtype=d),
    "BatchNorm1d": lambda d: BatchNorm1d(4, dtype=d),
    "BatchNorm1d average": lambda d: BatchNorm1d(4, momentum=None, dtype=d),
    "BatchNorm1d plain": lambda d: BatchNorm1d(4, affine=False, dtype=d),
    "BatchNorm1d untracked": lambda d: BatchNorm1d(4, track_running_stats=False, dtype=d),
    "Dropout": lambda d: Dropout(0.4, seed=5),
    "Dropout all": lambda d: Dropout(1.0, seed=5),
    "Dropout none": lambda d: Dropout(0.0, seed=5),
    **{name: (lambda d, name=name: nn.activations.as_module(name)) for name in nn.activations._NAMED},
    "Activation": lambda d: nn.activations.Activation(np.sin),
    "shared generator": lambda d: _two_dropouts(),
}


def _two_dropouts() -> Any:
    rng = np.random.default_rng(7)
    return Sequential(Dropout(0.2, seed=rng), Dropout(0.3, seed=rng))


def _layered(name: str, dtype: Any = np.float64) -> Training:
    model = Sequential(Linear(3, 4, seed=0, dtype=dtype), LAYERS[name](dtype), Linear(4, 2, seed=1, dtype=dtype))
    return Training(model, None, OPTIMIZERS["SGD Nesterov"])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, dtype: Any) -> None:
    compiled = beside(lambda: _layered(name, dtype), regression(dtype, steps=40))
    assert "recorded" not in repr(compiled._function.__self__.model.state_dict())


def test_batch_norm_in_three_dimensions() -> None:
    model = lambda: Sequential(BatchNorm1d(3, momentum=None), Linear(5, 2, seed=0))
    rng = np.random.default_rng(0)
    beside(lambda: Training(model()), [(rng.normal(size=(4, 3, 5)), rng.normal(size=(4, 3, 2))) for _ in range(30)])


# What changes between the steps


@pytest.mark.parametrize("name", ["Dropout", "BatchNorm1d", "BatchNorm1d average"])
def test_switching_to_evaluation_and_back(name: str) -> None:
    def between(training: Training, number: int, loss: Any) -> None:
        training.model.train(number % 7 < 4)

    beside(lambda: _layered(name), regression(), between)


def test_evaluation_of_the_model_in_between() -> None:
    """Uncompiled, on the same parameters; and compiled, as a function of its own."""
    x = np.random.default_rng(3).normal(size=(6, 3))

    def between(training: Training, number: int, loss: Any) -> None:
        if not hasattr(training, "predict"):
            training.outputs, training.predict = [], compile(training.model)
        training.model.eval()
        with no_grad():
            plain, fast = training.model(x).data, training.predict(x).data
        np.testing.assert_allclose(fast, plain, rtol=1e-12)
        training.model.train()

    beside(lambda: _layered("BatchNorm1d"), regression(steps=30), between, recordings=4)


def test_freezing_and_thawing() -> None:
    def between(training: Training, number: int, loss: Any) -> None:
        training.model.layers[0].weight.requires_grad = number % 10 >= 5

    beside(lambda: Training(optimizer=OPTIMIZERS["SGD momentum"]), regression(), between, recordings=4)


def test_a_layer_is_replaced() -> None:
    def between(training: Training, number: int, loss: Any) -> None:
        if number in (20, 50):
            training.model.layers[2] = Linear(5, 2, seed=number)
            training.optimizer = SGD(training.model.parameters(), lr=0.1, momentum=0.9)

    beside(lambda: Training(optimizer=OPTIMIZERS["SGD momentum"]), regression(), between, recordings=6)


def test_an_activation_is_replaced() -> None:
    def between(training: Training, number: int, loss: Any) -> None:
        if number == 20:
            training.model.layers[1] = nn.Tanh()
        if number == 40:
            training.criterion.reduction = "sum"

    beside(Training, regression(), between, recordings=5)


@pytest.mark.parametrize("optimizer", ["SGD momentum", "Adam", "RMSprop"])
def test_states_are_loaded(optimizer: str) -> None:
    def between(training: Training, number: int, loss: Any) -> None:
        if number == 10:
            training.saved = training.model.state_dict(), training.optimizer.state_dict()
        if number in (30, 31, 60):
            training.model.load_state_dict(training.saved[0])
            training.optimizer.load_state_dict(training.saved[1])

    beside(lambda: Training(optimizer=OPTIMIZERS[optimizer]), regression(), between, recordings=6)


def test_parameters_are_assigned() -> None:
    rng = np.random.default_rng(4)
    new = rng.normal(size=(5, 3))

    def between(training: Training, number: int, loss: Any) -> None:
        weight = training.model.layers[0].weight
        if number == 10:
            weight.data = new.copy()
        if number == 20:
            weight.data[...] *= 0.5
        if number == 30:
            weight.data -= 0.1
        if number == 40:
            weight.data = np.asfortranarray(new)
        if number == 50:
            training.model.layers[0].bias.grad = np.ones(5)

    beside(lambda: Training(optimizer=OPTIMIZERS["Adam"]), regression(), between, recordings=6)


def test_the_last_batch_is_smaller() -> None:
    batches = [(x[:2], y[:2]) if i % 5 == 4 else (x, y) for i, (x, y) in enumerate(regression())]
    beside(lambda: _layered("BatchNorm1d"), batches, recordings=4)
