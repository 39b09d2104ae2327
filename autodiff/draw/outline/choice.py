"""The outline of a picture: which boxes and tensors are drawn, and what each stands for; no numbers yet."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.draw.outline.folding import Fold, folds
from autodiff.draw.outline.levels import Box, cut, rising
from autodiff.draw.outline.reading import Reading
from autodiff.tensor import Tensor

#: Operands beyond so many get no card each; they share one.
MOST_OPERANDS = 8
#: Without being asked to, only pictures of more nodes than this are folded.
_ROOMY = 60

#: What names a tensor in the outline: ("r", box, place) for results, ("l", ids) for leaves.
Key = tuple[Any, ...]


@dataclass(slots=True)
class Wire:
    """The uses of one tensor by one box, at one place: operand `position` of op number `place` in the box."""

    source: Key
    box: int
    place: int
    position: int
    count: int = 1


@dataclass(slots=True)
class Outline:
    """What is drawn.

    Attributes
    ----------
    boxes : list of Box
        All of them, also those that are drawn by an earlier repetition.
    folds : list of Fold
    drawn : list of int
        Which boxes stand in the picture, in order.
    stands_for : dict of int to list of int
        The boxes that a drawn one stands for, itself first.
    wires : list of Wire
    results : dict of Key to list of int
        For the results that are drawn, the positions in the reading of those they stand for.
    leaves : dict of Key to list of object
        For the leaves that are drawn, what they stand for.
    carried : set of int
        Indices of the folds of which each repetition goes on from the one before.
    hidden : dict of int to int
        Leaves that are operands of a drawn box but not drawn.
    """

    boxes: list[Box]
    folds: list[Fold]
    drawn: list[int]
    stands_for: dict[int, list[int]]
    wires: list[Wire] = field(default_factory=list)
    results: dict[Key, list[int]] = field(default_factory=dict)
    leaves: dict[Key, list[Any]] = field(default_factory=dict)
    carried: set[int] = field(default_factory=set)
    hidden: dict[int, int] = field(default_factory=dict)
    level: str = "op"

    @property
    def size(self) -> int:
        """How many nodes the picture has."""
        return max(len(self.drawn) + len(self.results) + len(self.leaves), 1)


def outline(reading: Reading, level: str, depth: int | None, fold: bool | str, max_nodes: int) -> Outline:
    """Choose what to draw so that it fits: folded, at a higher level, and last, without what came earliest."""
    least = 2 if fold is True else 3
    last = None
    for i, divided in enumerate(rising(reading.made, level, depth)):
        if fold == "auto" and len(divided) <= _ROOMY:
            last = _drawn(reading, divided, [])
            if last.size <= min(_ROOMY, max_nodes):
                return _named(last, level if i == 0 else "layer")
        last = _drawn(reading, divided, folds(reading, divided, least) if fold else [])
        if last.size <= max_nodes:
            return _named(last, level if i == 0 else "layer")
    assert last is not None
    keep = max_nodes
    while True:
        divided = cut(last.boxes, keep)
        shorter = _drawn(reading, divided, folds(reading, divided, least) if fold else [])
        if shorter.size <= max_nodes or keep == 0:
            return _named(shorter, "layer")
        keep = min(keep - 1, keep * max_nodes // shorter.size)


def _named(drawn: Outline, level: str) -> Outline:
    drawn.level = level
    return drawn


def _drawn(reading: Reading, divided: list[Box], found: list[Fold]) -> Outline:
    """Map every box to the one that is drawn for it, and collect what connects the drawn ones."""
    represent = list(range(len(divided)))
    fold_of: dict[int, int] = {}
    for number, fold in enumerate(found):
        for b in range(fold.start, fold.stop):
            represent[b] = fold.start + (b - fold.start) % fold.period
            fold_of[represent[b]] = number
    stands_for: dict[int, list[int]] = {}
    for b, shown in enumerate(represent):
        stands_for.setdefault(shown, []).append(b)
    result = Outline(divided, found, list(stands_for), stands_for)
    box_of: list[int] = []
    for b, box in enumerate(divided):
        box_of += [b] * (box.stop - box.start)
    wires: dict[Any, Wire] = {}
    times: Counter[tuple[int, int]] = Counter()
    slots: defaultdict[Any, dict[int, Any]] = defaultdict(dict)
    for b, box in enumerate(divided):
        shown = represent[b]
        for place, made in enumerate(reading.made[box.start : box.stop]):
            seen: dict[int, int] = {}
            for position, x in enumerate(made.inputs or ()):
                i = reading.index.get(id(x)) if isinstance(x, Tensor) else None
                if i is None:
                    if x is not None and (isinstance(x, Tensor) or np.ndim(x)):
                        times[shown, id(x)] += stands_for[shown][0] == b
                        slots[_slot(box, shown, place, position, x, len(made.inputs or ()))].setdefault(id(x), x)
                    continue
                source = box_of[i]
                if source == b:
                    continue
                key: Key = ("r", represent[source], i - divided[source].start)
                result.results.setdefault(key, [])
                if represent[source] >= shown:
                    if shown in fold_of:
                        result.carried.add(fold_of[shown])
                    continue
                # z + z keeps both its edges; a thousand equal operands are one edge that says so.
                again = seen.get(i, 0) if box.single else 0
                seen[i] = again + 1
                at = ("more",) if again > 1 or len(made.inputs or ()) > MOST_OPERANDS else (place, position)
                if not box.single:
                    at = ("more",)
                wire = wires.get((key, shown, at))
                if wire is None:
                    wires[key, shown, at] = Wire(key, shown, place, position)
                elif stands_for[shown][0] == b:
                    wire.count += 1
    if reading.root.op is not None and reading.made:
        last = box_of[-1]
        result.results.setdefault(("r", represent[last], divided[last].stop - 1 - divided[last].start), [])
    for key in result.results:
        result.results[key] = [divided[b].start + key[2] for b in stands_for[key[1]]]
    _attach(result, slots, wires, times)
    result.wires = sorted(wires.values(), key=lambda wire: (wire.box, wire.place, wire.position))
    return result


def _slot(box: Box, shown: int, place: int, position: int, x: Any, operands: int) -> tuple[Any, ...]:
    """Return the place at which a leaf is used; leaves in the same place of several repetitions share a card."""
    learnt = isinstance(x, Tensor) and x.requires_grad
    if box.earlier:
        return ("earlier", shown)
    if operands > MOST_OPERANDS and position >= MOST_OPERANDS - 1:
        return ("crowd", shown, place, position if place == -1 else -1, learnt)
    return ("slot", shown, place, position, learnt)


def _attach(
    result: Outline,
    slots: dict[Any, dict[int, Any]],
    wires: dict[Any, Wire],
    times: Counter[tuple[int, int]],
) -> None:
    """Make a leaf, or several that share a place, one node, and wire it to the boxes that use it."""
    inside: defaultdict[int, set[int]] = defaultdict(set)
    for slot, objects in slots.items():
        kind, shown = slot[:2]
        if kind == "earlier":
            inside[shown] |= set(objects)
            continue
        key: Key = ("l", *objects)
        result.leaves.setdefault(key, list(objects.values()))
        place, position = slot[2], (slot[3] if kind == "slot" else MOST_OPERANDS - 1)
        single = result.boxes[shown].single
        count = sum(times[shown, i] for i in objects) if single else 1
        # One that is an operand twice has two edges; one that is it more often has one that says so.
        at = (place, position) if single and count <= 2 else ("more",)
        if (key, shown, at) not in wires:
            wires[key, shown, at] = Wire(key, shown, place, position, count if at == ("more",) else 1)
    result.hidden = {shown: len(ids) for shown, ids in inside.items()}
