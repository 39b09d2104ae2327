"""Changes in place: the clock that dates them, and the finding of those made behind a tensor's back.

A tensor that is changed through its own methods is stamped with the time. But once somebody outside holds its array
(from ``t.data``, or because `as_tensor` shares it), that array can change unannounced. From then on the tensor keeps a
fingerprint of its data, taken when the array was lent and renewed each time an operation uses the tensor, and the
backward pass compares. A tensor whose array nobody else holds pays nothing.
"""

from __future__ import annotations

import sys
import zlib
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from autodiff.tensor import Tensor

#: Creation numbers, and the stamps of changes: one clock for both, so that they compare.
tick = count(1).__next__

#: The fingerprint of an array that may be held outside and that no operation has used since.
LENT = -1


def lend(tensor: Tensor) -> Any:
    """Return the tensor's array to somebody who may change it, and remember what it holds now.

    The tensors that this one is a view of are lent with it.
    """
    for owner in owners(tensor):
        if owner._print is None:
            owner._print = _fingerprint(owner._data)
    return tensor._data


def owners(tensor: Tensor) -> list[Tensor]:
    """Return the tensor and all those that it is a view of: they change together."""
    found = {tensor: None}
    stack = [tensor]
    while stack:
        view = stack.pop()
        if getattr(view._data, "base", None) is None:
            continue
        past = view._past
        for x in view.inputs or () if past is None or past.base is None else (past.base,):
            if hasattr(x, "_print") and x not in found and np.may_share_memory(view._data, x._data):
                found[x] = None
                stack.append(x)
    return list(found)


def observe(tensor: Tensor) -> None:
    """Look at a lent array as an operation uses it, or before its derivative is taken."""
    # Given back: nobody holds it any more. Of a view that says nothing, as its memory is its base's.
    alone = sys.getrefcount(tensor._data) == _ALONE and getattr(tensor._data, "base", None) is None
    current = None if alone and tensor._print == LENT else _fingerprint(tensor._data)
    if tensor._print not in (current, LENT):
        tensor.changed = tick()
    tensor._print = None if alone else current


def _fingerprint(data: Any) -> int | None:
    # Arrays of other kinds are immutable (Dask), or live where reading them all would stop the machine (a GPU).
    if type(data) is not np.ndarray or data.dtype.hasobject:
        return None
    # As bytes: not every dtype, dates for one, can be lent as itself.
    return zlib.crc32(np.ascontiguousarray(data).reshape(-1).view(np.uint8).data)


class _Holder:
    __slots__ = ("_data",)
    _data: Any


def _references_alone() -> int:
    holder = _Holder()
    holder._data = np.zeros(1)
    return sys.getrefcount(holder._data)


# How many references an array has that only its tensor holds; it differs between versions of Python.
_ALONE = _references_alone()
