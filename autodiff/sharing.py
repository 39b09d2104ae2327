"""Which tensors are views of which: writing to one of them writes to all, as with numpy's arrays.

A view knows the tensor that it was taken of, and how; that tensor finds its views, and keeps none of them alive.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

if TYPE_CHECKING:
    from autodiff.op import Op
    from autodiff.tensor import Tensor


class Sharing:
    """What a tensor has been, what it is a view of, and its views.

    Attributes
    ----------
    base : Tensor or None
        What it is a view of, by ``op(base, **params)``.
    detached : bool
        The view was taken under `no_grad`, so that no gradient flows to it from its base.
    views : list of weak references
        The tensors that are views of this one, and were read since it was last written to.
    states : list of (int, Tensor)
        What this tensor was before each write to it: (until when, the old tensor), by rising time.
    """

    __slots__ = ("base", "detached", "op", "params", "states", "views")

    base: Tensor | None
    op: Op | None
    params: Any

    def __init__(
        self, base: Tensor | None = None, op: Op | None = None, params: Any = None, detached: bool = False
    ) -> None:
        self.base = base
        self.op = op
        self.params = params
        self.detached = detached
        self.views: list[ref[Tensor]] = []
        self.states: list[tuple[int, Tensor]] = []

    def state(self, number: int) -> Tensor | None:
        """Return what the tensor was at that time; `None` when it was not written to since."""
        i = bisect_right(self.states, number, key=_until)
        return self.states[i][1] if i < len(self.states) else None


def _until(state: tuple[int, Tensor]) -> int:
    return state[0]


def follow(view: Tensor, op: Op, x: Tensor, params: dict[str, Any]) -> Tensor:
    """Return what ``op(x, **params)`` gave; if it lies in the memory of `x`, it is a view of `x` from now on."""
    memory = getattr(view._data, "base", None)
    if memory is not None and (memory is x._data or memory is x._data.base or _shares(view._data, memory, x._data)):
        view._past = Sharing(x, op, params, x.requires_grad and not view.requires_grad)
        register(view, x)
    return view


def _shares(view: Any, memory: Any, array: Any) -> bool:
    # Of numpy's own arrays a view names the one that has the memory; the others have it in some array of another kind.
    return type(memory) is not type(array) and np.may_share_memory(view, array)


def register(view: Tensor, x: Tensor) -> None:
    """Let `x` find its view."""
    past = x._past
    if past is None:
        past = x._past = Sharing()
    views = past.views
    views.append(ref(view))
    # Those that are gone are swept out each time the list has doubled.
    if not len(views) % 16 and not len(views) & (len(views) - 1):
        views[:] = [entry for entry in views if entry() is not None]


def lineage(x: Tensor) -> list[Tensor]:
    """Return a tensor, what it is a view of, what that is a view of, and so on."""
    line = [x]
    while x._past is not None and x._past.base is not None:
        x = x._past.base
        line.append(x)
    return line
