"""Numbers spread between two ends: evenly, on a logarithmic scale, or in a geometric progression."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import as_operand, implements, op, strip
from autodiff.ops.elementwise.conversion import convert
from autodiff.ops.operands import as_array, as_arrays
from autodiff.sample import real, sample


def _way(g: Any, num: int, endpoint: bool, axis: int) -> Any:
    """How far on the way from start to stop each number lies, from 0 to 1, along its axis of `g`."""
    shape = [1] * g.ndim
    shape[axis] = num
    return np.reshape(np.arange(num, dtype=g.dtype, like=strip(g)), shape) / max(num - bool(endpoint), 1)


_linspace_op = op(
    np.linspace,
    lambda g, y, start, stop, num=50, endpoint=True, axis=0: np.sum(g * (1 - _way(g, num, endpoint, axis)), axis=axis),
    lambda g, y, start, stop, num=50, endpoint=True, axis=0: np.sum(g * _way(g, num, endpoint, axis), axis=axis),
    formula=("1 − t", "t"),
    samples=[
        sample(real(), real(), num=5),
        sample(real(2), real(3, 1), num=4, endpoint=False, axis=-1),
    ],
)


@implements(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    **options: Any,
) -> Any:
    """Return evenly spaced numbers, as ``np.linspace``, with derivatives by both ends."""
    if dtype is not None and np.dtype(dtype).kind not in "fc":
        return np.linspace(strip(start), strip(stop), num, endpoint, retstep, dtype, axis, **options)  # type: ignore[call-overload]
    start, stop = as_operand(start), as_operand(stop)
    numbers = _linspace_op(start, stop, num=num, endpoint=endpoint, axis=axis)
    numbers = numbers if dtype is None else convert(numbers, dtype)
    steps = num - bool(endpoint)
    return (numbers, (stop - start) / steps if steps > 0 else np.nan) if retstep else numbers


@implements(np.logspace)
def logspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Any:
    """Return powers of `base` with evenly spaced exponents, as ``np.logspace``."""
    if np.ndim(strip(base)):
        start, stop, base = np.broadcast_arrays(*as_arrays(start, stop, base))
        base = np.expand_dims(base, axis)
    numbers = np.power(base, np.linspace(start, stop, num, endpoint, axis=axis))
    return numbers if dtype is None else convert(numbers, dtype)


@implements(np.geomspace)
def geomspace(start: Any, stop: Any, num: Any = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Any:
    """Return a geometric progression, as ``np.geomspace``, in float64: a real one, between ends of the same sign."""
    start, stop = np.broadcast_arrays(*(as_array(x).astype(np.float64) for x in (start, stop)))
    if np.any(strip(start) == 0) or np.any(strip(stop) == 0):
        raise ValueError("geomspace takes two ends other than 0, as every number is a multiple of the one before")
    sign = np.sign(strip(start))
    numbers = np.logspace(np.log10(start / sign), np.log10(stop / sign), num, endpoint) * sign
    # Both ends as they were given, not as they come back from their logarithms.
    last = num > 1 and endpoint
    parts = [start[None][:num], numbers[1 : num - 1 if last else num], *([stop[None]] if last else [])]
    numbers = np.moveaxis(np.concatenate(parts), 0, axis)
    return numbers if dtype is None else convert(numbers, dtype)
