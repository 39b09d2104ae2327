"""One run of a function, eager and on record: what it computed, what it changed, what it depends on."""

from __future__ import annotations

import copy
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.changes import LENT, tick
from autodiff.compile.kinds import LAZY, copied, described, home, overlap
from autodiff.compile.record.boxes import Box
from autodiff.compile.record.outputs import leave, plain, plain_outputs
from autodiff.compile.record.places import Kept, Place, alone, content, is_array, is_plain
from autodiff.compile.record.randomness import RecordedGenerator
from autodiff.compile.record.recorded import Recorded, refuse
from autodiff.compile.record.recorder import Recorder
from autodiff.compile.record.settling import Settling
from autodiff.compile.record.surroundings import surroundings
from autodiff.compile.tape import Call, CompileError, Origin, Tape, Value, mapped
from autodiff.op import strip
from autodiff.state import scope_path, watch
from autodiff.tensor import Tensor

_SCALARS = (bool, int, float, complex, str, bytes, type(None), np.generic)
#: Swapping what others may look at is done by one thread at a time.
_lock = threading.RLock()


class Recording:
    """A finished recording.

    Attributes
    ----------
    tape : Tape
        The calls.
    kept : list of Kept
        Arrays outside that the run leaves changed, in the order of the tape's finals.
    read : dict of Value to Place
        Arrays outside that are in use, with one place each.
    guards : list of tuple
        Places with numbers and objects, and what they held: the tape is right only for these.
    oddities : list of str
        What the run did that no program would do again.
    numbers : list of Place
        Where scalars are left; their values are the tape's last outputs.
    sizes : list of tuple
        Boxes, and how many things stood in them.
    contents : list of tuple
        Arrays that are not recorded, as those of objects, and what they hold: the tape is right only for that.
    varying : list of Place
        Numbers that the program's own functions change.
    frozen : list of Value
        Arrays that came from nowhere known.
    result : object
        What the function returned, outside the recording.
    outputs : nested Output
        The same, as values of the tape.
    """

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], backend: str = "numpy"
    ) -> None:
        self.function = function
        self._backend = backend
        self.recorder = Recorder()
        self.boxes: list[Box] = []
        self.swapped: list[dict[Any, Any]] = []
        self._arguments: list[tuple[Recorded, Value]] = []
        self._prints: list[tuple[Tensor, Any]] = []
        self.tape: Tape = self.recorder.tape
        self.kept: list[Kept] = []
        self.read: dict[Value, Place] = {}
        self.guards: list[tuple[Place, Any]] = []
        self.oddities: list[str] = []
        self.generators: list[np.random.Generator] = []
        self.varying: list[Place] = []
        self.numbers: list[Place] = []
        self.sizes: list[tuple[Box, int]] = []
        self.contents: list[tuple[Any, Any, str]] = []
        self._varying: set[tuple[int, Any]] = set()
        self._mark = 0
        self._stage = "forward"
        self._born = tick()
        self._undo: list[tuple[Tensor, Any, Any]] = []
        self._adopted: dict[Tensor, Any] = {}
        with _lock:
            self._run(function, args, kwargs)

    @property
    def frozen(self) -> list[Value]:
        return self.recorder.frozen

    def forget(self) -> None:
        """Let go of everything: objects that refer to each other would keep large arrays alive for a while."""
        for line in self.tape.lines:
            if isinstance(line, Call) and isinstance(line.result, Value):
                line.result.call = line.result.about = None
                if line.result.kind == "result":
                    line.result.array = None
        self.recorder.forget()
        self.tape.lines.clear()
        for several in (self.boxes, self.swapped, self._arguments, self._undo, self._prints, self.kept, self.guards):
            several.clear()
        self.read.clear()

    # What the watcher is told

    def made(self, result: Any, op: Any, inputs: tuple[Any, ...]) -> None:
        if not isinstance(result._data, Recorded):
            tensors = [x for x in inputs if isinstance(x, Tensor) and not isinstance(x._data, Recorded)]
            for x in tensors:
                self._adopt(x)
            if any(isinstance(x, Tensor) for x in inputs):
                result._data = op.forward(*map(strip, inputs), **result.params)
        if isinstance(result._data, Recorded):
            result._data.scalar = False  # a Tensor holds an array, also of a single number
            about(result._data, op.name)
        self._date(Origin(self._stage, result.scope or scope_path.get(), op.name))

    def pulled(self, node: Any, x: Any, g: Any, gx: Any) -> None:
        about(g, node)
        about(gx, x)
        formula = [text for text, y in zip(node.op.formula, node.inputs or (), strict=False) if y is x]
        self._date(Origin("backward", node.scope, node.op.name, "".join(formula[:1])))

    def fresh(self, function: Callable[[], Any], varying: Any) -> Any:
        """Have the program call `function` anew in each run."""
        self._varying |= {(id(holder), key) for holder, key in varying}
        self._date(Origin("forward", scope_path.get(), ""))
        return self.recorder.draw(function, getattr(function, "__name__", "fresh"))

    def _date(self, origin: Origin) -> None:
        lines = self.tape.lines
        for line in lines[self._mark :]:
            if isinstance(line, Call) and line.origin is None:
                line.origin = origin
        self._mark = len(lines)

    # The run

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        objects: list[Any] = []
        mine = self._enter((args, kwargs), objects)
        self.boxes = surroundings(function, objects)
        if self._backend != "numpy":
            for box in self.boxes:
                for item in box.items.values():
                    self._refuse_abroad(item)
        self._swap()
        done = False
        try:
            with watch(self):
                result = function(*mine[0], **mine[1])
            self._date(Origin("update", (), ""))
            self._apart()
            done = True
        except Exception as error:
            refused = _behind(error)
            if refused is None or refused is error:
                raise
            raise refused from None
        finally:
            self.recorder.open = False
            if not done:
                self._restore_all()
        for recorded, value in self._arguments:
            if recorded.value is not value:
                self._restore_all()
                raise CompileError(
                    f"the step changes its argument of shape {value.shape} in place; write x = x + ... to get a new "
                    "array, or keep the array on an object that the function uses"
                )
        for x, _, _ in self._undo:
            if isinstance(x.grad, Recorded):
                x.grad = copied(x.grad.array)
                self.oddities.append(f"its argument of shape {x.shape} is given a gradient")
        try:
            known = {id(x) for box in self.boxes for x in box.items.values()}
            self.outputs = leave(result, self._value, known)
        except CompileError:
            self._restore_all()
            raise
        self.result = plain(result)  # a copy, as memory outside is about to be written
        try:
            Settling(self).settle()
        except CompileError:
            self._restore_all()
            raise
        self._release()

    def _enter(self, tree: Any, objects: list[Any]) -> Any:
        """Return the arguments with recorded arrays."""
        found: dict[int, Any] = {}

        def enter(x: Any) -> Any:
            if type(x) is tuple or (isinstance(x, tuple) and hasattr(x, "_fields")):
                items = [enter(item) for item in x]
                return type(x)(*items) if hasattr(x, "_fields") else tuple(items)
            if type(x) is list:
                return [enter(item) for item in x]
            if isinstance(x, dict):
                twin = copy.copy(x)
                for key, item in x.items():
                    twin[key] = enter(item)
                return twin
            if isinstance(x, Tensor) or is_array(x):
                if id(x) not in found:
                    array = x._data if isinstance(x, Tensor) else x
                    if not is_plain(array):
                        raise CompileError(
                            f"an argument is a {type(array).__name__} of {array.dtype}: programs compute with arrays "
                            "of numbers; pass np.asarray(x)"
                        )
                    self._refuse_abroad(array)
                    value = Value("argument", array, f"argument_{len(self.tape.arguments)}")
                    self.tape.arguments.append(value)
                    recorded = Recorded(self.recorder, value, array)
                    self._arguments.append((recorded, value))
                    found[id(x)] = recorded
                    if isinstance(x, Tensor):
                        self._take(x, recorded)
                        found[id(x)] = x
                else:  # passed twice
                    self.tape.arguments.append(self.tape.arguments[list(found).index(id(x))])
                return found[id(x)]
            if not isinstance(x, _SCALARS):
                objects.append(x)
            return x

        entered = enter(tree)
        enter = None  # type: ignore[assignment]  # which refers to itself, and would keep all this alive
        return entered

    def _refuse_abroad(self, array: Any) -> None:
        """Raise where machine code would be made for another kind of arrays than numpy's."""
        if self._backend != "numpy" and home(array) is not None and is_array(array):
            raise CompileError(
                f'backend="{self._backend}" makes machine code for the processor, and the function computes with a '
                f'{described(array)}: leave out backend="{self._backend}"'
            )

    def _take(self, x: Tensor, recorded: Recorded) -> None:
        self._undo.append((x, x._data, x._print))
        x._data, x._print = recorded, None

    def _swap(self) -> None:
        """Put recorded arrays and generators into all places around the function."""
        generators: dict[int, RecordedGenerator] = {}
        tuples: dict[int, tuple[Any, Any]] = {}
        scalars: dict[int, tuple[Any, Recorded]] = {}
        self.alone: set[int] = set()

        def swapped(item: Any, name: str) -> Any:
            if isinstance(item, np.random.Generator):
                if id(item) not in generators:
                    generators[id(item)] = RecordedGenerator(self.recorder, item)
                    self.generators.append(item)
                return generators[id(item)]
            if type(item) is tuple or (isinstance(item, tuple) and hasattr(item, "_fields")):
                if id(item) not in tuples:  # one for each tuple: the same names may be looked at twice
                    inner = [swapped(x, f"{name}[{i}]") for i, x in enumerate(item)]
                    same = all(a is b for a, b in zip(inner, item, strict=True))
                    twin = type(item)(*inner) if hasattr(item, "_fields") else tuple(inner)
                    tuples[id(item)] = item, item if same else twin
                return tuples[id(item)][1]
            if isinstance(item, np.generic) and item.dtype.kind in "iufc":
                if id(item) not in scalars:  # as of tuples
                    array = np.asarray(item)
                    scalars[id(item)] = item, Recorded(self.recorder, Value("state", array, name), array)
                    scalars[id(item)][1].scalar = True
                return scalars[id(item)][1]
            if is_array(item):
                if is_plain(item):
                    return self.recorder.hold("state", item, name)
                if not isinstance(item, np.ndarray):
                    return item  # of a kind that keeps nothing: refused where it is computed with
                self.contents.append((item, content(item), name))
            if isinstance(item, (set, bytearray)):
                self.contents.append((item, content(item), name))
            return item

        for box in self.boxes:
            if isinstance(box.holder, Tensor):
                x = box.holder
                if isinstance(x._data, Recorded):  # an argument
                    self.swapped.append({})
                    continue
                self._prints.append((x, x._print))
                x._print = None
            items = {}
            self.alone |= alone(box)
            for key, item in box.items.items():
                new = swapped(item, box.name(key))
                if new is not item:
                    items[key] = new
                    box.write(key, new)
            self.swapped.append(items)
        swapped = None  # type: ignore[assignment]  # which refers to itself
        self._states = [bit.bit_generator.state for bit in self.generators]

    def _adopt(self, x: Tensor) -> None:
        """Take in a tensor that was met on the way, and was not seen around the function."""
        array = x._data
        if not is_plain(array) and not isinstance(array, np.ndarray):
            refuse(f"computes with a {described(array)}, {LAZY}", "leave it eager")
        box = Box(x, x.name or "tensor", ("_data", "grad", "requires_grad"))
        known = x.number < self._born
        recorded = self.recorder.hold("state" if known else "constant", array, x.name or "tensor")
        self._prints.append((x, x._print))
        x._data, x._print = recorded, None
        self.boxes.append(box)
        self.swapped.append({"_data": recorded})
        if not known:
            self.recorder.frozen.append(recorded.value)

    # Afterwards

    def _restore_all(self) -> None:
        """Put everything back as it was before the run, random numbers included."""
        for box in self.boxes:
            now = box.read()
            for key in [key for key in now if key not in box.items]:
                box.drop(key)
            for key, item in box.items.items():
                if now.get(key, self) is not item:
                    box.write(key, item)
        for generator, state in zip(self.generators, getattr(self, "_states", ()), strict=True):
            generator.bit_generator.state = state
        self._release()

    def _release(self) -> None:
        for x, data, stamp in self._undo:
            x._data, x._print = data, stamp
        for x, stamp in self._prints:
            x._print = None if stamp is None else LENT

    def _apart(self) -> None:
        """Refuse to change an array whose memory another one shares: a recorded array stands for itself alone."""
        by_owner: dict[int, list[tuple[Any, Recorded]]] = defaultdict(list)
        for array, recorded in self.recorder.known():
            if recorded.first.kind == "state":
                by_owner[id(_owner(array))].append((array, recorded))
        for several in by_owner.values():
            for array, recorded in several if len(several) > 1 else ():
                if recorded.value is recorded.first:
                    continue
                for other, _ in several:
                    if other is not array and overlap(array, other):
                        raise CompileError(
                            f"the step changes {recorded.first.name}, of shape {array.shape}, in place, and "
                            f"{self.recorder.hold('state', other).first.name}, of {other.shape}, shares its memory: "
                            "give each an array of its own"
                        )

    def signature(self) -> list[str]:
        """Return what was called, with all numbers in it, line by line."""
        lines = []
        for line in self.tape.lines:
            if isinstance(line, Call):
                lines.append(
                    f"{getattr(line.function, '__name__', line.function)}{_numbers(line.args)}{_numbers(line.kwargs)}"
                )
            else:
                lines.append(line.label)
        return [*lines, *(repr(one) for one in plain_outputs(self.outputs))]

    def varies(self, place: Place) -> bool:
        return not self._varying.isdisjoint({(id(place.box.holder), place.key), (id(place.box.holder), None)})

    def _value(self, array: Any) -> Value:
        recorded = array if isinstance(array, Recorded) else self.recorder.take(array)
        value = recorded.current()
        self.tape.outputs.append(value)
        return value


def about(array: Any, subject: Any) -> None:
    """Note of which operation an array is the result, or of which tensor it is the gradient."""
    array, of = strip(array), subject if isinstance(subject, str) else getattr(strip(subject), "value", None)
    if not isinstance(array, Recorded) or of is None or of is array.value:
        return
    if array.value.kind == "result" and array.value.about is None:
        array.value.about = of


def _behind(error: BaseException | None) -> CompileError | None:
    """Return the CompileError that numpy has made another error of."""
    while error is not None and not isinstance(error, CompileError):
        error = error.__cause__ or error.__context__
    return error


def _owner(array: Any) -> Any:
    return array if getattr(array, "base", None) is None else array.base


def _numbers(tree: Any) -> str:
    """Write a call's arguments, without the arrays."""
    return repr(mapped(lambda value: None, tree))
