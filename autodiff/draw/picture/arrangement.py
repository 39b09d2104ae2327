"""The order of what stands in one column, and how high each stands: few crossings, straight edges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

from autodiff.draw.model import Edge, Repeat
from autodiff.draw.picture.geometry import Item

#: An edge by its number, as the chain of items that it passes.
Chains = Sequence[tuple[int, list[str]]]
_SWEEPS = 6


def ranks(items: dict[str, Item], edges: list[Edge], repeats: Sequence[Repeat]) -> None:
    """Put every item into a column after all that it is computed from; a leaf just before its first use.

    A block that repeats begins after all that leads into it, so that it stands together.
    """
    block = {key: repeat for repeat in repeats for key in repeat.nodes}
    sources: defaultdict[str, list[str]] = defaultdict(list)
    targets: defaultdict[str, list[str]] = defaultdict(list)
    for edge in edges:
        sources[edge.target].append(edge.source)
        targets[edge.source].append(edge.target)
    into: dict[Repeat, list[str]] = {
        repeat: [s for key in repeat.nodes for s in sources[key] if s not in repeat.nodes and sources[s]]
        for repeat in repeats
    }
    for key, item in items.items():
        before = sources[key] + (into[block[key]] if key in block else [])
        item.rank = max((items[source].rank + 1 for source in before), default=0)
    for key, item in items.items():
        if not sources[key] and targets[key]:
            item.rank = max(min(items[target].rank for target in targets[key]) - 1, 0)


def ordered(items: dict[str, Item], chains: Chains) -> list[list[Item]]:
    """Sort every column so that few edges cross: each item near the mean of its neighbours, by sweeps to and fro."""
    columns: list[list[Item]] = [[] for _ in range(max(item.rank for item in items.values()) + 1)]
    before, after = _neighbours(chains)
    for item in items.values():
        columns[item.rank].append(item)
    position: dict[str, float] = {}

    def number(column: list[Item]) -> None:
        position.update((item.key, i / max(len(column) - 1, 1)) for i, item in enumerate(column))

    for column in columns:
        number(column)
    best = [column[:] for column in columns]
    fewest = _crossings(columns, after)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        forward = sweep % 2 == 0
        neighbours = before if forward else after
        for column in columns if forward else reversed(columns):
            mean = {
                item.key: sum(position[key] for key in near) / len(near) if (near := neighbours[item.key]) else None
                for item in column
            }
            column.sort(key=lambda item: position[item.key] if mean[item.key] is None else mean[item.key])  # type: ignore[arg-type, return-value]
            number(column)
        crossings = _crossings(columns, after)
        if crossings < fewest:
            fewest, best = crossings, [column[:] for column in columns]
    return best


def across(columns: list[list[Item]], chains: Chains, separation: Callable[[Item, Item], float]) -> None:
    """Set the height of every item: near the mean of its neighbours, in the order and at the distances given."""
    before, after = _neighbours(chains)
    by_key = {item.key: item for column in columns for item in column}
    for column in columns:
        place = 0.0
        for i, item in enumerate(column):
            place += separation(column[i - 1], item) if i else 0.0
            item.place = place
        middle = place / 2
        for item in column:
            item.place -= middle
    for sweep in range(2 * _SWEEPS):
        forward = sweep % 2 == 0
        for column in columns if forward else reversed(columns):
            wanted, weight = [], []
            for item in column:
                near = before[item.key] if forward else after[item.key]
                near = near or (after[item.key] if forward else before[item.key])
                wanted.append(sum(by_key[key].place for key in near) / len(near) if near else item.place)
                # A long edge is to be straight: its bends keep their line before others keep theirs.
                weight.append(4.0 if item.bend else 1.0)
            _settle(column, wanted, weight, separation)


def _settle(
    column: list[Item], wanted: list[float], weight: list[float], separation: Callable[[Item, Item], float]
) -> None:
    """Move the items of a column as little as possible from where they are wanted (isotonic regression)."""
    offset = [0.0]
    for a, b in pairwise(column):
        offset.append(offset[-1] + separation(a, b))
    blocks: list[list[float]] = []  # weight, weighted mean, number of items
    for want, shift, mass in zip(wanted, offset, weight, strict=True):
        blocks.append([mass, want - shift, 1])
        while len(blocks) > 1 and blocks[-2][1] > blocks[-1][1]:
            mass_b, mean_b, count_b = blocks.pop()
            mass_a, mean_a, count_a = blocks[-1]
            total = mass_a + mass_b
            blocks[-1] = [total, (mass_a * mean_a + mass_b * mean_b) / total, count_a + count_b]
    i = 0
    for _, mean, count in blocks:
        for _ in range(int(count)):
            column[i].place = round(mean + offset[i], 2)
            i += 1


def _neighbours(chains: Chains) -> tuple[defaultdict[str, list[str]], defaultdict[str, list[str]]]:
    before: defaultdict[str, list[str]] = defaultdict(list)
    after: defaultdict[str, list[str]] = defaultdict(list)
    for _, chain in chains:
        for a, b in pairwise(chain):
            after[a].append(b)
            before[b].append(a)
    return before, after


def _crossings(columns: list[list[Item]], after: dict[str, list[str]]) -> int:
    """Count the pairs of edges between neighbouring columns that cross."""
    total = 0
    for left, right in pairwise(columns):
        place = {item.key: i for i, item in enumerate(right)}
        ends: list[int] = []
        for item in left:
            ends += sorted(place[key] for key in after[item.key])
        total += sum(1 for i, a in enumerate(ends) for b in ends[i + 1 :] if b < a) if len(ends) < 400 else 0
    return total
