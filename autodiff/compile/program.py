"""The program of one recording: to run, to read, to count."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from autodiff.changes import tick
from autodiff.compile.kinds import copied, overlap
from autodiff.compile.listing.listing import Listing
from autodiff.compile.listing.stats import Stats
from autodiff.compile.plan.flatten import flatten, slot
from autodiff.compile.plan.plan import Plan
from autodiff.compile.plan.simplify import simplify
from autodiff.compile.plan.source import Source
from autodiff.compile.record.outputs import Output, result_of
from autodiff.compile.record.places import Kept, Place, content, own
from autodiff.compile.record.recording import Recording
from autodiff.compile.tape import Call, Draw, Value, decide
from autodiff.op import strip
from autodiff.state import grad_mode, watching
from autodiff.tensor import Tensor


class DepartedError(Exception):
    """The run came to a branch that goes another way than in the recording; nothing outside was changed yet."""


#: What a run returns when the program is not right for what it finds around the function.
MISS = object()


def same(a: Any, b: Any) -> bool:
    """Whether two numbers or strings are the same in every respect: of one type, and −0.0 is not 0.0."""
    return a is b or (type(a) is type(b) and isinstance(a, _NUMBERS) and repr(a) == repr(b))


_NUMBERS = (int, float, complex, str, bytes, np.generic)


class Program:
    """A straight line of numpy calls with the memory that they need.

    Attributes
    ----------
    run : callable
        ``run(*arrays)`` does the work, and returns what the function returned, or `MISS`.
    stats : Stats
        Calls after each pass, buffers and bytes.
    listing : Listing
        The program as a person reads it, which is what printing shows.
    """

    #: How many plain arguments the quick way in takes, if there is one.
    arity: int | None = None

    def __init__(
        self,
        recording: Recording,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        backend: str = "numpy",
    ) -> None:
        #: Runs that are still to be compared with the function itself.
        self.checks = 0
        counts = simplify(recording.tape)
        kept = flatten(recording.tape, recording.kept)
        counts["updated together"] = len(recording.tape.calls)
        planned, written = _machinery(backend)
        self._plan = planned(recording.tape, kept)
        self._move(self._plan.kept)
        self._recording = recording
        self._generators = recording.generators
        self._varying = recording.varying
        self._source = written(self._plan)
        self.stats = Stats(
            calls={**counts, "run": len(self._plan.steps)},
            buffers=len(self._plan.buffers),
            bytes=sum(buffer.nbytes for buffer in self._plan.buffers),
        )
        self.enter = self._written(args, kwargs or {})
        self.listing = Listing(self._plan, recording, args, kwargs or {}, self.stats)

    def __str__(self) -> str:
        return str(self.listing)

    def __repr__(self) -> str:
        return f"<program {self.listing.name}: {self.stats.summary}>"

    def _repr_html_(self) -> str:
        return self.listing._repr_html_()

    @cached_property
    def run(self) -> Callable[..., Any]:
        """``run(*arrays)``, for arguments of any kind: the arrays in them, in order."""
        return self._function("run", *self._general)

    def held(self) -> list[tuple[Place, Any]]:
        """Return where arrays are kept outside, and the arrays."""
        return [(place, array) for place, array, _ in self._held]

    def snapshot(self) -> list[Any]:
        """Return all that a run changes outside."""
        arrays = [(array, copied(array)) for _, array in self.held()]
        grads = [(place, place.box.read()[place.key]) for place, _ in self.held()]
        return [arrays, grads, self._drawn()]

    def restore(self, snapshot: list[Any]) -> None:
        """Undo runs since `snapshot`."""
        for array, copy in snapshot[0]:
            array[...] = copy
        for place, item in snapshot[1]:
            place.box.write(place.key, item)
        self._undraw(snapshot[2])

    def _move(self, kept: list[Kept]) -> None:
        """Let the places outside hold the program's memory, with what the recording left there."""
        self._held: list[tuple[Place, Any, Kept]] = []
        for one in kept:
            start = 0
            for member in one.members:
                view = member.array
                if not overlap(view, one.array):
                    view = slot(one.array, start, member.array.shape)
                start += member.array.size
                self._held += [(place, view, one) for place in member.places]
            self._held += [(place, one.array, one) for place in one.places]
        for place, array, _ in self._held:
            now = place.box.read()[place.key]
            if now is not array:
                array[...] = now
                place.box.write(place.key, array)
            own(array)

    def _written(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[..., Any]:
        source, recording = self._source, self._recording
        head: list[str] = []
        tail: list[str] = []
        arguments = [source.variable(v) for v in dict.fromkeys(recording.tape.arguments)]
        # One array passed twice is one value here; the key of the program tells that from two arrays.
        head += self._guard()
        used = {v for line in recording.tape.calls for v in line.operands()} | recording.tape.roots()
        for value, place in recording.read.items():
            if value in used:
                head += self._load(value, place)
        stamped = []
        for place, array, kept in self._held:
            if isinstance(place.box.holder, Tensor) and place.key == "grad" and kept.value not in used:
                if kept.value is None:
                    head.append(f"if {self._read(place)} is not None: return MISS")
                tail.append(f"{source.bind(place.box.holder, 't')}.grad = {source.bind(array, 'm')}")
            else:
                head.append(f"if {self._read(place)} is not {source.bind(array, 'm')}: return MISS")
                stamped.append(place)
        tensors = [
            place.box.holder for place in stamped if isinstance(place.box.holder, Tensor) and place.key == "_data"
        ]
        if tensors:
            tail.append(f"now = {source.bind(tick, 'f')}()")
            tail.append(" = ".join(f"{source.bind(t, 't')}.changed" for t in tensors) + " = now")
        self._returned = iter(recording.tape.outputs)  # the passes may have found others that are equal
        result = self._result(recording.outputs)
        for place in recording.numbers:
            tail.append(f"{self._read(place)} = {source.argument(next(self._returned))}[()]")
        source.bound |= {"MISS": MISS, "Departed": DepartedError, "errstate": np.errstate}
        if head:  # what is looked at may be gone altogether
            head = ["try:", *(f"    {line}" for line in head), "except (LookupError, AttributeError): return MISS"]
        body = [*self._undoing(source.body()), f"result = {result}", *source.closing, *tail]
        simple = (
            not kwargs
            and len(arguments) == len(args)
            and all(isinstance(x, Tensor) or hasattr(x, "__array_function__") for x in args)
        )
        enter = [*self._entry(args, arguments), *head, *body] if simple else ["return MISS"]
        if simple:
            self.arity = len(args)
        self._general = arguments, [*head, *body]
        return self._function("enter", arguments if simple else ["*args", "**kwargs"], enter)

    def _entry(self, args: tuple[Any, ...], names: list[str]) -> list[str]:
        """Write the checks of plain arguments, as the quick way in makes them."""
        source = self._source
        lines = [
            f"if {source.bind(watching, 'w')} or {source.bind(grad_mode.get, 'f')}() is not {grad_mode.get()}: "
            "return MISS"
        ]
        for x, name in zip(args, names, strict=False):
            lines.append(f"if type({name}) is not {source.bind(type(x), 'k')}: return MISS")
            if isinstance(x, Tensor):
                lines.append(f"if {name}.requires_grad is not {x.requires_grad}: return MISS")
                lines.append(f"{name} = {name}._data")
                lines.append(f"if type({name}) is not {source.bind(type(x._data), 'k')}: return MISS")
            array = strip(x)
            lines.append(
                f"if {name}.shape != {array.shape} or {name}.dtype is not {source.bind(array.dtype, 'k')}: return MISS"
            )
        return lines

    def _function(self, name: str, arguments: list[str], body: list[str]) -> Callable[..., Any]:
        # What is bound are the function's globals: as defaults of arguments, each would cost every call its moment.
        text = f"def {name}({', '.join(arguments)}):\n" + "".join(f"    {line}\n" for line in [*body, "return result"])
        namespace = dict(self._source.bound)
        exec(compile(text, f"<{name}>", "exec"), namespace)
        self.code = text
        function: Callable[..., Any] = namespace[name]
        return function

    def _undoing(self, code: list[str]) -> list[str]:
        """Take draws back where a branch may still be left after them."""
        lines = self._recording.tape.lines
        drawn = [isinstance(line, Draw) for line in lines]
        if True not in drawn or not any(
            isinstance(line, Call) and line.function is decide for line in lines[drawn.index(True) :]
        ):
            return code
        save, undo = self._source.bind(self._drawn, "f"), self._source.bind(self._undraw, "f")
        return [
            f"drawn = {save}()",
            "try:",
            *(f"    {line}" for line in code),
            "except Departed:",
            f"    {undo}(drawn)",
            "    raise",
        ]

    def _drawn(self) -> list[Any]:
        numbers = [(place, place.box.read()[place.key]) for place in self._varying]
        return [numbers, [(generator, generator.bit_generator.state) for generator in self._generators]]

    def _undraw(self, drawn: list[Any]) -> None:
        for place, item in drawn[0]:
            place.box.write(place.key, item)
        for generator, state in drawn[1]:
            generator.bit_generator.state = state

    def _read(self, place: Place) -> str:
        """Write how to look at a place."""
        source, box = self._source, place.box
        return box.expression(place.key, source.bind) + "".join(f"[{i}]" for i in place.inside)

    def _load(self, value: Value, place: Place) -> list[str]:
        name = self._source.variable(value)
        dtype = self._source.bind(value.dtype, "k")
        checks = [f"{name}.shape != {value.shape}", f"{name}.dtype != {dtype}"]
        if value.home is not None:
            checks.insert(0, f"type({name}) is not {self._source.bind(type(value.home), 'k')}")
        return [f"{name} = {self._read(place)}", f"if {' or '.join(checks)}: return MISS"]

    def _guard(self) -> list[str]:
        """Write what the program takes for granted."""
        source, recording = self._source, self._recording
        checks = []
        for place, item in recording.guards:
            now = self._read(place)
            if type(item) in (int, float, complex, str, bytes) or isinstance(item, np.generic):
                known = source.bind(item, "g")
                checks.append(f"({now} is {known} or {source.bind(same, 'f')}({now}, {known}))")
            else:
                checks.append(f"{now} is {item if item is None else source.bind(item, 'g')}")
        for array, held, _ in recording.contents:
            checks.append(f"{source.bind(content, 'f')}({source.bind(array, 'g')}) == {source.bind(held, 'k')}")
        for box, count in recording.sizes:
            contents = box.contents(source.bind)
            if contents is not None:
                checks.append(f"len({contents}) == {count}" if count else f"not {contents}")
        return [f"if not ({' and '.join(checks)}): return MISS"] if checks else []

    def _result(self, tree: Any) -> str:
        source = self._source
        if isinstance(tree, Output):
            if tree.value is None:
                return source.bind(tree.plain, "k")
            value = next(self._returned)
            array = source.argument(value)
            array = f"{source.bind(np.array, 'f')}({array})" if value.home is None else f"{array}.copy()"
            if tree.kind == "array":
                return array
            return f"{source.bind(result_of, 'f')}({array}, {tree.kind == 'learns'})"
        if isinstance(tree, dict):
            return "{" + ", ".join(f"{key!r}: {self._result(item)}" for key, item in tree.items()) + "}"
        if type(tree) is list:
            return f"[{', '.join(self._result(item) for item in tree)}]"
        if type(tree) is tuple:
            return f"({''.join(self._result(item) + ', ' for item in tree)})"
        return f"{source.bind(type(tree), 'k')}({', '.join(self._result(item) for item in tree)})"


def _machinery(backend: str) -> tuple[type[Plan], type[Source]]:
    """Return what plans and what writes a program: for numpy's functions, or for machine code."""
    if backend == "numpy":
        return Plan, Source
    from autodiff.compile.machine.numba_backend import MachineSource
    from autodiff.compile.machine.placement import MachinePlan

    return MachinePlan, MachineSource
