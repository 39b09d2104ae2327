"""Trying a step out and taking it back: all that a function can reach, remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autodiff.compile.record.boxes import Box
from autodiff.compile.record.surroundings import surroundings
from autodiff.tensor import Tensor

_NUMBERS = (bool, int, float, complex, str, bytes, type(None), np.generic)


class Before:
    """What a function can reach, as it is now: numbers, objects, the contents of arrays, the states of generators.

    The arrays themselves are not held: a program moves those that nobody else holds.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._boxes: list[tuple[Box, dict[Any, Any]]] = []
        self._states: list[tuple[Any, Any]] = []
        self._inner: list[tuple[Any, Any]] = []
        for box in surroundings(function, ()):
            self._boxes.append((box, {key: self._remembered(item) for key, item in box.items.items()}))
            box.items = {}

    def rewind(self) -> bool:
        """Go back to where everything was, in the memory that it has now; say whether that was possible.

        It is where arrays kept their shapes and no new ones appeared. Gradients that were not there may stay.
        """
        return all([self._rewound(box, items) for box, items in self._boxes]) and self._outside()

    def undo(self) -> None:
        """Put back what was there, and take away what is new."""
        for box, items in self._boxes:
            self._rewound(box, items)
            now = box.read()
            for key, item in items.items():
                if isinstance(item, _Contents):
                    if not _alike(now.get(key), item.array):
                        box.write(key, item.array)
                elif now.get(key, self) is not item:
                    box.write(key, item)
            for key in reversed([key for key in now if key not in items]):
                box.drop(key)
        self._outside()

    def _remembered(self, item: Any) -> Any:
        if _is_array(item):
            return _Contents(item.copy())
        if isinstance(item, np.random.Generator):
            self._states.append((item.bit_generator, item.bit_generator.state))
        elif type(item) is tuple:
            for array in _arrays_in(item):
                self._inner.append((array, array.copy()))
        return item

    def _rewound(self, box: Box, items: dict[Any, Any]) -> bool:
        now = box.read()
        if any(_is_array(now[key]) for key in now if key not in items):
            return False
        for key, item in items.items():
            current = now.get(key, self)
            if isinstance(item, _Contents):
                if not _alike(current, item.array):
                    return False
                if getattr(current.flags, "writeable", True):
                    current[...] = item.array
            elif current is not item:
                if isinstance(box.holder, Tensor) and key == "grad":
                    continue
                if not isinstance(item, _NUMBERS) or not isinstance(current, _NUMBERS):
                    return False
                box.write(key, item)
        return True

    def _outside(self) -> bool:
        for array, copy in self._inner:
            array[...] = copy
        for bits, state in self._states:
            bits.state = state
        return True


class _Contents:
    """What an array held."""

    def __init__(self, array: Any) -> None:
        self.array = array


def _is_array(item: Any) -> bool:
    return hasattr(type(item), "__array_function__") and not isinstance(item, (Tensor, np.generic))


def _alike(item: Any, copy: Any) -> bool:
    return _is_array(item) and item.shape == copy.shape and item.dtype == copy.dtype


def _arrays_in(tree: tuple[Any, ...]) -> Iterator[Any]:
    for item in tree:
        if type(item) is tuple:
            yield from _arrays_in(item)
        elif _is_array(item):
            yield item
