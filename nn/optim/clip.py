"""Gradient clipping, by the norm of all gradients together or element by element."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce
from typing import Any

import numpy as np

from autodiff.state import watching
from autodiff.tensor import Tensor
from nn.optim.optimizer import check_number


def clip_grad_norm(
    params: Iterable[Tensor], max_norm: float, norm_type: float = 2.0, *, error_if_nonfinite: bool = False
) -> float:
    """Scale all gradients down, in place, so that their joint norm is at most `max_norm`.

    Parameters
    ----------
    params : iterable of Parameter
        Those without a gradient are left out.
    max_norm : float
        Upper limit of the norm, 0 or greater.
    norm_type : float
        Order p of the norm; ``math.inf`` for the largest absolute value.
    error_if_nonfinite : bool
        Refuse to scale by a norm of NaN or Inf.

    Returns
    -------
    float
        The norm before clipping; in a compiled step an array of the gradients' dtype. When it is NaN every gradient
        becomes NaN; when it is Inf the finite entries become 0 and the infinite ones NaN, as in PyTorch.

    Raises
    ------
    FloatingPointError
        The norm is NaN or Inf and `error_if_nonfinite` is set; no gradient was changed.
    """
    check_number("clip_grad_norm", "max_norm", max_norm)
    if not norm_type > 0:
        raise ValueError(f"clip_grad_norm: norm_type must be greater than 0, got {norm_type}")
    grads = _gradients(params, "clip_grad_norm")
    with np.errstate(invalid="ignore", over="ignore"):
        norm = _norm(grads, norm_type)
        if error_if_nonfinite and not np.isfinite(norm):
            raise FloatingPointError(
                f"the norm of the gradients is {norm}, so they cannot be scaled; look for the parameter whose "
                ".grad holds NaN or Inf, or leave error_if_nonfinite out"
            )
        # NaN is passed on here, and compares false below.
        scale = np.minimum(max_norm / (norm + 1e-6), 1.0)
        # A compiled step multiplies by one rather than going two ways.
        if watching or not scale >= 1.0:
            for g in grads:
                np.multiply(g, scale.astype(g.dtype), out=g)
    # A Python number takes on the dtype of what it meets, and an array cannot.
    return norm.astype(grads[0].dtype) if hasattr(norm, "recorder") else float(norm)


def clip_grad_value(params: Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of every gradient, in place, to ±`clip_value`; NaN stays NaN."""
    check_number("clip_grad_value", "clip_value", clip_value)
    for g in _gradients(params, "clip_grad_value"):
        np.minimum(g, clip_value, out=g)
        np.maximum(g, -clip_value, out=g)


def _gradients(params: Iterable[Tensor], owner: str) -> list[Any]:
    members = [params] if isinstance(params, Tensor) else list(params)
    for position, param in enumerate(members):
        if not isinstance(param, Tensor):
            raise TypeError(
                f"{owner} takes parameters, but entry {position} is a {type(param).__name__}: "
                f"write {owner}(model.parameters(), ...)"
            )
    return [param.grad for param in members if param.grad is not None]


def _norm(grads: list[Any], order: float) -> Any:
    """Return the norm of all gradients together, without overflow."""
    arrays = [g.reshape(-1) for g in grads if g.size]
    if order == 2:
        squares = sum((_number(g.dot(g)) for g in arrays), np.float64(0))
        if np.isfinite(squares):
            return np.sqrt(squares)
    # Powers overflow long before the norm does, and exploding gradients are what clipping is for.
    largest = reduce(np.maximum, [_number(np.absolute(g).max()) for g in arrays], np.float64(0))
    if math.isinf(order) or not np.isfinite(largest) or largest == 0:
        return largest
    powers = [_number(((np.absolute(g) / largest.astype(g.dtype)) ** order).sum()) for g in arrays]
    return largest * sum(powers, np.float64(0)) ** (1.0 / order)


def _number(x: Any) -> Any:
    """Return a 0-d array as a number, unless it is under recording."""
    return x if hasattr(x, "recorder") else np.float64(x)
