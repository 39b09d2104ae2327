"""Compiled functions of arrays that mix with none of numpy's, as on a GPU, but here on any machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nn
from autodiff import Op, Tensor, as_tensor, value_and_grad
from autodiff.compile import Compiled, CompileError, compile
from autodiff.sample import Sample
from tests.autodiff.compiled import Thing
from tests.autodiff.foreign import Foreign, abroad
from tests.autodiff.test_ops import call, differentiable, draw, each_case

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(16, 3)), (RNG.random((16, 1)) > 0.5).astype(float)
CALLS = 4


def home(x: Any) -> Any:
    """The numbers behind the wall, in nested results."""
    if isinstance(x, (tuple, list)):
        return [home(item) for item in x]
    x = x.data if isinstance(x, Tensor) else x
    assert type(x) is Foreign
    return x.hidden.copy()


def close(got: Any, wanted: Any) -> None:
    if isinstance(wanted, list):
        for a, b in zip(got, wanted, strict=True):
            close(a, b)
        return
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


def follows(function: Callable[..., Any], calls: list[list[Any]]) -> Compiled[..., Any]:
    """Require that the compiled function gives what the function gives, and in the end without recording."""
    compiled = compile(function)
    for args in calls:
        close(home(compiled(*args)), home(function(*args)))
    before = compiled.programs
    close(home(compiled(*calls[0])), home(function(*calls[0])))
    assert compiled.programs == before != []
    return compiled


# Operations


def draws(op: Op, sample: Sample) -> list[list[Any]]:
    return [[abroad(x) for x in draw(op, sample, attempt)] for attempt in range(CALLS)]


def forward(op: Op, sample: Sample) -> Callable[..., Any]:
    params = {key: abroad(x) for key, x in sample.params.items()}
    return lambda *xs: call(op, xs, params)


@each_case
def test_an_operation(op: Op, sample: Sample) -> None:
    function = forward(op, sample)
    follows(function, draws(op, sample))
    total = value_and_grad(lambda *xs: np.sum(np.square(function(*xs))), argnums=differentiable(op, draw(op, sample)))
    follows(total, draws(op, sample))


# Training


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda params: nn.optim.SGD(params, lr=0.3),
    "momentum": lambda params: nn.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "Adam": lambda params: nn.optim.Adam(params, lr=0.05),
    "AdamW": lambda params: nn.optim.AdamW(params, lr=0.05),
    "RMSprop": lambda params: nn.optim.RMSprop(params, lr=0.01),
}


def plain() -> nn.Module:
    return nn.MLP([3, 5, 1], activation="tanh", seed=0)


def dropping() -> nn.Module:
    return nn.Sequential(
        nn.Linear(3, 6, seed=0), nn.LayerNorm(6), nn.ReLU(), nn.Dropout(0.3, seed=1), nn.Linear(6, 1, seed=2)
    )


class Training:
    """A net with what trains it, its arrays made by `put`."""

    def __init__(self, put: Any, model: nn.Module, optimizer: Callable[[Any], Any], dtype: Any = float) -> None:
        self.put, self.model, self.dtype = put, model, dtype
        for p in model.parameters():
            p.data = put(p.data.astype(dtype))
        self.optimizer = optimizer(model.parameters())
        self.criterion = nn.BCEWithLogitsLoss()

    def step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def run(self, step: Any, times: int = 30) -> list[Any]:
        """Return the losses, and the weights in the end."""
        x, y = self.put(X.astype(self.dtype)), self.put(Y.astype(self.dtype))
        losses = [float(step(x, y)) for _ in range(times)]
        return [np.array(losses), *(p.data for p in self.model.parameters())]


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("model", [plain, dropping])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_training(optimizer: Callable[[Any], Any], model: Callable[[], nn.Module], dtype: Any) -> None:
    eager, numpys, mine = (Training(put, model(), optimizer, dtype) for put in (Foreign, np.asarray, Foreign))
    compiled = compile(mine.step, verify=2)
    got = mine.run(compiled)
    for wanted in (eager.run(eager.step), numpys.run(numpys.step)):
        for a, b in zip(got, wanted, strict=True):
            a, b = (getattr(x, "hidden", x) for x in (a, b))
            np.testing.assert_allclose(a, b, rtol=100 * np.finfo(dtype).eps, atol=100 * np.finfo(dtype).eps)
    assert all(type(p.data) is type(p.grad) is Foreign for p in mine.model.parameters())
    assert len(compiled.programs) == 1


@pytest.mark.parametrize("classes", [Foreign, np.asarray], ids=["foreign", "numpy's"])
def test_a_classifier_with_normalisation_and_clipping(classes: Any) -> None:
    def trained(compiled: bool) -> list[Any]:
        norm = nn.BatchNorm1d(8)
        model = nn.Sequential(nn.Linear(3, 8, seed=0), norm, nn.GELU(), nn.Linear(8, 3, seed=1))
        for p in model.parameters():
            p.data = Foreign(p.data)
        norm.running_mean, norm.running_var = Foreign(norm.running_mean), Foreign(norm.running_var)
        optimizer, criterion = nn.optim.Adam(model.parameters(), lr=0.02), nn.CrossEntropyLoss()
        schedule = nn.optim.CosineAnnealingLR(optimizer, 50)

        def step(x: Any, k: Any) -> Any:
            optimizer.zero_grad()
            loss = criterion(model(x), k)
            loss.backward()
            nn.optim.clip_grad_norm(model.parameters(), 0.5)
            optimizer.step()
            return loss

        run = compile(step) if compiled else step
        for _ in range(20):
            loss = run(Foreign(X), classes(np.arange(16) % 3))
            schedule.step()
        return home([loss, *(p.data for p in model.parameters()), norm.running_mean, norm.running_var])

    close(trained(True), trained(False))


def test_results_go_into_fixed_memory_of_the_same_kind() -> None:
    training = Training(Foreign, plain(), OPTIMIZERS["Adam"])
    compiled = compile(training.step)
    training.run(compiled)
    program = compiled.program
    assert len(program._plan.buffers) > 5
    assert all(type(buffer) is Foreign for buffer in program._plan.buffers)
    assert ", out=parameters)" in str(program)  # all of them in one call
    before = [p.data for p in training.model.parameters()]
    assert len({id(data.base) for data in before}) == 1
    training.run(compiled)
    assert all(p.data is data for p, data in zip(training.model.parameters(), before, strict=True))


def test_batches_of_another_size_or_dtype_make_another_program() -> None:
    training, twin = (Training(Foreign, plain(), OPTIMIZERS["SGD"]) for _ in range(2))
    compiled = compile(training.step)
    for rows, dtype in [(16, float), (8, float), (16, np.float32), (16, float), (8, float)] * 3:
        batch = [Foreign(data[:rows].astype(dtype)) for data in (X, Y)]
        assert float(compiled(*batch)) == pytest.approx(float(twin.step(*batch)), rel=1e-12)
    assert len(compiled.programs) == 3
    assert sum(", out=parameters)" in str(program) for program in compiled.programs) >= 2


def test_fit_compiles() -> None:
    def fitted(put: Any, compiled: bool) -> tuple[Any, list[Any]]:
        model = plain()
        for p in model.parameters():
            p.data = put(p.data)
        optimizer = nn.optim.Adam(model.parameters(), lr=0.05)
        history = nn.train.fit(
            model, nn.BCEWithLogitsLoss(), optimizer, put(X), put(Y), epochs=600, progress=False, compile=compiled
        )
        return history, [getattr(p.data, "hidden", p.data) for p in model.parameters()]

    history, weights = fitted(Foreign, True)
    assert history.compiled is True
    for wanted in (fitted(Foreign, False), fitted(np.asarray, False)):
        np.testing.assert_allclose(history["loss"], wanted[0]["loss"], rtol=1e-12)
        for a, b in zip(weights, wanted[1], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


# Functions and what they reach


def test_a_change_of_kind_is_seen() -> None:
    o = Thing(w=np.ones(3))

    def scaled(x: Any) -> Any:
        return x * o.w

    compiled = compile(scaled)
    for _ in range(3):
        np.testing.assert_array_equal(compiled(np.arange(3.0)), np.arange(3.0))
    o.w = Foreign(np.full(3, 2.0))
    for _ in range(3):
        np.testing.assert_array_equal(home(compiled(Foreign(np.arange(3.0)))), 2 * np.arange(3.0))
    o.w = np.full(3, 3.0)
    np.testing.assert_array_equal(compiled(np.arange(3.0)), 3 * np.arange(3.0))
    tensor = compile(lambda t: np.exp(t).sum())
    for put in (np.asarray, Foreign, np.asarray, Foreign):
        for _ in range(3):
            assert float(tensor(Tensor(put(np.zeros(3))))) == 3


def test_numbers_around_the_function() -> None:
    """Scalars of numpy's mix with other arrays, as they do without a program."""
    o = Thing(scale=np.float64(2.0), seen=np.float64(0.0), total=Foreign(np.zeros(3)))

    def step(x: Any) -> Any:
        o.seen = o.seen + 1.0
        o.total = o.total + x * o.scale * (o.seen * 2.0)
        return o.total * 1.0

    compiled, wanted = compile(step), np.zeros(3)
    for number in range(1, 7):
        o.scale = np.float64(number)
        wanted = wanted + np.arange(3.0) * number * (number * 2.0)
        np.testing.assert_allclose(home(compiled(Foreign(np.arange(3.0)))), wanted, rtol=1e-14)
    assert len(compiled.programs) == 1


def test_memory_that_others_hold_stays_where_it_is() -> None:
    training = Training(Foreign, plain(), OPTIMIZERS["SGD"])
    held = [p.data for p in training.model.parameters()]
    training.run(compile(training.step))
    assert all(p.data is array for p, array in zip(training.model.parameters(), held, strict=True))


def test_an_array_that_is_changed_through_another_is_refused() -> None:
    whole = Foreign(np.zeros(4))
    o = Thing(a=whole, b=whole[1:])

    def step(x: Any) -> Any:
        o.a += x
        return o.b * 2

    with pytest.raises(CompileError, match="shares its memory"):
        compile(step)(Foreign(np.ones(4)))


# What is refused


def test_a_mixture_is_refused_as_without_a_program() -> None:
    training = Training(Foreign, plain(), OPTIMIZERS["SGD"])
    compiled = compile(training.step)
    training.run(compiled)
    before = [home(p.data) for p in training.model.parameters()]
    for batch in ((X, Foreign(Y)), (Foreign(X), Y), (X, Y)):
        for step in (training.step, compiled):
            with pytest.raises(TypeError, match="foreign"):
                step(*batch)
    close([home(p.data) for p in training.model.parameters()], before)
    training.run(compiled)
    assert len(compiled.programs) == 1


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x, f: x.dot(f),
        lambda x, f: x.reshape(-1).dot(f),
        lambda x, f: x[f > 0],
        lambda x, f: np.copyto(x * 1.0, f),
        lambda x, f: (x * 1.0).__setitem__(slice(None), f),
    ],
)
def test_what_numpys_arrays_do_themselves_names_both_kinds(mixed: Callable[[Any, Any], Any]) -> None:
    """Numpy would convert, and versions of it warn first; a cupy.ndarray refuses either way."""
    with pytest.raises(TypeError, match=r"numpy array, of shape \(3,\), and a \S+foreign\.Foreign, of \(3,\)"):
        compile(mixed)(np.ones(3), Foreign(np.ones(3)))


@pytest.mark.parametrize("values", [[3.0, 1.0, 2.0], [3.0, np.nan, 2.0]])
def test_what_does_not_write_into_given_memory_makes_its_own(values: list[float]) -> None:
    def totals(x: Any) -> Any:
        return np.median(x) * 2, np.min(x) * 2, np.cumsum(x) * 2, np.cumprod(x[None]) * 2

    compiled = follows(totals, [[Foreign(np.array(values) + i)] for i in range(CALLS)])
    assert "median(x)" in str(compiled.program)


def test_machine_code_is_for_numpys_arrays() -> None:
    pytest.importorskip("numba", reason="comes with the `numba` extra")
    training = Training(Foreign, plain(), OPTIMIZERS["SGD"])
    before = [home(p.data) for p in training.model.parameters()]
    with pytest.raises(CompileError, match=r'foreign\.Foreign: leave out backend="numba"'):
        compile(training.step, backend="numba")(Foreign(X), Foreign(Y))
    with pytest.raises(CompileError, match=r'foreign\.Foreign: leave out backend="numba"'):
        compile(lambda: training.model(Foreign(X)), backend="numba")()
    close([home(p.data) for p in training.model.parameters()], before)
    with pytest.warns(RuntimeWarning, match='leave out backend="numba"'):
        nn.train.fit(
            training.model,
            nn.BCEWithLogitsLoss(),
            training.optimizer,
            Foreign(X),
            Foreign(Y),
            epochs=2,
            progress=False,
            compile="numba",
        )


class Forgetful(Foreign):
    """Keeps nothing that is written to a part of it, as arrays that are computed when they are asked for."""

    def __array_function__(self, *args: Any) -> Any:
        result = super().__array_function__(*args)
        return Forgetful(result.hidden) if isinstance(result, Foreign) else result

    def __getitem__(self, index: Any) -> Any:
        return Forgetful(self.hidden[index])


def test_arrays_without_memory_stay_eager() -> None:
    o = Thing(w=Forgetful(np.ones(3)))
    for refused in (
        lambda: compile(lambda x: x * 2)(Forgetful(np.ones(3))),
        lambda: compile(lambda x: x * 2)(as_tensor(Forgetful(np.ones(3)))),
        lambda: compile(lambda x: x * as_tensor(o.w))(Foreign(np.ones(3))),
        lambda: compile(lambda x: x * o.w)(Foreign(np.ones(3))),
    ):
        with pytest.raises(CompileError, match="Forgetful, which has no memory for a program"):
            refused()
