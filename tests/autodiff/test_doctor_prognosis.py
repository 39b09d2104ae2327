"""When the gradient is right and it does not learn: causes proven by training again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nn
from autodiff import doctor

X = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
Y = np.array([[0, 1, 1, 0]])


class Net:
    def __init__(self, falling: bool) -> None:
        rng = np.random.default_rng(0)
        self.W, self.b = rng.normal(size=(5, 2)) * 2, rng.normal(size=(5, 1))
        self.V, self.c = rng.normal(size=(1, 5)), np.zeros((1, 1))
        self.falling = falling

    def train(self, x: Any, y: Any, epochs: int) -> None:
        for epoch in range(1, epochs + 1):
            h = np.tanh(np.dot(self.W, x) + self.b)
            p = 1 / (1 + np.exp(-(np.dot(self.V, h) + self.c)))
            self.cost = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
            d = (p - y) / y.shape[1]
            dh = np.dot(self.V.T, d) * (1 - h**2)
            rate = 0.05 / epoch if self.falling else 0.3
            self.V -= rate * np.dot(d, h.T)
            self.c -= rate * d.sum(axis=1, keepdims=True)
            self.W -= rate * np.dot(dh, x.T)
            self.b -= rate * dh.sum(axis=1, keepdims=True)


def test_a_training_that_learns_is_not_ill() -> None:
    found = doctor.prognosis(Net(falling=False).train, X, Y, 600)
    assert not found.ill
    assert found.causes == []
    assert "learns" in str(found)


@pytest.mark.slow
def test_a_falling_rate_is_named_and_proven() -> None:
    found = doctor.prognosis(Net(falling=True).train, X, Y, 600, seeds=5, budget=60)
    assert found.ill
    assert "rate_decays" in found.causes
    assert "as written 0/5" in found.evidence[0]
    assert "rate_decays" in found.to_dict()["causes"]


def test_a_trained_model_is_healthy_and_an_unreached_parameter_is_named() -> None:
    data, labels = X.T.astype(float), Y.T.astype(float)
    loss = nn.BCEWithLogitsLoss()
    model = nn.MLP([2, 8, 1], activation="tanh", seed=0)
    assert doctor.diagnose(model, loss, data, labels).ill, "it has not been trained"
    optimizer = nn.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(200):
        value = loss(model(data), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert not doctor.diagnose(model, loss, data, labels).ill
    with pytest.raises(TypeError, match="prognosis"):
        doctor.diagnose(lambda x: x, loss, data, labels)
