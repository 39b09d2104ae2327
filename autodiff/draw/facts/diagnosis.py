"""What is wrong with a step, in words, where it is true."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from autodiff.draw.facts.places import Places
from autodiff.draw.facts.predictions import prediction
from autodiff.draw.facts.shrinking import shrinking, through_repetitions
from autodiff.draw.facts.units import cancelling, dead, twins
from autodiff.draw.markup import plain
from autodiff.draw.model import Finding, Model
from autodiff.draw.outline.reading import MOST_ITEMS
from autodiff.draw.snapshot import number
from autodiff.engine import first_nonfinite
from autodiff.op import strip
from autodiff.tensor import Tensor

#: How close to the frequencies of the labels all predictions are when a model predicts only those.
_NEAR = 0.05
_MOST_LISTED = 5
_MOST_CHECKED = 500


def diagnose(places: Places, model: Model, names: Mapping[str, Any]) -> list[Finding]:
    """Return the findings, the most fundamental first.

    A check that fails on a graph of a kind that nobody thought of is left out: a picture is drawn all the same.
    """
    found: list[Finding] = []
    with np.errstate(all="ignore"):
        for check in CHECKS:
            try:
                found += check(places, model)
            except Exception:
                continue
        try:
            found += _unreached(places, names)
        except Exception:  # a namespace may hold anything
            return found
    return found


def _nonfinite(places: Places, model: Model) -> Iterator[Finding]:
    root = places.reading.root
    if np.isfinite(np.asarray(strip(root), dtype=float)).all():
        bad = [use for use in places.parameters[:_MOST_CHECKED] if not math.isfinite(use.rms or 0.0)]
        if bad:
            yield Finding(
                "nonfinite",
                f"The loss is finite but the gradient of {bad[-1].label} is not: a derivative overflowed; "
                "detect_anomaly() finds where.",
                places.leaf(bad[-1].tensor),
            )
        return
    first = first_nonfinite(root)
    if first is None:
        return
    what = "NaN" if np.isnan(np.asarray(strip(first))).any() else "infinity"
    i = places.reading.index.get(id(first))
    if i is None:
        name = plain(places.reading.name(first) or "", 60) or f"a leaf of shape {first.shape}"
        yield Finding("nonfinite", f"It starts with {what} in {name}, which was given.", places.leaf(first))
    elif first.op is not None:
        yield Finding("nonfinite", f"{first.op.name} made the first {what}, out of finite numbers.", places.op(i))


def _broadcast(places: Places, model: Model) -> Iterator[Finding]:
    """Find an elementwise op after all parameters that spreads both of its operands, one of them without gradient."""
    last_parameter = max((use.op for use in places.parameters), default=-1)
    made_ = places.reading.made
    for i in range(max(last_parameter + 1, len(made_) - _MOST_CHECKED), len(made_)):
        made = made_[i]
        if made.op is None or not isinstance(made.op.forward, np.ufunc):
            continue
        inputs = made.inputs or ()
        shapes = [np.shape(strip(x)) for x in inputs]
        if len(inputs) != 2 or made.op.forward.signature is not None:
            continue
        if all(shape not in ((), made.shape) and math.prod(shape) > 1 for shape in shapes) and not all(
            isinstance(x, Tensor) and x.requires_grad for x in inputs
        ):
            yield Finding(
                "broadcast",
                f"In the loss, {made.op.name} spreads {shapes[0]} and {shapes[1]} to {made.shape}: each prediction "
                f"meets the labels of all samples. Bring both to one shape, for example with y.reshape({shapes[0]}).",
                places.op(i),
            )
            return


def _base_rate(places: Places, model: Model) -> Iterator[Finding]:
    predicted = prediction(places.reading)
    if predicted is None or len(predicted.y) < 2:
        return
    rates = predicted.y.mean(axis=0)
    if predicted.entropy < 1e-9:
        yield Finding("base rate", "All labels are the same: there is nothing to tell apart.", places.op(predicted.op))
        return
    off = float(np.abs(predicted.p - rates).max())
    if off < _NEAR and predicted.mean_loss > 0.97 * predicted.entropy:
        what = f"{number(float(rates))}, the mean label" if np.ndim(rates) == 0 else "the classes' frequencies"
        yield Finding(
            "base rate",
            f"It is predicting the base rate: every prediction is within {_up(off)} of {what}, whatever the input. "
            f"The loss {number(predicted.mean_loss)} is what that costs ({number(predicted.entropy)}).",
            places.op(predicted.op),
        )
    elif np.ndim(rates) == 0 and len(predicted.p) > 2 and np.ptp(predicted.p) < _NEAR:
        yield Finding(
            "base rate",
            f"It predicts nearly the same for every sample, {number(float(predicted.p.min()))} to "
            f"{number(float(predicted.p.max()))}: what goes in hardly matters yet.",
            places.op(predicted.op),
        )


def _accumulated(places: Places, model: Model) -> Iterator[Finding]:
    """Compare what ``.grad`` holds with the gradient of this loss alone."""
    if places.flow is None or any(t._hooks for t in (*places.reading.leaves, *places.reading.made)):
        return
    ratios = set()
    for use in places.parameters[:_MOST_CHECKED]:
        once = places.flow.leaves.get(id(use.tensor))
        if once is None or use.rms is None or use.tensor.grad is None:
            return
        square = float(np.vdot(once, once))
        ratio = float(np.vdot(once, use.tensor.grad)) / square if square > 0 else 1.0
        if not np.allclose(use.tensor.grad, ratio * np.asarray(once), rtol=1e-3, atol=1e-3 * (use.rms or 0.0)):
            return
        if square > 0:
            ratios.add(round(ratio, 3))
            if ratios != {max(round(ratio), 2)}:
                return
    for times in ratios:
        yield Finding(
            "accumulated",
            f"Each .grad holds {times:.0f} times the gradient of this loss: did backward() run {times:.0f} times "
            "without zero_grad() between?",
            tuple(node for use in places.parameters[:1] for node in places.leaf(use.tensor)),
        )


def _unreached(places: Places, names: Mapping[str, Any]) -> Iterator[Finding]:
    """Find parameters, among those a person named and those in the graph, to which no gradient can come."""
    used = {id(use.tensor) for use in places.parameters}
    missing: dict[int, tuple[str, Any]] = {}
    for name, value in names.items():
        if str(name).startswith("_"):
            continue
        inside: Any = [(str(name), value)]
        if not isinstance(value, Tensor) and callable(getattr(value, "named_parameters", None)):
            inside = [(f"{name}.{inner}", x) for inner, x in value.named_parameters()]
        elif isinstance(value, Mapping):
            inside = [(f"{name}[{key!r}]", x) for key, x in value.items()]
        elif isinstance(value, (list, tuple)):
            inside = [(f"{name}[{i}]", x) for i, x in enumerate(value[:MOST_ITEMS])]
        for label, x in inside:
            if isinstance(x, Tensor) and x.requires_grad and x.op is None and id(x) not in used:
                missing.setdefault(id(x), (label, x))
    if places.flow is not None:
        for use in places.parameters:
            if id(use.tensor) not in places.flow.leaves:
                missing.setdefault(id(use.tensor), (use.label, use.tensor))
    if missing:
        labels = [plain(label, 60) for label, _ in missing.values()]
        listed = ", ".join(labels[:_MOST_LISTED])
        if len(labels) > _MOST_LISTED:
            listed += f" and {len(labels) - _MOST_LISTED:,} more"
        yield Finding(
            "unreached",
            f"The loss does not reach {listed}: no gradient comes there, and no step changes "
            f"{'it' if len(labels) == 1 else 'them'}.",
            tuple(node for _, x in missing.values() for node in places.leaf(x)),
        )


def _up(x: float) -> str:
    """Write a bound, rounded up."""
    if x == 0:
        return "0"
    digits = 1 - math.floor(math.log10(x))
    return number(math.ceil(x * 10**digits) / 10**digits)


#: What is looked for, in the order in which it is said.
CHECKS = (
    _nonfinite,
    _broadcast,
    _base_rate,
    shrinking,
    through_repetitions,
    dead,
    twins,
    _accumulated,
    cancelling,
)
