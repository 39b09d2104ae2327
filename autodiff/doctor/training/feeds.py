"""The samples of a recorded step: where inputs and labels enter, and which rows of all samples they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.doctor.case import Case


@dataclass(frozen=True)
class Feed:
    """One array of samples.

    Attributes
    ----------
    node : int
        Where it enters the step.
    full : array
        All samples, of which the step takes some.
    axis : int
        Along which they lie.
    """

    node: int
    full: Any
    axis: int


@dataclass(frozen=True)
class Feeds:
    """All of them.

    Attributes
    ----------
    feeds : tuple of Feed
    size, count : int
        How many samples a step takes, and how many there are.
    single : bool
        A step takes one sample, without an axis for it.
    """

    feeds: tuple[Feed, ...]
    size: int
    count: int
    single: bool = False

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return max(1, self.count // self.size)

    def full(self) -> tuple[Any, ...]:
        """Return all samples, in the order of the feeds."""
        return tuple(feed.full for feed in self.feeds)

    def rows(self, arrays: tuple[Any, ...], order: Any, step: int) -> tuple[Any, ...]:
        """Return the samples of one step of an epoch."""
        if self.steps == 1 and self.size == self.count:
            return arrays
        mine = order[step * self.size : (step + 1) * self.size]
        pick = int(mine[0]) if self.single else mine
        return tuple(np.take(a, pick, feed.axis) for feed, a in zip(self.feeds, arrays, strict=True))


def feeds(case: Case, axis: int) -> Feeds | None:
    """Find where samples enter a step; None where rows of a batch cannot be told.

    Parameters
    ----------
    axis : int
        Along which samples lie in arrays with two axes.
    """
    assert case.truth is not None
    tape = case.tape
    versions = set(case.versions.values())
    needed = tape.ancestors([case.truth.loss, *(c.node for c in case.claims.values())], stop=versions)
    free = [id for id in sorted(needed) if not case.depends[id] and tape[id].value.size and tape[id].value.ndim]
    data = {n for n in case.trial.sources() if n not in versions and tape[n].value.dtype.kind in "biuf"}
    picks: dict[int, tuple[int, int]] = {}
    for id in free:
        if tape[id].func is None:
            continue
        above = tape.ancestors([id])
        if above & set(picks):
            continue
        for leaf in above & data:
            along = _taken_along(tape[id].value.shape, tape[leaf].value.shape)
            if along is not None:
                picks[id] = leaf, along
                break
    if picks:
        return _batch(case, picks)
    held = [id for id in free if tape[id].func is None and id in data]
    count = _count(case, axis)
    if count is None:
        return None
    found = []
    for id in held:
        value = tape[id].value
        along = 0 if value.ndim == 1 else axis % value.ndim
        if value.shape[along] == count:
            found.append(Feed(id, value, along))
    return Feeds(tuple(found), count, count) if found else None


def _count(case: Case, axis: int) -> int | None:
    if case.labels is None:
        return None
    labels = case.tape[case.labels].value
    return None if not labels.ndim else int(labels.shape[0 if labels.ndim == 1 else axis % labels.ndim])


def _taken_along(part: tuple[int, ...], whole: tuple[int, ...]) -> int | None:
    """Return the axis along which an array of one shape may be some rows of one of the other."""
    if len(part) == len(whole):
        differ = [i for i, (a, b) in enumerate(zip(part, whole, strict=True)) if a != b]
        return differ[0] if len(differ) == 1 and part[differ[0]] < whole[differ[0]] else None
    if len(part) == len(whole) - 1:
        for i in range(len(whole)):
            if whole[:i] + whole[i + 1 :] == part:
                return i
    return None


def _batch(case: Case, picks: dict[int, tuple[int, int]]) -> Feeds | None:
    """Find the rows that a batch consists of, by their numbers."""
    tape = case.tape
    sizes = {tape[leaf].value.shape[along] for leaf, along in picks.values()}
    single = all(tape[id].value.ndim < tape[leaf].value.ndim for id, (leaf, _) in picks.items())
    if len(sizes) > 1:
        return None
    for id, (leaf, along) in picks.items():
        whole = np.moveaxis(tape[leaf].value, along, 0)
        part = tape[id].value[None] if single else np.moveaxis(tape[id].value, along, 0)
        rows = [np.flatnonzero((whole == row).reshape(len(whole), -1).all(axis=1)) for row in part]
        if any(len(r) == 0 for r in rows):
            return None
        index = np.array([r[0] for r in rows])
        pick = int(index[0]) if single else index
        fits = all(
            np.array_equal(np.take(tape[other].value, pick, axis), tape[node].value)
            for node, (other, axis) in picks.items()
        )
        if fits and all(len(r) == 1 for r in rows):
            found = tuple(Feed(node, tape[other].value, axis) for node, (other, axis) in picks.items())
            return Feeds(found, len(part), len(whole), single)
    return None
