"""The steps of a run: for each, its loss found and differentiated."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.doctor import losses, truth
from autodiff.doctor.case import Case
from autodiff.doctor.claims import claims, mask_of
from autodiff.doctor.scale import scales
from autodiff.doctor.trial import Trial
from autodiff.doctor.truth import Truth, Untraceable
from autodiff.doctor.updates import Parameter, dependence


def cases(trial: Trial, found: list[Parameter], loss: Any = None, lr: float | None = None) -> list[Case]:
    """Return the steps of a run, each with its loss found and differentiated."""
    depends = dependence(trial.tape, found)
    everything = claims(trial, found, depends)
    steps = max((len(p.paths) for p in found), default=0)
    made = []
    for step in range(min(steps, 3)):
        versions = {p.path: p.versions[step] for p in found if step < len(p.paths)}
        mask = mask_of(found, step, depends)
        mine = {c.parameter.path: c for c in everything if c.step == step}
        case = Case(trial, found, step, mask, depends, versions, mine)
        _differentiate(case, loss, lr)
        made.append(case)
    return made


def _agreement(case: Case, lr: float | None) -> float:
    """How many claims are proportional to the truth, and as a half how many are equal to it."""
    found = scales(case, lr).values()
    right = float(sum(s.proportional and bool(s.k) for s in found))
    bare = not any(c.scalars for c in case.claims.values())
    right += 0.1 * (bare and all(abs(s.rate - 1) < 1e-6 for s in found))  # a step without a rate
    return right + 0.5 * sum(s.off == 1.0 for s in found) / max(len(found), 1)


def _differentiate(case: Case, wanted: Any, lr: float | None) -> None:
    tape, mask, depends = case.tape, case.mask, case.depends
    stop = {v for p in case.parameters for v in p.versions}
    used = tape.ancestors([c.moved for c in case.claims.values()], stop=stop)
    where = losses.outputs_and_labels(case.trial, case.parameters, mask, depends)
    if where:
        case.output, case.labels = where[0]
        case.pairs = where
    options: list[tuple[int, str | None]] = []
    if not isinstance(wanted, str) or wanted not in losses.NAMED:
        options = [(id, None) for id in losses.on_tape(case.trial, mask, depends, used, stop)]
        if isinstance(wanted, str):
            named = {b.node for b in case.trial.names.bindings if b.name == wanted}
            options = [(id, name) for id, name in options if id in named] or options
        extra = losses.summed(case.trial, losses.tops(case.trial, mask, depends, used | stop))
        depends += [mask] * (len(tape) - len(depends))
        options = [*extra, *options]
    measures = bool(options) and all(losses.is_measure(case.trial, id, mask, depends) for id, _ in options)
    doubtful = all(id in used for id, _ in options)
    if where and (doubtful or measures):
        kinds = [wanted] if wanted in losses.NAMED else ["bce", "cross_entropy", "half_mse", "mse"]
        made = losses.implied(case.trial, where, kinds)
        full = depends[where[0][0]]
        depends += [full] * (len(tape) - len(depends))
        options = [(id, name) for id, name in made] + options
    if wanted in losses.NAMED:
        # Labels that are no arrays cannot be put into that loss, but their own number may be it.
        told = f"code's own number, taken for the {wanted} up to a factor"
        options += [(id, told) for id in losses.on_tape(case.trial, mask, depends, used, stop) if id not in used]
    best: tuple[float, Truth, str | None] | None = None
    problem = None
    for position, (id, name) in enumerate(options[:16]):
        try:
            found = truth.differentiate(tape, id, stop, depends)
        except Untraceable as error:
            problem = problem or (str(error), id, name)
            continue
        case.truth = found
        # Their own number is the loss unless another explains more of the gradients.
        score = _agreement(case, lr) - 0.01 * position + 0.7 * (name is None)
        if not any(np.any(found.adjoint.get(v, 0)) for v in case.versions.values()):
            continue
        if best is None or score > best[0]:
            best = score, found, name
    case.truth = None
    if best is not None:
        _, case.truth, case.loss_name = best
        _distrust(case)
    elif problem is not None:
        message, id, name = problem
        size = sum(tape[v].value.size for v in case.versions.values())
        if size <= 3000:
            case.truth, case.loss_name, case.partly = (
                truth.by_differences(tape, id, set(case.versions.values())),
                name,
                True,
            )
            case.notes.append(
                f"{message}; the true gradients are therefore by differences, and no line can be searched for"
            )
        else:
            case.doubt = message
    else:
        case.doubt = "no loss was found: no single number that is computed from the parameters is on the tape"


def _distrust(case: Case) -> None:
    """Check the engine's gradient against differences along a random direction."""
    assert case.truth is not None
    rng = np.random.default_rng(0)
    start = {v: case.tape[v].value for v in case.versions.values()}
    along = {v: rng.normal(size=np.shape(value)) for v, value in start.items()}
    expected = sum(float(np.sum(case.truth.adjoint[v] * along[v])) for v in start if v in case.truth.adjoint)
    with np.errstate(all="ignore"):
        for step in (1e-5, 1e-7):
            try:
                got = truth.slope_along(case.tape, case.truth.loss, start, along, step)
            except Exception:
                return
            scale = max(abs(expected), abs(got), 1e-9)
            if abs(got - expected) <= 1e-3 * scale:
                return
    case.notes.append(
        "differences of the loss along a random direction disagree with its derivative here: the point lies on a kink, "
        "or a value was taken out of the computation (float(), math.)"
    )
    case.partly = True
