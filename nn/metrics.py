"""Measures of how well scores separate two classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def accuracy(probability: ArrayLike, target: ArrayLike, threshold: float = 0.5) -> float:
    """Fraction of samples whose class is predicted rightly: 1 where ``probability >= threshold``, else 0.

    Parameters
    ----------
    probability, target
        Arrays of one and the same shape; targets are 0 or 1.

    Raises
    ------
    ValueError
        When the shapes differ, there are no samples, or a value is NaN or a target is not 0 or 1.
    """
    p, positive = _scored(probability, target, "probability")
    return float(((p >= threshold) == positive).mean())


def roc_auc(score: ArrayLike, target: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a random 1 scores above a random 0, ties counting half.

    Parameters
    ----------
    score, target
        Arrays of one and the same shape; scores on any scale (probabilities or logits), targets 0 or 1.

    Raises
    ------
    ValueError
        As for `accuracy`, and when only one class is there.

    Notes
    -----
    From ranks, ties averaged (Mann & Whitney 1947): ``(R - n1 (n1 + 1) / 2) / (n1 n0)`` for n1 ones, whose
    ranks add up to R, and n0 zeros.
    """
    s, positive = _scored(score, target, "score")
    ones = int(positive.sum())
    zeros = positive.size - ones
    if not ones or not zeros:
        raise ValueError(f"target is {int(bool(ones))} in all {positive.size} samples, expected both classes")
    _, place, count = np.unique(s, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    return float((rank[place.reshape(-1)][positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def majority_baseline(target: ArrayLike) -> float:
    """Accuracy of always predicting the more frequent class: what a model must beat.

    Raises
    ------
    ValueError
        When there are no samples or a target is not 0 or 1.
    """
    ones = float(_binary(target).mean())
    return max(ones, 1 - ones)


def _scored(score: ArrayLike, target: ArrayLike, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Scores and targets, flat and checked against each other."""
    s = np.asarray(score)
    if s.shape != np.shape(target):
        raise ValueError(f"{name} has shape {s.shape} and target {np.shape(target)}, expected the same shape")
    positive = _binary(target)
    if np.isnan(s).any():
        raise ValueError(f"{name} is NaN in {int(np.isnan(s).sum())} of {s.size} samples")
    return s.reshape(-1), positive


def _binary(target: ArrayLike) -> NDArray[np.bool_]:
    t = np.asarray(target).reshape(-1)
    if t.size == 0:
        raise ValueError(f"target has shape {np.shape(target)}, expected at least one sample")
    positive: NDArray[np.bool_] = np.equal(t, 1)
    odd = ~(positive | np.equal(t, 0))
    if odd.any():
        raise ValueError(f"target holds {t[odd][0]!r}, expected only 0 and 1")
    return positive
