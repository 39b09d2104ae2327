"""Blocks that repeat: unrolled loops and stacks of equal layers, found in the list of boxes."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.draw.outline.levels import Box
from autodiff.draw.outline.reading import Reading
from autodiff.op import strip
from autodiff.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Fold:
    """Boxes `start` to ``start + period`` come `times` times, one after the other."""

    start: int
    period: int
    times: int

    @property
    def stop(self) -> int:
        """The first box after the last repetition."""
        return self.start + self.period * self.times


#: What is tried for the length of a block, by how much of the graph agrees with it.
_CANDIDATES = 10
_MOST_FOLDS = 20


def folds(reading: Reading, divided: list[Box], least: int = 3) -> list[Fold]:
    """Return the blocks that come at least `least` times in a row, by rising start, none of them overlapping.

    Two boxes are alike when they hold the same ops on operands of the same shapes, and each operand comes either from
    the corresponding place of the repetition before or from the same place.
    """
    kinds, wires = _signatures(reading, divided)
    # The last box makes the root, which has a card of its own.
    free = [(0, len(divided) - 1)]
    found: list[Fold] = []
    while free and len(found) < _MOST_FOLDS:
        low, high = free.pop()
        best = _best(kinds, wires, low, high, least, reading, divided)
        if best is not None:
            found.append(best)
            free += [(low, best.start), (best.stop, high)]
    return sorted(found, key=lambda fold: fold.start)


def _signatures(reading: Reading, divided: list[Box]) -> tuple[np.ndarray[Any, Any], list[tuple[Any, ...]]]:
    """Return for each box the number of its kind, and the boxes and places that its operands come from."""
    box_of = np.empty(len(reading.made), dtype=int).tolist()
    for b, box in enumerate(divided):
        for i in range(box.start, box.stop):
            box_of[i] = b
    numbers: dict[Any, int] = {}
    kinds: list[int] = []
    wires: list[tuple[Any, ...]] = []
    index = reading.index
    for b, box in enumerate(divided):
        kind: list[Any] = [len(box.scope)]
        wire: list[tuple[int, int]] = []
        for result in reading.made[box.start : box.stop]:
            kind += [result.op, result._data.shape]
            for x in result.inputs or ():
                if not isinstance(x, Tensor):
                    kind.append(getattr(x, "shape", None))
                    continue
                i = index.get(id(x), -1)
                if i < 0:
                    kind.append((x.requires_grad, x._data.shape))
                elif box_of[i] == b:
                    kind.append(i - box.start)
                else:
                    source = box_of[i]
                    kind.append("before")
                    wire.append((source, i - divided[source].start))
        kinds.append(numbers.setdefault(tuple(kind), len(numbers)))
        wires.append(tuple(wire))
    return np.array(kinds, dtype=int), wires


def _best(
    kinds: np.ndarray[Any, Any],
    wires: list[tuple[Any, ...]],
    low: int,
    high: int,
    least: int,
    reading: Reading,
    divided: list[Box],
) -> Fold | None:
    """Return the fold between two boxes that saves most; None where nothing repeats."""
    best: Fold | None = None
    saved = slack = 0
    for period in _periods(kinds[low:high]):
        if saved >= high - low - period:  # what a longer block could save at most
            break
        for start, stop in _agreeing(kinds, wires, low, high, period):
            times = (stop - start) // period + 1
            if times >= least and (times - 1) * period > saved:
                saved = (times - 1) * period
                best = Fold(start, period, times)
                slack = stop + period - best.stop
    return None if best is None else _well_placed(best, slack, low, least, reading, divided)


def _well_placed(fold: Fold, slack: int, low: int, least: int, reading: Reading, divided: list[Box]) -> Fold:
    """Let the block begin where the first turn of a loop does, or else a layer; that is worth one repetition less."""
    begins_with_layer = None
    for shift in range(fold.period):
        times = fold.times - (shift > slack)
        if times < least:
            break
        moved = Fold(fold.start + shift, fold.period, times)
        longer = _with_first(moved, low, reading, divided)
        if longer is not moved:
            return longer
        if begins_with_layer is None and _has_parameters(divided[moved.start], reading):
            begins_with_layer = moved
    return begins_with_layer or fold


def _periods(kinds: np.ndarray[Any, Any]) -> list[int]:
    """Return likely lengths of a block: distances at which a kind of box comes again."""
    last: defaultdict[int, list[int]] = defaultdict(list)
    lags: Counter[int] = Counter()
    for i, kind in enumerate(kinds.tolist()):
        places = last[kind]
        lags.update(i - place for place in places)
        places.append(i)
        if len(places) > 6:
            del places[0]
    return sorted(lag for lag, _ in lags.most_common(_CANDIDATES))


def _agreeing(
    kinds: np.ndarray[Any, Any], wires: list[tuple[Any, ...]], low: int, high: int, period: int
) -> list[tuple[int, int]]:
    """Return the longest ranges in which every box is like the one `period` later."""
    same = np.concatenate([[False], kinds[low : high - period] == kinds[low + period : high], [False]])
    turns = np.flatnonzero(same[1:] != same[:-1]) + low
    found = []
    for start, stop in zip(turns[::2].tolist(), turns[1::2].tolist(), strict=True):
        if stop - start < period:
            continue
        begin = start
        for i in range(start, stop + 1):
            if i < stop and all(
                a[1] == b[1] and (b[0] - a[0] == period or a[0] == b[0])
                for a, b in zip(wires[i], wires[i + period], strict=True)
            ):
                continue
            if i - begin >= period:
                found.append((begin, i))
            begin = i + 1
    return found


def _with_first(fold: Fold, low: int, reading: Reading, divided: list[Box]) -> Fold:
    """Take in the repetition before, where it differs only in what it goes on from: the initial state of a loop."""
    begin = fold.start - fold.period
    if begin < low:
        return fold
    for b in range(begin, fold.start):
        mine, next_ = divided[b], divided[b + fold.period]
        if mine.stop - mine.start != next_.stop - next_.start or len(mine.scope) != len(next_.scope):
            return fold
        shift = next_.start - mine.start
        for i in range(mine.start, mine.stop):
            one, other = reading.made[i], reading.made[i + shift]
            if one.op is not other.op or one.shape != other.shape or len(one.inputs or ()) != len(other.inputs or ()):
                return fold
            for x, y in zip(one.inputs or (), other.inputs or (), strict=True):
                if not _same_place(x, y, shift, divided[begin].start, reading):
                    return fold
    return Fold(begin, fold.period, fold.times + 1)


def _same_place(x: Any, y: Any, shift: int, begin: int, reading: Reading) -> bool:
    """Whether an operand of the first repetition and that of the second come from corresponding places."""
    i, j = reading.index.get(id(x)), reading.index.get(id(y))
    if np.shape(strip(x)) != np.shape(strip(y)):
        return False
    if j is None:
        return i is None and getattr(x, "requires_grad", None) == getattr(y, "requires_grad", None)
    if i is not None and j - i == shift:
        return True
    # What the second takes from the first, the first takes from outside.
    return i == j or (begin <= j < begin + shift and (i is None or i < begin))


def _has_parameters(box: Box, reading: Reading) -> bool:
    return any(
        isinstance(x, Tensor) and x.op is None and x.requires_grad
        for result in reading.made[box.start : box.stop]
        for x in result.inputs or ()
    )
