"""What stands above and below a picture: title, caption, diagnosis, and what the looks mean."""

from __future__ import annotations

import math

from autodiff.draw.markup import plain
from autodiff.draw.model import Model, OpNode, TensorNode
from autodiff.draw.picture.look import STEPS
from autodiff.draw.snapshot import lines, number

_MEANINGS = {
    "parameter": "learnt",
    "input": "data, labels",
    "result": "computed",
    "loss": "backward() starts here",
    "output": "backward() starts here",
}


def title(model: Model) -> str:
    """Return the loss and how large the graph is."""
    root = model.root
    what = "output" if root.kind == "output" else "loss"
    if root.value is not None and root.value.values is not None and root.value.size == 1:
        what += f" {lines(root.value)[0].strip()}"
    return f"{what}: {_count(model.tensor_count, 'tensor')}, {_count(model.op_count, 'op')}"


def heading(model: Model) -> list[tuple[str, str]]:
    """Return what stands above the picture, as (role, text): title, caption, findings with their numbers."""
    first = title(model)
    if model.repeats or any(isinstance(node, OpNode) and node.inside for node in model.nodes.values()):
        first += f", drawn as {model.drawn:,} nodes"
    found = [("title", first)]
    found += [("plain", plain(text, 900)) for text in model.caption]
    return found + [("finding", f"{i}  {plain(f.sentence, 900)}") for i, f in enumerate(model.findings, 1)]


def legend_entries(model: Model) -> list[tuple[str, str]]:
    """Return what the looks in a picture mean, as (look, meaning)."""
    kinds = [node.kind for node in model.nodes.values() if isinstance(node, TensorNode)]
    found = [(kind, _MEANINGS[kind]) for kind in _MEANINGS if kind in kinds]
    if any(isinstance(node, OpNode) for node in model.nodes.values()):
        found.append(("op", "op, and what it multiplies the gradient g of its result by on the way back"))
    return found


def ramp(model: Model) -> list[tuple[str, int]]:
    """Return what the colours of gradients mean, as (limit, step), for the steps of the ramp."""
    if not model.reference:
        return []
    limits = [10 ** (math.log10(model.reference) - model.decades * i) for i in range(1, STEPS)]
    return [*((f"≥ {number(limit)}", step) for step, limit in enumerate(limits)), ("less", STEPS - 1)]


def ramp_in_words(model: Model) -> list[str]:
    """Return the same as a line of text, where there is one to write."""
    steps = [limit for limit, _ in ramp(model)]
    return [f"colours of ∂ rms, strongest first: {', '.join(steps)}"] if steps else []


def notes(model: Model) -> list[str]:
    """Return the sentences below the picture."""
    found = [
        "Arrows run forward; the gradient comes back along them, the wider the more. Dotted: none can flow; dashed: "
        "exactly zero."
    ]
    factors = [factor for node in model.nodes.values() if isinstance(node, OpNode) for factor in node.factors if factor]
    if any(factor.gain is not None and factor.mean is None for factor in factors):
        found.append("size × 0.5: the gradient leaves the op half as large (rms) as it came in.")
    if any(factor.mean is not None for factor in factors):
        found.append("mean: of the size of what the gradient of each element is multiplied by.")
    return found


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
