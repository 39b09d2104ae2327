"""What a classifier predicts, read from the graph of its loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.draw.outline.reading import Reading
from autodiff.op import strip
from autodiff.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Prediction:
    """Probabilities and labels.

    Attributes
    ----------
    p, y : array, shape (samples,) or (samples, classes)
    op : int
        The op of the loss, by number in the reading.
    entropy : float
        Of the labels, in nats: what always guessing their frequencies costs.
    mean_loss : float
        Mean cross entropy of `p`.
    """

    p: Any
    y: Any
    op: int
    entropy: float
    mean_loss: float


def prediction(reading: Reading) -> Prediction | None:
    """Return what the loss compares, where the root is or contains a cross entropy; else None."""
    if reading.root.size != 1 or not np.isfinite(np.asarray(strip(reading.root), dtype=float)).all():
        return None
    try:
        with np.errstate(all="ignore"):
            for i in range(len(reading.made) - 1, max(len(reading.made) - 40, -1), -1):
                found = _of_op(reading, i)
                if found is not None:
                    return found
    except Exception:  # labels of a kind that nobody thought of: the picture does without this caption
        return None
    return None


def _of_op(reading: Reading, i: int) -> Prediction | None:
    made = reading.made[i]
    inputs = [strip(x) for x in made.inputs or ()]
    name = made.op.name if made.op else ""
    if name.startswith(("binary_cross_entropy", "cross_entropy")) and (len(inputs) < 3 or inputs[2] is None):
        z, y = np.asarray(inputs[0], dtype=float), np.asarray(inputs[1])
        if name == "binary_cross_entropy":
            return _binary(z, y, i)
        if name == "binary_cross_entropy_with_logits":
            return _binary(1 / (1 + np.exp(-z)), y, i) if inputs[3] is None else None
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        p = e / e.sum(axis=-1, keepdims=True)
        return _classes(p, y if y.ndim == 2 else np.eye(p.shape[-1])[y], i)
    if name == "log":
        return _by_hand(reading, i)
    return None


def _by_hand(reading: Reading, i: int) -> Prediction | None:
    """Recognise ``-(y*log(p) + (1-y)*log(1-p))``, its sum or its mean, by its value."""
    made = reading.made[i]
    p = np.asarray(strip((made.inputs or (None,))[0]), dtype=float)
    loss = float(np.asarray(strip(reading.root)).item())
    for user in reading.made[i + 1 : i + 8]:
        operands = user.inputs or ()
        if user.op is None or user.op.name != "multiply" or not any(x is made for x in operands):
            continue
        for x in operands:
            y = np.asarray(strip(x))
            if x is made or (isinstance(x, Tensor) and x.requires_grad) or y.shape != p.shape or y.size < 2:
                continue
            for q in (p, 1 - p):
                found = _binary(q, y, i)
                samples = max(y.shape)
                if found and any(
                    np.isclose(found.mean_loss * scale, loss, rtol=1e-6) for scale in (1, y.size, y.size / samples)
                ):
                    return found
    return None


def _binary(p: Any, y: Any, i: int) -> Prediction | None:
    p, y = p.ravel(), y.ravel().astype(float)
    if p.shape != y.shape or not np.isin(y, (0, 1)).all() or not ((p >= 0) & (p <= 1)).all():
        return None
    rate = y.mean()
    entropy = -sum(q * np.log(q) for q in (rate, 1 - rate) if q > 0)
    mean = float(np.mean(-np.log(np.maximum(np.where(y == 1, p, 1 - p), 1e-300))))
    return Prediction(p, y, i, float(abs(entropy)), mean)


def _classes(p: Any, y: Any, i: int) -> Prediction | None:
    rates = y.mean(axis=0)
    entropy = -sum(q * np.log(q) for q in rates if q > 0)
    mean = float(np.mean(-np.sum(y * np.log(np.maximum(p, 1e-300)), axis=-1)))
    return Prediction(p, y, i, float(abs(entropy)), mean)
