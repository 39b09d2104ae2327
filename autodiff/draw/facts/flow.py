"""How much gradient flows along each edge: the backward pass done once more, and only looked at."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.draw.outline.reading import Reading
from autodiff.op import Op, strip, unbroadcast
from autodiff.tensor import Tensor

#: Matrix products cannot be written as a factor after g: their formulas hold the g themselves.
HAS_G = re.compile(r"(?<!\w)g(?![a-z])")


@dataclass(slots=True)
class Flow:
    """What one backward pass from the root gave.

    Attributes
    ----------
    at : dict of int to float
        Root mean square of the gradient of each op's result, by position in the reading.
    along : dict of (int, int) to float
        The same of what that op, by position, gave back to the operand at that place.
    kept : dict of int to array
        The whole gradient of the tensors with these ids that were asked for.
    leaves : dict of int to array
        The gradient of each leaf, by id.
    incoming, returned : dict of int, and of (int, int), to array
        For the ops that were to be opened: the whole gradient of the result, and what went back to each operand.
    """

    at: dict[int, float] = field(default_factory=dict)
    along: dict[tuple[int, int], float] = field(default_factory=dict)
    kept: dict[int, Any] = field(default_factory=dict)
    leaves: dict[int, Any] = field(default_factory=dict)
    incoming: dict[int, Any] = field(default_factory=dict)
    returned: dict[tuple[int, int], Any] = field(default_factory=dict)


def replay(reading: Reading, wanted: set[int], opened: frozenset[int] = frozenset()) -> Flow | None:
    """Do the backward pass again, without hooks and without touching any ``.grad``.

    Returns
    -------
    Flow or None
        None where it cannot be done: the root is not one number, data was changed since the forward pass (as by an
        optimizer's step), an array is not numpy's own, or a rule raises.
    """
    root = reading.root
    if root.op is None or root.size != 1 or not _plain(reading):
        return None
    try:
        with np.errstate(all="ignore"):
            return _pulled(reading, wanted, opened)
    except Exception:  # a picture is drawn without what cannot be measured
        return None


def _plain(reading: Reading) -> bool:
    """Whether all data is in numpy arrays and as it was when it was used."""
    last_use: dict[int, int] = {}
    for result in reading.made:
        for x in result.inputs or ():
            if isinstance(x, Tensor):
                last_use[id(x)] = result.number
    for tensor in (*reading.leaves, *reading.made):
        if type(tensor._data) is not np.ndarray or tensor.changed > last_use.get(id(tensor), math.inf):
            return False
    return True


def _pulled(reading: Reading, wanted: set[int], opened: frozenset[int]) -> Flow:
    flow = Flow()
    root = reading.root
    grads: dict[int, Any] = {id(root): np.ones_like(root._data)}
    for i in range(len(reading.made) - 1, -1, -1):
        node = reading.made[i]
        g = grads.pop(id(node), None)
        if g is None:
            continue
        flow.at[i] = size(g)
        if id(node) in wanted:
            flow.kept[id(node)] = g
        if i in opened:
            flow.incoming[i] = g
        op: Any = node.op
        operands = node.inputs or ()
        arrays = [strip(x) for x in operands]
        for position, (x, rule) in enumerate(zip(operands, op.rules_of(operands), strict=False)):
            if not isinstance(x, Tensor) or not x.requires_grad or rule is None:
                continue
            gx = np.asarray(rule(g, node._data, *arrays, **node.params))
            if gx.shape != x._data.shape:
                gx = unbroadcast(gx, x._data.shape)
            flow.along[i, position] = size(gx)
            if i in opened:
                flow.returned[i, position] = gx
            key = id(x)
            grads[key] = grads[key] + gx if key in grads else gx
    flow.leaves = grads
    return flow


def size(g: Any) -> float:
    """Return the root mean square of an array; NaN or infinity where it holds such."""
    g = np.asarray(g)
    if g.dtype.kind != "f":
        g = g.astype(float)
    if not g.size:
        return 0.0
    if g.dtype == np.float64:
        squares = float(np.vdot(g, g))
        if 1e-280 < squares < 1e280:
            return math.sqrt(squares / g.size)
    largest = float(np.abs(g).max())
    if largest == 0 or not math.isfinite(largest):
        return largest
    scaled = g.astype(np.float64) / largest
    return largest * math.sqrt(float(np.vdot(scaled, scaled)) / g.size)


@dataclass(frozen=True, slots=True)
class Factor:
    """What an op multiplies a gradient by.

    Attributes
    ----------
    mean : float or None
        Mean size of the factor over all elements; None where the op is no product with a factor for each element.
    most : float or None
        The largest that the factor of this op can be, for any input; None where there is no limit, or none is known.
    gain : float or None
        Measured in this backward pass: the rms of what went back to the operand over the rms of what came in.
    """

    mean: float | None = None
    most: float | None = None
    gain: float | None = None


def factor(node: Tensor, position: int, has_g: bool, gain: float | None) -> Factor:
    """Measure the factor of one operand; `has_g` says that its formula is no factor after g."""
    if has_g:
        return Factor(gain=gain)
    values = elementwise(node, position)
    if values is None or not values.size:
        return Factor(gain=gain)
    with np.errstate(all="ignore"):
        sizes = np.abs(values)
        mean = float(sizes.mean(dtype=np.float64))
        # Where some elements are taken and others left, the mean would only say how many.
        if values.shape != node.shape and node.size > 1 and not (sizes == sizes.flat[0]).all():
            return Factor(gain=gain)
    op = node.op
    assert op is not None
    return Factor(mean, largest(op, node.params) if op.arity == 1 and not op.variadic else None, gain)


def elementwise(node: Tensor, position: int) -> Any:
    """Return the derivative of each element of a result by its element of an operand; None where it has none."""
    op, operands = node.op, node.inputs or ()
    assert op is not None
    rule = op.rules_of(operands)[position]
    arrays = [strip(x) for x in operands]
    if rule is None or any(isinstance(x, Tensor) and x.changed > node.number for x in operands):
        return None
    if type(node._data) is not np.ndarray or node._data.dtype.kind != "f":
        return None
    try:
        with np.errstate(all="ignore"):
            return np.asarray(rule(np.ones_like(node._data), node._data, *arrays, **node.params))
    except Exception:
        return None


_limits: dict[tuple[Op, str], float | None] = {}


def largest(op: Op, params: dict[str, Any]) -> float | None:
    """Return the largest size that the derivative of a function of one number can have, from its own rule.

    It is looked for on a grid. The limit counts as one when the grid's outer and innermost parts do not exceed it:
    exp and 1/x have none.

    Examples
    --------
    >>> from autodiff.op import registry
    >>> largest(registry["sigmoid"], {}), largest(registry["tanh"], {}), largest(registry["exp"], {})
    (0.25, 1.0, None)
    """
    key = op, repr(sorted(params.items()))
    if key not in _limits:
        if len(_limits) > 1000:
            _limits.clear()
        try:
            with np.errstate(all="ignore"):
                _limits[key] = _searched(op, params)
        except Exception:
            _limits[key] = None
    return _limits[key]


def _searched(op: Op, params: dict[str, Any]) -> float | None:
    line = np.linspace(-20, 20, 4001)
    near = np.geomspace(1e-9, 1e-3, 30)
    most = []
    for grid in (line[np.abs(line) >= 1e-3], np.concatenate([-near, line, 2 * line, near])):
        y = op.forward(grid, **params)
        if np.shape(y) != grid.shape or y.dtype.kind != "f":
            return None
        slope = np.abs(op.rules[0](np.ones_like(y), y, grid, **params))  # type: ignore[misc]
        if np.shape(slope) != grid.shape:
            return None
        most.append(float(np.max(slope[np.isfinite(slope)], initial=0.0)))
        if not np.isfinite(slope).any() or np.isinf(slope).any():
            return None
    inner, whole = most
    return float(f"{whole:.6g}") if whole <= inner * (1 + 1e-3) else None
