"""What has become of the places around a function after a recorded run, and what a program may count on there."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from autodiff.compile.kinds import copied, home
from autodiff.compile.record.places import Kept, Place, content, is_array, is_owned
from autodiff.compile.record.recorded import Recorded
from autodiff.compile.tape import CompileError
from autodiff.tensor import Tensor

if TYPE_CHECKING:
    from autodiff.compile.record.recording import Recording


class Settling:
    """Puts real arrays back into all places, with what the run made of them."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._commits: list[tuple[Any, Any]] = []
        self._groups: dict[int, _Group] = {}

    def settle(self) -> None:
        """Put real arrays back into all places, with what the run made of them, and note what it depends on."""
        groups = self._groups
        for array, before, name in self.recording.contents:
            if content(array) != before:
                self.recording.oddities.append(f"{name}, a {type(array).__name__}, changes")
        for box, swapped in zip(self.recording.boxes, self.recording.swapped, strict=True):
            now = box.read()
            if len(now) < len(box.items):
                self.recording.oddities.append(f"{box.path or 'an object'} shrinks")
            self.recording.sizes.append((box, len(now)))
            for key, item in now.items():
                place = Place(box, key)
                old, mine = box.items.get(key, self), swapped.get(key)
                if isinstance(mine, Recorded) and is_array(item):  # a new array that depends on nothing recorded
                    item = self.recording.recorder.take(item)
                elif isinstance(mine, Recorded) and mine.scalar and isinstance(item, np.generic) and item is not old:
                    item = self.recording.recorder.take(np.asarray(item))
                    item.scalar = True
                if isinstance(item, Recorded) and item.scalar:
                    self._number(place, item, mine, old)
                elif isinstance(item, Recorded):
                    if old is not None and not isinstance(mine, Recorded):
                        self.recording.oddities.append(f"{place} becomes an array")
                    groups.setdefault(id(item), _Group(item, [], [], [])).add(place, mine, old)
                elif self.recording.varies(place):
                    self.recording.varying.append(place)
                elif item is old or item is mine:
                    if mine is not None and item is mine:
                        box.write(key, old)
                        self._inner(mine, old, place, groups)
                    if key not in box.settled:
                        self.recording.guards.append((place, old))
                else:
                    _unwrap(item)
                    was = "is new" if old is self else f"changes from {_short(old)} to {_short(item)}"
                    self.recording.oddities.append(f"{place} {was}")
        together: dict[int, int] = defaultdict(int)
        for group in groups.values():
            for mine in group.mine:
                together[id(mine)] += 1
        for group in groups.values():
            self._keep(group, together)
        for array, recorded in self.recording.recorder.known():
            gone = (
                recorded.first.kind == "state" and id(recorded) not in groups and recorded.value is not recorded.first
            )
            if gone and not (id(array) in self.recording.alone or is_owned(array)):
                self._commits.append((array, recorded.array))
                self.recording.oddities.append(
                    f"{recorded.first.name} is changed in place, let go of, and held elsewhere"
                )
        for array, final in self._commits:
            array[...] = final
        # What is new in a place refers to this object: an array held in a circle would not count as held by one place.
        self._groups.clear()
        self._commits.clear()

    def _number(self, place: Place, item: Recorded, mine: Any, old: Any) -> None:
        """Leave a scalar in its place, as numpy does with the result of a sum."""
        if isinstance(mine, Recorded):
            self.recording.read[mine.first] = place
        elif old is self:
            self.recording.oddities.append(f"{place} is new")
        if item is not mine:
            self.recording.tape.outputs.append(item.current())
            self.recording.numbers.append(place)
        place.box.write(place.key, old if item is mine else item.array[()])

    def _keep(self, group: _Group, together: dict[int, int]) -> None:
        """Give the places that hold one array at the end a real one, and note what becomes of it."""
        recorded, places = group.recorded, group.places
        first = group.mine[0] if group.mine else None
        alike = all(mine is first for mine in group.mine)
        if not alike or (isinstance(first, Recorded) and together[id(first)] != len(places)):
            # Arrays that were one are two now, or the other way round: no program for that.
            self.recording.oddities.append(f"{places[0]} shares its array with other places than before")
        value = first.first if isinstance(first, Recorded) else None
        owner = recorded.owner()
        if owner is not recorded and (owner.first.kind == "state" or id(owner) in self._groups):
            raise CompileError(
                f"the step keeps a view of an array that is kept elsewhere as {places[0]}, so that a later change of "
                "one would have to be a change of both; keep a .copy()"
            )
        outside = recorded.first.kind == "state"
        stayed = any(mine is recorded for mine in group.mine)
        if (
            outside
            and not stayed
            and not (id(recorded.first.array) in self.recording.alone or is_owned(recorded.first.array))
        ):
            # Somebody else may hold it, and sees what is done to it at its new place.
            self.recording.oddities.append(f"{places[0]} is given an array that is held elsewhere")
            stayed = True
        array = recorded.first.array if stayed else self._memory(first if alike else None, recorded)
        changed = recorded.value is not recorded.first
        if alike and stayed and not changed:
            self.recording.read.setdefault(recorded.first, places[0])
        else:
            if changed or not stayed:
                self._commits.append((array, copied(recorded.array)))
            movable = not (stayed or is_owned(array)) or id(array) in self.recording.alone
            self.recording.tape.finals.append(recorded.current())
            self.recording.kept.append(Kept(value, [p for p in places if not p.inside], array, movable))
        for place in places:
            if not place.inside:
                place.box.write(place.key, array)

    def _memory(self, before: Any, recorded: Recorded) -> Any:
        """Return memory for a new array in a place: that of the old one, if nobody else can tell."""
        if isinstance(before, Recorded):
            old = before.first.array
            alone = id(old) in self.recording.alone or is_owned(old)
            alike = old.shape == recorded.shape and old.dtype == recorded.dtype and home(old) is home(recorded.array)
            if alone and alike and old.flags.c_contiguous:
                return old
        return np.empty_like(recorded.array)

    def _inner(self, mine: Any, old: Any, place: Place, groups: dict[int, _Group]) -> None:
        """The arrays in a tuple, which are changed in place if at all."""
        if isinstance(mine, Recorded):
            groups.setdefault(id(mine), _Group(mine, [], [], [])).add(place, mine, old)
        elif isinstance(mine, tuple):
            for i, (a, b) in enumerate(zip(mine, old, strict=True)):
                self._inner(a, b, place._replace(inside=(*place.inside, i)), groups)


class _Group(NamedTuple):
    """The places that hold one recorded array at the end, and what stood there at the beginning."""

    recorded: Recorded
    places: list[Place]
    mine: list[Any]
    old: list[Any]

    def add(self, place: Place, mine: Any, old: Any) -> None:
        self.places.append(place)
        self.mine.append(mine)
        self.old.append(old)


def _unwrap(item: Any) -> None:
    """A tensor that got away keeps the real array."""
    if isinstance(item, Tensor) and isinstance(item._data, Recorded):
        item._data = item._data.array


def _short(item: Any) -> str:
    text = repr(item)
    return text if len(text) < 40 else f"a {type(item).__name__}"
