"""When the gradient is right and it still does not learn: causes, each proven by training again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.doctor import refusals
from autodiff.doctor.case import Case
from autodiff.doctor.claims import claims
from autodiff.doctor.examine import discover, examine
from autodiff.doctor.patient import Patient
from autodiff.doctor.scale import scales
from autodiff.doctor.steps import cases
from autodiff.doctor.training.answer import Cause, Prognosis
from autodiff.doctor.training.baseline import best_constant, labels_of
from autodiff.doctor.training.feeds import Feeds, feeds
from autodiff.doctor.training.offers import bare, offers
from autodiff.doctor.training.owncode import OwnCode
from autodiff.doctor.training.proof import Laboratory
from autodiff.doctor.training.recorded import Recorded, Setting
from autodiff.doctor.training.starts import Values
from autodiff.doctor.training.symptoms import Layer, Symptom, gain, layers, symptoms
from autodiff.doctor.trial import Trial
from autodiff.doctor.trial import run as record
from autodiff.doctor.updates import Parameter, dependence, trained

#: A training is ill whose loss is at least this part of a constant answer's, and has learned below that part.
ILL, LEARNED = 0.95, 0.5
#: What a replay on Tensors raises where the engine cannot follow.
_UNTRACEABLE = (TypeError, ValueError, NotImplementedError, RuntimeError, AttributeError)


def prognosis(
    function: Callable[..., Any],
    *args: Any,
    epochs: int | None = None,
    seeds: int = 20,
    budget: float = 60.0,
    loss: str | None = None,
    lr: float | None = None,
    **kwargs: Any,
) -> Prognosis:
    """Say whether a hand-written training learns and, where it does not, what stops it.

    The first steps of the call are recorded, and trained on from `seeds` starts as they are written and with one
    thing changed. Where a recorded step is not the whole of it, as with momentum, their own code is run instead.
    Everything that the call can reach is as it was afterwards.

    Parameters
    ----------
    function : callable
        Their training function or method; `*args`, `**kwargs` what it is called with.
    epochs : int, optional
        How many epochs to train; the largest whole number among the arguments unless given.
    seeds : int
        How many starts.
    budget : float
        Seconds for all experiments together.
    loss, lr
        As for `examine`.

    Returns
    -------
    Prognosis

    Raises
    ------
    TypeError
        As for `examine`.
    """
    refusals.check(function, args, kwargs)
    with np.errstate(all="ignore"):
        return _prognosis(function, args, kwargs, epochs, seeds, budget, loss, lr)


def _prognosis(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    epochs: int | None,
    seeds: int,
    budget: float,
    loss: str | None,
    lr: float | None,
) -> Prognosis:
    end = time.monotonic() + budget
    numbers = [a for a in (*args, *kwargs.values()) if isinstance(a, int) and not isinstance(a, bool)]
    patient = Patient(function, args, kwargs)
    trial, found = discover(patient)
    if trial.error is not None or not found:
        summary = refusals.nothing_to_check(patient, trial, found).summary
        return Prognosis(summary, trial.error is not None)
    run = _elsewhere(patient, trial, found, loss, lr) or cases(trial, found, loss, lr)
    case = run[0]
    if case.truth is None:
        return Prognosis(f"The training could not be judged: {case.doubt}.", False)
    report = examine(function, *args, loss=loss, lr=lr, **kwargs)
    recorded = _recorded(trial, found, run, lr)
    recorded.epochs = epochs or max(numbers, default=1000)
    constant = best_constant(recorded)
    if constant is None:
        return Prognosis("The training could not be judged: its output and labels were not found.", False)
    recorded.goal = LEARNED * constant
    notes = []
    learner: Recorded | OwnCode = recorded
    if not _faithful(run):
        own = OwnCode(patient, found, recorded)
        if own.possible:
            learner = own
            notes.append("a recorded step is not all that its update depends on: their own code was run each time")
        else:
            notes.append(
                "a recorded step is not all that its update depends on, as with momentum: it was trained by plain "
                "gradient descent instead"
            )
    values, error = _trained(learner, end)
    final = np.inf if values is None else recorded.loss(values, Setting())
    held = np.inf if values is None else recorded.loss(values, Setting(bounded=True))
    told = f"{final:.4g}" if np.isfinite(final) else "no finite number"
    if values is not None and held < ILL * constant:
        text = f"It learns: after {recorded.epochs} epochs the loss is {told}; a constant answer has {constant:.4g}."
        notes += [] if report.ok else [f"its gradients are not right, though: {report.summary}"]
        return Prognosis(text, False, notes=notes)
    if values is None and not error:
        return Prognosis("The time did not allow for one training; budget= gives more seconds.", False, notes=notes)
    result = Prognosis(f"It does not learn: it ends on a loss of {told}; a constant answer has {constant:.4g}.", True)
    if error:
        result.summary = f"It does not train: its update raises {error}."
    _explain(result, recorded, learner, report.ok, Laboratory(learner.learns, seeds, end))
    result.notes += notes
    return result


def _elsewhere(
    patient: Patient, trial: Trial, found: list[Parameter], loss: str | None, lr: float | None
) -> list[Case]:
    """Record the steps at a random point: where all weights are zero, or all units dead, nothing can be told apart."""
    rng = np.random.default_rng(0)
    points = {p.path: rng.normal(0.0, 0.5, trial.tape[p.leaf].value.shape) for p in found}
    values = {p.path: points[p.path] for p in found if p.made is None}
    made = {p.made: points[p.path] for p in found if p.made is not None}
    there = record(patient, values, made, len(trial.tape) + 40)
    again = trained(there) if there.error is None else []
    steps = cases(there, again, loss, lr) if {p.path for p in again} == set(points) else []
    return steps if steps and steps[0].truth is not None else []


def _trained(learner: Recorded | OwnCode, end: float) -> tuple[Values | None, str]:
    """Return the parameters after their own training, from where it begins, or what it raises."""
    try:
        return learner.trained(Setting(start="own"), 0, end), ""
    except ValueError as error:
        return None, f"{type(error).__name__}: {error}"


def _explain(
    result: Prognosis, recorded: Recorded, learner: Recorded | OwnCode, right: bool, lab: Laboratory[Setting]
) -> None:
    written = Setting()
    broken = _broken(recorded, learner)
    offered = offers(recorded, right, _seen(recorded), broken, learner is recorded)
    base = lab.count(written, 0.35)
    if base.tried:
        result.findings += lab.prove(written, base, offered)
    if broken and result.findings and "not_finite" not in result.causes:
        result.findings.insert(0, Cause("not_finite", broken, result.findings[0].proof))
    if base.tried and not result.findings:
        result.notes.append(
            f"as written {base} learn; no single change and no two of those tried make it learn in the time given"
        )
    result.notes += lab.hints
    if lab.short:
        result.notes.append("the time did not allow for all starts of all experiments; budget= gives more seconds")


def _recorded(trial: Trial, found: list[Parameter], run: list[Case], lr: float | None) -> Recorded:
    """Make the first step of a run one that can be taken again."""
    case = run[0]
    case.labels = labels_of(case)
    parts: list[Layer] = []
    scale = 1.0
    try:
        value, tensors = Recorded(case, [1.0], None, {}).loss_of(
            {p: case.tape[v].value for p, v in case.versions.items()}
        )
        parts, scale = layers(value, tensors), gain(value)
    except _UNTRACEABLE:
        pass
    data = feeds(case, parts[0].samples if parts else 0)
    made = Recorded(case, _rates(trial, found, run, lr, data), data, bare(case))
    made.present = {p.path: trial.tape[p.leaf].value.copy() for p in found}
    made.weights = {layer.weight for layer in parts}
    made.gain = scale
    return made


def _seen(recorded: Recorded) -> list[Symptom]:
    """What is to be seen at the start."""
    try:
        value, tensors = recorded.loss_of(recorded.present)
        return symptoms(value, tensors) if np.isfinite(value.data).all() else []
    except _UNTRACEABLE:
        return []


def _broken(recorded: Recorded, learner: Recorded | OwnCode) -> str:
    """Say where their training leaves the finite numbers; empty where it does not."""
    if learner is not recorded:
        return ""
    low, high, whole = 0, recorded.epochs, recorded.epochs

    def after(epochs: int) -> Values | None:
        """The parameters after so many epochs; None where they are not finite."""
        recorded.epochs = epochs
        values, _ = _trained(recorded, np.inf)
        recorded.epochs = whole
        return values if values is None or all(np.isfinite(v).all() for v in values.values()) else None

    final, error = _trained(recorded, np.inf)
    if error or final is None:
        return ""
    if after(high) is not None:
        return "" if np.isfinite(recorded.loss(final, Setting())) else _first(recorded, final, "at the end")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if after(middle) is not None else (low, middle)
    return _first(recorded, after(low) or recorded.present, f"in epoch {high}")


def _first(recorded: Recorded, values: Values, when: str) -> str:
    """Name the first call of a step whose result is not finite."""
    node = recorded.first_bad(values)
    if node is None or not node.lines:
        return f"{when} the parameters are not finite any more: an update went too far"
    name, line = getattr(node.func, "__name__", "a call"), node.lines[0]
    given = ", ".join(f"{np.min(x):.4g} to {np.max(x):.4g}" for x in node.args if np.size(x))
    return f"{when} the first result that is not finite is {name} of {given}, on line {line.number}: {line.text}"


def _faithful(run: list[Case]) -> bool:
    """Whether the next parameters are the present ones minus a multiple of the gradient that was recorded, each time.

    With momentum that holds for the first step alone.
    """
    for case in run:
        for parameter in case.parameters:
            claim, versions = case.claims.get(parameter.path), parameter.versions[case.step : case.step + 2]
            if claim is None or len(versions) < 2:
                continue
            if claim.state or claim.normalised:
                return False
            before, after = (case.tape[v].value for v in versions)
            moved = before + claim.sign * claim.factor * case.tape[claim.node].value
            if moved.shape == after.shape and not np.allclose(moved, after, rtol=1e-6, atol=1e-9):
                return False
    return True


def _rates(trial: Trial, found: list[Parameter], run: list[Case], lr: float | None, data: Feeds | None) -> list[float]:
    """The learning rates of the first epochs, by how the factor of one update changes."""
    first = _rate(run[0], lr)
    steps = 1 if data is None else data.steps
    path = next(iter(run[0].claims))
    start = run[0].claims[path].factor
    everything = claims(trial, found, dependence(trial.tape, found))
    factors = {c.step // steps: c.factor for c in everything if c.parameter.path == path and c.step % steps == 0}
    ordered = [factors[epoch] for epoch in range(len(factors)) if epoch in factors]
    return [first * abs(f / start) for f in ordered[:3]] if start and ordered else [first]


def _rate(case: Case, lr: float | None) -> float:
    """The learning rate of a step: what its numbers say besides counts of samples."""
    if lr is not None:
        return lr
    found = scales(case)
    rates = [s.rate for s in found.values() if s.proportional and s.off and abs(s.off - 1) < 1e-4 and s.rate > 0]
    if rates:
        return rates[0]
    return float(max((abs(c.factor) for c in case.claims.values()), default=1.0)) or 1.0
