"""Graphviz's HTML-like labels: tables, cells and text; every text that is not ours passes through `safe`."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from unicodedata import east_asian_width

#: What the fonts of all platforms have in common: every character is as wide as the next.
FONT = "DejaVu Sans Mono,Menlo,Consolas,monospace"
FONT_SIZE = 10
# Width of a character, in points. Cells are made as wide as their text by this measure, because the font
# that a viewer has need not be the one that Graphviz measured, and a machine may have no font at all.
_CHARACTER = 0.61 * FONT_SIZE
_PADDING = 4


def plain(text: object, longest: int) -> str:
    r"""Clip a text and spell out what cannot be seen: control characters, line breaks, marks that reorder, surrogates.

    Examples
    --------
    >>> plain("a\nb\u202e", 40), plain("x" * 50, 8)
    ('a\\nb\\u202e', 'xxxxxxx…')
    """
    # One character more than fits tells whether to clip; a hostile text is not walked to its end.
    start = str(text)[: longest + 1]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in start)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def safe(text: object, longest: int = 64) -> str:
    """Make a text fit for a label: `plain`, and escaped."""
    # Graphviz expands \N, \G and the like inside HTML-like labels too: a backslash has to be doubled.
    return escape(plain(text, longest)).replace("\\", "\\\\")


class Text(str):
    """A line of markup that remembers how many characters wide it is shown."""

    columns: int

    def __new__(cls, markup: str, columns: int) -> Text:
        line = super().__new__(cls, markup)
        line.columns = columns
        return line


def text(content: object, *, colour: str = "", bold: bool = False, longest: int = 64) -> Text:
    """Return a safe line of text."""
    shown = plain(content, longest)
    markup = safe(content, longest)
    if bold:
        markup = f"<B>{markup}</B>"
    if colour:
        markup = f'<FONT COLOR="{colour}">{markup}</FONT>'
    return Text(markup, sum(2 if east_asian_width(c) in "WF" else 1 for c in shown))


def cell(
    lines: Sequence[Text],
    ground: str = "",
    *,
    align: str = "CENTER",
    sides: str = "",
    port: str = "",
    columns: int = 1,
) -> str:
    """Return a table cell of some lines, at least as wide as they are; `sides` says where it has a border."""
    width = round(max(line.columns for line in lines) * _CHARACTER + 2 * _PADDING)
    attributes = f'ALIGN="{align}" BALIGN="{align}" CELLPADDING="{_PADDING}" WIDTH="{width}"'
    attributes += f' BGCOLOR="{ground}"' if ground else ""
    attributes += f' BORDER="1" SIDES="{sides}"' if sides else ""
    attributes += f' PORT="{port}"' if port else ""
    attributes += f' COLSPAN="{columns}"' if columns > 1 else ""
    return f"<TD {attributes}>{'<BR/>'.join(lines)}</TD>"


def row(*cells: str) -> str:
    """Return a table row."""
    return f"<TR>{''.join(cells)}</TR>"


def table(rows: Sequence[str], *, border: int = 0, colour: str = "", ground: str = "", spacing: int = 0) -> str:
    """Return a table of rows, with a border around it all."""
    attributes = f'BORDER="{border}" CELLBORDER="0" CELLSPACING="{spacing}" CELLPADDING="0"'
    attributes += f' COLOR="{colour}"' if colour else ""
    attributes += f' BGCOLOR="{ground}"' if ground else ""
    return f"<TABLE {attributes}>{''.join(rows)}</TABLE>"


def nested(inner: str) -> str:
    """Return a cell that holds a table."""
    return f"<TD>{inner}</TD>"
