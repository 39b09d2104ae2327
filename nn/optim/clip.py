"""Gradient clipping, by the norm of all gradients together or element by element."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

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
        The norm before clipping. When it is NaN every gradient becomes NaN; when it is Inf the finite entries become
        0 and the infinite ones NaN, as in PyTorch.

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
        norm = _norm(np.array([_norm(g, norm_type) for g in grads]), norm_type)
        if error_if_nonfinite and not math.isfinite(norm):
            raise FloatingPointError(
                f"the norm of the gradients is {norm}, so they cannot be scaled; look for the parameter whose "
                ".grad holds NaN or Inf, or leave error_if_nonfinite out"
            )
        scale = max_norm / (norm + 1e-6)
        # Written so that NaN, which compares false, is passed on.
        if not scale >= 1.0:
            for g in grads:
                np.multiply(g, scale, out=g)
    return norm


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


def _norm(g: Any, order: float) -> float:
    """Return the norm of one array, in its own precision but without overflow."""
    if g.size == 0:
        return 0.0
    if order == 2:
        flat = g.reshape(-1)
        squares = float(flat.dot(flat))
        if math.isfinite(squares):
            return math.sqrt(squares)
    # Powers overflow long before the norm does, and exploding gradients are what clipping is for.
    largest = float(np.absolute(g).max())
    if math.isinf(order) or not math.isfinite(largest) or largest == 0:
        return largest
    return largest * math.pow(float(((np.absolute(g) / largest) ** order).sum()), 1.0 / order)
