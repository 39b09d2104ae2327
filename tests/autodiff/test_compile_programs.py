"""Random numpy code with state, compiled: after every call the results and the state are those of the code itself."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from autodiff import Tensor
from autodiff.compile import CompileError, compile
from tests.autodiff.compiled import Thing, attempt, equal, frozen, leaves, spoil, vector
from tests.autodiff.programs import Author, N, surroundings, together

#: What a program need not be made of, by its message. It must be refused before anything outside has changed.
MAY_REFUSE = (
    "changes its argument",
    "through a view of it",
    "reads a view of an array that was changed",
    "keeps a view of an array that is kept elsewhere",
    "held elsewhere",
    "shares its memory",
    "shares its array with other places than before",  # as after a swap, where one array stands in three places
    "shares its memory: give each an array of its own",
    "is given an array that is held elsewhere",
    "keeps a view of an array that is kept elsewhere",
    "is changed in place, let go of, and held elsewhere",
    "that it neither was given nor made",  # np.linspace(0, 1, 3) has nothing of the step in it, and is then changed
    "turns an array of the step into a plain one",
    "takes a number out of an array",
)
#: Of the steps below.
REFUSED = {
    "whole_seen_through_parts": "shares its memory",
    "parts_seen_through_whole": "shares its memory",
    "part_is_rebound": "shares its memory",
    "view_sees_a_change": "take the view anew",
    "change_through_a_view": "view",
    "fortran_order": "order='K'",
    "filled_element_by_element": "takes a number out",
    "one_hot": "zeros_like|fill",
}


class Beside:
    """A step, eager and compiled, each on a state of its own."""

    def __init__(self, source: str, around: Callable[[int], dict[str, Any]], seed: int) -> None:
        self.source = source
        self.states = around(seed), around(seed)
        self.steps = [self._made(state) for state in self.states]
        self.eager = self.steps[0][0]
        self.compiled = compile(self.steps[1][0])

    def _made(self, state: dict[str, Any]) -> Any:
        namespace: dict[str, Any] = {"np": np}
        exec(compile_source(self.source), namespace)
        return namespace["make"](**state)

    def kept(self, which: int) -> list[Any]:
        """All arrays outside, by place."""
        o, items, d = (self.states[which][name] for name in "old")
        return [o.a, o.b, o.v, o.inner.w, *items, d["m"], d["v"], d["s"], self.steps[which][1]()]

    def agree(self, *args: Any, note: object = "") -> CompileError | None:
        """Require results and state to be the same; return the error of a step that is refused."""
        before = frozen(self.kept(1))
        try:
            wanted = self.eager(*args)
        except ValueError:  # into what broadcast_to gave nobody can write
            assume(False)
        got = attempt(self.compiled, *args)
        if isinstance(got, CompileError):
            equal(self.kept(1), before, exact=True, note="what a refused step left")
            return got
        equal(list(got), list(wanted), note=f"result of {note}")
        equal(self.kept(1), self.kept(0), note=f"state after {note}")
        return None


def compile_source(source: str) -> Any:
    return __builtins__["compile"](source, "<step>", "exec")  # type: ignore[index]


def arguments(rng: np.random.Generator, number: int) -> list[Any]:
    x, y, z = rng.uniform(-1, 1, (N, N)), rng.uniform(-1, 1, (N, N)), rng.uniform(-1, 1, N)
    if number == 3:
        return [x, x, z]  # one array, passed twice
    return [x, y[:, ::-1].T, x[0]] if number == 4 else [x, y, z]


def run(source: str, around: Callable[[int], dict[str, Any]], seed: int, calls: int = 6) -> bool:
    """Say whether the step was compiled; it may be refused for one of the reasons in `MAY_REFUSE`."""
    beside = Beside(source, around, seed)
    rng = np.random.default_rng(seed)
    for number in range(calls):
        args = arguments(rng, number)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            refused = beside.agree(*args, note=f"call {number} of\n{source}")
        if refused:
            assert any(reason in str(refused) for reason in MAY_REFUSE), f"{refused}\n{source}"
            return False
    return True


many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(st.randoms(use_true_random=False), st.integers(0, 7))
def test_random_steps(chooser: random.Random, seed: int) -> None:
    run(Author(chooser).step(), surroundings, seed)


@settings(many, max_examples=150)
@given(st.randoms(use_true_random=False), st.integers(0, 7))
def test_random_steps_on_shared_memory(chooser: random.Random, seed: int) -> None:
    run(Author(chooser).step(), together, seed)


def test_most_steps_are_compiled() -> None:
    """The tests above would pass if everything were refused."""
    made = [run(Author(random.Random(seed)).step(), surroundings, seed, calls=4) for seed in range(60)]
    assert sum(made) > 40


# Written on purpose: what random steps come upon too seldom

STEPS: list[Callable[[Thing, Any], Any]] = []


def _step(function: Callable[[Thing, Any], Any]) -> Callable[[Thing, Any], Any]:
    STEPS.append(function)
    return function


def _start() -> Thing:
    flat = np.linspace(-1, 1, 6)
    return Thing(
        w=vector(), v=vector(2), m=np.arange(9.0).reshape(3, 3) / 9, flat=flat, a=flat[:3], b=flat[3:], f=flat[::-2],
        s=np.array(0.5), k=np.float64(2.0), number=0.0, none=None, d={}, l=[vector(), vector(1)], count=np.array(0),
        half=np.ones(3, np.float32), fortran=np.asfortranarray(np.arange(9.0).reshape(3, 3) / 9),
        mask=np.array([True, False, True]), index=np.array([2, 0, 0]), empty=np.zeros((0, 3)), buffer=np.zeros(3),
        strided=np.zeros(6)[::2], t=Tensor(vector()),
    )  # fmt: skip


@_step
def scalar_is_no_array(o: Thing, x: Any) -> Any:
    s = x.sum()
    t = s
    s += 1  # numpy's scalar: a new one
    return s, t


@_step
def old_view_is_returned(o: Thing, x: Any) -> Any:
    row = o.m[0]
    o.m = o.m + x
    return row, o.m[0]


@_step
def old_state_is_returned(o: Thing, x: Any) -> Any:
    old = o.w
    o.w = o.w * 0.5 + x
    return old, o.w, old + o.w


@_step
def rotation(o: Thing, x: Any) -> Any:
    o.v, o.w = o.w, o.v * 0.5 + x
    return o.v


@_step
def swap(o: Thing, x: Any) -> Any:
    o.v, o.w, _ = o.w, o.v, o.l.reverse()
    return o.v + x, o.w, o.l[0]


@_step
def whole_seen_through_parts(o: Thing, x: Any) -> Any:
    o.flat -= 0.1 * np.concatenate([x, x * 2])
    return o.a + o.b + o.f


@_step
def parts_seen_through_whole(o: Thing, x: Any) -> Any:
    o.a += x
    o.b *= 0.5
    return o.flat * 2, o.f


@_step
def part_is_rebound(o: Thing, x: Any) -> Any:
    o.a = o.a * 0.5 + x
    o.flat += 1
    return o.a, o.flat


@_step
def view_sees_a_change(o: Thing, x: Any) -> Any:
    tail = o.w[1:]
    o.w += x
    return tail.sum()


@_step
def change_through_a_view(o: Thing, x: Any) -> Any:
    rows = o.m.reshape(-1)
    rows[:3] += x
    o.m.T[1] = x
    return o.m.sum(), rows


@_step
def change_through_views_of_views(o: Thing, x: Any) -> Any:
    o.m[1:][0][:2] = x[:2]
    o.m[::-1][0] *= 0.5
    return o.m * 1


@_step
def became_the_same(o: Thing, x: Any) -> Any:
    o.v = o.w
    o.v += x
    return o.w * 1


@_step
def kept_twice(o: Thing, x: Any) -> Any:
    o.v = o.w = np.tanh(x + o.v)
    o.w *= 2
    return o.v * 1


@_step
def reset_to_zero(o: Thing, x: Any) -> Any:
    o.w = o.w + x
    y = o.w.sum()
    o.w = np.zeros(3)
    return y


@_step
def argument_is_kept(o: Thing, x: Any) -> Any:
    before, o.v = o.v, x
    return before


@_step
def view_of_argument_is_kept(o: Thing, x: Any) -> Any:
    before, o.v = o.v, x[::-1]
    return before


@_step
def made_at_the_first_call(o: Thing, x: Any) -> Any:
    if o.none is None:
        o.none = np.zeros_like(x)
    m = o.d.setdefault("m", np.zeros_like(x))
    m += x
    o.none = 0.9 * o.none + x
    return o.none + m


@_step
def number_becomes_array(o: Thing, x: Any) -> Any:
    o.number = 0.9 * o.number + x.mean()
    o.k = o.k * 0.5 + x.max()
    return x * o.number + o.k


@_step
def filled_element_by_element(o: Thing, x: Any) -> Any:
    y, z = np.zeros(3), np.empty((2, 3))
    y[1] = x[0]
    z[0], z[1] = x, x * 2
    y += x
    return y, z, np.array([x[0], x[1]]), np.full(2, x[0])


@_step
def one_hot(o: Thing, x: Any) -> Any:
    y = np.zeros((3, 3))
    y[np.arange(3), (x > 1).astype(int)] = 1
    return y - np.eye(3)[(x > 1).astype(int)]


@_step
def narrow_state(o: Thing, x: Any) -> Any:
    o.half += x
    o.half[...] = o.half * 0.5
    o.count += (x > 0).sum()
    return o.half * x, o.count * 1


@_step
def masks_and_indices(o: Thing, x: Any) -> Any:
    o.w[o.mask] = x[o.mask] * 2
    o.w[o.index] += 1
    np.add.at(o.v, o.index, x)
    o.m[o.w > 0.5] = 0.25
    return x[o.index], o.m[o.index, o.index], o.w[o.w > -99]


@_step
def out_and_where(o: Thing, x: Any) -> Any:
    np.multiply(x, 2, out=o.buffer)
    np.add(o.buffer, x, out=o.strided, where=o.mask)
    np.copyto(o.v, x, where=o.mask)
    np.cumsum(x, out=o.w)
    np.dot(o.fortran, x, out=o.buffer)
    return np.maximum(x, 1, out=o.l[0])


@_step
def fortran_order(o: Thing, x: Any) -> Any:
    o.fortran = o.fortran * 0.5 + x
    return o.fortran.ravel(), o.fortran.T.reshape(-1), o.fortran.ravel(order="K")


@_step
def nothing_to_do(o: Thing, x: Any) -> Any:
    return x, o.w, None, 3, "text", o.empty, o.empty.sum() + 1, {"deep": [x, (x,)]}


@_step
def kept_tensor(o: Thing, x: Any) -> Any:
    o.t.data -= 0.1 * x
    o.t.data[0] = 1.0
    return (o.t * x).sum()


@pytest.mark.parametrize("function", STEPS)
@pytest.mark.parametrize("spoilt", [False, True], ids=["", "results overwritten"])
def test_step(function: Callable[[Thing, Any], Any], spoilt: bool) -> None:
    """Twice: results are the caller's own, whatever becomes of them. Arguments that are kept may change by that."""
    mine, theirs = _start(), _start()
    compiled = compile(lambda x: function(mine, x))
    results: list[tuple[Any, list[Any]]] = []
    if function.__name__ in REFUSED:
        for _ in range(4):
            with pytest.raises(CompileError, match=REFUSED[function.__name__]):
                compiled(vector(1))
            equal(leaves(vars(mine)), leaves(vars(theirs)), exact=True)
        return
    for number in range(7):
        x = vector(number % 3) * (-0.5) ** number
        wanted, got = function(theirs, np.array(x)), compiled(x)
        equal(got, wanted, note=number)
        for name, value in vars(theirs).items():
            equal(vars(mine)[name], value, note=f"{name} after call {number}")
        for old, copies in results:
            equal(leaves(old), copies, exact=True, note=f"an earlier result after call {number}")
        results = [*results, (got, frozen(got))]
        if spoilt:
            spoil(got)
            results.clear()
    assert len(compiled.programs) <= 3, "it is recorded again and again"


def test_one_array_as_two_arguments() -> None:
    compiled = compile(lambda x, y, k=1.0: x * 2 + y * k)
    a, b = vector(), vector(5)
    for x, y in [(a, a), (a, a), (a, a), (a, b), (a, b), (b, a), (a, a), (b, b), (a, a[::-1])]:
        equal(compiled(x, y), x * 2 + y)
        equal(compiled(x, y=y), x * 2 + y)
        equal(compiled(x, y, k=3.0), x * 2 + y * 3)


def test_arguments_in_containers() -> None:
    compiled = compile(lambda batch, *rest, **more: batch["x"][0] * 2 + sum(rest) + more.get("z", 0.0))
    for n in range(5):
        x = vector(n)
        equal(compiled({"x": [x, "label"]}, x, 2.0, z=x), x * 4 + 2)
        equal(compiled({"x": (x,)}, x, x), x * 4)
        equal(compiled({"x": [x]}), x * 2)


def test_a_state_as_argument() -> None:
    mine, theirs = _start(), _start()

    def step(o: Thing, x: Any) -> Any:
        o.w += 1
        return x * o.w

    compiled = compile(lambda x: step(mine, x))
    for x in ("v", "v", "w", "v", "w", "w", "a", "f", "a"):
        equal(compiled(vars(mine)[x]), step(theirs, vars(theirs)[x]), note=x)
