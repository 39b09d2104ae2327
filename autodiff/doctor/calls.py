"""What stands on the tape as a function: methods by name, and what assignments do, but not in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class Named:
    """A method by its name, so that the same call works on arrays and on Tensors."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(x, self.__name__)(*args, **kwargs)


class Part:
    """A ufunc's method, as ``np.add.reduce``."""

    def __init__(self, ufunc: np.ufunc, method: str) -> None:
        self.ufunc, self.method = ufunc, method
        self.__name__ = f"{ufunc.__name__}.{method}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.ufunc, self.method)(*args, **kwargs)


class Unfit:
    """An update that cannot be computed; it gives what was to be added."""

    def __init__(self, func: Callable[..., Any]) -> None:
        self.__name__ = func.__name__

    def __call__(self, x: Any, other: Any) -> Any:
        return other


class Vectorized:
    """A function of single numbers, applied by ``np.vectorize``."""

    def __init__(self, apply: Callable[..., Any]) -> None:
        self.apply = apply
        self.__name__ = "vectorized"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.apply(*args, **kwargs)


class Item:
    """One of the several results of a function."""

    def __init__(self, func: Callable[..., Any], index: int) -> None:
        self.func, self.index = func, index
        self.__name__ = f"{func.__name__}[{index}]"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.func(*args, **kwargs)[self.index]


def copied(x: Any) -> Any:
    """Return a copy, an array's or a Tensor's."""
    return x.copy()


def put(array: Any, index: Any, value: Any) -> Any:
    """Return a copy of `array` after ``array[index] = value``."""
    new = copied(array)
    if hasattr(value, "requires_grad") and not hasattr(new, "requires_grad"):
        new = type(value)(new)
    new[index] = value
    return new


def is_whole(index: Any) -> bool:
    """Whether an index means all elements."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is Ellipsis or (isinstance(part, slice) and part == slice(None)) for part in parts)


def added_at(ufunc: np.ufunc, array: Any, index: Any, *value: Any) -> Any:
    """Return a copy of `array` after ``ufunc.at(array, index, value)``."""
    new = copied(array)
    ufunc.at(new, index, *value)
    return new


def scattered(shape: tuple[int, ...], *parts: Any) -> Any:
    """Return zeros to which `parts` are added at their places: an index, a factor, a value, whether equal places add
    up, and so on."""
    new: Any = np.zeros(shape)
    for index, factor, value, adds in zip(parts[::4], parts[1::4], parts[2::4], parts[3::4], strict=True):
        if index is None:
            new = new + factor * value
        elif adds:
            new = added_at(np.add, new, index, factor * value)
        else:
            new = put(new, index, new[index] + factor * value)
    return new


def fitted(value: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return what writing `value` into an array of that shape and dtype makes of it."""
    return np.broadcast_to(value, shape).astype(dtype)


def is_element(index: Any, ndim: int) -> bool:
    """Whether an index is that of one element, in plain numbers."""
    parts = index if isinstance(index, tuple) else (index,)
    return len(parts) == ndim and all(type(part) is int and part >= 0 for part in parts)
