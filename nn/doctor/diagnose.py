"""Say why a model does not learn, and prove it by training it again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from autodiff.doctor.training.answer import Cause, Prognosis
from autodiff.doctor.training.constant import constant
from autodiff.doctor.training.proof import ENOUGH, Change, Laboratory
from autodiff.doctor.training.symptoms import Symptom, gain, layers, symptoms
from autodiff.op import strip
from autodiff.tensor import Tensor
from nn.doctor import data, gradients
from nn.doctor.case import LEARNED, Case, gate, named
from nn.doctor.changes import changes
from nn.doctor.kept import kept, set_mode
from nn.doctor.rerun import Rerun
from nn.doctor.told import Told, told
from nn.doctor.variant import Setting


def diagnose(
    model: Any,
    loss: Callable[[Any, Any], Tensor],
    X: Any,
    y: Any,
    history: Any = None,
    *,
    optimizer: Any = None,
    step: Callable[[], Any] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    seeds: int = 20,
    budget: float = 30.0,
) -> Prognosis:
    """Say whether a trained model is better than a constant answer and, where it is not, what stops it.

    Nothing is called ill that is better than the best constant answer. Each cause is proven: the model is trained again
    from many starts, as it was and with only that changed. Afterwards model and optimizer are as they were.

    Parameters
    ----------
    model : Module or callable
        ``model(X)`` gives the predictions; ``model.parameters()`` its parameters, Tensors.
    loss : callable
        ``loss(predictions, y)``, a Tensor.
    X, y : array_like
        What it was trained on.
    history : History, mapping or list, optional
        What `nn.train.fit` returned; or columns "loss" and "lr", an entry per epoch; or a list of losses. It says for
        how long, at which rates and in which batches to train again.
    optimizer : Optimizer or list of them, optional
        What trained the model. One that is none of `nn.optim` has `param_groups`, `parameters` or `params`, and `lr`.
    step : callable, optional
        Your own training step, called without arguments, to see what it does with gradients that are there already.
    epochs, batch_size : int, optional
        How it was trained, where the history does not say.
    seeds : int
        From how many starts each experiment is run.
    budget : float
        Seconds for all of them together.

    Returns
    -------
    Prognosis

    Raises
    ------
    TypeError
        The model has no parameters that are Tensors.
    """
    parameters = named(model)
    samples, labels = (np.asarray(strip(a)) for a in (X, y))
    dtype = next(iter(parameters.values())).dtype
    samples = samples.astype(dtype)
    labels = labels.astype(dtype) if labels.dtype.kind == "f" else labels
    end = time.monotonic() + budget
    with kept(model, list(parameters.values())), np.errstate(all="ignore"):
        case = Case(model, loss, samples, labels, parameters, [p.grad for p in parameters.values()])
        answer = gate(case)
        if not answer.ill or answer.findings:
            return answer
        how = told(list(parameters.values()), len(case.X), history, optimizer, epochs, batch_size)
        case.adding = gradients.accumulates(step, list(parameters.values()), optimizer)
        _explain(answer, case, how, optimizer, seeds, end)
        return answer


def _explain(answer: Prognosis, case: Case, how: Told, optimizer: Any, seeds: int, end: float) -> None:
    """Look at the model, then run the experiments."""
    set_mode(case.model, False)
    value = case.value()
    finite = bool(np.isfinite(strip(value)))
    weights = {layer.weight for layer in layers(value, case.parameters)}
    if finite and all(np.isfinite(p.data).all() for p in case.parameters.values()):
        case.present = symptoms(value, case.parameters)
    else:
        case.present = [Symptom("not_finite", gradients.origin(value, case.X, case.y))]
    cut, unused = gradients.unreached(case.loss, case.model, case.parameters, case.X, case.labels)
    if unused:
        answer.notes.append(f"the loss does not depend on {gradients.listed(unused)}")
    cuts = [case.parameters[name] for name in cut]
    rerun = Rerun(case.model, case.loss, case.X, case.y, case.parameters, weights, how, gain(value), cuts)
    rerun.prediction_shape = case.prediction.shape
    rerun.goal = LEARNED * case.constant
    kinds = data.classes(case.labels)
    if kinds is not None and data.rare(kinds):
        rerun.even = data.evened(kinds)
        rerun.even_goal = LEARNED * constant(case.prediction[rerun.even], case.loss, case.labels[rerun.even])
    piled = ""
    if not case.adding and finite and not case.unlike:
        piled = gradients.piled_up(rerun.value, list(case.parameters.values()), case.grads, optimizer, case.X, case.y)
    offered, written = changes(case, how, cut, piled)
    lab = Laboratory(rerun.learns, seeds, end)
    if not finite and data.finite_rows(case.X, case.y).all():
        found = rerun.breaking(replace(written, start="fresh"), time.monotonic() + 0.1 * lab.left)
        if found is not None:
            where = f"trained again from fresh weights, in step {found[0]}, "
            case.present = [Symptom("not_finite", where + gradients.origin(found[1], case.X, case.y))]
    _experiment(answer, case, rerun, lab, written, offered)
    answer.notes += how.notes
    answer.notes += lab.hints
    if lab.short:
        answer.notes.append("the time did not allow for all starts of all experiments; budget= gives more seconds")


def _experiment(
    answer: Prognosis,
    case: Case,
    rerun: Rerun,
    lab: Laboratory[Setting],
    written: Setting,
    offered: list[Change[Setting]],
) -> None:
    """First from weights like those that are there, then from fresh ones, then with what else may be changed."""
    fresh = replace(written, start="fresh")
    words = "with weights drawn around zero"
    here = lab.count(written, 0.1)
    anew = lab.count(fresh, 0.15 if lab.hurried else 0.3)
    if not anew.tried:
        return
    twins = [s for s in case.present if s.code in ("zero_init", "symmetric_init")]
    seen = (case.present or [Symptom("bad_start", "training does not come away from weights like these")])[0]
    if anew.helps(here):
        answer.findings.append(Cause(seen.code, seen.seen, f"as written {here} learn; {words} {anew}"))
        if seen.code == "not_finite":
            answer.notes.append("if the loop is your own, pass step= to see whether it forgets zero_grad()")
        return
    if here.tried and here.share >= ENOUGH:
        answer.notes.append(
            f"trained again as written from weights like these, {here} learn: it was trained for less, or unluckily"
        )
        return
    if anew.share >= ENOUGH and not twins:
        answer.notes.append(f"as written {here} learn, from fresh weights {anew}: this run was unlucky")
        return
    base, begin = anew, fresh
    if twins:
        base, begin = here, written
        offered = [Change(seen.code, words, lambda s: replace(s, start="fresh"), seen.seen), *offered]
    elif here.tried:
        offered = [*offered, *_of_symptoms(case, rerun)]
    answer.findings += lab.prove(begin, base, offered)
    if not answer.findings:
        answer.notes.append(
            f"as written {base} learn; no single change and no two of those tried make it learn in the time given"
        )
    elif seen.code == "not_finite" and "not_finite" not in answer.causes:
        answer.findings.insert(0, Cause(*seen, answer.findings[0].proof))


def _of_symptoms(case: Case, rerun: Rerun) -> list[Change[Setting]]:
    """What helps against gradients that vanish or explode even from fresh weights."""
    rerun.begin("fresh", np.random.default_rng(0))
    seen = {s.code: s for s in [*case.present, *symptoms(case.value(), rerun.parameters)]}
    found: list[Change[Setting]] = []
    if "vanishing" in seen:
        words = "with gradients of one size in every layer"
        found.append(Change("vanishing", words, lambda s: replace(s, level="layers"), seen["vanishing"].seen))
    if "exploding" in seen:
        words = "with gradients clipped to norm 1"
        found.append(Change("exploding", words, lambda s: replace(s, level="clip"), seen["exploding"].seen))
    return found
