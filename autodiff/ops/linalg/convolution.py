"""Convolution and correlation of sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import implements, op
from autodiff.ops.operands import as_arrays
from autodiff.sample import real, sample


def _in_full(g: Any, a: Any, v: Any, mode: str) -> Any:
    """Put zeros around the gradient of a shortened convolution, where the full one was cut off."""
    shorter = min(a.size, v.size) - 1
    before = {"full": 0, "same": shorter // 2, "valid": shorter}[mode]
    after = a.size + v.size - 1 - before - g.size
    return np.concatenate([np.zeros_like(g, shape=(before,)), g, np.zeros_like(g, shape=(after,))])


_convolve_op = op(
    np.convolve,
    lambda g, y, a, v, mode="full": np.correlate(_in_full(g, a, v, mode), np.ravel(v), mode="valid"),
    lambda g, y, a, v, mode="full": np.correlate(_in_full(g, a, v, mode), np.ravel(a), mode="valid"),
    symbol="∗",
    formula=("g ⋆ v", "g ⋆ a"),
    samples=[
        (real(5), real(3)),
        sample(real(2), real(5), mode="same"),
        sample(real(6), real(4), mode="same"),
        sample(real(3), real(5), mode="valid"),
    ],
)
_MODES = "valid", "same", "full"


def _mode(mode: Any) -> Any:
    name = _MODES[mode] if mode in (0, 1, 2) else mode
    if name not in _MODES:
        raise ValueError(f"the mode of a convolution is 'valid', 'same' or 'full', got {mode!r}")
    return name


def _sequences(a: Any, v: Any) -> tuple[Any, Any]:
    a, v = as_arrays(a, v)
    if a.ndim > 1 or v.ndim > 1 or not a.size or not v.size:
        raise ValueError(f"a convolution takes two sequences that are not empty, got shapes {a.shape} and {v.shape}")
    return a, v


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    """Convolution of two sequences, as ``np.convolve``."""
    a, v = _sequences(a, v)
    return _convolve_op(a, v, mode=_mode(mode))


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    """Correlation of two sequences, as ``np.correlate``: the convolution with the second one reversed."""
    a, v = _sequences(a, v)
    if not a.ndim or not v.ndim:
        raise ValueError(f"correlate takes two sequences, got shapes {a.shape} and {v.shape}")
    if v.size > a.size:  # numpy then centres the middle part the other way
        return np.correlate(v, a, mode=mode)[::-1]
    return np.convolve(a, v[::-1], mode=_mode(mode))
