"""`fit` with a compiled step: the same run, quicker; and what it does where there can be no program."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autodiff import Tensor
from nn import (
    MLP,
    BatchNorm1d,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    Dropout,
    Linear,
    Module,
    MSELoss,
    Parameter,
    ReLU,
    Sequential,
    Tanh,
)
from nn.optim import SGD, Adam, AdamW, ExponentialLR, RMSprop
from nn.train import Callback, Checkpoint, EarlyStopping, History, Run, TrainingDiverged, fit, loop

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]])
XOR_Y = np.array([[0], [1], [1], [0.0]])


@pytest.fixture(autouse=True)
def _short_runs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "WORTHWHILE", 1)


def data(n: int = 60, dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, 3)).astype(dtype)
    return X, (X[:, :1] * X[:, 1:2] > 0).astype(dtype)


def network(dtype: Any = np.float64) -> MLP:
    return MLP([3, 6, 1], activation="tanh", seed=0, dtype=dtype)


def noisy() -> Sequential:
    return Sequential(Linear(3, 8, seed=0), BatchNorm1d(8), Tanh(), Dropout(0.3, seed=1), Linear(8, 1, seed=2))


def columns(history: History) -> dict[str, list[Any]]:
    return {key: values for key, values in history.to_dict().items() if key != "seconds"}


def train(compile: Any, make: Callable[[], Any] = network, optimizer: Any = None, **more: Any) -> tuple[Any, History]:
    model = make()
    arguments: dict[str, Any] = {
        "epochs": 6,
        "batch_size": 16,
        "seed": 3,
        "progress": False,
        "loss": BCEWithLogitsLoss(),
    }
    arguments |= dict(zip("Xy", data(), strict=True)) | more
    chosen = (optimizer or (lambda p: SGD(p, lr=0.5)))(model.parameters())
    if "schedule" in arguments:
        arguments["schedule"] = arguments["schedule"](chosen)
    return model, fit(model, arguments.pop("loss"), chosen, **arguments, compile=compile)


def same(got: Any, wanted: Any, tolerance: float = 1e-12) -> None:
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(got[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: SGD(p, lr=0.5),
    "Nesterov": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda p: Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p: AdamW(p, lr=0.01),
    "RMSprop": lambda p: RMSprop(p, lr=0.01, momentum=0.5, centered=True),
}


class Waking(Callback):
    """Freezes the first layer, later wakes it up; swaps weights in between."""

    def on_epoch_end(self, run: Run) -> None:
        first = next(run.model.parameters())
        first.requires_grad = run.epoch != 2
        if run.epoch == 3:
            run.model.load_state_dict({name: 0.9 * array for name, array in run.model.state_dict().items()})
        if run.epoch == 4:
            first.data = first.data * 0.5
        run.optimizer.param_groups[0]["lr"] *= 0.9


def change_layers(run: Run) -> None:
    """Dropout at another rate, then off; another momentum of the batch norm; another weight decay."""
    norm, dropout = run.model[1], run.model[3]  # type: ignore[index]
    if run.epoch == 2:
        dropout.p = 0.6
    if run.epoch == 3:
        norm.momentum = 0.5
    if run.epoch == 4:
        run.optimizer.param_groups[0]["weight_decay"] = 0.1
    if run.epoch >= 5:  # fit turns it on again for each epoch
        dropout.p = 0.0


CASES: dict[str, dict[str, Any]] = {
    **{name: {"optimizer": make} for name, make in OPTIMIZERS.items()},
    "one batch": {"batch_size": None},
    "last batch smaller": {"batch_size": 25},
    "batch norm and dropout": {"make": noisy, "epochs": 10},
    "clipped": {"clip_norm": 0.05, "clip_value": 0.03},
    "norm that clips now and then": {"clip_norm": 0.15, "optimizer": OPTIMIZERS["Nesterov"], "epochs": 20},
    "noisy and clipped": {"make": noisy, "clip_norm": 0.4},
    "validation and metrics": {"validation": data(23), "metrics": {"mean": lambda p, t: float((p * t).mean())}},
    "schedule": {"schedule": lambda optimizer: ExponentialLR(optimizer, 0.7), "epochs": 12},
    "classes": {
        "make": lambda: MLP([3, 5, 2], activation="relu", seed=0),
        "loss": CrossEntropyLoss(),
        "y": data()[1][:, 0].astype(int),
    },
    "sum": {"loss": MSELoss(reduction="sum"), "optimizer": lambda p: SGD(p, lr=1e-3)},
    "own loss": {"loss": lambda p, t: np.mean((p - t) ** 2) + 0.1 * abs(p).mean()},
    "callbacks that interfere": {"callbacks": [Waking()], "epochs": 8},
    "layers that change": {"make": noisy, "callbacks": [change_layers], "epochs": 8, "validation": data(23)},
    "stopped early": {"callbacks": [EarlyStopping(patience=2)], "validation": data(40), "epochs": 30},
}


@pytest.mark.parametrize("case", CASES)
def test_the_run_is_that_of_eager_steps(case: str) -> None:
    wanted, history = train(False, **CASES[case])
    got, compiled = train(True, **CASES[case])
    assert (history.compiled, compiled.compiled) == (False, True)
    same(columns(compiled), columns(history), 1e-11)
    same(got.state_dict(), wanted.state_dict(), 1e-10)


def test_float32() -> None:
    X, y = data(dtype=np.float32)
    got, compiled = train(True, lambda: network(np.float32), X=X, y=y)
    wanted, history = train(False, lambda: network(np.float32), X=X, y=y)
    assert compiled.compiled is True
    assert {p.dtype for p in got.parameters()} == {np.dtype(np.float32)}
    same(columns(compiled), columns(history), 1e-4)
    same(got.state_dict(), wanted.state_dict(), 1e-4)


def test_generators_go_on_as_after_eager_steps() -> None:
    """Trying the step out draws nothing that is not given back."""
    states = []
    for compile in (False, True):
        rng = np.random.default_rng(9)
        model, _ = train(compile, noisy, seed=None, rng=rng)
        states.append((rng.bit_generator.state, model[3].rng.bit_generator.state))
    assert states[0] == states[1]


def test_it_learns_from_the_first_step() -> None:
    """The calls that record leave no trace: one step of a compiled run is one step."""
    X, y = data()

    def make() -> Sequential:
        return Sequential(Linear(3, 8, seed=0), Tanh(), Dropout(0.3, seed=1), Linear(8, 1, seed=2))

    for optimizer in OPTIMIZERS.values():
        for batch in (60, 25):
            results = [
                train(compile, make, optimizer, X=X[:batch], y=y[:batch], batch_size=None, epochs=1)[0].state_dict()
                for compile in (True, False)
            ]
            same(*results)


def test_constants_that_cannot_be_written() -> None:
    class Fixed(MLP):
        def forward(self, x: Any) -> Any:
            return super().forward(x * self.scale)

    def make() -> Fixed:
        model = Fixed([3, 6, 1], activation="tanh", seed=0)
        model.scale = np.arange(1.0, 4.0)
        model.scale.flags.writeable = False
        return model

    (wanted, history), (got, compiled) = (train(compile, make) for compile in (False, True))
    assert compiled.compiled is True
    assert not got.scale.flags.writeable
    same(columns(compiled), columns(history), 1e-11)
    same(got.state_dict(), wanted.state_dict(), 1e-10)


@pytest.mark.parametrize("optimizer", ["Nesterov", "Adam"])
def test_a_resumed_run_is_the_same_to_the_bit(optimizer: str, tmp_path: Any) -> None:
    path = tmp_path / "run.npz"
    settings: dict[str, Any] = {"make": noisy, "optimizer": OPTIMIZERS[optimizer], "epochs": 9, "batch_size": 25}

    def interrupt(run: Run) -> None:
        if run.epoch == 4:
            raise KeyboardInterrupt

    wanted, whole = train(True, **settings)
    with pytest.raises(KeyboardInterrupt):
        train(True, **settings, callbacks=[Checkpoint(path, every=2), interrupt])
    got, history = train(True, **settings, resume=path)
    assert whole.compiled is True
    assert columns(history) == columns(whole)
    for name, array in wanted.state_dict().items():
        np.testing.assert_array_equal(got.state_dict()[name], array)


class TestRefused:
    """Models that no program can be made of train as they did, and the history says why."""

    def same_as_eager(self, words: str, **settings: Any) -> History:
        wanted, history = train(False, **settings)
        got, tried = train(True, **settings)
        assert isinstance(tried.compiled, str)
        assert words in tried.compiled
        assert columns(tried) == columns(history)
        for name, array in wanted.state_dict().items():
            np.testing.assert_array_equal(got.state_dict()[name], array)
        return tried

    def test_a_branch_on_a_value(self) -> None:
        class Branching(MLP):
            def forward(self, x: Any) -> Any:
                z = super().forward(x)
                if z.mean() > 0:
                    z = z * 0.5
                return z

        history = self.same_as_eager(
            "branches on the value", make=lambda: Branching([3, 6, 1], activation="tanh", seed=0)
        )
        assert "if z.mean() > 0:" in str(history.compiled)

    def test_random_numbers_before_the_branch(self) -> None:
        class Branching(Module):
            def __init__(self) -> None:
                self.inner = noisy()

            def forward(self, x: Any) -> Any:
                z = self.inner(x)
                return z * 0.5 if z.mean() > 0 else z

        self.same_as_eager("branches on the value", make=Branching, optimizer=OPTIMIZERS["Adam"])

    def test_something_counted_on_the_way(self) -> None:
        class Counting(MLP):
            calls = 0
            seen: list[Any]

            def forward(self, x: Any) -> Any:
                self.calls += 1
                self.seen = [*getattr(self, "seen", []), x.shape]
                return super().forward(x)

        models = []

        def make() -> Counting:
            models.append(Counting([3, 6, 1], activation="tanh", seed=0))
            return models[-1]

        self.same_as_eager("changes", make=make)
        assert models[0].calls == models[1].calls == 6 * 4
        assert models[0].seen == models[1].seen

    def test_a_loss_without_a_gradient_is_still_explained(self) -> None:
        with pytest.raises(TypeError, match="gave a float"):
            train(True, loss=lambda p, t: float(((p - t) ** 2).mean()))
        with pytest.raises(ValueError, match=r"loss has shape \(16, 1\)"):
            train(True, loss=lambda p, t: (p - t) ** 2)

    def test_it_is_said_once_to_who_looks_on(self, capsys: pytest.CaptureFixture[str]) -> None:
        class Branching(MLP):
            def forward(self, x: Any) -> Any:
                z = super().forward(x)
                return z if z.mean() > 0 else z * 1.0

        train(True, lambda: Branching([3, 6, 1], activation="tanh", seed=0), progress="auto")
        assert capsys.readouterr().out.count("training runs without compilation: ") == 1
        train(True, progress="auto")
        assert "compil" not in capsys.readouterr().out

    def test_dask(self) -> None:
        da = pytest.importorskip("dask.array")

        def make() -> MLP:
            model = network()
            for parameter in model.parameters():
                parameter.data = da.from_array(parameter.data)
            return model

        X, y = (da.from_array(array, chunks=8) for array in data())
        _, history = train(True, make, X=X, y=y, shuffle=False, batch_size=None, epochs=2)
        assert "Dask" in str(history.compiled)

    @pytest.mark.parametrize("where", ["object", "class"])
    def test_what_changes_all_the_time(self, where: str) -> None:
        """A model that a callback alters after each step is tried for a while, and then no more."""

        class Scaled(MLP):
            scale = 1.0

            def forward(self, x: Any) -> Any:
                return super().forward(x) * self.scale

        def alter(run: Run) -> None:
            run.model.scale = 1.0 + run.epoch / 100

        def make() -> Scaled:
            model = Scaled([3, 6, 1], activation="tanh", seed=0)
            if where == "object":
                model.scale = 1.0
            return model

        settings: dict[str, Any] = {"make": make, "epochs": 60, "batch_size": None, "callbacks": [alter]}
        wanted, history = train(False, **settings)
        got, tried = train(True, **settings)
        same(columns(tried), columns(history), 1e-11)
        same(got.state_dict(), wanted.state_dict(), 1e-11)
        assert isinstance(tried.compiled, str)

    def test_anomaly_and_short_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert train(True, anomaly=True)[1].compiled is False
        monkeypatch.setattr(loop, "WORTHWHILE", 6 * 4 + 1)
        assert train(True)[1].compiled is False
        assert train(True, epochs=7)[1].compiled is True

    def test_settings(self) -> None:
        with pytest.raises(ValueError, match='True, False or "numba"'):
            train("cuda")
        if importlib.util.find_spec("numba") is None:
            with pytest.raises(ImportError, match=r"nablagraph\[numba\]"):
                train("numba")


class TestDivergence:
    class Scaled(Module):
        def __init__(self) -> None:
            self.scale = Parameter([1.0])

        def forward(self, x: Any) -> Any:
            return np.exp(self.scale * x)

    def diverge(self, compile: bool, make: Callable[[], Any], X: Any, lr: float, **more: Any) -> TrainingDiverged:
        model = make()
        arguments: dict[str, Any] = {"epochs": 9, "batch_size": 2, "shuffle": False, "progress": False, **more}
        with pytest.raises(TrainingDiverged) as caught:
            fit(
                model, MSELoss(), SGD(model.parameters(), lr=lr), X, np.zeros((len(X), 1)), **arguments, compile=compile
            )
        return caught.value

    def test_the_first_offending_op(self) -> None:
        """The program notices in epoch 2; the report is that of an eager step from the weights before the update."""
        X = np.ones((6, 2))
        X[4] = 100.0

        def make() -> Sequential:
            return Sequential(Linear(2, 3, seed=0), self.Scaled(), Linear(3, 1, seed=1))

        def grow(run: Run) -> None:
            next(run.model.parameters()).data[...] *= 8

        reports = [self.diverge(compile, make, X, 1e-300, callbacks=[grow]) for compile in (False, True)]
        assert str(reports[0]) == str(reports[1])
        assert "that of exp in 1, of shape (2, 3)" in str(reports[1])
        assert reports[1].batch == 3
        assert reports[1].epoch > 1
        assert reports[1].tensor is not None
        assert isinstance(reports[1].tensor, Tensor)

    def test_a_weight_and_data(self) -> None:
        def sabotage(run: Run) -> None:
            if run.epoch == 2:
                next(run.model.parameters()).data[0, 1] = np.nan

        X = data()[0]
        text = str(self.diverge(True, network, X, 0.1, callbacks=[sabotage]))
        assert "epoch 3 of 9, batch 1 of 30" in text
        assert "parameter 'layers.0.weight' of shape (6, 3) holds NaN already" in text
        X[59, 1] = np.inf
        assert "because X[59, 1] is inf" in str(self.diverge(True, network, X, 0.1))

    def test_a_rate_that_is_too_large(self) -> None:
        def make() -> Sequential:
            return Sequential(Linear(3, 8, seed=0), ReLU(), Linear(8, 1, seed=1))

        reports = [str(self.diverge(compile, make, data()[0], 1e3, epochs=100)) for compile in (False, True)]
        assert "smaller learning rate than 1000" in reports[1]
        assert reports[0] == reports[1]

    def test_the_weights_are_those_before_the_step(self) -> None:
        X, y = data()
        X[20] = np.inf
        states = []
        for compile in (False, True):
            model = network()
            with pytest.raises(TrainingDiverged):
                fit(model, MSELoss(), SGD(model.parameters(), lr=0.1), X, y, epochs=1, batch_size=8, shuffle=False,
                    progress=False, compile=compile)  # fmt: skip
            states.append(model.state_dict())
        same(states[1], states[0])


def test_epochs_in_machine_code() -> None:
    pytest.importorskip("numba", reason="Numba is not installed")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(43, 2))
    y = (X[:, :1] * X[:, 1:] > 0).astype(float)
    losses = []
    for how in (False, "numba"):
        model = MLP([2, 5, 1], activation="sigmoid", seed=0)
        optimizer = Adam(model.parameters(), lr=0.05)
        history = fit(
            model, BCEWithLogitsLoss(), optimizer, X, y, epochs=90, batch_size=6, seed=1, progress=False, compile=how
        )
        losses.append([record["loss"] for record in history.records])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-9)
