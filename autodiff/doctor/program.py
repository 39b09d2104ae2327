"""A recorded step as a program: the loss, their gradient and the true one at any parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from autodiff.doctor.case import Case
from autodiff.doctor.tape import Ref
from autodiff.tensor import Tensor

Values = dict[str, Any]


class Program:
    """One step of somebody's training, to be run at other parameters, on other inputs.

    Parameters
    ----------
    case : Case
        The step, with its loss found.
    rate : float
        Its learning rate, by which their step is divided to give a gradient.
    """

    def __init__(self, case: Case, rate: float) -> None:
        assert case.truth is not None
        self.case, self.rate = case, rate
        self.loss_node = case.truth.loss
        self.versions = case.versions
        claims = [c for c in case.claims.values()]
        self._theirs = _Plan(case, [self.loss_node, *(c.node for c in claims)])
        self._forward = _Plan(case, [self.loss_node])

    def theirs(self, values: Values) -> tuple[float, Values]:
        """Return the loss, and the gradient that their step follows."""
        found = self._theirs({self.versions[p]: v for p, v in values.items()})
        gradients = {}
        for path, claim in self.case.claims.items():
            g = -claim.sign * claim.factor / self.rate * found[claim.node]
            gradients[path] = g if np.shape(g) == np.shape(values[path]) else np.broadcast_to(g, np.shape(values[path]))
        return float(np.sum(found[self.loss_node])), gradients

    def true(self, values: Values, instead: dict[int, Any] | None = None, added: Values | None = None) -> Any:
        """Return the loss and its gradient.

        `instead` holds other values for inputs; `added` biases for products by node, which are differentiated by too.
        """
        tensors = {p: Tensor(v, requires_grad=True) for p, v in values.items()}
        extra = {key: Tensor(v, requires_grad=True) for key, v in (added or {}).items()}
        plan = self._forward if not extra else _Plan(self.case, [self.loss_node], {int(k): extra[k] for k in extra})
        start: dict[int, Any] = {self.versions[p]: t for p, t in tensors.items()}
        loss = plan({**start, **(instead or {})})[self.loss_node]
        loss.backward(free_graph=True)
        held = {**tensors, **extra}
        return float(np.sum(loss.data)), {k: np.zeros(t.shape) if t.grad is None else t.grad for k, t in held.items()}


class _Plan:
    """Part of a tape, compiled to a list of calls."""

    def __init__(self, case: Case, wanted: Iterable[int], added: dict[int, Any] | None = None) -> None:
        tape = case.tape
        stop = set(case.versions.values())
        self.wanted = list(wanted)
        needed = sorted(tape.ancestors(self.wanted, stop=stop))
        self._fixed = {id: tape[id].value for id in needed if tape[id].func is None and id not in stop}
        self._steps: list[tuple[int, Callable[..., Any], Callable[[dict[int, Any]], Any]]] = []
        for id in needed:
            node = tape[id]
            if node.func is not None and id not in stop:
                self._steps.append((id, node.func, _arguments(node.args, node.kwargs)))
        self._added = added or {}

    def __call__(self, start: dict[int, Any]) -> dict[int, Any]:
        values = {**self._fixed, **start}
        for id, func, arguments in self._steps:
            if id in values and id in start:
                continue
            args, kwargs = arguments(values)
            values[id] = func(*args, **kwargs)
            if id in self._added:
                values[id] = values[id] + self._added[id]
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
