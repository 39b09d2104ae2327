"""The true derivative of the loss by every value of the forward pass: the tape's forward part, replayed on Tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.doctor.calls import Named, Vectorized
from autodiff.doctor.tape import Node, Ref, Tape, swapped
from autodiff.ops.activations import relu
from autodiff.state import watch
from autodiff.tensor import Tensor


class Untraceable(Exception):  # noqa: N818 - it says what is wrong with the tape
    """The engine cannot follow the forward part; the message says where."""


@dataclass
class Truth:
    """Derivatives of one loss.

    Attributes
    ----------
    loss : int
        Its node.
    adjoint : dict of int to array
        The derivative by each node of the forward pass.
    parts : list of (int, array)
        What flows into a node along one of its uses: the derivative by it is their sum.
    forward : set of int
        The nodes from which the loss is computed.
    """

    loss: int
    adjoint: dict[int, Any]
    parts: list[tuple[int, Any]] = field(default_factory=list)
    forward: set[int] = field(default_factory=set)


class _Parts:
    def __init__(self) -> None:
        self.found: list[tuple[Tensor, Any]] = []

    def made(self, result: Any, op: Any, inputs: Any) -> None:
        """Nothing to note."""

    def pulled(self, node: Any, x: Any, g: Any, gx: Any) -> None:
        self.found.append((x, gx))


def differentiate(tape: Tape, loss: int, versions: set[int], depends: list[int], seed: Any = None) -> Truth:
    """Return the derivatives of `loss` by the parameter `versions` and by every value between.

    Raises
    ------
    Untraceable
        A call is one that the engine does not differentiate, or the replay gives other values than the tape holds.
    """
    forward = tape.ancestors([loss], stop=versions)
    tensors: dict[int, Any] = {}
    for id in sorted(forward):
        node = tape[id]
        if id in versions:
            tensors[id] = Tensor(node.value, requires_grad=True)
        elif not depends[id]:
            tensors[id] = node.value
        else:
            assert node.func is not None
            take = lambda ref: tensors[ref.id]
            try:
                if isinstance(node.func, Vectorized):
                    raise TypeError("it is made of single numbers")
                result = _function(node)(*_settled(node.args, take), **_settled(node.kwargs, take))
            except (TypeError, NotImplementedError, ValueError, RuntimeError, AttributeError) as error:
                result = _moved(tape, node, tensors, depends)
                if result is None:
                    result = _linearised(tape, node, tensors, depends)
                if result is not None:
                    tensors[id] = result
                    continue
                where = f"line {node.lines[0].number}" if node.lines else "an unknown line"
                raise Untraceable(f"{where} cannot be differentiated: {error}") from error
            held = result.data if isinstance(result, Tensor) else np.asarray(result)
            if held.shape != node.value.shape or not np.allclose(
                held, node.value, rtol=1e-9, atol=1e-12, equal_nan=True
            ):
                raise Untraceable(
                    f"line {node.lines[0].number if node.lines else '?'} gives other values when replayed"
                )
            tensors[id] = result
    root = tensors[loss]
    if not isinstance(root, Tensor) or not root.requires_grad:
        raise Untraceable("no parameter has a derivative")
    watcher = _Parts()
    with watch(watcher):
        root.backward(seed, retain_grads=True)
    ids: dict[int, int] = {}
    for id, tensor in tensors.items():
        if isinstance(tensor, Tensor):
            ids.setdefault(id_of(tensor), id)
    adjoint = {
        id: np.asarray(tensor.grad)
        for id, tensor in tensors.items()
        if isinstance(tensor, Tensor) and tensor.grad is not None
    }
    parts = [(ids[id_of(x)], np.asarray(g)) for x, g in watcher.found if id_of(x) in ids]
    return Truth(loss, adjoint, parts, forward)


id_of = id


def _called(node: Node, values: dict[int, Any], tape: Tape) -> Any:
    """Compute a node with other values for some operands."""
    assert node.func is not None

    def take(ref: Ref) -> Any:
        return values.get(ref.id, tape[ref.id].value)

    return node.func(*swapped(node.args, take), **swapped(node.kwargs, take))


def _moved(tape: Tape, node: Node, tensors: dict[int, Any], depends: list[int]) -> Any:
    """Replay a call that only moves numbers about, as ``np.c_`` does, by finding out where each number goes."""
    live = [i for i in node.inputs if depends[i]]
    if len(live) != 1 or not isinstance(tensors[live[0]], Tensor) or node.func is None:
        return None
    x = tape[live[0]].value
    places = np.arange(x.size, dtype=float).reshape(x.shape)
    far = 10.0 * x.size + 1e6
    try:
        near, beyond = (np.asarray(_called(node, {live[0]: places + shift}, tape)) for shift in (far, 2 * far))
    except Exception:
        return None
    mine = beyond - near == far
    index = np.where(mine, near - far, 0)
    if near.shape != node.value.shape or np.any(near[~mine] != beyond[~mine]):
        return None  # it computes
    if (
        np.any(near[~mine] != node.value[~mine])
        or np.any(index != np.rint(index))
        or np.any((index < 0) | (index >= x.size))
    ):
        return None
    gathered = tensors[live[0]].reshape(-1)[index.astype(int)]
    result = np.where(mine, gathered, np.where(mine, 0.0, node.value))
    return result if np.array_equal(result.data, node.value) else None


def _linearised(tape: Tape, node: Node, tensors: dict[int, Any], depends: list[int]) -> Any:
    """Replay a call that the engine does not know, as one of np.vectorize, by its own differences."""
    live = [i for i in node.inputs if depends[i] and isinstance(tensors[i], Tensor)]
    if not live or node.func is None:
        return None
    result: Any = Tensor(node.value)
    for i in live:
        x = tape[i].value
        if isinstance(node.func, Vectorized) and x.shape == node.value.shape:
            h = 1e-4 * (1 + np.abs(x))
            at = [np.asarray(_called(node, {i: x + t * h}, tape), dtype=float) for t in (1, -1, 2, -2)]
            result = result + (tensors[i] - x) * ((8 * (at[0] - at[1]) - (at[2] - at[3])) / (12 * h))
            continue
        if x.size > 600:
            return None
        rows = []
        for place in np.ndindex(x.shape):
            step = 1e-4 * (1 + abs(float(x[place])))
            sides = []
            for t in (1, -1, 2, -2):
                moved = x.astype(float)
                moved[place] += t * step
                try:
                    sides.append(np.asarray(_called(node, {i: moved}, tape), dtype=float).reshape(-1))
                except Exception:
                    return None
            rows.append((8 * (sides[0] - sides[1]) - (sides[2] - sides[3])) / (12 * step))
        slopes = np.array(rows).reshape(x.size, -1)
        result = result + ((tensors[i] - x).reshape(1, x.size) @ slopes).reshape(node.value.shape)
    return result if np.array_equal(result.data, node.value) else None


def _function(node: Node) -> Any:
    """What to call for a node: for ``maximum(0, z)`` something with the derivative 0 at 0, as people write it."""
    assert node.func is not None
    zero = [arg for arg in node.args[:2] if isinstance(arg, (int, float)) and arg == 0]
    if node.func is np.maximum and len(node.args) == 2 and len(zero) == 1:
        return lambda a, b: relu(b if isinstance(a, (int, float)) else a)
    if isinstance(node.func, Named):
        func = node.func
        return lambda x, *args, **kwargs: func(x if isinstance(x, Tensor) else Tensor(x), *args, **kwargs)
    return node.func


def _settled(value: Any, take: Any) -> Any:
    def held(ref: Ref) -> Any:
        got = take(ref)
        return got[()] if isinstance(got, np.ndarray) and not got.ndim else got

    return swapped(value, held)


def slope_along(tape: Tape, loss: int, start: dict[int, Any], direction: dict[int, Any], step: float = 1e-5) -> float:
    """Return the derivative of the loss along a direction by differences of replays, with an error of order step⁴."""

    def at(t: float) -> float:
        moved = {id: value + t * direction[id] for id, value in start.items()}
        return float(np.sum(tape.replay(moved, [loss]).get(loss, tape[loss].value)))

    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)


def by_differences(tape: Tape, loss: int, versions: set[int]) -> Truth:
    """Return the derivatives by the parameters alone, from differences of replays."""
    adjoint = {}
    for id in versions:
        value = tape[id].value
        found = np.zeros(value.shape)
        for i in np.ndindex(value.shape):
            unit = np.zeros(value.shape)
            unit[i] = 1.0
            found[i] = slope_along(tape, loss, {id: value}, {id: unit}, 1e-4)
        adjoint[id] = found
    return Truth(loss, adjoint, [], tape.ancestors([loss], stop=versions))
