"""Pictures of a training: how many, of what, and that the training does not notice."""

from __future__ import annotations

import gc
import importlib.util
import pickle
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiff.anomaly import AnomalyError
from autodiff.draw.page.recording import Recording
from autodiff.tensor import Tensor
from nn import (
    MLP,
    BatchNorm1d,
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    Dropout,
    Linear,
    Module,
    MSELoss,
    Sequential,
    Tanh,
)
from nn.functional import binary_cross_entropy_with_logits
from nn.optim import SGD, Adam, ExponentialLR
from nn.train import Checkpoint, EarlyStopping, History, TrainingDiverged, fit, loop

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]])
XOR_Y = np.array([[0], [1], [1], [0.0]])
HAS_NUMBA = importlib.util.find_spec("numba") is not None


@pytest.fixture(autouse=True)
def _short_runs_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "WORTHWHILE", 1)


def data(n: int = 40, features: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, features))
    return X, (X[:, :1] * X[:, 1:2] > 0).astype(float)


def network() -> MLP:
    return MLP([3, 4, 1], activation="tanh", seed=0)


def noisy() -> Sequential:
    return Sequential(Linear(3, 4, seed=0), BatchNorm1d(4), Tanh(), Dropout(0.3, seed=1), Linear(4, 1, seed=2))


class Careless(Module):
    """Draws, counts and averages in whatever mode it is."""

    def __init__(self) -> None:
        self.inner = network()
        self.rng = np.random.default_rng(3)
        self.mean = np.zeros(3)
        self.calls = 0
        self.last: Any = None

    def forward(self, x: Any) -> Any:
        vars(self).setdefault("first", x.shape)
        self.calls += 1
        self.mean += 0.1 * np.asarray(x).mean(axis=0)
        self.last = self.inner(x + 0.1 * self.rng.normal(size=3) + 0.1 * np.random.normal() - self.mean)
        return self.last


def train(make: Callable[[], Any] = network, optimizer: Any = None, **more: Any) -> tuple[Any, History]:
    model = make()
    X, y = data()
    arguments: dict[str, Any] = {"X": X, "y": y, "epochs": 6, "loss": BCEWithLogitsLoss(), "compile": False, **more}
    chosen = (optimizer or (lambda p: SGD(p, lr=0.3, momentum=0.9)))(model.parameters())
    if "schedule" in arguments:
        arguments["schedule"] = arguments["schedule"](chosen)
    if arguments.get("batch_size"):
        arguments["seed"] = 3
    return model, fit(model, arguments.pop("loss"), chosen, **arguments, progress=False)


def epochs(history: History) -> list[int]:
    assert history.recording is not None
    return [moment.epoch for moment in history.recording.moments]


def columns(history: History) -> dict[str, list[Any]]:
    return {key: values for key, values in history.to_dict().items() if key != "seconds"}


def state(model: Any) -> dict[str, Any]:
    """All that a training leaves in a model."""
    found = {**model.state_dict(), **{f"grad of {name}": p.grad for name, p in model.named_parameters()}}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, np.random.Generator):
                found[f"{name}.{key}"] = np.array(list(value.bit_generator.state["state"].values()), dtype=object)
            elif isinstance(value, (bool, int, np.ndarray)):
                found[f"{name}.{key}"] = value
    return found


def same(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


ADAM = {"optimizer": lambda p: Adam(p, lr=0.01)}
CASES: dict[str, dict[str, Any]] = {
    "one batch": {},
    "batches": {"batch_size": 16},
    "Adam": {"batch_size": 16, **ADAM},
    "batch norm and dropout": {"make": noisy, "batch_size": 20},
    "noisy, Adam, one batch": {"make": noisy, **ADAM},
    "clipped": {"clip_norm": 0.05, "clip_value": 0.03},
    "classes": {
        "make": lambda: MLP([3, 5, 2], activation="relu", seed=0),
        "loss": CrossEntropyLoss(),
        "y": data()[1][:, 0].astype(int),
    },
    "schedule and validation": {
        "schedule": lambda optimizer: ExponentialLR(optimizer, 0.7),
        "validation": data(23),
        "metrics": {"mean": lambda p, t: float((p * t).mean())},
    },
    "float32": {"make": lambda: MLP([3, 4, 1], activation="tanh", seed=0, dtype=np.float32)},
}
RUNS: list[tuple[str, Any]] = [(case, compile) for case in CASES for compile in (False, True)]
if HAS_NUMBA:  # machine code takes a while to make
    RUNS += [("batches", "numba"), ("batch norm and dropout", "numba")]


class TestUndisturbed:
    @pytest.mark.parametrize(("case", "compile"), RUNS)
    def test_to_the_bit(self, case: str, compile: Any) -> None:
        wanted, plain = train(**CASES[case], compile=compile)
        got, history = train(**CASES[case], compile=compile, record=1)
        assert history.compiled == plain.compiled == bool(compile)
        assert (plain.recording, epochs(history)) == (None, [0, 1, 2, 3, 4, 5, 6])
        assert columns(history) == columns(plain)
        same(state(got), state(wanted))

    def test_layers_that_heed_no_mode(self) -> None:
        for compile in (False, True):
            drawn = np.random.get_state()
            results = []
            for record in (None, 1):
                np.random.seed(7)
                model, history = train(Careless, batch_size=16, record=record, compile=compile)
                results.append((state(model), columns(history), np.random.normal()))
            np.random.set_state(drawn)
            (wanted, *plain), (got, *recorded) = results
            assert plain == recorded
            assert model.calls == 6 * 3
            assert model.first == (16, 3)
            same(got, wanted)

    def test_modes_that_a_person_set(self) -> None:
        """Frozen statistics in training: the mode of one layer differs from the rest, between epochs, too."""
        seen = []

        def freeze(run: Any) -> None:
            seen.append([module.training for module in run.model.modules()])
            run.model[1].training = False
            run.optimizer.zero_grad()

        model, history = train(noisy, callbacks=[freeze], record=1)
        assert seen == [[True] * 6, *[[True, True, False, True, True, True]] * 5]
        assert history.recording is not None
        assert not any(module.training for module in model.modules())
        assert all(p.grad is None for p in model.parameters())

    def test_hooks_and_gradients_outside_the_model(self) -> None:
        penalty = Tensor([2.0], requires_grad=True)
        penalty.grad = given = np.array([5.0])
        calls = []
        penalty.register_hook(calls.append)

        class Watched(MLP):
            def forward(self, x: Any) -> Any:
                z = super().forward(x)
                if z.requires_grad:
                    z.register_hook(lambda g: calls.append(g))
                return z

        def loss(p: Any, t: Any) -> Any:
            return binary_cross_entropy_with_logits(p, t) + (penalty * 0.1).sum()

        train(lambda: Watched([3, 4, 1], activation="tanh", seed=0), loss=loss, epochs=1, record=1)
        assert len(calls) == 2
        np.testing.assert_allclose(penalty.grad, 5.1)
        np.testing.assert_array_equal(given, [5.0])

    def test_a_resumed_run(self, tmp_path: Path) -> None:
        path = tmp_path / "run.npz"

        def interrupt(run: Any) -> None:
            if run.epoch == 3:
                raise KeyboardInterrupt

        wanted, whole = train(noisy, batch_size=16, epochs=8)
        with pytest.raises(KeyboardInterrupt):
            train(noisy, batch_size=16, epochs=8, callbacks=[Checkpoint(path), interrupt], record=2)
        got, history = train(noisy, batch_size=16, epochs=8, resume=path, record=2)
        assert columns(history) == columns(whole)
        same(state(got), state(wanted))
        assert epochs(history) == [2, 4, 6, 8]

    def test_graphs_are_freed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        alive: list[weakref.ref[Tensor]] = []
        add = Recording.add

        def noted(self: Recording, loss: Tensor, **more: Any) -> None:
            assert not any(ref() is not None for ref in alive)
            alive.append(weakref.ref(loss))
            add(self, loss, **more)

        monkeypatch.setattr(Recording, "add", noted)
        gc.disable()
        try:
            train(record=1)
        finally:
            gc.enable()
        assert len(alive) == 7
        assert not any(ref() is not None for ref in alive)


class TestPictures:
    @pytest.mark.parametrize(
        ("record", "expected"), [(1, [0, 1, 2, 3, 4, 5, 6, 7]), (3, [0, 3, 6, 7]), (7, [0, 7]), (99, [0, 7])]
    )
    def test_epochs(self, record: int, expected: list[int]) -> None:
        assert epochs(train(epochs=7, record=record)[1]) == expected

    def test_what_they_show(self) -> None:
        X, y = data(300)
        _, history = train(noisy, X=X, y=y, validation=data(20), record=4, batch_size=50)
        assert history.recording is not None
        first, second, last = history.recording.moments
        assert set(first.figures) == {"loss"}
        assert second.figures == {key: float(value) for key, value in history.records[3].items()}
        assert last.figures["val_loss"] == history.last["val_loss"]
        for moment in (first, second, last):
            shapes = {node.name: node.value.shape for node in moment.model.nodes.values() if hasattr(node, "value")}
            assert moment.model.root.name == "loss"
            assert (shapes["x"], shapes["target"]) == ((256, 3), (256, 1))
            assert moment.model.has_gradients
            assert moment.probabilities is None

    def test_loss_and_gradients_are_the_models_own_in_evaluation_mode(self) -> None:
        X, y = data()
        model, history = train(noisy, record=6)
        assert history.recording is not None
        loss = BCEWithLogitsLoss()(model(X), y)
        last = model[4].bias
        shown = history.recording.moments[-1].model
        assert shown.root.value is not None
        assert float(shown.root.value.values) == pytest.approx(float(loss), rel=1e-15)
        (grad,) = [node.grad for node in shown.nodes.values() if node.name == "bias" and node.value.shape == (1,)]
        np.testing.assert_allclose(grad.values, loss.gradient(last), rtol=1e-12)

    def test_stopped_early(self) -> None:
        stopped = EarlyStopping(patience=2, monitor="up", mode="max")
        count = iter([1.0, 0.5, 0.4])
        _, history = train(callbacks=[stopped], metrics={"up": lambda p, t: next(count)}, record=5)
        assert epochs(history) == [0, 3]

    def test_a_run_that_was_over_already(self, tmp_path: Path) -> None:
        train(callbacks=[Checkpoint(tmp_path / "run.npz")])
        assert epochs(train(resume=tmp_path / "run.npz", record=2)[1]) == [6]

    def test_classes_keep_the_name_of_the_inputs(self) -> None:
        _, history = train(**CASES["classes"], record=6)
        assert history.recording is not None
        assert "x" in {node.name for node in history.recording.moments[0].model.nodes.values()}

    def test_a_model_that_takes_arrays_only(self) -> None:
        class Sorted(MLP):
            def forward(self, x: Any) -> Any:
                assert isinstance(x, np.ndarray)
                return super().forward(np.sort(x, axis=1))

        assert epochs(train(lambda: Sorted([3, 4, 1], seed=0), record=3)[1]) == [0, 3, 6]

    def test_anomalies_are_the_trainings_affair(self) -> None:
        """A picture of a model on its way to infinity is no error, and the diagnosis is that of the training."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(TrainingDiverged):
                train(loss=MSELoss(), optimizer=lambda p: SGD(p, lr=1e200), record=1)
            with pytest.raises(AnomalyError):
                train(loss=MSELoss(), optimizer=lambda p: SGD(p, lr=1e200), anomaly=True, record=1)


class TestBoundary:
    @pytest.mark.parametrize(
        ("output", "loss"),
        [
            (None, BCEWithLogitsLoss()),
            (None, binary_cross_entropy_with_logits),
            ("sigmoid", BCELoss()),
            ("sigmoid", MSELoss()),
            ("sigmoid", lambda p, t: ((p - t) ** 2).mean()),
        ],
    )
    def test_it_is_the_models_own(self, output: str | None, loss: Any) -> None:
        make = lambda: MLP([2, 3, 1], activation="tanh", output=output, seed=0)
        X = np.array([[0, -2], [4, 0], [1, 2.0]])
        model, history = train(make, X=X, y=[[0], [1], [1]], loss=loss, record=3)
        recording = history.recording
        assert recording is not None
        assert recording.extent == pytest.approx((-0.6, 4.6, -2.6, 2.6))
        np.testing.assert_array_equal(recording.points, X)
        np.testing.assert_array_equal(recording.labels, [0, 1, 1])
        says = recording.moments[-1].probabilities
        assert says.shape == (20, 20)
        for row, column in ((0, 0), (0, 19), (19, 0), (7, 12)):
            point = [[-0.6 + 5.2 * column / 19, -2.6 + 5.2 * row / 19]]
            z = float(model(point).data[0, 0])
            assert says[row, column] == pytest.approx(z if output else 1 / (1 + np.exp(-z)), rel=1e-10)
        assert not np.array_equal(recording.moments[0].probabilities, says)

    def test_inputs_that_do_not_vary(self) -> None:
        _, history = train(lambda: MLP([2, 3, 1], seed=0), X=np.full((3, 2), 7.0), y=[[0], [1], [1]], record=6)
        assert history.recording is not None
        assert history.recording.extent == (6.5, 7.5, 6.5, 7.5)

    @pytest.mark.parametrize(
        "settings",
        [
            {"make": network},
            {"make": lambda: MLP([2, 3, 1], seed=0), "X": XOR, "y": XOR_Y, "loss": MSELoss()},
            {"make": lambda: MLP([2, 3, 1], output="sigmoid", seed=0), "X": XOR, "y": 0.3 * XOR_Y, "loss": MSELoss()},
            {"make": lambda: MLP([2, 3, 2], seed=0), "X": XOR, "y": np.hstack([XOR_Y, XOR_Y])},
        ],
    )
    def test_none(self, settings: dict[str, Any]) -> None:
        _, history = train(**settings, record=3)
        assert history.recording is not None
        assert (history.recording.points, history.recording.extent) == (None, None)
        assert all(moment.probabilities is None for moment in history.recording.moments)


class TestErrors:
    @pytest.mark.parametrize("record", [0, -1, 2.5, True, False, "10"])
    def test_record(self, record: Any) -> None:
        with pytest.raises(ValueError, match=rf"record must be .* got {record!r}: record=10 takes"):
            train(record=record)

    def test_a_picture_that_fails_is_noted_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wanted, plain = train(noisy, batch_size=16)
        calls = []

        def broken(self: Recording, loss: Tensor, **more: Any) -> None:
            calls.append(more["epoch"])
            raise ValueError("a graph that cannot be drawn")

        monkeypatch.setattr(Recording, "add", broken)
        with pytest.warns(RuntimeWarning, match="no picture was taken after 0 epochs, .* cannot be drawn") as caught:
            got, history = train(noisy, batch_size=16, record=3)
        assert len(caught) == 1
        assert calls == [0, 3, 6]
        assert columns(history) == columns(plain)
        same(state(got), state(wanted))
        with pytest.raises(ValueError, match="nothing was recorded"):
            history.html("page.html")

    def test_ctrl_c_in_a_picture(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def stopped(self: Recording, loss: Tensor, **more: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Recording, "add", stopped)
        model = network()
        before = [p.grad for p in model.parameters()]
        with pytest.raises(KeyboardInterrupt):
            train(lambda: model, record=1)
        assert [p.grad for p in model.parameters()] == before


class TestHistory:
    def test_the_page(self, tmp_path: Path) -> None:
        _, history = train(record=3)
        assert history.html(tmp_path / "page.html") == tmp_path / "page.html"
        assert (tmp_path / "page.html").stat().st_size
        with pytest.raises(OSError):
            history.html(tmp_path / "no" / "page.html")

    def test_without_pictures(self, tmp_path: Path) -> None:
        for history in (train()[1], History()):
            with pytest.raises(ValueError, match=r"nothing was recorded: fit\(\.\.\., record=10\)"):
                history.html(tmp_path / "page.html")
        assert not list(tmp_path.iterdir())

    def test_pickles(self, tmp_path: Path) -> None:
        _, history = train(record=3)
        again = pickle.loads(pickle.dumps(history))
        assert columns(again) == columns(history)
        assert epochs(again) == epochs(history)
        history.save(tmp_path / "history.json")
        assert "recording" not in (tmp_path / "history.json").read_text()
        old = History.__new__(History)  # pickled when there was no recording
        old.__dict__.update({"records": [], "steps": 0, "compiled": False})
        assert pickle.loads(pickle.dumps(old)).recording is None
