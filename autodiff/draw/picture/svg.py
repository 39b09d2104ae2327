"""A model as an SVG picture: small, the same bytes for the same graph, light or dark as its surroundings are."""

from __future__ import annotations

import math
from html import escape

from autodiff.draw.markup import plain
from autodiff.draw.model import Edge, Model, OpNode
from autodiff.draw.picture.cards import PADDING, Card, Line, cards, columns, part_of, spoken, wrapped
from autodiff.draw.picture.frames import frames
from autodiff.draw.picture.geometry import Layout, Path, Rect
from autodiff.draw.picture.heading import heading, title
from autodiff.draw.picture.layout import MARGIN, lay_out
from autodiff.draw.picture.legend import legend
from autodiff.draw.picture.look import CHARACTER, LINE, css
from autodiff.draw.picture.shapes import box, coordinate, text_at

#: Text above and below the picture is not set in narrower lines than this.
_NARROWEST = 640
_WIDEST = 1480
_PATTERN = (
    '<pattern id="ngz" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<path class="h0" d="M0 0h8v8h-8z"/><path class="h1" d="M2 0v8"/></pattern>'
)


def svg(model: Model, rankdir: str = "auto") -> str:
    """Return the picture, from ``<svg`` on."""
    return drawn(model, cards(model), rankdir)[0]


def drawn(
    model: Model, shown: dict[str, Card], rankdir: str = "auto", *, headed: bool = True
) -> tuple[str, list[Edge]]:
    """Return the picture with these cards, and the edges in the order of their paths; without `headed` what stands
    above it is left to the page around it."""
    layout = lay_out(model, shown, rankdir)
    width = min(max(layout.width, _NARROWEST), max(layout.width, _WIDEST))
    room = int((width - 2 * MARGIN) / CHARACTER)
    head, top = _head(model, room) if headed else ([], 16.0)
    shift = (width - layout.width) / 2 if layout.width < width else 0.0
    below, bottom = legend(model, top + layout.height + 22, width)
    height = math.ceil(bottom + 14)
    width = math.ceil(width)
    body = [f'<g transform="translate({coordinate(shift)} {coordinate(top)})">']
    for frame in frames(layout, model):
        body.append(_frame(frame.rect, frame.title, frame.repeat))
    body += [_edge(path, model) for path in layout.paths]
    badges = _badges(model)
    for key, rect in _in_reading_order(layout, model):
        body.append(_node(key, rect, shown[key], model, badges.get(key, [])))
    body.append("</g>")
    label = escape(title(model))
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ng" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="graphics-document" aria-label="{label}">'
        f"<title>{label}</title><style>{css()}</style><defs>{_PATTERN}</defs>"
        f'<path class="page" d="M0 0h{width}v{height}h-{width}z"/>' + "\n".join([*head, *body, *below]) + "</svg>\n"
    )
    return text, [path.edge for path in layout.paths]


def _head(model: Model, room: int) -> tuple[list[str], float]:
    """Return title, caption and findings, and where the picture begins below them."""
    found = []
    y = 30.0
    entries = heading(model)
    for role, text in entries:
        if role == "finding":
            continue
        for line in wrapped(text, room):
            found.append(text_at(MARGIN, y, line, "b" if role == "title" else ""))
            y += LINE + 2
    findings = [line for role, text in entries if role == "finding" for line in wrapped(text, room - 4, "   ")]
    if findings:
        y += 2
        height = len(findings) * (LINE + 2) + 10
        w = (room + 1) * CHARACTER
        rows = [text_at(MARGIN + 10, y + 8 + i * (LINE + 2), line, "alarmt") for i, line in enumerate(findings)]
        found.append(f'<g role="note" aria-label="diagnosis">{box(Rect(MARGIN, y - 8, w, height), "alarm", 5)}')
        found += [*rows, "</g>"]
        y += height
    return found, y + 6


def _in_reading_order(layout: Layout, model: Model) -> list[tuple[str, Rect]]:
    return [(key, layout.rects[key]) for key in model.nodes]


def _node(key: str, rect: Rect, card: Card, model: Model, badges: list[int]) -> str:
    node = model.nodes[key]
    name = plain(node.name or "", 80)
    kind = "op" if isinstance(node, OpNode) else node.kind
    label = escape(
        f"{kind} {name}: {spoken(card)}" if name and name not in card.lines[0].text else f"{kind} {spoken(card)}"
    )
    parts = [f'<g role="img" id="{key}" aria-label="{label}"><title>{escape(f"{kind} {name}".strip())}</title>']
    width = {"parameter": 2.5, "loss": 2.5, "output": 2.5}.get(kind)
    parts.append(box(rect, kind, 9 if kind == "op" else 4, width))
    y = rect.y + 5
    for line in card.lines:
        parts.append(_line(line, rect, y, kind))
        y += LINE
    for i, badge in enumerate(badges):
        x, r = rect.right - 4 - 19 * i, 8
        parts.append(f'<circle class="alarm" cx="{coordinate(x)}" cy="{coordinate(rect.y)}" r="{r}"/>')
        parts.append(text_at(x - CHARACTER * len(str(badge)) / 2, rect.y + 4, str(badge), "alarmt b badge"))
    return "".join(parts) + "</g>"


def _line(line: Line, rect: Rect, y: float, kind: str) -> str:
    baseline = y + LINE - 4
    if line.role != "gradient":
        style = {"title": "b", "muted": "muted", "formula": "formula"}.get(line.role, "")
        if kind == "op":
            style = {"title": "opt b", "formula": "opf"}.get(line.role, "opt")
        return text_at(rect.x + PADDING, baseline, line.text, style)
    strip = Rect(rect.x + 3, y + 1, rect.w - 6, LINE)
    # Ground, bar and text, whatever the state: a page that recolours the picture finds them in their places.
    bar = '<path d=""/>'
    if line.state == "none":
        ground, ink = box(strip, "none dash", 2), "muted"
    elif line.state == "zero":
        ground, ink = box(strip, "", 2, None, ' fill="url(#ngz)"'), ""
    elif line.state == "bad" or line.step is None:
        ground, ink = box(strip, "alarm", 2), "alarmt b"
    else:
        ground, ink = box(strip, f"g{line.step}", 2), f"i{line.step}"
        length = line.part * (strip.w - 4)
        bar = f'<path class="i{line.step}" d="M{coordinate(strip.x + 2)} {coordinate(strip.bottom - 2)}'
        bar += f'h{coordinate(length)}v1.5h-{coordinate(length)}z"/>'
    return ground + bar + text_at(rect.x + PADDING, baseline - 0.5, line.text, ink)


def _edge(path: Path, model: Model) -> str:
    """Return an edge: as wide as the gradient that flows back along it, dotted where none can."""
    edge = path.edge
    flow, style, extra = edge.flow, "flow", ""
    width = 1.5
    if not edge.carries_gradient:
        style, extra = "line", " dots"
    elif flow is None:
        style = "line"
    elif flow == 0:
        style, extra = "line", " dash"
    elif math.isfinite(flow):
        width = edge_width(flow, model)
    x, y = path.head
    dx, dy = path.direction
    half, back = 3 + width / 2, 7
    corners = [(x, y), *((x - back * dx + s * half * dy, y - back * dy + s * half * dx) for s in (1, -1))]
    head = "L".join(f"{coordinate(a)} {coordinate(b)}" for a, b in corners)
    text = f'<path class="e {style}{extra}" d="{path.d}" stroke-width="{coordinate(width)}"/>'
    text += f'<path class="{style}h" d="M{head}z"/>'
    if path.label_at is not None:
        x, y, label = path.label_at
        text += text_at(x - columns(label) * CHARACTER / 2, y, label, "muted")
    return text


def edge_width(flow: float, model: Model) -> float:
    """Return how wide an edge is for the gradient along it, in pixels."""
    return round(1.2 + 5.8 * part_of(flow, model), 1)


def _frame(rect: Rect, title: str, repeat: bool) -> str:
    if repeat:
        return box(rect, "repeat", 8) + text_at(rect.x + 8, rect.y + 14, title, "b formula")
    return box(rect, "panel", 6) + text_at(rect.x + 6, rect.y + 14, title, "muted b")


def _badges(model: Model) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number_, finding in enumerate(model.findings, 1):
        for key in finding.nodes:
            found.setdefault(key, []).append(number_)
    return found
