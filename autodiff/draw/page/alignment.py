"""The cards of several pictures line by line beside each other: where one has fewer lines, blank ones stand in."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from autodiff.draw.picture.cards import Card, Line


def aligned(each: list[dict[str, Card]]) -> list[dict[str, Card]]:
    """Return the cards of every picture with the same lines in the same places, all as large as the largest."""
    found: list[dict[str, Card]] = [{} for _ in each]
    for key in each[0]:
        cards = [shown[key] for shown in each]
        width, height = max(card.width for card in cards), max(card.height for card in cards)
        lines = _aligned([card.lines for card in cards])
        for shown, card, own in zip(found, cards, lines, strict=True):
            shown[key] = replace(card, lines=own, width=width, height=height)
    return found


def _aligned(each: list[tuple[Line, ...]]) -> list[tuple[Line, ...]]:
    runs = [[(role, list(lines)) for role, lines in groupby(card, key=lambda line: line.role)] for card in each]
    order = max(([role for role, _ in own] for own in runs), key=len)
    placed = [_placed(own, order) for own in runs]
    most = [max(len(own[i]) for own in placed) for i in range(len(order))]
    return [
        tuple(
            line
            for role, lines, n in zip(order, own, most, strict=True)
            for line in [*lines, *[_blank(role)] * (n - len(lines))]
        )
        for own in placed
    ]


def _placed(runs: list[tuple[str, list[Line]]], order: list[str]) -> list[list[Line]]:
    """Put runs of lines of one role where those roles stand in `order`."""
    found: list[list[Line]] = [[] for _ in order]
    at = 0
    for role, lines in runs:
        while at < len(order) - 1 and order[at] != role:
            at += 1
        found[at] += lines
    return found


def _blank(role: str) -> Line:
    return Line("", role, state="none" if role == "gradient" else "")
