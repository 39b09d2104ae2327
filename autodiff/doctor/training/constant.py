"""The loss of the best constant answer: what a training must be better than."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.tensor import Tensor


def constant(prediction: Any, loss: Callable[[Any, Any], Tensor], y: Any) -> float:
    """Return the least loss that one answer for all samples has, found by descent.

    Parameters
    ----------
    prediction : array, shape (samples, ...)
        What a model says now: of the shape and in the range of the answer.
    loss : callable
        ``loss(prediction, y)``.
    y : array
        The labels.
    """
    data = np.asarray(prediction, dtype=float)
    shape = (1, *data.shape[1:]) if data.ndim else ()
    best = np.inf
    for answer in _beginnings(data, y, shape):
        best = min(best, _descended(answer, data.shape, loss, y))
    return best


def _beginnings(data: Any, y: Any, shape: tuple[int, ...]) -> list[Any]:
    """Answers to begin from: a half where probabilities are asked for, the mean label, zero."""
    finite = data[np.isfinite(data)]
    unit = bool(finite.size and finite.min() >= 0 and finite.max() <= 1)
    found = [np.zeros(shape) + (0.5 if unit else 0.0)]
    labels = np.asarray(y)
    if labels.dtype.kind in "biuf" and labels.size == data.size and data.size:
        mean = labels.reshape(data.shape).astype(float).mean(axis=0, keepdims=data.ndim > 0).reshape(shape)
        found.append(np.clip(mean, 1e-3, 1 - 1e-3) if unit else mean)
    return found


def _descended(answer: Any, shape: tuple[int, ...], loss: Callable[[Any, Any], Tensor], y: Any) -> float:
    """Go down by steps that grow while they help and are halved where they do not."""
    best, rate = np.inf, 1.0
    kept, slope = answer, np.zeros(answer.shape)
    for _ in range(100):
        c = Tensor(answer, requires_grad=True)
        try:
            with np.errstate(all="ignore"):
                value = loss(c + np.zeros(shape), y)
        except ValueError:  # outside of what the loss takes
            value = None
        now = np.inf if value is None else float(np.asarray(value.data).item())
        if value is None or not np.isfinite(now) or now > best:
            rate /= 4
            answer = kept - rate * slope
            continue
        done = best - now < 1e-6 * abs(best)
        best, kept = now, answer
        value.backward()
        slope = np.zeros(answer.shape) if c.grad is None else c.grad
        if done or np.abs(slope).max(initial=0.0) < 1e-9:
            break
        rate *= 1.5
        answer = kept - rate * slope
    return best
