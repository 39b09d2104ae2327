"""What a function returned: as values of the tape, and as arrays and Tensors for the caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np

from autodiff.compile.kinds import copied
from autodiff.compile.record.places import is_plain
from autodiff.compile.record.recorded import Recorded
from autodiff.compile.tape import CompileError, Value
from autodiff.op import Op
from autodiff.tensor import Tensor, make_leaf

_SCALARS = (bool, int, float, complex, str, bytes, type(None), np.generic)


class Output(NamedTuple):
    """What is returned: a value, as an array or a Tensor, or something else as it is."""

    value: Value | None
    kind: str
    plain: Any


def leave(tree: Any, note: Callable[[Any], Value], known: set[int]) -> Any:
    """Return what the function returned as Outputs.

    `note` writes an array down as an output of the tape; `known` are the numbers of objects from outside.
    """
    if isinstance(tree, Tensor):
        if isinstance(tree._data, Recorded):
            return Output(note(tree._data), "learns" if tree.requires_grad else "tensor", None)
        return Output(None, "", tree)
    if isinstance(tree, Recorded):
        return Output(note(tree), "array", None)
    if isinstance(tree, dict):
        return {key: leave(item, note, known) for key, item in tree.items()}
    if type(tree) in (tuple, list):
        return type(tree)([leave(item, note, known) for item in tree])
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*[leave(item, note, known) for item in tree])
    if is_plain(tree):  # the same in every run: the recorder makes sure of that
        return Output(note(tree), "array", None)
    if not isinstance(tree, _SCALARS) and id(tree) not in known:
        raise CompileError(
            f"the step returns a {type(tree).__name__} that it makes; return arrays, Tensors and numbers, in tuples, "
            "lists and dicts"
        )
    return Output(None, "", tree)


def plain(tree: Any) -> Any:
    """Return the outputs of a recording with real arrays, outside any graph."""
    if isinstance(tree, Tensor):
        return result_of(copied(tree._data.array), tree.requires_grad) if isinstance(tree._data, Recorded) else tree
    if isinstance(tree, Recorded):
        return copied(tree.array)
    if isinstance(tree, dict):
        return {key: plain(item) for key, item in tree.items()}
    if isinstance(tree, (tuple, list)):
        items = [plain(item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return tree


def result_of(array: Any, learns: bool) -> Tensor:
    """Return a Tensor of an array that a program made; where the function's own had a graph, it says it has none."""
    tensor = Tensor.__new__(Tensor)
    make_leaf(tensor, array, False, None)
    if learns:
        tensor.requires_grad, tensor.op = True, _compiled
    return tensor


class _Compiled(Op):
    """What made the result of a program: it has left no graph behind."""

    def rules_of(self, inputs: tuple[Any, ...]) -> NoReturn:
        raise CompileError(
            "the result of a compiled function has no graph to go back through: compile the whole step, with "
            "loss.backward() in it, or compile value_and_grad(f)"
        )


_compiled = _Compiled(lambda: None, (None,), "compiled", "compiled", (), (), variadic=True)


def plain_outputs(tree: Any) -> list[Any]:
    if isinstance(tree, Output):
        return [tree.plain] if isinstance(tree.plain, _SCALARS) else []
    items = tree.values() if isinstance(tree, dict) else tree
    return [one for item in items for one in plain_outputs(item)]
