"""Find the faults one by one: the first wrong value, the right value in its place, and the rest computed again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.doctor.case import NOISE, Case, aligned, proportion, reduction
from autodiff.doctor.factors import factor_faults
from autodiff.doctor.known import Entry, Known
from autodiff.doctor.repair import State
from autodiff.doctor.repeats import pairings, siblings, twins
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


def faults(case: Case, known: Known, lr: float | None = None) -> list[Fault]:
    """Return the faults of a step, in the order in which their values are computed."""
    state = State(case, known, lr)
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


def _next(state: State, wrong: list[str], end: float) -> Fault:
    case, tape = state.case, state.case.tape
    reach = state.reach(wrong)
    late = _late(state, wrong, reach)
    if late is not None:
        return late
    suspects = state.suspects(reach)
    spare = _spare_gradient(state, wrong) or _spare_operand(state, wrong, suspects)
    if spare is not None:
        return spare
    if not suspects:
        return _misused(state, wrong)
    first = suspects[0]
    below = tape.descendants([first])
    chain = [first, *(i for i in suspects[1:] if i in below)][:10]
    best = _best(state, wrong, reach, chain, end)
    if best is None:
        return _unexplained(state, first, wrong)
    node, entry, values, each = best
    right = values[node]
    error = entry.kind == "value" and node in state.known.judged
    if (error or entry.kind in ("adjoint", "part")) and state.upstream(node) is None:
        values, right = state.rescaled(node, entry, values, right, wrong)
    repaired = state.repaired(values, wrong)
    fault = Fault(
        "value", node, first if node in chain and not each else node, state.value(node), right, entry, repaired
    )
    state.accept(values)
    if fault.kind == "value" and not repaired:
        fault.parameters = [p for p in wrong if case.claims[p].node in below]
    return fault


def _best(
    state: State, wrong: list[str], reach: set[int], chain: list[int], end: float
) -> tuple[int, Entry, dict[int, Any], bool] | None:
    """Return the value, with what belongs in its place and all values then, whose repair explains most.

    The last part says whether its line alone is wrong, by the same factor each time that it is run.
    """
    before, total = state.right(state.values)[0], len(state.case.claims)
    most = before, 0
    equal: list[tuple[int, int, dict[int, Entry], dict[int, Any]]] = []
    for place, node, way in _ways(state, wrong, reach, chain):
        if time.thread_time() > end or (most == (total, total) and len(way) == 1 < len(equal[0][2])):
            break  # all is right, and what repairs a line each time that it is run goes before
        values = state.tried(way)
        right, exact = state.right(values) if values is not None else (-1, -1)
        exact = exact if right > before else 0
        if values is None or (right, exact) < most:
            continue
        equal = [*(equal if (right, exact) == most else []), (place, node, way, values)]
        most = right, exact
    best: tuple[int, Entry, dict[int, Any], bool] | None = None
    top: tuple[float, ...] = ()
    doubtful = len(state.suspects(reach))
    for place, node, way, values in equal:
        if best is not None and time.thread_time() > end and most[0] < total:
            break
        left = state.left(values)
        if most[0] == before and left >= doubtful:
            continue
        same = not left and len(way) > 1 and state.uniform(way, values)
        rank = ("value", "part", "adjoint", "slope").index(way[node].kind) if most[0] > before else 0
        key = (-left, same, len(way) > 1, place < len(chain), rank, -place)
        if key > top:
            top, best = key, (node, way[node], values, same)
    return best


def _ways(
    state: State, wrong: list[str], reach: set[int], chain: list[int]
) -> Iterator[tuple[int, int, dict[int, Entry]]]:
    """Yield what may be put in the place of which values, after the rank of the value: of all runs of a line first.

    Those are what passes for right before the first suspect value, the suspects, and the operands of the first.
    """
    case, known = state.case, state.known
    assert case.truth is not None
    inputs = [i for i in case.tape[chain[0]].inputs if i in reach and i not in case.truth.forward]
    places = [*chain, *(i for i in inputs if known.find(state.value(i)))]
    found = [(len(places) + i, *pair) for i, pair in enumerate(_passing(state, reach, chain[0]))]
    found += [(place, node, entry) for place, node in enumerate(places) for entry in state.entries(node, wrong)]
    runs = {node: twins(case, node, reach) for node in dict.fromkeys(node for _, node, _ in found)}
    together: dict[object, tuple[int, int, dict[int, Entry]]] = {}
    for place, node, entry in found:
        for way in pairings(node, entry, runs[node], siblings(case, known, entry)) if len(runs[node]) > 1 else ():
            key = frozenset((i, id(e)) for i, e in way.items())
            if key not in together or place < together[key][0]:
                together[key] = place, node, way
    yield from together.values()
    for place, node, entry in found:
        if place < len(places) and len(runs[node]) <= SEVERAL:
            yield place, node, {node: entry}


def _passing(state: State, reach: set[int], first: int) -> list[tuple[int, Entry]]:
    """Values before the first wrong one that pass for right, as a part or a multiple of what they should be.

    In one run of a line a missing term may be zero, and a wrong sign be that of all.
    """
    case, known = state.case, state.known
    assert case.truth is not None
    found: dict[tuple[int, int], Entry] = {}
    before = (case.tape.ancestors([first]) & reach) - {first} - case.truth.forward
    for node in sorted(before, reverse=True)[:40]:
        for match in known.find(state.value(node), "adjoint part"):
            entry = known.wholes.get(match.entry.node)
            off = match.entry.kind == "part" or abs(match.factor - (state.upstream(node) or match.factor)) > NOISE
            if entry is not None and off and not match.transposed:
                found[node, entry.node] = entry
    return [(node, entry) for (node, _), entry in found.items()]


def _late(state: State, wrong: list[str], reach: set[int]) -> Fault | None:
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
        before = before or (len(state.case.claims) - len(wrong), len(state.suspects(reach)))
        other = State(case, state.known, state.lr, tried, state.instead)
        after = (len(state.case.claims) - len(other.wrong()), state.left(tried))
        if after[0] > before[0] or (after[0] == before[0] and after[1] < before[1]):
            repaired = state.repaired(tried, wrong) or [p for p in wrong if case.claims[p].node in below]
            entry = Entry("value", version, tape[version].value)
            fault = Fault("late", users[0], users[0], tape[new].value, tape[version].value, entry, repaired)
            state.accept(tried)
            return fault
    return None


def _spare_gradient(state: State, wrong: list[str]) -> Fault | None:
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


def _spare_operand(state: State, wrong: list[str], suspects: list[int]) -> Fault | None:
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
                repaired = state.repaired(tried, wrong)
                if not repaired:
                    continue
                state.accept(tried)
                match = state.known.find(right, "adjoint")[0]
                return Fault("spare", node, first, tape[node].value, right, match.entry, repaired, spare=spare)
    return None


def _unexplained(state: State, first: int, wrong: list[str]) -> Fault:
    """Blame the first wrong value, and take the gradients that it spoils out of the search."""
    case = state.case
    below = case.tape.descendants([first])
    spoilt = [p for p in wrong if case.claims[p].node in below] or wrong
    for path in spoilt:
        state.instead[path] = case.true_gradient(path) * _sign(state, path)
    return Fault("unknown", first, first, state.value(first), parameters=spoilt)


def _misused(state: State, wrong: list[str]) -> Fault:
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


def _sign(state: State, path: str) -> float:
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
