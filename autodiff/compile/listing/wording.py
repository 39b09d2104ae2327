"""How calls and what is passed to them are written in a printed program."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.compile.plan.flatten import slot
from autodiff.compile.plan.forms import name_of
from autodiff.compile.record.recorded import _ATTRIBUTES, _getitem, _transposed
from autodiff.compile.tape import Call, Method, Opaque, UfuncMethod, Value, part

#: Elements of the largest constants that are written out.
SHORT = 8
_SIGNS: dict[Any, str] = {
    operator.ne: "!=", operator.eq: "==", operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=",
}  # fmt: skip
#: What Python compares, and the opposite of it.
OPPOSITE = {operator.ne: operator.eq, operator.eq: operator.ne}
_MATRIX_TRANSPOSED = _ATTRIBUTES["mT"]


class Wording:
    """Writes calls.

    Parameters
    ----------
    name : callable
        Gives the expression for a value that is no constant.
    bind : callable
        Gives the name of a thing that cannot be written out, from the thing and a name that would suit it.

    Attributes
    ----------
    instead : dict of Value to str
        What to write for some values for a while.
    """

    def __init__(self, name: Callable[[Any], str], bind: Callable[[Any, str], str]) -> None:
        self.instead: dict[Value, str] = {}
        self._name = name
        self._bind = bind

    def call(self, call: Call, *more: str) -> str:
        """Write a call that gives its result; `more` are further arguments."""
        function, args = call.function, call.args
        peers = {v.dtype for v in args if isinstance(v, Value) and v.kind != "constant"}

        def written(x: Any) -> str:
            return self.argument(x, peers)

        if function is part or function is _getitem:
            return f"{written(args[0])}[{self.index(args[1])}]"
        if is_transposition(call):
            return f"{written(args[0])}.T"
        if function is _MATRIX_TRANSPOSED:
            return f"np.swapaxes({written(args[0])}, -1, -2)"
        if function is slot:
            return slot_of(written(args[0]), args[0].shape, args[1], args[2])
        if function is np.reshape and len(args) == 2 and not call.kwargs and isinstance(args[0], Value):
            return f"{written(args[0])}.reshape({_spread(args[1])})"
        if function in _SIGNS and len(args) == 2:
            return self.compared(call, function)
        kwargs = dict(call.kwargs)
        if isinstance(function, UfuncMethod) and function.name == "reduce" and len(args) == 5:
            kwargs = {"axis": args[1]} | ({"keepdims": True} if args[4] else {})
            args = args[:1]
        if isinstance(function, Method):
            text, args = f"{written(args[0])}.{function.name}", args[1:]
        else:
            text = self.function(function)
        parts = [written(x) for x in args] + [f"{key}={written(x)}" for key, x in kwargs.items()]
        return f"{text}({', '.join([*parts, *more])})"

    def compared(self, call: Call, sign: Any) -> str:
        """Write a comparison by Python's operator `sign`."""
        return f"{self.argument(call.args[0])} {_SIGNS[sign]} {self.argument(call.args[1])}"

    def function(self, function: Any) -> str:
        """Write a function: by its public name, where that leads to it."""
        if isinstance(function, UfuncMethod):
            return f"{self.function(function.ufunc)}.{function.name}"
        name = getattr(function, "__name__", "function").strip("<>")
        for text in (name_of(function), f"np.lib.stride_tricks.{name}"):
            try:
                if text.startswith("np.") and functools.reduce(getattr, text.split(".")[1:], np) is function:
                    return text
            except AttributeError:
                continue
        return self._bind(function, name)

    def argument(self, tree: Any, peers: set[Any] | None = None) -> str:
        """Write an argument; `peers` are the dtypes of the arrays beside it."""
        if isinstance(tree, Value):
            if tree in self.instead:
                return self.instead[tree]
            return self._constant(tree, peers or set()) if tree.kind == "constant" else self._name(tree)
        if isinstance(tree, Opaque):
            return self._name(tree)
        if type(tree) is tuple:
            inner = ", ".join(self.argument(item, peers) for item in tree)
            return f"({inner},)" if len(tree) == 1 else f"({inner})"
        if type(tree) is list:
            return f"[{', '.join(self.argument(item, peers) for item in tree)}]"
        if isinstance(tree, slice):
            return f"slice({self.argument(tree.start)}, {self.argument(tree.stop)}, {self.argument(tree.step)})"
        if tree is Ellipsis:
            return "..."
        if tree is None or type(tree) in (bool, int, str):
            return repr(tree)
        if type(tree) is float:
            return (
                repr(tree) if math.isfinite(tree) else "np.nan" if tree != tree else "np.inf" if tree > 0 else "-np.inf"
            )
        return self._thing(tree)

    def index(self, index: Any) -> str:
        """Write what stands in brackets."""
        if type(index) is tuple and index:
            return ", ".join(map(self.index, index)) + ("," if len(index) == 1 else "")
        if isinstance(index, slice):
            start, stop, step = ("" if x is None else self.argument(x) for x in (index.start, index.stop, index.step))
            return f"{start}:{stop}" + (f":{step}" if step else "")
        return self.argument(index)

    def dtype(self, dtype: np.dtype[Any]) -> str:
        """Write a dtype."""
        found = getattr(np, dtype.name, None)
        return (
            f"np.{dtype.name}" if isinstance(found, type) and np.dtype(found) == dtype else self._bind(dtype, "dtype")
        )

    def _thing(self, thing: Any) -> str:
        if isinstance(thing, np.dtype):
            return self.dtype(thing)
        if thing in (bool, int, float, complex) and isinstance(thing, type):
            return thing.__name__
        if isinstance(thing, type) and issubclass(thing, np.generic):
            return self.dtype(np.dtype(thing)) if thing.__name__ == np.dtype(thing).name else f"np.{thing.__name__}"
        if isinstance(thing, np.generic):
            text = _number(thing)
            return f"{self.dtype(thing.dtype)}({text})" if text else self._bind(thing, "constant")
        return self._bind(thing, "constant")

    def _constant(self, value: Value, peers: set[Any]) -> str:
        array = value.array
        if type(array) is not np.ndarray or array.dtype.kind not in "fiub" or not array.dtype.isnative:
            return self._bind(array, "constant")
        if array.shape == ():
            text = _number(array[()])
            if text is None:
                return self._bind(array, "constant")
            return text if peers == {array.dtype} else f"{self.dtype(array.dtype)}({text})"
        if not array.flags.c_contiguous or not array.size:
            return self._bind(array, "constant")
        natural = array.dtype in (np.dtype(float), np.dtype(int), np.dtype(bool))
        kind = "" if natural else f", {self.dtype(array.dtype)}"
        shape = _spread(array.shape) if len(array.shape) == 1 else repr(array.shape)
        first = array.reshape(-1)[0]
        if array.tobytes() == first.tobytes() * array.size and _number(first):
            if first == 1 and array.dtype.kind == "f":
                return f"np.ones({shape}{kind})"
            if first == 0 and array.dtype.kind == "f" and not np.signbit(first):
                return f"np.zeros({shape}{kind})"
            return f"np.full({shape}, {_number(first)}{kind})"
        if array.dtype == np.dtype(int) and array.ndim == 1 and (array == np.arange(array.size)).all():
            return f"np.arange({array.size})"
        if array.size <= SHORT and all(_number(x) for x in array.reshape(-1)):
            return f"np.array({_nested(array)}{kind})"
        return self._bind(array, "constant")


def is_transposition(call: Call) -> bool:
    """Whether a call does nothing but turn rows into columns."""
    if call.function is _transposed:
        return True
    x = call.args[0] if call.args else None
    if not isinstance(x, Value) or len(x.shape) != 2 or call.kwargs:
        return False
    if call.function is np.swapaxes:
        return sorted(axis % 2 for axis in call.args[1:]) == [0, 1]
    return call.function is _MATRIX_TRANSPOSED or (call.function is np.transpose and call.args[1:] in ((), (None,)))


def is_whole(call: Call) -> bool:
    """Whether a call gives a view of all of its operand as it is."""
    return call.function is _getitem and call.args[1] is Ellipsis and call.args[0].shape != ()


def slot_of(flat: str, whole: tuple[int, ...], start: int, shape: tuple[int, ...]) -> str:
    """Write one of the arrays in a flat one."""
    size = math.prod(shape)
    text = flat if (size,) == whole else f"{flat}[{start}:{start + size}]"
    return text if len(shape) == 1 else f"{text}.reshape({_spread(shape)})"


def _spread(shape: Any) -> str:
    """A shape as `reshape` takes it."""
    if type(shape) is not tuple or not shape:
        return repr(shape)
    return ", ".join(map(str, shape))


def _number(number: Any) -> str | None:
    """A number as Python writes it, `None` if that would not give the same one."""
    if number.dtype.kind != "f":
        return repr(number.item())
    if not np.isfinite(number):
        return None
    text = str(number) if number.dtype.itemsize <= 8 else repr(float(number))
    same = number.dtype.type(float(text))
    return repr(float(text)) if same.tobytes() == number.tobytes() else None


def _nested(array: Any) -> str:
    return f"[{', '.join(map(_nested, array))}]" if array.ndim else str(_number(array[()]))
