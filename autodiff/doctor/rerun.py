"""Whether what the tape says of the loss is true of the code: run the code again at neighbouring points and see."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from autodiff.doctor.case import Case
from autodiff.doctor.patient import Patient
from autodiff.doctor.tape import Tape, swapped
from autodiff.doctor.trial import Trial, run
from autodiff.doctor.truth import Truth

#: The longest that derivatives by running the code again may take, in seconds.
BUDGET = 2.5


def lost(patient: Patient, case: Case) -> bool:
    """Whether the loss of the first step moves otherwise than its derivative says.

    That is so where numbers leave numpy on their way from the parameters to the loss, by ``math.exp`` or in lists.
    """
    if case.step or case.truth is None or "several" in case.memo:
        return False
    rng = np.random.default_rng(1)
    along = {p.path: rng.normal(size=case.tape[p.leaf].value.shape) for p in case.parameters}
    for step in (1e-5, 1e-7):
        up_side = _shifted(patient, case, {path: step * v for path, v in along.items()})
        down_side = _shifted(patient, case, {path: -step * v for path, v in along.items()})
        if up_side is None or down_side is None:
            return False
        (up, above), (down, below) = up_side, down_side
        expected = 0.0
        for p in case.parameters:
            version = p.versions[0]
            if version in case.truth.adjoint:
                move = (above[version].value - below[version].value) / (2 * step)
                expected += float(np.sum(case.truth.adjoint[version] * move))
        got = (up - down) / (2 * step)
        if not np.isfinite(got) or abs(got - expected) <= 1e-3 * max(abs(got), abs(expected), 1e-6):
            return False
    return True


def by_running(patient: Patient, case: Case) -> Truth | None:
    """Return the derivatives by the parameters from runs with every element moved; None where that takes too long."""
    assert case.truth is not None
    begin = time.monotonic()
    total = sum(case.tape[v].value.size for v in case.versions.values())
    adjoint: dict[int, Any] = {}
    done = 0
    for p in case.parameters:
        if p.path not in case.versions:
            continue
        found = np.zeros(case.tape[p.leaf].value.shape)
        for i in np.ndindex(found.shape):
            unit = np.zeros(found.shape)
            unit[i] = 1e-5
            up_side, down_side = _shifted(patient, case, {p.path: unit}), _shifted(patient, case, {p.path: -unit})
            if up_side is None or down_side is None:
                return None
            (up, above), (down, below) = up_side, down_side
            move = float((above[p.versions[0]].value - below[p.versions[0]].value)[i])
            found[i] = (up - down) / move if move else 0.0
            done += 1
            spent = time.monotonic() - begin
            if spent > BUDGET or (done == 3 and spent / done * total > BUDGET):
                return None
        adjoint[p.versions[0]] = found
    return Truth(case.truth.loss, adjoint, [], case.truth.forward)


def _shifted(patient: Patient, case: Case, by: dict[str, Any]) -> tuple[float, Tape] | None:
    """Run the code with parameters moved; return its loss then and its tape, None where it takes another way."""
    trial = case.trial
    values, made = dict(trial.point[0]), dict(trial.point[1])
    raw = {number: node for node, number in trial.made.items()}
    for p in case.parameters:
        if p.path in by and p.made is None:
            values[p.path] = trial.tape[p.leaf].value + by[p.path]
        elif p.path in by and p.made is not None:
            made[p.made] = trial.tape[raw[p.made]].value + by[p.path].reshape(trial.tape[raw[p.made]].value.shape)
    again = run(patient, values, made, trial.tape_limit, name=bool(patient.locals))
    loss = _loss(trial, again, case.truth.loss if case.truth else 0)
    return None if again.error is not None or loss is None else (loss, again.tape)


def _loss(trial: Trial, again: Trial, loss: int) -> float | None:
    """The number that is the loss, on another tape of the same code."""
    base = sorted(trial.tape.ancestors([loss]))
    values: dict[int, Any] = {}
    for id in base:
        node = trial.tape[id]
        if id < trial.length:
            if id >= len(again.tape) or again.tape[id].value.shape != node.value.shape:
                return None
            values[id] = again.tape[id].value
        elif node.func is not None:
            values[id] = node.func(
                *swapped(node.args, lambda ref: values[ref.id]), **swapped(node.kwargs, lambda ref: values[ref.id])
            )
    return float(np.sum(values[loss]))
