"""Where a compiled function is called: under no_grad, in another one, in transforms, in threads."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from autodiff import Tensor, detect_anomaly, enable_grad, no_grad, value_and_grad
from autodiff.compile import CompileError, compile
from tests.autodiff.compiled import Thing, attempt, equal, vector


def test_under_no_grad_and_outside() -> None:
    w = Tensor(vector(1), requires_grad=True)
    compiled = compile(lambda x: w * x)
    for number in range(8):
        with no_grad() if number % 2 else enable_grad():
            got = compiled(vector(number))
        assert got.requires_grad is not bool(number % 2)
        equal(got.data, w.data * vector(number))


def test_result_has_no_graph() -> None:
    w = Tensor(vector(1), requires_grad=True)
    compiled = compile(lambda x: (w * x).sum())
    for number in range(4):
        loss = compiled(vector(number))
        with pytest.raises(CompileError, match=r"value_and_grad|backward\(\) in it"):
            loss.backward()
        with pytest.raises(CompileError, match=r"value_and_grad|backward\(\) in it"):
            (loss * 2).backward()
    assert w.grad is None


def test_nested() -> None:
    o = Thing(w=vector())

    def inner(x: Any) -> Any:
        o.w = o.w * 0.5 + x
        return o.w * 2

    fast = compile(inner)
    outer = compile(lambda x: fast(x) + fast(x * 2) + 1)
    w = vector()
    for number in range(8):
        x = vector(number)
        w = w * 0.5 + x
        expected = w * 2
        if number % 3 == 2:
            equal(fast(x), expected)
        else:
            w = w * 0.5 + x * 2
            equal(outer(x), expected + w * 2 + 1)
        equal(o.w, w)
    assert len(outer.programs) == 1 == len(fast.programs)


def test_gradient_of_a_compiled_function() -> None:
    """A transform around it must not take it for a constant."""
    fast = compile(lambda x: (x * x).sum())
    for number in range(4):
        result = attempt(value_and_grad(fast), vector(number))
        if isinstance(result, CompileError):
            assert "value_and_grad" in str(result)
        else:
            equal(result[1], 2 * vector(number))


def test_under_detect_anomaly() -> None:
    compiled = compile(lambda x: np.log(Tensor(x, requires_grad=True)).sum())
    for _ in range(4):
        compiled(vector(1))
    with detect_anomaly(), np.errstate(all="ignore"), pytest.raises(ArithmeticError):
        compiled(vector(-1)).backward()


def test_threads_share_one_function() -> None:
    o = Thing(total=np.zeros(()), count=np.array(0))

    def step(x: Any) -> Any:
        o.count += 1
        o.total = o.total + x.sum()
        return x * 2

    compiled, wrong = compile(step), []

    def work(seed: int) -> None:
        try:
            for number in range(40):
                x = np.full(1 + (number + seed) % 5, float(number))
                if not np.array_equal(compiled(x), x * 2):
                    wrong.append(number)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert int(o.count) == 160


def test_dask_stays_eager() -> None:
    da = pytest.importorskip("dask.array")
    with pytest.raises(CompileError, match="Dask"):
        compile(lambda x: x * 2)(da.ones(3))


@pytest.mark.parametrize("mistake", [3, None, "step"])
def test_what_is_compiled_is_a_function(mistake: Any) -> None:
    if mistake is None:
        assert callable(compile(verify=2))
        return
    with pytest.raises(TypeError, match="function"):
        compile(mistake)


def test_generators_and_coroutines_are_refused() -> None:
    async def later(x: Any) -> Any:
        return x

    def several(x: Any) -> Any:
        yield x

    for function in later, several:
        with pytest.raises(TypeError, match=r"generator|async|coroutine"):
            compile(function)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="numba"):
        compile(abs, backend="cuda")
    with pytest.raises(ValueError, match="verify"):
        compile(abs, verify=-1)
