"""A run that goes to NaN or Inf says where, and because of what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodiff import AnomalyError
from nn import Linear, MSELoss, Sequential
from nn.layers import MLP
from nn.module import Module, Parameter
from nn.optim import SGD
from nn.train import History, Run, TrainingDiverged, fit


def data(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, 3))
    return X, (X[:, :1] * X[:, 1:2] > 0).astype(float)


def network(seed: int = 0, dtype: Any = np.float64) -> MLP:
    return MLP([3, 6, 1], activation="tanh", seed=seed, dtype=dtype)


def quiet(*args: Any, **kwargs: Any) -> History:
    return fit(*args, progress=False, **kwargs)


class Scaled(Module):
    """A layer that can be made to overflow."""

    def __init__(self) -> None:
        self.scale = Parameter([1.0])

    def forward(self, x: Any) -> Any:
        return np.exp(self.scale * x)


class TestDivergence:
    def diverge(self, model: Module, X: Any, y: Any, lr: float = 0.1, **more: Any) -> TrainingDiverged:
        arguments = {"epochs": 9, "batch_size": 2, "shuffle": False, **more}
        with pytest.raises(TrainingDiverged) as caught:
            quiet(model, MSELoss(), SGD(model.parameters(), lr=lr), X, y, **arguments)
        return caught.value

    def test_the_first_offending_op(self) -> None:
        model = Sequential(Linear(2, 3, seed=0), Scaled(), Linear(3, 1, seed=1))
        X = np.ones((6, 2))
        X[4] = 1e4
        error = self.diverge(model, X, np.zeros((6, 1)), lr=1e-9)
        text = str(error)
        assert "loss became" in text
        assert "epoch 1 of 9, batch 3 of 3" in text
        assert "that of exp in 1, of shape (2, 3)" in text
        assert "1 of 6 elements" in text or "of 6 elements" in text
        assert "smaller learning rate than 1e-09" in text
        assert (error.epoch, error.batch) == (1, 3)
        assert error.tensor is not None
        assert error.tensor.op is not None
        assert error.tensor.op.name == "exp"
        assert error.parameter is None

    def test_a_weight_that_overflowed(self) -> None:
        model = network()
        X, y = data()
        optimizer = SGD(model.parameters(), lr=0.1)

        def sabotage(run: Run) -> None:
            if run.epoch == 2:
                next(run.model.parameters()).data[0, 1] = np.nan

        with pytest.raises(TrainingDiverged) as caught:
            quiet(model, MSELoss(), optimizer, X, y, epochs=5, callbacks=[sabotage])
        text = str(caught.value)
        assert "epoch 3 of 5, batch 1 of 1" in text
        assert "parameter 'layers.0.weight' of shape (6, 3) holds NaN already" in text
        assert caught.value.parameter == "layers.0.weight"

    def test_data_that_was_never_finite(self) -> None:
        X, y = data()
        X[17, 2] = np.inf
        error = self.diverge(Sequential(Linear(3, 1, seed=0)), X, y)
        assert "because X[17, 2] is inf: the data must be finite" in str(error)
        X, y = data()
        y[5] = np.nan
        error = self.diverge(Sequential(Linear(3, 1, seed=0)), X, y)
        assert "because y[5, 0] is nan" in str(error)

    def test_the_validation_loss(self) -> None:
        model = Sequential(Scaled())
        error = self.diverge(
            model, np.ones((4, 1)), np.ones((4, 1)), validation=(np.full((3, 1), 1e5), np.ones((3, 1)))
        )
        assert "the validation loss became infinite in epoch 1 of 9, batch 1 of 2" in str(error)
        assert "that of exp in 0" in str(error)

    def test_a_weight_lost_in_the_last_update(self) -> None:
        model = Sequential(Linear(3, 1, seed=0))
        X, y = data()
        error = self.diverge(model, X, y * 1e150, lr=1e200, epochs=1, batch_size=None)
        assert "after the last update, in epoch 1, parameter '0.weight'" in str(error)

    def test_a_rate_that_is_too_large(self) -> None:
        X, y = data()
        error = self.diverge(Sequential(Linear(3, 8, seed=0), Linear(8, 1, seed=1)), X, y, lr=1e3, epochs=500)
        assert "smaller learning rate than 1000, or clip_norm=1.0" in str(error)
        assert isinstance(error, ArithmeticError)


class TestAnomaly:
    def test_the_line_that_made_it_is_named(self) -> None:
        model = Sequential(Linear(2, 3, seed=0), Scaled(), Linear(3, 1, seed=1))
        X = np.full((2, 2), 1e4)
        with pytest.raises(AnomalyError, match=r"return np\.exp\(self\.scale \* x\)"):
            quiet(model, MSELoss(), SGD(model.parameters(), lr=1e-9), X, np.zeros((2, 1)), epochs=1, anomaly=True)

    def test_a_derivative_is_caught_before_it_reaches_a_weight(self) -> None:
        class Root(Module):
            def __init__(self) -> None:
                self.weight = Parameter([0.0])

            def forward(self, x: Any) -> Any:
                return np.sqrt(self.weight * x)

        model = Root()
        arguments: Any = (MSELoss(), SGD(model.parameters(), lr=0.1), np.ones((2, 1)), np.ones((2, 1)))
        with pytest.raises(AnomalyError, match="sqrt") as caught:
            quiet(model, *arguments, epochs=1, anomaly=True)
        assert caught.value.backward
        assert model.weight.data.tolist() == [0.0]

    def test_a_healthy_run_is_the_same(self) -> None:
        X, y = data()
        losses = []
        for anomaly in (False, True):
            model = network()
            history = quiet(
                model, MSELoss(), SGD(model.parameters(), lr=0.1), X, y, epochs=3, batch_size=8, seed=0, anomaly=anomaly
            )
            losses.append([record["loss"] for record in history])
        assert losses[0] == losses[1]
