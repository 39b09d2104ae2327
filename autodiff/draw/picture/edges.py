"""The edges as curves: along the line, around to the next line, and short ones from what stands above or below."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

from autodiff.draw.model import Edge, Model
from autodiff.draw.picture.cards import columns
from autodiff.draw.picture.geometry import Item, Layout, Path, edge_text
from autodiff.draw.picture.look import CHARACTER
from autodiff.draw.picture.shapes import coordinate

_PORTS = 13
_HEAD = 7


def flowing(layout: Layout, edges: list[Edge], chains: list[tuple[int, list[str]]]) -> list[Path]:
    """Return the edges between items."""
    ports = _ports(edges)
    arriving = Counter(edge.target for edge in edges)
    steps = {key: _port_step(count) for key, count in arriving.items()}
    labels: Counter[str] = Counter()
    lanes = _lanes(layout, chains)
    found = []
    for number, chain in chains:
        edge = edges[number]
        pen = _Pen(layout)
        source, target = layout.items[chain[0]], layout.items[chain[-1]]
        pen.start(source.at + _half(layout, source), source.place)
        here = source
        for key in chain[1:]:
            item = layout.items[key]
            last = item is target
            place = item.place + (ports[number] if last else 0.0)
            edge_of_item = item.at - (_half(layout, item) if last else 0.0) - (_HEAD if last else 0.0)
            if item.line != here.line:
                pen.next_line(here, item, edge_of_item, place, lanes[number, here.line])
            else:
                pen.curve(edge_of_item, place)
            here = item
        label = edge_text(edge)
        crowded = labels[edge.target] and not layout.upright and steps[edge.target] < 12
        label = "" if crowded else label
        labels[edge.target] += bool(label)
        found.append(
            Path(
                edge,
                pen.d,
                pen.point(edge_of_item + _HEAD, place),
                (0.0, 1.0) if layout.upright else (1.0, 0.0),
                _label_spot(layout, target, place, label, labels[edge.target] - 1) if label else None,
            )
        )
    return found


def hanging(layout: Layout, model: Model, owner: dict[str, str]) -> list[Path]:
    """Return the edges from what stands above and below an op to it."""
    found = []
    uses: Counter[str] = Counter(edge.source for edge in model.edges if edge.source in owner)
    drawn: Counter[str] = Counter()
    for edge in model.edges:
        if edge.source not in owner:
            continue
        card, box = layout.rects[edge.source], layout.rects[edge.target]
        item = layout.items[edge.target]
        over = edge.source in item.over
        depth = (item.over if over else item.under).index(edge.source)
        shift = (drawn[edge.source] - (uses[edge.source] - 1) / 2) * _PORTS
        drawn[edge.source] += 1
        label = edge_text(edge)
        if layout.upright:
            y = box.y + box.h / 2 + shift + 0.0
            x0, x1 = (card.right, box.x - _HEAD) if over else (card.x, box.right + _HEAD)
            y += 9 * depth
            d = f"M{coordinate(x0)} {coordinate(y)}H{coordinate(x1)}"
            head, direction = (x1 + (_HEAD if over else -_HEAD), y), (1.0 if over else -1.0, 0.0)
            found.append(Path(edge, d, head, direction, ((x0 + x1) / 2, y - 4, label) if label else None))
            continue
        sign = 1 if over else -1
        y1 = (box.y - _HEAD) if over else (box.bottom + _HEAD)
        if depth == 0:
            x = box.x + box.w / 2 + shift
            y0 = card.bottom if over else card.y
            d = f"M{coordinate(x)} {coordinate(y0)}V{coordinate(y1)}"
        else:  # around those that stand between
            x = min(layout.rects[key].x for key in (*item.over, *item.under, edge.target)) - 4 - 6 * depth
            y0 = card.y + card.h / 2
            inner = box.x + 8 + 10 * (depth - 1)
            d = f"M{coordinate(card.x)} {coordinate(y0)}H{coordinate(x)}V{coordinate(y1 - sign * 4)}"
            d += f"H{coordinate(inner)}V{coordinate(y1)}"
            x = inner
        head = (x, y1 + sign * _HEAD)
        spot = (x + 8 + columns(label) * CHARACTER / 2, y1 - 1 if over else y1 + 4, label) if label else None
        found.append(Path(edge, d, head, (0.0, float(sign)), spot))
    return found


class _Pen:
    """Writes a path; along and across become x and y here."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.d = ""
        self.here = (0.0, 0.0)

    def point(self, along: float, place: float) -> tuple[float, float]:
        return (place, along) if self.layout.upright else (along, place)

    def _pair(self, along: float, place: float) -> str:
        x, y = self.point(along, place)
        return f"{coordinate(x)} {coordinate(y)}"

    def start(self, along: float, place: float) -> None:
        self.d = f"M{self._pair(along, place)}"
        self.here = (along, place)

    def curve(self, along: float, place: float) -> None:
        a, p = self.here
        if abs(p - place) < 0.5:
            self.d += f"L{self._pair(along, place)}"
        else:
            middle = (a + along) / 2
            self.d += f"C{self._pair(middle, p)} {self._pair(middle, place)} {self._pair(along, place)}"
        self.here = (along, place)

    def next_line(self, left: Item, right: Item, along: float, place: float, lane: tuple[int, int]) -> None:
        """Go around the right end of this line, back between the lines, and to the beginning of the next."""
        layout = self.layout
        mine = [item for item in layout.items.values() if item.line == left.line]
        theirs = [item for item in layout.items.values() if item.line == right.line]
        end = max(item.at + item.breadth / 2 for item in mine) + 14 + 6 * lane[0]
        begin = min(item.at - item.breadth / 2 for item in theirs) - 20 - 6 * lane[1]
        depth = max((len(item.scope) for item in layout.items.values()), default=0)
        between = max(item.place + item.down for item in mine) + 7 * depth + 12 + 9 * lane[0]
        r = 8
        _, p = self.here
        r_ = -r
        self.d += f"L{coordinate(end - r)} {coordinate(p)}q{r} 0 {r} {r}V{coordinate(between - r)}q0 {r} {r_} {r}"
        self.d += f"H{coordinate(begin + r)}q{r_} 0 {r_} {r}V{coordinate(place - r)}q0 {r} {r} {r}"
        self.d += f"L{coordinate(along)} {coordinate(place)}"
        self.here = (along, place)


def _lanes(layout: Layout, chains: list[tuple[int, list[str]]]) -> dict[tuple[int, int], tuple[int, int]]:
    """Return for each edge that goes on in the next line how far out it goes on the right and on the left."""
    going: defaultdict[int, list[tuple[int, Item, Item]]] = defaultdict(list)
    for number, chain in chains:
        for a, b in pairwise(chain):
            one, other = layout.items[a], layout.items[b]
            if one.line != other.line:
                going[one.line].append((number, one, other))
    found = {}
    for line, edges in going.items():
        # The highest goes farthest out, so that it passes around those below; on the left it stays innermost.
        right = sorted(range(len(edges)), key=lambda i: -edges[i][1].place)
        left = sorted(range(len(edges)), key=lambda i: edges[i][2].place)
        for i, (number, _, _) in enumerate(edges):
            found[number, line] = right.index(i), left.index(i)
    return found


def _ports(edges: list[Edge]) -> list[float]:
    """Return how far from the middle of its op each edge arrives: operands in order, from top to bottom."""
    arriving: defaultdict[str, list[int]] = defaultdict(list)
    for number, edge in enumerate(edges):
        arriving[edge.target].append(number)
    found = [0.0] * len(edges)
    for numbers in arriving.values():
        numbers.sort(key=lambda number: edges[number].operand or 0)
        step = _port_step(len(numbers))
        for i, number in enumerate(numbers):
            found[number] = (i - (len(numbers) - 1) / 2) * step
    return found


def _port_step(count: int) -> float:
    return min(_PORTS, 40 / max(count - 1, 1))


def _half(layout: Layout, item: Item) -> float:
    """Return half the breadth of the card itself, which may be less than that of its column."""
    if item.bend:
        return 0.0
    rect = layout.rects[item.key]
    return (rect.h if layout.upright else rect.w) / 2


def _label_spot(layout: Layout, target: Item, place: float, label: str, before: int) -> tuple[float, float, str] | None:
    """Return where the label of an arriving edge stands, `before` others at the same op: clear of the whole column."""
    column = max(item.breadth for item in layout.items.values() if item.rank == target.rank)
    half = columns(label) * CHARACTER / 2
    if layout.upright:
        return place + half + 6, target.at - column / 2 - 11 - 12 * before, label
    return target.at - column / 2 - half - 9, place - 6, label
