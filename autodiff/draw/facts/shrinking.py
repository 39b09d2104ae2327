"""Which layer learns least, and which factor on the way back is to blame."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from autodiff.draw.facts.flow import HAS_G, elementwise, largest
from autodiff.draw.facts.places import Places
from autodiff.draw.model import Finding, Model, OpNode, TensorNode
from autodiff.draw.snapshot import number
from autodiff.op import strip

#: A first layer whose gradient is smaller than the last one's by more than this is named.
_MUCH = 10.0
#: A factor that leaves more than this is not what makes such a difference.
_LITTLE = 0.4


#: The same for the first of many repetitions against the last.
_VERY_MUCH = 1000.0


def through_repetitions(places: Places, model: Model) -> Iterator[Finding]:
    """Find a loop through which the gradient dies out or explodes on its way back."""
    for repeat in model.repeats:
        outputs = [model.nodes[key] for key in repeat.nodes]
        last = next((n for n in reversed(outputs) if isinstance(n, TensorNode) and n.kind == "result" and n.grad), None)
        if not repeat.feeds_itself or last is None or last.grad is None or last.last_grad is None:
            continue
        early, late = last.grad.rms, last.last_grad.rms
        if not early or not late or 1 / _VERY_MUCH < early / late < _VERY_MUCH:
            continue
        each = math.exp((math.log(early) - math.log(late)) / (repeat.times - 1))
        yield Finding(
            "vanishing" if early < late else "exploding",
            f"Through {repeat.times:,} repetitions the gradient {'shrinks' if early < late else 'grows'} from "
            f"{number(late)} at the last to {number(early)} at the first, × {number(each)} each: the first ones "
            f"{'are hardly learnt from' if early < late else 'decide alone'}.",
            (last.id,),
        )


def shrinking(places: Places, model: Model) -> Iterator[Finding]:
    """Find a first layer that learns much less than the last one, and the factor that makes the difference."""
    flow = places.flow
    weights = [use for use in places.weights if use.tensor.grad is not None]
    if flow is None or len(weights) < 2:
        return
    first, last = weights[0], weights[-1]
    small, large = first.rms, last.rms
    if small is None or large is None or not large > small * _MUCH:
        return
    product: dict[str, float] = {}
    steps: dict[str, list[int]] = {}
    for i, position in places.way_to_the_root(first.op):
        if i > last.op:
            break
        op = places.reading.made[i].op
        before = flow.at.get(i, 0.0)
        if op is None or before == 0:
            continue
        gain = flow.along.get((i, position), 0.0) / before
        product[op.name] = product.get(op.name, 1.0) * gain
        steps.setdefault(op.name, []).append(i)
    if not product:
        return
    # A mean gives each element little and the sum over them later gives that back: it is not to blame.
    possible = [name for name in product if not any(_spreads(places, i) for i in steps[name])]
    if not possible:
        return
    blamed = min(possible, key=lambda name: product[name])
    at = steps[blamed]
    smallest = min(at, key=lambda i: flow.at.get(i, 0.0))
    nodes = tuple(dict.fromkeys(node for i in at for node in places.op(i)))
    opening = (
        f"{first.label} learns least: its gradient is exactly zero"
        if small == 0
        else f"{first.label} learns least: its gradient (rms {number(small)}) is {_ratio(large / small)} "
        f"times smaller than that of {last.label}"
    )
    if product[blamed] > _LITTLE:
        cause = "No factor on the way back makes that difference: "
        cause += ", ".join(f"{name} × {number(gain)}" for name, gain in sorted(product.items(), key=_size)[:3]) + "."
        nodes = ()
    elif product[blamed] == 0:
        cause = f"{blamed} passes nothing back: its factor {_formula(places, model, smallest)} is 0 everywhere."
    else:
        often = f" {len(at):,} times" if len(at) > 1 else ""
        formula = _formula(places, model, smallest)
        how = f"by its weights, {formula}" if HAS_G.search(formula) else f"by {formula}{_mean(places, at)}"
        cause = f"To blame: {blamed}, which multiplies {how}{often}"
        cause += f": × {number(product[blamed])}{' in all' if len(at) > 1 else ''}."
        others = {name: gain for name, gain in product.items() if name != blamed and not 0.99 < gain < 1.01}
        if others:
            listed = ", ".join(f"{name} × {number(gain)}" for name, gain in sorted(others.items(), key=_size)[:3])
            cause += f" The rest of the way: {listed}."
    yield Finding("vanishing", f"{opening}. {cause}", (*places.leaf(first.tensor), *nodes))


def _spreads(places: Places, i: int) -> bool:
    """Whether an op gives the gradient of one element to several."""
    made = places.reading.made[i]
    formula = made.op.formula if made.op is not None else ()
    return not any(HAS_G.search(text) for text in formula) and any(
        np.size(strip(x)) > made.size for x in made.inputs or ()
    )


def _size(item: tuple[str, float]) -> float:
    return item[1]


def _ratio(ratio: float) -> str:
    return number(ratio) if ratio < 1e6 else f"{ratio:.0e}".replace("e+0", "e").replace("e+", "e")


def _formula(places: Places, model: Model, i: int) -> str:
    node = next((model.nodes[key] for key in places.op(i)), None)
    if isinstance(node, OpNode):
        for formula in node.formulas:
            if formula:
                return formula
    op = places.reading.made[i].op
    return op.formula[0] if op is not None and op.formula else "its derivative"


def _mean(places: Places, at: list[int]) -> str:
    """Return the mean of a unary op's factor over some of its applications, and the most that it can be."""
    op = places.reading.made[at[0]].op
    if op is None or op.arity != 1 or op.variadic:
        return ""
    means = []
    for i in at[:50]:
        values = elementwise(places.reading.made[i], 0)
        if values is None or values.shape != places.reading.made[i].shape or not values.size:
            return ""
        means.append(float(abs(values).mean()))
    most = largest(op, places.reading.made[at[0]].params)
    mean = math.fsum(means) / len(means)
    return f" (mean {number(mean)} of at most {number(most)})" if most is not None else f" (mean {number(mean)})"
