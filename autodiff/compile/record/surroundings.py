"""What a function can reach: its closure, its globals, and the objects, lists and dicts behind them.

A recording swaps every array found there for its recorded form, and looks afterwards at what has become of it. The
numbers and objects found there are what the program is only right for.
"""

from __future__ import annotations

import functools
import sys
import types
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autodiff.compile.record.boxes import Box
from autodiff.compile.record.places import is_array
from autodiff.compile.tape import CompileError
from autodiff.op import Op
from autodiff.sources import _OURS
from autodiff.tensor import Tensor

#: Looking further would mean that the function holds the whole program by a thread.
LIMIT = 20_000
_SCALARS = (bool, int, float, complex, str, bytes, type(None), np.generic)
_LEAVES = (*_SCALARS, type, types.BuiltinFunctionType, np.dtype, np.ufunc, np.ndarray, Op)
#: Who uses these may look up any attribute.
_DYNAMIC = {
    "getattr",
    "vars",
    "__dict__",
    "eval",
    "exec",
    "globals",
    "locals",
    "attrgetter",
    "methodcaller",
    "__getattr__",
}
#: Methods that make or show an object, which is not what a step does with those that it finds.
_NOT_RUN = {"__init__", "__new__", "__del__", "__repr__", "__str__"}
_SKIPPED = sys.stdlib_module_names | {"numpy"}


def surroundings(function: Callable[..., Any], arguments: Any) -> list[Box]:
    """Return everything with arrays, numbers or objects in it that `function` and its `arguments` lead to.

    Raises
    ------
    CompileError
        That is more than can be looked at.
    """
    walk = _Walk()
    walk.go(function, "")
    walk.go(arguments, "")
    walk.forget_unused(function)
    return walk.boxes


class _Walk:
    def __init__(self) -> None:
        self.boxes: list[Box] = []
        self._seen: set[int] = set()
        self._settled: set[int] = set()
        self._count = 0
        #: From where each thing is reached; `None` for the function and its arguments themselves.
        self._ways: dict[int, list[tuple[Box, Any] | None]] = defaultdict(list)
        self._owner: dict[int, int] = {}
        #: Functions that may run without being looked up by name.
        self._called: set[str] = {"<lambda>"}
        #: What functions look up, by the names that they go under.
        self._lookups: dict[str, set[str]] = defaultdict(set)

    def go(self, thing: Any, path: str) -> None:
        stack: list[tuple[Any, str, tuple[Box, Any] | None]] = [(thing, path, None)]
        while stack:
            thing, path, way = stack.pop()
            if getattr(type(thing), "not_recorded", False):
                thing = getattr(thing, "__wrapped__", None)  # of a compiled function, the function
            if isinstance(thing, _LEAVES) or (isinstance(thing, types.ModuleType) and not _is_personal(thing)):
                continue
            if is_array(thing):  # of another kind than numpy's: what it is made of is its own affair
                continue
            self._ways[id(thing)].append(way)
            if isinstance(thing, types.FunctionType) and not thing.__code__.co_filename.startswith(_OURS):
                looked_up = _names(thing.__code__)
                self._lookups[thing.__name__] |= looked_up
                if way is not None:
                    self._lookups[str(way[1])] |= looked_up
                    if _calls_by_itself(way[0]):
                        self._called |= {thing.__name__, str(way[1])}
            if id(thing) in self._seen:
                continue
            self._seen.add(id(thing))
            for box in _boxes(thing, path):
                if isinstance(box.holder, type):
                    if id(box.holder) in self._seen:
                        continue
                    self._seen.add(id(box.holder))
                self._add(thing, box)
                stack.extend((item, box.name(key), (box, key)) for key, item in reversed(box.items.items()))
            stack.extend((item, path, way) for item in _inside(thing))

    def _add(self, thing: Any, box: Box) -> None:
        self.boxes.append(box)
        self._owner[id(box)] = id(thing)
        if id(thing) in self._settled:
            box.settled, box.ignored = set(box.items), True
        self._settled |= {id(box.items[key]) for key in box.settled if isinstance(box.items[key], (list, dict))}
        self._count += len(box.items)
        if self._count > LIMIT:
            raise CompileError(
                f"the function reaches more than {LIMIT:,} things, {box.path or 'a list'} among them; pass it what it "
                "needs as arguments, or keep that on an object of its own"
            )

    def forget_unused(self, function: Any) -> None:
        """Call settled what no function that may run looks up: a counter of the loop around, for one."""
        used = self._used(function)
        if used is None:
            return
        relevant: dict[int, bool] = {}

        def matters(thing: int) -> bool:
            if thing not in relevant:
                relevant[thing] = False  # on the way round a circle
                relevant[thing] = any(
                    way is None or (taken(*way) and matters(self._owner[id(way[0])])) for way in self._ways[thing]
                )
            return relevant[thing]

        def taken(box: Box, key: Any) -> bool:
            return not box.by_attribute or key in used or str(key).startswith("__")

        for box in self.boxes:
            if not matters(self._owner[id(box)]):
                box.settled, box.ignored = set(box.items), True
            elif box.by_attribute:
                box.settled |= {key for key in box.items if not taken(box, key)}
        matters = None  # type: ignore[assignment]  # which refers to itself, and would keep the boxes alive

    def _used(self, function: Any) -> set[str] | None:
        """The names that the function and what it calls look up; `None` if they look up names that they compute."""
        used: set[str] = set()
        while isinstance(function, functools.partial):
            function = function.func
        todo = [getattr(function, "__name__", "__call__"), *(self._called - _NOT_RUN)]
        todo += [name for name in self._lookups if name.startswith("__") and name not in _NOT_RUN]
        while todo:
            new = self._lookups.get(todo.pop(), set()) - used
            used |= new
            todo += new
        return None if used & _DYNAMIC else used


def _calls_by_itself(box: Box) -> bool:
    """Whether a function that stands there may be called by the library, or out of a list."""
    if isinstance(box.holder, type):
        return any(base.__module__.startswith(("nn.", "autodiff.")) for base in box.holder.__mro__)
    return isinstance(box.holder, (list, deque, dict)) or type(box.holder).__module__.startswith(("nn.", "autodiff."))


def _inside(thing: Any) -> Iterator[Any]:
    """Yield what stands behind something that cannot be changed itself."""
    if isinstance(thing, (tuple, set, frozenset)):
        yield from thing
    elif isinstance(thing, types.MethodType):
        yield thing.__func__
        yield thing.__self__
    elif isinstance(thing, functools.partial):
        yield thing.func
        yield thing.keywords
    elif isinstance(thing, types.FunctionType):
        yield thing.__kwdefaults__
        yield from vars(thing).values()
    elif isinstance(thing, (staticmethod, classmethod, property, functools.cached_property)):
        yield getattr(thing, "fget", None) or getattr(thing, "func", None) or getattr(thing, "__func__", None)


def _boxes(thing: Any, path: str) -> Iterator[Box]:
    if isinstance(thing, types.FunctionType):
        if not thing.__code__.co_filename.startswith(_OURS):
            names = tuple(sorted(_names(thing.__code__) & thing.__globals__.keys()))
            if names:
                yield Box(thing.__globals__, "", names)
            if thing.__defaults__:
                yield Box(thing, thing.__name__, ("__defaults__",))
        for name, cell in zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=False):
            yield Box(cell, name)
    elif isinstance(thing, types.ModuleType):
        names = tuple(name for name, item in vars(thing).items() if not isinstance(item, (types.ModuleType, type)))
        yield Box(thing, path, tuple(name for name in names if not name.startswith("__")))
    elif isinstance(thing, Tensor):
        yield Box(thing, path, ("_data", "grad", "requires_grad"))
    elif isinstance(thing, (list, deque, dict)):
        yield Box(thing, path)
    elif isinstance(thing, functools.partial):
        yield Box(thing, path, ("args",))
    elif type(thing).__module__.partition(".")[0] not in _SKIPPED or isinstance(thing, types.SimpleNamespace):
        if isinstance(getattr(thing, "__dict__", None), dict):
            yield Box(thing, path)
        slots = tuple(
            name
            for kind in type(thing).__mro__
            for name in _as_tuple(kind.__dict__.get("__slots__", ()))
            if name not in ("__dict__", "__weakref__") and hasattr(thing, name)
        )
        if slots:
            yield Box(thing, path, slots)
        for kind in type(thing).__mro__:
            if kind.__module__.partition(".")[0] not in (*_SKIPPED, "nn", "autodiff"):
                names = tuple(
                    name for name in vars(kind) if not name.startswith("__") or name in ("__call__", "__init__")
                )
                yield Box(kind, kind.__name__, names)


def _as_tuple(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _names(code: types.CodeType) -> set[str]:
    """The names that a function's code looks up outside, the functions within it included."""
    names = {*code.co_names, *code.co_freevars}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


def _is_personal(module: types.ModuleType) -> bool:
    """Whether a module is a person's own, which may keep arrays and settings."""
    if module.__name__.partition(".")[0] in _SKIPPED:
        return False
    file = getattr(module, "__file__", None) or ""
    return "site-packages" not in file and not file.startswith(_OURS)
