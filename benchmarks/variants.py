"""The step with momentum, with Adam and with dropout: hand-written numpy for each, beside the frameworks."""

from __future__ import annotations

from typing import Any

import numpy as np
from contenders import DROPPED, MOMENTUM, ROWS, Array, Contender, Problem

#: What each variant adds to the step.
KINDS = {"momentum": "SGD with momentum", "adam": "Adam", "dropout": "SGD and dropout"}
#: Learning rates: for two steps that tell a wrong update from a right one, and for many that are timed.
RATES = {"momentum": (1.0, 0.01), "adam": (1e-3, 1e-4), "dropout": (1.0, 0.01)}
#: How much more rounding counts: Adam divides gradients by their size, also those that are nearly nothing.
ROUGHER = {"adam": 10.0}
#: The frameworks that are compared.
VARIANT_ROWS = ("numpy", "nablagraph", "compiled", "numba", "torch")


def make_variant(row: str, problem: Problem) -> Contender:
    """The contender `row` of a problem of one of the `KINDS`."""
    return hand_written(problem) if row == "numpy" else ROWS[row][2](problem)


def comparable(row: str, kind: str) -> bool:
    """Whether the row must agree with hand-written numpy: PyTorch draws other random numbers."""
    return not (kind == "dropout" and row == "torch")


def hand_written(problem: Problem) -> Contender:
    """Plain numpy, samples in columns, as in `contenders.hand_written`."""
    layers = [(w, b[:, None]) for w, b in problem.copied_weights()]
    parameters = [p for layer in layers for p in layer]
    inputs, labels, lr, kind = problem.x.T.copy(), problem.y.T.copy(), problem.lr, problem.kind
    rng = np.random.default_rng(0)
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    count = 0

    def momentum(i: int, p: Array, g: Array) -> None:
        first[i] = MOMENTUM * first[i] + g
        p -= lr * first[i]

    def adam(i: int, p: Array, g: Array) -> None:
        first[i] = 0.9 * first[i] + 0.1 * g
        second[i] = 0.999 * second[i] + 0.001 * g**2
        corrected = first[i] / (1 - 0.9**count)
        p -= lr * corrected / (np.sqrt(second[i] / (1 - 0.999**count)) + 1e-8)

    def plain(i: int, p: Array, g: Array) -> None:
        p -= lr * g

    update = {"momentum": momentum, "adam": adam, "dropout": plain}[kind]

    def step() -> Any:
        nonlocal count
        count += 1
        m = inputs.shape[1]
        outputs, given, masks = [], [inputs], []
        for w, b in layers:
            a = 1 / (1 + np.exp(-(np.dot(w, given[-1]) + b)))
            outputs.append(a)
            if kind == "dropout" and len(outputs) < len(layers):
                masks.append(((rng.random(a.T.shape) >= DROPPED) / (1 - DROPPED)).T.astype(a.dtype))
                a = a * masks[-1]
            given.append(a)
        p = outputs[-1]
        cost = -1 / m * (np.dot(labels, np.log(p).T) + np.dot(1 - labels, np.log(1 - p).T))
        delta = p * (1 - p) * -(np.divide(labels, p) - np.divide(1 - labels, 1 - p))
        gradients: list[Array] = []
        for i in range(len(layers) - 1, -1, -1):
            gradients[:0] = [np.dot(delta, given[i].T) / m, np.sum(delta, axis=1, keepdims=True) / m]
            if i:
                back = np.dot(layers[i][0].T, delta)
                if masks:
                    back = back * masks[i - 1]
                delta = back * outputs[i - 1] * (1 - outputs[i - 1])
        for i, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            update(i, parameter, gradient)
        return np.squeeze(cost)

    return Contender(step, lambda: [p.reshape(p.shape if i % 2 == 0 else -1) for i, p in enumerate(parameters)])
