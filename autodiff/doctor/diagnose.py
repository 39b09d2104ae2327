"""Diagnose a trained model: a callable with parameters that are Tensors, its loss, its data."""

from __future__ import annotations

import copy
import time
from typing import Any

import numpy as np

from autodiff.doctor.prognosis import Prognosis
from autodiff.engine import first_nonfinite
from autodiff.tensor import Tensor


def diagnose(
    model: Any,
    loss: Any,
    X: Any,
    y: Any,
    history: Any = None,
    *,
    optimizer: Any = None,
    steps: int = 300,
    seeds: int = 20,
    budget: float = 20.0,
) -> Prognosis:
    """Say whether a trained model is better than a constant answer and, where it is not, what stops it.

    Nothing is called ill that is better than the best constant answer. Each named cause is proven: copies of the model
    are trained again, as they are and with only that changed, or the cause is a fact, as a loss that is not finite.

    Parameters
    ----------
    model : callable
        ``model(X)`` gives the predictions; ``model.parameters()`` its parameters, Tensors.
    loss : callable
        ``loss(predictions, y)``, a Tensor.
    X, y : array
    history : object, optional
        What training returned; not needed.
    optimizer : object, optional
        Whose `parameters` are compared with the model's.
    steps, seeds, budget
        How long a copy is trained again, from how many starts, and the seconds for all of it.

    Returns
    -------
    Prognosis

    Raises
    ------
    TypeError
        The model has no parameters.
    """
    del history
    parameters = list(model.parameters()) if hasattr(model, "parameters") else []
    if not parameters or not all(isinstance(p, Tensor) for p in parameters):
        raise TypeError(
            f"diagnose() takes a model whose parameters() are Tensors, got {type(model).__name__}; for hand-written "
            "training write doctor.prognosis(net.train, X, y, epochs)"
        )
    value = loss(model(X), y)
    final = float(value.data)
    constant = _constant(model(X), loss, y)
    if np.isfinite(final) and final < 0.95 * constant:
        return Prognosis(f"It learns: the loss is {final:.4g}; a constant answer has {constant:.4g}.", False)
    result = Prognosis(f"It does not learn: the loss is {final:.4g}, a constant answer has {constant:.4g}.", True)
    _facts(result, model, value, parameters, optimizer)
    if not np.isfinite(final) or result.causes:
        return result
    _experiments(result, model, loss, X, y, constant, steps, seeds, time.monotonic() + budget)
    return result


def _facts(result: Prognosis, model: Any, value: Any, parameters: list[Tensor], optimizer: Any) -> None:
    """What needs no experiment: it is there to be seen."""
    if not np.isfinite(value.data).all():
        bad = first_nonfinite(value)
        made = (
            f"the first such result is that of {bad.op.name}"
            if bad is not None and bad.op
            else "a parameter or the data"
        )
        result.causes.append("not_finite")
        result.evidence.append(f"the loss is not a finite number; {made}")
        return
    kept = [p.grad for p in parameters]
    for p in parameters:
        p.grad = None
    value.backward()
    unreached = sum(p.grad is None for p in parameters)
    for p, old in zip(parameters, kept, strict=True):
        p.grad = old
    if unreached:
        result.causes.append("unreached")
        result.evidence.append(
            f"{unreached} of {len(parameters)} parameters do not reach the loss: it has no gradient by them"
        )
    held = (
        [p for p in getattr(optimizer, "parameters", [])]
        if not callable(getattr(optimizer, "parameters", None))
        else []
    )
    if held:
        ids = [id(p) for p in held]
        missing = sum(id(p) not in ids for p in parameters)
        twice = len(ids) - len(set(ids))
        if missing:
            result.causes.append("not_held")
            result.evidence.append(f"the optimizer does not hold {missing} of {len(parameters)} parameters")
        if twice:
            result.causes.append("held_twice")
            result.evidence.append(f"the optimizer holds {twice} parameters twice")


def _experiments(
    result: Prognosis, model: Any, loss: Any, X: Any, y: Any, constant: float, steps: int, seeds: int, end: float
) -> None:
    """Train copies: from where the model is, at several rates, and from other starts."""
    goal = 0.7 * constant
    data = np.asarray(X, dtype=float)
    spread = data.std(axis=0)
    scaled = (data - data.mean(axis=0)) / np.where(spread == 0, 1, spread)
    trials = {
        "rate_too_low": ("trained on from here", False, X),
        "bad_start": ("with weights drawn around zero", True, X),
        "unscaled_inputs": ("with weights drawn around zero and inputs scaled to mean 0 and variance 1", True, scaled),
    }
    for code, (words, redrawn, inputs) in trials.items():
        learned = tried = 0
        for seed in range(seeds if redrawn else 1):
            if time.monotonic() > end:
                break
            twin = copy.deepcopy(model)
            if redrawn:
                _redraw(twin, np.random.default_rng(seed))
            best = _descend(twin, loss, inputs, y, steps, goal, end)
            tried += 1
            learned += best < goal
        if tried and learned >= 0.8 * tried:
            result.causes.append(code)
            result.evidence.append(f"as it is 0/{tried} learn; {words} {learned}/{tried}")
            return
    result.notes.append("no change that was tried makes it learn within the time given")


def _redraw(model: Any, rng: np.random.Generator) -> None:
    for p in model.parameters():
        shape = p.shape
        p.data = rng.normal(0.0, 1 / np.sqrt(shape[-1]), shape) if len(shape) > 1 else np.zeros(shape)


def _descend(model: Any, loss: Any, X: Any, y: Any, steps: int, goal: float, end: float) -> float:
    """Train a copy by steps whose length follows the gradient's size; return the best loss."""
    parameters = list(model.parameters())
    first = [np.zeros(p.shape) for p in parameters]
    second = [np.zeros(p.shape) for p in parameters]
    best = np.inf
    for t in range(1, steps + 1):
        for p in parameters:
            p.zero_grad()
        value = loss(model(X), y)
        best = min(best, float(value.data))
        if best < goal or time.monotonic() > end:
            break
        value.backward(free_graph=True)
        for i, p in enumerate(parameters):
            g = np.zeros(p.shape) if p.grad is None else p.grad
            first[i] = 0.9 * first[i] + 0.1 * g
            second[i] = 0.99 * second[i] + 0.01 * g * g
            p.data = p.data - 0.05 * (first[i] / (1 - 0.9**t)) / (np.sqrt(second[i] / (1 - 0.99**t)) + 1e-8)
    return best


def _constant(prediction: Any, loss: Any, y: Any) -> float:
    """The loss of the best answer that is the same for all samples, found by descent."""
    data = prediction.data
    shape = (1, *data.shape[1:]) if data.ndim else ()
    answer = np.zeros(shape) + (0.5 if data.size and data.min() >= 0 and data.max() <= 1 else 0.0)
    best, rate = np.inf, 1.0
    kept, slope = answer, np.zeros(shape)
    for _ in range(200):
        c = Tensor(answer, requires_grad=True)
        with np.errstate(all="ignore"):
            value = loss(c + np.zeros(data.shape), y)
        now = float(value.data)
        if not np.isfinite(now) or now > best:
            rate /= 2
            answer = kept - rate * slope
            continue
        best, kept = now, answer
        value.backward()
        slope = np.zeros(shape) if c.grad is None else c.grad
        if np.abs(slope).max(initial=0.0) < 1e-9:
            break
        answer = kept - rate * slope
    return best
