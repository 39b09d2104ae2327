"""Part of a tape as a list of calls, to be made again with other numbers, or with Tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.doctor.case import Case
from autodiff.doctor.tape import Ref


class Plan:
    """The calls that lead to some nodes of a tape, from the parameters and from where samples enter.

    Parameters
    ----------
    case : Case
    wanted : list of int
        The nodes that are asked for.
    fed : list of int
        Those that are given, besides the parameters.
    bounded : int or None
        One whose values are kept off 0 and 1.
    """

    def __init__(self, case: Case, wanted: list[int], fed: list[int], bounded: int | None) -> None:
        tape = case.tape
        stop = {*case.versions.values(), *fed}
        needed = sorted(tape.ancestors(wanted, stop=stop))
        self._fixed = {id: tape[id].value for id in needed if tape[id].func is None and id not in stop}
        self._calls: list[tuple[int, Callable[..., Any], Callable[[dict[int, Any]], Any]]] = []
        for id in needed:
            node = tape[id]
            if node.func is not None and id not in stop:
                self._calls.append((id, node.func, _arguments(node.args, node.kwargs)))
        self._bounded = bounded

    def __call__(self, start: dict[int, Any], added: dict[int, Any]) -> dict[int, Any]:
        values = {**self._fixed, **start}
        for id, func, arguments in self._calls:
            args, kwargs = arguments(values)
            value = func(*args, **kwargs)
            if id in added:
                value = value + added[id]
            values[id] = np.clip(value, 1e-12, 1 - 1e-12) if id == self._bounded else value
        return values


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[dict[int, Any]], Any]:
    """Compile the filling in of arguments."""
    if not kwargs and all(isinstance(arg, Ref) or not isinstance(arg, (tuple, list)) for arg in args):
        parts = [(True, arg.id) if isinstance(arg, Ref) else (False, arg) for arg in args]
        return lambda values: ([values[x] if held else x for held, x in parts], {})
    return lambda values: (_filled(args, values), _filled(kwargs, values))


def _filled(value: Any, values: dict[int, Any]) -> Any:
    if isinstance(value, Ref):
        return values[value.id]
    if type(value) in (tuple, list):
        return type(value)(_filled(item, values) for item in value)
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    return value
