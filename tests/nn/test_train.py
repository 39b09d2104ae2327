"""The training loop: what it records, how it resumes, stops, shows itself and explains a divergence."""

from __future__ import annotations

import io
import json
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

from autodiff.tensor import Tensor
from nn import BatchNorm1d, BCELoss, BCEWithLogitsLoss, Dropout, Linear, MSELoss, Sequential, Tanh
from nn.io import load, save
from nn.layers import MLP
from nn.losses import CrossEntropyLoss
from nn.metrics import accuracy
from nn.module import Module, Parameter
from nn.optim import SGD, Adam, CosineAnnealingLR, ExponentialLR, ReduceLROnPlateau, RMSprop
from nn.progress import Bar, Lines, Progress, progress
from nn.train import Callback, Checkpoint, EarlyStopping, History, Run, TrainingDiverged, evaluate, fit

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]])
XOR_Y = np.array([[0], [1], [1], [0.0]])


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


class TestFit:
    def test_it_learns_xor(self) -> None:
        for seed in range(5):
            model = MLP([2, 5, 5, 1], activation="sigmoid", output="sigmoid", seed=seed)
            quiet(model, BCELoss(), SGD(model.parameters(), lr=2), XOR, XOR_Y, epochs=1500)
            assert np.abs(model(XOR).data - XOR_Y).max() < 0.1

    def test_full_batches_are_plain_gradient_descent(self) -> None:
        X, y = data()
        model, other = network(), network()
        history = quiet(model, BCEWithLogitsLoss(), SGD(model.parameters(), lr=0.5), X, y, epochs=4)
        optimizer = SGD(other.parameters(), lr=0.5)
        losses = []
        for _ in range(4):
            optimizer.zero_grad()
            loss = BCEWithLogitsLoss()(other(X), y)
            losses.append(float(loss))
            loss.backward()
            optimizer.step()
        assert history["loss"] == losses
        for p, q in zip(model.parameters(), other.parameters(), strict=True):
            np.testing.assert_array_equal(p.data, q.data)

    def test_one_record_per_epoch(self) -> None:
        X, y = data()
        model = network()
        optimizer = SGD(model.parameters(), lr=0.4)
        history = quiet(
            model,
            BCEWithLogitsLoss(),
            optimizer,
            X,
            y,
            epochs=3,
            batch_size=16,
            validation=(X[:20], y[:20]),
            metrics={"accuracy": lambda p, t: accuracy(p, t, threshold=0.0)},
            schedule=ExponentialLR(optimizer, 0.5),
            seed=1,
        )
        assert history.columns == ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds")
        assert history["epoch"] == [1, 2, 3]
        assert history["lr"] == [0.4, 0.2, 0.1]
        assert all(seconds > 0 for seconds in history["seconds"])
        assert [type(v) for v in history.last.values()] == [int, *[float] * 6]
        after = evaluate(model, BCEWithLogitsLoss(), X[:20], y[:20], batch_size=7)
        assert after["loss"] == pytest.approx(history.last["val_loss"], rel=1e-12)

    def test_the_loss_is_that_of_all_samples(self) -> None:
        X, y = data(10)
        for reduction, expected in (("mean", 1.0), ("sum", 10.0)):
            model = network()
            loss = BCEWithLogitsLoss(reduction=reduction)
            whole = float(loss(model(X), y))
            history = quiet(model, loss, SGD(model.parameters(), lr=0.0), X, y, epochs=1, batch_size=4, seed=0)
            assert history["loss"][0] == pytest.approx(whole, rel=1e-12)
            mean = float(BCEWithLogitsLoss()(model(X), y))
            assert history["loss"][0] == pytest.approx(expected * mean, rel=1e-12)

    def test_metrics_see_every_sample_once(self) -> None:
        X, y = data(23)
        seen: list[tuple[Any, Any]] = []
        model = network()
        quiet(
            model,
            MSELoss(),
            SGD(model.parameters(), lr=0.1),
            X,
            X[:, :1],
            epochs=1,
            batch_size=5,
            seed=0,
            metrics={"seen": lambda p, t: seen.append((p, t)) or 0.5},
        )
        ((prediction, target),) = seen
        assert prediction.shape == target.shape == (23, 1)
        assert sorted(target[:, 0]) == sorted(X[:, 0])
        assert not np.array_equal(target, X[:, :1])

    def test_the_shuffling_is_that_of_the_generator(self) -> None:
        X, y = data()
        results = []
        for source in ({"seed": 3}, {"rng": np.random.default_rng(3)}, {"seed": 4}, {"shuffle": False}):
            model = network()
            quiet(
                model,
                BCEWithLogitsLoss(),
                SGD(model.parameters(), lr=0.5),
                X,
                y,
                epochs=2,
                batch_size=7,
                **source,
            )
            results.append(next(model.parameters()).data.tobytes())
        assert results[0] == results[1]
        assert len(set(results)) == 3

    @pytest.mark.parametrize(
        "convert",
        [
            lambda a: a.astype(int).tolist(),
            lambda a: a.astype(int),
            lambda a: a.astype(bool),
            lambda a: Tensor(a),
            lambda a: a.astype(np.float32),
            lambda a: tuple(map(tuple, a)),
        ],
    )
    def test_kinds_of_data(self, convert: Any) -> None:
        model = MLP([2, 4, 1], activation="tanh", seed=0)
        loss = BCEWithLogitsLoss()
        history = quiet(model, loss, SGD(model.parameters(), lr=1), convert(XOR), convert(XOR_Y), epochs=3)
        other = MLP([2, 4, 1], activation="tanh", seed=0)
        assert columns(history) == columns(quiet(other, loss, SGD(other.parameters(), lr=1), XOR, XOR_Y, epochs=3))

    def test_float32_stays_float32(self) -> None:
        X, y = data()
        model = network(dtype=np.float32)
        seen = set()
        loss = BCEWithLogitsLoss()

        def watching(p: Any, t: Any) -> Any:
            value = loss(p, t)
            seen.update([p.dtype, value.dtype])
            return value

        quiet(model, watching, Adam(model.parameters()), X, y, epochs=2, batch_size=16, seed=0, validation=(X, y))
        assert seen == {np.dtype(np.float32)}
        assert {p.dtype for p in model.parameters()} == {np.dtype(np.float32)}

    def test_class_indices_stay_integers(self) -> None:
        X, y = data()
        model = MLP([3, 5, 2], activation="tanh", seed=0)
        history = quiet(model, CrossEntropyLoss(), Adam(model.parameters(), lr=0.05), X, y[:, 0].astype(int), epochs=40)
        assert history["loss"][-1] < 0.5 * history["loss"][0]

    def test_modes(self) -> None:
        X, y = data()
        modes: list[bool] = []

        class Watch(Module):
            def forward(self, x: Any) -> Any:
                modes.append(self.training)
                return x

        model = Sequential(Watch(), Linear(3, 1, seed=0))
        quiet(model, MSELoss(), SGD(model.parameters()), X, y, epochs=2, validation=(X, y))
        assert modes == [True, False, True, False]
        assert not any(module.training for module in model.modules())
        model.train()
        evaluate(model, MSELoss(), X, y)
        assert all(module.training for module in model.modules())

    def test_batch_norm_and_dropout_train(self) -> None:
        X, y = data()
        model = Sequential(Linear(3, 8, seed=0), BatchNorm1d(8), Tanh(), Dropout(0.2, seed=1), Linear(8, 1, seed=2))
        history = quiet(
            model, BCEWithLogitsLoss(), Adam(model.parameters(), lr=0.02), X, y, epochs=60, batch_size=20, seed=0
        )
        assert history["loss"][-1] < 0.7 * history["loss"][0]

    def test_clipping(self) -> None:
        X, y = data()
        for clip, size in (({"clip_norm": 1e-3}, 1e-3), ({"clip_value": 1e-4}, 1e-4 * math.sqrt(31))):
            model = network()
            before = np.concatenate([p.data.ravel() for p in model.parameters()])
            quiet(model, BCEWithLogitsLoss(), SGD(model.parameters(), lr=1.0), X, y, epochs=1, **clip)
            after = np.concatenate([p.data.ravel() for p in model.parameters()])
            assert 0.5 * size < np.linalg.norm(after - before) <= size

    def test_plateau_watches_the_validation_loss(self) -> None:
        X, y = data()
        model = network()
        optimizer = SGD(model.parameters(), lr=0.0)
        optimizer.param_groups[0]["lr"] = 1e-30  # changes nothing, so that nothing improves
        schedule = ReduceLROnPlateau(optimizer, patience=0, factor=0.5, eps=0.0)
        history = quiet(model, BCEWithLogitsLoss(), optimizer, X, y, epochs=4, validation=(X, y), schedule=schedule)
        assert history["lr"] == [1e-30, 1e-30, 0.5e-30, 0.25e-30]
        assert schedule.best == history["val_loss"][0]

    def test_memory_stays_flat(self) -> None:
        X = np.ones((2000, 50))
        y = np.ones((2000, 1))
        model = MLP([50, 50, 1], activation="tanh", seed=0)
        optimizer = SGD(model.parameters(), lr=1e-3)
        quiet(model, MSELoss(), optimizer, X, y, epochs=1)
        peaks = []
        for epochs in (2, 12):
            tracemalloc.start()
            quiet(model, MSELoss(), optimizer, X, y, epochs=epochs)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 1.1 * peaks[0]

    @pytest.mark.parametrize(
        ("change", "error", "words"),
        [
            ({"model": lambda x: x}, TypeError, "takes a Module, got a function"),
            ({"optimizer": "sgd"}, TypeError, "takes an optimizer"),
            ({"epochs": 0}, ValueError, "epochs must be"),
            ({"epochs": 2.5}, ValueError, "epochs must be"),
            ({"batch_size": 0}, ValueError, "batch_size must be"),
            ({"batch_size": 8}, ValueError, "pass seed=0"),
            ({"seed": 1, "rng": np.random.default_rng(0)}, ValueError, "not both"),
            ({"y": XOR_Y[:3]}, ValueError, r"X of shape \(4, 2\) and y of shape \(3, 1\)"),
            ({"X": XOR[:0], "y": XOR_Y[:0]}, ValueError, "no samples"),
            ({"X": 1.0}, ValueError, "shape"),
            ({"X": [[1.0, 2.0], [3.0]]}, ValueError, "X is no array of numbers"),
            ({"X": [["a", "b"]] * 4}, TypeError, "X must hold real numbers"),
            ({"y": XOR_Y[:, 0]}, ValueError, r"y\[:, None\]|target\[:, None\]"),
            ({"X": XOR[:, :1]}, ValueError, "shape"),
            ({"validation": XOR}, TypeError, "pair"),
            ({"validation": (XOR, XOR_Y[:2])}, ValueError, "X_val of shape"),
            ({"metrics": {"loss": accuracy}}, ValueError, "cannot be named 'loss'"),
            ({"metrics": {"accuracy": 0.5}}, TypeError, "must be a function"),
            ({"callbacks": [EarlyStopping]}, TypeError, "a callback is"),
            ({"callbacks": [3]}, TypeError, "a callback is"),
            ({"callbacks": [EarlyStopping(monitor="val_loss")]}, ValueError, "pass validation="),
            ({"callbacks": [EarlyStopping(monitor="f1")]}, ValueError, "records loss"),
            ({"loss": lambda p, t: (p - t) ** 2}, ValueError, r"loss has shape \(4, 1\)"),
            ({"loss": lambda p, t: float(((p - t) ** 2).mean())}, TypeError, "gave a float"),
            ({"progress": "yes"}, ValueError, "progress must be"),
            ({"clip_norm": -1}, ValueError, "max_norm"),
            ({"resume": "/nowhere/run.npz"}, OSError, "nowhere"),
        ],
    )
    def test_refused(self, change: dict[str, Any], error: type[Exception], words: str) -> None:
        model = MLP([2, 3, 1], activation="tanh", seed=0)
        arguments: dict[str, Any] = {
            "model": model,
            "loss": MSELoss(),
            "optimizer": SGD(model.parameters()),
            "X": np.tile(XOR, (4, 1)) if "batch_size" in change else XOR,
            "y": np.tile(XOR_Y, (4, 1)) if "batch_size" in change else XOR_Y,
            "epochs": 2,
            "progress": False,
        }
        before = model.state_dict()
        with pytest.raises(error, match=words):
            fit(**{**arguments, **change})
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(value, before[name])


class TestHistory:
    def test_best_and_columns(self) -> None:
        history = History()
        assert repr(history) == "History(0 epochs)"
        with pytest.raises(ValueError, match="no epoch"):
            _ = history.last
        with pytest.raises(KeyError, match="no columns yet"):
            history["loss"]
        history.load_dict({"epoch": [1, 2, 3], "loss": [0.3, 0.2, 0.1]})
        assert history.best == {"epoch": 3, "loss": 0.1}
        history.load_dict({"epoch": [1, 2, 3], "loss": [0.3, 0.2, 0.1], "val_loss": [0.5, 0.4, 0.6]})
        assert history.best["epoch"] == 2
        assert [record["loss"] for record in history] == history["loss"]
        with pytest.raises(KeyError, match="it has epoch, loss, val_loss"):
            history["accuracy"]
        with pytest.raises(ValueError, match="one length"):
            history.load_dict({"epoch": [1], "loss": []})

    def test_json(self, tmp_path: Any) -> None:
        history = History()
        history.load_dict({"epoch": [1, 2], "loss": [0.1, 1 / 3], "f1": [math.nan, 0.5]})
        history.save(tmp_path / "history.json")
        text = (tmp_path / "history.json").read_text()
        assert json.loads(text) == {"epoch": [1, 2], "loss": [0.1, 1 / 3], "f1": [None, 0.5]}


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

    def test_early_stopping_restores_after_a_divergence(self) -> None:
        model = network()
        optimizer = SGD(model.parameters(), lr=0.1)
        X, y = data()

        def sabotage(run: Run) -> None:
            if run.epoch == 4:
                optimizer.param_groups[0]["lr"] = 1e300

        with pytest.raises(TrainingDiverged):
            quiet(model, MSELoss(), optimizer, X, y, epochs=9, callbacks=[EarlyStopping(), sabotage])
        assert all(np.isfinite(p.data).all() for p in model.parameters())

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
        model, again, _, _ = self.overfitting()
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
        with pytest.raises(ValueError, match="EarlyStopping|Checkpoint"):
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
        error = self.diverge(model, X, y * 1e200, lr=1e200, epochs=1, batch_size=None)
        assert "after the last update, in epoch 1, parameter '0.weight'" in str(error)

    def test_a_rate_that_is_too_large(self) -> None:
        X, y = data()
        error = self.diverge(Sequential(Linear(3, 8, seed=0), Linear(8, 1, seed=1)), X, y, lr=1e3, epochs=500)
        assert "smaller learning rate than 1000, or clip_norm=1.0" in str(error)
        assert isinstance(error, ArithmeticError)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestProgress:
    def run(self, epochs: int, show: Any) -> None:
        model = network()
        X, y = data()
        fit(
            model,
            BCEWithLogitsLoss(),
            SGD(model.parameters(), lr=0.1),
            X,
            y,
            epochs=epochs,
            metrics={"accuracy": lambda p, t: accuracy(p, t, threshold=0.0)},
            progress=show,
        )

    def test_nothing(self, capsys: Any) -> None:
        self.run(5, False)
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (4, 4), (100, 11), (1003, 11)])
    def test_about_ten_lines_when_piped(self, epochs: int, expected: int, capsys: Any) -> None:
        self.run(epochs, "auto")
        out, err = capsys.readouterr()
        lines = out.splitlines()
        assert err == ""
        assert len(lines) == expected
        assert lines[-1].startswith(f"epoch {epochs}/{epochs}  loss 0.")
        for word in ("accuracy", "steps/s", "left"):
            assert all(word in line for line in lines)

    def test_a_bar_on_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        out, err = Terminal(), Terminal()
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", err)
        self.run(50, "auto")
        assert out.getvalue() == ""
        last = err.getvalue().rstrip("\n").split("\r")[-1]
        assert "epoch 50/50: 100%" in last
        for word in ("50/50 [", "steps/s", "loss=0.", "accuracy=0."):
            assert word in last

    def test_lines_when_only_one_stream_is_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        out, err = io.StringIO(), Terminal()
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", err)
        self.run(3, "auto")
        assert err.getvalue() == ""
        assert out.getvalue().startswith("epoch 1/3")

    def test_the_choice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert type(progress(False, 3, 2)) is Progress
        assert type(progress("auto", 3, 2, done=3)) is Progress
        monkeypatch.setattr("sys.stdout", None)
        assert type(progress("auto", 3, 2)) is Lines

    def test_an_early_end_has_its_line(self, capsys: Any) -> None:
        lines = Lines(100, 1)
        for epoch in range(1, 14):
            lines.epoch({"epoch": epoch, "loss": 0.5, "lr": 1, "seconds": 0.1})
        lines.close({"epoch": 13, "loss": 0.25, "lr": 1, "seconds": 0.1})
        out = capsys.readouterr().out.splitlines()
        assert [line[:9] for line in out] == ["epoch   1", "epoch  10", "epoch  13"]
        assert "loss 0.2500" in out[-1]

    def test_a_resumed_bar_begins_where_it_was(self) -> None:
        err = Terminal()
        bar = Bar(10, 4, done=5, file=err)
        for _ in range(4):
            bar.step()
        bar.epoch({"epoch": 6, "loss": 0.5})
        bar.close({"epoch": 6, "loss": 0.5})
        assert "24/40 [" in err.getvalue()
        assert "epoch 6/10:  60%" in err.getvalue()
