"""The second backend: the same plan as machine code, segment by segment, and whole epochs in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("numba", reason="the backend needs Numba: pip install nablagraph[numba]")

from autodiff import compile
from autodiff.compile import CompileError
from autodiff.compile.machine.epochs import Epochs
from autodiff.compile.machine.loops import Segment
from nn import MLP, BatchNorm1d, BCEWithLogitsLoss, CrossEntropyLoss, Dropout, LayerNorm, Linear, MSELoss, Sequential
from nn.optim import SGD, Adam, AdamW, RMSprop

Step = Callable[[Any, Any], Any]
TOLERANCE = {8: 1e-12, 4: 1e-5}
SAMPLES = np.random.default_rng(0).normal(size=(6, 3))
TARGETS = {
    "numbers": np.random.default_rng(1).normal(size=(6, 2)),
    "labels": (np.random.default_rng(2).random((6, 2)) > 0.5) * 1.0,
    "classes": np.random.default_rng(3).integers(0, 2, 6),
}
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: SGD(p, lr=0.1),
    "momentum": lambda p: SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01, dampening=0.1),
    "Nesterov": lambda p: SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "Adam": lambda p: Adam(p, lr=0.01, weight_decay=0.1),
    "AMSGrad": lambda p: Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p: AdamW(p, lr=0.01),
    "RMSprop": lambda p: RMSprop(p, lr=0.01, momentum=0.9, centered=True),
}


def training(model: Any, loss: Any, optimizer: Any) -> Step:
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value

    return step


def mlp(activation: str = "tanh", dtype: Any = np.float64) -> MLP:
    return MLP([3, 7, 2], activation=activation, seed=0, dtype=dtype)


def segments(step: Any) -> tuple[int, int]:
    """How many parts of the program are machine code, and how many calls numpy still makes."""
    items = step.program._plan.items
    machine = sum(isinstance(item, Segment) for item in items)
    return machine, sum(not isinstance(item, Segment) and hasattr(item.line, "args") for item in items)


def beside(make: Callable[[], tuple[Any, Any, Any]], x: Any, y: Any, steps: int = 50) -> Any:
    """Train two of the same, one as machine code, and require the same losses and weights."""
    (theirs, *rest), (mine, *more) = make(), make()
    eager, fast = training(theirs, *rest), compile(training(mine, *more), backend="numba")
    limit = TOLERANCE[x.dtype.itemsize]
    for number in range(steps):
        wanted, got = eager(x, y), fast(x, y)
        np.testing.assert_allclose(got.data, wanted.data, rtol=limit * (number + 1), err_msg=f"loss {number}")
    same(mine, theirs, limit * steps)
    assert segments(fast)[0] >= 1
    return fast


def same(mine: Any, theirs: Any, limit: float) -> None:
    ours, wanted = mine.state_dict(), theirs.state_dict()
    for name in wanted:
        np.testing.assert_allclose(ours[name], wanted[name], rtol=limit, atol=limit, err_msg=name)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "gelu", "silu"])
def test_activations(activation: str) -> None:
    def make() -> Any:
        model = mlp(activation)
        return model, MSELoss(), SGD(model.parameters(), lr=0.1)

    assert segments(beside(make, SAMPLES, TARGETS["numbers"]))[1] == 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("loss", "kind"), [(MSELoss, "numbers"), (BCEWithLogitsLoss, "labels"), (CrossEntropyLoss, "classes")]
)
def test_losses(loss: Any, kind: str, dtype: Any) -> None:
    def make() -> Any:
        model = mlp(dtype=dtype)
        return model, loss(), SGD(model.parameters(), lr=0.1)

    y = TARGETS[kind]
    beside(make, SAMPLES.astype(dtype), y if kind == "classes" else y.astype(dtype))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str) -> None:
    def make() -> Any:
        model = mlp()
        return model, MSELoss(), OPTIMIZERS[name](model.parameters())

    assert segments(beside(make, SAMPLES, TARGETS["numbers"]))[1] == 0


LAYERS: dict[str, Callable[[], Any]] = {
    "BatchNorm": lambda: BatchNorm1d(8),
    "LayerNorm": lambda: LayerNorm(8),
    "Dropout": lambda: Dropout(0.5, seed=3),
}


def with_layer(name: str) -> Any:
    model = Sequential(Linear(3, 8, seed=0), LAYERS[name](), Linear(8, 2, seed=1))
    return model, MSELoss(), SGD(model.parameters(), lr=0.05)


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    """Running statistics are kept, and masks come from the same stream."""
    beside(lambda: with_layer(name), SAMPLES, TARGETS["numbers"])


def test_arguments_in_any_layout() -> None:
    function = compile(lambda x, y: np.exp(x) @ y + x.sum(), backend="numba")
    rng = np.random.default_rng(0)
    for x in (rng.normal(size=(4, 5)), rng.normal(size=(5, 4)).T, rng.normal(size=(8, 10))[::2, ::2]):
        y = np.asfortranarray(rng.normal(size=(5, 3)))
        np.testing.assert_allclose(function(x, y), np.exp(x) @ y + x.sum(), rtol=1e-12)
    assert len(function.programs) == 1


def test_what_is_not_known_stays_with_numpy() -> None:
    def f(x: Any) -> Any:
        y = np.tanh(x * 2) + 1
        return np.exp(-np.linalg.inv(y @ y.T + 3 * np.eye(len(x)))) * 2

    function = compile(f, backend="numba")
    for seed in range(4):
        x = np.random.default_rng(seed).normal(size=(4, 4))
        np.testing.assert_allclose(function(x), f(x), rtol=1e-9)
    machine, numpy = segments(function)
    assert machine == 2
    assert numpy == 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", [3, 17, 1024])
def test_products_of_all_sizes(size: int, dtype: Any) -> None:
    def f(a: Any, b: Any) -> Any:
        return a @ b, a.T @ b, a @ b.T, (a + 1).T @ (b * 2).T

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, size, size)).astype(dtype)
    function = compile(f, backend="numba")
    function(a, b)
    for got, wanted in zip(function(a, b), f(a, b), strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(
            got, wanted, rtol=1e-3 if dtype == np.float32 else 1e-9, atol=TOLERANCE[a.itemsize] * size
        )


UNARY = [np.exp, np.tanh, np.negative, np.abs, np.square, lambda x: x.T, lambda x: x[::-1], lambda x: x[..., :1]]
BINARY = [np.add, np.subtract, np.multiply, np.maximum, np.minimum, lambda a, b: np.where(a > b, a, b), np.logaddexp]
FOLDS = [np.sum, np.max, np.min, np.mean, np.prod]


@st.composite
def functions(draw: Any) -> tuple[Callable[[Any, Any], Any], list[int]]:
    """A chain of operations on two matrices, with views, broadcasting and reductions."""
    picks = draw(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 2), st.integers(0, 2)), min_size=2, max_size=8))

    def f(a: Any, b: Any) -> Any:
        known = [a, b, np.tanh(a) * 0.5]
        for number, i, j in picks:
            x, y = known[-1 - i % len(known)], known[-1 - j % len(known)]
            if number < len(UNARY):
                x = np.clip(x, -3, 3)
                known.append(UNARY[number](x) if x.ndim else x)
            elif number < len(UNARY) + len(BINARY):
                try:
                    np.broadcast_shapes(x.shape, y.shape)
                except ValueError:
                    continue
                known.append(BINARY[number - len(UNARY)](np.clip(x, -3, 3), np.clip(y, -3, 3)))
            elif x.ndim:
                known.append(FOLDS[number - len(UNARY) - len(BINARY)](x, axis=i % x.ndim, keepdims=bool(j)))
        return known[-1] * 1.5, known[-2]

    return f, [draw(st.integers(1, 4)), draw(st.integers(1, 4))]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(functions())
def test_views_broadcasting_and_reductions(case: tuple[Callable[[Any, Any], Any], list[int]]) -> None:
    f, shape = case
    function = compile(f, backend="numba")
    for seed in range(3):
        a, b = np.random.default_rng(seed).normal(size=(2, *shape))
        for got, wanted in zip(function(a, b), f(a, b), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.bool_])
def test_whole_numbers(dtype: Any) -> None:
    def f(a: Any, b: Any) -> Any:
        return a + b, a * b, a > b, np.maximum(a, b), (a == b).sum(), np.where(a > b, a, b), a.astype(np.float64) / 2

    a, b = np.random.default_rng(0).integers(0, 200, (2, 3, 5)).astype(dtype)
    function = compile(f, backend="numba")
    for _ in range(2):
        for got, wanted in zip(function(a, b), f(a, b), strict=True):
            np.testing.assert_array_equal(got, wanted)
            assert got.dtype == wanted.dtype


def epochs(make: Callable[[], tuple[Any, Any, Any]], x: Any, y: Any, batch: int, count: int = 4) -> None:
    """Compare epochs in machine code with eager ones, in losses, weights and steps counted."""
    (theirs, *rest), (mine, *more) = make(), make()
    eager, fast = training(theirs, *rest), Epochs(compile(training(mine, *more), backend="numba"))
    for number in range(count):
        order = np.random.default_rng(number).permutation(len(x))
        rows = [order[i : i + batch] for i in range(0, len(x), batch)]
        wanted = [eager(x[row], y[row]).item() for row in rows]
        np.testing.assert_allclose(fast(x, y, order, batch), wanted, rtol=1e-9, err_msg=f"epoch {number}")
    same(mine, theirs, 1e-9)
    assert more[1].state_dict()["state"][0]["step"] == rest[1].state_dict()["state"][0]["step"]
    assert any(loop is not None for loop in fast._loops.values())


@pytest.mark.parametrize("batch", [4, 5], ids=["all whole", "the last is smaller"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_epochs(name: str, batch: int) -> None:
    def make() -> Any:
        model = mlp()
        return model, MSELoss(), OPTIMIZERS[name](model.parameters())

    rng = np.random.default_rng(0)
    epochs(make, rng.normal(size=(36, 3)), rng.normal(size=(36, 2)), batch)


@pytest.mark.parametrize("name", LAYERS)
def test_epochs_with_layers(name: str) -> None:
    rng = np.random.default_rng(0)
    epochs(lambda: with_layer(name), rng.normal(size=(36, 3)), rng.normal(size=(36, 2)), 6)


def test_a_loss_that_is_not_finite_ends_the_epoch() -> None:
    model = mlp()
    optimizer = SGD(model.parameters(), lr=0.1)
    fast = Epochs(compile(training(model, MSELoss(), optimizer), backend="numba"))
    x, y = np.ones((40, 3)), np.ones((40, 2))
    fast(x, y, np.arange(40), 4)
    y[17] = np.nan
    losses = fast(x, y, np.arange(40), 4)
    assert len(losses) == 5
    assert np.isnan(losses[-1])
    assert optimizer.state_dict()["state"][0]["step"] == 15


def test_a_branch_in_an_epoch_is_taken_by_the_function_itself() -> None:
    """Labels are checked in every batch; the step itself is called for the one that fails."""
    model = mlp()
    optimizer = SGD(model.parameters(), lr=0.1)
    fast = Epochs(compile(training(model, BCEWithLogitsLoss(), optimizer), backend="numba"))
    x, y = np.ones((40, 3)), np.ones((40, 2))
    fast(x, y, np.arange(40), 4)
    y[17] = 3.0
    with pytest.raises((ValueError, CompileError)):
        fast(x, y, np.arange(40), 4)
    assert optimizer.state_dict()["state"][0]["step"] == 14


@pytest.mark.parametrize("dropped", [False, True], ids=["alone", "with a mask"])
def test_large_results_stand_by_columns_unless_they_meet_what_stands_by_rows(dropped: bool) -> None:
    """Where both orders met, every element of one of them would be a jump through memory."""
    x, y = np.random.default_rng(0).normal(size=(64, 40)), np.ones((64, 48))

    def train(backend: str) -> Any:
        layers = [Linear(40, 56, seed=0), *([Dropout(0.5, seed=1)] if dropped else []), Linear(56, 48, seed=2)]
        model = Sequential(*layers)
        step = training(model, MSELoss(), SGD(model.parameters(), lr=0.1))
        step = compile(step, backend=backend) if backend else step
        return [float(step(x, y).data) for _ in range(6)], step

    losses, step = train("numba")
    np.testing.assert_allclose(losses, train("")[0], rtol=1e-12)
    hidden = [m for m in step.program._plan.memory.values() if m.shape == (64, 56)]
    assert hidden
    assert any(not m.flags.c_contiguous for m in hidden) is not dropped
