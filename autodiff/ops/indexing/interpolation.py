"""Linear interpolation between samples, differentiable by the place, by the samples' places and by their values."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import as_operand, implements, strip
from autodiff.ops.operands import as_array


@implements(np.interp)
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Interpolate linearly, as ``np.interp``, in float64. On a sample's place the slope is that of the right side."""
    x, xp, fp = (_as_float64(operand) for operand in (x, xp, fp))
    np.interp(np.zeros(1, like=strip(xp)), strip(xp), strip(fp), period=strip(period))  # raises where numpy does
    if period is not None:
        x, xp, fp = _periodic(x, xp, fp, abs(period))
        left = right = None
    places, at = strip(xp), strip(x)
    last = len(places) - 1
    j = np.clip(np.searchsorted(places, at, side="right") - 1, 0, max(last - 1, 0))
    next_j = np.minimum(j + 1, last)
    width = xp[next_j] - xp[j]
    slope = (fp[next_j] - fp[j]) / np.where(strip(width) == 0, 1, width)
    # Measured from a sample's own place, so that its value comes out exactly, also at the right end.
    anchor = np.where(at == places[last], last, j)
    y = slope * (x - xp[anchor]) + fp[anchor]
    y = np.where(at < places[0], fp[0] if left is None else as_operand(left), y)
    return np.where(at > places[last], fp[last] if right is None else as_operand(right), y)


def _as_float64(x: Any) -> Any:
    x = as_array(x)
    if x.dtype.kind == "c":
        raise NotImplementedError("np.interp of complex values is not differentiated: take .real and .imag apart")
    return x if x.dtype == np.float64 else x.astype(np.float64)


def _periodic(x: Any, xp: Any, fp: Any, period: Any) -> tuple[Any, Any, Any]:
    """Bring places into one period, sort the samples, and put one more on either side."""
    x, xp = x % period, xp % period
    order = np.argsort(strip(xp))
    xp, fp = xp[order], fp[order]
    xp = np.concatenate([xp[-1:] - period, xp, xp[:1] + period])
    return x, xp, np.concatenate([fp[-1:], fp, fp[:1]])
