"""What is to be seen in one forward and backward pass: layers that are dead, saturated, alike, or hardly reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from autodiff.op import strip
from autodiff.tensor import Tensor

_PRODUCTS = ("dot", "matmul", "linear")
#: What passes on a weight as it is.
_VIEWS = ("transpose", "reshape", "swapaxes", "astype", "squeeze", "expand_dims", "matrix_transpose", "copy")

#: A mean slope below this is saturation: the sigmoid has at most 1/4, tanh and ReLU 1.
_FLAT = 0.01
#: The part of the units of a layer that makes it a dead one.
_DEAD = 0.75
#: How much smaller or larger the gradient is at the first layer than at the last.
_MUCH = 1e3


@dataclass(frozen=True)
class Layer:
    """A product of data with a weight.

    Attributes
    ----------
    weight : str
        The parameter's name.
    units : int
        The axis of the weight along which the units lie.
    into, out : Tensor
        What the weight is multiplied with, and what comes out, its bias included.
    samples : int
        The axis of `out` along which the samples lie.
    bare : bool
        Whether no bias is added.
    """

    weight: str
    units: int
    into: Any
    out: Tensor
    samples: int
    bare: bool


class Symptom(NamedTuple):
    """A code and what it says of which layer."""

    code: str
    seen: str


def graph_of(root: Tensor) -> list[Tensor]:
    """Return all tensors that `root` was computed from, and itself, in the order of their making."""
    found: dict[Tensor, None] = {root: None}
    stack = [root]
    while stack:
        for x in stack.pop().inputs or ():
            if isinstance(x, Tensor) and x not in found:
                found[x] = None
                stack.append(x)
    return sorted(found, key=attrgetter("number"))


def layers(loss: Tensor, parameters: Mapping[str, Tensor]) -> list[Layer]:
    """Return the products with weights, in the order of the computation."""
    names = {id(p): name for name, p in parameters.items()}
    graph = graph_of(loss)
    users: dict[int, list[Tensor]] = {}
    for t in graph:
        for x in t.inputs or ():
            if isinstance(x, Tensor):
                users.setdefault(id(x), []).append(t)
    found = []
    for t in graph:
        if t.op is None or t.op.name not in _PRODUCTS:
            continue
        inputs = t.inputs or ()
        held = [(i, *_parameter(x, names)) for i, x in enumerate(inputs[:2])]
        sides = [entry for entry in held if entry[1] is not None]
        if len(sides) != 1:
            continue
        position, name, turned = sides[0]
        if t.op.name == "linear":
            axis, samples, bare = 0, 0, inputs[2] is None
        else:
            axis = (0 if position == 0 else 1) ^ turned
            samples, bare = (t.ndim - 1, True) if position == 0 else (0, True)
        out = t
        while users.get(id(out)):
            following = users[id(out)]
            biased = [u for u in following if u.op and u.op.name == "add" and _adds_parameter(u, out, names)]
            if len(following) > 1 or not biased:
                break
            out, bare = biased[0], False
        found.append(Layer(str(name), axis, inputs[1 - position], out, samples, bare))
    return found


def _adds_parameter(use: Tensor, out: Tensor, names: Mapping[int, str]) -> bool:
    return any(x is not out and _parameter(x, names)[0] is not None for x in use.inputs or ())


def _parameter(x: Any, names: Mapping[int, str]) -> tuple[str | None, bool]:
    """Return the name of the parameter that `x` is, and whether it is transposed."""
    turned = False
    while isinstance(x, Tensor):
        if id(x) in names:
            return names[id(x)], turned
        if x.op is None or x.op.name not in _VIEWS or not x.inputs:
            break
        turned ^= x.op.name in ("transpose", "swapaxes", "matrix_transpose")
        x = x.inputs[0]
    return None, False


def gain(loss: Tensor) -> float:
    """Return the factor by which weights make up for what the activations in a graph do to the variance."""
    names = {t.op.name for t in graph_of(loss) if t.op is not None}
    if names & {"relu", "maximum", "where", "clip", "leaky_relu", "elu", "gelu", "silu", "softplus"}:
        return float(np.sqrt(2))
    if "tanh" in names:
        return 5 / 3
    return 4.0 if names & {"sigmoid", "exp"} else 1.0


def symptoms(loss: Tensor, parameters: Mapping[str, Tensor]) -> list[Symptom]:
    """Return what is to be seen, the most fundamental first; gradients are left in ``.grad``, those of results too."""
    found = layers(loss, parameters)
    with np.errstate(all="ignore"):
        loss.backward(retain_grads=True)
        hidden = [(a, _after(a, b)) for a, b in pairwise(found)]
        seen = _alike(found[:-1], parameters)
        seen += [s for s in (_dead(layer, after) for layer, after in hidden) if s]
        seen += [s for s in (_saturated(layer, after) for layer, after in hidden) if s]
        seen += _shrinking(found)
    return seen


def _after(layer: Layer, following: Layer) -> Tensor | None:
    """What the activation of a layer makes, where it stands in front of the next one."""
    x = following.into
    return x if isinstance(x, Tensor) and x.shape == layer.out.shape and x is not layer.out else None


def _alike(hidden: list[Layer], parameters: Mapping[str, Tensor]) -> list[Symptom]:
    found = []
    for layer in hidden:
        weight = np.asarray(strip(parameters[layer.weight]), dtype=float)
        grad = parameters[layer.weight].grad
        if weight.ndim != 2 or weight.shape[layer.units] < 2:
            continue
        rows = np.moveaxis(weight, layer.units, 0)
        slopes = np.zeros_like(rows) if grad is None else np.moveaxis(np.asarray(grad, dtype=float), layer.units, 0)
        if np.ptp(rows, axis=0).max() > 1e-9 * max(np.abs(rows).max(), 1e-300):
            continue
        if np.ptp(slopes, axis=0).max() > 1e-9 * max(np.abs(slopes).max(), 1e-300):
            continue
        if not rows.any() and not slopes.any():
            found.append(Symptom("zero_init", f"all weights of {layer.weight} are zero, and so is their gradient"))
        else:
            text = (
                f"all {len(rows)} units of {layer.weight} have the same weights and the same gradient: they act as one"
            )
            found.append(Symptom("symmetric_init", text))
    return found[:1]


def _dead(layer: Layer, after: Tensor | None) -> Symptom | None:
    if after is None or after.ndim != 2:
        return None
    values = strip(after)
    dead = ~values.any(axis=layer.samples)
    share = dead.mean() if dead.size else 0.0
    if share < _DEAD:
        return None
    return Symptom("dead_layer", f"{int(dead.sum())} of {dead.size} units after {layer.weight} give 0 for every sample")


def _saturated(layer: Layer, after: Tensor | None) -> Symptom | None:
    if after is None or after.grad is None or layer.out.grad is None:
        return None
    above, below = np.abs(after.grad), np.abs(layer.out.grad)
    if not np.any(above) or not np.any(strip(after)):
        return None
    slope = float(below.sum() / above.sum())
    size = float(np.abs(strip(layer.out)).mean())
    if slope >= _FLAT or size < 3:
        return None
    return Symptom(
        "saturation",
        f"the slope after {layer.weight} is {slope:.2g} on average: its units get ±{size:.3g}, far too much",
    )


def _shrinking(found: list[Layer]) -> list[Symptom]:
    sizes = [(f.weight, float(np.sqrt(np.mean(np.square(f.out.grad))))) for f in found if f.out.grad is not None]
    values = [(f.weight, float(np.sqrt(np.mean(np.square(strip(f.out)))))) for f in found]
    if len(sizes) > 1:
        (first, small), (last, large) = sizes[0], sizes[-1]
        if large > 0 and 0 < small < large / _MUCH:
            text = f"the gradient that reaches {first} is {_ratio(large / small)} times smaller than that at {last}"
            return [Symptom("vanishing", text)]
        if large > 0 and small > large * _MUCH:
            text = f"the gradient that reaches {first} is {_ratio(small / large)} times larger than that at {last}"
            return [Symptom("exploding", text)]
    if len(values) > 1 and values[-1][1] > _MUCH * max(values[0][1], 1e-300):
        text = f"values grow from {values[0][1]:.2g} after {values[0][0]} to {values[-1][1]:.2g} after {values[-1][0]}"
        return [Symptom("exploding", text)]
    return []


def _ratio(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio < 1e6 else f"{ratio:.0e}".replace("e+0", "e").replace("e+", "e")
