"""Text that is not ours, made fit to be seen."""

from __future__ import annotations


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
