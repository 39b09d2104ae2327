"""When the gradient is right and it still does not learn: causes, each proven by training again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html import escape
from itertools import combinations
from typing import Any

import numpy as np

from autodiff.doctor import refusals
from autodiff.doctor.case import Case
from autodiff.doctor.examine import discover, examine
from autodiff.doctor.experiment import Outcome, Setting, attempt, centred, descend, like
from autodiff.doctor.patient import Patient
from autodiff.doctor.program import Program
from autodiff.doctor.scale import scales
from autodiff.doctor.steps import cases


@dataclass
class Prognosis:
    """Whether a training learns, and what stops it. ``print(prognosis)``, `html()`, `to_dict()`.

    Attributes
    ----------
    summary : str
    ill : bool
        Whether it ends no better than a constant answer.
    causes : list of str
        The codes of the proven causes.
    evidence : list of str
        For each, "as written 0/20 learn; with this change 20/20".
    notes : list of str
    """

    summary: str
    ill: bool
    causes: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the prognosis as plain values, fit for JSON."""
        return {
            "summary": self.summary,
            "ill": self.ill,
            "causes": list(self.causes),
            "evidence": list(self.evidence),
            "notes": list(self.notes),
        }

    def html(self) -> str:
        """Return the prognosis as a piece of HTML."""
        items = "".join(f"<li>{escape(text)}</li>" for text in [*self.evidence, *self.notes])
        return f"<div class='doctor'><p><strong>{escape(self.summary)}</strong></p><ul>{items}</ul></div>"

    def _repr_html_(self) -> str:
        return self.html()

    def __str__(self) -> str:
        return "\n".join([self.summary, *(f"  {text}" for text in self.evidence), *(f"  ({n})" for n in self.notes)])


#: What each change is called in a sentence.
WORDS = {
    "gradient_wrong": "with the true gradient in place of theirs",
    "rate_decays": "with the learning rate held at its first value",
    "rate_too_low": "with {factor:g} times the learning rate",
    "rate_too_high": "with a learning rate {factor:g} times smaller",
    "bad_start": "with weights drawn around zero",
    "no_bias": "with a bias in every layer",
    "unscaled_inputs": "with inputs scaled to mean 0 and variance 1",
}


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
    thing changed.

    Parameters
    ----------
    function : callable
        Their training function or method; `*args`, `**kwargs` what it is called with, for full batches.
    epochs : int, optional
        How many steps to train; the largest whole number among the arguments unless given.
    seeds : int
        How many starts.
    budget : float
        Seconds for all experiments together.

    Returns
    -------
    Prognosis

    Raises
    ------
    TypeError
        As for `examine`.
    """
    refusals.check(function, args, kwargs)
    end = time.monotonic() + budget
    numbers = [a for a in (*args, *kwargs.values()) if isinstance(a, int) and not isinstance(a, bool)]
    steps = epochs or max(numbers, default=1000)
    patient = Patient(function, args, kwargs)
    trial, found = discover(patient)
    if trial.error is not None or not found:
        return Prognosis(refusals.nothing_to_check(patient, trial, found).summary, True)
    run = cases(trial, found, loss, lr)
    case = run[0]
    if case.truth is None:
        return Prognosis(f"The training could not be judged: {case.doubt}.", False)
    constant = _constant(case)
    if constant is None:
        return Prognosis("The training could not be judged: its output and labels were not found.", False)
    report = examine(function, *args, loss=loss, lr=lr, **kwargs)
    rates = _rates(run, lr)
    program = Program(case, rates[0])
    written, offers = _settings(case, program, rates, report.ok, run)
    goal = 0.5 * constant
    own = descend(replace(written, start=_present(case)), steps, goal, 0, end)
    if own is not None and own < 0.95 * constant:
        text = f"It learns: after {steps} steps the loss is {own:.4g}; a constant answer has {constant:.4g}."
        notes = [] if report.ok else [f"Its gradients are not right, though: {report.summary}"]
        return Prognosis(text, False, notes=notes)
    return _explain(written, offers, steps, goal, constant, seeds, end, own)


def _explain(
    written: Setting,
    offers: dict[str, tuple[str, Callable[[Setting], Setting]]],
    steps: int,
    goal: float,
    constant: float,
    seeds: int,
    end: float,
    own: float | None,
) -> Prognosis:
    begin = time.monotonic()
    base = attempt(written, steps, goal, seeds, begin + 0.25 * (end - begin))
    ended = "no finite loss" if own is None or not np.isfinite(own) else f"a loss of {own:.4g}"
    result = Prognosis(f"It does not learn: it ends on {ended}, where a constant answer has {constant:.4g}.", True)
    tried: dict[tuple[str, ...], Outcome] = {}
    for size in (1, 2):
        for codes in combinations(offers, size):
            if size == 2 and codes[0].split("*")[0] == codes[1].split("*")[0]:
                continue
            setting = written
            for code in codes:
                setting = offers[code][1](setting)
            left = max(end - time.monotonic(), 0.0)
            first = attempt(setting, steps, goal, min(3, seeds), time.monotonic() + 0.3 * left)
            if first.learned * 2 <= first.tried:
                tried[codes] = first
                continue
            full = attempt(setting, steps, goal, seeds, time.monotonic() + 0.5 * left)
            tried[codes] = full
            if full.share >= 0.8 and full.share >= base.share + 0.4:
                words = " and ".join(offers[code][0] for code in codes)
                result.causes += [code.split("*")[0] for code in codes]
                result.evidence.append(f"as written {base}; {words} {full}")
        if result.causes:
            break
    result.causes = list(dict.fromkeys(result.causes))
    if not result.causes:
        result.notes.append("no single change and no two of those tried make it learn within the time given")
    if base.tried < seeds:
        result.notes.append(f"the time allowed {base.tried} of {seeds} starts as written; budget= gives more")
    return result


def _settings(
    case: Case, program: Program, rates: list[float], right: bool, run: list[Case]
) -> tuple[Setting, dict[str, tuple[str, Callable[[Setting], Setting]]]]:
    """Return how it is trained as written, and what may be changed."""
    present = {p: case.tape[v].value for p, v in case.versions.items()}
    decays = len(rates) >= 3 and rates[2] < 0.9 * rates[0]
    harmonic = decays and np.allclose([r * (i + 1) for i, r in enumerate(rates)], rates[0], rtol=1e-3)
    ratio = rates[1] / rates[0] if len(rates) > 1 else 1.0
    rate = (
        (lambda t: rates[0] / (t + 1))
        if harmonic
        else (lambda t: rates[0] * ratio**t)
        if decays
        else lambda t: rates[0]
    )
    written = Setting(program.theirs, rate, like(present))
    offers: dict[str, tuple[str, Callable[[Setting], Setting]]] = {}

    def offer(code: str, change: Callable[[Setting], Setting], **words: Any) -> None:
        offers[code] = (WORDS[code.split("*")[0]].format(**words), change)

    if decays:
        offer("rate_decays", lambda s: replace(s, rate=lambda t: rates[0]))
    if not right:
        offer("gradient_wrong", lambda s: replace(s, gradient=program.true))
    offer("bad_start", lambda s: replace(s, start=centred(present)))
    for factor in (10.0, 100.0):
        up = lambda s, k=factor: replace(s, rate=lambda t, old=s.rate: k * old(t))
        down = lambda s, k=factor: replace(s, rate=lambda t, old=s.rate: old(t) / k)
        offer(f"rate_too_low*{factor:g}", up, factor=factor)
        offer(f"rate_too_high*{factor:g}", down, factor=factor)
    bare = _without_bias(case)
    if bare:
        offer("no_bias", lambda s: _with_bias(s, program, bare))
    inputs = _unscaled(case)
    if inputs:
        offer("unscaled_inputs", lambda s: replace(s, gradient=lambda values: program.true(values, inputs)))
    return written, offers


def _with_bias(setting: Setting, program: Program, bare: dict[int, tuple[int, ...]]) -> Setting:
    def start(rng: np.random.Generator) -> Any:
        return {**setting.start(rng), **{str(id): np.zeros(shape) for id, shape in bare.items()}}

    def gradient(values: Any) -> Any:
        added = {k: v for k, v in values.items() if k.isdigit()}
        return program.true({k: v for k, v in values.items() if not k.isdigit()}, None, added)

    return replace(setting, start=start, gradient=gradient)


def _without_bias(case: Case) -> dict[int, tuple[int, ...]]:
    """The products with weights to which nothing is added, and the shape that a bias there would have."""
    assert case.truth is not None
    tape = case.tape
    found: dict[int, tuple[int, ...]] = {}
    versions = set(case.versions.values())
    uses = tape.consumers()
    for id in sorted(case.truth.forward):
        node = tape[id]
        if getattr(node.func, "__name__", "") not in ("dot", "matmul") or node.value.ndim != 2:
            continue
        if not any(i in versions for i in node.inputs):
            continue
        sums = [u for u in uses.get(id, ()) if getattr(tape[u].func, "__name__", "") == "add"]
        if not any(i in versions for u in sums for i in tape[u].inputs):
            first = getattr(node.args[0], "id", None) in versions
            found[id] = (node.value.shape[0], 1) if first else (1, node.value.shape[1])
    return found


def _unscaled(case: Case) -> dict[int, Any]:
    """Inputs far from mean 0 and variance 1, scaled."""
    assert case.truth is not None
    found = {}
    for id in case.trial.sources():
        value = case.tape[id].value
        if id not in case.truth.forward or id in case.versions.values() or id == case.labels or value.ndim != 2:
            continue
        if np.abs(value).max() > 10:
            samples = 0 if case.output is None or value.shape[0] == case.tape[case.output].value.shape[0] else 1
            spread = value.std(axis=samples, keepdims=True)
            found[id] = (value - value.mean(axis=samples, keepdims=True)) / np.where(spread == 0, 1, spread)
    return found


def _present(case: Case) -> Callable[[np.random.Generator], Any]:
    return lambda rng: {p: case.tape[v].value.copy() for p, v in case.versions.items()}


def _rates(run: list[Case], lr: float | None) -> list[float]:
    """The learning rates of the recorded steps, by how the factor of one update changes."""
    first = _rate(run[0], lr)
    path = next(iter(run[0].claims))
    start = run[0].claims[path].factor
    factors = [c.claims[path].factor for c in run if path in c.claims]
    return [first * abs(f / start) for f in factors] if start else [first]


def _rate(case: Case, lr: float | None) -> float:
    """The learning rate of a step: what its numbers say besides counts of samples."""
    if lr is not None:
        return lr
    found = scales(case)
    rates = [s.rate for s in found.values() if s.proportional and s.off and abs(s.off - 1) < 1e-4 and s.rate > 0]
    if rates:
        return rates[0]
    return float(max((abs(c.factor) for c in case.claims.values()), default=1.0)) or 1.0


def _constant(case: Case) -> float | None:
    """The loss of the best answer that is the same for all samples, on the scale of their loss."""
    if case.output is None or case.labels is None or case.truth is None:
        return None
    tape = case.tape
    p, y = tape[case.output].value, tape[case.labels].value
    if p.size != y.size:
        return None
    y = y.reshape(p.shape).astype(float)
    samples = 0 if p.shape[0] >= p.shape[-1] else p.ndim - 1
    best = np.broadcast_to(y.mean(axis=samples, keepdims=True), p.shape)
    best = np.clip(best, 1e-12, 1 - 1e-12) if y.min() >= 0 and y.max() <= 1 else best
    with np.errstate(all="ignore"):
        value = tape.replay({case.output: best.copy()}, [case.truth.loss]).get(case.truth.loss)
    return None if value is None or not np.isfinite(value).all() else float(np.sum(value))
