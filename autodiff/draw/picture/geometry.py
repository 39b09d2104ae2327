"""Rectangles, paths and places: what a layout consists of, for everything that draws it."""

from __future__ import annotations

from dataclasses import dataclass, field

from autodiff.draw.model import Edge


@dataclass(slots=True)
class Rect:
    """A rectangle by its upper left corner."""

    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        """The right edge."""
        return self.x + self.w

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y + self.h

    def holds(self, other: Rect) -> bool:
        """Whether all of another lies inside."""
        return self.x <= other.x and other.right <= self.right and self.y <= other.y and other.bottom <= self.bottom

    def meets(self, other: Rect) -> bool:
        """Whether two rectangles have a point in common."""
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom


@dataclass(slots=True)
class Path:
    """An edge as it is drawn: corners and curves as SVG writes them, and where its head points."""

    edge: Edge
    d: str
    head: tuple[float, float]
    direction: tuple[float, float]
    label_at: tuple[float, float, str] | None = None


@dataclass(slots=True)
class Item:
    """What takes one place in a column: a card, an op with what stands above and below it, or a bend of an edge.

    `up` and `down` say how far it reaches from the line on which edges come and go, `breadth` how far along the way,
    `gap` how far from the op stands what is above and below.
    """

    key: str
    rank: int = 0
    up: float = 5.0
    down: float = 5.0
    breadth: float = 0.0
    scope: tuple[str, ...] = ()
    over: list[str] = field(default_factory=list)
    under: list[str] = field(default_factory=list)
    gap: float = 0.0
    place: float = 0.0
    at: float = 0.0
    line: int = 0

    @property
    def bend(self) -> bool:
        """Whether this is only a place that an edge passes."""
        return not self.breadth


@dataclass(slots=True)
class Layout:
    """The places of everything, in pixels.

    Attributes
    ----------
    rects : dict of str to Rect
        Of each node.
    paths : list of Path
    items : dict of str to Item
    lines : int
        On how many lines the picture runs.
    width, height : float
    upright : bool
        Whether it runs from top to bottom.
    """

    rects: dict[str, Rect] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    lines: int = 1
    width: float = 0.0
    height: float = 0.0
    upright: bool = False


def edge_text(edge: Edge) -> str:
    """Return what is written beside an edge."""
    parts = [edge.label] if edge.label else []
    parts += [f"× {edge.count:,}"] if edge.count > 1 else []
    return " ".join(parts)
