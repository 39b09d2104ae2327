"""Gradients that are right but for a constant: find the line where the sign, the 1/m or the 2 went wrong."""

from __future__ import annotations

from typing import Any

from autodiff.doctor.case import NOISE, Case
from autodiff.doctor.known import Known
from autodiff.doctor.scale import Scale

#: kind, node, factor, parameters, whether all parameters share it
Found = tuple[str, int, float, list[str], bool]


def factor_faults(case: Case, known: Known, found: dict[str, Scale], values: dict[int, Any]) -> list[Found]:
    """Return the places of wrong factors, those of the same place and factor joined."""
    wrong = {path: s.off for path, s in found.items() if s.off is not None and abs(s.off - 1) > NOISE}
    if case.loss_name is not None and len(wrong) == len(found) and len({round(v, 6) for v in wrong.values()}) == 1:
        only = next(iter(wrong.values()))
        if only > 0:
            return []  # the loss is a guess, and so is its scale
    right = [path for path in found if path not in wrong and found[path].proportional]
    joined: dict[tuple[str, int, float], list[str]] = {}
    for path, off in wrong.items():
        # A sign and a size are two faults, of which other parameters may have one.
        for part in [part for part in (abs(off), -1.0 if off < 0 else 1.0) if abs(part - 1) > NOISE]:
            others = [p for p in found if p not in right and p in wrong and not _shares(wrong[p], part)]
            kind, node = _place(case, known, path, part, [*right, *others], values, found, off)
            joined.setdefault((kind, node, float(f"{part:.6g}")), []).append(path)
    return [
        (kind, node, part, paths, all(p in wrong and _shares(wrong[p], part) for p in found))
        for (kind, node, part), paths in joined.items()
    ]


def _turn(steps: list[tuple[int, float]], off: float) -> int | None:
    """The derivative from which on all that follow have a wrong factor; None where the last one has none."""
    found = None
    for id, factor in reversed(steps):
        if not (factor < 0 if off < 0 else _is(factor, off)):
            break
        found = id
    return found


def _shares(off: float, part: float) -> bool:
    return off < 0 if part < 0 else abs(abs(off) - part) <= NOISE * part


def _is(ratio: float, part: float) -> bool:
    """Whether a ratio has the sign, or the size, that is looked for."""
    return abs(ratio + 1) <= NOISE if part < 0 else abs(abs(ratio) - part) <= NOISE * part


def _place(
    case: Case,
    known: Known,
    path: str,
    off: float,
    right: list[str],
    values: dict[int, Any],
    found: dict[str, Scale],
    whole: float,
) -> tuple[str, int]:
    tape = case.tape
    claim = case.claims[path]
    assert case.truth is not None
    turned = [id for id, value in claim.scalars if value < 0 and claim.normalised and tape[id].lines]
    if off < 0 and turned:
        return "update", turned[0]
    stop = {v for p in case.parameters for v in p.versions}
    shared = tape.ancestors([case.claims[p].moved for p in right], stop=stop) if right else set()
    own = tape.ancestors([claim.moved], stop=stop) - case.truth.forward

    def value(id: int) -> Any:
        return values.get(id, tape[id].value)

    def turned_slope(among: set[int], otherwise: int) -> int:
        """A slope that is wrong by this factor is the first cause."""
        for i in sorted(among):
            slope = [m for m in known.find(value(i), "slope") if known.is_slope(m)]
            if slope and all(_is(m.factor, off) for m in slope):
                return i
        return otherwise

    every = set.intersection(*(tape.ancestors([c.moved], stop=stop) for c in case.claims.values()))
    # Where all gradients share the factor, it came in above the place where their ways part.
    everywhere = not right and len(case.claims) > 1
    if everywhere:
        turn = _turn([(id, m[0].factor) for id in sorted(own & every) if (m := known.find(value(id), "adjoint"))], off)
        if turn is not None:
            return "factor", turned_slope(tape.ancestors([turn]) & own & every, turn)
    steps: list[tuple[int, float]] = []
    before: dict[int, float] = {}
    for id in sorted(own):
        match = known.find(value(id), "adjoint") if case.depends[id] else []
        if not match:
            continue
        factor = match[0].factor
        up = [steps_id for steps_id, _ in steps if steps_id in tape.ancestors([id])]
        previous = before[max(up)] if up else 1.0
        before[id] = factor
        steps.append((id, factor))
        if id in shared or not _is(factor / previous, off):
            continue
        return "factor", turned_slope(tape.ancestors([id], stop=set(up)) & own - shared, id)
    # The factor may come in with the update: other parameters have other constants there.
    usual = [case.claims[p] for p in right]
    ratio = claim.factor / usual[0].factor if usual and usual[0].factor else 0.0
    if usual and (_is(ratio, off) or abs(ratio - whole) <= NOISE * abs(whole)):
        theirs = [round(value, 9) for c in usual for _, value in c.scalars]
        extra = [id for id, value in claim.scalars if round(value, 9) not in theirs]
        if extra:
            return "update" if extra[0] == claim.moved else "factor", extra[0]
        return "factor", claim.node
    signs = [case.claims[p].sign for p in right]
    if off < 0 and signs and claim.sign not in signs:
        return "update", claim.update
    for id, factor in steps:
        up = [other for other, _ in steps if other < id and other in tape.ancestors([id])]
        previous = before[max(up)] if up else 1.0
        if right and id in shared and _is(factor / previous, off):
            return "factor", id  # and a second one further down makes up for it
    common = [id for id, _ in steps if id in every]
    if not right and common:
        if off < 0 and found[path].k * case.claims[path].factor > 0:
            lines = {case.tape[c.update].lines[:1] for c in case.claims.values()}
            if len(lines) == 1:
                return "update", claim.update
        for id, c in steps:
            if id in every and (c < 0 if off < 0 else _is(c, off)):
                return "factor", id
        # Updates on lines of their own go the same wrong way: one sign turned all of them, that of the error.
        return "factor", common[0] if off < 0 else common[-1]
    return "factor", claim.node
