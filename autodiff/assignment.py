"""Assignment: what ``x += y`` and ``x[i] = v`` mean when `x` is part of a graph, which is never changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.changes import owners, tick
from autodiff.op import as_operand, handlers, registry, strip
from autodiff.operators import settled
from autodiff.sharing import lineage
from autodiff.state import grad_mode
from autodiff.tensor import Tensor, brief
from autodiff.views import write


def _augmented(ufunc: np.ufunc, sign: str) -> Callable[[Tensor, Any], Tensor]:
    """Return the method for ``x += other``: in place where no gradient is at stake, else a new tensor."""

    def method(self: Tensor, other: Any) -> Tensor:
        recording = grad_mode.get()
        whole = lineage(self)[-1]
        if recording:
            _expect_writable(
                self, whole, f"x {sign}= ...", f"update it inside `with no_grad():`, or write `x = x {sign} ...`"
            )
        tracked = whole.requires_grad or self.requires_grad or (isinstance(other, Tensor) and other.requires_grad)
        if recording and tracked:
            result = handlers[ufunc](self, other)
            if whole is self:
                return result  # type: ignore[no-any-return]
            write(self, ..., result)
        else:
            ufunc(self._data, strip(other), out=self._data)
            _stamp(self)
        return self

    return method


def _assign(self: Tensor, index: Any, value: Any) -> None:
    """Do ``x[index] = value``: in place where no gradient is at stake, else `x` becomes the updated tensor."""
    index = settled(index)
    if _is_this_view(value, self, index):
        return
    recording = grad_mode.get()
    whole = lineage(self)[-1]
    if recording:
        _expect_writable(
            self, whole, "x[i] = v", "assign inside `with no_grad():`, or to a copy, `y = x.copy(); y[i] = v`"
        )
    value = as_operand(value)
    tracked = whole.requires_grad or self.requires_grad or (isinstance(value, Tensor) and value.requires_grad)
    if not recording or not tracked:
        self._data[index] = strip(value)
        _stamp(self)
        return
    write(self, index, value)


def _is_this_view(value: Any, x: Tensor, index: Any) -> bool:
    """Whether `value` is a view ``x[index]``: this is the second half of ``x[i] += v``, which has changed both."""
    past = value._past if isinstance(value, Tensor) else None
    return past is not None and past.base is x and past.op is registry["getitem"] and _same(past.params["index"], index)


def _same(index: Any, other: Any) -> bool:
    return type(index) is type(other) and bool(index == other)


def _expect_writable(x: Tensor, whole: Tensor, sign: str, instead: str) -> None:
    """Refuse to change a leaf that is differentiated by."""
    if whole.requires_grad and whole.op is None:
        what = f"{brief(x)}, a" if x is whole else f"{brief(x)}, a view of {brief(whole)}, which is a"
        raise RuntimeError(f"`{sign}` on {what} leaf that requires a gradient: {instead}")


def _stamp(x: Tensor) -> None:
    """Date a change in place, on `x` and on every tensor that `x` is a view of."""
    now = tick()
    for owner in owners(x):
        owner.changed = now


for _name, _ufunc, _sign in (
    ("__iadd__", np.add, "+"),
    ("__isub__", np.subtract, "-"),
    ("__imul__", np.multiply, "*"),
    ("__itruediv__", np.divide, "/"),
    ("__ipow__", np.power, "**"),
    ("__imod__", np.remainder, "%"),
    ("__ifloordiv__", np.floor_divide, "//"),
    ("__imatmul__", np.matmul, "@"),
):
    setattr(Tensor, _name, _augmented(_ufunc, _sign))
Tensor.__setitem__ = _assign  # type: ignore[method-assign, assignment]
