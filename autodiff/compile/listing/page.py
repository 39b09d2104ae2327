"""The page that a program is printed on: lines with comments beside them, headings above."""

from __future__ import annotations

import textwrap
from typing import NamedTuple

from autodiff.compile.listing.names import source
from autodiff.compile.tape import Call

#: Columns of a page, and of the longest line that others' comments make room for.
PAGE, WIDTH = 120, 88
INDENT = "    "


class _Line(NamedTuple):
    """A line of text with what is said beside it; or a heading, where there is no text."""

    text: str | None
    comment: str = ""
    depth: int = 1


class Page:
    """Takes lines.

    Parameters
    ----------
    stages : dict of int to str
        The stage of each call.
    """

    def __init__(self, stages: dict[int, str]) -> None:
        self._stages = stages
        self._lines: list[_Line] = []
        self._said: tuple[str, str, str] = ("", "", "")

    def note(self, text: str) -> None:
        """Write a comment on a line of its own."""
        self._lines.append(_Line(None, f"# {text}"))

    def add(self, text: str, comment: str = "", depth: int = 1) -> None:
        """Write a line."""
        self._lines.append(_Line(text, comment, depth))

    def say(self, text: str, call: Call, depth: int = 1, comment: str = "") -> None:
        """Write a line for a call, with its stage, a person's code and its origin where these are new."""
        stage_before, line_before, origin_before = self._said
        stage = self._stages.get(id(call), stage_before)
        line = source(call.line) if call.line else line_before
        origin = self._origin(call, stage)
        new_stage = stage != stage_before
        code = textwrap.shorten(line, 90) if line and depth == 1 and (line != line_before or new_stage) else ""
        if new_stage or code:
            if self._lines:
                self._lines.append(_Line(None))
            self.note(f"{stage}: {code}" if new_stage and code else stage if new_stage else code)
        new = (stage, origin) != (stage_before, origin_before)
        self.add(text, comment or (origin if new else ""), depth)
        self._said = stage, line if depth == 1 else line_before, origin_before if comment else origin

    def _origin(self, call: Call, stage: str) -> str:
        """The layer, the operation and the derivative that a call belongs to, where it does not say so itself."""
        if call.origin is None:
            return self._said[2]
        origin = str(call.origin)
        formula = call.origin.formula if stage == "backward" and call.origin.op else ""
        if origin == getattr(call.function, "__name__", "") and not formula:
            return ""
        if "".join(call.origin.scope)[:1].isdigit():
            origin = f"layer {origin}"
        return f"{origin}: {formula}" if formula else origin

    def text(self, head: str, end: str) -> str:
        """Return the whole page, all comments in one column; those that are too long stand above their lines."""
        if len(head) > PAGE:
            head = textwrap.fill(head, PAGE - 8, subsequent_indent=INDENT * 2)
        rows = [f"{INDENT * line.depth}{line.text or ''}" for line in self._lines]
        beside = [len(row) for row, line in zip(rows, self._lines, strict=True) if line.comment and line.text]
        column = max((length for length in beside if length <= WIDTH), default=0)
        body = []
        for row, line in zip(rows, self._lines, strict=True):
            if line.text is None:
                body.append(f"{INDENT}{line.comment}".rstrip())
            elif line.comment and max(column, len(row)) + 4 + len(line.comment) <= PAGE:
                body.append(f"{row.ljust(column)}  # {line.comment}")
            elif line.comment:
                body += [f"{INDENT * line.depth}# {line.comment}", row]
            else:
                body.append(row)
        return "\n".join([head, *body, f"{INDENT}{end}", ""])
