"""What is to be known about a program to print it: what comes when, how long results are needed, what to call them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from autodiff.compile.kinds import address
from autodiff.compile.listing.names import Titles
from autodiff.compile.listing.wording import OPPOSITE, is_transposition, is_whole
from autodiff.compile.plan.flatten import pack
from autodiff.compile.plan.forms import ALIASING, is_elementwise
from autodiff.compile.plan.plan import END, Loop, Plan, Step
from autodiff.compile.tape import Call, Draw, Origin, Tape, Value


class Outline:
    """What is known about a program before its first line is written. It notes what a tape will forget.

    Attributes
    ----------
    items : list of Step or Loop
        What is run, in order; empty until `read`.
    inline : dict of Value to Call
        Calls that are written where their result is used, as views.
    stepped : set of int
        The numbers of calls that get a line.
    last : dict of Value to int
        The item that needs a value last.
    stages : dict of int to str
        The stage of each call.
    titles : Titles
        What results are to be called.
    """

    def __init__(self, plan: Plan, tape: Tape) -> None:
        self.plan = plan
        self.tape = tape
        self.lines: list[Call | Draw] = list(tape.lines)
        self.calls = tape.calls
        #: What comes from outside and lies in memory row by row.
        self._ordered = {v for call in self.calls for v in values_of(call) if v.kind != "result" and _ordered(v.array)}
        #: Whether steps are fused: what they share memory with is then no matter of lines.
        self.fused = type(plan) is not Plan
        self._about = {v: v.about for v in (line.result for line in self.calls) if getattr(v, "about", None)}
        self.items: list[Step | Loop] = []

    def read(self) -> None:
        """Go through the lines."""
        self.items = [*(self.plan.steps if self.fused else self.plan.looped())]
        self.stepped = {id(step.line) for step in self.steps()}
        self.views = {line.result: line for line in self.calls if line.function in ALIASING}
        self.inline = {
            v: line
            for v, line in self.views.items()
            if id(line) not in self.stepped or is_transposition(line) or is_whole(line)
        } | {line.result: line for line in self.calls if line.function in OPPOSITE}
        self.stepped -= {id(line) for line in self.inline.values()}
        self._made = {line.result: line for line in self.calls}
        self.titles = Titles(self.calls, self._about)
        self.stages = self._staged()
        self.last = self._lasting()

    def steps(self) -> Iterator[Step]:
        """Yield the steps, also those in loops."""
        for item in self.items:
            yield from steps_of(item)

    def after(self, now: int) -> Call | None:
        """Return the next call: it is what something is drawn for."""
        following = (step.line for item in self.items[now:] for step in steps_of(item))
        return next((line for line in following if isinstance(line, Call)), None)

    def same_memory(self, a: Value, b: Value) -> bool:
        """Whether two values stand in the same piece of memory."""
        memory = self.plan.memory
        return a in memory and b in memory and key_of(memory[a]) == key_of(memory[b])

    def plain(self, call: Call) -> bool:
        """Whether what numpy would make of a call lies in memory as the program's does."""
        return call.function is np.dot or all(len(v.shape) < 2 or self._rows(v) for v in values_of(call))

    def _rows(self, v: Value) -> bool:
        """Whether an array is known to lie in memory row by row."""
        array = self.plan.memory.get(v, v.array if v.kind == "constant" else None)
        return v in self._ordered if array is None else bool(array.flags.c_contiguous)

    def _lasting(self) -> dict[Any, int]:
        last: dict[Any, int] = {}

        def use(v: Any, when: int) -> None:
            if last.get(v, -1) < when:
                last[v] = when
                for x in self.inline[v].operands() if v in self.inline else ():
                    use(x, when)

        for i, item in enumerate(self.items):
            for step in steps_of(item):
                for v in step.line.operands() if isinstance(step.line, Call) and id(step.line) in self.stepped else ():
                    use(v, i)
        for v in (*self.tape.outputs, *self.tape.finals):
            use(v, END)
        return last

    def _staged(self) -> dict[int, str]:
        """The stage of each call: what follows the last gradient is the update."""
        calls = [line for line in self.calls if line.function is not pack]
        stages = [line.origin.stage if line.origin else "" for line in calls]
        if "backward" not in stages:
            return {}
        begin, end = stages.index("backward"), len(stages) - stages[::-1].index("backward")
        return {
            id(line): "forward" if i < begin else "update" if i >= end else "backward" for i, line in enumerate(calls)
        }

    def name_passing(self) -> None:
        """Call what a result is written over as the result, and what a gradient is multiplied with a slope."""
        for i, item in reversed([*enumerate(self.items)]):
            for step in reversed([*steps_of(item)]):
                call = step.line
                if isinstance(call, Call) and is_elementwise(call) and self.titles[call.result] is not None:
                    self._name_operand(call, self.titles[call.result], i)

    def _name_operand(self, call: Call, title: Any, now: int) -> None:
        gradient = isinstance(title, tuple)
        for v in dict.fromkeys(values_of(call)):
            if (
                v.kind != "result"
                or self.titles[v] is not None
                or self.last.get(v) != now
                or v.shape != call.result.shape
            ):
                continue
            if self._origin(v) != call.origin:
                continue
            slope = self._is_slope(call, v, title)
            if slope or title == "slope" or (not gradient and self._passes(v, call.result)):
                self.titles[v] = "slope" if slope else title
                return

    def _passes(self, v: Value, result: Value) -> bool:
        """Whether a value turns into a result in place, or could."""
        return self.same_memory(v, result) or (self.fused and result not in self.tape.finals)

    def _origin(self, v: Value) -> Origin | None:
        return self._made[v].origin if v in self._made else None

    def _is_slope(self, call: Call, v: Value, title: Any) -> bool:
        """Whether `v` is the derivative that the gradient from above is multiplied with."""
        if call.function is not np.multiply or not isinstance(title, tuple) or v.dtype.kind != "f":
            return False
        others = [x for x in call.args if x is not v and isinstance(x, Value)]
        return len(others) == 1 and isinstance(self.titles[others[0]], tuple)


def _ordered(array: Any) -> bool:
    return array is not None and bool(array.flags.c_contiguous)


def steps_of(item: Step | Loop) -> list[Step]:
    """The steps of a loop, or the step itself."""
    return item.steps if isinstance(item, Loop) else [item]


def values_of(call: Call) -> list[Value]:
    """The arrays among a call's operands."""
    return [v for v in call.operands() if isinstance(v, Value)]


def key_of(array: Any) -> tuple[Any, ...]:
    """Return what two arrays have in common that are the same piece of memory."""
    where = address(array)
    return id(array) if where is None else where, array.shape, array.strides, array.dtype.str


def within(array: Any, flat: Any) -> bool:
    """Whether an array's memory is part of that of another."""
    start, whole = address(array), address(flat)
    if start is None or whole is None:
        return array is flat
    return bool(whole <= start and start + array.nbytes <= whole + flat.nbytes)
