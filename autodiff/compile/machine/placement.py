"""What of a plan runs as machine code, and where its numbers stand: one piece of memory for all of it.

Offsets into one memory are known when the code is compiled, so that the compiler sees which numbers may change under
which. Calls that machine code does not know stay with numpy, between segments of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from autodiff.compile.machine.arena import Arena
from autodiff.compile.machine.expressions import KINDS
from autodiff.compile.machine.loops import Group, Segment, joined, stores, write
from autodiff.compile.machine.statements import Access, is_large_product, is_turned, owner, statements
from autodiff.compile.plan.forms import is_elementwise, stays_in_place
from autodiff.compile.plan.plan import Plan, Step, copied
from autodiff.compile.record.places import Kept
from autodiff.compile.tape import Call, Draw, Tape, Value, decide

#: Elements from which on numpy is quicker at functions such as `exp`, which it computes several at a time.
COSTLY = 1 << 11
#: Bytes of the largest constants that are copied into the memory.
SMALL = 1 << 12


class MachinePlan(Plan):
    """A plan in which as much as possible is machine code.

    Attributes
    ----------
    items : list of Step or Segment
        What is to be run.
    arena : Arena
        The memory.
    views : dict of Value to Call
        Views of what is given anew for each run.
    """

    def __init__(self, tape: Tape, kept: list[Kept], costly: int = COSTLY) -> None:
        self.items: list[Step | Segment] = []
        self.views: dict[Value, Call] = {}
        self._given: dict[int, Value] = {}
        self._costly = costly
        super().__init__(tape, kept)
        self.items = self._cut(self.steps)
        #: The same, for what is copied to places outside once the results are taken.
        self.closing_items = self._cut(self.closing)
        self._arrange()

    # Planning: every value has a memory of its own until it is known who needs one

    def _place(self) -> None:
        self._roots_of_tape = self.tape.roots()
        self._row_by_row = self._bound_to_rows()
        kept = {k.value for k in self.kept}
        for v in (*self._users, *self.tape.finals, *self.tape.outputs):
            if isinstance(v, Value) and v.kind in ("argument", "state", "fresh") and v not in kept:
                self._stand_in(v)
        super()._place()

    def _stand_in(self, v: Value) -> None:
        """Give a value that comes anew for each run an array that looks like it."""
        if v not in self.memory and v.dtype in KINDS:
            array = np.zeros(v.shape, v.dtype)
            self.memory[v] = array
            self._given[id(array)] = v

    def _store(self, line: Call, i: int) -> None:
        if self._internal(line):
            memory = self._new((), line.result.dtype)
            self.memory[line.result] = memory
            if statements(Step(line, memory), self._array, self._costly) is not None:
                self.steps.append(Step(line, memory))
                return
            del self.memory[line.result]
        super()._store(line, i)
        if isinstance(line.result, Value) and line.result not in self.memory:
            self._stand_in(line.result)

    def _internal(self, line: Call) -> bool:
        """Whether a call gives a number that nothing but decisions depend on: it need not be one of Python's."""
        if not isinstance(line.result, Value) or line.result.shape or line.result in self.tape.roots():
            return False
        users = self._users[line.result]
        return bool(users) and all(user.function is decide or self._internal(user) for user in users)

    def _chain(self, i: int) -> None:
        """Leave chains to the loops of the machine code."""

    def _reuse(self, line: Call, i: int) -> Any:
        shape, dtype = line.result.shape, line.result.dtype
        return self._new(shape[::-1], dtype).T if self._turned(line) else self._new(shape, dtype)

    def _bound_to_rows(self) -> set[Value]:
        """Return the values that meet, element by element and however indirectly, what stands row by row."""
        beside: dict[Value, list[Value]] = defaultdict(list)
        for line in self.tape.calls:
            if stays_in_place(line):
                for v in line.operands():
                    if v.shape == line.result.shape:
                        beside[v].append(line.result)
                        beside[line.result].append(v)
        stack = [v for v in beside if v.kind in ("argument", "state", "fresh")]
        found = set(stack)
        while stack:
            new = [v for v in beside[stack.pop()] if v not in found]
            found.update(new)
            stack += new
        return found

    def _turned(self, line: Call) -> bool:
        """Whether a result had better stand column by column.

        BLAS makes x·Wᵀ quicker as (W·xᵀ)ᵀ, by up to a fifth. What is computed from it element by element stands alike,
        and so must all that it meets there: what comes anew for each run, as the mask of a dropout, stands row by row.
        """
        if len(line.result.shape) != 2 or line.result in self._roots_of_tape or line.result in self._row_by_row:
            return False
        if is_elementwise(line):
            alike = [v for v in line.operands() if v.shape == line.result.shape]
            return any(is_turned(self._array(v)) for v in alike)
        return is_large_product(line, self._array) and any(is_turned(self._array(v)) for v in line.args)

    def _seen(self, line: Call) -> bool:
        if super()._seen(line):
            if id(owner(self.memory[line.result])) in self._given:
                self.views[line.result] = line
            return True
        return line.function in (np.reshape, np.ravel) and self._copied(line)

    def _copied(self, line: Call) -> bool:
        """Reshape a copy, where the operand's memory has another order."""
        x = line.args[0]
        if not isinstance(x, Value) or x not in self.memory:
            return False
        call = Call(copied, (x,), {})
        call.origin = line.origin
        call.result = Value("result", self.memory[x])
        memory = self._new(x.shape, x.dtype)
        view = line.function(memory, *line.args[1:], **line.kwargs)
        if not np.may_share_memory(view, memory) and view.size:
            return False
        self.memory[call.result], self.memory[line.result] = memory, view
        self.steps.append(Step(call, memory))
        return True

    # Who runs what

    def _cut(self, steps: list[Step]) -> list[Step | Segment]:
        """Split steps into segments of machine code, and what stays with numpy."""
        items: list[Step | Segment] = []
        outside = {id(owner(kept.array)) for kept in self.kept}
        segment = Segment()

        def close() -> Segment:
            if segment.statements:
                items.append(segment)
            return Segment()

        for step in steps:
            if isinstance(step.line, Draw):
                # It may be done first if the segment leaves no trace outside before it.
                early = all(
                    s.kind != "decide" and (s.out is None or id(s.out.owner) not in outside) for s in segment.statements
                )
                if not early:
                    segment = close()
                items.append(step)
                continue
            found = statements(step, self._array, self._costly)
            if found is None:
                segment = close()
                items.append(step)
            else:
                segment.statements += found
        close()
        for item in items:
            if isinstance(item, Segment):
                item.groups = joined(item.statements)
        return items

    # Where everything stands

    def _arrange(self) -> None:
        """Lay out the memory, let all arrays look at it, and write the segments."""
        life, pinned = self._lives()
        states = {id(owner(kept.array)) for kept in self.kept}
        mine = {id(owner(b)): owner(b) for b in self.buffers} | {id(k.array): k.array for k in self.kept if k.movable}
        constants = {id(owner(v.array)): owner(v.array) for v in self._constants()}
        small = {at: array for at, array in constants.items() if array.nbytes <= SMALL and at not in states}
        arena = Arena()
        for at, array in mine.items():
            if at in pinned:
                arena.hold(array)
            elif at in life:
                arena.lend(array, *life[at])
        for array in small.values():
            arena.hold(array)
        for access in self._accesses():
            at = id(access.owner)
            if at not in mine and at not in small and at not in self._given:
                arena.point(access)
        arena.build()
        for item in self._all():
            if isinstance(item, Segment):
                write(item, arena, self._given)
        self.arena = arena
        self.buffers = [arena.memory]
        self.memory = {v: arena.moved(a) for v, a in self.memory.items() if id(owner(a)) not in self._given}
        self.items = [self._moved(item) for item in self.items]
        self.closing_items = [self._moved(item) for item in self.closing_items]
        self.kept = [kept._replace(array=arena.moved(kept.array)) for kept in self.kept]

    def _all(self) -> list[Step | Segment]:
        return [*self.items, *self.closing_items]

    def _moved(self, item: Step | Segment) -> Step | Segment:
        """Let a call write into the memory."""
        if isinstance(item, Segment) or item.out is None:
            return item
        return item._replace(out=self.arena.moved(item.out))

    def _constants(self) -> Iterator[Value]:
        for line in self.tape.calls:
            for v in line.operands():
                if isinstance(v, Value) and v.kind == "constant" and isinstance(v.array, np.ndarray):
                    yield v

    def _accesses(self) -> Iterator[Access]:
        for item in self._all():
            for group in item.groups if isinstance(item, Segment) else ():
                yield from group.reads()
                yield from (s.out for s in group.statements if s.out is not None and stores(group, s))

    def _lives(self) -> tuple[dict[int, tuple[int, int]], set[int]]:
        """Return from when to when each array is in use, and those that others look at; note what has to be stored."""
        pinned = {id(owner(kept.array)) for kept in self.kept}
        pinned |= {id(owner(self.memory[v])) for v in self.tape.outputs if v in self.memory}
        for item in self._all():
            if isinstance(item, Step):
                pinned |= {id(owner(item.out))} if item.out is not None else set()
                operands = item.line.operands() if isinstance(item.line, Call) else ()
                pinned |= {id(owner(self.memory[v])) for v in operands if v in self.memory}
        groups = [group for item in self._all() if isinstance(item, Segment) for group in item.groups]
        reads: dict[int, list[tuple[Group, Access]]] = defaultdict(list)
        for group in groups:
            for access in group.reads():
                reads[id(access.owner)].append((group, access))
        life: dict[int, tuple[int, int]] = {}
        for now, group in enumerate(groups):
            for s in group.statements:
                if s.out is None:
                    continue
                at = id(s.out.owner)
                if at in pinned or any(other is not group and s.out.meets(x) for other, x in reads[at]):
                    group.stored.add(s)
                if stores(group, s):
                    life[at] = life.get(at, (now, now))[0], now
            for access in group.reads():
                if id(access.owner) in life:
                    life[id(access.owner)] = life[id(access.owner)][0], now
        return life, pinned
