"""Values of a line that is run again and again, for each sample, layer or moment: wrong once, it is wrong each time."""

from __future__ import annotations

from autodiff.doctor.case import Case
from autodiff.doctor.known import Entry, Known
from autodiff.doctor.updates import name_of


def twins(case: Case, node: int, among: set[int]) -> list[int]:
    """Return the values `among` some that the same call of the same line made, and the value itself, in order."""
    key = _key(case, node)
    return [id for id in sorted(among | {node}) if _key(case, id) == key]


def siblings(case: Case, known: Known, entry: Entry) -> list[Entry]:
    """Return the right values that are to the other runs of a line what `entry` is to one of them, in order."""
    memo = case.memo.setdefault("siblings", {})
    if id(entry) not in memo:
        memo[id(entry)] = entry, _siblings(case, known, entry)
    found: list[Entry] = memo[id(entry)][1]
    return found


def _siblings(case: Case, known: Known, entry: Entry) -> list[Entry]:
    alike = [e for e in known.entries if e.kind == entry.kind and e.value.shape == entry.value.shape]
    if entry.kind == "part":
        return [e for e in alike if e.node == entry.node]
    key = _key(case, entry.node)
    to = None if entry.to is None else _key(case, entry.to)
    found = [e for e in alike if _key(case, e.node) == key and (None if e.to is None else _key(case, e.to)) == to]
    return sorted(found, key=lambda e: e.node)


def pairings(node: int, entry: Entry, nodes: list[int], entries: list[Entry]) -> list[dict[int, Entry]]:
    """Return how all of `nodes` may be matched with `entries` if `node` is with `entry`: in step, or back to front."""
    if len(nodes) != len(entries) or len(nodes) < 2:
        return []
    place = nodes.index(node)
    found = []
    for order in (entries, entries[::-1]):
        if order[place] is entry:
            found.append(dict(zip(nodes, order, strict=True)))
    return found


def _key(case: Case, node: int) -> tuple[object, ...]:
    made = case.tape[node]
    before = tuple((case.tape[i].lines[:1], name_of(case.tape[i])) for i in made.inputs)
    return made.lines, name_of(made), made.value.shape, before
