"""The catalogue's faults, planted in the patients one at a time and two at a time."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from fault import Fault, both, differ, effect, replaced
from planted import PLANTED

#: Codes that mean the same numbers; any of them counts as naming the fault.
SAME = (
    {"derivative_twice", "derivative_squared", "mse_delta_with_bce"},  # (a − y)·f′ where a − y is right
    {"derivative_missing", "relu_mask_missing"},
    {"derivative_missing", "upstream_dlda", "bce_delta_with_mse"},  # a − y behind an activation, squared error
    {"error_abs", "bce_sign"},  # |a − y| with labels 0 and 1
    {"tanh_unsquared", "derivative_other"},
    {"bias_wrong_axis", "bias_over_units"},  # for a layer of one unit they cannot be told apart
    {"mean_weights_only", "mean_missing"},
    {"mean_bias_only", "mean_missing"},
    {"mean_twice", "bias_averaged"},
)

#: Faults of one family on the same parameters add up to a third: they are not planted together.
FAMILIES = (
    {"sign_all", "sign_layer", "bce_sign"},
    {"mean_missing", "mean_twice", "mean_weights_only", "mean_bias_only", "bias_averaged", "factor_two"},
)
#: Faults on which the patient's code raises by itself, and those of the loss, which leave the updates as they were.
NO_UPDATE = {"m_is_shape", "label_broadcast"}
OF_THE_LOSS = {"bce_delta_with_mse"}

Entry = tuple[str, ...]


def singles() -> list[Fault]:
    """Return every planted fault."""
    return [plant(patient, entry) for patient, entries in PLANTED.items() for entry in entries]


def pairs(folder: Path, most: int = 4, patients: Iterable[str] = PLANTED) -> list[Fault]:
    """Return up to `most` pairs a patient, of different codes on different lines, each of which does something."""
    found = []
    for patient in patients:
        entries = PLANTED[patient]
        choices = list(combinations(entries, 2))
        random.Random(patient).shuffle(choices)
        taken = 0
        for first, second in choices:
            pair = _pair(plant(patient, first), plant(patient, second), second) if taken < most else None
            if pair is None or effect(pair, folder) not in ("silent", "shape"):
                continue
            if _both_act(pair, first, second, folder):
                found.append(pair)
                taken += 1
    return found


def accepted(code: str) -> set[str]:
    """Return the codes that name what `code` names."""
    return {code}.union(*(group for group in SAME if code in group))


def plant(patient: str, entry: Entry) -> Fault:
    """Return the fault that an entry of the table describes."""
    code, *texts = entry
    alone = texts.pop() if len(texts) % 2 else None
    fault = replaced(patient, code, code, _edits(texts))
    if alone is None:
        return fault
    lines = {i for i, line in enumerate(fault.text.splitlines(), 1) if alone in line}
    return replace(fault, culprits=(fault.culprits[0] | lines,))


def _edits(texts: list[str]) -> list[tuple[str, str]]:
    return list(zip(texts[::2], texts[1::2], strict=True))


def _pair(one: Fault, other: Fault, edits: Entry) -> Fault | None:
    """Return both faults at once, or None where they are the same one or meet on a line."""
    first, second = one.codes[0], other.codes[0]
    if accepted(first) & accepted(second) or one.culprits[0] & other.culprits[0]:
        return None
    if any({first, second} <= family for family in FAMILIES):
        return None
    texts = list(edits[1:])
    try:
        return both(one, other, _edits(texts[: len(texts) // 2 * 2]))
    except ValueError:
        return None


def _both_act(pair: Fault, first: Entry, second: Entry, folder: Path) -> bool:
    """Whether neither fault hides the other: the pair's updates are those of no single one."""
    one, other = (plant(pair.patient, entry) for entry in (first, second))
    return differ(pair, one, folder) and differ(pair, other, folder)
