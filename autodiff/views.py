"""Writing to a tensor in the graph: it, what it is a view of and all other views of that mean something new.

Nothing in the graph is changed. What a tensor was stays behind, for the operations that used it, as an old state of
it; which one an operation used, their creation numbers tell. Views learn of a write only when they are next read: until
then they are `Outdated`, which costs those that are never read again, as most are, next to nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import apply, registry
from autodiff.sharing import Sharing, lineage, register
from autodiff.state import grad_mode
from autodiff.tensor import Tensor, brief


def write(x: Tensor, index: Any, value: Any) -> None:
    """Do ``x[index] = value`` in the graph, on `x` and on all that shares its memory.

    Raises
    ------
    RuntimeError
        `x` shares its memory with an operand of the operation that made it, which nothing is known to be a view by.
    ValueError
        `x` can only be read, as in numpy; `value` does not broadcast.
    """
    line = lineage(x)
    whole = line[-1]
    _expect_known(whole)
    flags = getattr(x._data, "flags", None)
    if whole is not x and not getattr(flags, "writeable", True):
        raise ValueError(
            f"{brief(x)} is a view that can only be read, as numpy's are after np.broadcast_to and np.diagonal: "
            "write to the tensor that it shows, or to a copy, `y = x.copy(); y[i] = v`"
        )
    params: dict[str, Any] = {"index": index}
    if whole is not x:
        params["views"] = tuple([(view._past.op, view._past.params) for view in line[-2::-1]])  # type: ignore[union-attr]
    old = _state(whole)
    new = apply(registry["setitem"], (old, old if value is whole else value), params)
    first = whole._past.states[0][1].number if whole._past and whole._past.states else whole.number
    _keep_state(whole, new.number, old)
    _become(whole, new)
    _outdate_views(whole, new.number)
    _repoint(whole, first)


def _expect_known(x: Tensor) -> None:
    """Refuse a tensor that shares memory with others that would not learn of a write to it."""
    if x.op is None or x.op.view:
        return
    may_share = getattr(x._data, "base", None) is not None
    for operand in x.inputs or ():
        if not isinstance(operand, Tensor):
            continue
        if operand._data is x._data or (may_share and np.may_share_memory(x._data, operand._data)):
            raise RuntimeError(
                f"{brief(x)} shares memory with the operand of shape {operand.shape} of the {x.op.name} that made it, "
                "and an array of numpy's would change with it: assign to a copy, `y = x.copy(); y[i] = v`"
            )


def _state(x: Tensor) -> Tensor:
    """Return what `x` is now, as a tensor of its own."""
    old: Tensor = Tensor.__new__(Tensor)
    for slot in _SLOTS:
        setattr(old, slot, getattr(x, slot))
    old._past = None
    return old


def _keep_state(x: Tensor, until: int, old: Tensor) -> None:
    if x._past is None:
        x._past = Sharing()
    x._past.states.append((until, old))
    x.changed = until
    x._hooks = None  # they were asked for what it was


def _become(x: Tensor, new: Tensor) -> None:
    for slot in (*_RENEWED, "_print"):
        setattr(x, slot, getattr(new, slot))


_SLOTS = [slot for slot in Tensor.__slots__ if slot != "__weakref__"]
_RENEWED = ("_data", "requires_grad", "op", "inputs", "params", "number", "scope", "source")

# Views


class Outdated(Tensor):
    """A view of what was written to. It turns back into a Tensor, of what its base is now, when it is looked at."""

    __slots__ = ()


def _on_sight(slot: str) -> property:
    def read(self: Tensor) -> Any:
        _renew(self)
        return getattr(self, slot)

    def assign(self: Tensor, value: Any) -> None:
        _renew(self)
        setattr(self, slot, value)

    return property(read, assign)


for _slot in _RENEWED:
    setattr(Outdated, _slot, _on_sight(_slot))


def _outdate_views(x: Tensor, now: int) -> None:
    """Make all views of `x`, and theirs, `Outdated`. The operations that used them keep what they were."""
    stack = [x]
    while stack:
        past = stack.pop()._past
        if past is None:
            continue
        views, past.views = past.views, []
        for entry in views:
            view = entry()
            if view is not None:
                stack.append(view)
                _keep_state(view, now, _state(view))
                view._print = None
                view.__class__ = Outdated


def _renew(view: Tensor) -> None:
    """Take a view again, of what its base is now, which may have to be renewed first."""
    line = [view]
    for x in lineage(view)[1:]:
        if type(x) is not Outdated:
            break
        line.append(x)
    for x in reversed(line):
        x.__class__ = Tensor
        past: Any = x._past
        token = grad_mode.set(not past.detached)
        try:
            _become(x, apply(past.op, (past.base,), past.params))
        finally:
            grad_mode.reset(token)
        register(x, past.base)


# Without cycles


def _repoint(whole: Tensor, first: int) -> None:
    """Let all that `whole` now depends on refer to old states: to a new one of `whole` it would close a cycle."""
    past: Any = whole._past
    stack = [whole]
    seen: set[Tensor] = set()
    while stack:
        node = stack.pop()
        # Nothing older than the first state can have used it; what an old state depends on was dealt with in its time.
        if node in seen or node.number <= first or not node.inputs or past.state(node.number) is node:
            continue
        seen.add(node)
        # What was written into it is the operand of the write itself, which it must not depend on either.
        number = node.number - (node is whole)
        inputs = tuple([_as_of(x, number) for x in node.inputs])
        if any(x is not operand for x, operand in zip(inputs, node.inputs, strict=True)):
            node.inputs = inputs
        stack.extend(x for x in inputs if isinstance(x, Tensor))


def _as_of(x: Any, number: int) -> Any:
    if not isinstance(x, Tensor) or x.changed <= number or x._past is None:
        return x
    try:
        return x.as_of(number)
    except RuntimeError:  # changed in place: the backward pass says so
        return x
