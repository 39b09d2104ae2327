"""What may be changed about a training, each because of something that is to be seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from autodiff.doctor.training.proof import Change
from nn.doctor import data, gradients
from nn.doctor.case import Case
from nn.doctor.told import Told
from nn.doctor.variant import Setting, bare_layers


def changes(case: Case, how: Told, cut: list[str], piled: str) -> tuple[list[Change[Setting]], Setting]:
    """Return what may be changed, and the setting as written.

    Parameters
    ----------
    cut : list of str
        The parameters that count in the loss and have no gradient.
    piled : str
        Why the gradients on the parameters are not those of one step.
    """
    written = Setting()
    found: list[Change[Setting]] = []

    def offer(code: str, seen: str, words: str, *, blind: bool = False, **fields: Any) -> None:
        if seen:
            found.append(Change(code, words, lambda s: _with(s, fields), seen, blind))

    if case.unlike:
        shape = case.prediction.shape
        offer("label_shape", case.unlike, f"with labels of shape {shape}", reshaped=True)
    broken = [symptom.seen for symptom in case.present if symptom.code == "not_finite"]
    rows = data.finite_rows(case.X, case.y)
    if broken and not rows.all():
        count = int((~rows).sum())
        words = f"without the {count} samples that hold" if count > 1 else "without the sample that holds"
        words += " such numbers"
        offer("not_finite", broken[0], words, clean=True)
    elif broken and _is_unit(case.prediction):
        offer("not_finite", broken[0], "with probabilities kept off 0 and 1", bounded=True)
    if case.adding or piled:
        written = replace(written, zeroing=False)
        seen = piled or "a step adds its gradients to those that are there already"
        offer("zero_grad_forgotten", seen, "with gradients set to zero before each step", zeroing=True)
    if how.lr is not None:
        _holding(case, how, offer)
    if cut:
        seen = f"the loss depends on {gradients.listed(cut)}, but has no gradient there: the way back is cut, or frozen"
        if all(case.parameters[name].size <= gradients.MOST for name in cut):
            offer("unreached", seen, "with the gradient taken from differences", joined=True, whole=True)
    offer("rate_decays", how.falling(), "with the learning rate held at its first value", steady=True)
    offer("unscaled_inputs", data.unscaled(case.X), "with inputs scaled to mean 0 and variance 1", scaled=True)
    bare = bare_layers(case.model)
    if bare:
        offer("no_bias", f"{len(bare)} layers have no bias", "with a bias in every layer", biased=True)
    kinds = data.classes(case.labels)
    if kinds is not None:
        offer("imbalance", data.rare(kinds), "with classes equally frequent", balanced=True)
    rate = f"the learning rate is {how.lr:g}" if how.lr is not None else ""
    rates = [
        ("rate_too_low", "with {:,} times the learning rate", 1),
        ("rate_too_high", "with a learning rate {:,} times smaller", -1),
    ]
    for code, words, sign in reversed(rates) if how.rose else rates:
        for factor in (10, 100, 1000, 10_000):
            offer(code, rate, words.format(factor), blind=True, rate=float(factor) ** sign)
    return found, written


def _is_unit(prediction: Any) -> bool:
    finite = prediction[np.isfinite(prediction)]
    return finite.size == 0 or bool(finite.min() >= 0 and finite.max() <= 1)


def _with(setting: Setting, fields: dict[str, Any]) -> Setting:
    rate = setting.rate * fields.get("rate", 1.0)
    return replace(setting, **{**fields, "rate": rate})


def _holding(case: Case, how: Told, offer: Any) -> None:
    """See whether the optimizers hold each parameter once."""
    often = Counter(id(p) for p in how.held())
    missing = [name for name, p in case.parameters.items() if not often[id(p)]]
    twice = [name for name, p in case.parameters.items() if often[id(p)] > 1]
    if missing:
        seen = f"the optimizer does not hold {gradients.listed(missing)}"
        offer("not_held", seen, "with every parameter held", whole=True)
    if twice:
        offer("held_twice", f"{gradients.listed(twice)} is held twice", "with every parameter held once", once=True)
