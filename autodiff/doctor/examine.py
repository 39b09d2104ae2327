"""Run somebody's training step under observation and report on its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.doctor import refusals
from autodiff.doctor.case import Case
from autodiff.doctor.patient import Patient
from autodiff.doctor.report import Report
from autodiff.doctor.sentences import report_on
from autodiff.doctor.steps import cases
from autodiff.doctor.trial import Trial, run
from autodiff.doctor.updates import Parameter, trained

_SOME, _MANY = 6_000, 120_000


def examine(
    function: Callable[..., Any], *args: Any, loss: str | None = None, lr: float | None = None, **kwargs: Any
) -> Report:
    """Run a training call at random parameters and say which of its gradients are wrong, on which line, and why.

    Everything that the call can reach is put back as it was: its object, its arguments, globals, random states. Not one
    character of their code changes.

    Parameters
    ----------
    function : callable
        Their training function or method, as ``net.train``.
    *args, **kwargs
        What it is called with. One epoch is enough.
    loss : str, optional
        The name of the variable that holds the loss, where several numbers may be it; or "bce", "cross_entropy",
        "half_mse" or "mse" where the code computes none.
    lr : float, optional
        The learning rate, where the update does not show it.

    Returns
    -------
    Report

    Raises
    ------
    TypeError
        `function` is not callable, or the arrays are not numpy's.
    """
    refusals.check(function, args, kwargs)
    patient = Patient(function, args, kwargs)
    report: Report | None = None
    for seed in range(3):
        trial, found, steps = observe(patient, seed, loss, lr)
        if not steps:
            return refusals.nothing_to_check(patient, trial, found)
        for case in steps:
            current = report_on(case, lr)
            if case.step and current.findings and not case.partly:
                current.notes.append(f"this shows from step {case.step + 1} on; the first step is right")
            if report is None or (report.ok and current.findings):
                report = current
            if current.findings:
                break
        assert report is not None
        # A point on a kink says nothing; a clean point is tried again, as a fault may have hidden there.
        if report.findings and not steps[0].partly:
            break
        if seed == 1 and not steps[0].partly:
            break
        if steps[0].partly and seed < 2:
            report = None
    assert report is not None
    return report


def observe(
    patient: Patient, seed: int, loss: Any = None, lr: float | None = None
) -> tuple[Trial, list[Parameter], list[Case]]:
    """Run a training call twice: as it stands, to find what it trains, then from a random point."""
    first, found = discover(patient)
    if first.error is not None or not found:
        return first, found, []
    trial = run(patient, *random_point(first, found, seed), limit=_end(found) + 40)
    again = trained(trial) if trial.error is None else []
    if not again:
        return first, found, cases(first, found, loss, lr)
    return trial, again, cases(trial, again, loss, lr)


def discover(patient: Patient) -> tuple[Trial, list[Parameter]]:
    """Run a training call as it stands and find the parameters."""
    trial = run(patient, {}, {}, _SOME)
    grown = [path for path, node in trial.finals.items() if path in patient.numbers and trial.tape[node].func]
    if grown:
        patient.promote(grown)
        trial = run(patient, {}, {}, _SOME)
    found = trained(trial) if trial.error is None else []
    if not found and trial.full:
        trial = run(patient, {}, {}, _MANY)
        found = trained(trial) if trial.error is None else []
    return trial, found


def random_point(trial: Trial, found: list[Parameter], seed: int) -> tuple[dict[str, Any], dict[int, Any]]:
    """Return parameters at which no gradient is right by accident, and zeros for an optimizer's state."""
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {}
    made: dict[int, Any] = {}
    shapes = set()
    for parameter in found:
        shape = trial.tape[parameter.leaf].value.shape
        shapes.add(shape)
        fan = max(shape) if len([n for n in shape if n > 1]) > 1 else 4
        point = rng.uniform(0.25, 1.0, shape) * rng.choice([-1.0, 1.0], shape) * min(1.0, 2.2 / np.sqrt(fan))
        if parameter.made is None:
            values[parameter.path] = point
        else:
            made[parameter.made] = point
    own = {p.leaf for p in found}
    for leaf, path in trial.leaves.items():
        value = trial.tape[leaf].value
        kept = leaf not in own and leaf not in trial.given and trial.finals.get(path, leaf) != leaf
        if kept and value.shape in shapes and value.dtype.kind == "f":
            values[path] = np.zeros(value.shape)
    return values, made


def _end(found: list[Parameter]) -> int:
    """Where on the tape the third step ends."""
    ends = [p.versions[min(3, len(p.versions) - 1)] for p in found]
    return max(ends)
