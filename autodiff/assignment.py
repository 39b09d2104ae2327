"""Assignment: what ``x += y`` and ``x[i] = v`` mean when `x` is part of a graph, which is never changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.changes import owners, tick
from autodiff.op import apply, as_operand, handlers, registry, strip
from autodiff.operators import settled
from autodiff.state import grad_mode
from autodiff.tensor import Tensor, brief


def _augmented(ufunc: np.ufunc, sign: str) -> Callable[[Tensor, Any], Tensor]:
    """Return the method for ``x += other``: in place where no gradient is at stake, else a new tensor."""

    def method(self: Tensor, other: Any) -> Tensor:
        recording = grad_mode.get()
        if recording and self.requires_grad and self.op is None:
            raise RuntimeError(
                f"`x {sign}= ...` on {brief(self)}, a leaf that requires a gradient: update it inside "
                f"`with no_grad():`, or write `x = x {sign} ...` to compute with the result"
            )
        if recording and (self.requires_grad or (isinstance(other, Tensor) and other.requires_grad)):
            return handlers[ufunc](self, other)  # type: ignore[no-any-return]
        ufunc(self._data, strip(other), out=self._data)
        _stamp(self)
        return self

    return method


def _assign(self: Tensor, index: Any, value: Any) -> None:
    """Do ``x[index] = value``: in place where no gradient is at stake, else `x` becomes the updated tensor."""
    index = settled(index)
    recording = grad_mode.get()
    if recording and self.requires_grad and self.op is None:
        raise RuntimeError(
            f"`x[i] = v` on {brief(self)}, a leaf that requires a gradient: assign inside `with no_grad():`, or "
            "to a copy, `y = x.copy(); y[i] = v`"
        )
    value = as_operand(value)
    if not recording or not (self.requires_grad or (isinstance(value, Tensor) and value.requires_grad)):
        self._data[index] = strip(value)
        _stamp(self)
        return
    old: Tensor = Tensor.__new__(Tensor)
    for slot in Tensor.__slots__:
        if slot != "__weakref__":
            setattr(old, slot, getattr(self, slot))
    if value is self:
        value = old
    new = apply(registry["setitem"], (old, value), {"index": index})
    _repoint(value, self, old)
    self._data, self.requires_grad, self.op, self.inputs = new._data, True, new.op, new.inputs
    self.params, self.scope, self.source, self._hooks = new.params, new.scope, new.source, None
    self._past = [*(self._past or ()), (new.number, old)]
    self.number = self.changed = new.number


def _stamp(x: Tensor) -> None:
    """Date a change in place, on `x` and on every tensor that `x` is a view of."""
    now = tick()
    for owner in owners(x):
        owner.changed = now


def _repoint(value: Any, x: Tensor, old: Tensor) -> None:
    """Let what `value` was computed from refer to `old`: `x`, about to depend on it, would close a cycle."""
    first = x._past[0][1].number if x._past else x.number
    stack = [value]
    seen: set[Tensor] = set()
    while stack:
        node = stack.pop()
        # Nothing older than x's first state can have used it.
        if not isinstance(node, Tensor) or node in seen or node.number <= first:
            continue
        seen.add(node)
        if node.inputs:
            stack.extend(node.inputs)
            if any(operand is x for operand in node.inputs):
                then = old.as_of(node.number)
                node.inputs = tuple([then if operand is x else operand for operand in node.inputs])


for _name, _ufunc, _sign in (
    ("__iadd__", np.add, "+"),
    ("__isub__", np.subtract, "-"),
    ("__imul__", np.multiply, "*"),
    ("__itruediv__", np.divide, "/"),
    ("__ipow__", np.power, "**"),
):
    setattr(Tensor, _name, _augmented(_ufunc, _sign))
Tensor.__setitem__ = _assign  # type: ignore[method-assign, assignment]
