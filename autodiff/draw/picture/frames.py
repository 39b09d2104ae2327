"""The frames around layers and around blocks that repeat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from autodiff.draw.markup import plain
from autodiff.draw.model import Model
from autodiff.draw.picture.cards import columns, wrapped
from autodiff.draw.picture.geometry import Item, Layout, Rect
from autodiff.draw.picture.layout import FRAME, FRAME_TITLE, Repeated
from autodiff.draw.picture.look import CHARACTER


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame with its title; `repeat` marks one around a block that is drawn once."""

    rect: Rect
    title: str
    repeat: bool = False


def frames(layout: Layout, model: Model) -> list[Frame]:
    """Return the frames, outer ones first.

    A layer that stands on two lines has a frame on each; one between whose nodes others stand has several. A frame that
    would cut through another is left out.
    """
    members: defaultdict[tuple[str, ...], list[Item]] = defaultdict(list)
    for item in layout.items.values():
        if not item.bend:
            for depth in range(1, len(item.scope) + 1):
                members[item.scope[:depth]].append(item)
    found: list[Frame] = []
    placed: list[tuple[tuple[str, ...], Rect]] = []
    labels = [_label(*path.label_at) for path in layout.paths if path.label_at is not None]
    extents = {item.key: _extent(layout, item) for item in layout.items.values() if not item.bend}
    for scope in sorted(members, key=len):
        inner = max(len(item.scope) for item in members[scope]) - len(scope)
        pad, title = FRAME * (inner + 1), FRAME_TITLE * (inner + 1)
        for rect in _pieces(layout, members[scope], extents, pad, title):
            around = [r for other, r in placed if other == scope[: len(other)] and other != scope and r.meets(rect)]
            if any(not r.holds(rect) for r in around) or any(
                r.meets(rect) for other, r in placed if other != scope[: len(other)] or other == scope
            ):
                continue
            top = Rect(rect.x, rect.y, rect.w, FRAME_TITLE)
            if any(label.meets(top) for label in labels):
                continue
            placed.append((scope, rect))
            found.append(_titled(rect, scope[-1], model))
    return found


def _label(x: float, y: float, text: str) -> Rect:
    half = columns(text) * CHARACTER / 2
    return Rect(x - half, y - 10, 2 * half, 13)


def _titled(rect: Rect, name: str, model: Model) -> Frame:
    room = max(int((rect.w - 12) / CHARACTER), 4)
    if isinstance(name, Repeated):
        repeat = model.repeats[name.number]
        times = f"× {repeat.times:,}"
        words = f"{times}, each feeds the next" if repeat.feeds_itself else times
        return Frame(rect, words if columns(words) <= room else times, repeat=True)
    shown = plain(name or "layer", 60)
    return Frame(rect, shown if columns(shown) <= room else wrapped(shown, room - 1, "")[0] + "…")


def _pieces(layout: Layout, members: list[Item], extents: dict[str, Rect], pad: float, title: float) -> Iterator[Rect]:
    """Yield rectangles around the members on each line that meet nothing else: one, or several of what is connected."""
    by_line: defaultdict[int, list[Item]] = defaultdict(list)
    for item in members:
        by_line[item.line].append(item)
    inside = {item.key for item in members}
    for line, here in sorted(by_line.items()):
        others = [rect for key, rect in extents.items() if key not in inside and layout.items[key].line == line]

        def free(rects: list[Rect], others: list[Rect] = others) -> bool:
            return not any(around(rects, pad, title).meets(other) for other in others)

        group = {item.key: [item.key] for item in here}
        if free([extents[item.key] for item in here]):
            whole = [item.key for item in here]
            group = {key: whole for key in whole}
        else:
            for path in layout.paths:
                a, b = group.get(path.edge.source), group.get(path.edge.target)
                if a is not None and b is not None and a is not b and free([extents[key] for key in (*a, *b)]):
                    both = [*a, *b]
                    group.update((key, both) for key in both)
        for keys in {id(keys): keys for keys in group.values()}.values():
            rest = [extents[item.key] for item in here if item.key not in keys]
            if free(rects := [extents[key] for key in keys], [*others, *rest]):
                yield around(rects, pad, title)


def _extent(layout: Layout, item: Item) -> Rect:
    """Return the rectangle around an item with what stands above and below it."""
    return around([layout.rects[key] for key in (item.key, *item.over, *item.under)], 0, 0)


def around(rects: list[Rect], pad: float, title: float) -> Rect:
    """Return the smallest rectangle around some others, with room at the sides and for a title."""
    x, y = min(rect.x for rect in rects), min(rect.y for rect in rects)
    right, bottom = max(rect.right for rect in rects), max(rect.bottom for rect in rects)
    above = title + 2 if title else 0
    return Rect(x - pad, y - above, right - x + 2 * pad, bottom - y + above + pad)
