"""Whole epochs in machine code: the loop over the batches, too, where the data are in memory."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np

from autodiff.compile.compiled import Compiled
from autodiff.compile.machine.expressions import KINDS
from autodiff.compile.machine.loops import Segment
from autodiff.compile.machine.machine import compiled
from autodiff.compile.machine.placement import MachinePlan
from autodiff.compile.program import Program
from autodiff.compile.tape import Draw, Value
from autodiff.op import strip
from autodiff.state import watching

#: Bytes of random numbers and factors that are drawn ahead, and the most steps that they are drawn for.
AHEAD, MOST = 1 << 24, 1 << 12
#: Pointers, numbers and temporaries in the text of a segment.
_TEMPORARY = re.compile(r"\b[pts][0-9]+\b|\ba[0-9]+\b")


class Epochs:
    """Runs a compiled training step on every batch of some data.

    Parameters
    ----------
    step : Compiled
        ``step(x, y)`` gives the loss; compiled with ``backend="numba"``.
    """

    def __init__(self, step: Compiled[..., Any]) -> None:
        self._step = step
        #: The losses of the steps that the last call has made so far.
        self.made: Any = ()
        self._loops: WeakKeyDictionary[Program, _Loop | None] = WeakKeyDictionary()

    def __call__(self, X: Any, y: Any, order: Any, batch_size: int) -> Any:
        """Make one step for each batch: samples ``order[:batch_size]``, the next ones, and the rest.

        Steps whose program is machine code throughout are made in one call. All others, the first of a run and the last
        are calls of the step itself, which look at what has changed around it, and leave gradients where they belong.

        Parameters
        ----------
        X, y : array
            All samples and targets, along the first axis.
        order : array of int
            The samples in the order in which they are taken.

        Returns
        -------
        array
            The loss of each batch. It ends with the first that is not finite.
        """
        X, y = np.ascontiguousarray(X), np.ascontiguousarray(y)
        order = np.ascontiguousarray(order, np.int64)
        whole, steps = len(order) // batch_size, -(-len(order) // batch_size)
        losses = np.empty(steps)
        done = 0
        while done < steps:
            self.made = losses[:done]
            rows = order[done * batch_size : (done + 1) * batch_size]
            losses[done] = strip(self._step(X[rows], y[rows]))
            done += 1
            if not math.isfinite(losses[done - 1]):
                return losses[:done]
            loop = self._loop() if whole - 1 - done > 0 else None
            if loop is not None and loop.fits(X, y, batch_size):
                done += loop.run(X, y, order, losses, done, whole - 1)
                self.made = losses[:done]
                if not math.isfinite(losses[done - 1]):
                    return losses[:done]
        return losses

    def _loop(self) -> _Loop | None:
        program = self._step._last
        if program is None or program.checks or watching:
            return None
        if program not in self._loops:
            self._loops[program] = _Loop(program) if _is_machine_code(program) else None
        return self._loops[program]


def _is_machine_code(program: Program) -> bool:
    """Whether a program runs no Python but what draws random numbers and factors, and gives one loss for two arrays."""
    plan = program._plan
    if not isinstance(plan, MachinePlan) or program._recording.numbers:
        return False
    tape = plan.tape
    if len(set(tape.arguments)) != 2 or len(tape.arguments) != 2 or len(tape.outputs) != 1:
        return False
    loss = tape.outputs[0]
    alone = all(isinstance(item, Segment) or isinstance(item.line, Draw) for item in plan.items)
    closing = all(isinstance(item, Segment) for item in plan.closing_items)
    return alone and closing and loss in plan.memory and loss.size == 1 and loss.dtype.kind == "f"


class _Loop:
    """The loop over the batches around one program."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._plan = cast(MachinePlan, program._plan)
        self._arguments: list[Value] = program._plan.tape.arguments
        segments: list[Segment] = [item for item in self._plan.items if isinstance(item, Segment)]
        closing = [item for item in self._plan.closing_items if isinstance(item, Segment)]
        self._inputs = list(dict.fromkeys(v for segment in (*segments, *closing) for v in segment.inputs))
        lines = [item.line for item in self._plan.items if not isinstance(item, Segment)]
        self._draws = [line for line in lines if isinstance(line, Draw)]
        self._drawn = {v for draw in self._draws for v in draw.leaves.values()}
        self._batch = [np.empty(v.shape, v.dtype) for v in self._arguments]
        self._loss = self._plan.memory[self._plan.tape.outputs[0]].reshape(1)
        size = sum(v.nbytes for v in self._drawn if v in self._inputs)
        self._ahead = max(1, min(MOST, AHEAD // max(size, 1)))
        self._entry: Callable[..., int] = compiled(self._text(segments, closing), self._signature())

    def fits(self, X: Any, y: Any, batch_size: int) -> bool:
        """Whether batches of these data are what the program takes."""
        return all(
            type(data) is np.ndarray and data.dtype == v.dtype and v.shape == (batch_size, *data.shape[1:])
            for data, v in zip((X, y), self._arguments, strict=True)
        )

    def run(self, X: Any, y: Any, order: Any, losses: Any, start: int, stop: int) -> int:
        """Make the steps from `start` to `stop`, or up to a loss that is not finite or a branch; return how many."""
        done = start
        while done < stop:
            count = min(stop - done, self._ahead)
            before = self._program._drawn()
            given = self._given(count)
            made = self._entry(
                self._plan.arena.memory, order, X, y, *self._batch, losses, self._loss, done, count, *given
            )
            done += made
            if made < count:  # the other draws are still to come
                self._program._undraw(before)
                for _ in range(made):
                    for draw in self._draws:
                        draw.function()
                break
        return done - start

    def _given(self, count: int) -> list[Any]:
        """Draw ahead for some steps, in the order in which the steps would; return that, and arrays from outside."""
        arrays = {v: np.empty((count, *v.shape), v.dtype) for v in self._drawn if v in self._inputs}
        taken = [
            (draw.function, [(path, arrays[v]) for path, v in draw.leaves.items() if v in arrays])
            for draw in self._draws
        ]
        for i in range(count):
            for function, leaves in taken:
                result = function()
                for path, array in leaves:
                    leaf = result
                    for position in path:
                        leaf = leaf[position]
                    array[i] = leaf
        places = self._program._recording.read
        return [
            arrays[v] if v in arrays else np.array(places[v].box.read()[places[v].key], order="C", ndmin=1)
            for v in self._inputs
            if v not in self._arguments
        ]

    def _text(self, segments: list[Segment], closing: list[Segment]) -> str:
        names = {v: f"x{i}" for i, v in enumerate(self._inputs) if v not in self._arguments}
        loss = KINDS[self._loss.dtype]
        head = ["b0, b1 = " + ", ".join(f"at(B{i}, 0, {_kind(v)})" for i, v in enumerate(self._arguments))]
        head += [f"D{i} = at(X{i}, 0, {_kind(v)})" for i, v in enumerate(self._arguments)]
        body: list[str] = ["i = first + done"]
        for i, v in enumerate(self._arguments):
            rows, width = v.shape[0], v.size // max(v.shape[0], 1)
            body += [f"for r in range({rows}):", f"    row = order[i * {rows} + r] * {width}"]
            body += [f"    for c in range({width}):", f"        b{i}[r * {width} + c] = D{i}[row + c]"]
        body += self._segments(segments, names)
        body += [f"losses[i] = at(loss, 0, {loss})[0]", *self._segments(closing, names)]
        body += ["if not math.isfinite(losses[i]): return done + 1"]
        given = ", ".join(["m", "order", "X0", "X1", "B0", "B1", "losses", "loss", "first", "count", *names.values()])
        lines = [*head, "for done in range(count):", *(f"    {line}" for line in body), "return count"]
        return f"def run({given}):\n" + "".join(f"    {line}\n" for line in lines)

    def _segments(self, segments: list[Segment], names: dict[Value, str]) -> list[str]:
        """Write segments within the loop, each with names of its own."""
        lines = []
        for number, segment in enumerate(segments):
            mine = []
            for i, v in enumerate(segment.inputs):
                kind = KINDS[v.dtype]
                if v in self._arguments:
                    mine.append(f"a{i} = b{self._arguments.index(v)}")
                elif not v.shape:
                    mine.append(f"s{i} = {names[v]}[{'done' if v in self._drawn else 0}]")
                else:
                    offset = f"done * {v.nbytes}" if v in self._drawn else "0"
                    mine.append(f"a{i} = at({names[v]}, {offset}, {'u1' if kind == 'b1' else kind})")
            body = [line.replace("return 2", "return done") for line in segment.body]
            lines += [_renamed(line, number) for line in (*mine, *segment.pointers, *body)]
        return lines

    def _signature(self) -> str:
        def array(v: Value, more: int = 0) -> str:
            axes = max(len(v.shape) + more, 1)
            return f"{KINDS[v.dtype]}[{', '.join([*[':'] * (axes - 1), '::1'])}]"

        types = ["u1[::1]", "i8[::1]", *map(array, self._arguments), *map(array, self._arguments), "f8[::1]"]
        types += [f"{KINDS[self._loss.dtype]}[::1]", "i8", "i8"]
        types += [array(v, int(v in self._drawn)) for v in self._inputs if v not in self._arguments]
        return ", ".join(types)


def _kind(v: Value) -> str:
    kind = KINDS[v.dtype]
    return "u1" if kind == "b1" else kind


def _renamed(line: str, number: int) -> str:
    """Give the temporaries of a segment names that no other segment has."""
    return _TEMPORARY.sub(lambda found: f"{found[0]}_{number}", line)
