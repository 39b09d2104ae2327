"""The tape: every numpy call of a person's code with its operands, its value and the line that made it."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import array, asarray

_HERE = f"{Path(__file__).parent}{os.sep}"
#: Frames of these files are not a person's own.
_OURS = (_HERE, f"{Path(np.__file__).parent}{os.sep}", "<frozen ", "<__array_function__")


class Line(NamedTuple):
    """A line of a person's code: file, number counted from 1, function."""

    file: str
    number: int
    function: str

    @property
    def text(self) -> str:
        """The line itself without indentation; empty where it cannot be read."""
        return linecache.getline(self.file, self.number).strip()


class Ref(NamedTuple):
    """In a recorded call: the value of that node stands here."""

    id: int


@dataclass(slots=True)
class Node:
    """One value on the tape.

    `func` is None for a value that was not computed on the tape: a parameter, an input, a constant. `inputs` are the
    ids of the nodes among the arguments, in order. `lines` are the person's lines that were running, innermost first.
    """

    id: int
    value: Any
    func: Callable[..., Any] | None = None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[int, ...] = ()
    lines: tuple[Line, ...] = ()
    misfit: int | None = None  # the node that this value was to be written into, of another shape
    opaque: bool = False  # it was computed where the tape could not see


class Enough(BaseException):
    """Raised inside a person's code when the tape has seen all that it needs."""


class Tape:
    """What was computed, in order."""

    def __init__(self, limit: int = 20_000, room: float = float("inf")) -> None:
        self.nodes: list[Node] = []
        self.limit = limit
        self.room = room  # how many bytes more it may take
        self._by_value: dict[tuple[tuple[int, ...], int], int] = {}
        self._by_number: dict[float, int] = {}
        self._constants: dict[int, tuple[Any, int]] = {}
        self.literals: set[float] = set()  # plain numbers of the code, as the learning rate: not found by their value

    def __getitem__(self, id: int) -> Node:
        return self.nodes[id]

    def __len__(self) -> int:
        return len(self.nodes)

    def leaf(self, value: Any, *, opaque: bool = False) -> Node:
        """Write down a value that comes from outside."""
        return self._add(Node(len(self.nodes), array(value), opaque=opaque, lines=running() if opaque else ()))

    def constant(self, data: Any) -> int:
        """Write down an array of which nothing is known; the same one once."""
        held = self._constants.get(id(data))
        if held is not None and held[0] is data and np.array_equal(self.nodes[held[1]].value, data):
            return held[1]
        node = self.leaf(data)
        self._constants[id(data)] = data, node.id
        return node.id

    def record(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], value: Any) -> Node:
        """Write down a call whose arguments already hold `Ref` where nodes stand."""
        self.room -= np.size(value) * 8
        if len(self.nodes) >= self.limit or self.room < 0:
            raise Enough
        inputs = tuple(dict.fromkeys(refs((args, kwargs))))
        return self._add(Node(len(self.nodes), array(value), func, args, kwargs, inputs, running()))

    def find(self, data: Any) -> int | None:
        """Return the latest node that holds exactly these numbers, if there is one and it is no coincidence."""
        if data.dtype.kind != "f" or not telling(data):
            return None
        if not data.ndim:
            return self._by_number.get(float(data))
        found = self._by_value.get((data.shape, hash(data.tobytes())))
        return found if found is not None and same(self.nodes[found].value, data) else None

    def find_number(self, number: float) -> int | None:
        """Return the latest node with exactly this one number."""
        return self._by_number.get(number)

    def _add(self, node: Node) -> Node:
        self.nodes.append(node)
        value = node.value
        if value.dtype.kind == "f" and telling(value):
            if value.size == 1:
                self._by_number[float(value.reshape(()))] = node.id
            if value.ndim:
                self._by_value[value.shape, hash(value.tobytes())] = node.id
        return node

    def kept(self, node: int | None) -> list[int]:
        """Return what an array held before its last writes into parts of it, up to 4 of them."""
        found: list[int] = []
        while node is not None and self.nodes[node].func is not None and len(found) < 4:
            here = self.nodes[node]
            if getattr(here.func, "__name__", "") != "put" or not isinstance(here.args[0], Ref):
                break
            node = here.args[0].id
            found.append(node)
        return found

    def ancestors(self, ids: Iterable[int], stop: frozenset[int] | set[int] = frozenset()) -> set[int]:
        """Return the nodes that the nodes `ids` were computed from, and themselves; nothing beyond `stop`."""
        found = set(ids)
        stack = list(found)
        while stack:
            here = stack.pop()
            if here in stop:
                continue
            for id in self.nodes[here].inputs:
                if id not in found:
                    found.add(id)
                    stack.append(id)
        return found

    def descendants(self, ids: Iterable[int], stop: frozenset[int] | set[int] = frozenset()) -> set[int]:
        """Return the nodes that were computed from the nodes `ids`, and themselves; nothing beyond `stop`."""
        found = set(ids)
        if not found:
            return found
        for node in self.nodes[min(found) :]:
            if node.id not in found and any(id in found and id not in stop for id in node.inputs):
                found.add(node.id)
        return found

    def consumers(self) -> dict[int, list[int]]:
        """Return for each node those that use it."""
        uses: dict[int, list[int]] = {}
        for node in self.nodes:
            for id in node.inputs:
                uses.setdefault(id, []).append(node.id)
        return uses

    def replay(self, values: dict[int, Any], wanted: Iterable[int]) -> dict[int, Any]:
        """Compute again with other `values` for some nodes; what does not depend on them is taken from the tape.

        Returns
        -------
        dict
            The new values, of all nodes that were computed again.
        """
        changed = self.descendants(values)
        needed = self.ancestors(wanted) & changed
        new = dict(values)
        for id in sorted(needed - set(values)):
            new[id] = self.again(id, new)
        return new

    def replay_users(
        self, values: dict[int, Any], instead: dict[int, Any], users: list[int], wanted: Iterable[int]
    ) -> dict[int, Any]:
        """Compute again what `users` give with other operands `instead`, which stay as they are for all else."""
        take = lambda ref: instead.get(ref.id, values.get(ref.id, self.nodes[ref.id].value))
        start = dict[int, Any]()
        with np.errstate(all="ignore"):
            for node in (self.nodes[i] for i in users):
                assert node.func is not None
                start[node.id] = node.func(*swapped(node.args, take), **swapped(node.kwargs, take))
            below = self.descendants(users)
            return self.replay({**{i: v for i, v in values.items() if i not in below}, **start}, wanted)

    def again(self, id: int, values: dict[int, Any]) -> Any:
        """Compute a node again with other `values` for some of its operands."""
        node = self.nodes[id]
        assert node.func is not None
        take = lambda ref: values.get(ref.id, self.nodes[ref.id].value)
        return node.func(*swapped(node.args, take), **swapped(node.kwargs, take))


def same(one: Any, other: Any) -> bool:
    """Whether two arrays of one shape and type are the same bit for bit."""
    if one.size > 4096 and one.dtype == np.float64 == other.dtype:
        return bool(np.array_equal(one.view(np.int64), other.view(np.int64)))
    return bool(one.tobytes() == other.tobytes())


def telling(data: Any) -> bool:
    """Whether equal numbers elsewhere would be no accident: some are not round."""
    if data.size == 0 or data.size > 4_000_000:
        return False
    scaled = asarray(data).reshape(-1)[:64] * 1024.0
    with np.errstate(invalid="ignore"):
        return bool(np.any(scaled != np.rint(scaled)))


def refs(value: Any) -> Iterator[int]:
    """Yield the ids of the nodes inside nested arguments."""
    if isinstance(value, Ref):
        yield value.id
    elif type(value) in (tuple, list):
        for item in value:
            yield from refs(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from refs(item)


def swapped(value: Any, take: Callable[[Ref], Any]) -> Any:
    """Return nested arguments with something in place of every `Ref`."""
    if isinstance(value, Ref):
        return take(value)
    if type(value) in (tuple, list):
        return type(value)(swapped(item, take) for item in value)
    if isinstance(value, dict):
        return {key: swapped(item, take) for key, item in value.items()}
    return value


def running() -> tuple[Line, ...]:
    """Return the person's lines that are running, innermost first, five at most."""
    found: list[Line] = []
    frame = sys._getframe(1)
    while frame is not None and len(found) < 5:
        code = frame.f_code
        if not code.co_filename.startswith(_OURS):
            found.append(Line(code.co_filename, frame.f_lineno, code.co_name))
        elif found:
            break  # the call that started it all
        frame = frame.f_back  # type: ignore[assignment]
    return tuple(found)
