"""The training loop: what it does, what it records, and what it refuses."""

from __future__ import annotations

import json
import math
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest

from autodiff.tensor import Tensor
from nn import BatchNorm1d, BCELoss, BCEWithLogitsLoss, Dropout, Linear, MSELoss, Sequential, Tanh
from nn.layers import MLP
from nn.losses import CrossEntropyLoss
from nn.metrics import accuracy
from nn.module import Module
from nn.optim import SGD, Adam, ExponentialLR, ReduceLROnPlateau
from nn.train import EarlyStopping, History, evaluate, fit

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
        X, _ = data(23)
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

    def test_a_step_leaves_no_graph_behind(self) -> None:
        hidden: list[weakref.ref[Tensor]] = []
        alive: list[int] = []

        class Watch(Module):
            def forward(self, x: Any) -> Any:
                alive.append(sum(ref() is not None for ref in hidden))
                hidden.append(weakref.ref(x))
                return x

        model = Sequential(Linear(3, 4, seed=0), Tanh(), Watch(), Linear(4, 1, seed=0))
        quiet(model, MSELoss(), SGD(model.parameters()), *data(), epochs=2, batch_size=20, seed=0)
        assert alive == [0] * 6

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
