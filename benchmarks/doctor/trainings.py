"""Healthy trainings, none of which `diagnose` may call ill."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from case import Array, quiet

import nn
from nn import BCEWithLogitsLoss, CrossEntropyLoss, Linear, MSELoss, ReLU, Sequential, Sigmoid, Tanh
from nn.optim import SGD, Adam
from nn.train import fit

EPOCHS = 150


def run(count: int) -> tuple[int, int, list[str]]:
    """Return how many trainings learned, how many of these were called ill, and a line on each of those."""
    ill: list[str] = []
    learned = 0
    for name, model, loss, X, y, history in itertools.islice(trainings(), count):
        learned += 1
        try:
            with quiet():
                report = nn.diagnose(model, loss, X, y, history=history).to_dict()
            if report["ill"] or report["causes"]:
                ill.append(f"{name}: {report}")
        except Exception as error:
            ill.append(f"{name}: {type(error).__name__}: {error}")
    return learned, len(ill), ill


def trainings() -> Iterator[tuple[str, Any, Any, Array, Array, Any]]:
    """Yield (name, model, loss, X, y, history) without end; a run that did not learn is left out."""
    for seed in itertools.count():
        for task, activation, optimizer in itertools.product(TASKS, (Tanh, ReLU, Sigmoid), ("sgd", "adam")):
            X, y, loss, width = TASKS[task](np.random.default_rng(seed))
            layers = [Linear(X.shape[1], 8, seed=seed), activation(), Linear(8, 8, seed=seed + 1), activation()]
            model = Sequential(*layers, Linear(8, width, seed=seed + 2))
            parameters = model.parameters()
            method = Adam(parameters, lr=0.02) if optimizer == "adam" else SGD(parameters, lr=0.05, momentum=0.9)
            with quiet(), np.errstate(all="ignore"):
                history = fit(model, loss, method, X, y, epochs=EPOCHS, batch_size=8, seed=seed, progress=False)
                final = float(loss(model(X), y).data)
            if final < 0.5 * _constant(y, loss):
                yield f"{task}, {activation.__name__}, {optimizer}, seed {seed}", model, loss, X, y, history


def _constant(y: Array, loss: Any) -> float:
    """Return the loss of the best constant prediction."""
    if isinstance(loss, MSELoss):
        return float(np.var(y))
    _, counts = np.unique(y, return_counts=True)
    p = counts / counts.sum()
    return float(-(p * np.log(p)).sum())


def _xor(rng: np.random.Generator) -> tuple[Array, Array, Any, int]:
    X = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    return X, np.array([[0.0], [1], [1], [0]]), BCEWithLogitsLoss(), 1


def _ring(rng: np.random.Generator) -> tuple[Array, Array, Any, int]:
    X = rng.normal(size=(60, 2))
    return X, ((X**2).sum(axis=1, keepdims=True) > 1.4).astype(float), BCEWithLogitsLoss(), 1


def _blobs(rng: np.random.Generator) -> tuple[Array, Array, Any, int]:
    labels = rng.integers(0, 3, 60)
    centres = np.array([[0.0, 2], [2, -1], [-2, -1]])
    return centres[labels] + rng.normal(scale=0.7, size=(60, 2)), labels, CrossEntropyLoss(), 3


def _wave(rng: np.random.Generator) -> tuple[Array, Array, Any, int]:
    X = rng.uniform(-2, 2, size=(60, 1))
    return X, np.sin(X) + 0.05 * rng.normal(size=X.shape), MSELoss(), 1


TASKS = {"xor": _xor, "ring": _ring, "blobs": _blobs, "wave": _wave}
