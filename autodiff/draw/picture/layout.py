"""Where everything stands: a layered layout that reads like a page, in lines from left to right.

Ops and results stand in columns in the order of the computation; what only one op uses (its parameters, labels) stands
above and below that op. Where the columns do not fit on one line, the picture goes on in the next, as text does, if
possible before an op with parameters: in a stack of layers, each line is a layer.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from autodiff.draw.model import Edge, Model, OpNode, TensorNode
from autodiff.draw.picture.arrangement import across, ordered, ranks
from autodiff.draw.picture.cards import Card, columns
from autodiff.draw.picture.edges import flowing, hanging
from autodiff.draw.picture.geometry import Item, Layout, Rect, edge_text
from autodiff.draw.picture.look import CHARACTER
from autodiff.draw.picture.scopes import common

#: Pixels between neighbours in a column, between columns, and what a frame takes on each side.
GAP = 18
STEP = 34
FRAME = 7
FRAME_TITLE = 18
MARGIN = 20
#: How wide a line may be before the picture goes on in the next.
LINE_WIDTH = 1510
#: Space between two lines, for the edges that go from one to the next.
GUTTER = 34
_DEEPEST_FRAMES = 4


class Repeated(str):
    """The frame of a repetition, by its number, where layers have their names: any string may be one of those."""

    __slots__ = ()

    @property
    def number(self) -> int:
        """Which repetition of the picture it is."""
        return int(self[1:])


def satellites(model: Model) -> dict[str, str]:
    """Return for each leaf that only one op uses that op; one operand of every op stays in the line."""
    targets: defaultdict[str, list[str]] = defaultdict(list)
    sources: defaultdict[str, list[str]] = defaultdict(list)
    for edge in model.edges:
        targets[edge.source].append(edge.target)
        sources[edge.target].append(edge.source)
    found: dict[str, str] = {}
    for key, node in model.nodes.items():
        if not isinstance(node, OpNode):
            continue
        own = list(dict.fromkeys(source for source in sources[key] if _belongs(model, source, key, targets, sources)))
        if own and len(own) == len(set(sources[key])):
            data = [source for source in own if model.nodes[source].kind != "parameter"]  # type: ignore[union-attr]
            own.remove((data or own)[0])
        found.update((source, key) for source in own)
    return found


def _belongs(model: Model, source: str, op: str, targets: dict[str, list[str]], sources: dict[str, list[str]]) -> bool:
    node = model.nodes[source]
    leaf = isinstance(node, TensorNode) and not sources.get(source)
    return leaf and set(targets[source]) == {op}


def lay_out(model: Model, cards: dict[str, Card], rankdir: str = "auto") -> Layout:
    """Place a picture; `rankdir` is "LR" for one line, "TB" from top to bottom, "auto" for lines as on a page."""
    layout = Layout(upright=rankdir == "TB")
    owner = satellites(model)
    items = layout.items
    scopes = _with_repeats(model)
    for key, node in model.nodes.items():
        if key not in owner:
            items[key] = Item(key, scope=scopes.get(key, node.scope)[:_DEEPEST_FRAMES])
    for source, op in owner.items():
        item = items[op]
        (item.over if len(item.over) <= len(item.under) else item.under).append(source)
    labels = {edge.source: edge_text(edge) for edge in model.edges if edge.source in owner}
    for item in items.values():
        _measure(item, cards, layout.upright, labels)
    flow = [edge for edge in model.edges if edge.source not in owner]
    if layout.upright:  # there a label stands beside its edge
        for edge in flow:
            if edge_text(edge):
                item = items[edge.target]
                item.down = max(item.down, columns(edge_text(edge)) * CHARACTER + 34)
    ranks(items, flow, model.repeats)
    chains = _with_bends(items, flow)
    columns_ = ordered(items, chains)
    across(columns_, chains, _separation)
    _along(layout, columns_, chains, cards, model, rankdir)
    _rects(layout, cards)
    _draw(layout, model, chains, owner)
    return layout


def _with_repeats(model: Model) -> dict[str, tuple[str, ...]]:
    """Put a repeated block into a frame of its own, inside the layers that all of it is in."""
    found = {}
    for number, repeat in enumerate(model.repeats):
        scopes = [model.nodes[key].scope for key in repeat.nodes if isinstance(model.nodes[key], OpNode)]
        shared = len(common(scopes))
        for key in repeat.nodes:
            scope = model.nodes[key].scope
            found[key] = (*scope[:shared], Repeated(f"\x00{number}"), *scope[shared:])
    return found


def _measure(item: Item, cards: dict[str, Card], upright: bool, labels: dict[str, str]) -> None:
    card = cards[item.key]
    w, h = (card.height, card.width) if upright else (card.width, card.height)
    item.up = item.down = h / 2
    item.breadth = w
    widest = max((columns(labels[key]) for key in (*item.over, *item.under)), default=0)
    item.gap = max(GAP, widest * CHARACTER + 12) if upright else GAP
    for keys, side in ((item.over, "up"), (item.under, "down")):
        for key in keys:
            own = cards[key].width if upright else cards[key].height
            setattr(item, side, getattr(item, side) + item.gap + own)
            item.breadth = max(item.breadth, cards[key].height if upright else cards[key].width)
            if labels[key] and not upright:
                item.breadth = max(item.breadth, 2 * (columns(labels[key]) * CHARACTER + 12))


def _with_bends(items: dict[str, Item], flow: list[Edge]) -> list[tuple[int, list[str]]]:
    """Return each edge, by number, as the chain of items that it passes: a bend in every column between its ends."""
    found = []
    for number, edge in enumerate(flow):
        low, high = items[edge.source].rank, items[edge.target].rank
        chain = [edge.source]
        for rank in range(low + 1, high):
            key = f"{number}.{rank}"
            items[key] = Item(key, rank)
            chain.append(key)
        found.append((number, [*chain, edge.target]))
    return found


def _separation(a: Item, b: Item) -> float:
    """Return how far apart the lines of two neighbours have to be."""
    gap = GAP / 2 if a.bend and b.bend else GAP
    if a.scope != b.scope:
        shared = 0
        for one, other in zip(a.scope, b.scope, strict=False):
            if one != other:
                break
            shared += 1
        gap += FRAME * (len(a.scope) - shared) + (FRAME + FRAME_TITLE) * (len(b.scope) - shared)
    return a.down + b.up + gap


def _along(
    layout: Layout,
    columns_: list[list[Item]],
    chains: list[tuple[int, list[str]]],
    cards: dict[str, Card],
    model: Model,
    rankdir: str,
) -> None:
    """Give every column its place along the way, and every item its line."""
    widths = [max(item.breadth for item in column) for column in columns_]
    room = _label_room(chains, layout, model)
    gaps = _gaps(columns_, room, layout)
    cuts = _cuts(columns_, widths, gaps, chains, room, layout.items, model) if rankdir == "auto" else []
    starts = [0, *cuts, len(columns_)]
    spans = [range(a, b) for a, b in pairwise(starts)]
    layout.lines = len(spans)
    indent = 0.0
    if len(spans) > 1:
        indent = _align(columns_, widths, gaps, spans)
    depth = max((len(item.scope) for item in layout.items.values()), default=0)
    crossing = _crossing(cuts, chains, layout.items)
    head, foot = depth * (FRAME + FRAME_TITLE), depth * FRAME
    side = MARGIN + depth * FRAME + (12 + 6 * max(crossing) if crossing else 0)
    top = 0.0
    for number, span in enumerate(spans):
        here = [item for c in span for item in columns_[c]]
        highest = min(item.place - item.up for item in here)
        lowest = max(item.place + item.down for item in here)
        # An edge from the line before brings its label along.
        x = side + (max(indent, room[span[0]]) if number else 0.0)
        for c in span:
            for item in columns_[c]:
                item.at = x + widths[c] / 2
                item.line = number
                item.place += top + head - highest
            x += widths[c] + gaps[c]
        layout.width = max(layout.width, x - gaps[span[-1]] + side)
        top += head + foot + lowest - highest
        if number + 1 < len(spans):
            top += GUTTER + 9 * max(crossing[number] - 1, 0)
    layout.height = top
    if layout.upright:
        layout.width, layout.height = layout.height + 2 * side, layout.width
        for item in layout.items.values():
            item.place += side


def _label_room(chains: list[tuple[int, list[str]]], layout: Layout, model: Model) -> dict[int, float]:
    """Return how much room the labels of edges need before each column."""
    found: defaultdict[int, float] = defaultdict(float)
    flow = [edge for edge in model.edges if edge.source in layout.items]
    for number, chain in chains:
        if label := edge_text(flow[number]):
            c = layout.items[chain[-1]].rank
            found[c] = found[c] + 14 if layout.upright else max(found[c], columns(label) * CHARACTER + 22)
    return found


def _gaps(columns_: list[list[Item]], room: dict[int, float], layout: Layout) -> list[float]:
    """Return the space after each column: for the edges, their labels and the frames that begin or end there."""
    gaps = [max(float(STEP), room[c + 1]) + (room[c + 1] if layout.upright else 0.0) for c in range(len(columns_))]
    for c in range(len(columns_) - 1):
        left = {item.scope for item in columns_[c] if not item.bend}
        right = {item.scope for item in columns_[c + 1] if not item.bend}
        if left != right:
            gaps[c] += FRAME * (max(map(len, left), default=0) + max(map(len, right), default=0))
            gaps[c] += FRAME_TITLE if layout.upright else 0
    return gaps


def _cuts(
    columns_: list[list[Item]],
    widths: list[float],
    gaps: list[float],
    chains: list[tuple[int, list[str]]],
    room: dict[int, float],
    items: dict[str, Item],
    model: Model,
) -> list[int]:
    """Return before which columns a new line begins: where few edges cross, and an op with parameters follows."""
    total = sum(widths) + sum(gaps[:-1])
    if total <= LINE_WIDTH:
        return []
    crossing = _crossing(list(range(1, len(columns_))), chains, items)
    cost = [0.0]
    for c in range(1, len(columns_)):
        learnt = any(
            isinstance(node := model.nodes.get(key), TensorNode) and node.kind == "parameter"
            for item in columns_[c]
            for key in (*item.over, *item.under)
        )
        splits = any(item.key.startswith("t") and not item.bend and item.scope for item in columns_[c])
        inside = {part for item in columns_[c - 1] for part in item.scope if isinstance(part, Repeated)}
        splits = splits or any(part in inside for item in columns_[c] for part in item.scope)
        splits = splits or (c == 1 and all(item.key.startswith("t") for item in columns_[0]))
        splits = splits or room[c] > 0
        cost.append(crossing[c - 1] + (0.0 if learnt else 2.5) + (2.0 if splits else 0.0))
    best: list[tuple[float, list[int]]] = [(0.0, [])]
    for stop in range(1, len(columns_) + 1):
        options = []
        width = 0.0
        for start in range(stop - 1, -1, -1):
            width += widths[start] + (gaps[start] if start < stop - 1 else 0.0)
            if width > LINE_WIDTH and start < stop - 1:
                break
            before, cuts = best[start]
            slack = 0.0 if stop == len(columns_) else ((LINE_WIDTH - width) / LINE_WIDTH) ** 2
            options.append((before + cost[start] + slack + 1.0, [*cuts, start] if start else cuts))
        best.append(min(options))
    return best[-1][1]


def _crossing(cuts: list[int], chains: list[tuple[int, list[str]]], items: dict[str, Item]) -> list[int]:
    """Return how many edges cross each cut."""
    found = dict.fromkeys(cuts, 0)
    for _, chain in chains:
        for rank in range(items[chain[0]].rank + 1, items[chain[-1]].rank + 1):
            if rank in found:
                found[rank] += 1
    return list(found.values())


def _align(columns_: list[list[Item]], widths: list[float], gaps: list[float], spans: list[range]) -> float:
    """Make the columns of all lines as wide as each other where there is room; return how far to indent later lines."""
    lead = all(item.key.startswith("t") for item in columns_[0])
    skip = 1 if lead else 0
    trial_w, trial_g = widths[:], gaps[:]
    for offset in range(max(map(len, spans))):
        same = [
            span[offset + (skip if n == 0 else 0)]
            for n, span in enumerate(spans)
            if offset + (skip if n == 0 else 0) < len(span)
        ]
        for c in same:
            trial_w[c] = max(widths[k] for k in same)
            trial_g[c] = max(gaps[k] for k in same)
    indent = trial_w[0] + trial_g[0] if lead else 0.0
    for n, span in enumerate(spans):
        if sum(trial_w[c] + trial_g[c] for c in span) + (indent if n else 0.0) > LINE_WIDTH:
            return 0.0
    widths[:], gaps[:] = trial_w, trial_g
    return indent


def _rects(layout: Layout, cards: dict[str, Card]) -> None:
    """Place the cards around the lines of their items."""
    for item in layout.items.values():
        if item.bend:
            continue
        stack = [(item.key, 0.0)]
        card = cards[item.key]
        for keys, sign in ((item.over, -1.0), (item.under, 1.0)):
            reach = (card.width if layout.upright else card.height) / 2
            for key in keys:
                own = cards[key].width if layout.upright else cards[key].height
                stack.append((key, sign * (reach + item.gap + own / 2)))
                reach += item.gap + own
        for key, offset in stack:
            w, h = cards[key].width, cards[key].height
            x, y = item.at, item.place + offset
            if layout.upright:
                x, y = item.place + offset, item.at
            layout.rects[key] = Rect(round(x - w / 2, 1), round(y - h / 2, 1), w, h)


def _draw(layout: Layout, model: Model, chains: list[tuple[int, list[str]]], owner: dict[str, str]) -> None:
    flow = [edge for edge in model.edges if edge.source not in owner]
    layout.paths = flowing(layout, flow, chains) + hanging(layout, model, owner)
