"""Boxes and text as SVG writes them; every text that is not ours passes through here."""

from __future__ import annotations

from html import escape

from autodiff.draw.picture.geometry import Rect


def box(rect: Rect, look: str, radius: int, stroke: float | None = None, extra: str = "") -> str:
    """Return a rectangle with round corners."""
    look = f' class="{look}"' if look else ""
    width = f' stroke-width="{stroke}"' if stroke is not None else ""
    place = f'x="{coordinate(rect.x)}" y="{coordinate(rect.y)}"'
    size = f'width="{coordinate(rect.w)}" height="{coordinate(rect.h)}"'
    return f'<rect{look} {place} {size} rx="{radius}"{width}{extra}/>'


def text_at(x: float, y: float, text: str, look: str = "") -> str:
    """Return a line of text that begins at a point of its base line."""
    style = f' class="{look}"' if look else ""
    return f'<text{style} x="{coordinate(x)}" y="{coordinate(y)}">{_spaced(text)}</text>'


def _spaced(text: str) -> str:
    """Escape a text, and keep spaces that XML would run together."""
    return escape(text, quote=False).replace("  ", "\xa0\xa0")


def coordinate(x: float) -> str:
    """Write a coordinate, to a tenth of a pixel."""
    return f"{x:.1f}".removesuffix(".0")
