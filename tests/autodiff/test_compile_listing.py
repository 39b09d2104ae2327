"""Printed programs: the text is run as it stands, and does to the last bit what the program does."""

from __future__ import annotations

import ast
import keyword
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn
from autodiff import Tensor, no_grad, value_and_grad
from autodiff.compile import Compiled, CompileError, Program, compile
from autodiff.compile.listing.names import Names, argument_names, identifier, state_names
from autodiff.compile.program import MISS
from nn.optim import SGD, Adam, AdamW, RMSprop
from tests.autodiff.compiled import CALLS, leaves
from tests.autodiff.programs import Author, surroundings

X = np.random.default_rng(0).normal(size=(4, 2))
Y = np.array([[0.0], [1.0], [1.0], [0.0]])


def ready(function: Callable[..., Any], *args: Any, backend: str = "numpy") -> Compiled[..., Any]:
    compiled = compile(function, backend=backend)
    for _ in range(CALLS):
        compiled(*args)
    return compiled


def copied(x: Any) -> Any:
    return np.array(x, copy=True) if isinstance(x, np.ndarray) else x


def same(a: Any, b: Any, note: str) -> None:
    if hasattr(b, "dtype"):
        assert (np.shape(a), a.dtype) == (b.shape, b.dtype), note
        np.testing.assert_array_equal(a, b, err_msg=note)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes() or (b != b).any(), note
    else:
        assert a is b or a == b, note


def runs(program: Program, *arrays: Any, same: Callable[..., None] = same) -> str:
    """Run the text and then the program from the same state, and require the same numbers; return the text."""
    text, inputs = str(program), program.listing.inputs
    mine = {name: copied(x) for name, x in inputs.items()}
    namespace: dict[str, Any] = {"np": np}
    exec(text, namespace)
    function = next(x for name, x in namespace.items() if name not in ("np", "__builtins__"))
    before = program.snapshot()
    with np.errstate(all="ignore"):
        got = function(*map(copied, arrays), **mine)
    program.restore(before)
    wanted = program.run(*map(copied, arrays))
    assert wanted is not MISS
    if program.listing.left:
        got, left = got
        for name, x in program.listing.left.items():
            same(left[name], x, f"{name} in\n{text}")
    assert len(leaves(got)) == len(leaves(wanted))
    for a, b in zip(leaves(got), leaves(wanted), strict=True):
        same(a, b, text)
    for name, x in program.listing.inputs.items():
        if isinstance(x, np.ndarray):
            same(mine[name], x, f"{name} in\n{text}")
    return text


def training(model: Any, optimizer: Any, criterion: Any = None) -> Callable[..., Any]:
    crit, opt = criterion or nn.MSELoss(), optimizer(list(model.parameters()))

    def step(x: Any, y: Any) -> Any:
        opt.zero_grad()
        loss = crit(model(x), y)
        loss.backward()
        opt.step()
        return loss

    return step


def xor(optimizer: Any = lambda p: SGD(p, lr=0.5)) -> Callable[..., Any]:
    return training(nn.MLP([2, 5, 5, 1], activation="sigmoid", seed=0), optimizer, nn.BCEWithLogitsLoss())


def by_hand() -> Any:
    class Net:
        def __init__(self) -> None:
            rng = np.random.default_rng(0)
            self.W1, self.b1 = rng.normal(size=(2, 5)), np.zeros((1, 5))
            self.W2, self.b2 = rng.normal(size=(5, 1)), np.zeros((1, 1))

        def step(self, X: Any, y: Any) -> Any:
            a1 = np.tanh(X @ self.W1 + self.b1)
            a2 = 1 / (1 + np.exp(-(a1 @ self.W2 + self.b2)))
            dz2 = (a2 - y) / len(X)
            dz1 = (dz2 @ self.W2.T) * (1 - a1**2)
            self.W2 -= 0.1 * (a1.T @ dz2)
            self.b2 -= 0.1 * np.sum(dz2, axis=0, keepdims=True)
            self.W1 -= 0.1 * (X.T @ dz1)
            self.b1 -= 0.1 * np.sum(dz1, axis=0, keepdims=True)
            return -np.mean(y * np.log(a2) + (1 - y) * np.log(1 - a2))

    return Net().step


def with_tensors() -> Any:
    rng = np.random.default_rng(0)
    W, b = Tensor(rng.normal(size=(2, 3)), requires_grad=True), Tensor(np.zeros(3), requires_grad=True)

    def step(x: Any, y: Any) -> Any:
        hidden = np.maximum(x @ W + b, 0)
        loss = np.mean((hidden.sum(axis=1, keepdims=True) - y) ** 2)
        W.grad = b.grad = None
        loss.backward()
        with no_grad():
            for p in (W, b):
                p -= 0.1 * p.grad
        return loss, {"hidden": hidden, "kept": [1, "a"]}

    return step


def normalised() -> Any:
    layers = nn.Linear(2, 6, seed=0), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3, seed=1), nn.Linear(6, 1, seed=2)
    return training(nn.Sequential(*layers), lambda p: SGD(p, lr=0.1, momentum=0.9))


def convolution() -> Any:
    k = Tensor(np.random.default_rng(1).normal(size=(3, 2, 2)), requires_grad=True)

    def step(x: Any, y: Any) -> Any:
        patches = np.lib.stride_tricks.sliding_window_view(x.reshape(2, 2, 2), (2, 2), axis=(1, 2))
        loss = np.maximum(np.einsum("bhwij,kij->bkhw", patches, k), 0).mean()
        k.grad = None
        loss.backward()
        return loss, k.grad

    return step


def f(w: Any, b: Any) -> Any:
    return np.sum(np.tanh(X @ w + b) ** 2)


STEPS: dict[str, Callable[[], Any]] = {
    "SGD": xor,
    "Adam": lambda: xor(lambda p: Adam(p, lr=0.01)),
    "AdamW": lambda: xor(lambda p: AdamW(p, lr=0.01, amsgrad=True)),
    "RMSprop": lambda: xor(lambda p: RMSprop(p, lr=0.01, centered=True)),
    "groups": lambda: xor(lambda p: Adam([{"params": p[:1], "lr": 0.1}, {"params": p[1:]}], lr=0.01)),
    "by hand": by_hand,
    "with Tensors": with_tensors,
    "BatchNorm and Dropout": normalised,
    "convolution": convolution,
}


@pytest.mark.parametrize("name", STEPS)
def test_text_does_what_the_program_does(name: str) -> None:
    compiled = ready(STEPS[name](), X, Y)
    for _ in range(2):
        runs(compiled.program, X, Y)


def test_text_of_functions_without_an_update() -> None:
    model = nn.MLP([2, 5, 1], activation="tanh", seed=0)
    text = runs(ready(lambda x: model(x), X).program, X)
    assert "# backward" not in text
    text = runs(ready(value_and_grad(f, (0, 1)), np.ones((2, 3)), np.zeros(3)).program, np.ones((2, 3)), np.zeros(3))
    assert "return (total, (d_w, d_b))" in text


def test_text_of_blocks() -> None:
    x = np.random.default_rng(0).normal(size=(512, 3)).astype(np.float32)
    step = training(nn.MLP([3, 256, 1], activation="tanh", seed=0, dtype=np.float32), lambda p: SGD(p, lr=0.1))
    text = runs(ready(step, x, x[:, :1]).program, x, x[:, :1])
    assert text.count("for rows in") == 2


@pytest.mark.parametrize("name", ["SGD", "BatchNorm and Dropout"])
def test_text_of_machine_code(name: str) -> None:
    """It computes as numpy does but for rounding."""
    pytest.importorskip("numba")
    compiled = ready(STEPS[name](), X, Y, backend="numba")
    text = runs(
        compiled.program, X, Y, same=lambda a, b, note: np.testing.assert_allclose(a, b, 1e-9, 1e-12, err_msg=note)
    )
    assert "a1 = np." in text


def test_backprop_can_be_read_off() -> None:
    """The derivative of the sigmoid, deltas times transposed activations, sums over the batch."""
    text = str(ready(xor(), X, Y).program)
    for line in (
        "z1 = np.dot(x, layers_0_weight.T)",
        "d_a2 = np.dot(d_z3, layers_4_weight)",
        "slope = np.multiply(a2, slope, out=a2)",
        "d_z2 = np.multiply(d_a2, slope, out=d_a2)",
        "d_layers_2_weight = np.dot(d_z2.T, a1, out=gradients[15:40].reshape(5, 5))",
        "d_layers_2_bias = np.dot(np.ones(4), d_z2, out=gradients[40:45])",
        "parameters = np.subtract(parameters, ",
    ):
        assert line in text
    headings = [line.strip() for line in text.splitlines() if line.startswith("    # ") and ": " in line]
    assert [h.partition(":")[0][2:] for h in headings if h[2:].startswith(("forward", "backward", "update"))] == [
        "forward", "backward", "update",
    ]  # fmt: skip
    assert "# update: opt.step()" in text
    assert "# layers.3 sigmoid: a(1 − a)" in text
    assert max(map(len, text.splitlines())) <= 120


def test_own_names_are_kept() -> None:
    text = str(ready(by_hand(), X, Y).program)
    assert text.partition("def ")[2].startswith("step(X, y, state):")
    assert "    W1 = state[0:10].reshape(2, 5)" in text
    assert "    # dz1 = (dz2 @ self.W2.T) * (1 - a1**2)\n    dz1 = np.dot(dz2, W2.T" in text


def test_comments_stand_in_one_column() -> None:
    lines = str(ready(xor(), X, Y).program).splitlines()
    columns = {line.index("  # ") for line in lines if "  # " in line.strip()}
    assert len(columns) == 1


def test_text_is_the_same_each_time() -> None:
    texts = {str(ready(normalised(), X, Y).program) for _ in range(3)}
    assert len(texts) == 1


@settings(max_examples=12, deadline=None)
@given(
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    activation=st.sampled_from(["relu", "tanh", "sigmoid", "gelu"]),
    momentum=st.sampled_from([0.0, 0.9]),
    loss=st.sampled_from([nn.MSELoss, nn.BCEWithLogitsLoss]),
    n=st.integers(1, 5),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_text_of_any_net(widths: Any, activation: str, momentum: float, loss: Any, n: int, dtype: Any) -> None:
    model = nn.MLP([2, *widths, 1], activation=activation, seed=0, dtype=dtype)
    x, y = (np.random.default_rng(n).uniform(0, 1, (n, k)).astype(dtype) for k in (2, 1))
    runs(ready(training(model, lambda p: SGD(p, lr=0.1, momentum=momentum), loss()), x, y).program, x, y)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_text_of_any_code(seed: int) -> None:
    """Also of numpy code that changes arrays in place, swaps them, and keeps them in odd places."""
    namespace: dict[str, Any] = {"np": np}
    exec(Author(random.Random(seed)).step(), namespace)
    step, _ = namespace["make"](**surroundings(seed))
    x, y, z = np.random.default_rng(seed).uniform(-1, 1, (3, 3, 3))
    compiled = compile(step)
    try:
        for _ in range(CALLS):
            compiled(x, y, z[0])
    except CompileError:  # it need not be compiled, which is tested elsewhere
        return
    for program in compiled.programs[-1:]:
        runs(program, x, y, z[0])


HOSTILE = [
    "np",
    "t1",
    "slope",
    "rows",
    "loss",
    "d_x",
    "range",
    "parameters",
    "class_",
    "i",
    "mask",
    "result",
    "θ",
    "step",
]


def test_hostile_names_of_arguments() -> None:
    namespace: dict[str, Any] = {"numpy": np}
    body = " + ".join(f"numpy.tanh({name} * {k})" for k, name in enumerate(HOSTILE))
    exec(f"def np({', '.join(HOSTILE)}):\n    return ({body}).sum() if numpy.ndim(t1) else 0", namespace)
    arrays = [np.full((2, 2), float(k)) for k in range(len(HOSTILE))]
    text = runs(ready(namespace["np"], *arrays).program, *arrays)
    names = [arg.arg for arg in ast.parse(text).body[0].args.args]
    assert len({*names}) == len(HOSTILE)
    assert "np" not in names


def test_nested_arguments_are_named_by_where_they_stand() -> None:
    tree = ((1, np.ones(2), {"x y": Tensor(np.ones(1))}), [np.ones(1)]), {"flag": True, "more": np.ones(3)}
    assert argument_names(lambda batch, *rest, **kwargs: 0, *tree) == ["batch_1", "batch_2_x y", "rest_0_0", "more"]


@settings(max_examples=200)
@given(texts=st.lists(st.text(max_size=8) | st.sampled_from([*keyword.kwlist, "np", "x1", "x"]), max_size=6))
def test_names_are_valid_and_unique(texts: list[str]) -> None:
    names = Names()
    given_ = [names.unique(text) for text in texts]
    assert len({*given_}) == len(given_)
    for name in given_:
        assert name.isidentifier()
        assert not keyword.iskeyword(name)
        assert name != "np"
        assert identifier(name) == name


def test_paths_are_shortened_as_far_as_they_stay_different() -> None:
    paths = ["model.layers[0].weight", "model.layers[1].weight", "opt.scale"]
    assert [*state_names(paths).values()] == ["layers_0_weight", "layers_1_weight", "scale"]
    assert [*state_names(["a.w", "b.w"]).values()] == ["a_w", "b_w"]
    assert state_names(["self.W"]) == {"self.W": "W"}


def test_html_is_escaped() -> None:
    def step(x: Any) -> Any:
        return np.where(x > 0, x, -x)  # <b>

    html = ready(step, X).program._repr_html_()
    assert html.startswith("<pre")
    assert "&lt;b&gt;" in html or "<b>" not in html
    assert "<b>" not in html


def test_stats_can_be_read() -> None:
    program = ready(xor(), X, Y).program
    text = str(program.stats)
    assert f"{program.stats['calls']['run']}" in text
    assert "buffers" in text
    assert repr(program).startswith("<program step: ")
    assert len(repr(program)) < 100
