"""What is known about numpy's functions: which can write into given memory, which look at their operand's, how they
are written down.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.compile.plan.flatten import pack, slot
from autodiff.compile.record.recorded import _ATTRIBUTES, _getitem, _like, _transposed
from autodiff.compile.tape import Call, Method, UfuncMethod, Value, put

#: Functions whose result may be a view of their operand.
ALIASING: set[Any] = {
    np.reshape, np.ravel, np.squeeze, np.expand_dims, np.swapaxes, np.transpose, np.moveaxis, np.rollaxis,
    np.broadcast_to, np.diagonal, np.flip, np.fliplr, np.flipud, np.rot90, np.atleast_1d, np.atleast_2d, np.atleast_3d,
    np.real, np.imag, np.permute_dims, np.matrix_transpose, np.asarray, np.astype, np.lib.stride_tricks.as_strided,
    np.lib.stride_tricks.sliding_window_view, _getitem, _transposed, slot, *_ATTRIBUTES.values(),
}  # fmt: skip
#: Functions that give new memory and take it as ``out=``, with the operands that they combine.
_WITH_OUT: set[Any] = {
    np.dot,
    np.concatenate,
    np.stack,
    np.take,
    np.cumsum,
    np.cumprod,
    np.clip,
    np.matmul,
    np.compress,
}
_WITH_OUT |= {np.choose, np.mean, np.std, np.var, np.median, np.round, np.outer, np.trace, np.argmax, np.argmin}
REDUCTIONS = {np.sum, np.prod, np.max, np.min, np.any, np.all}
#: Of these, what is left to make its own memory for other kinds of arrays. Given ``out=``, CuPy's minimum takes it for
#: the dtype, its median expects another shape with ``keepdims=`` and does not write NaNs there, and its cumulative sums
#: without an axis expect the shape of the operand.
_NUMPYS_OUT: set[Any] = {np.min, np.median, np.cumsum, np.cumprod}
#: Calls that are written as an assignment to their memory.
_ASSIGNED: set[Any] = {np.where, np.copy, Method("copy"), Method("astype"), _like, put, pack}


#: Calls that are made element by element without being a ufunc's.
_CHOOSING: set[Any] = {np.where, np.copy, np.asarray, np.astype, Method("copy"), Method("astype")}


def stays_in_place(call: Call) -> bool:
    """Whether element i of the result comes from element i of the operands, computed, chosen or cast."""
    return is_elementwise(call) or (call.function in _CHOOSING and isinstance(call.result, Value))


def is_elementwise(call: Call) -> bool:
    """Whether element i of the result depends on element i of the operands alone."""
    function = call.function
    return (
        isinstance(function, np.ufunc)
        and function.signature is None
        and function.nout == 1
        and not call.kwargs
        and isinstance(call.result, Value)
    )


def takes_out(call: Any) -> bool:
    """Whether the result can be written into memory that is given."""
    if not isinstance(call, Call) or not isinstance(call.result, Value) or call.result.dtype.hasobject:
        return False
    function = call.function
    if isinstance(function, np.ufunc):
        return function.nout == 1 and "out" not in call.kwargs
    if isinstance(function, UfuncMethod):
        return function.name in ("reduce", "accumulate") and "out" not in call.kwargs
    if function is np.where:
        return len(call.args) == 3
    if function is np.dot:
        return all(isinstance(v, Value) and v.dtype == call.result.dtype for v in call.args) and len(call.args) == 2
    if function in (np.astype, Method("astype")):
        return len(call.args) == 2 and not call.kwargs.keys() - {"copy"}
    if function in _NUMPYS_OUT and call.result.home is not None:
        return False
    if function in REDUCTIONS and call.result.home is not None:
        return True  # of numpy's, they are written as methods of ufuncs
    if function in (np.mean, np.std, np.var) and call.result.dtype.itemsize < 4:
        return False  # numpy would sum in half precision too
    return function in _WITH_OUT or function in _ASSIGNED


#: Names by which functions are known in printed programs.
def name_of(function: Any) -> str:
    """How a person calls a function."""
    if isinstance(function, np.ufunc):
        return f"np.{function.__name__}" if hasattr(np, function.__name__) else function.__name__
    if isinstance(function, UfuncMethod):
        return f"{name_of(function.ufunc)}.{function.name}"
    module = (getattr(function, "__module__", None) or "").replace("numpy", "np", 1)
    name = getattr(function, "__name__", repr(function))
    if module.startswith("np"):
        return f"np.linalg.{name}" if "linalg" in module else f"np.fft.{name}" if "fft" in module else f"np.{name}"
    return name.lstrip("_")
