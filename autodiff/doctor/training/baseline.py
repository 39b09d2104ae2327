"""The loss of the best constant answer, on the scale of a recorded loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.doctor.case import Case
from autodiff.doctor.training.recorded import Recorded


def best_constant(recorded: Recorded) -> float | None:
    """Return the loss of the best answer that is the same for all samples; None where it cannot be told."""
    case, data = recorded.case, recorded.feeds
    if case.output is None or case.labels is None or case.truth is None:
        return None
    p, y = case.tape[case.output].value, case.tape[case.labels].value
    full = y
    if data is not None:
        full = next((feed.full for feed in data.feeds if feed.node == case.labels), y)
    best = _answer(p, y, full)
    if best is None:
        return None
    parts = []
    for i in range(1 if data is None or full.size == y.size else data.steps):
        given: dict[int, Any] = {case.output: best}
        if data is not None and full.size != y.size:
            rows = data.rows(data.full(), np.arange(data.count), i)
            given |= {feed.node: row for feed, row in zip(data.feeds, rows, strict=True)}
        value = case.tape.replay(given, [case.truth.loss]).get(case.truth.loss)
        if value is None or not np.isfinite(value).all():
            return None
        parts.append(float(np.sum(value)))
    return float(np.mean(parts))


def labels_of(case: Case) -> int | None:
    """Return the node of the labels: in ``p[np.arange(n), labels]`` not the row numbers."""
    if case.labels is None:
        return None
    rows = case.tape[case.labels].value
    if rows.ndim != 1 or not np.array_equal(rows, np.arange(len(rows))):
        return case.labels
    for user in case.tape.consumers().get(case.labels, ()):
        for i in case.tape[user].inputs:
            value = case.tape[i].value
            if i != case.labels and value.shape == rows.shape and value.dtype.kind in "iu":
                return i
    return case.labels


def _answer(p: Any, y: Any, full: Any) -> Any:
    """Return the mean label for each sample of a step, or the frequencies of the classes."""
    if p.size != y.size:
        axis = next((a for a in (0, 1) if p.ndim == 2 and y.size == p.shape[a]), None)
        numbers = full.reshape(-1)
        if (
            axis is None
            or numbers.min() < 0
            or numbers.max() >= p.shape[1 - axis]
            or np.any(numbers != np.rint(numbers))
        ):
            return None
        shares = np.bincount(numbers.astype(int), minlength=p.shape[1 - axis]) / numbers.size
        shares = np.clip(shares, 1e-12, 1)
        return np.broadcast_to(shares if axis == 0 else shares[:, None], p.shape).copy()
    y = y.reshape(p.shape).astype(float)
    samples = 0 if not p.ndim or p.shape[0] >= p.shape[-1] else p.ndim - 1
    mean = full.mean() if full.size != y.size or not p.ndim else y.mean(axis=samples, keepdims=True)
    best = np.broadcast_to(np.asarray(mean, dtype=float), p.shape)
    return (np.clip(best, 1e-12, 1 - 1e-12) if y.min() >= 0 and y.max() <= 1 else best).copy()
