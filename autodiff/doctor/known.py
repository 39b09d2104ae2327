"""Values that are right wherever they stand: forward values, true derivatives, slopes of activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.doctor.case import NOISE, Case
from autodiff.doctor.tape import Tape
from autodiff.doctor.updates import name_of

#: Functions that are not elementwise though they keep the shape.
_MIXING = {
    "dot",
    "matmul",
    "cumsum",
    "sort",
    "getitem",
    "put",
    "einsum",
    "transpose",
    "roll",
    "flip",
    "reshape",
    "swapaxes",
}


@dataclass(frozen=True)
class Entry:
    """One right value.

    `kind` is "value" for what the forward pass computes, "adjoint" for the derivative of the loss by a node, "part"
    for what flows into a node along one of its uses, "slope" for an activation's derivative f′(z).
    `node` is the node that it belongs to, `to` the activation's output for a slope.
    """

    kind: str
    node: int
    value: Any
    to: int | None = None


@dataclass(frozen=True)
class Match:
    """A value is `factor` times the entry, transposed or not."""

    entry: Entry
    factor: float
    transposed: bool = False


class Known:
    """All right values of a step, found again by their numbers."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.entries: list[Entry] = []
        self.activations: dict[int, tuple[int, Any]] = {}  # z: (a, f′)
        self.wholes: dict[int, Entry] = {}  # the derivatives by each node
        self._telling: dict[tuple[int, ...], list[Entry]] = {}
        self._signatures: dict[tuple[int, ...], Any] = {}  # one row for each of those
        self._distinct: dict[tuple[int, ...], dict[tuple[str, bytes], Entry]] = {}
        # With one output and one sample every two deltas are proportional: then only usual factors count.
        self.strict = case.output is not None and case.tape[case.output].value.size == 1
        self._right: dict[int, bool] = {}
        self._random: dict[tuple[int, ...], Any] = {}
        tape, truth = case.tape, case.truth
        assert truth is not None
        stop = {v for p in case.parameters for v in p.versions}
        self.judged = _judged(case, stop)
        regions = _regions(case)
        inner: set[int] = set()  # steps inside 1/(1+exp(−z)), whose derivatives nobody writes down
        for z, region in regions:
            a = _activation(case, region)
            inner |= tape.ancestors([a], stop={z}) - {a, z} & set(region)
        inner = {id for id in inner if any(id in region for _, region in regions)}
        for id, value in truth.adjoint.items():
            if id not in inner:
                self._add(Entry("adjoint", id, value))
        for z, region in regions:
            for v, slope in _slopes(tape, z, region):
                self._add(Entry("slope", z, slope, v))
                if v == _activation(case, region):
                    self.activations[z] = (v, slope)
        for id, value in truth.parts:
            if id not in inner:
                self._add(Entry("part", id, value))
        for id in sorted(truth.forward):
            if tape[id].value.dtype.kind in "fiu":
                self._add(Entry("value", id, tape[id].value))

    def _add(self, entry: Entry) -> None:
        self.entries.append(entry)
        if entry.kind == "adjoint":
            self.wholes[entry.node] = entry
        if not np.any(entry.value):
            return
        shape = np.shape(entry.value)
        self._distinct.setdefault(shape, {}).setdefault((entry.kind, np.asarray(entry.value).tobytes()), entry)
        if np.size(entry.value) > 1:
            self._telling.setdefault(shape, []).append(entry)

    def distinct(self, shape: tuple[int, ...]) -> list[Entry]:
        """Return the entries of a shape, the same numbers once for each kind, without those that are all zero."""
        return [*self._distinct.get(shape, {}).values()]

    def _signature(self, value: Any) -> Any:
        """Numbers that are the same for all multiples of a value."""
        if value.shape not in self._random:
            self._random[value.shape] = np.random.default_rng(value.size).normal(size=(3, value.size))
        projected = self._random[value.shape] @ np.nan_to_num(value.reshape(-1).astype(float))
        return projected / (np.linalg.norm(projected) or 1.0)

    def find(self, value: Any, kinds: str = "adjoint slope part value") -> list[Match]:
        """Return the entries that a value is a multiple of."""
        if value.dtype.kind not in "fiub" or not np.all(np.isfinite(value)):
            return []
        if value.size <= 1:
            return self._numbers(value, kinds)
        found = []
        for turned in (False, True) if value.ndim == 2 else (False,):
            v = value.T if turned else value
            for entry in self._close(v):
                if entry.kind not in kinds:
                    continue
                scale = float(np.sum(entry.value * v) / np.sum(entry.value * entry.value))
                if self.strict and entry.kind in ("adjoint", "part") and not self._usual(scale):
                    continue
                if scale and np.linalg.norm(v - scale * entry.value) <= NOISE * np.linalg.norm(v.astype(float)):
                    found.append(Match(entry, scale, turned))
        return found

    def _close(self, value: Any) -> list[Entry]:
        """The entries with about the signature of a value."""
        entries = self._telling.get(value.shape)
        if entries is None:
            return []
        if value.shape not in self._signatures:
            self._signatures[value.shape] = np.array([self._signature(entry.value) for entry in entries])
        near = np.abs(np.abs(self._signatures[value.shape] @ self._signature(value)) - 1) <= 1e-7
        return [entries[i] for i in np.flatnonzero(near)]

    def _numbers(self, value: Any, kinds: str) -> list[Match]:
        """For single numbers every two are multiples: only usual factors count."""
        number = float(value.reshape(-1)[0]) if value.size else 0.0
        found = []
        for entry in self.entries:
            if entry.kind in kinds and np.size(entry.value) == 1 and np.any(entry.value):
                factor = number / float(np.reshape(entry.value, ()))
                if self._usual(factor):
                    found.append(Match(entry, factor))
        return found

    def _usual(self, factor: float) -> bool:
        return any(abs(factor - f) <= NOISE * abs(f) for f in self.factors())

    def is_slope(self, match: Match) -> bool:
        """Whether a value is the derivative of a whole activation, and not of a step on the way to it."""
        entry = match.entry
        return entry.kind == "slope" and self.activations.get(entry.node, (None, None))[0] == entry.to

    def factors(self) -> list[float]:
        """Constant factors that people move about: the sign, the 2 of the square, the number of samples."""
        counts = {1.0, 2.0, 0.5}
        for id in (self.case.output, self.case.labels):
            if id is not None:
                counts |= {float(n) for n in self.case.tape[id].value.shape if n}
        counts |= {1 / n for n in counts}
        counts |= {2 * n for n in counts}
        return [sign * n for n in counts for sign in (1.0, -1.0)]

    def right(self, id: int, values: dict[int, Any]) -> bool:
        """Whether a node's value, of `values` or of the tape, is a multiple of something right, or nothing at all."""
        if id in values:
            return self._is_right(id, np.asarray(values[id]))
        if id not in self._right:
            self._right[id] = self._is_right(id, self.case.tape[id].value)
        return self._right[id]

    def _is_right(self, id: int, value: Any) -> bool:
        if not np.any(value):
            return any(entry.value.shape == value.shape and not np.any(entry.value) for entry in self.entries)
        # With labels in it, a value that happens to be one of the forward pass before the labels is no such value.
        return any(
            match.entry.kind != "value" or (id in self.judged) <= (match.entry.node in self.judged)
            for match in self.find(value)
        )


def _judged(case: Case, stop: set[int]) -> set[int]:
    """What is computed with the labels: where those are the samples again, as for an autoencoder, behind the output."""
    tape = case.tape
    if case.labels is None:
        return set()
    if case.output is None or case.labels not in tape.ancestors([case.output]):
        return tape.descendants([case.labels], stop=stop)
    behind = tape.descendants([case.output], stop=stop)
    return tape.descendants([i for i in tape.consumers().get(case.labels, ()) if i in behind], stop=stop)


def _regions(case: Case) -> list[tuple[int, list[int]]]:
    """For each input z of an activation, the nodes computed from it alone, element by element."""
    tape, truth, depends = case.tape, case.truth, case.depends
    assert truth is not None
    forward = sorted(id for id in truth.forward if depends[id])
    versions = set(case.versions.values())
    judged = _judged(case, versions)
    inside: set[int] = set()
    found = []
    for z in forward:
        if z in inside or z in versions or tape[z].value.dtype.kind != "f" or tape[z].value.size < 1:
            continue
        shape = tape[z].value.shape
        region = {z}
        order: list[int] = []
        for id in forward:
            node = tape[id]
            if id <= z or node.value.shape != shape or len(order) >= 14 or name_of(node) in _MIXING:
                continue
            live = [i for i in node.inputs if depends[i]]
            same = all(tape[i].value.shape in (shape, ()) or tape[i].value.size == 1 for i in live)
            if live and all(i in region for i in live) and same and not judged & set(node.inputs):
                region.add(id)
                order.append(id)
        if order:
            inside |= set(order)
            found.append((z, order))
    return found


def _activation(case: Case, region: list[int]) -> int:
    """Which of the nodes computed from z is the layer's output: the one that the next layer or the loss takes."""
    if case.output in region:
        return case.output
    on = set(region)
    uses = case.tape.consumers()
    assert case.truth is not None
    for id in reversed(region):
        if any(user in case.truth.forward and user not in on for user in uses.get(id, ())):
            return id
    return region[-1]


def _slopes(tape: Tape, z: int, region: list[int]) -> list[tuple[int, Any]]:
    """The derivative of each node of a region by z, element by element, by differences of order four."""
    value = tape[z].value
    h = 1e-4 * (1 + np.abs(value))
    with np.errstate(all="ignore"):
        try:
            at = {t: tape.replay({z: value + t * h}, region) for t in (-2, -1, 1, 2)}
        except Exception:
            return []
    found = []
    for v in region:
        if all(v in values for values in at.values()):
            slope = (8 * (at[1][v] - at[-1][v]) - (at[2][v] - at[-2][v])) / (12 * h)
            left, right = (tape[v].value - at[-1][v]) / h, (at[1][v] - tape[v].value) / h
            kink = np.abs(left - right) > 0.01 * (np.abs(left) + np.abs(right))
            slope = np.where(kink, np.where(np.abs(left) < np.abs(right), left, right), slope)
            flat = np.abs(slope - np.rint(slope)) < 1e-9  # masks are whole numbers
            found.append((v, np.where(flat, np.rint(slope), slope)))
    return found
