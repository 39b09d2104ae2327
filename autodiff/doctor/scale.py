"""The learning rate, and which constant factors belong to the gradient."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.doctor.case import NOISE, Case, aligned, proportion
from autodiff.doctor.names import statement_at


@dataclass
class Scale:
    """How one parameter's claim compares with its true gradient.

    `k` is the factor between claim and truth where they are proportional, `rest` what is left over relative to the
    claim, `rate` the learning rate that the update would have if the claim were exact, `off` the factor by which the
    claim is wrong (1 when it is right, None when that cannot be told), `fits` whether shapes agree.
    """

    k: float
    rest: float
    rate: float
    off: float | None
    fits: bool
    decay: float = 0.0

    @property
    def proportional(self) -> bool:
        """Whether claim and truth point the same way, up to sign."""
        return self.fits and self.rest <= NOISE


def scales(
    case: Case,
    lr: float | None = None,
    values: dict[int, Any] | None = None,
    instead: dict[str, Any] | None = None,
) -> dict[str, Scale]:
    """Compare every claim of a step with the truth.

    `values` stand in for those of nodes on the tape, `instead` for the claims of some parameters.
    """
    found: dict[str, Scale] = {}
    peak = max((float(np.abs(case.true_gradient(path)).max(initial=0.0)) for path in case.claims), default=0.0)
    for path, claim in case.claims.items():
        value = (values or {}).get(claim.node, case.tape[claim.node].value)
        value = (instead or {}).get(path, value)
        target = case.true_gradient(path)
        g = aligned(value, target.shape)
        if g is None:
            found[path] = Scale(0.0, 1.0, 0.0, None, False)
            continue
        k, rest = proportion(g if claim.factor else 0.0 * g, target)
        decay = 0.0
        if _is_rounding(peak, target, g):
            k, rest = 0.0, 0.0
        if rest > NOISE and np.any(g):
            k, rest, decay = _with_decay(g, target, case.tape[case.versions[path]].value, k, rest)
        if decay and _has_penalty(case, path):
            k, rest, decay = *proportion(g, target), 0.0  # a penalty is in the loss: another one is none of it
        rate = -claim.sign * claim.factor * k
        found[path] = Scale(k, rest, rate, None, True, decay)
    _same_decay(case, found, values or {}, instead or {})
    _decide(case, found, lr, peak)
    offs = [s.off for s in found.values() if s.proportional and s.k]
    if case.loss_name is not None and offs and offs[0] and offs[0] > 0 and all(o and _near(o, offs[0]) for o in offs):
        for s in found.values():  # the loss is a guess, and so is whether it is a sum or a mean
            s.off = 1.0 if s.off else s.off
    return found


def _has_penalty(case: Case, path: str) -> bool:
    """Whether the loss itself has a term that pulls a parameter to zero."""
    assert case.truth is not None
    version = case.versions[path]
    weight = case.tape[version].value
    pulls = [proportion(part, weight) for id, part in case.truth.parts if id == version and part.shape == weight.shape]
    return any(k > 0 and rest <= 1e-9 for k, rest in pulls)


def _same_decay(case: Case, found: dict[str, Scale], values: dict[int, Any], instead: dict[str, Any]) -> None:
    """Weights too few to show a decay by themselves have that of the others, where their rates agree then."""
    decays = {round(s.decay, 9) for s in found.values() if s.decay}
    rates = [s.rate for s in found.values() if s.decay]
    if len(decays) != 1:
        return
    decay = decays.pop()
    for path, s in found.items():
        claim, target = case.claims[path], case.true_gradient(path)
        if s.decay or not s.fits or target.size >= 4 or any(_near(s.rate, rate) for rate in rates):
            continue
        g = aligned(instead.get(path, values.get(claim.node, case.tape[claim.node].value)), target.shape)
        k, rest = proportion(g, target + decay * case.tape[case.versions[path]].value)
        rate = -claim.sign * claim.factor * k
        if rest <= NOISE and any(_near(rate, other) for other in rates):
            found[path] = Scale(k, rest, rate, None, True, decay)


def _is_rounding(peak: float, *values: Any) -> bool:
    """Whether gradients are nothing beside the largest of the step, as of a bias before a normalisation."""
    return all(float(np.abs(value).max(initial=0.0)) <= 1e-13 * peak for value in values)


def _with_decay(g: Any, target: Any, weight: Any, k: float, rest: float) -> tuple[float, float, float]:
    """See whether the claim is the gradient plus a multiple of the weights themselves."""
    if g.size < 4:
        return k, rest, 0.0
    columns = np.stack([target.reshape(-1), weight.reshape(-1)], axis=1)
    fit, *_ = np.linalg.lstsq(columns, g.reshape(-1), rcond=None)
    left = float(np.linalg.norm(columns @ fit - g.reshape(-1)) / np.linalg.norm(g))
    share = float(np.linalg.norm(fit[0] * target) / np.linalg.norm(g))  # of the weights alone nothing is the gradient
    if left <= 1e-9 and share > 1e-6 and fit[1] / fit[0] > 0:
        return float(fit[0]), left, float(fit[1] / fit[0])
    return k, rest, 0.0


def sizes(case: Case) -> set[float]:
    """Numbers that count samples, units or elements, and their inverses: no learning rates."""
    lengths = {1.0}
    if case.output is None and case.truth is not None:
        for leaf in set(case.trial.sources()) & case.truth.forward - set(case.versions.values()):
            lengths |= {float(n) for n in case.tape[leaf].value.shape}
    for id in (case.output, case.labels):
        if id is not None:
            lengths |= {float(n) for n in case.tape[id].value.shape} | {float(case.tape[id].value.size)}
    lengths -= {0.0, 1.0}
    return lengths | {1 / n for n in lengths}


def _decide(case: Case, found: dict[str, Scale], lr: float | None, peak: float) -> None:
    counts = sizes(case)
    rates = {path: _rates(case, path, counts, lr) for path in found}
    good = {path: s for path, s in found.items() if s.proportional and s.k}
    for path, s in found.items():
        if s.proportional and not s.k:
            s.off = 1.0 if _is_rounding(peak, case.true_gradient(path)) else None
    if not good:
        return
    blind = [path for path in good if case.claims[path].normalised]
    for path in blind:
        good[path].off = 1.0 if good[path].rate > 0 else -1.0
    good = {path: s for path, s in good.items() if path not in blind}
    if not good:
        return
    # Code that takes whole steps, `W += X.T.dot(delta)`, has no learning rate on the tape.
    unknown = (
        lr is None
        and all(not case.claims[path].scalars for path in good)
        and not any(case.claims[path].state for path in good)
    )
    if unknown:
        usual = _majority([s.rate for s in good.values()])
        usual = abs(usual)
        for s in good.values():
            s.off = s.rate / usual
        return
    shared = _shared(good, rates)
    for path, s in good.items():
        if shared is not None:
            s.off = _round(s.rate / shared)
            # Another rate for biases, say, is a person's right, if it is one that the update shows.
            shown = any(abs(v) != 1.0 for _, v in case.claims[path].scalars)
            if (
                s.off != 1.0
                and shown
                and not any(_near(c, shared) for c in rates[path])
                and any(_near(s.rate, r) for r in rates[path])
            ):
                alone = sum(_near(s.rate, other.rate) for other in good.values()) == 1 and len(good) > 3
                s.off = s.off if alone else 1.0
        else:
            options = [r for r in rates[path] if r]
            closest = min(options, key=lambda r: abs(np.log(abs(s.rate / r))) + (s.rate / r < 0), default=None)
            s.off = None if not closest else _round(s.rate / closest)


def _shared(good: dict[str, Scale], rates: dict[str, list[float]]) -> float | None:
    """The rate that explains most parameters as right."""
    votes: list[tuple[int, int, float]] = []
    for path in good:
        for order, rate in enumerate(rate for rate in rates[path] if rate):
            votes.append((sum(_near(s.rate, rate) for s in good.values()), -order, rate))
    best = max(votes, default=None, key=lambda v: (v[0], v[1], v[2] != 1.0))
    return best[2] if best is not None and best[2] else None


def _rates(case: Case, path: str, counts: set[float], lr: float | None) -> list[float]:
    """Learning rates that the update may be meant to have, likeliest first."""
    if lr is not None:
        return [lr]
    claim = case.claims[path]
    scalars = [part for id, value in claim.scalars for part in _written(case, id, value)]
    values = [abs(value) for value in (*scalars, *claim.hidden)]
    if claim.state and not values:
        return [1.0]
    own = [v for v in values if not any(_near(v, c) for c in counts) and v != 1.0]
    free = [v for v in own if v in (2.0, 0.5)]
    fixed = [v for v in own if v not in (2.0, 0.5)]
    base = float(np.prod(fixed))
    options = [base]
    if free:
        options = [base * float(np.prod(free)), base] if not fixed else [base, base * float(np.prod(free))]
    if not own:
        # The rate may look like a count: with 4 samples, 0.25 is both.
        options = [1.0, *dict.fromkeys(values)] if any(v == 1.0 for v in values) or not values else [*values, 1.0]
    named = _named(case, counts, claim.step)
    if fixed:
        # A rate that the update shows is not looked for among other numbers, of which a count may make one by chance:
        # only where it has no name, as in `rate / m * g`, and one that has makes it up with a count.
        counted = {c * f for c in counts | {1.0} for f in (1.0, 2.0, 0.5)}
        known = any(_near(base, v) for v in named)
        named = [] if known else [v for v in named if any(_near(base / v, c) for c in counted)]
    return [*dict.fromkeys(options), *named]


def _written(case: Case, id: int, value: float) -> list[float]:
    """Return the factors of a number as a line writes it: Python makes 0.2 of the ``0.1 * 2`` in ``0.1 * 2 * e``."""
    for line in case.tape[id].lines[:1]:
        for part in ast.walk(statement_at(line) or ast.Pass()):
            found = _constants(part) if isinstance(part, ast.BinOp) else None
            if found is not None and _near(abs(value), float(np.prod(found))):
                return found
    return [value]


def _constants(part: ast.AST) -> list[float] | None:
    """The factors of a product of plain numbers, without signs; None of anything else."""
    if isinstance(part, ast.Constant):
        return [abs(float(part.value))] if isinstance(part.value, (int, float)) and part.value else None
    if isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.USub):
        return _constants(part.operand)
    if isinstance(part, ast.BinOp) and isinstance(part.op, (ast.Mult, ast.Div)):
        left, right = _constants(part.left), _constants(part.right)
        if left is not None and right is not None:
            return left + ([1 / n for n in right] if isinstance(part.op, ast.Div) else right)
    return None


def _named(case: Case, counts: set[float], step: int) -> list[float]:
    """Numbers that their code has names for and that could be a rate."""
    if "floats" not in case.memo:
        values = (b.value for b in case.trial.names.bindings if isinstance(b.value, float))
        case.memo["floats"] = [v for v in dict.fromkeys(values) if v > 0 and v not in (0.5, 1.0, 2.0)]
    return [value for value in case.memo["floats"] if not any(_near(value, c) for c in counts)]


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-4 * max(abs(a), abs(b))


def _majority(values: list[float]) -> float:
    return max(values, key=lambda v: (sum(_near(v, other) for other in values), v > 0))


def _round(value: float) -> float:
    return 1.0 if _near(value, 1.0) else value
