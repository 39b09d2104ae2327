"""Callbacks: stopping early with the best weights, and resuming from a checkpoint to the bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nn import BatchNorm1d, BCEWithLogitsLoss, Dropout, Linear, MSELoss, Sequential, Tanh
from nn.io import load, save
from nn.layers import MLP
from nn.module import Module
from nn.optim import SGD, Adam, CosineAnnealingLR, ReduceLROnPlateau, RMSprop
from nn.train import Callback, Checkpoint, EarlyStopping, History, Run, TrainingDiverged, fit


def data(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, 3))
    return X, (X[:, :1] * X[:, 1:2] > 0).astype(float)


def network(seed: int = 0, dtype: Any = np.float64) -> MLP:
    return MLP([3, 6, 1], activation="tanh", seed=seed, dtype=dtype)


def quiet(*args: Any, **kwargs: Any) -> History:
    return fit(*args, progress=False, **kwargs)


def columns(history: History) -> dict[str, list[Any]]:
    return {key: values for key, values in history.to_dict().items() if key != "seconds"}


class Noisy(Callback):
    """Notes what happens to it."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_train_begin(self, run: Run) -> None:
        self.events.append("begin")

    def on_epoch_end(self, run: Run) -> None:
        self.events.append(f"epoch {run.epoch}")
        self.stop = run.epoch == 3

    def on_train_end(self, run: Run) -> None:
        self.events.append("end")


class TestCallbacks:
    def test_order_and_stop(self) -> None:
        model = network()
        noisy = Noisy()
        seen = []
        history = quiet(
            model,
            MSELoss(),
            SGD(model.parameters()),
            *data(),
            epochs=9,
            callbacks=[noisy, lambda run: seen.append(run.history.last["loss"])],
        )
        assert noisy.events == ["begin", "epoch 1", "epoch 2", "epoch 3", "end"]
        assert seen == history["loss"]
        assert len(history) == 3

    def overfitting(self, **stop: Any) -> tuple[Any, Any, EarlyStopping, list[dict[str, Any]]]:
        """A run whose validation loss first falls and then rises."""
        rng = np.random.default_rng(0)
        X, X_val = rng.normal(size=(12, 3)), rng.normal(size=(200, 3))
        y, y_val = ((x[:, :1] + rng.normal(size=(len(x), 1)) > 0).astype(float) for x in (X, X_val))
        model = MLP([3, 20, 1], activation="tanh", seed=0)
        stopping = EarlyStopping(**stop)
        weights: list[dict[str, Any]] = []
        arguments = {
            "model": model,
            "loss": BCEWithLogitsLoss(),
            "optimizer": Adam(model.parameters(), lr=0.02),
            "X": X,
            "y": y,
            "validation": (X_val, y_val),
            "callbacks": [stopping, lambda run: weights.append(run.model.state_dict())],
            "progress": False,
        }
        return model, arguments, stopping, weights

    def is_best(self, model: Module, history: History, weights: list[dict[str, Any]]) -> bool:
        best = weights[history.best["epoch"] - 1]
        return all(np.array_equal(best[name], value) for name, value in model.state_dict().items())

    def test_early_stopping_stops(self) -> None:
        model, arguments, stopping, weights = self.overfitting(patience=5)
        history = fit(**arguments, epochs=300)
        assert history.best["epoch"] == stopping.best_epoch == len(history) - 5
        assert stopping.best == history.best["val_loss"]
        assert self.is_best(model, history, weights)

    def test_early_stopping_restores_after_the_last_epoch(self) -> None:
        model, arguments, stopping, weights = self.overfitting(patience=1000)
        history = fit(**arguments, epochs=80)
        assert len(history) == 80
        assert 1 < stopping.best_epoch < 60
        assert self.is_best(model, history, weights)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
    def test_early_stopping_restores_after_an_exception(self, error: type[BaseException]) -> None:
        model, arguments, _, weights = self.overfitting(patience=1000)

        def interrupt(run: Run) -> None:
            if run.epoch == 60:
                raise error

        kept: list[Run] = []
        arguments["callbacks"] += [kept.append, interrupt]
        with pytest.raises(error):
            fit(**arguments, epochs=80)
        assert self.is_best(model, kept[0].history, weights)
        assert not model.training

    def test_early_stopping_keeps_no_weights_that_are_not_finite(self) -> None:
        model = network()
        X, y = data()
        weights = []

        def sabotage(run: Run) -> None:
            weights.append(run.model.state_dict())
            if run.epoch == 4:
                next(run.model.parameters()).data[0] = np.nan

        stopping = EarlyStopping()
        with pytest.raises(TrainingDiverged):
            quiet(
                model,
                MSELoss(),
                SGD(model.parameters(), lr=0.1),
                X,
                y,
                epochs=9,
                callbacks=[sabotage, stopping],
            )
        assert stopping.best_epoch == 3
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(value, weights[2][name])

    def test_min_delta_and_mode(self) -> None:
        X, y = data()
        for arguments, expected in (
            ({"min_delta": 10.0}, 1),
            ({"monitor": "score"}, 7),
            ({"monitor": "score", "mode": "min"}, 1),
            ({"monitor": "score", "min_delta": 0.05}, 7),
            ({"monitor": "score", "min_delta": 0.25}, 7),
        ):
            model = network()
            scores = iter([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
            stopping = EarlyStopping(patience=9, **arguments)
            quiet(
                model,
                BCEWithLogitsLoss(),
                SGD(model.parameters(), lr=0.01),
                X,
                y,
                epochs=7,
                metrics={"score": lambda p, t, scores=scores: next(scores)},
                callbacks=[stopping],
            )
            assert stopping.best_epoch == expected

    def test_it_can_be_used_again(self) -> None:
        _, arguments, stopping, _ = self.overfitting(patience=5)
        fit(**arguments, epochs=300)
        first = stopping.best_epoch
        _, again, _, _ = self.overfitting()
        history = fit(**{**again, "callbacks": [stopping]}, epochs=300)
        assert stopping.best_epoch == first == len(history) - 5

    @pytest.mark.parametrize(
        "make",
        [
            lambda: EarlyStopping(0),
            lambda: EarlyStopping(1.5),
            lambda: EarlyStopping(min_delta=-1),
            lambda: EarlyStopping(min_delta=math.nan),
            lambda: EarlyStopping(mode="least"),
            lambda: Checkpoint("x.npz", every=0),
        ],
    )
    def test_refused(self, make: Any) -> None:
        with pytest.raises(ValueError, match=r"^(EarlyStopping|Checkpoint)"):
            make()


class TestResume:
    def setup_run(self, kind: str = "adam", path: Any = None, **extra: Any) -> tuple[Any, dict[str, Any]]:
        X, y = data()
        model = Sequential(Linear(3, 8, seed=0), BatchNorm1d(8), Tanh(), Dropout(0.3, seed=1), Linear(8, 1, seed=2))
        optimizer = {
            "adam": lambda: Adam(model.parameters(), lr=0.02, amsgrad=True),
            "sgd": lambda: SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True),
            "rmsprop": lambda: RMSprop(model.parameters(), momentum=0.5, centered=True),
        }[kind]()
        return model, {
            "model": model,
            "loss": BCEWithLogitsLoss(),
            "optimizer": optimizer,
            "X": X[:40],
            "y": y[:40],
            "batch_size": 16,
            "validation": (X[40:], y[40:]),
            "seed": 7,
            "schedule": CosineAnnealingLR(optimizer, 12),
            "callbacks": [Checkpoint(path), EarlyStopping(patience=100)] if path else [EarlyStopping(patience=100)],
            "progress": False,
            **extra,
        }

    @pytest.mark.parametrize("kind", ["adam", "sgd", "rmsprop"])
    def test_to_the_bit(self, kind: str, tmp_path: Any) -> None:
        whole, arguments = self.setup_run(kind)
        expected = fit(**arguments, epochs=12)

        path = tmp_path / "run.npz"
        _, arguments = self.setup_run(kind, path)
        fit(**arguments, epochs=5)
        model, arguments = self.setup_run(kind, path)
        history = fit(**arguments, epochs=12, resume=path)

        assert columns(history) == columns(expected)
        for (name, value), other in zip(whole.state_dict().items(), model.state_dict().values(), strict=True):
            assert value.tobytes() == other.tobytes(), name

    def test_plateau_and_early_stopping_go_on(self, tmp_path: Any) -> None:
        def arguments(path: Any) -> tuple[Any, dict[str, Any]]:
            model, given = self.setup_run("sgd", path)
            given["schedule"] = ReduceLROnPlateau(given["optimizer"], patience=1)
            given["callbacks"][-1] = EarlyStopping(patience=6)
            return model, given

        whole, given = arguments(None)
        expected = fit(**given, epochs=60)
        assert len(expected) < 60
        path = tmp_path / "run.npz"
        for epochs in (4, len(expected) - 3, 60, 70):
            model, given = arguments(path)
            history = fit(**given, epochs=epochs, resume=path if path.exists() else None)
        assert columns(history) == columns(expected)
        for value, other in zip(whole.state_dict().values(), model.state_dict().values(), strict=True):
            np.testing.assert_array_equal(value, other)

    def test_after_an_interruption_within_an_epoch(self, tmp_path: Any) -> None:
        whole, arguments = self.setup_run()
        expected = fit(**arguments, epochs=8)
        path = tmp_path / "run.npz"
        _, arguments = self.setup_run("adam", path)
        calls = 0
        plain = BCEWithLogitsLoss()

        def loss(p: Any, t: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 18:
                raise KeyboardInterrupt
            return plain(p, t)

        with pytest.raises(KeyboardInterrupt):
            fit(**{**arguments, "loss": loss}, epochs=8)
        model, arguments = self.setup_run("adam", path)
        history = fit(**arguments, epochs=8, resume=path)
        assert columns(history) == columns(expected)
        for value, other in zip(whole.state_dict().values(), model.state_dict().values(), strict=True):
            np.testing.assert_array_equal(value, other)

    def test_every(self, tmp_path: Any) -> None:
        path = tmp_path / "run.npz"
        model = network()
        saved: list[int] = []
        optimizer = SGD(model.parameters())

        class Note(Checkpoint):
            def on_epoch_end(self, run: Run) -> None:
                super().on_epoch_end(run)
                saved.append(len(load(path)["history"]["epoch"]) if path.exists() else 0)

        quiet(model, MSELoss(), optimizer, *data(), epochs=8, callbacks=[Note(path, every=3)])
        assert saved == [0, 0, 3, 3, 3, 6, 6, 8]

    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (lambda s: s["model"].pop("0.weight"), "0.weight"),
            (lambda s: s["optimizer"]["state"].pop(), "parameters"),
            (lambda s: s["schedule"].update(algorithm="StepLR"), "StepLR"),
            (lambda s: s.update(schedule=None), "made with no schedule, this run has a one|schedule"),
            (lambda s: s["rng"].update(bit_generator="MT19937"), "fit this run"),
            (lambda s: s["rng"].pop("state"), "fit this run"),
            (lambda s: s["generators"].clear(), "random generators"),
            (lambda s: s["history"].update(loss=np.zeros(1)), "one length"),
            (lambda s: s["callbacks"].append(3), "fit this run"),
            (lambda s: s.pop("history"), "no checkpoint"),
        ],
    )
    def test_a_refused_checkpoint_changes_nothing(self, damage: Any, words: str, tmp_path: Any) -> None:
        path = tmp_path / "run.npz"
        _, arguments = self.setup_run("adam", path)
        fit(**arguments, epochs=3)
        state = load(path)
        damage(state)
        save(state, path)
        model, arguments = self.setup_run("adam")
        optimizer, schedule = arguments["optimizer"], arguments["schedule"]
        before = model.state_dict(), optimizer.state_dict(), schedule.state_dict(), model[3].rng.bit_generator.state
        with pytest.raises(ValueError, match=words):
            fit(**arguments, epochs=9, resume=path)
        after = model.state_dict(), optimizer.state_dict(), schedule.state_dict(), model[3].rng.bit_generator.state
        np.testing.assert_equal(after, before)
