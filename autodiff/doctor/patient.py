"""A person's object: where its arrays live, how it looked before, and putting everything back."""

from __future__ import annotations

import copy
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from autodiff.doctor.fewer import LONG, cuts, is_large
from autodiff.doctor.restore import EMPTY, put_back, set_attribute, set_state, shallow, slots

#: How many items of a long list are looked into.
_FIRST = 200
_LIBRARIES = (*sys.stdlib_module_names, "numpy", "autodiff", "nn", "tqdm", "matplotlib", "scipy", "pandas", "_pytest")


class Place(NamedTuple):
    """Where an array lives: how a person writes it, and what holds it under which key."""

    path: str
    holder: Any
    key: Any
    array: Any

    def put(self, value: Any) -> None:
        """Let the place hold `value`."""
        if isinstance(self.holder, (dict, list, deque, np.ndarray)):
            self.holder[self.key] = value
        else:
            set_attribute(self.holder, self.key, value)


class Patient:
    """All that a training call can reach: its object, its arguments, its module's globals.

    Parameters
    ----------
    function : callable
        Their training function or method.
    args, kwargs
        What it will be called with. They are kept as mutable copies, `self.args` and `self.kwargs`, whose arrays can
        be exchanged.
    """

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function: Any = function
        self.args = list(args)
        self.kwargs = dict(kwargs)
        self.places: list[Place] = []
        self.numbers: dict[str, Place] = {}  # plain numbers, which may turn out to be trained
        self.sources: list[Place] = []  # what random numbers are drawn from
        self.spent: list[str] = []  # iterators among what was given, which a run would use up
        self.spaces: list[dict[str, Any]] = []  # the names of modules
        self.locals: dict[tuple[str, str, str], str] = {}  # local names of plain numbers that turned out to be trained
        self.cut: dict[int, tuple[slice, ...]] = {}  # what is taken of large data, by their id
        self.samples = 0  # how many samples these have
        self._holders: list[tuple[Any, Any]] = []
        self._rngs: list[tuple[Any, Any]] = []
        self._arrays: dict[int, tuple[Any, Any]] = {}
        self._seen: set[int] = set()
        self._paths: set[str] = set()
        self._keeps = True
        self._walk_roots()

    @classmethod
    def of_names(cls, *names: dict[str, Any]) -> Patient:
        """Return what the names of a function and of its module lead to."""
        made = cls.__new__(cls)
        made.function, made.args, made.kwargs = None, [], {}
        made.places, made._holders, made._rngs, made._arrays, made._seen = [], [], [], {}, set()
        made.numbers, made.sources, made.spent, made._paths = {}, [], [], set()
        made.spaces, made.locals = [], {}
        made._keeps = False
        for held in {id(space): space for space in names}.values():
            for name, value in list(held.items()):
                if not name.startswith("__"):
                    made._visit(value, name, held, name)
        return made

    def _walk_roots(self) -> None:
        owner = getattr(self.function, "__self__", None)
        inner = getattr(self.function, "__func__", self.function)
        inner = getattr(inner, "__wrapped__", inner)
        if hasattr(inner, "func") and hasattr(inner, "args"):  # functools.partial
            self._walk(list(inner.args), "args")
            owner, inner = getattr(inner.func, "__self__", None), getattr(inner.func, "__func__", inner.func)
        if owner is not None and not isinstance(owner, type(sys)):
            self._walk(owner, "self")
        elif not hasattr(inner, "__code__") and hasattr(inner, "__dict__"):
            self._walk(inner, "self")
            inner = vars(type(inner)).get("__call__", inner)
        names = list(getattr(getattr(inner, "__code__", None), "co_varnames", ()))
        names = names[1:] if owner is not None else names
        self._walk_list(self.args, lambda i: names[i] if i < len(names) else f"argument {i}")
        self._walk_dict(self.kwargs, str)
        self._walk_closure(inner)
        names_used = getattr(inner, "__globals__", None)
        if isinstance(names_used, dict):
            self._walk_globals(names_used)

    def _walk_closure(self, function: Any, path: str = "") -> None:
        code = getattr(function, "__code__", None)
        cells = getattr(function, "__closure__", None) or ()
        for name, cell in zip(getattr(code, "co_freevars", ()), cells, strict=False):
            if id(cell) in self._seen:
                continue
            self._seen.add(id(cell))
            try:
                value = cell.cell_contents
            except ValueError:  # an empty cell
                continue
            self._holders.append((cell, {"cell_contents": value}))
            self._visit(value, f"{path}.{name}" if path else name, cell, "cell_contents")

    def _walk_globals(self, names: dict[str, Any], prefix: str = "") -> None:
        if id(names) in self._seen or _is_library(names):
            return
        self._remember(names)
        self.spaces.append(names)
        for name, value in list(names.items()):
            if not name.startswith("__"):
                self._visit(value, f"::{prefix}{name}", names, name)

    def _visit(self, value: Any, path: str, holder: Any, key: Any) -> None:
        if isinstance(value, np.ndarray):
            if value.dtype == object:
                self._walk_cells(value, path)
            elif value.dtype.kind in "biuf":
                self.places.append(Place(self._unique(path), holder, key, value))
                if self._keeps:
                    # Large data are not copied but guarded: what runs in their place is a part of them.
                    self._arrays.setdefault(id(value), (value, None if is_large(value) else value.copy()))
        elif isinstance(value, (np.random.Generator, np.random.RandomState)):
            self.sources.append(Place(path, holder, key, value))
            self._walk(value, path)
        elif isinstance(value, Iterator) and not path.startswith("::"):
            self.spent.append(path)
        elif isinstance(value, tuple) and _holds_arrays(value):
            # A tuple cannot be changed: a list stands in for it while the call runs.
            stand_in = _ListTuple(value)
            self._walk_list(stand_in.items, lambda i: f"{path}[{i}]")
            self.places.append(Place(path, holder, key, stand_in))
        elif type(value) in (int, float) or isinstance(value, np.floating):
            self.numbers[path] = Place(path, holder, key, value)
        else:
            self._walk(value, path)

    def _walk(self, value: Any, path: str) -> None:
        if id(value) in self._seen or path.count(".") + path.count("[") > 8:
            return
        self._seen.add(id(value))
        if isinstance(value, np.random.Generator):
            self._rngs.append((value.bit_generator, copy.deepcopy(value.bit_generator.state)))
        elif isinstance(value, np.random.RandomState):
            self._rngs.append((value, value.get_state()))
        elif isinstance(value, random.Random):
            self._rngs.append((value, value.getstate()))
        elif isinstance(value, (dict, list, deque)):
            if isinstance(value, dict):
                self._walk_dict(value, lambda key: f"{path}[{key!r}]")
            else:
                self._walk_list(value, lambda i: f"{path}[{i}]")
            if type(value).__module__ != "builtins" and _is_theirs(type(value)):
                self._walk_object(value, path)
        elif isinstance(value, set):
            self._remember(value)
        elif isinstance(value, tuple):
            for i, item in enumerate(value):
                self._walk(item, f"{path}[{i}]")
        elif isinstance(value, FunctionType):
            self._walk_closure(value, path)
            self._walk_globals(value.__globals__, f"{value.__module__}.")
        elif isinstance(value, type(sys)):
            self._walk_globals(vars(value), f"{value.__name__}.")
        elif callable(getattr(value, "__func__", None)) and getattr(value, "__self__", None) is not None:
            self._walk(value.__self__, path)
        elif _is_theirs(type(value)):
            self._walk_object(value, path)

    def _walk_object(self, value: Any, path: str) -> None:
        names = [name for kind in type(value).__mro__ for name in slots(kind)]
        names = [name for name in names if name not in ("__dict__", "__weakref__")]
        held = {name: getattr(value, name) for name in names if hasattr(value, name)}
        if names:
            self._holders.append((value, {name: held.get(name, EMPTY) for name in names}))
            for name, item in held.items():
                self._visit(item, f"{path}.{name}", value, name)
        if isinstance(getattr(value, "__dict__", None), dict):
            self._remember(vars(value))
            for name, item in list(vars(value).items()):
                self._visit(item, f"{path}.{name}", vars(value), name)
        for kind in type(value).__mro__[:-1]:
            if not _is_theirs(kind) or id(kind) in self._seen:
                continue
            self._seen.add(id(kind))
            facts = {k: v for k, v in vars(kind).items() if not k.startswith("__") and not callable(v)}
            facts = {k: v for k, v in facts.items() if not hasattr(v, "__get__")}
            self._holders.append((kind, facts))
            for name, item in facts.items():
                self._visit(item, f"{path}.{name}", kind, name)

    def _walk_dict(self, value: dict[Any, Any], path: Callable[[Any], str]) -> None:
        self._remember(value)
        for key, item in list(value.items()):
            self._visit(item, path(key), value, key)

    def _walk_list(self, value: list[Any] | deque[Any], path: Callable[[int], str]) -> None:
        self._remember(value)
        # Of thousands of samples the first will do; the others are seen as what they are, data.
        for i, item in enumerate(list(value)[: _FIRST if len(value) > LONG else None]):
            self._visit(item, path(i), value, i)

    def _walk_cells(self, value: Any, path: str) -> None:
        """An array of objects, each of which may be an array."""
        if id(value) in self._seen or value.size > 10_000:
            return
        self._seen.add(id(value))
        self._holders.append((value, value.copy()))
        for index in np.ndindex(value.shape):
            self._visit(value[index], f"{path}[{', '.join(map(str, index))}]", value, index)

    def _unique(self, path: str) -> str:
        while path in self._paths:
            path += "′"
        self._paths.add(path)
        return path

    def _remember(self, holder: Any) -> None:
        self._seen.add(id(holder))
        self._holders.append((holder, copy.copy(holder) if isinstance(holder, (set, deque)) else shallow(holder)))

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Put everything back at the end as it was: attributes, lists, arrays, random states."""
        legacy, plain = np.random.get_state(), random.getstate()
        rules, shown = np.geterr(), np.get_printoptions()
        guarded = [array for array, before in self._arrays.values() if before is None and array.flags.writeable]
        for array in guarded:
            array.flags.writeable = False
        try:
            yield
        finally:
            for holder, before in self._holders:
                put_back(holder, before)
            for array in guarded:
                array.flags.writeable = True
            for array, before in self._arrays.values():
                if before is None:
                    continue
                if array.shape == before.shape and array.tobytes() != before.tobytes():
                    writeable = array.flags.writeable
                    array.flags.writeable = True
                    array[...] = before
                    array.flags.writeable = writeable
            for place in self.places:
                place.put(getattr(place.array, "original", place.array))
            for rng, state in self._rngs:
                set_state(rng, state)
            np.random.set_state(legacy)
            random.setstate(plain)
            np.seterr(**rules)
            np.set_printoptions(**shown)

    def shorten(self, few: int) -> None:
        """From now on run with a part of the samples, where there are many."""
        given = {id(place.array) for place in self.places if place.holder is self.args or place.holder is self.kwargs}
        arrays = [place.array for place in self.places if isinstance(place.array, np.ndarray)]
        self.cut, self.samples = cuts(arrays, given, few)

    def promote(self, paths: list[str]) -> None:
        """From now on put arrays in the place of the plain numbers at these paths."""
        for path in paths:
            place = self.numbers.pop(path)
            self.places.append(Place(path, place.holder, place.key, _Number(place.array)))

    def current(self) -> dict[str, Any]:
        """Return what each path holds now, new paths too; for use while the call's changes are still in place."""
        twin = Patient.__new__(Patient)
        twin.function, twin.args, twin.kwargs = self.function, self.args, self.kwargs
        twin.numbers, twin.sources, twin.spent, twin._paths = {}, [], [], set()
        twin.spaces, twin.locals = [], {}
        twin.places, twin._holders, twin._rngs, twin._arrays, twin._seen = [], [], [], {}, set()
        twin._keeps = False
        twin._walk_roots()
        return {place.path: place.array for place in twin.places if isinstance(place.array, np.ndarray)}


class _ListTuple:
    """A tuple with arrays in it, as a list whose items can be exchanged."""

    def __init__(self, original: tuple[Any, ...]) -> None:
        self.original = original
        self.items = list(original)

    def made(self) -> Any:
        """Return a tuple of the original's kind with the present items."""
        kind = type(self.original)
        return tuple(self.items) if kind is tuple else kind(*self.items)


class _Number:
    """A plain number for which an array stands in."""

    def __init__(self, original: Any) -> None:
        self.original = original
        self.array = np.array(original, dtype=float)


def exchange(places: list[Place], instead: Callable[[Place], Any]) -> None:
    """Put into every place what `instead` gives for it; the same array in two places is exchanged once."""
    known: dict[int, Any] = {}
    for place in places:
        if isinstance(place.array, _ListTuple):
            continue
        number = isinstance(place.array, _Number)
        if number:
            place = place._replace(array=place.array.array)
        if id(place.array) not in known:
            known[id(place.array)] = instead(place)
            known[id(place.array)].scalar = number
        place.put(known[id(place.array)])
    for place in reversed(places):  # what lies inside was visited before what holds it
        if isinstance(place.array, _ListTuple):
            place.put(place.array.made())
    for place in places:
        if isinstance(place.array, _ListTuple):
            place.put(place.array.made())


def _holds_arrays(value: tuple[Any, ...]) -> bool:
    return any(isinstance(item, np.ndarray) or (isinstance(item, tuple) and _holds_arrays(item)) for item in value)


def _is_library(names: dict[str, Any]) -> bool:
    """Whether names are those of a module that is no person's own."""
    file = str(names.get("__file__") or "")
    mine = "site-packages" not in file and "dist-packages" not in file
    return not mine or str(names.get("__name__", "")).split(".")[0] in _LIBRARIES


def _is_theirs(kind: type) -> bool:
    module = (getattr(kind, "__module__", "") or "").split(".")[0]
    return module not in _LIBRARIES and kind is not type and not issubclass(kind, (type, type(sys)))
