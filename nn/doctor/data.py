"""What is to be seen of samples and labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.tensor import Tensor

#: Inputs beyond this, or so much further from zero than they vary, are not scaled.
_LARGE, _FAR = 10.0, 5.0
#: The rarest class is that much rarer than in a fair share.
_RARE = 0.3


def unlike(prediction: Any, y: Any) -> str:
    """Say how labels of another shape than the prediction meet it; empty where they fit."""
    shape = np.shape(prediction.data if isinstance(prediction, Tensor) else prediction)
    if y.shape == shape or y.size != int(np.prod(shape)) or y.dtype.kind not in "biuf" or y.size < 2:
        return ""
    try:
        met = np.broadcast_shapes(shape, y.shape)
    except ValueError:
        return f"labels of shape {y.shape} do not fit predictions of shape {shape}"
    return f"labels of shape {y.shape} and predictions of shape {shape} meet as {met}: each with those of all others"


def unscaled(X: Any) -> str:
    """Say how far inputs are from mean 0 and variance 1; empty where that is near."""
    if X.ndim != 2 or X.dtype.kind not in "biuf" or not np.isfinite(X).all() or not X.size:
        return ""
    mean, spread = X.mean(axis=0), X.std(axis=0)
    live = spread > 0
    far = live & (np.abs(mean) > _FAR * spread)
    if np.abs(X).max() > _LARGE or far.any():
        return f"inputs lie between {X.min():.4g} and {X.max():.4g}"
    if live.any() and np.abs(X).max() < 1 / _LARGE**2:
        return f"inputs are as small as {np.abs(X).max():.2g}"
    return ""


def classes(y: Any) -> Any:
    """Return the class of each sample as a number; None where labels are no classes."""
    if y.ndim == 2 and y.shape[1] > 1:
        one_hot = np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()
        return y.argmax(axis=1) if one_hot else None
    flat = y.reshape(len(y), -1)[:, 0] if y.size == len(y) else None
    if flat is None or not np.isfinite(flat).all() or not (flat == np.rint(flat)).all():
        return None
    found, numbers = np.unique(flat, return_inverse=True)
    return numbers if 2 <= len(found) <= 50 else None


def rare(kinds: Any) -> str:
    """Say how rare the rarest class is; empty where it is not."""
    counts = np.bincount(kinds)
    if counts.min() / len(kinds) >= _RARE / len(counts):
        return ""
    return f"the rarest class has {counts.min()} of {len(kinds)} samples"


def evened(kinds: Any) -> Any:
    """Return the rows that make classes equally frequent, each of the rare ones several times."""
    counts = np.bincount(kinds)
    rows = [np.resize(np.flatnonzero(kinds == k), counts.max()) for k in range(len(counts))]
    return np.sort(np.concatenate(rows))


def finite_rows(X: Any, y: Any) -> Any:
    """Return for each sample whether all its numbers are finite."""
    good = [np.isfinite(a.reshape(len(a), -1)).all(axis=1) for a in (X, y) if a.dtype.kind == "f"]
    return np.logical_and.reduce(good) if good else np.ones(len(X), bool)
