"""Who writes the tape: every call on a recorded array comes here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from autodiff.compile.kinds import LAZY, copied, described, home, overlap
from autodiff.compile.record.places import is_array, is_plain
from autodiff.compile.record.recorded import Recorded, _getitem, _like, concrete, mixing, refuse
from autodiff.compile.tape import Call, Draw, Kind, Method, Opaque, Tape, Value, decide, part, put, values_in
from autodiff.sources import _OURS, caller

#: What gives an array whose numbers do not depend on those of its operand.
_OF_SHAPE = {np.empty_like, np.zeros_like, np.ones_like, np.full_like}
#: What numpy's arrays do by themselves, as their methods, with whatever is passed: no protocol is asked.
_NUMPYS_OWN = {_getitem, put, _like}
#: Frames that stand between a person's ``if`` and the array, and decide nothing themselves.
_FOLDER = Path(__file__).parents[2]
_BETWEEN = tuple(
    str(_FOLDER / name) for name in ("operators.py", "tensor.py", "readout.py", "compile/record/recorded.py")
)
_LIBRARY = tuple(f"{folder}{os.sep}" for folder in (_FOLDER, _FOLDER.parent / "nn"))
_NUMPY = f"{Path(np.__file__).parent}{os.sep}"


class Recorder:
    """Writes one tape.

    Attributes
    ----------
    tape : Tape
        What was recorded so far.
    frozen : list of Value
        Arrays that came from nowhere known, in order: constants only if they are the same in every run.
    open : bool
        Whether it still records; afterwards arrays that got away are plain values.
    abroad : bool
        Whether there are arrays of another kind than numpy's.
    """

    def __init__(self) -> None:
        self.tape = Tape()
        self.frozen: list[Value] = []
        self.open = True
        self.abroad = False
        self._known: dict[int, tuple[Any, Recorded]] = {}

    def hold(self, kind: Kind, array: Any, name: str = "") -> Recorded:
        """Return the recorded form of an array from outside: always the same for one array."""
        known = self._known.get(id(array))
        if known is None:
            recorded = Recorded(self, Value(kind, array, name), array)
            # The array is kept with it: its number may not go to another one meanwhile.
            self._known[id(array)] = known = (array, recorded)
        return known[1]

    def forget(self) -> None:
        """Let go of the arrays."""
        for _, recorded in self._known.values():
            if recorded.first.kind == "state":
                recorded.first.array = None
            recorded.array = None
        self._known.clear()
        self.frozen = []

    def known(self) -> list[tuple[Any, Recorded]]:
        """Return the arrays from outside, with their recorded forms."""
        return [*self._known.values()]

    def constant(self, array: Any) -> Recorded:
        """Return the recorded form of an array that the plan itself knows."""
        return Recorded(self, Value("constant", array), array)

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compute a call and write it down."""
        if kwargs.get("order") in ("K", "A") and function not in (np.copy, np.astype):
            refuse(
                f"asks for order={kwargs['order']!r}, which depends on how an array lies in memory", "write order='C'"
            )
        arrays = (mixing if self.abroad else concrete)((args, kwargs))
        if isinstance(function, Method) or function in _NUMPYS_OWN:
            _same_kinds(function, *arrays)
        result = function(*arrays[0], **arrays[1])
        if not self.open:
            return result
        call = Call(function, self._written(args), self._written(kwargs))
        if result is NotImplemented or result is None:
            return result
        constant = all(isinstance(v, Value) and v.kind == "constant" for v in call.operands())
        if constant or (function in _OF_SHAPE and not any(_recorded_in((args[1:], kwargs)))):
            return _tree(lambda array: self.constant(copied(array)), result)
        call.line = _line()
        self.tape.lines.append(call)
        given = self._given(call, result)
        if isinstance(given, Recorded) and given.value.base is not None:
            given.look_at(next(x for x in _recorded_in((args, kwargs)) if x.value is given.value.base))
        return given

    def take(self, array: Any) -> Recorded:
        """Return the recorded form of an array from nowhere known, which may be a constant."""
        if id(array) not in self._known:
            value = self.hold("constant", array).value
            value.array = copied(array)
            self.frozen.append(value)
        return self._known[id(array)][1]

    def draw(self, function: Callable[[], Any], label: str) -> Any:
        """Call `function` now and in every run; its arrays and numbers are values of the program."""
        result = function()
        found: dict[int, Recorded] = {}
        leaves: dict[tuple[int, ...], Value] = {}

        def take(tree: Any, path: tuple[int, ...]) -> Any:
            if isinstance(tree, (tuple, list)):
                return type(tree)([take(item, (*path, i)) for i, item in enumerate(tree)])
            if tree is None:
                return None
            if id(tree) not in found:
                array = concrete(tree)
                array = np.asarray(array) if home(array) is None else array
                found[id(tree)] = Recorded(self, Value("fresh", array, label), array)
                leaves[path] = found[id(tree)].value
            return found[id(tree)]

        recorded = take(result, ())
        take = None  # type: ignore[assignment]  # which refers to itself, and would keep the arrays alive
        self.tape.lines.append(Draw(function, leaves, label))
        return recorded

    def decided(self, recorded: Recorded) -> bool:
        """Return the truth of a value. The library's own branches are written down, a person's are refused."""
        truth = bool(recorded.array)
        if not self.open or recorded.value.kind == "constant":
            return truth
        frame = sys._getframe(2)
        while frame.f_back is not None and frame.f_code.co_filename.startswith((*_BETWEEN, _NUMPY)):
            frame = frame.f_back
        if not frame.f_code.co_filename.startswith(_LIBRARY):
            refuse("branches on the value of an array", "write np.where(condition, a, b), or leave the branch outside")
        self.tape.lines.append(Call(decide, (recorded.current(), truth), {}))
        return truth

    def _given(self, call: Call, result: Any) -> Any:
        if isinstance(result, (tuple, list)):
            call.result = Opaque()
            call.result.call = call
            parts = []
            for position, item in enumerate(result):
                taken = Call(part, (call.result, position), {})
                taken.line = call.line
                self.tape.lines.append(taken)
                parts.append(self._given(taken, item))
            return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
        array = np.asarray(result) if home(result) is None else result
        base = _viewed(array, call)
        value = Value("result", array, base=base)
        value.call = call
        call.result = value
        recorded = Recorded(self, value, array)
        recorded.scalar = isinstance(result, np.generic)
        return recorded

    def _written(self, tree: Any) -> Any:
        """Return arguments as a call keeps them: Values for arrays."""
        if isinstance(tree, Recorded):
            return tree.current()
        if isinstance(tree, np.ndarray) or is_plain(tree):
            return self.take(tree).current()
        if hasattr(tree, "__array_function__") and not isinstance(tree, np.generic):
            refuse(f"computes with a {described(tree)}, {LAZY}", "leave it eager")
        if type(tree) is tuple:
            return tuple([self._written(item) for item in tree])
        if type(tree) is list:
            return [self._written(item) for item in tree]
        if type(tree) is dict:
            return {key: self._written(item) for key, item in tree.items()}
        return tree


def _same_kinds(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise where numpy's array would convert another kind, of which its versions warn before it is refused."""
    if not isinstance(args[0], (np.ndarray, np.generic)):
        return
    for x in _leaves((args[1:], kwargs)):
        # A single number of another kind may be an index: numpy asks it for one.
        if is_array(x) and not isinstance(x, np.ndarray) and (x.ndim or function not in (_getitem, put)):
            line = caller()
            raise TypeError(
                f"the step computes with a numpy array, of shape {args[0].shape}, and a {described(x)}, of {x.shape}, "
                f"at once: make both of one kind before they are passed{f' ({line})' if line else ''}"
            )


_own: dict[str, bool] = {}
_RECORDING = str(Path(__file__).with_name("recording.py"))


def _line() -> tuple[str, int] | None:
    """Return where a person's code is now; asked for every call, so it does not read the line itself."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        own = _own.get(file)
        if own is None:
            own = _own[file] = file.startswith(_OURS)
        if not own:
            return file, frame.f_lineno
        if file == _RECORDING and frame.f_code.co_name == "_run":
            return None
        frame = frame.f_back
    return None


def _recorded_in(tree: Any) -> Iterator[Recorded]:
    return (x for x in _leaves(tree) if isinstance(x, Recorded))


def _leaves(tree: Any) -> Iterator[Any]:
    if type(tree) in (tuple, list):
        for item in tree:
            yield from _leaves(item)
    elif type(tree) is dict:
        yield from _leaves(list(tree.values()))
    else:
        yield tree


def _tree(function: Callable[[Any], Any], result: Any) -> Any:
    if isinstance(result, (tuple, list)):
        parts = [_tree(function, item) for item in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return function(result)


def _viewed(array: Any, call: Call) -> Value | None:
    """Return the operand whose memory `array` looks at, if there is one."""
    owns = getattr(array, "base", None) is None
    if owns and not any(isinstance(v, Value) and array is v.array for v in values_in(call.args)):
        return None
    for value in call.operands():
        if isinstance(value, Value) and value.array is not None and overlap(array, value.array):
            return value
    return None
