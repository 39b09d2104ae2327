"""What a compiled function is not passed but reaches may change between the calls, and each change is seen."""

from __future__ import annotations

import functools
import types
from collections import deque, namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autodiff import Tensor
from autodiff.compile import CompileError, compile
from tests.autodiff.compiled import Thing, equal, vector

Pair = namedtuple("Pair", "w k")


class _Slots:
    __slots__ = ("w",)

    def __init__(self) -> None:
        self.w = vector()


def _module(**held: Any) -> types.ModuleType:
    module = types.ModuleType("settings")
    vars(module).update(held)
    return module


def _kinds() -> Thing:
    kind = type("Kind", (), {"w": vector(), "k": 2.0, "f": lambda self, x: x * 2})
    record = np.zeros(3, [("a", float), ("b", int)])
    objects = np.empty(1, object)
    objects[0] = vector()
    w, g = vector(), {}
    exec("k = 2.0\ndef h(x): return x * k\ndef f(x): return h(x)", g)
    return Thing(
        w=vector(), n=2, k=2.0, none=None, l=[vector()], d={"w": vector()}, t=(vector(), 1.0), p=Pair(vector(), 1.0),
        q=deque([vector()]), s={1}, m=_module(w=vector(), k=2.0), objects=objects, record=record, slots=_Slots(),
        kind=kind, own=kind(), partial=functools.partial(np.multiply, w), pw=w, g=g, matrix=np.ones((2, 3)),
        default=_with_default(w), b=bytearray(b"\1"), flat=vector(), view=None, tensor=Tensor(vector()), name="a",
    )  # fmt: skip


def _with_default(w: Any) -> Callable[..., Any]:
    def function(x: Any, w: Any = w, *, v: Any = w) -> Any:
        return x * w + v

    return function


def _add(array: Any) -> None:
    array += 1


CHANGES: dict[str, tuple[Callable[[Thing, Any], Any], Callable[[Thing], Any]]] = {
    "attribute, in place": (lambda o, x: x * o.w, lambda o: _add(o.w)),
    "attribute, rebound": (lambda o, x: x * o.w, lambda o: setattr(o, "w", vector(5))),
    "attribute, another shape": (lambda o, x: x.sum() * o.w, lambda o: setattr(o, "w", np.ones(5))),
    "attribute, another dtype": (lambda o, x: x * o.w, lambda o: setattr(o, "w", np.ones(3, np.float32))),
    "attribute, another layout": (lambda o, x: x + o.matrix, lambda o: setattr(o, "matrix", np.ones((3, 2)).T * 2)),
    "number": (lambda o, x: x * o.k, lambda o: setattr(o, "k", 3.0)),
    "number, of another type": (lambda o, x: np.arange(3) * o.n, lambda o: setattr(o, "n", 2.0)),
    "number becomes truth": (lambda o, x: x + o.t[1] + (o.n is True), lambda o: setattr(o, "n", True)),
    "number, zero to minus zero": (lambda o, x: np.copysign(x, o.k - 2), lambda o: setattr(o, "k", 1.0)),
    "number becomes array": (lambda o, x: x * o.k, lambda o: setattr(o, "k", vector())),
    "array becomes number": (lambda o, x: x * o.w, lambda o: setattr(o, "w", 3.0)),
    "numpy's number": (lambda o, x: x * o.k, lambda o: setattr(o, "k", np.float32(3))),
    "None becomes array": (lambda o, x: x if o.none is None else x * o.none, lambda o: setattr(o, "none", vector())),
    "name": (lambda o, x: x * (1.0 if o.name == "a" else 2.0), lambda o: setattr(o, "name", "b")),
    "attribute, new": (lambda o, x: x * getattr(o, "more", 1.0), lambda o: setattr(o, "more", 3.0)),
    "attribute, gone": (lambda o, x: x * getattr(o, "k", 1.0), lambda o: delattr(o, "k")),
    "list, longer": (lambda o, x: sum(w * x for w in o.l), lambda o: o.l.append(vector())),
    "list, shorter": (lambda o, x: sum([w * x for w in o.l], x * 0), lambda o: o.l.clear()),
    "list, in place": (lambda o, x: x * o.l[0], lambda o: _add(o.l[0])),
    "dict, longer": (lambda o, x: sum(w * x for w in o.d.values()), lambda o: o.d.update(v=vector())),
    "dict, shorter": (lambda o, x: sum([w * x for w in o.d.values()], x * 0), lambda o: o.d.clear()),
    "dict, rebound": (lambda o, x: x * o.d["w"], lambda o: o.d.update(w=vector(4))),
    "set": (lambda o, x: x * (2 if 7 in o.s else 1), lambda o: o.s.add(7)),
    "bytes": (lambda o, x: x * o.b[0], lambda o: o.b.__setitem__(0, 9)),
    "tuple, in place": (lambda o, x: x * o.t[0], lambda o: _add(o.t[0])),
    "named tuple, in place": (lambda o, x: x * o.p.w, lambda o: _add(o.p.w)),
    "named tuple, rebound": (lambda o, x: x * o.p.w + o.p.k, lambda o: setattr(o, "p", Pair(vector(3), 2.0))),
    "deque, in place": (lambda o, x: x * o.q[0], lambda o: _add(o.q[0])),
    "deque, rebound": (lambda o, x: x * o.q[0], lambda o: o.q.appendleft(vector(3))),
    "array of objects": (lambda o, x: x * o.objects[0], lambda o: _add(o.objects[0])),
    "structured array": (lambda o, x: x * o.record["a"], lambda o: _add(o.record["a"])),
    "slots": (lambda o, x: x * o.slots.w, lambda o: setattr(o.slots, "w", vector(3))),
    "class, array in place": (lambda o, x: x * o.own.w, lambda o: _add(o.kind.w)),
    "class, array rebound": (lambda o, x: x * o.own.w, lambda o: setattr(o.kind, "w", vector(3))),
    "class, number": (lambda o, x: x * o.own.k, lambda o: setattr(o.kind, "k", 3.0)),
    "class, method": (lambda o, x: o.own.f(x), lambda o: setattr(o.kind, "f", lambda self, x: x * 5)),
    "class, hidden by the object": (lambda o, x: x * o.own.k, lambda o: setattr(o.own, "k", 3.0)),
    "module, array": (lambda o, x: x * o.m.w, lambda o: _add(o.m.w)),
    "module, number": (lambda o, x: x * o.m.k, lambda o: setattr(o.m, "k", 3.0)),
    "global, number": (lambda o, x: o.g["f"](x), lambda o: o.g.update(k=3.0)),
    "global, function": (lambda o, x: o.g["f"](x), lambda o: o.g.update(h=lambda x: x * 7)),
    "partial": (lambda o, x: o.partial(x), lambda o: _add(o.pw)),
    "default": (lambda o, x: o.default(x), lambda o: _add(o.pw)),
    "tensor, in place": (lambda o, x: (o.tensor * x).data, lambda o: _add(o.tensor.data)),
    "tensor, assigned": (lambda o, x: (o.tensor * x).data, lambda o: setattr(o.tensor, "data", vector(3))),
    "tensor, learns": (lambda o, x: o.tensor * x, lambda o: setattr(o.tensor, "requires_grad", True)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_around_is_seen(change: str) -> None:
    function, happens = CHANGES[change]
    mine, theirs = _kinds(), _kinds()
    compiled = compile(lambda x: function(mine, x))
    for number in range(9):
        x = vector(number)
        equal(compiled(x), function(theirs, x), note=number)
        if number == 4:
            happens(mine)
            happens(theirs)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("make", [np.matrix, lambda x: np.ma.masked_array(x, x > 1)], ids=["matrix", "masked"])
def test_arrays_with_rules_of_their_own(make: Any) -> None:
    """Of ``np.matrix`` a product is a matrix product, and masked elements do not count."""
    held = make(np.array([[1.0, 1.0], [1.0, 2.0]]))
    compiled = compile(lambda x: (held * held).sum() + x)
    for number in range(4):
        try:
            got = compiled(vector(number))
        except CompileError:
            continue
        equal(np.asarray(got), np.asarray((held * held).sum() + vector(number)))
    assert float((held * held).sum()) != float((np.asarray(held) ** 2).sum())


def test_the_loop_around_may_count() -> None:
    """What is reached but not used may change without another program each time."""
    o = Thing(w=vector(), epoch=0, best=1e9, history=[])

    def step(x: Any) -> Any:
        o.w = o.w * 0.5 + x
        return o.w.sum()

    compiled, w = compile(step), vector()
    for number in range(12):
        w = w * 0.5 + vector(number)
        equal(compiled(vector(number)), w.sum())
        o.epoch, o.best = number, 1.0 / (number + 1)
        o.history.append(float(number))
    assert len(compiled.programs) <= 3


PAIR = (np.ones(3), 2.0)


def _scaled(x: Any) -> Any:
    return x * PAIR[0]


def test_a_tuple_of_arrays_that_two_functions_look_up() -> None:
    compiled = compile(lambda x: _scaled(x) + PAIR[0] * PAIR[1])
    for _ in range(4):
        equal(compiled(vector()), vector() + 2.0)
    _add(PAIR[0])
    equal(compiled(vector()), 2 * vector() + 4.0)
    assert len(compiled.programs) == 1
