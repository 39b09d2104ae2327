"""Recomputing instead of storing: the same gradients, from less memory."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest

from autodiff.state import no_grad
from autodiff.tensor import Tensor
from autodiff.transforms import checkpoint, grad, hessian
from nn import Dropout, Linear, Sequential, Tanh

X = np.array([0.3, -1.2, 0.8])


def leaf(values: Any = X) -> Tensor:
    return Tensor(values, requires_grad=True)


def both(build: Any) -> list[Any]:
    """Return the gradients that a computation gives with checkpoint and without."""
    results = []
    for wrap in (checkpoint, lambda f: f):
        leaves = [leaf(), leaf(X + 2)]
        build(wrap, *leaves).backward()
        results.append([x.grad for x in leaves])
    return results


BUILDS = {
    "argument and variable": lambda wrap, x, w: wrap(lambda x: np.sin(x * w))(x).sum(),
    "variable only": lambda wrap, x, w: wrap(lambda: np.exp(x * w))().sum(),
    "an intermediate result and what it comes from": lambda wrap, x, w: _with_both(wrap, x, w),
    "nested arguments": lambda wrap, x, w: wrap(lambda p, k=1: p["a"][0] * p["b"] ** k)({"a": [x], "b": w}, k=2).sum(),
    "several results": lambda wrap, x, w: _joined(wrap(lambda x: {"s": np.sin(x), "t": (x * w, x.sum(), 2.0)})(x)),
    "one of several results": lambda wrap, x, w: wrap(lambda x: (np.sin(x), x * w))(x)[1].sum(),
    "the argument itself": lambda wrap, x, w: wrap(lambda x: x)(x * w).sum(),
    "the variable itself": lambda wrap, x, w: (wrap(lambda x: w)(x) * x).sum(),
    "assignment to an argument": lambda wrap, x, w: wrap(_assigning)(x * 1.0, w).sum(),
    "assignment of a variable": lambda wrap, x, w: wrap(lambda x: _assigning(x, w))(x * 1.0).sum(),
    "the same argument twice": lambda wrap, x, w: wrap(lambda a, b: a * b * b)(x, x).sum() + w.sum(),
    "one after the other": lambda wrap, x, w: wrap(lambda x: np.exp(-x * w))(wrap(lambda x: np.sin(x * w))(x)).sum(),
    "one inside the other": lambda wrap, x, w: wrap(lambda x: wrap(lambda y: np.exp(y * w))(np.sin(x)) * w)(x).sum(),
    "called on plain arrays too": lambda wrap, x, w: wrap(lambda c, x: c * x * w)(X, x).sum(),
    "float32 beside float64": lambda wrap, x, w: _joined(wrap(lambda x: (x.astype(np.float32) ** 2, x * w))(x)),
}


def _with_both(wrap: Any, x: Tensor, w: Tensor) -> Any:
    h = w * x
    return wrap(lambda x: np.sin(h * w) * x)(x).sum() + h.sum()


def _joined(results: Any) -> Any:
    if isinstance(results, dict):
        return (results["s"] * results["t"][0]).sum() * results["t"][1] * results["t"][2]
    return (results[0] * results[1]).sum()


def _assigning(x: Any, w: Any) -> Any:
    x[0] = w[1] * x[2]
    return x * x


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_gradients_are_the_same(build: Any) -> None:
    again, stored = both(build)
    for got, expected in zip(again, stored, strict=True):
        assert (got is None) == (expected is None)
        if got is not None:
            np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("build", [build for name, build in BUILDS.items() if "float32" not in name])
def test_second_derivatives_are_the_same(build: Any) -> None:
    results = []
    for wrap in (checkpoint, lambda f: f):
        x, w = leaf(), leaf(X + 2)
        loss = build(wrap, x, w)
        used = [t for t in (x, w) if _reaches(loss, t)]
        first = loss.gradient(*used, create_graph=True)
        total = sum((g * g).sum() for g in (first if isinstance(first, tuple) else (first,)))
        if isinstance(total, Tensor) and total.requires_grad:
            total.backward()
        results.append([t.grad for t in (x, w)])
    for got, expected in zip(*results, strict=True):
        np.testing.assert_allclose(0 if got is None else got, 0 if expected is None else expected, rtol=1e-12)


def _reaches(loss: Tensor, x: Tensor) -> bool:
    try:
        loss.gradient(x)
    except ValueError:
        return False
    return True


def test_transforms_go_through() -> None:
    f = lambda x: (x**3).sum() + x[0] * x[1]
    np.testing.assert_allclose(grad(checkpoint(f))(X), grad(f)(X))
    np.testing.assert_allclose(hessian(checkpoint(f))(X), hessian(f)(X))
    np.testing.assert_allclose(grad(checkpoint(grad(lambda x: x**4)))(2.0), 48)


def test_parameters_of_a_model_are_reached() -> None:
    rng = np.random.default_rng(0)
    model = Sequential(Linear(3, 4, seed=rng), Tanh(), Linear(4, 2, seed=rng))
    x = leaf(rng.normal(size=(5, 3)))
    model(x).sum().backward()
    expected = [p.grad for p in model.parameters()] + [x.grad]
    model.zero_grad()
    x.grad = None
    checkpoint(model)(x).sum().backward()
    for got, right in zip([p.grad for p in model.parameters()] + [x.grad], expected, strict=True):
        np.testing.assert_allclose(got, right, rtol=1e-12)
    model.zero_grad()
    checkpoint(model)(x.data).sum().backward()  # the data needs no gradient for the parameters to get theirs
    np.testing.assert_allclose(next(model.parameters()).grad, expected[0], rtol=1e-12)


def _deep(x: Tensor, wrap: Any, blocks: int = 10, steps: int = 10) -> Tensor:
    def block(x: Any) -> Any:
        for _ in range(steps):
            x = np.sin(x)
        return x

    for _ in range(blocks):
        x = wrap(block)(x)
    return x.sum()


def test_memory_falls() -> None:
    """100 steps in 10 blocks: 10 results are kept and 10 computed again, where 100 would be kept."""
    peaks, gradients = {}, []
    for name, wrap in (("again", checkpoint), ("stored", lambda f: f)):
        x = leaf(np.linspace(-1, 1, 20_000))
        gc.collect()
        tracemalloc.start()
        try:
            _deep(x, wrap).backward()
            peaks[name] = tracemalloc.get_traced_memory()[1] / x.data.nbytes
        finally:
            tracemalloc.stop()
        gradients.append(x.grad)
    np.testing.assert_array_equal(*gradients)
    assert peaks["stored"] > 95
    assert peaks["again"] < 30


def test_nothing_is_kept_in_cycles() -> None:
    class Big(np.ndarray):
        pass

    gc.collect()
    gc.disable()
    try:
        x = leaf()
        y = checkpoint(lambda x: np.exp(x * 2))(x)
        y.sum().backward()
        graph = weakref.ref(y)
        op = weakref.ref(y.op)
        del y
        assert graph() is None
        assert op() is None
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_without_gradients_it_is_the_function() -> None:
    calls = []
    f = checkpoint(lambda x: (calls.append(1), x * 2)[1])
    with no_grad():
        assert not f(leaf()).requires_grad
    assert type(f(X)) is np.ndarray
    result = f(Tensor(X))
    assert not result.requires_grad
    assert len(calls) == 3
    y = f(leaf()).sum()
    assert len(calls) == 4
    y.backward()
    assert len(calls) == 5
    y.backward()  # the graph is kept, as always
    assert len(calls) == 6
    w, calls[:] = leaf(), []
    checkpoint(lambda x, z: (calls.append(1), x * z * w)[1])(leaf(), leaf()).sum().backward()
    assert len(calls) == 2  # once more for all three gradients


def test_random_numbers_are_drawn_again() -> None:
    rng = np.random.default_rng(3)
    x = leaf(np.ones(50))
    y = checkpoint(lambda x: x * rng.random(50), rng=rng)(x)
    following = rng.random(5)
    rng.bit_generator.state = np.random.default_rng(3).bit_generator.state
    rng.random(50)
    np.testing.assert_array_equal(following, rng.random(5))
    state = rng.bit_generator.state
    y.sum().backward()
    assert rng.bit_generator.state == state
    np.testing.assert_array_equal(x.grad, y.data)


def test_dropout() -> None:
    layer = Dropout(0.5, seed=0)
    x = leaf(np.ones(50))
    y = checkpoint(layer, rng=layer.rng)(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.data)
    with pytest.raises(RuntimeError, match=r"another result.*checkpoint\(f, rng=generator\)"):
        checkpoint(layer)(x).sum().backward()


def test_what_changes_between_the_calls_is_refused() -> None:
    factor = [2.0]
    y = checkpoint(lambda x: x * factor[0])(leaf()).sum()
    factor[0] = 3.0
    with pytest.raises(RuntimeError, match="gave another result"):
        y.backward()
    held = [leaf(X + 2)]
    y = checkpoint(lambda x: x * held[0])(leaf()).sum()
    held[0] = leaf(X + 2)
    with pytest.raises(RuntimeError, match=r"used .* the second time and not the first"):
        y.backward()
    w = leaf(X + 2)
    y = checkpoint(lambda x: x * w)(leaf()).sum()
    w.data = X
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    h = leaf() * 1.0
    y = checkpoint(lambda x: x * h)(leaf()).sum()
    h[0] = 9.0
    with pytest.raises(RuntimeError):
        y.backward()


def test_an_argument_may_change_its_meaning_afterwards() -> None:
    x = leaf()
    h = x * 1.0
    y = checkpoint(lambda h: h * h)(h)
    h[0] = 9.0
    y.sum().backward()
    np.testing.assert_allclose(x.grad, 2 * X)


def test_what_is_refused() -> None:
    with pytest.raises(TypeError, match="checkpoint takes a function, got a Tensor"):
        checkpoint(leaf())  # type: ignore[arg-type]
    f = checkpoint(lambda x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        f(leaf())


def test_it_is_drawn_and_described() -> None:
    y = checkpoint(_assigning)(leaf() * 1.0, leaf())
    assert y.op.name == "checkpoint(_assigning)"
    assert [x.shape for x in y.inputs] == [(3,), (3,)]
    np.testing.assert_array_equal(y.op.forward(*(x.data for x in y.inputs)), y.data)
    assert "checkpoint" in y.graph().dot
