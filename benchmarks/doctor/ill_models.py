"""Trainings of `nn` models with one illness each, and what `nn.diagnose` is to say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from case import Array

import nn
from nn.optim import SGD, Adam, LambdaLR
from nn.train import fit

X = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
Y = np.array([[0.0], [1], [1], [0]])
LOSS, MSE = nn.BCEWithLogitsLoss(), nn.MSELoss()
#: Two rings, one inside the other: what is the same at −x as at x says nothing to a single unit, or to odd functions.
_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
RING = np.concatenate([r * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1) for r in (0.6, 1.8)])
INSIDE = np.repeat([[1.0], [0.0]], len(_ANGLES), axis=0)


@dataclass
class Ill:
    """A training that went wrong.

    Attributes
    ----------
    codes : set of str
        The causes of which one must be named.
    options : dict
        What is handed to `diagnose` besides model, loss and data.
    """

    codes: set[str]
    model: Any
    loss: Any
    X: Array
    y: Array
    options: dict[str, Any] = field(default_factory=dict)

    def answer(self, **more: Any) -> Any:
        """Return what `diagnose` says."""
        return nn.diagnose(self.model, self.loss, self.X, self.y, **self.options, **more)


def trained(
    codes: str,
    model: Any,
    *,
    lr: float = 1.0,
    kind: Any = SGD,
    epochs: int = 500,
    x: Array = X,
    y: Array = Y,
    loss: Any = LOSS,
    falling: Callable[[int], float] | None = None,
    **settings: Any,
) -> Ill:
    """Train a model with `fit` and hand over all that there is."""
    optimizer = kind(model.parameters(), lr=lr, **settings)
    schedule = LambdaLR(optimizer, falling) if falling else None
    with np.errstate(all="ignore"):
        history = fit(model, loss, optimizer, x, y, epochs=epochs, schedule=schedule, progress=False)
    return Ill(set(codes.split()), model, loss, x, y, {"history": history, "optimizer": optimizer})


def looped(codes: str, model: Any, optimizer: Any, *, x: Array = X, y: Array = Y, loss: Any = LOSS, epochs: int = 500,
           zeroing: bool = True) -> Ill:  # fmt: skip
    """Train a model with a loop of one's own."""
    many = optimizer if isinstance(optimizer, list) else [optimizer]
    losses = []

    def step() -> None:
        value = loss(model(x), y)
        losses.append(float(value.data))
        if zeroing:
            model.zero_grad()
        value.backward()
        for one in many:
            one.step()

    with np.errstate(all="ignore"):
        for _ in range(epochs):
            step()
    return Ill(set(codes.split()), model, loss, x, y, {"history": list(losses), "optimizer": optimizer})


def net(seed: int, activation: str = "tanh", widths: tuple[int, ...] = (2, 8, 1), **options: Any) -> nn.MLP:
    """Return a net that would learn."""
    return nn.MLP(list(widths), activation, seed=seed, **options)


def scaled_up(model: Any, factor: float) -> Any:
    """Multiply all weights."""
    for p in model.parameters():
        if p.ndim > 1:
            p.data[...] *= factor
            p.data = p.data
    return model


class Cut(nn.MLP):
    """A net whose first layer is detached from the graph."""

    def forward(self, x: Any) -> Any:
        h = self.layers[1](self.layers[0](x)).detach()
        for layer in self.layers[2:]:
            h = layer(h)
        return h


class ByHand(nn.Module):
    """Probabilities by a sigmoid that reaches 0 and 1."""

    def __init__(self, seed: int) -> None:
        self.inner = net(seed)

    def forward(self, x: Any) -> Any:
        return 1 / (1 + np.exp(-self.inner(x)))


class Plain:
    """An optimizer of one's own, which may hold a parameter several times."""

    def __init__(self, parameters: list[Any], lr: float) -> None:
        self.parameters, self.lr = parameters, lr

    def step(self) -> None:
        for p in self.parameters:
            p.data = p.data - self.lr * p.grad


def log_loss(p: Any, y: Array) -> Any:
    """Binary cross entropy as it is written by hand: NaN where p reaches 0 or 1."""
    return np.mean(-(y * np.log(p) + (1 - y) * np.log(1 - p)))


def square(p: Any, y: Array) -> Any:
    """Squared error by hand, which spreads (n, 1) and (n,) to (n, n)."""
    return np.mean((p - y) ** 2)


def models(seed: int) -> Iterator[tuple[str, Callable[[], Ill]]]:
    """Yield each illness by name, with what makes a training that has it."""
    rng = np.random.default_rng(seed)
    relu = {"activation": "relu", "widths": (2, 16, 1)}
    yield "rate 1/t", lambda: trained("rate_decays", net(seed), lr=0.3, falling=lambda t: 1 / (t + 1))
    yield "rate 0.9^t", lambda: trained("rate_decays", net(seed), lr=0.1, falling=lambda t: 0.9**t, epochs=2000)
    yield "rate too low", lambda: trained("rate_too_low", net(seed), lr=0.003)
    yield "rate too low, Adam", lambda: trained("rate_too_low", net(seed), lr=1e-6, kind=Adam)
    yield "rate too high", lambda: trained("rate_too_high", net(seed), lr=300.0)
    yield "rate too high, Adam, ReLU", lambda: trained("rate_too_high", net(seed, **relu), lr=30.0, kind=Adam)
    yield "zero init", lambda: trained("zero_init symmetric_init", net(seed, init=nn.init.zeros))
    same = {"init": constant, "widths": (2, 16, 1)}
    yield "constant init", lambda: trained("symmetric_init", net(seed, **same), lr=0.5, epochs=200, x=RING, y=INSIDE)
    yield "saturated", lambda: trained("saturation", pushed(net(seed, "sigmoid"), 40.0), lr=2.0, epochs=1500)
    yield "saturated, tanh", lambda: trained("saturation", pushed(net(seed), -25.0), lr=0.5)
    yield "dead ReLU", lambda: trained("dead_layer", pushed(net(seed, **relu), -10.0), lr=0.5)
    deep = (2, *[6] * 5, 1)
    yield "vanishing", lambda: trained("vanishing", net(seed, "sigmoid", deep), lr=1.0, epochs=1000)
    yield "vanishing, tiny weights", lambda: trained("vanishing", scaled_up(net(seed, widths=(2, 8, 8, 8, 1)), 0.01))
    wave = {"x": np.linspace(-2, 2, 40)[:, None], "y": np.sin(2 * np.linspace(-2, 2, 40))[:, None], "loss": MSE}
    wild = {"lr": 0.01, "kind": Adam, **wave}
    yield (
        "exploding",
        lambda: trained("exploding dead_layer", scaled_up(net(seed, "relu", (1, *[8] * 5, 1)), 20.0), **wild),
    )
    line = np.linspace(1, 2, 30)[:, None]
    yield (
        "no bias, ReLU",
        lambda: trained("no_bias", bare(seed, nn.ReLU, 1), x=line, y=(line > 1.5).astype(float), lr=0.5, epochs=2000),
    )
    yield "no bias, tanh", lambda: trained("no_bias", bare(seed, nn.Tanh), x=2 * X - 1, lr=0.5)
    yield "inputs around 500", lambda: trained("unscaled_inputs", net(seed), x=X * 3 + 500, lr=0.5)
    yield "inputs tiny", lambda: trained("unscaled_inputs", net(seed), x=X * 1e-3, lr=0.5)
    yield "log of zero", lambda: looped("not_finite", *with_sgd(ByHand(seed), 60.0), loss=log_loss)
    yield (
        "NaN in the data",
        lambda: looped("not_finite", *with_sgd(net(seed), 1.0), x=spoilt(rng), y=np.tile(Y, (5, 1))),
    )
    yield "labels (n,)", lambda: looped("label_shape", *with_sgd(net(seed), 0.2), y=Y[:, 0], loss=square, epochs=2000)
    yield "labels (n,), nn loss", lambda: Ill({"label_shape"}, net(seed), LOSS, X, Y[:, 0], {"epochs": 300})
    yield "imbalance", lambda: imbalanced(seed)
    small = (1, 16, 1)
    yield (
        "zero_grad forgotten",
        lambda: looped(
            "zero_grad_forgotten", *with_sgd(net(seed, widths=small), 0.12), zeroing=False, epochs=1000, **wave
        ),
    )
    yield (
        "zero_grad forgotten, Adam",
        lambda: looped(
            "zero_grad_forgotten", *with_sgd(net(seed, widths=small), 0.02, Adam), zeroing=False, epochs=1000, **wave
        ),
    )
    yield "zero_grad forgotten, seen by a step", lambda: stepped(seed)
    yield "last layer alone held", lambda: partly(seed)
    yield "held twice", lambda: twice(seed)
    yield "first layer detached", lambda: looped("unreached", *with_sgd(Cut([2, 8, 1], "tanh", seed=seed), 1.0), x=RING,
                                                   y=INSIDE)  # fmt: skip
    yield "dropout left on", lambda: dropped(seed)


def stepped(seed: int) -> Ill:
    """Return a training whose step is handed over, and leaves the gradients of the step before."""
    model = net(seed)
    optimizer = SGD(model.parameters(), lr=10.0)

    def step() -> None:
        LOSS(model(RING), INSIDE).backward()
        optimizer.step()

    with np.errstate(all="ignore"):
        for _ in range(500):
            step()
    options = {"optimizer": optimizer, "step": step, "epochs": 500}
    return Ill({"zero_grad_forgotten"}, model, LOSS, RING, INSIDE, options)


def constant(shape: Any, *, seed: Any = None, dtype: Any = np.float64) -> Array:
    """Return weights that are all the same."""
    return np.full(shape, 0.5, dtype)


def with_sgd(model: Any, lr: float, kind: Any = SGD) -> tuple[Any, Any]:
    """Return a model and an optimizer over it."""
    return model, kind(model.parameters(), lr=lr)


def pushed(model: Any, far: float) -> Any:
    """Push all units of the first layer far to one side."""
    model.layers[0].bias.data[...] = far
    return model


def bare(seed: int, activation: Any, inputs: int = 2) -> Any:
    """Return a net without biases."""
    return nn.Sequential(
        nn.Linear(inputs, 8, bias=False, seed=seed), activation(), nn.Linear(8, 1, bias=False, seed=seed + 1)
    )


def spoilt(rng: np.random.Generator) -> Array:
    """Return samples of which one number is missing."""
    x = np.tile(X, (5, 1))
    x[int(rng.integers(20)), 1] = np.nan
    return x


def imbalanced(seed: int) -> Ill:
    """Return a training on three rare samples among three hundred."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(300, 2))
    y = np.zeros((300, 1))
    x[:4] = rng.normal([1.5, -1.5], 0.2, (4, 2))
    y[:4] = 1
    return trained("imbalance", net(seed), x=x, y=y, lr=0.05, epochs=150)


def partly(seed: int) -> Ill:
    """Return a training of the last layer alone, above a first one as it was drawn."""
    model = net(seed, "tanh", (2, 8, 1))
    return looped("not_held", model, SGD(list(model.layers[2].parameters()), lr=1.0), x=RING, y=INSIDE)


def twice(seed: int) -> Ill:
    """Return a training whose optimizer holds everything several times, so that its steps are too long."""
    model = net(seed, "relu", (2, 16, 1))
    return looped("held_twice", model, Plain(list(model.parameters()) * 12, 0.8))


def dropped(seed: int) -> Ill:
    """Return a net that was trained well, and is judged with its dropout on."""
    model = nn.Sequential(nn.Linear(2, 32, seed=seed), nn.Tanh(), nn.Linear(32, 1, seed=seed + 1))
    ill = trained("dropout_on", model, lr=0.5, epochs=1000)
    judged = nn.Sequential(*list(model)[:2], nn.Dropout(0.9, seed=seed), model[2])
    judged.train()
    optimizer = SGD(judged.parameters(), lr=0.1)
    return Ill(ill.codes, judged, LOSS, X, Y, {"optimizer": optimizer, "epochs": 1000})
