"""Update many arrays at once: equal chains of elementwise calls on several parameters become one on a flat array.

The arrays that an optimizer changes get one memory, one after the other, and so do their gradients. An elementwise
call does not care where one ends and the next begins, so the result is the same to the last bit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np

from autodiff.compile.kinds import address, home
from autodiff.compile.record.places import Kept
from autodiff.compile.tape import Call, Tape, Value, mapped

#: Bytes up to which an array is worth joining with others: larger ones gain nothing, and the memory moves. On a GPU a
#: call costs what numpy needs for many more numbers.
SMALL, SMALL_ABROAD = 1 << 16, 1 << 24


def pack(*arrays: Any) -> Any:
    """Put arrays into one, one after the other."""
    return np.concatenate([array.reshape(-1) for array in arrays])


def slot(flat: Any, start: int, shape: tuple[int, ...]) -> Any:
    """Look at one of the arrays in a flat one."""
    return flat[start : start + math.prod(shape)].reshape(shape)


class _Shape:
    """What a flat value looks like, before it has a memory."""

    def __init__(self, members: tuple[Value, ...]) -> None:
        self.shape = (sum(v.size for v in members),)
        self.dtype = members[0].dtype
        self.home = members[0].home


def flatten(tape: Tape, kept: list[Kept]) -> list[Kept]:
    """Join equal updates on the tape; return what is kept, arrays that now share one memory as one."""
    flattening = _Flattening(tape, kept)
    flattening.run()
    return flattening.kept


class _State(NamedTuple):
    """Several states in one memory."""

    flat: Value
    members: tuple[Value, ...]


class _Flattening:
    def __init__(self, tape: Tape, kept: list[Kept]) -> None:
        self.tape = tape
        self.kept = kept
        used = {v for line in tape.calls for v in line.operands()}
        pairs = [*zip(kept, tape.finals, strict=True)]
        self.states = {k.value: (k, final) for k, final in pairs if k.value in used and _is_worth_joining(k.array)}
        #: What others look at, as a `.grad` is, stays an operand: its own history is no part of the update.
        self.cut = {final for k, final in pairs if k.value not in self.states}
        self.flats: dict[tuple[int, ...], Value] = {}
        self.gone: set[Value] = set()

    def run(self) -> None:
        groups: dict[Hashable, list[Value]] = defaultdict(list)
        for kept, final in self.states.values():
            if final not in self.cut and final.size and final.shape == kept.array.shape and final.shape:
                key = self._signature(final, final.shape)
                if key[0] == "call":
                    groups[(final.dtype, type(kept.array), key)].append(final)
        # The longest chains first: they contain the shorter ones.
        for _, members in sorted(groups.items(), key=lambda item: -len(repr(item[0][2]))):  # type: ignore[index]
            if len(members) > 1 and not any(v in self.gone for v in members):
                self._join(tuple(members))

    def _signature(self, v: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
        """What is done to arrive at a value, without the arrays that it is done to."""
        if not isinstance(v, Value):
            return ("number", repr(v))
        if v.shape == ():
            return ("scalar", v.array.tobytes() if v.kind == "constant" else id(v))
        if v.shape != shape:
            return ("other", id(v))
        if v in self.states:
            return ("state",)
        call = v.call
        if call is None or v in self.cut or not isinstance(call.function, np.ufunc) or call.kwargs:
            return ("leaf",)
        inner = [self._signature(x, shape) for x in call.args]
        if any(kind[0] == "other" for kind in inner) or any(
            isinstance(x, Value) and x.dtype != v.dtype for x in call.args
        ):
            return ("leaf",)
        return ("call", call.function.__name__, *inner)

    def _join(self, members: tuple[Value, ...]) -> None:
        """Translate the chains of all members in step; give up without a trace if they do not run in parallel."""
        flats, lines, new = dict(self.flats), list[Call](), list[_State]()
        calls: list[tuple[Value, ...]] = []

        def translate(vs: tuple[Any, ...]) -> Any:
            first = vs[0]
            if not isinstance(first, Value) or first.shape == ():
                return first
            key = tuple(map(id, vs))
            if key in flats:
                return flats[key]
            if len(set(key)) < len(key) or any(id(v) in used for v in vs):
                raise _NotParallelError
            used.update(key)
            kind = self._signature(first, first.shape)[0]
            flat = Value("result", _Shape(vs))
            flat.array = None
            if kind == "state":
                flat.kind = "state"
                new.append(_State(flat, vs))
            elif kind == "leaf":
                flat.call = Call(pack, vs, {})
                flat.call.result = flat
                flat.call.origin = next((v.call.origin for v in vs if v.call is not None), None)
                lines.append(flat.call)
            else:
                args = tuple(translate(tuple(v.call.args[i] for v in vs)) for i in range(len(first.call.args)))  # type: ignore[union-attr]
                flat.call = Call(first.call.function, args, {})  # type: ignore[union-attr]
                flat.call.result = flat
                flat.call.origin, flat.call.line = first.call.origin, first.call.line  # type: ignore[union-attr]
                lines.append(flat.call)
                calls.append(vs)
            flats[key] = flat
            return flat

        used = {number for key in self.flats for number in key}
        try:
            translate(members)
        except _NotParallelError:
            return
        finally:
            translate = None  # type: ignore[assignment]  # which refers to itself
        if not all(self._memory(state.members) is not None for state in new):
            return
        finals = [tuple(self.states[v][1] for v in state.members) for state in new]
        if members not in finals:  # what they start from is not their own
            return
        if all(tuple(map(id, vs)) in flats for vs in finals) and self._splice(calls, lines, flats):
            self.flats = flats
            for state, vs in zip(new, finals, strict=True):
                self._merge(state, vs, flats[tuple(map(id, vs))])

    def _splice(self, calls: list[tuple[Value, ...]], lines: list[Call], flats: dict[tuple[int, ...], Value]) -> bool:
        """Put the flat calls in place of the members', unless somebody needs a member's result in between."""
        gone = {v: (flats[tuple(map(id, vs))], i) for vs in calls for i, v in enumerate(vs)}
        removed = {v.call for v in gone}
        where = [i for i, line in enumerate(self.tape.lines) if line in removed]
        between = self.tape.lines[where[0] : where[-1] + 1]
        for line in between:
            if isinstance(line, Call) and line not in removed and any(v in gone for v in line.operands()):
                return False
        views: dict[Value, Value] = {}

        def seen(v: Any) -> Any:
            if v not in gone:
                return v
            if v not in views:
                flat, i = gone[v]
                members = next(vs for vs in calls if v in vs)
                views[v] = self._slot(flat, members, i)
            return views[v]

        self.tape.outputs = [seen(v) for v in self.tape.outputs]
        after = self.tape.lines[where[-1] + 1 :]
        for line in after:
            if isinstance(line, Call):
                line.args = mapped(seen, line.args)
                line.kwargs = mapped(seen, line.kwargs)
        kept = [line for line in between if line not in removed]
        extra = [view.call for view in views.values()]
        self.tape.lines = [*self.tape.lines[: where[0]], *kept, *lines, *extra, *after]  # type: ignore[list-item]
        self.gone |= gone.keys()
        return True

    def _merge(self, state: _State, finals: tuple[Value, ...], final: Value) -> None:
        """Let the states be slots of one, which is what is kept now."""
        members = [self.states[v][0] for v in state.members]
        array = self._memory(state.members)
        pairs = [
            (k, f)
            for k, f in zip(self.kept, self.tape.finals, strict=True)
            if not any(k is member for member in members)
        ]
        merged = Kept(state.flat, [], array, True, members)
        self.kept = [*(k for k, _ in pairs), merged]
        self.tape.finals = [*(f for _, f in pairs), final]
        heads: list[Any] = []
        for i, v in enumerate(state.members):
            view = self._slot(state.flat, state.members, i)
            v.kind, v.base, v.call, v.array = "result", state.flat, view.call, None
            view.call.result = v  # type: ignore[union-attr]
            heads.append(view.call)
            del self.states[v]
        self.tape.lines[:0] = heads

    def _memory(self, states: tuple[Value, ...]) -> Any:
        """Return one array for several states: the one that they are parts of, or a new one if they may move."""
        members = [self.states[v][0] for v in states]
        arrays = [k.array for k in members]
        base: Any = getattr(arrays[0], "base", None)
        if _is_row(base, arrays[0].dtype) and all(a.base is base for a in arrays):
            places = [address(a) for a in (base, *arrays)]
            if None not in places:
                start = (places[1] - places[0]) // base.itemsize  # type: ignore[operator]
                ends = np.cumsum([0, *(a.nbytes for a in arrays)]) + places[1]
                if all(place == end for place, end in zip(places[1:], ends, strict=False)):
                    return base[start : start + sum(a.size for a in arrays)]
        if not all(k.movable for k in members):
            return None
        return np.concatenate([array.reshape(-1) for array in arrays])

    def _slot(self, flat: Value, members: tuple[Value, ...], i: int) -> Value:
        start = sum(v.size for v in members[:i])
        call = Call(slot, (flat, start, members[i].shape), {})
        view = Value("result", members[i], base=flat)
        view.array = None
        view.call = call
        call.result = view
        return view


def _is_worth_joining(array: Any) -> bool:
    small = SMALL if home(array) is None else SMALL_ABROAD
    return bool(array.flags.c_contiguous) and array.dtype.kind == "f" and array.nbytes <= small


def _is_row(array: Any, dtype: Any) -> bool:
    return array is not None and array.ndim == 1 and array.dtype == dtype and bool(array.flags.c_contiguous)


class _NotParallelError(Exception):
    pass
