"""A program as machine code: segments that Numba compiles, with numpy's calls between them where it has to be."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.compile.machine.expressions import KINDS
from autodiff.compile.machine.loops import Segment
from autodiff.compile.machine.machine import compiled
from autodiff.compile.machine.placement import MachinePlan
from autodiff.compile.plan.plan import Step
from autodiff.compile.plan.source import Source
from autodiff.compile.program import DepartedError
from autodiff.compile.tape import Call, CompileError, Draw, Value, part


class MachineSource(Source):
    """Writes the lines of a plan: one for each segment, and one or more for each call that stays with numpy."""

    plan: MachinePlan

    def body(self) -> list[str]:
        # Machine code warns of nothing; numpy's calls would.
        quiet = all(isinstance(item, Segment) or isinstance(item.line, Draw) for item in self.plan.items)
        return self.code if quiet else super().body()

    def _steps(self) -> None:
        self._ready: set[Value] = set()
        self._items(self.plan.items)
        self._take_views(self.plan.tape.outputs)

    def _closing(self) -> None:
        self._items(self.plan.closing_items)

    def _items(self, items: list[Step | Segment]) -> None:
        for item in items:
            if isinstance(item, Segment):
                self._segment(item)
            else:
                self._numpy(item)

    def _segment(self, segment: Segment) -> None:
        entry = compiled(text_of(segment), signature(segment))
        given = ", ".join([self.bind(self.plan.arena.memory, "m"), *map(self.variable, segment.inputs)])
        name = self.bind(entry, "f")
        self.code.append(f"if {name}({given}): {self.bind(again, 'f')}({name}, {given})")

    def _numpy(self, step: Step) -> None:
        line = step.line
        if isinstance(line, Call):
            self._take_views(line.operands())
        self._step(step)
        if (
            isinstance(line, Call)
            and step.out is None
            and isinstance(line.result, Value)
            and not isinstance(line.function, np.ufunc)
        ):
            # Machine code may write over what the result looks at.
            fixed = line.function is part or any(v in self.plan.memory for v in line.operands())
            if fixed:
                name = self.variable(line.result)
                self.code.append(f"{name} = {self.bind(np.array, 'f')}({name})")

    def _take_views(self, values: Any) -> None:
        """Write the views of what is given anew for each run, as far as numpy needs them."""
        for v in values:
            line = self.plan.views.get(v)
            if line is not None and v not in self._ready:
                self._take_views(line.operands())
                self._ready.add(v)
                self.code.append(f"{self.variable(v)} = {self._fresh(line)}")


def again(entry: Any, memory: Any, *given: Any) -> None:
    """Run machine code that has turned down what it was given: it takes arrays that stand row by row.

    Raises
    ------
    DepartedError
        It came to a branch that goes another way than in the recording.
    """
    status = entry(memory, *(np.array(x, order="C") if isinstance(x, np.ndarray) and x.ndim else x for x in given))
    if status == 2:
        raise DepartedError
    if status:
        raise CompileError(
            "a call gave an array of another shape than in the recording; leave it out of the compiled function"
        )


def text_of(segment: Segment) -> str:
    """Write a segment as a function of the memory and its inputs; it gives 0 if all went well."""
    head = []
    for i, value in enumerate(segment.inputs):
        kind = KINDS[value.dtype]
        if not value.shape:
            head.append(f"s{i} = {kind}(x{i})" if kind != "b1" else f"s{i} = x{i}")
        else:
            step = value.dtype.itemsize
            for axis in range(len(value.shape) - 1, -1, -1):
                n = value.shape[axis]
                wrong = f"x{i}.shape[{axis}] != {n}"
                apart = f" or x{i}.strides[{axis}] != {step}" if n > 1 and value.size else ""
                head.append(f"if {wrong}{apart}: return 1")
                step *= n
            head.append(f"a{i} = at(x{i}, 0, {'u1' if kind == 'b1' else kind})")
    names = ", ".join(["m", *(f"x{i}" for i in range(len(segment.inputs)))])
    lines = [*head, *segment.pointers, *segment.body, "return 0"]
    return f"def run({names}):\n" + "".join(f"    {line}\n" for line in lines)


def signature(segment: Segment) -> str:
    """Write the types of the arguments of a segment's function."""
    return ", ".join(["u1[::1]", *map(_type, segment.inputs)])


def _type(value: Value) -> str:
    kind = KINDS[value.dtype]
    if value.shape:
        return f"{kind}[{', '.join(':' * len(value.shape))}]"
    return kind if kind == "b1" else f"{kind[0]}8"
