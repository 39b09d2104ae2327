"""A function that has been run so that it can be differentiated, and the way back through it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from autodiff.changes import tick
from autodiff.engine import _pull
from autodiff.op import strip
from autodiff.state import enable_grad, grad_mode
from autodiff.tensor import Tensor, as_tensor
from autodiff.transforms.boundary import enter, escapes, through
from autodiff.transforms.tree import leaves, rebuild

Function = Callable[..., Any]


class Run:
    """A function, run once on arguments that it can be differentiated by."""

    def __init__(
        self, function: Function, args: Sequence[Any], kwargs: dict[str, Any], argnums: tuple[int, ...], has_aux: bool
    ) -> None:
        self.argnums = tuple(_within(i, len(args)) for i in argnums)
        if len(set(self.argnums)) < len(argnums):
            raise ValueError(f"argnums={argnums} names an argument twice")
        self.trees = [args[i] for i in self.argnums]
        self.born = tick()
        self.entries: list[Tensor] = []
        recording = grad_mode.get()
        handed = list(args)
        for i in self.argnums:
            entered = [enter(x, where) for where, x in leaves(args[i], f"argument {i}")]
            self.entries += entered
            with enable_grad():
                handed[i] = rebuild(args[i], iter([through(x) for x in entered]))
        with enable_grad():
            result = function(*handed, **kwargs)
        self.aux: Any = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise TypeError(
                    f"with has_aux=True {name_of(function)} must return a pair (value, aux); it returned "
                    + (f"a tuple of {len(result)}" if isinstance(result, tuple) else f"a {type(result).__name__}")
                )
            result, self.aux = result
        self.value = result
        self.outputs = [y for _, y in leaves(result)]
        for where, y in leaves(result):
            if not hasattr(y, "dtype") and not isinstance(y, (bool, int, float)):
                place = f" at {where}" if where else ""
                raise TypeError(f"{name_of(function)} returned a {type(y).__name__}{place}, not an array or a number")
        #: Whether what comes out can be differentiated by something that is not this transform's own.
        self.escapes = recording and escapes([*self.outputs, *(x for _, x in leaves(self.aux))], self.born)

    def gradients(self, cotangents: Sequence[Any], keep: bool) -> list[Any]:
        """Pull the gradient by the result back to the arguments; `keep` records it."""
        return pull_back(self.outputs, cotangents, self.entries, keep)

    def transposed(self) -> tuple[list[Tensor], list[Any]]:
        """Return starting gradients, one per output, and the arguments' gradients, recorded as functions of them."""
        # Ones rather than zeros: where a derivative is infinite, 0·∞ would warn.
        starts = [Tensor(np.ones_like(as_float(y)), requires_grad=True) for y in self.outputs]
        with enable_grad():
            return starts, self.gradients(starts, True)

    def leave(self, tree: Any) -> Any:
        """Return arrays in place of this transform's tensors, unless a gradient would be lost."""
        if self.escapes:
            return tree
        # Copies, for the way back may still need the arrays when the caller has changed what was returned.
        return rebuild(tree, iter([strip(x).copy() if isinstance(x, Tensor) else x for _, x in leaves(tree)]))

    def as_arguments(self, gradients: Iterable[Any], argnums: int | Sequence[int]) -> Any:
        """Nest gradients as the arguments are."""
        values = iter(gradients)
        found = tuple(rebuild(tree, values) for tree in self.trees)
        return found if not isinstance(argnums, (int, np.integer)) else found[0]


def pull_back(outputs: Sequence[Any], cotangents: Sequence[Any], wanted: Sequence[Tensor], keep: bool) -> list[Any]:
    """Return the gradients by `wanted`, zero where nothing leads there: Tensors when they are kept, else arrays."""
    pairs = [(y, u) for y, u in zip(outputs, cotangents, strict=True) if isinstance(y, Tensor) and y.requires_grad]
    found: dict[Tensor, Any] = {}
    if pairs:
        with enable_grad():
            root, seed = pairs[0]
            if len(pairs) > 1:
                # The engine starts from one tensor. The sum's value is of no interest, and may overflow.
                with np.errstate(over="ignore", invalid="ignore"):
                    root = functools.reduce(np.add, [(y * u).sum() for y, u in pairs])
                seed = np.ones_like(strip(root))
            found = _pull(root, as_tensor(seed) if keep else strip(seed), set(wanted), create_graph=keep)
    return [found[x] if x in found else _zeros(x, keep) for x in wanted]


def _zeros(x: Tensor, keep: bool) -> Any:
    zeros = np.zeros_like(strip(x))
    return as_tensor(zeros) if keep else zeros


def as_float(y: Any) -> Any:
    """Return the array of `y`; of integers, which have no gradient, the floating-point one."""
    array = strip(y)
    array = array if hasattr(array, "dtype") and not isinstance(array, np.generic) else np.asarray(array)
    return array if array.dtype.kind == "f" else array.astype(float)


def require_callable(function: Any, what: str) -> None:
    if not callable(function):
        raise TypeError(f"{what} takes a function, got a {type(function).__name__}: write {what}(f), not {what}(f(x))")


def name_of(function: Any) -> str:
    return getattr(function, "__qualname__", None) or type(function).__name__


def _within(position: int, count: int) -> int:
    if not -count <= position < count:
        raise ValueError(
            f"argnums={position}, but the call has {count} positional argument{'s' * (count != 1)}: an argument to "
            "differentiate by is passed by position, not by keyword"
        )
    return position % count
