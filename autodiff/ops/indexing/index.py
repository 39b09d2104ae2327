"""Indexing, its transpose, and assignment, for every kind of index that numpy takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.op import Op, op, strip
from autodiff.ops.operands import places
from autodiff.sample import real, sample

#: How a view is taken: operations with what they are told besides their operand, one after another.
Views = tuple[tuple[Op, dict[str, Any]], ...]


def _repeats(index: Any) -> bool:
    """Say whether an index may name one element twice: only arrays of integers can."""
    parts = index if isinstance(index, tuple) else (index,)
    once = (int, np.integer, slice, type(None), type(Ellipsis))
    return not all(isinstance(part, once) or _dtype(part) == np.bool_ for part in parts)


def _dtype(part: Any) -> Any:
    return part.dtype if hasattr(part, "dtype") else np.asarray(part).dtype


def _scatter(g: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with `g` added at `index`."""
    if _repeats(index):
        return _combined(np.add, g, index, shape)
    out = np.zeros_like(g, shape=shape)
    out[index] = g
    return out


def _combined(ufunc: np.ufunc, values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape`, with which a ufunc has combined `values` at `index`: all that are for one element."""
    out = np.zeros_like(values, shape=shape)
    try:
        ufunc.at(out, index, values)
    except TypeError:  # CuPy's takes an array as the index, but no tuple
        out = np.zeros_like(values, shape=(math.prod(shape),))
        ufunc.at(out, np.arange(out.size, like=values).reshape(shape)[index].reshape(-1), values.reshape(-1))
        out = out.reshape(shape)
    return out


getitem: Op = op(
    lambda x, index: x[index],
    lambda g, y, x, index: scatter(g, index=index, shape=x.shape),
    view=True,
    name="getitem",
    symbol="[ ]",
    formula="1 at the index",
    samples=[
        sample(real(4, 3), index=1),
        sample(real(4, 3), index=(slice(None, None, -2), None, 0)),
        sample(real(4, 3), index=(..., -1)),
        sample(real(4, 3), index=np.array([0, 2, 0])),
        sample(real(4, 3), index=(np.array([[0, 1], [3, 3]]), 1)),
        sample(real(4, 3), index=np.array([True, False, True, True])),
        sample(real(4, 3), index=[1, 1]),
    ],
)
scatter: Op = op(
    _scatter,
    lambda g, y, x, index, shape: g[index],
    name="scatter",
    symbol="scatter",
    formula="1 at the index",
    samples=[
        sample(real(3), index=np.array([0, 2, 0]), shape=(4,)),
        sample(real(3), index=(slice(None), 1), shape=(3, 2)),
    ],
)


def _setitem(x: Any, value: Any, index: Any, views: Views = ()) -> Any:
    refuse_rounding(x.dtype)
    return _replaced(x, value, index, views)


def _replaced(x: Any, value: Any, index: Any, views: Views) -> Any:
    """Return `x` with `value` written to a view of it. No array is written through a view: not all kinds can be."""
    line = _seen(x, views)
    out = line[-1].copy()
    out[index] = value
    for base, (view, params) in zip(line[-2::-1], views[::-1], strict=True):
        if view is getitem:
            whole = base.copy()
            whole[params["index"]] = out
            out = whole
            continue
        # What sends a gradient back puts elements back, too: a view has each at most once.
        pull: Any = view.rules[0]
        back = pull(out, None, base, **params)
        if out.size == base.size:
            out = back
        else:
            out = np.where(pull(np.ones_like(out), None, base, **params) != 0, back, base)
    return out


def _seen(x: Any, views: Views) -> list[Any]:
    """Return an array, the view of it that the first of these operations takes, the view of that, and so on."""
    line = [x]
    for view, params in views:
        line.append(view(line[-1], **params))
    return line


def _kept(g: Any, y: Any, x: Any, value: Any, index: Any, views: Views = ()) -> Any:
    return np.where(_replaced(np.ones_like(strip(x), dtype=bool), False, index, views), g, 0)


def _written(g: Any, y: Any, x: Any, value: Any, index: Any, views: Views = ()) -> Any:
    """The gradient of what was written; where an index names an element twice only the last write counts."""
    g = _seen(g, views)[-1][index]
    if _repeats(index):
        g = np.where(_stands(_seen(strip(y), views)[-1], strip(value), index), g, 0)
    # Assignment lets a value have more axes than the place, if their length is 1.
    extra = np.ndim(value) - g.ndim
    return np.reshape(g, (1,) * extra + g.shape) if extra > 0 else g


def _stands(target: Any, value: Any, index: Any) -> Any:
    """Say of each element of `value` whether it is what now stands in `target`, in which it was written at `index`.

    That is found by looking: numpy keeps the last of several writes to an element, CuPy any of them.
    """
    now = target[index]
    written = np.empty_like(now)
    written[...] = value
    order = np.arange(1, now.size + 1, like=target).reshape(now.shape)
    here = (now == written) | ((now != now) & (written != written))
    try:
        last = _combined(np.maximum, np.where(here, order, 0), index, target.shape)
    except TypeError:  # Dask has no such method; it keeps the last, too
        last = np.zeros_like(target, dtype=int)
        last[index] = order
    return last[index] == order


setitem = op(
    _setitem,
    _kept,
    _written,
    name="setitem",
    symbol="[ ]=",
    formula=("0 at the index, else 1", "1 at the index"),
    samples=[
        sample(real(4, 3), real(3), index=1),
        sample(real(4, 3), real(), index=(slice(0, 2), 0)),
        sample(real(4), real(3), index=np.array([0, 2, 0])),
        sample(real(4, 3), real(1, 1, 3), index=2),
        sample(real(4, 3), real(2), index=np.array([0, 2]), views=((getitem, {"index": (slice(None), 1)}),)),
    ],
)


def pick(function: Callable[..., Any], x: Any, *args: Any, **options: Any) -> Any:
    """Select elements of `x` as numpy's `function` does, by letting it select among their positions."""
    return np.ravel(x)[function(places(x), *strip(args), **strip(options))]


def refuse_rounding(dtype: Any, *values: Any) -> None:
    """Raise a TypeError where values with a gradient would be written among integers, and rounded."""
    if dtype.kind not in "fc" and (not values or any(getattr(x, "requires_grad", False) for x in values)):
        raise TypeError(
            f"a tensor that requires a gradient was to be written among elements of dtype {dtype}, which would round "
            "it: convert those first, `x = x.astype(float)`"
        )
