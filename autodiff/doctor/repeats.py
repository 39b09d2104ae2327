"""Values of a line that is run again and again, for each sample, layer or moment: wrong once, it is wrong each time."""

from __future__ import annotations

import numpy as np

from autodiff.doctor.case import Case
from autodiff.doctor.known import Entry, Known
from autodiff.doctor.updates import name_of


def twins(case: Case, node: int, among: set[int]) -> list[int]:
    """Return the values `among` some that the same call of the same line made, and the value itself, in order."""
    return [id for id in sorted(among | {node}) if _alike(case, id, node)]


def siblings(case: Case, known: Known, entry: Entry) -> list[Entry]:
    """Return the right values that are to the other runs of a line what `entry` is to one of them, in order."""
    kin: dict[object, list[Entry]] = case.memo.setdefault("kin", {})
    if not kin:
        for e in sorted(known.entries, key=lambda e: e.node):
            kin.setdefault(_family(case, e), []).append(e)
    found = kin.get(_family(case, entry), [])
    return found if entry.kind == "part" else [e for e in found if _alike(case, e.node, entry.node)]


def _family(case: Case, entry: Entry) -> object:
    place: object = entry.node if entry.kind == "part" else _key(case, entry.node)[0]
    return entry.kind, np.shape(entry.value), place, None if entry.to is None else _key(case, entry.to)[0]


def pairings(node: int, entry: Entry, nodes: list[int], entries: list[Entry]) -> list[dict[int, Entry]]:
    """Return how all of `nodes` may be matched with `entries` if `node` is with `entry`: in step, or back to front.

    Where there are more entries, some at the one end or the other are of runs that nothing is computed from.
    """
    found: list[dict[int, Entry]] = []
    place = nodes.index(node)
    for order in (entries, entries[::-1]) if 1 < len(nodes) <= len(entries) else ():
        each, over = divmod(len(order), len(nodes))  # a line may do the same several times in each run
        starts = ((i, each) for i in range(each)) if not over else ((0, 1), (over, 1))
        for first, stride in starts:
            chosen = order[first::stride][: len(nodes)]
            if len(chosen) == len(nodes) and chosen[place] is entry:
                found.append(dict(zip(nodes, chosen, strict=True)))
    return found


def _alike(case: Case, one: int, other: int) -> bool:
    """Whether the same call of the same line made two values; what it took may be zeros or the like in one run."""
    (call, before), (again, then) = _key(case, one), _key(case, other)
    pairs = zip(before, then, strict=False)
    return call == again and len(before) == len(then) and all(a == b or not a or not b for a, b in pairs)


def _key(case: Case, node: int) -> tuple[tuple[object, ...], tuple[tuple[object, ...], ...]]:
    memo: dict[int, tuple[tuple[object, ...], tuple[tuple[object, ...], ...]]] = case.memo.setdefault("calls", {})
    if node not in memo:
        made = case.tape[node]
        inputs = [case.tape[i] for i in made.inputs]
        before = tuple((i.lines[:1], name_of(i)) if i.func is not None else () for i in inputs)
        memo[node] = (made.lines, name_of(made), made.value.shape), before
    return memo[node]
