"""A compiled function: records at the first call, runs the program at later ones, and finds out when it may not."""

from __future__ import annotations

import functools
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, ParamSpec, TypeVar, cast

import numpy as np

from autodiff.compile.kinds import LAZY, described, lasts
from autodiff.compile.program import MISS, DepartedError, Program, same
from autodiff.compile.record.recording import Recording
from autodiff.compile.tape import CompileError
from autodiff.compile.verification import verified
from autodiff.state import grad_mode, watching
from autodiff.tensor import Tensor

P = ParamSpec("P")
R = TypeVar("R")

#: Programs that are kept, and different arguments after which a warning is due.
KEPT, MANY = 32, 8
#: Recordings until two that follow each other must agree. First calls make buffers and fill caches.
TRIALS = 4


class Compiled(Generic[P, R]):
    """What `compile` returns: call it as the function itself.

    Attributes
    ----------
    program : Program
        The one that ran last.
    programs : list of Program
        All of them, one per combination of shapes, dtypes and branches.
    """

    #: What it has recorded is not part of what a function reaches.
    not_recorded = True

    def __init__(self, function: Callable[P, R], verify: int, backend: str) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._verify = verify
        self._backend = backend
        self._programs: OrderedDict[Hashable, list[Program]] = OrderedDict()
        self._trials: dict[Hashable, _Trial] = {}
        self._last: Program | None = None
        self._keys = 0
        self._lock = threading.RLock()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if watching:  # somebody looks on: another recording, a search for anomalies
            return self._function(*args, **kwargs)
        with self._lock:
            last = self._last
            if last is not None and last.arity == len(args) and not kwargs and not last.checks:
                try:
                    result: Any = last.enter(*args)
                except DepartedError:
                    result = MISS
                if result is not MISS:
                    return result  # type: ignore[no-any-return]  # each call of `cast` would cost, too
            return cast(R, self._slowly(args, kwargs))

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        count = len(self.programs)
        return (
            f"<compiled {getattr(self._function, '__qualname__', self._function)}, {count} program{'s'[: count != 1]}>"
        )

    @property
    def programs(self) -> list[Program]:
        """All programs, the one that was used last at the end."""
        return [program for programs in self._programs.values() for program in programs]

    @property
    def program(self) -> Program:
        """The program that ran last.

        Raises
        ------
        RuntimeError
            There is none yet: the function was not called, or not often enough.
        """
        if self._last is None:
            raise RuntimeError(
                "there is no program yet: call the compiled function, twice if it fills buffers at first"
            )
        return self._last

    def _slowly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        arrays: list[Any] = []
        key: Hashable = (grad_mode.get(), _key((args, kwargs), arrays))
        numbers = [*map(id, arrays)]
        if len(set(numbers)) < len(numbers):  # one array, passed twice
            key = (key, tuple(map(numbers.index, numbers)))
            arrays = [array for i, array in enumerate(arrays) if numbers.index(numbers[i]) == i]
        programs = self._programs.get(key, [])
        for program in programs:
            if program.checks:
                return self._checked(program, args, kwargs, arrays)
            try:
                result = program.run(*arrays)
            except DepartedError:
                continue
            if result is not MISS:
                self._last = program
                self._programs.move_to_end(key)
                return result
        return self._record(key, args, kwargs)

    def _record(self, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        trial = self._trials.setdefault(key, _Trial())
        trial.refuse(self._function)
        recording = Recording(self._function, args, kwargs, self._backend)
        result = recording.result
        if trial.passed(recording):
            del self._trials[key]
            self._keep(key, Program(recording, args, kwargs, self._backend))
        recording.forget()
        return result

    def _keep(self, key: Hashable, program: Program) -> None:
        program.checks = self._verify
        if key not in self._programs:
            self._keys += 1
            if self._keys == MANY + 1:
                warnings.warn(
                    f"{getattr(self._function, '__name__', 'the function')} was compiled for {self._keys} different "
                    "kinds of arguments: pass numbers that vary as 0-d arrays, np.asarray(x), and batches of one shape",
                    stacklevel=6,
                )
        self._programs.setdefault(key, []).insert(0, program)
        del self._programs[key][4:]
        self._last = program
        while len(self._programs) > KEPT:
            self._programs.popitem(last=False)

    def _checked(self, program: Program, args: tuple[Any, ...], kwargs: dict[str, Any], arrays: list[Any]) -> Any:
        """Run the program and the function from the same state, and compare."""
        program.checks -= 1
        self._last = program
        return verified(program, self._function, args, kwargs, arrays)


class _Trial:
    """What the recordings for one kind of arguments have come to so far.

    Two that follow each other must agree in every call and every number: a number that a person's code drew at random,
    or took from a clock, would be the same for ever in a program.
    """

    def __init__(self) -> None:
        self._count = 0
        self._reason = ""
        self._before: tuple[list[str], list[Any], dict[Any, Any]] | None = None

    def refuse(self, function: Callable[..., Any]) -> None:
        """Raise if the last recordings have shown that no program will do what the function does."""
        if self._count >= TRIALS and self._reason:
            name = getattr(function, "__name__", "the function")
            raise CompileError(
                f"{name} {self._reason}. A program would not do that again: leave it to the code around the function, "
                "pass it what changes as an argument, or write autodiff.fresh(lambda: ..., varying=[(object, 'name')])"
            )

    def passed(self, recording: Recording) -> bool:
        """Say whether a program may be made of this recording."""
        self._count += 1
        lines, frozen = recording.signature(), [value.array for value in recording.frozen]
        around = {(id(place.box.holder), place.key): item for place, item in recording.guards}
        before, self._before = self._before, (lines, frozen, around)
        if recording.oddities:
            self._reason = f"changes more than arrays: {recording.oddities[0]}"
            return False
        self._reason = ""
        if before is None:
            return False
        if any(key in before[2] and not same(before[2][key], item) for key, item in around.items()):
            self._count = 1  # something else was wanted the last time
            return False
        odd = next((a for a, b in zip(lines, before[0], strict=False) if a != b), None)
        if odd is not None or len(lines) != len(before[0]):
            self._reason = f"does something else each time: {odd or 'more or fewer calls'}"
        elif len(frozen) != len(before[1]) or not all(map(_equal, frozen, before[1])):
            self._reason = "computes with an array that is neither an argument nor kept outside, and differs each time"
        return not self._reason


def _equal(a: Any, b: Any) -> bool:
    return bool(a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes())


def _key(tree: Any, arrays: list[Any]) -> Hashable:
    """Return what a program depends on in the arguments, and put the arrays among them into `arrays`."""
    if isinstance(tree, Tensor):
        return Tensor, _key(tree._data, arrays), tree.requires_grad
    if isinstance(tree, (tuple, list)):
        return type(tree), tuple([_key(item, arrays) for item in tree])
    if isinstance(tree, dict):
        return dict, tuple([(key, _key(item, arrays)) for key, item in tree.items()])
    if hasattr(tree, "__array_function__") and not isinstance(tree, np.generic):
        if not isinstance(tree, np.ndarray) and not lasts(tree):
            raise CompileError(f"an argument is a {described(tree)}, {LAZY}; call the function itself")
        arrays.append(tree)
        return type(tree), tree.shape, tree.dtype
    if isinstance(tree, (bool, int, float, complex, str, bytes, type(None))):
        return type(tree), tree
    return _Same(tree)


class _Same:
    """An object as a key: equal to itself alone, and kept alive, so that its number stays its own."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)
