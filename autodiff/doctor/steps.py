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
from autodiff.doctor.updates import Parameter, dependence, own_nodes, short


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
        case.memo["apart"] = {p.path: UNREAD for p in found if step < len(p.paths) and _is_unread(case, p)}
        _differentiate(case, loss, lr)
        made.append(case)
    return made


_USUAL = {loss.__name__ for kind in losses.NAMED.values() for loss in kind}
#: Why a parameter was not checked.
UNREAD = "its update could not be taken apart"


def _is_unread(case: Case, parameter: Parameter) -> bool:
    """Whether an update was computed from the parameters, but how could not be seen."""
    if parameter.path in case.claims:
        return False
    stop = {v for p in case.parameters for v in p.versions}
    update = parameter.versions[case.step + 1]
    before = case.tape.ancestors(case.tape[update].inputs, stop=stop) - stop
    return any(case.depends[i] & case.mask & ~case.depends[parameter.versions[case.step]] for i in before)


def _agreement(case: Case, lr: float | None) -> float:
    """How many claims are proportional to the truth, and as a half how many are equal to it."""
    compared = scales(case, lr)
    # Two single numbers are always proportional, which says nothing.
    sized = [s for path, s in compared.items() if np.size(case.true_gradient(path)) > 1]
    found = sized or list(compared.values())
    right = float(sum(s.proportional and bool(s.k) for s in found))
    bare = not any(c.scalars for c in case.claims.values())
    right += 0.1 * (bare and all(abs(s.rate - 1) < 1e-6 for s in found))  # a step without a rate
    return right + 0.5 * sum(s.off == 1.0 for s in found) / max(len(found), 1)


def _differentiate(case: Case, wanted: Any, lr: float | None) -> None:
    tape, mask, depends = case.tape, case.mask, case.depends
    stop = {v for p in case.parameters for v in p.versions}
    used = tape.ancestors([c.moved for c in case.claims.values()], stop=stop)
    norms = tape.descendants([c.node for c in case.claims.values()], stop=stop)
    where = losses.outputs_and_labels(case.trial, case.parameters, mask, depends, used)
    if where:
        case.output, case.labels = where[0]
        case.pairs = where
    own = own_nodes(tape, case.parameters)
    if any(id not in used | norms for id in losses.on_tape(case.trial, mask, depends, used | norms, own)):
        used |= norms  # what is computed of a gradient, as its norm, is no loss where there is another number
    kinds = [wanted] if wanted in losses.NAMED else ["bce", "cross_entropy", "half_mse", "mse"]
    options: list[tuple[int, str | None]] = []
    if wanted not in losses.NAMED:
        options = [(id, None) for id in losses.on_tape(case.trial, mask, depends, used, own)]
        if isinstance(wanted, str):
            named = {b.node for b in case.trial.names.bindings if b.name == wanted}
            options = [(id, name) for id, name in options if id in named] or options
            if not named:
                case.notes.append(f"no variable is called {wanted}, and no loss: there are {', '.join(losses.NAMED)}")
        options = _of_output(case, options)
        extra = losses.summed(case.trial, losses.tops(case.trial, mask, depends, used | own))
        rising = losses.turned(case.trial, [id for id, _ in options[:8] if id not in used])
        depends += [mask] * (len(tape) - len(depends))
        options = [pair for pair in options if not losses.is_likelihood(case.trial, pair[0])]
        options = [*extra, *options, *((id, None) for id in rising)]
    measures = bool(options) and all(losses.is_measure(case.trial, id, mask, depends) for id, _ in options)
    doubtful = all(id in used for id, _ in options)
    if doubtful or measures:
        options = options[:4] + _implied(case, kinds)
    if wanted in losses.NAMED:
        # Labels that are no arrays cannot be put into that loss, but their own number may be it.
        told = f"code's own number, taken for the {wanted} up to a factor"
        options += [(id, told) for id in losses.on_tape(case.trial, mask, depends, used | own, own)]
    best, problem = _best(case, options, used, lr)
    if best is not None and best[0] < 1 and case.output is not None and case.output not in best[1].forward:
        # Some number that is not of this forward pass: does a usual loss explain more?
        other, _ = _best(case, _implied(case, kinds), used, lr)
        best = other if other is not None and other[0] >= 1 else best
    if best is None or (best[2] in _USUAL and best[0] < 1 and wanted not in losses.NAMED):
        # Nothing explains anything: the loss itself may have been taken for a gradient, or for the output.
        misused = losses.misused(case.trial, mask, depends, used, case.output, own)
        misused = misused or losses.misused(case.trial, mask, depends, used, None, own)
        other, _ = _best(case, [(id, None) for id in misused], used - set(misused), lr)
        best = other or best
    case.truth = None
    if best is not None and best[2] in _USUAL and best[0] < 1 and wanted not in losses.NAMED:
        case.doubt = "no loss is computed, and none of the usual ones explains a single gradient"
    elif best is not None:
        _, case.truth, case.loss_name = best
        _distrust(case)
        _set_apart(case, lr)
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
        case.doubt = "no loss was found: no single number is computed from the parameters beside the updates themselves"
        infinite = [n for n in case.trial.leaves if not np.all(np.isfinite(case.tape[n].value))]
        if infinite:
            names = ", ".join(short(case.trial.leaves[n]) for n in infinite[:3])
            case.doubt = f"not all numbers in {names} are finite, and so the loss is not"


def _of_output(case: Case, options: list[tuple[int, str | None]]) -> list[tuple[int, str | None]]:
    """Leave out numbers that are not computed from the output, as a single weight that is read, if others are."""
    if case.output is None:
        return options
    stop = {v for p in case.parameters for v in p.versions}
    outputs = {output for output, _ in case.pairs}
    judged = [(id, name) for id, name in options[:60] if outputs & case.tape.ancestors([id], stop=stop)]
    return judged or options


def _implied(case: Case, kinds: list[str]) -> list[tuple[int, str | None]]:
    """The usual losses of output and labels, for code that computes none."""
    if not case.pairs:
        return []
    made = losses.implied(case.trial, case.pairs, kinds)
    full = case.depends[case.pairs[0][0]]
    case.depends += [full] * (len(case.tape) - len(case.depends))
    return list(made)


def _best(
    case: Case, options: list[tuple[int, str | None]], used: set[int], lr: float | None
) -> tuple[tuple[float, Truth, str | None] | None, tuple[str, int, str | None] | None]:
    """Return the loss that explains most of the gradients, and the first one that cannot be differentiated, if any."""
    stop = {v for p in case.parameters for v in p.versions}
    best: tuple[float, Truth, str | None] | None = None
    problem = None
    for position, (id, name) in enumerate(options[:20]):
        try:
            found = truth.differentiate(case.tape, id, stop, case.depends)
        except Untraceable as error:
            problem = problem or (str(error), id, name)
            continue
        case.truth = found
        if not any(np.any(found.adjoint.get(v, 0)) for v in case.versions.values()):
            continue
        agreement = _agreement(case, lr)
        judged = case.labels is not None and case.labels in found.forward
        misused = any(id in (c.node, c.moved) and np.size(case.true_gradient(p)) > 1 for p, c in case.claims.items())
        if id in used and not ((agreement >= 1 or misused) and judged):
            continue  # a part of an update that happens to be a number
        # Their own number is the loss unless another explains more of the gradients.
        single = case.output is not None and case.tape[case.output].value.size == 1
        own = name is None and agreement >= 1 and not (id in used and single)  # p − y is a number too then
        score = agreement - 0.01 * position + 0.7 * own
        if best is None or score > best[0]:
            best = score, found, name
    case.truth = None
    return best, problem


def _set_apart(case: Case, lr: float | None) -> None:
    """Judge a gradient that shares no forward pass with the loss by the number with which it does, as where two nets
    are trained against each other."""
    assert case.truth is not None
    tape, depends = case.tape, case.depends
    stop = {v for p in case.parameters for v in p.versions}
    every = 0
    for bits in depends:
        every |= bits
    strange: dict[str, set[int]] = {}
    for path, s in scales(case, lr).items():
        live = {i for i in tape.ancestors([case.claims[path].moved], stop=stop) - stop if depends[i]}
        if not s.proportional and live and not live & case.truth.forward:
            strange[path] = live
    others = losses.tops(case.trial, every, depends, stop) if 0 < len(strange) < len(case.claims) else []
    others = [id for id in others if id not in case.truth.forward]
    for path, live in strange.items():
        for id in others:
            if id in live or not live & tape.ancestors([id], stop=stop):
                continue
            try:
                other = truth.differentiate(tape, id, stop, depends)
            except Untraceable:
                case.memo["apart"][path] = "it seems to belong to another loss"
                del case.claims[path]
                break
            if np.any(other.adjoint.get(case.versions[path], 0)):
                own = {
                    v: g for v, g in other.adjoint.items() if v == case.versions[path] or v not in case.truth.adjoint
                }
                case.truth.adjoint.update(own)
                case.truth.parts += other.parts
                case.truth.forward |= other.forward
                case.memo["several"] = True
                line = tape[id].lines[0].number if tape[id].lines else "?"
                case.notes.append(f"{path.removeprefix('self.')} is judged by the number of line {line}")
                break


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
