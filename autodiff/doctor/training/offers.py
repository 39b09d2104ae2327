"""What may be changed about a hand-written training, each because of something that is to be seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from autodiff.doctor.case import Case
from autodiff.doctor.training.proof import Change
from autodiff.doctor.training.recorded import Recorded, Setting, falling, harmonic
from autodiff.doctor.training.symptoms import Symptom

#: Inputs beyond this, or so much further from zero than they vary, are not scaled.
_LARGE, _FAR = 10.0, 5.0
#: The rarest class is that much rarer than in a fair share.
_RARE = 0.3


def offers(recorded: Recorded, right: bool, seen: list[Symptom], broken: str, replayed: bool) -> list[Change[Setting]]:
    """Return what may be changed.

    Parameters
    ----------
    right : bool
        Whether all gradients are right.
    seen : list of Symptom
    broken : str
        Where training leaves the finite numbers.
    replayed : bool
        Whether the recorded step is what is trained by, so that anything may be changed about it.
    """
    found: list[Change[Setting]] = []

    def offer(code: str, why: str, words: str, *, blind: bool = False, **fields: Any) -> None:
        if why:
            found.append(Change(code, words, lambda s: _with(s, fields), why, blind))

    rate = recorded.rates[0]
    if replayed:
        offer("rate_decays", _falling(recorded.rates), "with the learning rate held at its first value", steady=True)
        wrong = "" if right else "not all gradients are those of the loss: doctor.examine() says where"
        offer("gradient_wrong", wrong, "with the true gradient in place of theirs", true=True)
        offer("label_shape", _unlike(recorded.case), "with labels of the output's shape", reshaped=True, true=True)
        if recorded.bare:
            why = f"nothing is added to {len(recorded.bare)} product{'s' * (len(recorded.bare) > 1)} with weights"
            offer("no_bias", why, "with a bias in every layer", biased=True, true=True)
        if broken:
            offer("not_finite", broken, "with probabilities kept off 0 and 1", bounded=True)
    if seen:
        offer(seen[0].code, seen[0].seen, "with weights drawn around zero", start="fresh")
    offer("unscaled_inputs", _unscaled(recorded), "with inputs scaled to mean 0 and variance 1", scaled=True)
    offer("imbalance", _rare(recorded), "with classes equally frequent", balanced=True)
    codes = {s.code: s.seen for s in seen}
    if replayed:
        offer("vanishing", codes.get("vanishing", ""), "with gradients of one size in every layer", level="layers")
        offer("exploding", codes.get("exploding", ""), "with gradients clipped to norm 1", level="clip")
    why = "training does not come away from starts like these"
    offer("bad_start", "" if seen else why, "with weights drawn around zero", blind=True, start="fresh")
    for factor in (10, 100, 1000, 10_000):
        why = f"the learning rate is {rate:.3g}"
        offer("rate_too_low", why, f"with {factor} times the learning rate", blind=True, rate=factor)
        offer("rate_too_high", why, f"with a learning rate {factor} times smaller", blind=True, rate=1 / factor)
    return found


def _with(setting: Setting, fields: dict[str, Any]) -> Setting:
    return replace(setting, **{**fields, "rate": setting.rate * fields.get("rate", 1.0)})


def _falling(rates: list[float]) -> str:
    if not falling(rates):
        return ""
    how = " as 1/t" if harmonic(rates) else ""
    return f"the learning rate falls{how}: {', '.join(f'{r:.3g}' for r in rates)}, …"


def _unlike(case: Case) -> str:
    """Say how labels of another shape than the output meet it."""
    if case.output is None or case.labels is None:
        return ""
    p, y = case.tape[case.output].value.shape, case.tape[case.labels].value.shape
    if p == y or int(np.prod(p)) != int(np.prod(y)) or int(np.prod(p)) < 2:
        return ""
    try:
        met = np.broadcast_shapes(p, y)
    except ValueError:
        return ""
    return f"labels of shape {y} and outputs of shape {p} meet as {met}: each with those of all others"


def _unscaled(recorded: Recorded) -> str:
    """Say how far inputs are from mean 0 and variance 1; empty where that is near."""
    data = recorded.feeds
    for feed in data.feeds if data is not None else ():
        full = feed.full
        if feed.node == recorded.case.labels or full.ndim < 2 or not np.isfinite(full).all():
            continue
        mean, spread = full.mean(axis=feed.axis), full.std(axis=feed.axis)
        far = (spread > 0) & (np.abs(mean) > _FAR * spread)
        if np.abs(full).max() > _LARGE or far.any():
            return f"inputs lie between {full.min():.4g} and {full.max():.4g}"
        if 0 < np.abs(full).max() < 1 / _LARGE**2:
            return f"inputs are as small as {np.abs(full).max():.2g}"
    return ""


def _rare(recorded: Recorded) -> str:
    """Say how rare the rarer of two classes is, and note the samples that make them equally frequent."""
    data, labels = recorded.feeds, recorded.case.labels
    fed = next((f for f in data.feeds if f.node == labels), None) if data is not None else None
    if fed is None or fed.full.size != fed.full.shape[fed.axis if fed.full.ndim > 1 else 0]:
        return ""
    y = fed.full.reshape(-1)
    kinds, numbers = np.unique(y, return_inverse=True)
    if len(kinds) != 2:
        return ""
    counts = np.bincount(numbers)
    if counts.min() / len(y) >= _RARE / 2:
        return ""
    half = len(y) // 2
    rows = [np.resize(np.flatnonzero(numbers == k), n) for k, n in ((0, half), (1, len(y) - half))]
    recorded.even = np.sort(np.concatenate(rows))
    recorded.even_goal = recorded.goal * np.log(2) / _entropy(counts / len(y))
    return f"the rarer class has {counts.min()} of {len(y)} samples"


def _entropy(shares: Any) -> float:
    return float(-np.sum(shares * np.log(shares)))


def bare(case: Case) -> dict[int, tuple[int, ...]]:
    """Return the products with weights to which nothing is added, and the shape that a bias there would have."""
    assert case.truth is not None
    tape = case.tape
    found: dict[int, tuple[int, ...]] = {}
    versions = set(case.versions.values())
    uses = tape.consumers()
    for id in sorted(case.truth.forward):
        node = tape[id]
        if getattr(node.func, "__name__", "") not in ("dot", "matmul") or node.value.ndim != 2:
            continue
        if not any(i in versions for i in node.inputs):
            continue
        sums = [u for u in uses.get(id, ()) if getattr(tape[u].func, "__name__", "") == "add"]
        if not any(i in versions for u in sums for i in tape[u].inputs):
            first = getattr(node.args[0], "id", None) in versions
            found[id] = (node.value.shape[0], 1) if first else (1, node.value.shape[1])
    return found
