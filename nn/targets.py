"""What a loss accepts: predictions, targets and weights that fit each other, with a cure for those that do not."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import as_operand, strip
from autodiff.tensor import Tensor


def aligned(pred: Any, target: Any, weight: Any) -> tuple[Any, Any, Any]:
    """Bring prediction, target and weight to one dtype, and refuse shapes that would broadcast."""
    if not isinstance(pred, Tensor):
        pred = as_prediction(pred, target)
    if type(target) is not np.ndarray or target.dtype != pred.dtype:
        if pred.dtype.kind != "f":
            pred = pred.astype(np.float64)
        target = as_floats(target, pred.dtype)
    shape = pred.shape
    if target.shape != shape:
        raise _misfit(shape, target.shape)
    if 0 in shape:
        raise ValueError(f"a loss over no elements means nothing; got shape {shape}")
    if weight is not None:
        weight = as_floats(weight, pred.dtype)
        if weight.shape != shape:
            if weight.shape != shape[:1]:
                raise ValueError(
                    f"weight needs one number per sample, shape {shape[:1]}, or the predictions' shape {shape}; "
                    f"got {weight.shape}"
                )
            weight = weight.reshape(-1, *(1,) * (len(shape) - 1))
    return pred, target, weight


def as_prediction(pred: Any, target: Any) -> Any:
    """`pred` as a Tensor or an array of floats."""
    if isinstance(pred, Tensor):
        return pred
    if isinstance(target, Tensor) and target.requires_grad:
        raise TypeError("the target requires a gradient and the prediction is a plain array: write loss(pred, target)")
    pred = as_operand(pred)
    if not hasattr(pred, "__array_function__"):
        return np.asarray(pred, dtype=np.float64)
    return pred if pred.dtype.kind == "f" else pred.astype(np.float64)


def as_floats(x: Any, dtype: Any) -> Any:
    """`x` in the predictions' dtype. A tensor stays itself if it can, with its name and its gradient."""
    x = as_operand(x)
    if isinstance(x, Tensor):
        return x if x.dtype == dtype else x.astype(dtype) if x.requires_grad else x.data.astype(dtype)
    if not hasattr(x, "__array_function__"):
        x = np.asarray(x)
    if x.dtype.kind not in "biuf":
        raise TypeError(f"targets and weights are numbers, got an array of dtype {x.dtype}")
    return np.asarray(x, dtype) if isinstance(x, np.generic) else x.astype(dtype, copy=False)


def is_at_hand(x: Any) -> bool:
    """Whether the numbers of an array can be looked at for nothing: not on a lazy one, nor on a device.

    On one under recording they can be, and the program looks each time.
    """
    return isinstance(x, (np.ndarray, np.generic)) or hasattr(x, "recorder")


def require_unit(target: Any) -> None:
    """Refuse targets outside [0, 1], and NaN; y² ≤ y says it in one pass."""
    y = strip(target)
    if is_at_hand(y) and np.count_nonzero(y * y <= y) != y.size:
        y = getattr(y, "array", y)  # under recording the numbers themselves, to be told of
        if np.isnan(y).any():
            raise ValueError("the target holds NaN: leave out the samples whose label is missing")
        cure = "; for labels −1 and 1 pass (y + 1) / 2" if np.isin(y, (-1, 1)).all() else ""
        raise ValueError(f"targets lie within [0, 1], got numbers from {y.min():g} to {y.max():g}{cure}")


def refuse_logits(p: Any) -> None:
    """Raise if numbers outside [0, 1] are among the probabilities."""
    p = getattr(p, "array", p)
    if np.any(p < 0) or np.any(p > 1):
        raise ValueError(
            f"binary_cross_entropy takes probabilities within [0, 1], got numbers from {np.min(p):g} to {np.max(p):g}: "
            "apply a sigmoid first, or use binary_cross_entropy_with_logits (BCEWithLogitsLoss) on these"
        )


def class_indices(target: Any, pred: Any) -> Any:
    """Return the target as indices that fit logits `pred`; of arrays other than numpy's, as their probabilities."""
    shape, logits, k = pred.shape, strip(pred), strip(target)
    k = k if hasattr(k, "__array_function__") else np.asarray(k)
    if k.shape != shape[:1]:
        cure = "; pass target.ravel()" if k.size == shape[0] else ""
        raise ValueError(
            f"for logits of shape {shape} the target is class indices of shape {shape[:1]} or probabilities of shape "
            f"{shape}; got {k.shape}{cure}"
        )
    if k.dtype.kind not in "biu":
        raise TypeError(f"class indices are integers, got dtype {k.dtype}: pass target.astype(int)")
    if not isinstance(k, np.ndarray):
        return _probabilities(k if isinstance(logits, np.ndarray) else np.asarray(k, like=logits), logits)
    low, high = k.min(), k.max()
    if low < 0 or high >= shape[1]:
        raise ValueError(
            f"class indices run from 0 to {shape[1] - 1} for logits of shape {shape}; got {low} to {high}"
            + ("; for classes numbered from 1 pass target - 1" if (low, high) == (1, shape[1]) else "")
        )
    if not isinstance(logits, np.ndarray):
        return _probabilities(np.asarray(k, like=logits), logits)
    return k.astype(np.intp, copy=False)


def _probabilities(k: Any, logits: Any) -> Any:
    """Say 1 for the class that each index names, without looking at a number; NaN for an index that names none."""
    classes = np.arange(logits.shape[1], like=k)
    named = (k >= 0) & (k < len(classes))
    return np.where(named[:, None], classes == k[:, None], np.nan).astype(logits.dtype)


def _misfit(pred: tuple[int, ...], target: tuple[int, ...]) -> ValueError:
    cure = "there must be one target for every prediction"
    if target == (*pred, 1):
        cure = "write target[:, 0], or give the model's output a last axis"
    elif pred == (*target, 1):
        cure = "write target[:, None]" if len(target) == 1 else "write target[..., None]"
    elif target == pred[::-1]:
        cure = "write target.T"
    return ValueError(f"the prediction has shape {pred} and the target {target}: {cure}")
