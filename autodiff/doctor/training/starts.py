"""Where a training begins: like the weights that are there, or drawn afresh around zero."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

Values = dict[str, Any]

#: How many numbers of one sign are no accident.
_MANY = 8


def like(values: Mapping[str, Any], rng: np.random.Generator) -> Values:
    """Draw parameters as these seem to have been drawn: constants stay, twins stay twins, signs and ranges stay."""
    found: Values = {}
    arrays = {path: np.asarray(value, dtype=float) for path, value in values.items()}
    drawn = np.concatenate([a.reshape(-1) for a in arrays.values() if _varies(a)] or [np.zeros(0)])
    signed = 0 if drawn.size < _MANY else int(drawn.min() >= 0) - int(drawn.max() <= 0)
    for path, value in arrays.items():
        if not _varies(value):
            found[path] = value.copy()
        elif value.ndim == 2 and np.ptp(value, axis=0).max() == 0:
            found[path] = np.repeat(_drawn(value[:1], signed, rng), len(value), axis=0)
        elif value.ndim == 2 and np.ptp(value, axis=1).max() == 0:
            found[path] = np.repeat(_drawn(value[:, :1], signed, rng), value.shape[1], axis=1)
        else:
            found[path] = _drawn(value, signed, rng)
    return found


def _varies(value: Any) -> bool:
    return bool(value.size > 1 and np.isfinite(value).all() and np.ptp(value) > 0)


def _drawn(value: Any, signed: int, rng: np.random.Generator) -> Any:
    if not signed:
        return value.mean() + rng.normal(0.0, max(float(value.std()), 1e-12), value.shape) if value.size > 1 else value
    high = float(np.abs(value).max())
    return signed * rng.uniform(0.0, 1.0 if 0.5 < high <= 1 else high, value.shape)


def fresh(shapes: Mapping[str, tuple[int, ...]], weights: Collection[str], gain: float, rng: Any) -> Values:
    """Draw weights around zero with the variance gain²·2/(inputs + outputs), and set biases to zero.

    `weights` are those that stand in a product. Source: Glorot and Bengio, "Understanding the difficulty of training
    deep feedforward neural networks" (2010).
    """
    found: Values = {}
    for path, shape in shapes.items():
        if path in weights or (len(shape) > 1 and min(shape) > 1):
            ends = shape[0] + int(np.prod(shape[1:])) if len(shape) > 1 else shape[0] + 1
            found[path] = rng.normal(0.0, gain * np.sqrt(2 / ends), shape)
        elif len(shape) == 1 and path.endswith("weight"):
            found[path] = np.ones(shape)  # the scale of a normalisation
        else:
            found[path] = np.zeros(shape)
    return found
