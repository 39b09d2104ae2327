"""Kinds of arrays: numpy's, and others that speak its protocols and live in memory that can be written to.

Memory for a program is made in the kind of what it is to hold. What is known of other kinds is found out by trying.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

#: Why some kinds stay eager.
LAZY = "which has no memory for a program to write into (Dask's are computed when they are asked for)"

_homes: dict[type, Any] = {}
_lasting: dict[type, bool] = {}
_bringing: dict[type, Callable[..., Any]] = {}


def home(array: Any) -> Any:
    """Return an empty array of the same kind, to make others like; `None` for numpy's."""
    kind = type(array)
    if kind is np.ndarray or not hasattr(kind, "__array_function__") or issubclass(kind, (np.ndarray, np.generic)):
        return getattr(array, "home", None)  # of what only has a shape, as it was told
    if kind not in _homes:
        _homes[kind] = np.empty_like(array, shape=(0,))
    return _homes[kind]


def lasts(array: Any) -> bool:
    """Say whether what is written to a view of such an array stands in the array: Dask's only add to a plan."""
    kind = type(array)
    if kind not in _lasting:
        try:
            memory = np.zeros_like(array, shape=(2,), dtype=np.float64)
            view = memory[1:]
            np.add(view, 1.0, out=view)
            _lasting[kind] = float(memory[1]) == 1.0
        except Exception:  # whatever a kind says where it cannot
            _lasting[kind] = False
    return _lasting[kind]


def zeros(shape: tuple[int, ...], dtype: Any, home: Any) -> Any:
    """Return new memory of a kind."""
    return np.zeros(shape, dtype) if home is None else np.zeros(shape, dtype, like=home)


def copied(array: Any) -> Any:
    """Return a copy of an array, or of a number as an array."""
    return np.array(array) if home(array) is None else array.copy()


def overlap(a: Any, b: Any) -> bool:
    """Say whether two arrays may look at the same memory."""
    return home(a) is home(b) and bool(np.may_share_memory(a, b))


def address(array: Any) -> int | None:
    """Return where an array's memory begins; `None` if its kind does not tell."""
    for name in ("__array_interface__", "__cuda_array_interface__"):
        interface = getattr(array, name, None)
        if interface is not None:
            return int(interface["data"][0])
    return None


def bringing(array: Any) -> Callable[..., Any]:
    """Return what makes an array of the kind of `array` out of any: ``np.asarray`` for numpy's."""
    own, kind = home(array), type(array)
    if own is None:
        return np.asarray
    if kind not in _bringing:

        def asarray(x: Any, *args: Any, **kwargs: Any) -> Any:
            return np.asarray(x, *args, like=own, **kwargs)

        asarray.__module__ = "numpy"  # as which it is written down
        _bringing[kind] = asarray
    return _bringing[kind]


def described(array: Any) -> str:
    """How a person names a kind."""
    return f"{type(array).__module__}.{type(array).__qualname__}"
