"""``np.pad`` in every mode that has a derivative. Axis by axis, as numpy does it, so that corners come out alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.op import as_operand, implements, op, strip
from autodiff.ops.indexing.index import pick, refuse_rounding
from autodiff.sample import real, sample
from autodiff.tensor import Tensor, as_tensor

Pair = tuple[Any, Any]


def _inner(x: Any, pad_width: Any) -> tuple[slice, ...]:
    widths = _pairs_of_widths(pad_width, x.ndim)
    return tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))


_with_constant = op(
    np.pad,
    lambda g, y, x, pad_width, constant_values=0: g[_inner(x, pad_width)],
    formula="1 inside",
    samples=[
        sample(real(2, 3), pad_width=((1, 0), (0, 2))),
        sample(real(3), pad_width=((2, 1),), constant_values=((0.5, -1.0),)),
    ],
)


@implements(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """Surround an array, as ``np.pad``; `constant_values` and `end_values` may be Tensors.

    Raises
    ------
    NotImplementedError
        `mode` is a function: it would write into the array, where no gradient can follow.
    """
    x = as_operand(array)
    if callable(mode):
        raise NotImplementedError(
            "np.pad on a Tensor does not take a function as mode, for it writes into an array; "
            "pad with np.concatenate([before, x, after], axis)"
        )
    # numpy refuses what is wrong with the arguments, on an array too small to cost anything.
    np.pad(np.ones([min(n, 1) for n in x.shape]), strip(pad_width), mode, **strip(kwargs))
    if not x.ndim:
        return np.copy(x)
    widths = _pairs_of_widths(strip(pad_width), x.ndim)
    option = next(iter(kwargs.values()), _DEFAULTS[mode])
    if x.dtype.kind not in "fc":
        refuse_rounding(x.dtype, as_operand(option))
        return as_tensor(np.pad(strip(x), widths, mode, **strip(kwargs)))
    if mode in ("constant", "empty") and not isinstance(as_operand(option), Tensor):
        values = np.broadcast_to(option, (x.ndim, 2)).tolist()
        return _with_constant(x, pad_width=widths, constant_values=values)
    if not x.size or mode in ("edge", "wrap") or (mode in _MIRRORS and option != "odd"):
        return pick(np.pad, x, widths, mode, **kwargs)
    for axis, width in enumerate(widths):
        before, after = _BESIDE[mode](x, axis, width, mode, _pair(option, axis, x.ndim))
        x = np.concatenate([before, x, after], axis)
    return x


def _pairs_of_widths(pad_width: Any, ndim: int) -> tuple[tuple[int, int], ...]:
    if isinstance(pad_width, dict):
        by_axis: list[Any] = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            by_axis[axis] = width if isinstance(width, tuple) else (width, width)
        pad_width = by_axis
    return tuple((int(before), int(after)) for before, after in np.broadcast_to(pad_width, (ndim, 2)))


def _pair(values: Any, axis: int, ndim: int) -> Pair:
    """What goes before and after along one axis, of an argument that is given once, per side, or per axis and side."""
    if values is None or isinstance(values, str):
        return values, values
    both = np.broadcast_to(as_operand(values), (ndim, 2))
    return both[axis, 0], both[axis, 1]


def _part(x: Any, axis: int, start: Any, stop: Any) -> Any:
    return x[(*(slice(None),) * axis, slice(start, stop))]


def _along(values: Any, x: Any, axis: int) -> Any:
    return np.reshape(values, (-1, *(1,) * (x.ndim - 1 - axis)))


def _filled(value: Any, x: Any, axis: int, n: int) -> Any:
    return _as(x.dtype, np.broadcast_to(value, (*x.shape[:axis], n, *x.shape[axis + 1 :])))


def _as(dtype: Any, x: Any) -> Any:
    return x if x.dtype == dtype else x.astype(dtype)


# What stands before and after `x` along an axis, by mode


def _constants(x: Any, axis: int, width: Pair, mode: str, values: Pair) -> Pair:
    return _filled(values[0], x, axis, width[0]), _filled(values[1], x, axis, width[1])


def _ramps(x: Any, axis: int, width: Pair, mode: str, ends: Pair) -> Pair:
    n = x.shape[axis]
    edges = _part(x, axis, 0, 1), _part(x, axis, n - 1, n)
    before, after = (
        end + _along(np.arange(w, dtype=x.dtype, like=strip(x)), x, axis) * ((edge - end) / max(w, 1))
        for end, edge, w in zip(ends, edges, width, strict=True)
    )
    return _as(x.dtype, before), _as(x.dtype, np.flip(after, axis))


_STATISTICS: dict[str, Callable[..., Any]] = {
    "maximum": np.max,
    "minimum": np.min,
    "mean": np.mean,
    "median": np.median,
}


def _statistics(x: Any, axis: int, width: Pair, mode: str, lengths: Pair) -> Pair:
    n = x.shape[axis]
    first, last = (n if length is None else min(int(strip(length)), n) for length in lengths)
    parts = _part(x, axis, 0, first), _part(x, axis, n - last, n)
    before, after = (
        _filled(_STATISTICS[mode](part, axis=axis, keepdims=True), x, axis, w) if w else _part(x, axis, 0, 0)
        for part, w in zip(parts, width, strict=True)
    )
    return before, after


def _odd_mirrors(x: Any, axis: int, width: Pair, mode: str, _: Pair) -> Pair:
    """Each element beyond an edge e is 2e − (its mirror image), again and again: ±x[i] + a·first + b·last."""
    n = x.shape[axis]
    row = np.arange(n)
    source = np.pad(row, width, mode)  # type: ignore[call-overload]
    position = np.arange(-width[0], n + width[1])
    turns = np.floor_divide(position, n if mode == "symmetric" else max(n - 1, 1))
    sign = np.where((turns % 2 == 0) | (n == 1), 1, -1)
    # Mirrored so, a row of consecutive numbers tells b, and a row of ones tells a.
    b = (np.pad(row, width, mode, reflect_type="odd") - sign * source) // max(n - 1, 1)  # type: ignore[call-overload]
    a = 1 - sign - b
    edges = ((a, _part(x, axis, 0, 1)), (b, _part(x, axis, n - 1, n)))

    def factors(row: Any) -> Any:
        return _along(np.asarray(row, dtype=x.dtype, like=strip(x)), x, axis)

    def mirrored(side: slice) -> Any:
        result = np.take(x, np.asarray(source[side], like=strip(x)), axis) * factors(sign[side])
        for factor, edge in edges:
            if factor[side].any():  # 0·∞ would be NaN
                result = result + factors(factor[side]) * edge
        return result

    return mirrored(slice(0, width[0])), mirrored(slice(width[0] + n, None))


_MIRRORS = ("reflect", "symmetric")
_BESIDE: dict[str, Callable[..., Pair]] = {
    "constant": _constants,
    "linear_ramp": _ramps,
    **dict.fromkeys(_STATISTICS, _statistics),
    **dict.fromkeys(_MIRRORS, _odd_mirrors),
}
#: What each mode's one argument is when it is left out.
_DEFAULTS: dict[str, Any] = {
    "constant": 0,
    "empty": 0,  # any value will do
    "linear_ramp": 0,
    **dict.fromkeys(("edge", "wrap", *_STATISTICS, *_MIRRORS)),
}
