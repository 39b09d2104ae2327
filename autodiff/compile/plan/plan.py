"""Memory for every value: fixed buffers, shared by values that do not live at the same time, and written in place."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from autodiff.compile.kinds import overlap, zeros
from autodiff.compile.plan.blocks import Chain, chain_at
from autodiff.compile.plan.flatten import pack, slot
from autodiff.compile.plan.forms import ALIASING, is_elementwise, takes_out
from autodiff.compile.record.places import Kept
from autodiff.compile.tape import Call, Draw, Opaque, Tape, Value, decide, mapped

END = 1 << 60


class Step(NamedTuple):
    """A line of the program: a call with the memory that it writes to, or `None` where it makes a new array."""

    line: Call | Draw
    out: Any


class Loop(NamedTuple):
    """The steps of a chain, which are made block by block."""

    steps: list[Step]
    chain: Chain


class Plan:
    """The tape's lines in order, with the memory of every value.

    Attributes
    ----------
    steps : list of Step
        What is to be run. Views of fixed memory are not among them: they are taken once, here.
    closing : list of Step
        What is copied to places outside once the results are taken.
    memory : dict of Value to array
        Where each value stands. Values that are not in it are variables of the generated code.
    kept : list of Kept
        What stays outside; `array` is its memory.
    buffers : list of array
        The memory that the program allocated for itself.
    abroad : bool
        Whether there are arrays of another kind than numpy's.
    chains : dict of Call to Chain
        The calls that are made block by block.
    """

    def __init__(self, tape: Tape, kept: list[Kept]) -> None:
        self.tape = tape
        self.abroad = any(isinstance(v, Value) and v.home is not None for call in tape.calls for v in call.operands())
        self.kept = [*kept]
        self.steps: list[Step] = []
        self.closing: list[Step] = []
        self.memory: dict[Value, Any] = {}
        self.buffers: list[Any] = []
        self.chains: dict[Call, Chain] = {}
        self._passing: set[Value] = set()
        self._users: dict[Any, list[Call]] = defaultdict(list)
        self._roots: dict[Any, frozenset[Value]] = {}
        self._last: dict[Value, int] = defaultdict(int)
        self._free: dict[tuple[np.dtype[Any], type], list[Any]] = defaultdict(list)
        self._goals: dict[Value, Any] = {}
        self._views: dict[tuple[int, tuple[int, ...]], Any] = {}
        self._live()
        self._place()

    def looped(self) -> Iterator[Step | Loop]:
        """Yield the steps, those of a chain as one loop."""
        of = {id(call): chain for call, chain in self.chains.items()}
        for chain, steps in groupby(self.steps, lambda step: of.get(id(step.line))):
            if chain is None:
                yield from steps
            else:
                yield Loop([*steps], chain)

    # Who lives how long

    def _live(self) -> None:
        lines = self.tape.lines
        for i, line in enumerate(lines):
            if isinstance(line, Draw):
                continue
            for v in line.operands():
                self._users[v].append(line)
                self._use(v, i)
            if line.function is not decide:
                above = frozenset[Value]()
                if line.function in ALIASING or not (isinstance(line.function, np.ufunc) or takes_out(line)):
                    above = above.union(*(self._root(v) for v in line.operands()))
                own = {line.result} if isinstance(line.result, Value) else set()
                self._roots[line.result] = above | own
                self._use(line.result, i)
        for v in (*self.tape.outputs, *self.tape.finals):
            self._use(v, END)

    def _root(self, v: Any) -> frozenset[Value]:
        if v not in self._roots:
            self._roots[v] = frozenset({v})
        return self._roots[v]

    def _use(self, v: Any, when: int) -> None:
        for root in self._root(v):
            self._last[root] = max(self._last[root], when)

    # Where each one stands

    def _place(self) -> None:
        lines = self.tape.lines
        last_decision = max(
            (i for i, line in enumerate(lines) if isinstance(line, Call) and line.function is decide), default=-1
        )
        at = {line.result: i for i, line in enumerate(lines) if isinstance(line, Call) and line.function is not decide}
        for kept in self.kept:
            if kept.value is not None:
                self.memory[kept.value] = kept.array
        self._packs()
        late: list[tuple[Kept, Value]] = []
        taken: set[Value] = set()
        for position, (kept, final) in enumerate(zip(self.kept, self.tape.finals, strict=True)):
            i = at.get(final, -1)
            if final in self._goals and kept.movable and kept.value not in self._last and final not in taken:
                self.kept[position] = kept._replace(array=self._goals[final])
                taken.add(final)
            elif (
                kept.array.flags.c_contiguous
                and final not in taken
                and final not in self._goals
                and i > last_decision
                and takes_out(lines[i])
                and final.shape == kept.array.shape
                and (kept.value is None or self._spent(kept.value, lines[i]))  # type: ignore[arg-type]
            ):
                self._goals[final] = kept.array
                taken.add(final)
            else:
                late.append((kept, final))
        dying: dict[int, list[Value]] = defaultdict(list)
        for root, when in self._last.items():
            dying[when].append(root)
        self._owned: dict[Value, Any] = {}
        for i, line in enumerate(lines):
            if isinstance(line, Draw) or line.function is decide:
                self.steps.append(Step(line, None))
            elif not self._seen(line):
                self._chain(i)
                self._store(line, i)
            for root in dying[i]:
                buffer = self._owned.pop(root, None)
                if buffer is not None:
                    self._free[buffer.dtype, type(buffer)].append(buffer)
        self._finish(late)

    def _spent(self, value: Value, line: Call) -> bool:
        """Whether a state's old content is of no use any more once `line` has run, nor in its way while it runs."""
        i = self.tape.lines.index(line)
        last = self._last.get(value, -1)
        return last < i or (last == i and self._in_place(value, line))

    def _in_place(self, v: Value, line: Call) -> bool:
        """Whether an elementwise call may write its result over its operand `v`."""
        if not is_elementwise(line) or v.shape != line.result.shape or v.dtype != line.result.dtype:
            return False
        return all(x is v or v not in self._root(x) for x in line.operands()) and any(x is v for x in line.operands())

    def _packs(self) -> None:
        """Let arrays that will stand in one be computed where they will stand."""
        for line in self.tape.calls:
            if line.function is not pack:
                continue
            start = 0
            flat = self._new(line.result.shape, line.result.dtype, line.result.home)
            self._goals[line.result] = flat
            for v in line.args:
                view = slot(flat, start, v.shape)
                start += v.size
                if v.call is not None and takes_out(v.call) and v not in self._goals and v.kind == "result":
                    self._goals[v] = view

    def _seen(self, line: Call) -> bool:
        """Take a view of fixed memory once and for all."""
        if line.function not in ALIASING or not isinstance(line.result, Value):
            return False
        operands = [v for v in line.operands() if isinstance(v, Value)]
        if not all(v in self.memory or v.kind == "constant" for v in operands):
            return False
        view = self._run(line)
        if not any(overlap(view, self._array(v)) for v in operands):
            return False
        self.memory[line.result] = view
        return True

    def _chain(self, i: int) -> None:
        """Find the chain that begins with line `i`, and what does not leave it."""
        if self.tape.lines[i] in self.chains:
            return
        chain = chain_at(self.tape.lines, i, lambda v: v in self.memory or v.kind == "constant")
        if chain is None:
            return
        self.chains |= dict.fromkeys(chain.calls, chain)
        leaving = self.tape.roots() | self._goals.keys()
        for call in chain.calls:
            if call.result not in leaving and all(user in chain.calls for user in self._users[call.result]):
                self._passing.add(call.result)

    def _run(self, line: Call) -> Any:
        args, kwargs = mapped(self._array, (line.args, line.kwargs))
        return line.function(*args, **kwargs)

    def _array(self, v: Value) -> Any:
        return self.memory.get(v, v.array)

    def _store(self, line: Call, i: int) -> None:
        result = line.result
        if isinstance(result, Opaque) or not takes_out(line) or self._is_number(result):
            self.steps.append(Step(line, None))
            return
        memory = self._goals.get(result)
        if memory is None:
            memory = self._reuse(line, i)
        self.memory[result] = memory
        if line.function is pack and all(self._stands_in(v, memory) for v in line.args):
            return
        self.steps.append(Step(line, memory))

    def _is_number(self, v: Value) -> bool:
        """Whether a result stays numpy's scalar: other kinds of arrays mix with these, and with no 0-d array."""
        return self.abroad and v.shape == () and v.home is None and v not in self._goals

    def _stands_in(self, v: Value, memory: Any) -> bool:
        """Whether a value is computed into its part of `memory`."""
        return v in self._goals and overlap(self._goals[v], memory)

    def _reuse(self, line: Call, i: int) -> Any:
        """Return memory for a result: of an operand that dies here, of a value that died before, or new."""
        result: Value = line.result
        passes = result in self._passing
        for v in line.operands():
            whole = passes or v not in self._passing
            if whole and v in self._owned and self._last[v] == i and self._in_place(v, line):
                buffer = self._owned.pop(v)
                self._owned[result] = buffer
                return self.memory[v]
        shape = self.chains[line].block if passes else result.shape
        size = math.prod(shape)
        free = self._free[result.dtype, np.ndarray if result.home is None else type(result.home)]
        fitting = [b for b in free if b.size >= size]
        if fitting:
            buffer = min(fitting, key=lambda b: b.size)
            # Found by identity: arrays compare element by element.
            free[:] = [b for b in free if b is not buffer]
        else:
            buffer = self._new((size,), result.dtype, result.home)
        self._owned[result] = buffer
        key = id(buffer), shape
        if key not in self._views:  # one view for each shape, so that equal memory is the same object
            self._views[key] = buffer[:size].reshape(shape)
        return self._views[key]

    def _new(self, shape: tuple[int, ...], dtype: Any, home: Any = None) -> Any:
        buffer = zeros(shape, dtype, home)
        self.buffers.append(buffer)
        return buffer

    def _finish(self, late: list[tuple[Kept, Value]]) -> None:
        """Copy to their places outside what could not be computed there."""
        states = {id(k.array) for k in self.kept}
        staged = []
        for kept, final in late:
            if kept.value is final:
                continue
            call = Call(copied, (final,), {})
            call.result = Value("result", kept.array)
            call.result.array = None
            if any(id(self.memory.get(root)) in states for root in self._root(final)):
                middle = Call(copied, (final,), {})
                middle.result = Value("result", kept.array)
                middle.result.array = None
                self.memory[middle.result] = self._new(kept.array.shape, kept.array.dtype, middle.result.home)
                self.closing.append(Step(middle, self.memory[middle.result]))
                call.args = (middle.result,)
            self.memory[call.result] = kept.array
            staged.append(Step(call, kept.array))
        self.closing += staged


def copied(array: Any) -> Any:
    return array.copy()
