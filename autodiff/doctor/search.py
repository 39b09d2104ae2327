"""Find the faults one by one: the first wrong value, the right value in its place, and the rest computed again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.doctor.case import NOISE, Case, aligned, proportion, reduction
from autodiff.doctor.factors import factor_faults
from autodiff.doctor.known import Entry, Known
from autodiff.doctor.repeats import pairings, siblings, twins
from autodiff.doctor.scale import Scale, scales
from autodiff.doctor.spare import is_sound, passed_by, passed_instead, spare_for, spares, way_of
from autodiff.doctor.tape import Line

#: The longest that a search may take, in seconds of the processor, so that other load changes no report.
BUDGET = 1.2
#: Runs of one line up to which a fault may be in one of them alone, as of the layers of a network.
SEVERAL = 3


@dataclass
class Fault:
    """One wrong value.

    Attributes
    ----------
    kind : str
        "value" for a wrong number, "use" for a right value used as a parameter's gradient, "spare" for one passed on
        in place of another that is there, "factor" for a wrong constant factor, "update" for a wrong sign of the
        update, "unknown" where nothing right could be put in its place.
    node : int
        The value, `first` the first wrong one on the way to it.
    right : array or None
        What should stand there, up to a constant factor; `entry` says what that is.
    parameters : list of str
        Those whose gradient it spoils.
    factor, everywhere
        The wrong factor, and whether all gradients share it.
    values : dict
        What nodes are worth once the faults before this one are mended.
    spare : int or None
        The value that belongs in its place and is there, unused.
    """

    kind: str
    node: int
    first: int
    value: Any
    right: Any = None
    entry: Entry | None = None
    parameters: list[str] = field(default_factory=list)
    factor: float = 1.0
    everywhere: bool = False
    values: dict[int, Any] = field(default_factory=dict)
    spare: int | None = None

    def line(self, case: Case) -> Line | None:
        """Return the line that computes the wrong value."""
        lines = case.tape[self.first].lines
        return lines[0] if lines else None


@dataclass
class _State:
    case: Case
    known: Known
    lr: float | None
    values: dict[int, Any] = field(default_factory=dict)
    instead: dict[str, Any] = field(default_factory=dict)

    def value(self, id: int) -> Any:
        return self.values.get(id, self.case.tape[id].value)

    def scales(self) -> dict[str, Scale]:
        return scales(self.case, self.lr, self.values, self.instead)

    def wrong(self) -> list[str]:
        """The parameters whose claims are more than a usual factor away from the truth."""
        found = self.scales().items()
        return [path for path, s in found if not self._near(s) and self.case.claims[path].factor]

    def _near(self, s: Scale) -> bool:
        if not s.proportional:
            return False
        # Two single numbers are always proportional: of those a factor must be one that people move about.
        few = self.case.output is None or self.case.tape[self.case.output].value.size > 1
        return few or s.off is None or any(abs(s.off - f) <= NOISE * abs(f) for f in self.known.factors())


def faults(case: Case, known: Known, lr: float | None = None) -> list[Fault]:
    """Return the faults of a step, in the order in which their values are computed."""
    state = _State(case, known, lr)
    found: list[Fault] = []
    settled: set[str] = set()
    end = time.thread_time() + BUDGET
    while len(found) < 12:
        wrong = state.wrong()
        if not wrong:
            break
        mended = state.values
        fault = _next(state, wrong, end)
        fault.values = mended
        found.append(fault)
        if fault.kind == "unknown" or (fault.kind == "use" and reduction(fault.value, fault.right) is None):
            settled |= set(fault.parameters)
        seen = [(f.kind, f.node) for f in found]
        if (fault.kind not in ("value", "late") and wrong == state.wrong()) or seen.count(seen[-1]) > 1:
            break
    left = {path: s for path, s in state.scales().items() if path not in settled}
    for kind, node, factor, paths, everywhere in factor_faults(case, known, left, state.values):
        first = node
        found.append(
            Fault(kind, node, first, state.value(node), None, None, paths, factor, everywhere),
        )
    return found


def _next(state: _State, wrong: list[str], end: float) -> Fault:
    case, tape = state.case, state.case.tape
    reach = _reach(case, wrong)
    late = _late(state, wrong, reach)
    if late is not None:
        return late
    suspects = _suspects(state, reach)
    spare = _spare_gradient(state, wrong) or _spare_operand(state, wrong, suspects)
    if spare is not None:
        return spare
    if not suspects:
        return _misused(state, wrong)
    first = suspects[0]
    assert case.truth is not None
    operands = [
        i for i in tape[first].inputs if i in reach and i not in case.truth.forward and state.known.find(state.value(i))
    ]
    below = tape.descendants([first])
    chain = [first, *(i for i in suspects[1:] if i in below)][:10]
    before = _score(state, state.values)
    best: tuple[tuple[float, ...], int, Entry, Any, dict[int, Any]] | None = None
    for order, node in enumerate([*chain, *operands]):
        again = twins(case, node, reach)
        for entry in _entries(state, node, wrong):
            if time.thread_time() > end:
                break
            ways = pairings(node, entry, again, siblings(case, state.known, entry)) if len(again) > 1 else []
            if len(again) <= SEVERAL:
                ways.append({node: entry})
            for way in ways:
                tried = _tried(state, way)
                if tried is None:
                    continue
                gain, left = _score(state, tried, best[0][0] + before[0] if best else -1)
                rank = ("value", "part", "adjoint", "slope").index(entry.kind)
                preferred = rank if gain > before[0] else 0
                key = (gain - before[0], -left, len(way) > 1, order < len(chain), preferred, -order)
                if (gain > before[0] or left < before[1]) and (best is None or key > best[0]):
                    best = key, node, entry, tried[node], tried
    if best is None or (best[0][0] <= 0 and -best[0][1] >= before[1]):
        return _unexplained(state, first, wrong)
    _, node, entry, right, values = best
    error = entry.kind == "value" and node in state.known.judged
    if (error or entry.kind in ("adjoint", "part")) and _upstream(state, node) is None:
        values, right = _rescaled(state, node, entry, values, right, wrong)
    repaired = _repaired(state, values, wrong)
    fault = Fault("value", node, first if node in chain else node, state.value(node), right, entry, repaired)
    state.values = values
    if fault.kind == "value" and not repaired:
        fault.parameters = [p for p in wrong if case.claims[p].node in below]
    return fault


def _late(state: _State, wrong: list[str], reach: set[int]) -> Fault | None:
    """A parameter that is used in the backward pass after its update."""
    case, tape = state.case, state.case.tape
    before: tuple[int, int] | None = None
    for path, version in case.versions.items():
        parameter = next(p for p in case.parameters if p.path == path)
        new = parameter.versions[case.step + 1]
        users = [i for i in tape.consumers().get(new, ()) if i in reach]
        if not users:  # or the same update, computed once more
            shape = tape[new].value.shape
            again = [i for i in sorted(reach) if tape[i].value.shape == shape]
            again = [i for i in again if np.array_equal(tape[i].value, tape[new].value)]
            new, users = (again[0], again) if again else (new, [])
        if not users or tape[new].value.shape != tape[version].value.shape or new in state.values:
            continue
        below = tape.descendants([new])
        wanted = [c.node for c in case.claims.values()]
        start = {id: v for id, v in state.values.items() if id not in below}
        start[new] = tape[version].value
        with np.errstate(all="ignore"):
            tried = {**state.values, **tape.replay(start, [*wanted, *(i for i in below if i <= max(wanted))])}
        before = before or _score(state, state.values)
        gain, left = _score(state, tried)
        if gain > before[0] or (gain == before[0] and left < before[1]):
            repaired = _repaired(state, tried, wrong) or [p for p in wrong if case.claims[p].node in below]
            entry = Entry("value", version, tape[version].value)
            fault = Fault("late", users[0], users[0], tape[new].value, tape[version].value, entry, repaired)
            state.values = tried
            return fault
    return None


def _spare_gradient(state: _State, wrong: list[str]) -> Fault | None:
    """A parameter's gradient that is there, while another value is used as such."""
    case = state.case
    for path in wrong:
        claim = case.claims[path]
        spare = spare_for(case, state.known, path) if path not in state.instead else None
        lines = passed_instead(case, spare, way_of(case, claim), claim.update) if spare is not None else ()
        if spare is not None and lines:
            node, share = passed_by(case, claim, lines)
            if not is_sound(case, state.known, node, lines):
                continue
            right = case.tape[spare].value
            state.instead[path] = right * share
            entry = Entry("adjoint", case.versions[path], case.true_gradient(path))
            return Fault("spare", node, claim.update, case.tape[node].value, right, entry, [path], spare=spare)
    return None


def _spare_operand(state: _State, wrong: list[str], suspects: list[int]) -> Fault | None:
    """A derivative that is there, while another value is passed on to what computes the next ones."""
    case, tape = state.case, state.case.tape
    assert case.truth is not None
    for first in suspects[:3]:
        for node in tape[first].inputs:
            for spare in spares(case, state.known):
                right = tape[spare].value
                if right.shape != tape[node].value.shape or not spare < first:
                    continue
                lines = passed_instead(case, spare, {node}, first)
                if spare in tape.descendants([first]) or not lines or not is_sound(case, state.known, node, lines):
                    continue
                users = [i for i in tape.consumers().get(node, ()) if i > spare and i not in case.truth.forward]
                try:
                    new = tape.replay_users(state.values, {node: right}, users, [c.node for c in case.claims.values()])
                except Exception:  # of other shapes, say
                    continue
                tried = {**state.values, **new}
                repaired = [p for p in wrong if p not in _with(state, tried).wrong()]
                if not repaired:
                    continue
                state.values = tried
                match = state.known.find(right, "adjoint")[0]
                return Fault("spare", node, first, tape[node].value, right, match.entry, repaired, spare=spare)
    return None


def _with(state: _State, values: dict[int, Any]) -> _State:
    return _State(state.case, state.known, state.lr, values, state.instead)


def _reach(case: Case, wrong: list[str]) -> set[int]:
    """What the claims of the `wrong` parameters are computed from, as far as that is computed."""
    stop = {v for p in case.parameters for v in p.versions}
    found = case.tape.ancestors([case.claims[p].node for p in wrong], stop=stop) - stop
    return {id for id in found if case.tape[id].func is not None}


def _suspects(state: _State, reach: set[int]) -> list[int]:
    """The values in `reach` that are not right and from which nothing right is computed on the way."""
    tape = state.case.tape
    good: dict[int, bool] = {}
    leads: dict[int, bool] = {}
    for id in sorted(reach, reverse=True):
        good[id] = state.known.right(id, state.values)
        leads.setdefault(id, False)
        for i in tape[id].inputs:
            if i in reach:
                leads[i] = leads.get(i, False) or good[id] or leads[id]
    return [id for id in sorted(reach) if not good[id] and not leads[id]]


def _score(state: _State, values: dict[int, Any], least: float = -1) -> tuple[int, int]:
    """How many parameters are right up to a factor with these values, and how many values are still suspect."""
    tried = _with(state, values)
    wrong = tried.wrong()
    total = len(state.case.claims)
    if not wrong or total - len(wrong) < least:
        return total - len(wrong), 0 if not wrong else 10**6
    reach = _reach(state.case, wrong)
    return total - len(wrong), len(_suspects(tried, reach))


def _entries(state: _State, node: int, wrong: list[str]) -> list[Entry]:
    """What could stand in place of a node: right values of its shape, and gradients that it claims to be."""
    case = state.case
    value = state.value(node)
    found: list[Entry] = []
    for path in wrong:
        if case.claims[path].node == node:
            found.append(Entry("adjoint", case.versions[path], case.true_gradient(path)))
    for entry in state.known.entries:
        if entry.value.shape != value.shape or not np.any(entry.value):
            continue
        if any(e.kind == entry.kind and np.array_equal(e.value, entry.value) for e in found[-60:]):
            continue
        found.append(entry)
    return found


def _tried(state: _State, way: dict[int, Entry]) -> dict[int, Any] | None:
    """Put entries in the places of nodes and compute again what depends on them; None where that raises."""
    case, tape = state.case, state.case.tape
    wanted = [c.node for c in case.claims.values()]
    kept = {id: v for id, v in state.values.items() if id not in way}
    below = tape.descendants(way)
    start = {id: v for id, v in kept.items() if id not in below}
    for node, entry in way.items():
        factor = _upstream(state, node) if entry.kind in ("adjoint", "part") else None
        start[node] = entry.value * (factor or 1.0)
    try:
        with np.errstate(all="ignore"):
            return {**kept, **tape.replay(start, [*wanted, *(i for i in below if i <= max(wanted))])}
    except Exception:
        return None


def _rescaled(
    state: _State, node: int, entry: Entry, values: dict[int, Any], right: Any, wrong: list[str]
) -> tuple[dict[int, Any], Any]:
    """At the top of the backward pass the scale is free: choose it so that what follows is right as it stands."""
    after = _with(state, values).scales()
    offs = {round(s.off, 6) for path, s in after.items() if path in wrong and s.proportional and s.off}
    if len(offs) != 1 or 1.0 in offs:
        return values, right
    scaled = Entry(entry.kind, entry.node, entry.value / next(iter(offs)), entry.to)
    tried = _tried(state, {node: scaled})
    return (tried, tried[node]) if tried is not None else (values, right)


def _upstream(state: _State, node: int) -> float | None:
    """The constant factor that the derivatives have from which this node is computed."""
    tape = state.case.tape
    assert state.case.truth is not None
    for id in sorted(tape.ancestors([node]) - {node} - state.case.truth.forward, reverse=True):
        if state.case.depends[id]:
            match = state.known.find(state.value(id), "adjoint")
            if match:
                return match[0].factor
    return None


def _repaired(state: _State, values: dict[int, Any], wrong: list[str]) -> list[str]:
    after = _with(state, values).wrong()
    return [path for path in wrong if path not in after]


def _unexplained(state: _State, first: int, wrong: list[str]) -> Fault:
    """Blame the first wrong value, and take the gradients that it spoils out of the search."""
    case = state.case
    below = case.tape.descendants([first])
    spoilt = [p for p in wrong if case.claims[p].node in below] or wrong
    for path in spoilt:
        state.instead[path] = case.true_gradient(path) * _sign(state, path)
    return Fault("unknown", first, first, state.value(first), parameters=spoilt)


def _misused(state: _State, wrong: list[str]) -> Fault:
    """All values are right, but one is taken for the gradient of a parameter that it is not."""
    case = state.case
    path = wrong[0]
    claim = case.claims[path]
    value = state.value(claim.node)
    target = case.true_gradient(path)
    reduced = reduction(value, target)
    state.instead[path] = target * (reduced[1] if reduced else _sign(state, path))
    entry = Entry("adjoint", case.versions[path], target)
    return Fault("use", claim.node, claim.node, value, target, entry, [path])


def _sign(state: _State, path: str) -> float:
    """A factor with which the true gradient passes for right."""
    case = state.case
    claim = case.claims[path]
    value, target = state.value(claim.node), case.true_gradient(path)
    g = aligned(value, target.shape)
    if g is not None and proportion(g, target)[1] <= NOISE:
        return proportion(g, target)[0]
    others = [s for p, s in state.scales().items() if p != path and s.proportional and s.off == 1.0]
    base = others[0].rate if others else 1.0
    return float(-claim.sign * base / claim.factor) if claim.factor else 1.0
