"""One piece of memory for many arrays, at offsets that are known when code is compiled.

The compiler then sees which numbers may change under which, and a call passes one array instead of many.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.compile.machine.expressions import KINDS
from autodiff.compile.machine.statements import Access, owner

#: Bytes between the beginnings of arrays.
ALIGNED = 64


class Arena:
    """Arrays that move into one memory.

    Attributes
    ----------
    memory : array
        The memory, as bytes; there once it is built.
    """

    def __init__(self) -> None:
        self.memory: Any = None
        self._fixed: dict[int, Any] = {}
        self._passing: list[tuple[int, int, Any]] = []
        self._table: dict[int, int] = {}
        self._offsets: dict[int, tuple[int, int]] = {}
        self._homes: dict[int, Any] = {}
        self._raw = bytearray()
        self._outside: list[Any] = []

    def hold(self, array: Any) -> None:
        """Take in an array with its content."""
        self._fixed[id(array)] = array

    def lend(self, array: Any, first: int, last: int) -> None:
        """Find room for an array that is in use from `first` to `last`."""
        self._passing.append((first, last, array))

    def point(self, access: Access) -> None:
        """Note where numbers stand that stay where they are."""
        self._table.setdefault(access.address, len(self._table))
        self._outside.append(access.owner)

    def build(self) -> None:
        """Lay everything out."""
        size = _aligned(8 * len(self._table))
        for array in self._fixed.values():
            self._offsets[id(array)] = size, _address(array)
            size = _aligned(size + array.nbytes)
        free: list[tuple[int, int]] = []
        busy: list[tuple[int, int, int]] = []
        for first, last, array in sorted(self._passing, key=lambda one: one[:2]):
            free += [(room, start) for end, room, start in busy if end < first]
            busy = [one for one in busy if one[0] >= first]
            needed = _aligned(array.nbytes)
            place = min((one for one in free if needed <= one[0] <= 4 * needed), default=None)
            if place is None:
                place, size = (needed, size), size + needed
            else:
                free.remove(place)
            busy.append((last, *place))
            self._offsets[id(array)] = place[1], _address(array)
        # Bytes that are no array: arrays look at them through one of their own dtype, as if there were nothing else.
        self._raw = raw = bytearray(size + ALIGNED)
        start = -_address(np.frombuffer(raw, np.uint8)) % ALIGNED
        self.memory = np.frombuffer(raw, np.uint8, size, start)
        self.memory[: 8 * len(self._table)].view(np.uintp)[:] = list(self._table)
        for array in (*self._fixed.values(), *(array for _, _, array in self._passing)):
            offset = start + self._offsets[id(array)][0]
            self._homes[id(array)] = np.ndarray(array.shape, array.dtype, raw, offset, array.strides)
        for array in self._fixed.values():
            self.moved(array)[...] = array

    def moved(self, array: Any) -> Any:
        """Return an array as it stands in the memory; itself, if it has no place there."""
        home = self._homes.get(id(owner(array)))
        if home is None or array is owner(array):
            return array if home is None else home
        offset = _address(array) - _address(owner(array))
        if home.flags.c_contiguous:
            return np.ndarray(array.shape, array.dtype, home, offset, array.strides)
        offset += _address(home) - _address(np.frombuffer(self._raw, np.uint8))
        return np.ndarray(array.shape, array.dtype, self._raw, offset, array.strides)

    def pointer(self, access: Access) -> tuple[str, int]:
        """Return the text of a pointer near an access, and how many numbers from there it begins."""
        kind = kind_of(access)
        found = self._offsets.get(id(access.owner))
        if found is None:
            return f"behind(m, {8 * self._table[access.address]}, {kind})", 0
        offset, base = found
        return f"at(m, {offset}, {kind})", (access.address - base) // access.dtype.itemsize


def kind_of(access: Access) -> str:
    """The dtype of numbers in memory: a bool is a byte there."""
    kind = KINDS[access.dtype]
    return "u1" if kind == "b1" else kind


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
