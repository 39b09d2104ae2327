"""Run somebody's training step under observation and report on its gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.doctor import refusals
from autodiff.doctor.case import Case
from autodiff.doctor.fewer import FEW
from autodiff.doctor.idle import lost_updates
from autodiff.doctor.mixed import mixed_labels
from autodiff.doctor.patient import Patient
from autodiff.doctor.report import Report
from autodiff.doctor.rerun import by_running, lost
from autodiff.doctor.sentences import report_on, with_findings
from autodiff.doctor.steps import cases
from autodiff.doctor.tape import Node, Ref
from autodiff.doctor.trial import Trial, run
from autodiff.doctor.updates import Parameter, dependence, local_numbers, name_of, trained

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
    ValueError
        `lr` is not greater than 0.
    """
    refusals.check(function, args, kwargs, lr)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their numbers may be anything
        return _examined(Patient(function, args, kwargs), loss, lr)


def _examined(patient: Patient, loss: str | None, lr: float | None) -> Report:
    refusals.check_reach(patient)
    report: Report | None = None
    try:
        first = discover(patient)
    except Exception as error:
        return refusals.unchecked([], f"the analysis ended with {type(error).__name__}: {error}")
    labels: dict[str, Any] = {}
    for seed in range(3):
        try:
            trial, found, steps = observe(patient, first, seed, loss, lr, labels)
        except Exception as error:
            return refusals.unchecked(first[1], f"the analysis ended with {type(error).__name__}: {error}")
        if not steps:
            return refusals.nothing_to_check(patient, trial, found)
        for case in steps:
            if case.step and is_harsh(trial, found, case.step):
                break
            current = judged(case, lr, patient)
            if case.step and current.findings and not case.partly:
                current.notes.append(f"this shows from step {case.step + 1} on; the first step is right")
            if labels and current.findings:
                current.notes.append("all labels are the same, which hides it: this shows where some are another")
            if patient.cut:
                few = next(iter(patient.cut.values()))
                count = max(part.stop or 0 for part in few)
                current.notes.append(f"seen with the first {count} of {patient.samples} samples")
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
        elif not labels:
            labels = mixed_labels(steps[0])
    assert report is not None
    return with_findings(report, lost_updates(*first))


def judged(case: Case, lr: float | None, patient: Patient | None = None) -> Report:
    """Report on a step; where the search for causes fails, on the comparison alone."""
    try:
        report = report_on(case, lr)
        alarming = any(v.verdict == "wrong" for v in report.parameters)
        if patient is None or case.partly or not alarming or not lost(patient, case):
            return report
        found = by_running(patient, case) if case.loss_name is None else None
        why = "numbers leave numpy on the way to the loss, as by float(), math. or lists"
        if found is None:
            case.truth, case.doubt = None, f"{why}, so that its derivative is not known"
            return report_on(case, lr)
        case.truth, case.partly = found, True
        case.notes.append(f"{why}: the true gradients are by running the code again, and no line can be searched for")
        return report_on(case, lr)
    except Exception as error:
        return refusals.unchecked(case.parameters, f"the analysis ended with {type(error).__name__}: {error}")


def observe(
    patient: Patient,
    discovered: tuple[Trial, list[Parameter]],
    seed: int,
    loss: Any = None,
    lr: float | None = None,
    labels: dict[str, Any] | None = None,
) -> tuple[Trial, list[Parameter], list[Case]]:
    """Run a training call from a random point, after it was run as it stands, to find what it trains; with other
    `labels` where there are any."""
    first, found = discovered
    if first.error is not None or not found:
        return first, found, []
    trial, again = first, found
    # Nearer to zero where the point is so harsh that outputs are all 0 or 1 up to rounding.
    for size in (1.0, 0.4, 0.1, 0.01, 1e-3):
        values, made = random_point(first, found, seed, size)
        there = run(patient, {**values, **(labels or {})}, made, limit=_end(found) + 40)
        seen = trained(there) if there.error is None else []
        if not seen:
            break
        trial, again = there, seen
        if not is_harsh(there, seen):
            break
    return trial, again, cases(trial, again, loss, lr)


def is_harsh(trial: Trial, found: list[Parameter], step: int = 0) -> bool:
    """Whether a point is one at which nothing can be told: activations that are flat up to rounding, numbers that
    are not finite, logarithms to which a small epsilon matters."""
    tape, depends = trial.tape, dependence(trial.tape, found)
    logs = {i for node in tape.nodes if name_of(node) in ("log", "log2", "log10") for i in node.inputs}
    begin = max((p.versions[step] for p in found if step < len(p.versions)), default=0)
    end = max((p.versions[step + 1] for p in found if step + 1 < len(p.versions)), default=0)
    for node in tape.nodes[begin if step else 0 : end]:
        value = node.value
        if not depends[node.id] or value.dtype.kind != "f" or not value.size:
            continue
        if not np.all(np.isfinite(value)):
            return True
        if _bounded(trial, node) and value.size > 1 and np.mean(np.abs(np.abs(value) - 1) < 1e-12) > 0.3:
            return True
        small = [a for a in node.args if type(a) is float and 0 < abs(a) < 1e-3]
        if node.id in logs and name_of(node) == "add" and small and np.min(np.abs(value)) < 2e4 * abs(small[0]):
            return True
    return False


def _bounded(trial: Trial, node: Node) -> bool:
    """Whether a value is a tanh, or 1 or exp(z) divided by something: at most 1."""
    above = node.args[0] if name_of(node) == "divide" and node.args else None
    if isinstance(above, Ref):
        return name_of(trial.tape[above.id]) == "exp"
    return above is not None or name_of(node) == "tanh"


def discover(patient: Patient) -> tuple[Trial, list[Parameter]]:
    """Run a training call as it stands, or with fewer samples, and find the parameters."""
    for few in FEW:
        patient.shorten(few)
        if not patient.cut:
            break
        trial, found = _discovered(patient)
        if trial.error is None and found:
            return trial, found
    patient.cut = {}  # also where a number of samples is written down somewhere else, say
    return _discovered(patient)


def _discovered(patient: Patient) -> tuple[Trial, list[Parameter]]:
    trial = run(patient, {}, {}, _SOME)
    grown = [path for path, node in trial.finals.items() if path in patient.numbers and trial.tape[node].func]
    if grown:
        patient.promote(grown)
        trial = run(patient, {}, {}, _SOME)
    found = trained(trial) if trial.error is None else []
    numbers = local_numbers(trial) if trial.error is None else {}
    if numbers:
        patient.locals = numbers
        again = run(patient, {}, {}, _SOME)
        more = trained(again) if again.error is None else []
        own = {p.path for p in more} & set(again.names.grown.values())
        patient.locals = {key: path for key, path in numbers.items() if path in own}
        if own and len(more) > len(found):
            trial, found = again, more
    if not found and trial.full:
        trial = run(patient, {}, {}, _MANY)
        found = trained(trial) if trial.error is None else []
    return trial, found


def random_point(
    trial: Trial, found: list[Parameter], seed: int, size: float = 1.0
) -> tuple[dict[str, Any], dict[int, Any]]:
    """Return parameters at which no gradient is right by accident, and zeros for an optimizer's state."""
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {}
    made: dict[int, Any] = {}
    shapes = set()
    for parameter in found:
        shape = trial.tape[parameter.leaf].value.shape
        shapes.add(shape)
        fan = max(shape) if len([n for n in shape if n > 1]) > 1 else 4
        point = rng.uniform(0.25, 1.0, shape) * rng.choice([-1.0, 1.0], shape) * min(1.0, 2.2 / np.sqrt(fan)) * size
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
