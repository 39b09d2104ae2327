"""Units that do not do their part: twins that act as one, dead ones, and samples whose gradients cancel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from autodiff.draw.facts.flow import elementwise
from autodiff.draw.facts.places import Places, affine
from autodiff.draw.model import Finding, Model, TensorNode
from autodiff.draw.snapshot import number
from autodiff.op import strip
from autodiff.tensor import Tensor

_MOST_NUMBERS = 2_000_000
#: Below this part of their summed sizes, gradients of samples cancel.
_LITTLE = 0.05
_NOTED = 0.2
_MOST_GATES = 60
#: A smaller part of all units may well be dead.
_FEW = 0.05


def twins(places: Places, model: Model) -> Iterator[Finding]:
    """Find units of one layer with equal weights and equal gradients."""
    maps = set(affine(places.reading))
    for use in places.parameters:
        if use.op not in maps:
            continue
        made = places.reading.made[use.op]
        weight, grad = strip(use.tensor), use.tensor.grad
        name = made.op.name if made.op else ""
        if weight.ndim != 2 or grad is None or weight.size > _MOST_NUMBERS:
            continue
        # The units lie along the axis that is not summed over.
        axis = 0 if name == "linear" or use.position == 0 else 1
        rows = np.concatenate([np.moveaxis(weight, axis, 0), np.moveaxis(np.asarray(grad), axis, 0)], axis=1)
        bias = (made.inputs or ())[2] if name == "linear" else None
        if isinstance(bias, Tensor) and bias.grad is not None:
            rows = np.concatenate([rows, bias._data[:, None], bias.grad[:, None]], axis=1)
        half = np.abs(rows).max(axis=0, initial=0.0)
        near = np.round(rows / np.where(half > 0, half, 1) * 1e9)
        groups: defaultdict[bytes, list[int]] = defaultdict(list)
        for unit, row in enumerate(near + 0.0):
            groups[row.tobytes()].append(unit)
        same = max(groups.values(), key=len, default=[])
        if len(same) > 1:
            listed = ", ".join(map(str, same[:6])) + (", …" if len(same) > 6 else "")
            yield Finding(
                "twins",
                f"Units {listed} of {use.label} are twins: equal weights and equal gradients, so these {len(same)} act "
                "as one and stay so. Start from different random weights.",
                places.leaf(use.tensor),
            )


def dead(places: Places, model: Model) -> Iterator[Finding]:
    """Find units of an activation that pass nothing back for any sample."""
    gates = [i for i, made in enumerate(places.reading.made) if made.op and made.op.name in ("relu", "maximum", "clip")]
    for i in gates[-_MOST_GATES:]:
        made = places.reading.made[i]
        if made.ndim < 2:
            continue
        position = next((p for p, x in enumerate(made.inputs or ()) if isinstance(x, Tensor) and x.requires_grad), 0)
        values = None if made.size > _MOST_NUMBERS else elementwise(made, position)
        if values is None or values.shape != made.shape or len(values) < 2:
            continue
        axis = _samples_axis(places, i)
        off = int((~values.astype(bool).any(axis=axis)).sum())
        units = made.size // made.shape[axis]
        name = made.op.name if made.op else ""
        if off >= max(1, _FEW * units):
            yield Finding(
                "dead",
                f"All {units:,} units of {name}{_where(made)} are dead: 0 for every sample here. Nothing comes back "
                "through them, so what stands before does not learn."
                if off == units
                else f"{off:,} of {units:,} units of {name}{_where(made)} {'is' if off == 1 else 'are'} dead: 0 for "
                f"every sample here, so nothing comes back through {'it' if off == 1 else 'them'}.",
                places.op(i),
            )


def cancelling(places: Places, model: Model) -> Iterator[Finding]:
    """Compare the gradient of each weight with the summed sizes of what each sample alone would give."""
    if places.flow is None:
        return
    worst: tuple[float, str, tuple[str, ...]] | None = None
    label_of = {id(use.tensor): use.label for use in places.parameters}
    for i in affine(places.reading):
        made = places.reading.made[i]
        g = places.flow.kept.get(id(made))
        inputs = made.inputs or ()
        position = next(p for p, x in enumerate(inputs) if id(x) in label_of and getattr(x, "ndim", 0) == 2)
        weight = inputs[position]
        name = made.op.name if made.op else ""
        x = strip(inputs[1 if position == 0 else 0])
        if g is None or g.ndim != 2 or np.ndim(x) != 2 or len(places.users[id(weight)]) > 1:
            continue
        if position == 0 and name != "linear":
            g, x = g.T, x.T
        total = places.flow.leaves.get(id(weight))
        share = _share(np.linalg.norm(g, axis=1) * np.linalg.norm(x, axis=1), total)
        candidates = [(share, weight)]
        if name == "linear" and isinstance(inputs[2], Tensor) and inputs[2].requires_grad:
            candidates.append((_share(np.linalg.norm(g, axis=1), g.sum(axis=0)), inputs[2]))
        for part, tensor in candidates:
            if part is None or len(g) < 2:
                continue
            card = places.leaf(tensor)
            if part < _NOTED:
                for key in card:
                    node = model.nodes[key]
                    if isinstance(node, TensorNode) and node.members == 1:
                        node.notes.append(f"samples cancel to {_percent(part)}")
            if part < _LITTLE and (worst is None or part < worst[0]):
                worst = (part, label_of[id(tensor)], card)
    if worst is not None:
        yield Finding(
            "cancels",
            f"Gradients of single samples cancel: of their summed size only {_percent(worst[0])} is left in {worst[1]}."
            " That is so at a minimum, and where the layer before does not tell the samples apart.",
            worst[2],
        )


def _share(each: Any, total: Any) -> float | None:
    """Return the size of a sum over the sum of sizes."""
    sizes = float(each.sum())
    return None if total is None or sizes == 0 or not np.isfinite(sizes) else float(np.linalg.norm(total)) / sizes


def _percent(part: float) -> str:
    return f"{number(float(f'{100 * part:.2g}'))} %" if part >= 1e-6 else "0 %"


def _samples_axis(places: Places, i: int) -> int:
    """Return along which axis samples lie: the last where weights stand left of the data, as in W @ x."""
    for x in places.reading.made[i].inputs or ():
        j = places.reading.index.get(id(x))
        while j is not None:
            made = places.reading.made[j]
            if made.op is not None and made.op.name in ("matmul", "dot"):
                left = (made.inputs or (None,))[0]
                return -1 if isinstance(left, Tensor) and left.op is None and left.requires_grad else 0
            if made.op is not None and made.op.name != "add":
                break
            j = places.reading.index.get(id((made.inputs or (None,))[0]))
    return 0


def _where(made: Tensor) -> str:
    return f" in {'.'.join(made.scope)}" if made.scope else ""
