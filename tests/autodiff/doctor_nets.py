"""A healthy hand-written network, and a way to make patients of it by changing its text."""

from __future__ import annotations

import linecache
from itertools import count
from typing import Any

import numpy as np

HEALTHY = """\
import numpy as np


class Net:
    def __init__(self, rng):
        self.W1 = rng.normal(size=(5, 3))
        self.b1 = rng.normal(size=(5, 1))
        self.W2 = rng.normal(size=(2, 5))
        self.b2 = rng.normal(size=(2, 1))
        self.history = []

    def forward(self, x):
        z1 = np.dot(self.W1, x) + self.b1
        a1 = np.tanh(z1)
        z2 = np.dot(self.W2, a1) + self.b2
        a2 = 1 / (1 + np.exp(-z2))
        return z1, a1, z2, a2

    def train(self, x, y, epochs, lr=0.3):
        m = y.shape[1]
        for _ in range(epochs):
            z1, a1, z2, a2 = self.forward(x)
            cost = -np.sum(y * np.log(a2) + (1 - y) * np.log(1 - a2)) / m
            self.history.append(cost)
            delta2 = (a2 - y) / m
            dW2 = np.dot(delta2, a1.T)
            db2 = np.sum(delta2, axis=1, keepdims=True)
            da1 = np.dot(self.W2.T, delta2)
            delta1 = da1 * (1 - a1 ** 2)
            dW1 = np.dot(delta1, x.T)
            db1 = np.sum(delta1, axis=1, keepdims=True)
            self.W2 -= lr * dW2
            self.b2 -= lr * db2
            self.W1 -= lr * dW1
            self.b1 -= lr * db1
"""

_number = count()


def made(*edits: str) -> tuple[Any, Any, Any]:
    """Return a net, its inputs and its labels; `edits` are texts and their replacements in turn."""
    text = HEALTHY
    for old, new in zip(edits[::2], edits[1::2], strict=True):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return load(text)


def load(text: str) -> tuple[Any, Any, Any]:
    """Return a net of that text, its inputs and its labels."""
    file = f"<patient {next(_number)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    names: dict[str, Any] = {"__name__": "patient"}
    exec(compile(text, file, "exec"), names)
    rng = np.random.default_rng(0)
    net = names["Net"](rng)
    x = rng.normal(size=(3, 7))
    return net, x, (rng.random((2, 7)) > 0.5).astype(int)


def line_of(text: str) -> int:
    """Return the number of the line of the healthy net that holds a text."""
    return next(i for i, line in enumerate(HEALTHY.splitlines(), 1) if text in line)
