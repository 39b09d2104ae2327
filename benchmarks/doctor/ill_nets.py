"""Hand-written trainings with one illness each, their gradients right, and what `doctor.prognosis` is to say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from case import Array

from autodiff import doctor

X = np.array([[0.0, 0, 1, 1], [0, 1, 0, 1]])
Y = np.array([[0, 1, 1, 0]])
_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
RING = np.concatenate([r * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)]) for r in (0.6, 1.8)], axis=1)
INSIDE = np.repeat([[1, 0]], len(_ANGLES), axis=1)  # the inner one is 1


class Net:
    """Two layers, a sample per column, binary cross entropy; everything that may be wrong is an attribute."""

    def __init__(self, seed: int, units: int = 8, inputs: int = 2) -> None:
        rng = np.random.default_rng(seed)
        self.W, self.b = rng.normal(size=(units, inputs)), rng.normal(scale=0.1, size=(units, 1))
        self.V, self.c = rng.normal(scale=0.1, size=(1, units)), np.zeros((1, 1))
        self.rate = 1.0
        self.falls = False
        self.relu = False
        self.momentum = 0.0
        self.velocity = [np.zeros_like(a) for a in (self.W, self.b, self.V, self.c)]

    def gradients(self, x: Array, y: Array) -> list[Array]:
        """Return the gradients by W, b, V and c, all of them right."""
        z = np.dot(self.W, x) + self.b
        h = np.maximum(0, z) if self.relu else np.tanh(z)
        p = 1 / (1 + np.exp(-(np.dot(self.V, h) + self.c)))
        self.cost = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
        d = (p - y) / y.shape[1]
        dh = np.dot(self.V.T, d) * ((z > 0) if self.relu else (1 - h**2))
        return [
            np.dot(dh, x.T),
            np.sum(dh, axis=1, keepdims=True),
            np.dot(d, h.T),
            np.sum(d, axis=1, keepdims=True),
        ]

    def train(self, x: Array, y: Array, epochs: int) -> None:
        """Train on all samples at once."""
        for epoch in range(1, epochs + 1):
            rate = self.rate / epoch if self.falls else self.rate
            dW, db, dV, dc = self.gradients(x, y)
            self.W -= rate * dW
            self.b -= rate * db
            self.V -= rate * dV
            self.c -= rate * dc

    def train_batches(self, x: Array, y: Array, epochs: int, size: int = 8) -> None:
        """Train on mini-batches, in a new order each epoch."""
        rng = np.random.default_rng(0)
        for _ in range(epochs):
            order = rng.permutation(x.shape[1])
            for at in range(0, x.shape[1] - size + 1, size):
                rows = order[at : at + size]
                dW, db, dV, dc = self.gradients(x[:, rows], y[:, rows])
                self.W -= self.rate * dW
                self.b -= self.rate * db
                self.V -= self.rate * dV
                self.c -= self.rate * dc

    def train_momentum(self, x: Array, y: Array, epochs: int) -> None:
        """Train with momentum."""
        for _ in range(epochs):
            found = self.gradients(x, y)
            for i, g in enumerate(found):
                self.velocity[i] = self.momentum * self.velocity[i] - self.rate * g
            self.W += self.velocity[0]
            self.b += self.velocity[1]
            self.V += self.velocity[2]
            self.c += self.velocity[3]


class Bare:
    """Two layers without biases."""

    def __init__(self, seed: int, relu: bool, inputs: int = 2) -> None:
        rng = np.random.default_rng(seed)
        self.W, self.V = rng.normal(size=(8, inputs)), rng.normal(scale=0.5, size=(1, 8))
        self.relu = relu

    def train(self, x: Array, y: Array, epochs: int, rate: float = 0.5) -> None:
        """Train on all samples at once."""
        for _ in range(epochs):
            z = np.dot(self.W, x)
            h = np.maximum(0, z) if self.relu else np.tanh(z)
            p = 1 / (1 + np.exp(-np.dot(self.V, h)))
            self.cost = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
            d = (p - y) / y.shape[1]
            dh = np.dot(self.V.T, d) * ((z > 0) if self.relu else (1 - h**2))
            self.V -= rate * np.dot(d, h.T)
            self.W -= rate * np.dot(dh, x.T)


class Deep:
    """Sigmoid layers, as many as you like."""

    def __init__(self, seed: int, depth: int, scale: float) -> None:
        rng = np.random.default_rng(seed)
        widths = [2, *[6] * depth, 1]
        self.weights = [rng.normal(scale=scale, size=(b, a)) for a, b in pairwise(widths)]
        self.biases = [np.zeros((b, 1)) for b in widths[1:]]

    def train(self, x: Array, y: Array, epochs: int, rate: float = 1.0) -> None:
        """Train on all samples at once."""
        for _ in range(epochs):
            held = [x]
            for W, b in zip(self.weights, self.biases, strict=True):
                held.append(1 / (1 + np.exp(-(np.dot(W, held[-1]) + b))))
            p = held[-1]
            self.cost = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
            d = (p - y) / y.shape[1]
            for i in reversed(range(len(self.weights))):
                dW, db = np.dot(d, held[i].T), np.sum(d, axis=1, keepdims=True)
                d = np.dot(self.weights[i].T, d) * held[i] * (1 - held[i])
                self.weights[i] -= rate * dW
                self.biases[i] -= rate * db


class Flat:
    """One output per sample along a single axis, against labels of shape (n, 1)."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.W, self.b, self.V = rng.normal(size=(2, 8)), np.zeros((1, 8)), rng.normal(size=8)
        self.c = np.zeros(1)

    def train(self, x: Array, y: Array, epochs: int, rate: float = 0.3) -> None:
        """Train on squared errors, of which there are n × n by mistake."""
        for _ in range(epochs):
            h = np.tanh(np.dot(x, self.W) + self.b)
            p = np.dot(h, self.V) + self.c
            e = p - y
            self.cost = np.mean(e**2)
            d = 2 * e / e.size
            d = np.sum(d, axis=0) if d.ndim > 1 else d
            dh = d[:, None] * self.V[None, :] * (1 - h**2)
            self.V -= rate * np.dot(d, h)
            self.c -= rate * np.sum(d, keepdims=True)
            self.W -= rate * np.dot(x.T, dh)
            self.b -= rate * np.sum(dh, axis=0, keepdims=True)


@dataclass
class Ill:
    """A call that trains in vain; one of `codes` must be named."""

    codes: set[str]
    function: Any
    args: tuple[Any, ...]

    def answer(self, **more: Any) -> Any:
        """Return what `prognosis` says."""
        return doctor.prognosis(self.function, *self.args, **more)


def ill(codes: str, function: Any, *args: Any) -> Ill:
    """Return a call that trains in vain."""
    return Ill(set(codes.split()), function, args)


def changed(net: Any, **values: Any) -> Any:
    """Return a net with other attributes; arrays of its parameters' shapes."""
    for name, value in values.items():
        now = getattr(net, name)
        setattr(net, name, np.full(now.shape, float(value)) if isinstance(now, np.ndarray) else value)
    return net


def scaled(net: Any, **factors: float) -> Any:
    """Return a net with arrays multiplied."""
    for name, factor in factors.items():
        setattr(net, name, factor * getattr(net, name))
    return net


def nets(seed: int) -> Iterator[tuple[str, Callable[[], Ill]]]:
    """Yield each illness by name, with what makes a training that has it."""
    rng = np.random.default_rng(seed)
    yield "rate 1/t", lambda: ill("rate_decays", changed(Net(seed), rate=0.1, falls=True).train, X, Y, 1000)
    yield "rate too low", lambda: ill("rate_too_low", changed(Net(seed), rate=0.0003).train, X, Y, 1000)
    yield "rate too high", lambda: ill("rate_too_high not_finite", changed(Net(seed), rate=100.0).train, X, Y, 1000)
    yield "zero init", lambda: ill("zero_init", changed(Net(seed), W=0, b=0, V=0).train, X, Y, 1000)
    yield (
        "constant init",
        lambda: ill("symmetric_init", changed(Net(seed), W=0.5, b=0.1, V=0.5, rate=0.3).train, RING, INSIDE, 200),
    )
    yield "saturated", lambda: ill("saturation", changed(Net(seed), b=30).train, X, Y, 1000)
    yield "dead ReLU", lambda: ill("dead_layer", changed(Net(seed), b=-10, relu=True).train, X, Y, 1000)
    yield "vanishing", lambda: ill("vanishing", Deep(seed, 5, 0.4).train, X, Y, 1000)
    yield "tiny weights", lambda: ill("vanishing", scaled(Net(seed), W=1e-4, b=1e-4, V=1e-4).train, X, Y, 1000)
    yield "no bias, tanh", lambda: ill("no_bias", Bare(seed, False).train, 2 * X - 1, Y, 1000)
    line = np.linspace(1, 2, 30)[None]
    yield "no bias, ReLU", lambda: ill("no_bias", Bare(seed, True, 1).train, line, (line > 1.5).astype(int), 2000)
    yield "inputs around 500", lambda: ill("unscaled_inputs", Net(seed).train, X * 3 + 500, Y, 1000)
    yield "inputs tiny", lambda: ill("unscaled_inputs", Net(seed).train, X * 1e-3, Y, 300)
    yield "log of zero", lambda: ill("not_finite rate_too_high", changed(Net(seed), rate=3000.0).train, X, Y, 500)
    yield "labels (n, 1)", lambda: ill("label_shape", Flat(seed).train, X.T, Y.T, 3000)
    far = rng.normal(size=(2, 300))
    far[:, :4] = rng.normal([[1.5], [-1.5]], 0.2, (2, 4))
    rare = np.zeros((1, 300), int)
    rare[:, :4] = 1
    yield "imbalance", lambda: ill("imbalance", changed(scaled(Net(seed), V=0.2), rate=0.05).train, far, rare, 300)
    many = np.tile(X, (1, 8)) + rng.normal(scale=0.05, size=(2, 32))
    labels = np.tile(Y, (1, 8))
    yield (
        "batches, rate too low",
        lambda: ill("rate_too_low", changed(Net(seed), rate=2e-5).train_batches, many, labels, 300),
    )
    yield "batches, saturated", lambda: ill("saturation", changed(Net(seed), b=30).train_batches, many, labels, 300)
    slow = {"rate": 2e-5, "momentum": 0.9}
    yield "momentum, rate too low", lambda: ill("rate_too_low", changed(Net(seed), **slow).train_momentum, X, Y, 500)
    yield (
        "momentum, saturated",
        lambda: ill("saturation", changed(Net(seed), b=30, rate=0.1, momentum=0.9).train_momentum, X, Y, 500),
    )
