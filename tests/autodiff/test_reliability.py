"""Figures that must hold: deep graphs, flat memory, threads and tasks that do not disturb each other, errors midway."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

import autodiff
import nn
from autodiff import Tensor, enable_grad, is_grad_enabled, no_grad
from autodiff.op import Op
from autodiff.state import current_scope
from autodiff.transforms import checkpoint, grad, hessian, jvp, vjp

ROOT = Path(autodiff.__file__).parents[1]


def run(source: str, timeout: float = 300) -> list[str]:
    """Run Python in a process of its own: what it does to the stack, to memory and to the collector stays there."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(source)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


# Depth


@pytest.mark.slow
def test_a_chain_of_a_million_runs_forward_and_back_and_is_freed() -> None:
    """Within 1.7 s for every 100,000 operations, all three together, and without recursion."""
    gradient, seconds = run("""
        import sys, time
        import numpy as np
        from autodiff import Tensor
        x = Tensor([1.0], requires_grad=True)
        sys.setrecursionlimit(200)
        start = time.perf_counter()
        z = x
        for _ in range(1_000_000):
            z = z + x
        z.backward()
        del z
        print(x.grad[0], time.perf_counter() - start)
    """)
    assert float(gradient) == 1_000_001
    assert float(seconds) / 10 < 1.7


def test_a_thousand_doublings_make_a_thousand_and_one_tensors() -> None:
    x = Tensor(1.0, requires_grad=True)
    z = x
    for _ in range(1000):
        z = z + z
    z.backward()
    assert x.grad == 2.0**1000
    assert z.gradient(x, create_graph=True).data == 2.0**1000
    seen, stack = {z}, [z]
    while stack:
        new = {t for t in stack.pop().inputs if isinstance(t, Tensor)} - seen
        seen |= new
        stack += new
    assert len(seen) == 1001


# Memory

FLAT = """
    import gc, os, sys
    import numpy as np
    import nn
    from autodiff import Tensor, no_grad

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 2)), rng.integers(0, 2, (4, 1)).astype(float)
    model, criterion = nn.MLP([2, 5, 5, 1], seed=0), nn.BCEWithLogitsLoss()
    optimizer = nn.optim.Adam(model.parameters(), lr=0.01)
    parameters = list(model.parameters())

    def step():
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()

    def free_graph():
        optimizer.zero_grad()
        criterion(model(x), y).backward(free_graph=True)
        optimizer.step()

    def penalised():
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        slopes = loss.gradient(*parameters, create_graph=True)
        (loss + 0.01 * sum((g * g).sum() for g in slopes)).backward()
        optimizer.step()

    def assigning():
        w = parameters[0]
        hidden = np.tanh(Tensor(x) @ w.T)
        hook = hidden.register_hook(lambda g: g * 2)
        hidden[0] = hidden[1] * 2
        hook.remove()
        hidden.sum().backward()
        w.zero_grad()
        with no_grad():
            w *= 0.999

    def memory():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    step_of = {"step": step, "free_graph": free_graph, "penalised": penalised, "assigning": assigning}
    work, steps = step_of[KIND], STEPS
    gc.collect()
    gc.disable()
    for _ in range(steps // 10):
        work()
    before = memory()
    for _ in range(steps):
        work()
    print(memory() - before, gc.collect())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize(
    "kind",
    [
        "step",
        pytest.param("free_graph", marks=pytest.mark.slow),
        pytest.param("penalised", marks=pytest.mark.slow),
        pytest.param("assigning", marks=pytest.mark.slow),
    ],
)
def test_ten_thousand_steps_leave_memory_flat(kind: str) -> None:
    """Less than 1 MB of growth with the collector switched off, and nothing left for it in cycles."""
    growth, cycles = run(FLAT.replace("KIND", repr(kind)).replace("STEPS", "10_000"))
    assert int(growth) < 1_000_000
    assert int(cycles) == 0


def test_growth_would_be_noticed() -> None:
    leaking = FLAT.replace(
        "    def free_graph():", "    kept = []\n\n    def free_graph():\n        kept.append(x + 1)"
    )
    growth, _ = run(leaking.replace("KIND", "'free_graph'").replace("STEPS", "10_000"))
    assert int(growth) > 1_000_000


# Threads and tasks


class Trainer:
    """Trains one small network, looking at it under `no_grad` between steps; says what it saw."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.x, self.y = rng.normal(size=(8, 2)), rng.normal(size=(8, 1))
        self.model = nn.MLP([2, 4, 1], activation="tanh", seed=seed)
        self.optimizer = nn.optim.Adam(self.model.parameters(), lr=0.05)
        self.seen: list[Any] = []

    def steps(self, count: int = 30) -> Iterator[None]:
        """Train; give way after each part, inside `no_grad` and a layer's scope too."""
        for _ in range(count):
            loss = nn.MSELoss()(self.model(self.x), self.y)
            assert loss.requires_grad
            yield
            self.optimizer.zero_grad()
            loss.backward()
            with no_grad():
                assert not is_grad_enabled()
                yield
                assert not self.model(self.x).requires_grad
                with enable_grad(), autodiff.scope("inner"):
                    yield
                    assert self.model(self.x).requires_grad
                    assert current_scope() == ("inner",)
                assert not is_grad_enabled()
                self.optimizer.step()
            assert is_grad_enabled()
            assert current_scope() == ()
            yield
            self.seen.append(loss.item())

    def result(self) -> list[Any]:
        return [self.seen, *(p.data.tolist() for p in self.model.parameters())]


def serial(seed: int) -> list[Any]:
    trainer = Trainer(seed)
    for _ in trainer.steps():
        pass
    return trainer.result()


def test_eight_threads_train_as_one_would() -> None:
    barrier = Barrier(8)

    def work(seed: int) -> list[Any]:
        trainer = Trainer(seed)
        for i, _ in enumerate(trainer.steps()):
            if i % 4 == seed % 4:  # all meet, some inside no_grad and some outside
                barrier.wait(60)
        return trainer.result()

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(work, range(8)))
    assert together == [serial(seed) for seed in range(8)]
    assert is_grad_enabled()


def test_tasks_that_give_way_inside_no_grad_train_as_one_would() -> None:
    async def work(seed: int) -> list[Any]:
        trainer = Trainer(seed)
        for i, _ in enumerate(trainer.steps()):
            await asyncio.sleep(0.0001 * ((i + seed) % 3 == 0))
        return trainer.result()

    async def main() -> list[Any]:
        return list(await asyncio.gather(*(work(seed) for seed in range(8))))

    assert asyncio.run(main()) == [serial(seed) for seed in range(8)]
    assert is_grad_enabled()


def test_one_graph_differentiated_by_many_threads_at_once() -> None:
    """Gradients in flight live in the pass alone: `gradient` writes nothing that another pass could see."""
    rng = np.random.default_rng(0)
    x, w = Tensor(rng.normal(size=(16, 8)), requires_grad=True), Tensor(rng.normal(size=(8, 8)), requires_grad=True)
    loss = np.tanh(np.tanh(x @ w) @ w).sum()
    expected = loss.gradient(x, w)
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(lambda _: loss.gradient(x, w), range(64)):
            for g, e in zip(got, expected, strict=True):
                np.testing.assert_array_equal(g, e)
    assert x.grad is None


# Errors midway: the fixture of every test compares mode, scope, registry and the rest with what they were before


class Broken(Exception):
    pass


def breaking(x: Any) -> Any:
    raise Broken


def broken_rule() -> Op:
    def rule(g: Any, y: Any, x: Any) -> Any:
        raise Broken

    return Op(np.exp, (rule,), "broken", "!", ("?",), (), False)


@contextmanager
def leaves_all_as_it_was(*tensors: Tensor) -> Iterator[None]:
    facts = [(t.data.copy(), t.grad, t.requires_grad, t.op, t.inputs) for t in tensors]
    mode, scope = is_grad_enabled(), current_scope()
    yield
    assert (is_grad_enabled(), current_scope()) == (mode, scope)
    for t, (data, gradient, *rest) in zip(tensors, facts, strict=True):
        np.testing.assert_array_equal(t.data, data)
        assert t.grad is gradient
        assert [t.requires_grad, t.op, t.inputs] == rest


def test_an_error_in_a_forward_pass() -> None:
    model = nn.Sequential(nn.Linear(2, 3, seed=0), nn.Sequential(np.tanh, breaking), nn.Linear(3, 1, seed=0))
    with leaves_all_as_it_was(*model.parameters()):
        with pytest.raises(Broken):
            model(np.ones((4, 2)))
        with pytest.raises(Broken), no_grad():
            model(np.ones((4, 2)))
        with pytest.raises(ValueError, match="shape"):
            model(np.ones((4, 3)))


@pytest.mark.parametrize("create_graph", [False, True])
def test_an_error_in_a_backward_pass(create_graph: bool) -> None:
    x, w = Tensor([1.0, 2.0], requires_grad=True), Tensor([3.0, 4.0], requires_grad=True)
    w.grad = np.array([9.0, 9.0])
    late = np.sin(x) * w
    loss = (broken_rule()(x * 2) + late).sum()
    with leaves_all_as_it_was(x, w, late, loss), autodiff.scope("mine"):
        for _ in range(2):
            with pytest.raises(Broken):
                loss.gradient(x, create_graph=create_graph)
            with pytest.raises(Broken):
                loss.backward(retain_grads=True)
    assert [g.tolist() for g in late.sum().gradient(x, w)] == [
        (np.cos(x.data) * w.data).tolist(),
        np.sin(x.data).tolist(),
    ]


def test_an_error_in_a_hook() -> None:
    x, w = Tensor([1.0, 2.0], requires_grad=True), Tensor([3.0, 4.0], requires_grad=True)
    y = x * w
    handle = y.register_hook(breaking)
    loss = y.sum()
    with leaves_all_as_it_was(x, w, y, loss), pytest.raises(Broken):
        loss.backward(retain_grads=True)
    handle.remove()
    loss.backward()
    assert x.grad.tolist() == [3.0, 4.0]


TRANSFORMS: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda f, x: grad(f)(x),
    "grad of grad": lambda f, x: grad(grad(f))(x),
    "vjp": lambda f, x: vjp(f, x)[1](1.0),
    "jvp": lambda f, x: jvp(f, (x,), (1.0,)),
    "hessian": lambda f, x: hessian(f)(x),
    "checkpoint": lambda f, x: checkpoint(f)(Tensor(x, requires_grad=True)).backward(),
    "grad under no_grad": lambda f, x: no_grad()(grad(f))(x),
    "grad of checkpoint": lambda f, x: grad(checkpoint(f))(x),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("place", ["forward", "backward", "inner scope"])
def test_an_error_in_a_transform(transform: str, place: str) -> None:
    outer = Tensor(2.0, requires_grad=True)
    rule = broken_rule()

    def function(x: Any) -> Any:
        with autodiff.scope("layer"), enable_grad():
            y = x * x * outer
            if place == "backward":
                return rule(y)
            return breaking(y) if place == "forward" else nn.Sequential(breaking)(y)

    with leaves_all_as_it_was(outer):
        with pytest.raises(Broken):
            TRANSFORMS[transform](function, 3.0)
        with no_grad(), pytest.raises(Broken):
            TRANSFORMS[transform](function, 3.0)
    assert grad(lambda x: x * x * outer.data)(3.0) == 12.0
