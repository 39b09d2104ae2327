"""The methods of ufuncs: ``np.add.reduce``, ``np.multiply.accumulate``, ``np.subtract.outer`` and the others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import numpy as np

from autodiff.op import as_operand, handlers, refuse, strip
from autodiff.operators import settled
from autodiff.ops.activations import logsumexp
from autodiff.ops.elementwise.conversion import convert
from autodiff.ops.indexing.index import scatter
from autodiff.ops.reductions.ignoring_nan import nanmax, nanmin
from autodiff.ops.reductions.scans import cumprod, cumsum, logcumsumexp, running_extreme
from autodiff.ops.reductions.totals import largest, product, smallest, total
from autodiff.tensor import Tensor, brief

Function = Callable[..., Any]


def _without_dtype(name: str, function: Function) -> Function:
    """Give the arguments of ``reduce`` to a function that takes no dtype."""

    def reduce(array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, *args: Any, **options: Any) -> Any:
        refuse(name, out=out)
        return function(array if dtype is None else convert(array, dtype), axis, None, *args, **options)

    return reduce


def _from_first(function: Function) -> Function:
    """A reduction as the ufunc's method takes it: along the first axis unless told otherwise."""
    return lambda array, axis=0, *args, **options: function(array, axis, *args, **options)


def _log_sum(array: Any, axis: Any = None, out: Any = None, keepdims: bool = False, **options: Any) -> Any:
    refuse("logaddexp.reduce", **options)
    return logsumexp(array, axis=axis, keepdims=keepdims)


def _accumulated(function: Function, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
    refuse("accumulate", out=out)
    if not array.ndim:
        raise TypeError("cannot accumulate on a scalar")
    if axis is None and array.ndim > 1:
        raise ValueError("accumulate does not allow multiple axes")
    return function(array if dtype is None else convert(array, dtype), axis=axis or 0)


_scanned: tuple[tuple[np.ufunc, Function, Function], ...] = (
    (np.add, _from_first(total), cumsum),
    (np.multiply, _from_first(product), cumprod),
    (np.maximum, _without_dtype("maximum.reduce", largest), partial(running_extreme, np.maximum)),
    (np.minimum, _without_dtype("minimum.reduce", smallest), partial(running_extreme, np.minimum)),
    (np.fmax, _without_dtype("fmax.reduce", nanmax), partial(running_extreme, np.fmax)),
    (np.fmin, _without_dtype("fmin.reduce", nanmin), partial(running_extreme, np.fmin)),
    (np.logaddexp, _without_dtype("logaddexp.reduce", _log_sum), logcumsumexp),
)
for _ufunc, _reduce, _accumulate in _scanned:
    handlers[_ufunc, "reduce"] = _reduce
    handlers[_ufunc, "accumulate"] = partial(_accumulated, _accumulate)


def _outer(ufunc: np.ufunc, a: Any, b: Any, /, **options: Any) -> Any:
    """The ufunc of every element of `a` with every element of `b`."""
    a = as_operand(a)
    return ufunc(np.reshape(a, np.shape(strip(a)) + (1,) * np.ndim(strip(b))), b, **options)


_paired: tuple[np.ufunc, ...] = (
    *(np.add, np.subtract, np.multiply, np.divide, np.remainder, np.fmod, np.floor_divide, np.power, np.float_power),
    *(np.maximum, np.minimum, np.fmax, np.fmin, np.hypot, np.arctan2, np.copysign, np.logaddexp, np.logaddexp2),
    *(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal),
)
for _ufunc in _paired:
    handlers[_ufunc, "outer"] = partial(_outer, _ufunc)


def _add_at(ufunc: np.ufunc, target: Any, index: Any, values: Any) -> None:
    """Add to, or subtract from, the elements that an index names, as often as it does; the tensor is updated."""
    if not isinstance(target, Tensor):
        raise TypeError(
            f"np.{ufunc.__name__}.at would write {brief(values)} into an array, where no gradient can follow; make the "
            "array a Tensor first, `x = Tensor(x)`, or write `t.data` when no gradient is wanted"
        )
    index = settled(index)
    each = np.broadcast_to(as_operand(values), strip(target)[index].shape)
    target[...] = ufunc(target, scatter(each, index=index, shape=target.shape))


def _refuse_at(ufunc: np.ufunc, *args: Any) -> NoReturn:
    raise NotImplementedError(
        f"np.{ufunc.__name__}.at changes its operand, where no gradient can follow; for a tensor and an index that "
        f"names each element once write `x[i] = np.{ufunc.__name__}(x[i], v)`"
    )


def _refuse_reduceat(ufunc: np.ufunc, *args: Any, **options: Any) -> NoReturn:
    name = f"np.{ufunc.__name__}"
    raise NotImplementedError(
        f"{name}.reduceat is not differentiated by autodiff; write "
        f"`np.stack([{name}.reduce(x[i:j]) for i, j in zip(starts, stops)])`"
    )


_in_place: tuple[np.ufunc, ...] = (
    *(np.add, np.subtract, np.multiply, np.divide, np.power),
    *(np.maximum, np.minimum, np.logaddexp),
)
for _ufunc in _in_place:
    handlers[_ufunc, "at"] = partial(_refuse_at, _ufunc)
    handlers[_ufunc, "reduceat"] = partial(_refuse_reduceat, _ufunc)
handlers[np.add, "at"] = partial(_add_at, np.add)
handlers[np.subtract, "at"] = partial(_add_at, np.subtract)
