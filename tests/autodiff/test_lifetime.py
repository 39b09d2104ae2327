"""A graph lives exactly as long as its last Tensor: no cycles, no recursion, no half-done passes."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Op, Tensor, no_grad

ROOT = Path(autodiff.__file__).parents[1]


@contextmanager
def no_collector() -> Iterator[None]:
    """Only reference counting frees anything inside; the collector then finds nothing left over."""
    gc.collect()
    gc.disable()
    try:
        yield
        assert gc.collect() == 0, "a reference cycle was left behind"
    finally:
        gc.enable()


def leaf(data: Any, name: str | None = None) -> Tensor:
    return Tensor(data, requires_grad=True, name=name)


def train_once(w: Tensor) -> weakref.ref[Tensor]:
    hidden = np.tanh(Tensor(np.ones((4, 2))) @ w)
    hidden.register_hook(lambda g: g * 2)
    hidden = hidden + 0
    hidden[0] = hidden[1] * 2
    loss = (hidden * hidden).mean()
    loss.backward()
    with no_grad():
        w -= 0.1 * w.grad
    w.zero_grad()
    return weakref.ref(hidden)


def test_a_training_step_leaves_nothing_behind() -> None:
    w = leaf(np.ones((2, 3)))
    with no_collector():
        assert train_once(w)() is None
        assert train_once(w)() is None


def test_higher_order_graphs_leave_nothing_behind() -> None:
    x = leaf([0.5, 1.5])
    with no_collector():
        second = (np.sin(x) * x).sum().gradient(x, create_graph=True).sum().gradient(x, create_graph=True)
        alive = weakref.ref(second)
        del second
        assert alive() is None


def test_a_cycle_would_be_noticed() -> None:
    def make_one() -> None:
        x = leaf([1.0])
        x.name = [x]  # type: ignore[assignment]

    with pytest.raises(AssertionError, match="reference cycle"), no_collector():
        make_one()


def test_assignment_leaves_no_cycle() -> None:
    def update() -> weakref.ref[Tensor]:
        y = leaf([1.0, 2.0, 3.0]) * 2
        early = y * 3
        y[0] = 5.0
        y[1] = early[0]  # a consumer of what y was two states ago
        y[2] = y[1] * y[0]
        y[:] = y
        y.sum().backward()
        return weakref.ref(y)

    with no_collector():
        assert update()() is None


def test_a_failed_pass_leaves_no_cycle() -> None:
    def fail() -> weakref.ref[Tensor]:
        y = leaf([1.0, 2.0]) * 2
        y.register_hook(lambda g: 1 / 0)
        with suppress(ZeroDivisionError):
            y.sum().backward()
        return weakref.ref(y)

    with no_collector():
        assert fail()() is None


# Freeing


def test_the_graph_stays_after_backward() -> None:
    x = leaf([1.0, 2.0])
    loss = (x * x).sum()
    loss.backward()
    assert loss.inputs is not None
    assert loss.inputs[0].inputs == (x, x)


def test_free_graph_drops_it_and_a_second_pass_says_so() -> None:
    x = leaf([1.0, 2.0])
    middle = x * x
    gone = weakref.ref(middle)
    loss = middle.sum()
    del middle
    loss.backward(free_graph=True)
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])
    assert loss.inputs is None
    assert gone() is None
    with pytest.raises(RuntimeError, match=r"graph of .*sum was freed by backward\(free_graph=True\).*again"):
        loss.backward()
    with pytest.raises(RuntimeError, match="was freed"):
        loss.gradient(x)
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


def test_a_pass_that_meets_a_freed_part_changes_nothing() -> None:
    x, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    shared = x * x
    shared.sum().backward(free_graph=True)
    before = x.grad.copy()
    with pytest.raises(RuntimeError, match=r"shape \(2,\) made by multiply was freed"):
        (shared * b).sum().backward()
    np.testing.assert_array_equal(x.grad, before)
    assert b.grad is None


def test_free_graph_and_retain_grads_together() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    (y * y).sum().backward(retain_grads=True, free_graph=True)
    np.testing.assert_array_equal(y.grad, [6.0, 12.0])
    assert y.inputs is None


# Exceptions


def _failing(rule_error: Exception) -> Op:
    def rule(g: Any, y: Any, x: Any) -> Any:
        raise rule_error

    return Op(np.exp, (rule,), "failing", "!", ("?",), (), False)


@pytest.mark.parametrize("free_graph", [False, True])
@pytest.mark.parametrize("place", ["rule", "hook on a leaf", "hook in the middle"])
def test_an_exception_in_the_pass_leaves_everything_as_it_was(place: str, free_graph: bool) -> None:
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    w.grad = np.array([9.0, 9.0])
    exploding = [True]

    def hook(g: Any) -> None:
        if exploding:
            raise KeyError("mine")

    y = x * 2
    early = _failing(KeyError("mine"))(y) if place == "rule" else np.exp(y)
    loss = (early * w).sum()
    if place == "hook on a leaf":
        x.register_hook(hook)
    if place == "hook in the middle":
        y.register_hook(hook)
    with pytest.raises(KeyError, match="mine"):
        loss.backward(retain_grads=True, free_graph=free_graph)
    assert x.grad is None
    assert early.grad is None
    np.testing.assert_array_equal(w.grad, [9.0, 9.0])
    exploding.clear()
    # What was let go of on the way cannot come back: that is what free_graph asks for.
    if place != "rule" and not free_graph:
        loss.backward()
        np.testing.assert_allclose(x.grad, 2 * np.exp([2.0, 4.0]) * [3.0, 4.0])
        np.testing.assert_allclose(w.grad, np.exp([2.0, 4.0]) + 9)


@pytest.mark.parametrize(
    "wrong",
    [lambda g, y, x: g[:1, :1], lambda g, y, x: g[0], lambda g, y, x: np.ones((2, 2))],
    ids=["small", "rank", "other"],
)
def test_a_rule_that_returns_a_wrong_shape_is_named(wrong: Any) -> None:
    x = leaf(np.ones((2, 3)))
    op = Op(np.exp, (wrong,), "my_op", "?", ("?",), (), False)
    with pytest.raises(ValueError, match=r"rule of my_op returned a gradient of shape .* operand of shape \(2, 3\)"):
        op(x).sum().backward()
    assert x.grad is None


# Depth


def run(source: str) -> str:
    """Run Python in a process of its own, so that a stack overflow there is a failure here and not a crash."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(source)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_a_chain_of_a_hundred_thousand_runs_and_is_freed_without_recursion() -> None:
    out = run("""
        import sys
        import numpy as np
        from autodiff import Tensor
        from autodiff.engine import first_nonfinite
        x = Tensor([1.0], requires_grad=True)
        def chain():
            z = x
            for _ in range(100_000):
                z = z + x
            return z
        sys.setrecursionlimit(200)
        z = chain()
        z.backward()
        print(x.grad[0], first_nonfinite(z), z.gradient(x)[0])
        del z
        z = chain()
        z.backward(free_graph=True)
        del z
        z = chain()
        del z  # never walked
        y = chain()
        y[0] = y[0] * 2
        y.backward()
        print(x.grad[0])
        del y
    """)
    assert out.split() == ["100001.0", "None", "100001.0", "400004.0"]


def test_a_deep_second_order_graph_is_freed_without_recursion() -> None:
    out = run("""
        import sys
        import numpy as np
        from autodiff import Tensor
        x = Tensor(0.5, requires_grad=True)
        z = x
        for _ in range(20_000):
            z = z * 1.00001 + x * x
        sys.setrecursionlimit(200)
        first = z.gradient(x, create_graph=True)
        second = first.gradient(x)
        print(round(float(second / (2 * sum(1.00001**i for i in range(20_000)))), 9))
        del first, second, z
    """)
    assert out.strip() == "1.0"
