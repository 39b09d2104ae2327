"""Where a transform's own computation begins: how arguments enter it, and what lies outside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from autodiff.op import Op, apply, strip
from autodiff.state import grad_mode
from autodiff.tensor import Tensor

#: A step that computes nothing: a view. It is no declared op, as nobody calls it, and there is nothing to sample.
#: What is written to the view is not to be seen in what it is a view of, so it is applied without telling either.
_identity = Op(lambda x: x[...], (lambda g, y, x: g,), "argument", "→", ("1",), (), variadic=False, view=True)


def enter(x: Any, where: str) -> Tensor:
    """Return a tensor to differentiate by, for an argument of a transform.

    It is new each time, so that nested transforms by the same tensor are told apart. Where `x` itself takes
    part in an outer computation it stays connected, else it is a leaf, which shares nothing with `x`.

    Raises
    ------
    TypeError
        `x` holds no floating-point numbers; `where` says which argument it is.
    """
    if isinstance(x, Tensor) and x.requires_grad and grad_mode.get():
        return through(x)
    array = strip(x)
    if not hasattr(array, "dtype"):
        if not isinstance(array, (bool, int, float, complex)):
            raise TypeError(
                f"{where} is a {type(x).__name__}, which has no derivative: differentiate by arrays and numbers, "
                "in lists, tuples and dicts"
            )
        array = np.asarray(array)
    if array.dtype.kind in "biu":
        raise TypeError(
            f"{where} holds {array.dtype}, and integers have no derivative: pass floating-point numbers, "
            f"{_as_float(array)}, or leave this argument out of argnums"
        )
    if array.dtype.kind != "f":
        raise TypeError(f"{where} holds {array.dtype}; only real floating-point numbers are differentiated")
    return Tensor(array, requires_grad=True)


def through(x: Tensor) -> Tensor:
    """Return a tensor of the same memory, one step further.

    A function is handed this one, so that ``x[i] = v`` in it leaves alone the tensor that is differentiated by.
    """
    return apply(_identity, (x,), {})  # type: ignore[no-any-return]


def escapes(tensors: Iterable[Any], born: int) -> bool:
    """Say whether a gradient can flow from `tensors` to anything older than the stamp `born`."""
    return next(outside(tensors, born), None) is not None


def outside(tensors: Iterable[Any], born: int, stop: Iterable[Tensor] = ()) -> Iterator[Tensor]:
    """Yield the tensors older than `born` to which a gradient flows first, each once, not looking beyond `stop`."""
    seen = set(stop)
    stack = [x for x in tensors if isinstance(x, Tensor)]
    while stack:
        node = stack.pop()
        if node in seen or not node.requires_grad:
            continue
        seen.add(node)
        if node.number < born:
            yield node
        else:
            stack.extend(x for x in node.inputs or () if isinstance(x, Tensor))


def _as_float(array: Any) -> str:
    return f"{float(array)} instead of {array}" if not array.ndim else "x.astype(float)"
