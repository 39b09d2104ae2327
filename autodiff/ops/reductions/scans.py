"""Scans: sums, products and extremes over all elements up to each one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.op import Op, implements, op, refuse, strip
from autodiff.ops.activations import sigmoid
from autodiff.ops.elementwise.conversion import convert
from autodiff.ops.elementwise.exponentials import difference
from autodiff.ops.operands import places
from autodiff.sample import real, sample


def _backwards(x: Any, axis: int) -> Any:
    return x[(*(slice(None),) * (axis % x.ndim), slice(None, None, -1))]


def _cumsum(g: Any, y: Any, x: Any, axis: Any = None) -> Any:
    """Each element is in all sums from its own on: the sum of their gradients."""
    axis = axis or 0
    return np.reshape(_backwards(np.cumsum(_backwards(g, axis), axis=axis), axis), x.shape)


_cumsum_op = op(
    np.cumsum,
    _cumsum,
    symbol="Σ…",
    formula="1 up to each",
    samples=[sample(real(2, 3)), sample(real(2, 3), axis=0), sample(real(2, 3), axis=-1)],
)


def _shifted(x: Any, first: float) -> Any:
    """`x` moved on by one along its last axis, with `first` at the free place."""
    return np.concatenate([np.full_like(strip(x)[..., :1], first), x[..., :-1]], axis=-1)


def _recurrence(a: Any, b: Any) -> Any:
    """Apply the recurrence in log₂ n steps: after each, an element has gathered twice as many before it."""
    reach = 1
    while reach < b.shape[-1]:
        b = np.concatenate([b[..., :reach], b[..., reach:] + a[..., reach:] * b[..., :-reach]], axis=-1)
        a = np.concatenate([a[..., :reach], a[..., reach:] * a[..., :-reach]], axis=-1)
        reach *= 2
    return b


def _recurrence_from_end(a: Any, b: Any) -> Any:
    """``r[i] = b[i] + a[i + 1]·r[i + 1]``: what flows back through the recurrence that has these factors."""
    return recurrence(_shifted(a[..., ::-1], 0), b[..., ::-1])[..., ::-1]


#: ``r[i] = a[i]·r[i − 1] + b[i]`` along the last axis, for `a` and `b` of one shape; a[0] counts for nothing.
recurrence = op(
    _recurrence,
    lambda g, y, a, b: _recurrence_from_end(a, g) * _shifted(y, 0),
    lambda g, y, a, b: _recurrence_from_end(a, g),
    name="recurrence",
    symbol="a·r + b",
    formula=("s·r", "s"),
    samples=[(real(2, 5), real(2, 5))],
)


def _cumprod(g: Any, y: Any, x: Any, axis: Any = None) -> Any:
    """The product before an element, times what the factors after it make of their gradients. Nothing is divided."""
    if axis is None or not x.ndim:
        return np.reshape(_cumprod(g, y, np.reshape(x, g.shape), -1), x.shape)
    g, y, x = (np.swapaxes(z, axis, -1) for z in (g, y, x))
    return np.swapaxes(_shifted(y, 1) * _recurrence_from_end(x, g), axis, -1)


_cumprod_op = op(
    np.cumprod,
    _cumprod,
    symbol="Π…",
    formula="Πx / x up to each",
    samples=[
        sample(real(2, 3)),
        sample(real(3, 2), axis=0),
        sample(real(2, 3), axis=-1),
        sample(np.array([[0.5, 0.0, 2.0, -1.5, 0.0, 3.0]]), axis=1),
    ],
)


def _logcumsumexp(g: Any, y: Any, x: Any, axis: int = 0) -> Any:
    g, y, x = (np.swapaxes(z, axis, -1) for z in (g, y, x))
    ahead = difference(_shifted(y, -np.inf), x)
    return np.swapaxes(sigmoid(-ahead) * _recurrence_from_end(sigmoid(ahead), g), axis, -1)


logcumsumexp = op(
    lambda x, axis=0: np.logaddexp.accumulate(x, axis=axis),
    _logcumsumexp,
    name="logcumsumexp",
    symbol="ln Σ… exp",
    formula="softmax up to each",
    samples=[sample(real(3, 2)), sample(real(2, 3), axis=-1)],
)


@implements(np.cumsum)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Sums of the elements up to each, as ``np.cumsum``."""
    return _scan(_cumsum_op, a, axis, dtype, out)


@implements(np.cumprod)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """Products of the elements up to each, as ``np.cumprod``; the gradient is exact with zeros among them."""
    return _scan(_cumprod_op, a, axis, dtype, out)


def _scan(scan: Op, a: Any, axis: Any, dtype: Any, out: Any) -> Any:
    refuse(scan.name, out=out)
    if dtype is not None:
        a = convert(a, dtype)
    return scan(a, **{} if axis is None else {"axis": axis})


def _cumulative(name: str, scan: Callable[..., Any], first: float) -> None:
    """Declare numpy's newer spelling of a scan, where numpy has it."""

    def cumulative(
        x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
    ) -> Any:
        refuse(name, out=out)
        if axis is None and x.ndim > 1:
            raise ValueError(f"{name} of an array of shape {x.shape} needs an axis")
        if not x.ndim:
            x = np.reshape(x, (1,))
        axis = 0 if axis is None else axis
        y = scan(x, axis=axis, dtype=dtype)
        if not include_initial:
            return y
        shape = list(y.shape)
        shape[axis] = 1
        return np.concatenate([np.full_like(strip(y), first, shape=shape), y], axis=axis)

    if hasattr(np, name):
        implements(getattr(np, name))(cumulative)


_cumulative("cumulative_sum", cumsum, 0)
_cumulative("cumulative_prod", cumprod, 1)


def running_extreme(ufunc: np.ufunc, x: Any, axis: int = 0) -> Any:
    """The largest or smallest element up to each; of several that tie, the last has the gradient."""
    plain = strip(x)
    extremes = ufunc.accumulate(plain, axis=axis)
    hit = (plain == extremes) | (np.isnan(plain) & np.isnan(extremes))
    positions = np.where(hit, places(x), -1)
    return np.ravel(x)[np.maximum.accumulate(positions, axis=axis)]
