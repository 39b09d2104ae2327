"""Where arrays are kept outside, which of them are recorded, and who else holds them."""

from __future__ import annotations

import sys
import weakref
from typing import Any, NamedTuple

import numpy as np

from autodiff.compile.kinds import lasts
from autodiff.compile.record.boxes import Box
from autodiff.compile.record.recorded import Recorded
from autodiff.compile.tape import Value
from autodiff.tensor import Tensor


class Place(NamedTuple):
    """Where an array is kept outside: ``box.write(key, array)``; or inside of a tuple that stands there."""

    box: Box
    key: Any
    inside: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.box.name(self.key)


class Kept(NamedTuple):
    """An array that outlives the run.

    Attributes
    ----------
    value : Value or None
        What it is at the beginning; `None` where nothing stood there.
    places : list of Place
        Who holds it.
    array : array
        Its memory, which holds the final value now.
    movable : bool
        Whether nobody else does, so that the program may choose its memory.
    members : list of Kept
        Those that share this memory, one after the other.
    """

    value: Value | None
    places: list[Place]
    array: Any
    movable: bool
    members: list[Kept] = []  # noqa: RUF012 - the default of a tuple's field is never changed


def is_plain(array: Any) -> bool:
    """Whether an array is recorded: numbers in memory, and no subclass of numpy's with a mind of its own."""
    if type(array) is not np.ndarray and (isinstance(array, np.ndarray) or not is_array(array) or not lasts(array)):
        return False
    return array.dtype.kind in "biufc"


def content(thing: Any) -> Any:
    """Return something that differs if the array or the set does."""
    if isinstance(thing, (set, bytearray)):
        return repr(sorted(map(repr, thing)))
    if thing.dtype.hasobject:
        return [(id(item), item.tobytes() if isinstance(item, np.ndarray) else repr(item)) for item in thing.ravel()]
    if isinstance(thing, np.ma.MaskedArray):
        return thing.data.tobytes(), np.ma.getmaskarray(thing).tobytes()
    return thing.tobytes()


def is_array(x: Any) -> bool:
    return hasattr(x, "__array_function__") and not isinstance(x, (Tensor, Recorded, np.generic, type))


def alone(box: Box) -> set[int]:
    """Return the arrays in a box, by number, that nobody else holds."""
    return {
        id(item)
        for item in box.items.values()
        if is_array(item) and getattr(item, "base", item) is None and sys.getrefcount(item) <= _REFERENCES
    }


def _references() -> int:
    """How many references an array has in `_alone` that only one place holds; it differs between versions of Python."""
    global _REFERENCES
    holder = [np.zeros(1)]
    box = Box(holder, "")
    _REFERENCES = 0
    while not alone(box):
        _REFERENCES += 1
    return _REFERENCES


#: Arrays that programs have put in place: who holds them otherwise is a program.
_owned: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def own(array: Any) -> None:
    """Note that an array belongs to a program."""
    _owned[id(array)] = array


def is_owned(array: Any) -> bool:
    """Say whether an array belongs to a program."""
    return _owned.get(id(array)) is array


_REFERENCES = _references()
