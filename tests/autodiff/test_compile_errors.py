"""What cannot be compiled is found and refused, with the person's line and a cure, and leaves all as it was."""

from __future__ import annotations

import gc
import inspect
import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autodiff import Tensor, as_tensor
from autodiff.compile import CompileError, compile
from autodiff.compile.record.recorded import Recorded
from tests.autodiff.compiled import Thing, attempt, equal, vector

# Refused: the value of an array decides, or leaves the program


def _branch(x: Any) -> Any:
    if x.sum() > 0:
        return x
    return -x


def _while(x: Any) -> Any:
    while x.max() < 100:
        x = x * 2
    return x


def _float(x: Any) -> Any:
    return x * float(x.sum())


def _int(x: Any) -> Any:
    return x[: int(x[0]) + 1]


def _item(x: Any) -> Any:
    return x * x.sum().item()


def _tolist(x: Any) -> Any:
    return x * len(x.tolist())


def _format(x: Any) -> Any:
    return x, f"{x.sum():.3f}"


def _asarray(x: Any) -> Any:
    return np.asarray(x) * 2


def _max(x: Any) -> Any:
    return max(x)


def _into_a_new_array(x: Any) -> Any:
    found = [0.0, 0.0]
    found[0] = float(x[0])
    return x * found[0]


def _range(x: Any) -> Any:
    return x * len(range(x.argmax() + 1))


def _sort(x: Any) -> Any:
    y = x * 2
    y.sort()
    return y


def _argument_in_place(x: Any) -> Any:
    x += 1
    return x


def _part_of_argument_in_place(x: Any) -> Any:
    x[0] = 5.0
    return x.sum()


def _argument_through_a_view(x: Any) -> Any:
    x[1:] *= 2
    return x.sum()


def _tensor_branch(x: Any) -> Any:
    t = Tensor(x) * 2
    return t.data if t.sum() > 0 else -t.data


def _tensor_float(x: Any) -> Any:
    return x * float((as_tensor(x) * 2).sum())


AT_ONCE = [
    _branch, _while, _float, _int, _item, _tolist, _format, _asarray, _max, _into_a_new_array, _range,
    _argument_in_place, _part_of_argument_in_place, _argument_through_a_view, _tensor_branch, _tensor_float,
]  # fmt: skip


@pytest.mark.parametrize("function", AT_ONCE, ids=lambda f: f.__name__[1:])
def test_refused_with_line_and_cure(function: Callable[..., Any]) -> None:
    compiled = compile(function)
    for _ in range(4):  # as often as it is tried
        x = vector(1.0)
        with pytest.raises(CompileError) as error:
            compiled(x)
        message = str(error.value)
        equal(x, vector(1.0), exact=True)
        if "argument" not in function.__name__:
            lines = [line.strip() for line in inspect.getsource(function).splitlines()[1:]]
            assert "test_compile_errors.py" in message
            assert any(message.endswith(f"{line})") for line in lines), message
        assert any(cure in message for cure in ("write", "leave", "return the array", "pass", "keep")), message


def test_in_place_methods_are_right_or_refused() -> None:
    result = attempt(compile(_sort), vector()[::-1])
    if isinstance(result, CompileError):
        assert "np.sort" in str(result)
    else:
        equal(result, vector() * 2)


# Refused: Python's own values differ from call to call


def counts_attribute(o: Thing, x: Any) -> Any:
    o.t += 1
    return x * o.t


def appends(o: Thing, x: Any) -> Any:
    o.history.append(1.0)
    return x * 2


def appends_arrays(o: Thing, x: Any) -> Any:
    o.history.append(x.sum())
    return x * 2


def draws_a_number(o: Thing, x: Any) -> Any:
    return x * o.chance.random()


def draws_numpys_number(o: Thing, x: Any) -> Any:
    return x * o.legacy.rand()


def draws_numpys_array(o: Thing, x: Any) -> Any:
    return x * o.legacy.rand(3)


def takes_the_next_number(o: Thing, x: Any) -> Any:
    return x * next(o.numbers)


def takes_the_next_array(o: Thing, x: Any) -> Any:
    return x * next(o.arrays)


def keeps_a_tensor(o: Thing, x: Any) -> Any:
    o.last = [Tensor(x)]
    return x * 2


def inserts(o: Thing, x: Any) -> Any:
    o.table[len(o.table)] = 1.0
    return x * 2


SLOWLY = [counts_attribute, appends, appends_arrays, draws_a_number, draws_numpys_number, draws_numpys_array,
          takes_the_next_number, takes_the_next_array, inserts]  # fmt: skip


def _thing() -> Thing:
    return Thing(
        t=0, history=[], chance=random.Random(1), legacy=np.random.RandomState(1), numbers=itertools.count(),
        arrays=map(vector, itertools.count()), table={}, last=None,
    )  # fmt: skip


@pytest.mark.parametrize("function", SLOWLY)
def test_right_until_it_is_refused(function: Callable[..., Any]) -> None:
    """A few recordings may be needed to find out. Each call gives what the function gives, or changes nothing."""
    mine, theirs = _thing(), _thing()
    compiled, refused = compile(lambda x: function(mine, x)), 0
    for number in range(8):
        x = vector(number)
        got = attempt(compiled, x)
        if isinstance(got, CompileError):
            refused += 1
            assert any(cure in str(got) for cure in ("pass", "leave", "fresh", "keep", "write")), got
            continue
        assert not refused, "refused, and then not"
        equal(got, function(theirs, x), note=number)
        assert (mine.t, mine.history, mine.table) == (theirs.t, theirs.history, theirs.table)
    assert refused


def test_nonlocal_counter() -> None:
    t = 0

    def step(x: Any) -> Any:
        nonlocal t
        t += 1
        return x * t

    compiled = compile(step)
    results = [attempt(compiled, vector()) for _ in range(6)]
    for number, result in enumerate(results[:t]):
        equal(result, vector() * (number + 1))
    assert t < 6
    assert all("t changes from" in str(result) for result in results[t:])


def test_printing_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    def step(x: Any) -> Any:
        print("a step on", x.shape)
        return x * 2

    compiled = compile(step)
    for number in range(5):
        equal(compiled(vector(number)), 2 * vector(number))
    assert "a step on (3,)" in capsys.readouterr().out


def test_own_objects_are_not_returned_half_recorded() -> None:
    def step(x: Any) -> Any:
        return Thing(loss=x.sum())

    compiled = compile(step)
    for number in range(5):
        result = attempt(compiled, vector(number))
        if isinstance(result, CompileError):
            assert "Thing" in str(result)
        else:
            equal(result.loss, vector(number).sum())


# Nothing is left behind


def test_an_exception_leaves_all_as_it_was() -> None:
    rng = np.random.default_rng(3)
    o = Thing(w=vector(), l=[vector()], d={}, n=1, t=Tensor(vector(), requires_grad=True), keep=vector())

    def step(x: Any, fail: bool) -> Any:
        o.w += x
        o.l[0] = o.l[0] * 2
        o.l.append(x)
        o.d["new"] = x * rng.random(3)
        o.n += 1
        o.more = x
        (o.t * x).sum().backward()
        o.t.data -= 1.0
        rng.normal(size=2)
        if fail:
            raise KeyError("mine")
        return o.w.sum()

    stream, data = rng.bit_generator.state, o.t.data
    compiled = compile(step)
    for _ in range(3):
        with pytest.raises(KeyError, match="mine"):
            compiled(vector(1), True)
        equal([o.w, *o.l, o.t.data], [vector(), vector(), vector()], exact=True)
        assert (o.d, o.n, o.t.grad, hasattr(o, "more"), len(o.l)) == ({}, 1, None, False, 1)
        assert o.t.data is data
        assert rng.bit_generator.state == stream
    assert isinstance([attempt(compiled, vector(1), False) for _ in range(6)][-1], CompileError)


def test_no_recorded_array_stays_anywhere() -> None:
    def alive() -> dict[int, Recorded]:
        gc.collect()
        # By the type alone: isinstance asks the object, too, and those of other packages may answer with a warning.
        return {id(x): x for x in gc.get_objects() if issubclass(type(x), Recorded)}

    o, before = Thing(w=vector(), last=None), alive()  # held, so that no number goes to another one

    def step(x: Any) -> Any:
        o.w = o.w + x
        o.last = Tensor(x) * 2
        return o.w, Tensor(o.w, requires_grad=True) * 2

    compiled = compile(step)
    for number in range(4):
        try:
            result = compiled(vector(number))
        except CompileError:
            break
    assert isinstance(o.w, np.ndarray)
    del result
    assert alive().keys() <= before.keys()
