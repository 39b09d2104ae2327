"""Grad mode and scope: nested, restored after errors, and every thread's and task's own."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from autodiff import Tensor, enable_grad, is_grad_enabled, no_grad
from autodiff.state import current_scope, scope


def recorded() -> bool:
    """Say whether an operation run here is recorded."""
    return (Tensor([1.0], requires_grad=True) * 2).op is not None


def test_recording_is_on_by_default() -> None:
    assert is_grad_enabled()
    assert recorded()
    assert current_scope() == ()


def test_modes_nest() -> None:
    with no_grad():
        assert not recorded()
        with enable_grad():
            assert recorded()
            with no_grad():
                assert not recorded()
            assert recorded()
        assert not is_grad_enabled()
        with no_grad():
            pass
        assert not is_grad_enabled(), "leaving an inner no_grad does not switch recording on"
    assert recorded()


def test_one_manager_may_be_entered_again() -> None:
    manager = no_grad()
    with manager, manager:
        assert not recorded()
    assert recorded()
    with manager:
        assert not recorded()
    assert recorded()


@pytest.mark.parametrize("mode", [no_grad, enable_grad])
def test_an_exception_restores_the_mode_and_passes_through(mode: Any) -> None:
    with no_grad():
        with pytest.raises(KeyError, match="x"), mode():
            raise KeyError("x")
        assert not is_grad_enabled()
    with pytest.raises(KeyError), mode():
        raise KeyError("x")
    assert is_grad_enabled()


# Decorators


def test_decorated_functions() -> None:
    @no_grad()
    def evaluate(x: int, *, y: int = 2) -> tuple[int, int, bool]:
        """Evaluate."""
        return x, y, recorded()

    @enable_grad()
    def train() -> bool:
        return recorded()

    assert evaluate(1, y=3) == (1, 3, False)
    assert recorded()
    assert (evaluate.__name__, evaluate.__doc__) == ("evaluate", "Evaluate.")
    with no_grad():
        assert train()
        assert not recorded()


def test_a_decorated_function_restores_after_errors_and_may_recurse() -> None:
    @no_grad()
    def fail(depth: int) -> None:
        assert not recorded()
        if depth:
            fail(depth - 1)
        raise KeyError("x")

    with pytest.raises(KeyError):
        fail(3)
    assert recorded()


def test_a_decorated_method_keeps_its_self() -> None:
    class Model:
        @no_grad()
        def predict(self) -> tuple[Any, bool]:
            return self, recorded()

    model = Model()
    assert model.predict() == (model, False)


def test_generators_are_refused_because_their_body_runs_later() -> None:
    def batches() -> Iterator[int]:
        yield 1

    async def stream() -> AsyncIterator[int]:
        yield 1

    for function in (batches, stream):
        for mode in (no_grad, enable_grad):
            expected = rf"{mode.__name__} cannot decorate the generator .*{function.__name__}.*with"
            with pytest.raises(TypeError, match=expected):
                mode()(function)


def test_async_functions_run_in_the_mode_to_their_end() -> None:
    @no_grad()
    async def evaluate() -> list[bool]:
        before = recorded()
        await asyncio.sleep(0)
        return [before, recorded()]

    assert inspect.iscoroutinefunction(evaluate)

    async def main() -> None:
        assert await evaluate() == [False, False]
        assert recorded()

    asyncio.run(main())


# Threads and tasks


def in_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(timeout=30)


def test_a_thread_starts_recording_whatever_its_parent_does() -> None:
    with no_grad(), scope("parent"):
        assert in_thread(recorded)
        assert in_thread(current_scope) == ()
    assert recorded()


def test_threads_do_not_disturb_each_other() -> None:
    inside, leave = threading.Event(), threading.Event()
    seen: list[bool] = []

    def evaluate() -> None:
        with no_grad(), scope("other"):
            inside.set()
            leave.wait(30)
            seen.append(recorded())

    thread = threading.Thread(target=evaluate)
    thread.start()
    try:
        assert inside.wait(30)
        assert recorded()
        assert current_scope() == ()
    finally:
        leave.set()
        thread.join(30)
    assert seen == [False]


def test_one_decorated_function_in_many_threads() -> None:
    barrier = threading.Barrier(4)

    @no_grad()
    def evaluate(_: int) -> bool:
        barrier.wait(30)  # all are inside at once
        inside = recorded()
        barrier.wait(30)
        return inside

    def call(i: int) -> tuple[bool, bool]:
        return evaluate(i), recorded()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(call, range(8))) == [(False, True)] * 8


def test_tasks_interleaved_on_one_thread_each_have_their_own() -> None:
    async def evaluate(name: str, mode: Any) -> list[Any]:
        seen = []
        with mode(), scope(name):
            for _ in range(3):
                seen.append((recorded(), current_scope()))
                await asyncio.sleep(0)
        return seen

    async def main() -> None:
        off, on = await asyncio.gather(evaluate("a", no_grad), evaluate("b", enable_grad))
        assert off == [(False, ("a",))] * 3
        assert on == [(True, ("b",))] * 3
        assert recorded()

    asyncio.run(main())


# Scope


def test_scope_names_the_layers_outermost_first() -> None:
    x = Tensor([1.0], requires_grad=True)
    with scope("encoder"):
        with scope("layers.0"):
            inner = x * 2
            assert current_scope() == ("encoder", "layers.0")
        outer = inner + 1
    outside = outer - 1
    assert [t.scope for t in (inner, outer, outside, x)] == [("encoder", "layers.0"), ("encoder",), (), ()]


def test_scope_is_left_after_an_error() -> None:
    with pytest.raises(KeyError), scope("broken"), scope("deeper"):
        raise KeyError("x")
    assert current_scope() == ()
