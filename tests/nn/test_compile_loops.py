"""Training loops as people write them, compiled: several optimizers, accumulated gradients, and plain numpy by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodiff import Tensor, value_and_grad
from autodiff.compile import compile
from nn import MLP, BCEWithLogitsLoss, MSELoss
from nn.optim import SGD, Adam, clip_grad_norm
from tests.nn.beside import OPTIMIZERS, Training, alike, beside, regression


@pytest.mark.parametrize("optimizer", ["SGD", "SGD Nesterov", "AdamW", "RMSprop all"])
def test_gradients_add_up(optimizer: str) -> None:
    """Nothing is zeroed inside, and now and then outside."""

    class Accumulating(Training):
        def step(self, x: Any, y: Any) -> Any:
            loss = self.criterion(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            return loss

    def between(training: Training, number: int, loss: Any) -> None:
        if number % 4 == 3:
            training.optimizer.zero_grad()

    beside(lambda: Accumulating(optimizer=OPTIMIZERS[optimizer]), regression(steps=40), between, recordings=4)
    beside(lambda: Accumulating(optimizer=lambda p: SGD(p, lr=1e-3)), regression(steps=40))


def test_zero_grad_outside() -> None:
    class Left(Training):
        def step(self, x: Any, y: Any) -> Any:
            loss = self.criterion(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            return loss

    beside(lambda: Left(optimizer=OPTIMIZERS["Adam"]), regression(), lambda t, i, loss: t.model.zero_grad())


def test_several_backward_passes_before_one_update() -> None:
    class Micro(Training):
        def step(self, x: Any, y: Any) -> Any:
            self.optimizer.zero_grad()
            total = 0.0
            for rows in (slice(0, 2), slice(2, 4)):
                loss = self.criterion(self.model(x[rows]), y[rows]) / 2
                loss.backward()
                total = total + loss.detach()
            clip_grad_norm(self.model.parameters(), 0.5)
            self.optimizer.step()
            return total

    beside(lambda: Micro(optimizer=OPTIMIZERS["SGD momentum"]), regression())


def test_backward_and_update_compiled_apart() -> None:
    """One compiled function leaves the gradients, another uses them."""
    mine, theirs = (Training(optimizer=OPTIMIZERS["Adam"]) for _ in range(2))

    def gradients(training: Training) -> Any:
        def compute(x: Any, y: Any) -> Any:
            training.optimizer.zero_grad()
            loss = training.criterion(training.model(x), y)
            loss.backward()
            return loss

        return compute

    compute, update = compile(gradients(mine)), compile(mine.optimizer.step)
    for number, batch in enumerate(regression(steps=40)):
        alike(compute(*batch), gradients(theirs)(*batch), f"loss {number}")
        for p in mine.model.parameters():
            p.grad *= 0.5
        for p in theirs.model.parameters():
            p.grad *= 0.5
        update()
        theirs.optimizer.step()
        for name, value in theirs.state().items():
            alike(mine.state()[name], value, f"{name} after {number}")
    assert len(update.programs) <= 3


class Adversaries:
    """Two models against each other, each with its optimizer, in one step."""

    def __init__(self) -> None:
        self.generator, self.judge = MLP([3, 6, 2], "tanh", seed=0), MLP([2, 6, 1], "relu", seed=1)
        self.criterion = BCEWithLogitsLoss()
        self.first = Adam(self.generator.parameters(), lr=0.01, betas=(0.5, 0.999))
        self.second = SGD(self.judge.parameters(), lr=0.05, momentum=0.9)

    def step(self, noise: Any, real: Any) -> Any:
        fake = self.generator(noise)
        ones, zeros = np.ones((len(noise), 1)), np.zeros((len(noise), 1))
        self.second.zero_grad()
        of_judge = self.criterion(self.judge(real), ones) + self.criterion(self.judge(fake.detach()), zeros)
        of_judge.backward()
        self.second.step()
        self.first.zero_grad()
        of_generator = self.criterion(self.judge(fake), ones)
        of_generator.backward()
        self.first.step()
        return of_generator

    def state(self) -> dict[str, Any]:
        found = {f"generator {k}": v for k, v in self.generator.state_dict().items()}
        found |= {f"judge {k}": v for k, v in self.judge.state_dict().items()}
        return found | {f"grad {k}": p.grad for k, p in self.judge.named_parameters()}


def test_two_optimizers_against_each_other() -> None:
    beside(Adversaries, regression())


def test_two_optimizers_on_one_model() -> None:
    class Both(Training):
        def __init__(self) -> None:
            super().__init__(optimizer=lambda p: SGD(p[:2], lr=0.1, momentum=0.9))
            self.other = Adam(list(self.model.parameters())[2:], lr=0.01)

        def step(self, x: Any, y: Any) -> Any:
            self.other.zero_grad()
            loss = super().step(x, y)
            self.other.step()
            return loss

    beside(Both, regression())


def test_shared_weights() -> None:
    class Tied(Training):
        def __init__(self) -> None:
            super().__init__(MLP([3, 3, 2], seed=0))
            self.model.layers[0].weight = self.model.layers[0].weight
            self.extra = self.model.layers[0]

        def step(self, x: Any, y: Any) -> Any:
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(self.extra(x)), y)
            loss.backward()
            self.optimizer.step()
            return loss

    beside(Tied, regression())


def test_moving_average_of_the_weights() -> None:
    class Averaged(Training):
        def __init__(self) -> None:
            super().__init__(optimizer=OPTIMIZERS["SGD momentum"])
            self.average = [p.data.copy() for p in self.model.parameters()]

        def step(self, x: Any, y: Any) -> Any:
            loss = super().step(x, y)
            for i, p in enumerate(self.model.parameters()):
                self.average[i] = 0.9 * self.average[i] + 0.1 * p.data
            return loss

        def state(self) -> dict[str, Any]:
            return super().state() | {f"average {i}": a for i, a in enumerate(self.average)}

    beside(Averaged, regression())


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_verified(optimizer: str) -> None:
    """The first runs are compared with the function; the trajectory is the same all the same."""
    beside(lambda: Training(optimizer=OPTIMIZERS[optimizer]), regression(steps=20), verify=3)


def test_method_of_an_object_that_holds_its_compiled_self() -> None:
    class Trainer(Training):
        def __init__(self) -> None:
            super().__init__(optimizer=OPTIMIZERS["Adam"])
            self.fast = compile(self.step)

    fast, slow = Trainer(), Trainer()
    for number, batch in enumerate(regression(steps=20)):
        alike(fast.fast(*batch), slow.step(*batch), f"loss {number}")
    assert len(fast.fast.programs) <= 2


def test_decorated_method() -> None:
    class Trainer:
        def __init__(self, scale: float) -> None:
            self.w = np.ones(3) * scale

        @compile
        def step(self, x: Any) -> Any:
            self.w -= 0.1 * x
            return self.w.sum()

    one, two = Trainer(1.0), Trainer(2.0)
    expected = [np.ones(3), np.ones(3) * 2]
    for i in range(6):
        for trainer, w in zip((one, two), expected, strict=True):
            w -= 0.1 * (np.arange(3.0) + i)
            np.testing.assert_allclose(trainer.step(np.arange(3.0) + i), w.sum(), rtol=1e-12)
            np.testing.assert_allclose(trainer.w, w, rtol=1e-12)


# Nets in plain numpy, with deltas derived by hand


class InPlace:
    """Updates its arrays in place."""

    def __init__(self, dtype: Any = np.float64) -> None:
        rng = np.random.default_rng(0)
        self.W1, self.b1 = rng.normal(size=(3, 5)).astype(dtype), np.zeros(5, dtype)
        self.W2, self.b2 = rng.normal(size=(5, 2)).astype(dtype), np.zeros(2, dtype)

    def gradients(self, x: Any, y: Any) -> Any:
        self.hidden = 1 / (1 + np.exp(-(x @ self.W1 + self.b1)))
        out = self.hidden @ self.W2 + self.b2
        delta = 2 * (out - y) / out.size
        below = delta @ self.W2.T * self.hidden * (1 - self.hidden)
        return ((out - y) ** 2).mean(), [x.T @ below, below.sum(axis=0), self.hidden.T @ delta, delta.sum(axis=0)]

    def step(self, x: Any, y: Any) -> Any:
        loss, (w1, b1, w2, b2) = self.gradients(x, y)
        self.W1 -= 0.1 * w1
        self.b1 -= 0.1 * b1
        self.W2 -= 0.1 * w2
        self.b2 -= 0.1 * b2
        return loss

    def state(self) -> dict[str, Any]:
        return {f"{k} {i}": a for k, v in vars(self).items() for i, a in enumerate(v if isinstance(v, list) else [v])}


class Rebinding(InPlace):
    def step(self, x: Any, y: Any) -> Any:
        loss, (w1, b1, w2, b2) = self.gradients(x, y)
        self.W1 = self.W1 - 0.1 * w1
        self.b1 = self.b1 - 0.1 * b1
        self.W2, self.b2 = self.W2 - 0.1 * w2, self.b2 - 0.1 * b2
        return loss


class Momentum(InPlace):
    def __init__(self, dtype: Any = np.float64) -> None:
        super().__init__(dtype)
        self.velocity = [np.zeros_like(p) for p in (self.W1, self.b1, self.W2, self.b2)]

    def step(self, x: Any, y: Any) -> Any:
        loss, gradients = self.gradients(x, y)
        for v, g, p in zip(self.velocity, gradients, (self.W1, self.b1, self.W2, self.b2), strict=True):
            v *= 0.9
            v -= 0.05 * g
            p += v
        return loss


class MomentumRebinding(Momentum):
    def step(self, x: Any, y: Any) -> Any:
        loss, gradients = self.gradients(x, y)
        for i, (name, g) in enumerate(zip(("W1", "b1", "W2", "b2"), gradients, strict=True)):
            self.velocity[i] = 0.9 * self.velocity[i] - 0.05 * g
            setattr(self, name, getattr(self, name) + self.velocity[i])
        return loss


class LastChange(InPlace):
    """Momentum from the change before last, as older textbooks have it."""

    def __init__(self, dtype: Any = np.float64) -> None:
        super().__init__(dtype)
        self.previous = self.W1.copy()

    def step(self, x: Any, y: Any) -> Any:
        loss, (w1, _, _, _) = self.gradients(x, y)
        new = self.W1 - 0.1 * w1 + 0.5 * (self.W1 - self.previous)
        self.previous = self.W1
        self.W1 = new
        return loss


class AdamByHand(InPlace):
    """Counts in a 0-d array: a Python number would be another program each time."""

    def __init__(self, dtype: Any = np.float64) -> None:
        super().__init__(dtype)
        self.t = np.array(0)
        self.m = [np.zeros_like(p) for p in (self.W1, self.b1, self.W2, self.b2)]
        self.v = [np.zeros_like(p) for p in (self.W1, self.b1, self.W2, self.b2)]

    def step(self, x: Any, y: Any) -> Any:
        loss, gradients = self.gradients(x, y)
        self.t += 1
        for i, (g, p) in enumerate(zip(gradients, (self.W1, self.b1, self.W2, self.b2), strict=True)):
            self.m[i] = 0.9 * self.m[i] + 0.1 * g
            self.v[i] = 0.999 * self.v[i] + 0.001 * g * g
            step = 0.01 * (self.m[i] / (1 - 0.9**self.t)) / (np.sqrt(self.v[i] / (1 - 0.999**self.t)) + 1e-8)
            p -= step.astype(p.dtype)
        return loss


class Layers(InPlace):
    """Lists of dicts of arrays, deltas in a loop, activations kept in a list."""

    def __init__(self, dtype: Any = np.float64) -> None:
        super().__init__(dtype)
        self.layers = [{"W": self.W1, "b": self.b1}, {"W": self.W2, "b": self.b2}]
        self.seen: list[Any] = [None, None, None]

    def step(self, x: Any, y: Any) -> Any:
        self.seen[0] = a = x
        for i, layer in enumerate(self.layers):
            a = np.tanh(np.dot(a, layer["W"]) + layer["b"])
            self.seen[i + 1] = a
        delta = (a - y) * (1 - a**2) / len(x)
        for i in reversed(range(2)):
            layer = self.layers[i]
            below = np.dot(delta, layer["W"].T) * (1 - self.seen[i] ** 2)
            layer["W"] = layer["W"] - 0.1 * np.dot(self.seen[i].T, delta)
            layer["b"] -= 0.1 * delta.sum(axis=0)
            delta = below
        return np.mean((a - y) ** 2)

    def state(self) -> dict[str, Any]:
        return {f"{k} {i}": layer[k] for i, layer in enumerate(self.layers) for k in layer}


BY_HAND = [InPlace, Rebinding, Momentum, MomentumRebinding, LastChange, AdamByHand, Layers]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", BY_HAND)
def test_by_hand(kind: type[InPlace], dtype: Any) -> None:
    beside(lambda: kind(dtype), regression(dtype))


def test_parameters_in_a_dict_and_value_and_grad() -> None:
    """In the manner of JAX: parameters in, parameters out."""
    rng = np.random.default_rng(0)
    start = {"W": rng.normal(size=(3, 2)), "b": np.zeros(2)}

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        return MSELoss()(np.tanh(x @ parameters["W"] + parameters["b"]), y)

    def update(parameters: Any, x: Any, y: Any) -> Any:
        value, gradients = value_and_grad(loss)(parameters, x, y)
        return value, {k: parameters[k] - 0.1 * gradients[k] for k in parameters}

    compiled, mine, theirs = compile(update), dict(start), dict(start)
    for number, batch in enumerate(regression()):
        (got, mine), (wanted, theirs) = compiled(mine, *batch), update(theirs, *batch)
        alike(got, wanted, f"loss {number}")
        for k in start:
            alike(mine[k], theirs[k], f"{k} after {number}")
    assert len(compiled.programs) == 1


def test_tensors_by_hand() -> None:
    class Plain:
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self.W = Tensor(rng.normal(size=(3, 2)), requires_grad=True)
            self.b = Tensor(np.zeros(2), requires_grad=True)

        def step(self, x: Any, y: Any) -> Any:
            loss = ((x @ self.W + self.b - y) ** 2).mean()
            loss.backward()
            for p in (self.W, self.b):
                p.data -= 0.1 * p.grad
                p.grad = None
            return loss

        def state(self) -> dict[str, Any]:
            return {"W": self.W.data, "b": self.b.data, "no gradient": self.W.grad}

    beside(Plain, regression())
