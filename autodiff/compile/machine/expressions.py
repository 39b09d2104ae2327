"""Elementwise operations as text that Numba compiles: one number of the result from one number of each operand.

Every operand is first brought to the dtype in which numpy would compute, so that no number is widened or narrowed where
numpy would not do it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.compile.record.recorded import _like
from autodiff.compile.tape import Call, Method, Value

#: The dtypes that machine code works on, and how its text calls them.
KINDS: dict[np.dtype[Any], str] = {
    np.dtype(name): f"{np.dtype(name).kind}{np.dtype(name).itemsize}"
    for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
}

#: For numbers of any kind.
_ANY = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "negative": "-{0}",
    "positive": "{0}",
    "conjugate": "{0}",
    "absolute": "abs({0})",
    "square": "{0} * {0}",
    "maximum": "{0} if {0} >= {1} or {0} != {0} else {1}",
    "minimum": "{0} if {0} <= {1} or {0} != {0} else {1}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "logical_and": "{0} != 0 and {1} != 0",
    "logical_or": "{0} != 0 or {1} != 0",
    "logical_xor": "({0} != 0) != ({1} != 0)",
    "logical_not": "{0} == 0",
    "sign": "{type}(1) if {0} > 0 else ({type}(-1) if {0} < 0 else {0})",
}
#: For bools: numpy's arithmetic on them is logic.
_BOOL = {
    "add": "{0} or {1}",
    "multiply": "{0} and {1}",
    "bitwise_and": "{0} and {1}",
    "bitwise_or": "{0} or {1}",
    "bitwise_xor": "{0} != {1}",
    "invert": "not {0}",
    "maximum": "{0} or {1}",
    "minimum": "{0} and {1}",
    "absolute": "{0}",
    **{name: _ANY[name] for name in ("equal", "not_equal")},
    "logical_and": "{0} and {1}",
    "logical_or": "{0} or {1}",
    "logical_xor": "{0} != {1}",
    "logical_not": "not {0}",
}
#: For whole numbers.
_INTEGER = {**_ANY, "bitwise_and": "{0} & {1}", "bitwise_or": "{0} | {1}", "bitwise_xor": "{0} ^ {1}", "invert": "~{0}"}
#: Functions of C's library, by numpy's name.
_LIBRARY = {
    **{name: name for name in ("sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{"arc" + name: "a" + name for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
}
#: For floats.
_FLOAT = {
    **_ANY,
    "absolute": "math.fabs({0})",
    "fabs": "math.fabs({0})",
    "divide": "{0} / {1}",
    "reciprocal": "{type}(1) / {0}",
    "exp2": "math.pow({type}(2), {0})",
    "fmax": "{0} if {0} >= {1} or {1} != {1} else {1}",
    "fmin": "{0} if {0} <= {1} or {1} != {1} else {1}",
    "power": "math.pow({0}, {1})",
    "arctan2": "math.atan2({0}, {1})",
    "hypot": "math.hypot({0}, {1})",
    "copysign": "math.copysign({0}, {1})",
    "logaddexp": "logaddexp({0}, {1})",
    "heaviside": "{type}(0) if {0} < 0 else ({type}(1) if {0} > 0 else ({1} if {0} == 0 else {0}))",
    "floor": "np.floor({0})",
    "ceil": "np.ceil({0})",
    "trunc": "np.trunc({0})",
    "rint": "np.rint({0})",
    "isnan": "{0} != {0}",
    "isinf": "math.isinf({0})",
    "isfinite": "math.isfinite({0})",
    **{name: f"math.{function}({{0}})" for name, function in _LIBRARY.items()},
}
_TABLES = {"b": _BOOL, "i": _INTEGER, "u": _INTEGER, "f": _FLOAT}
#: What costs so much that numpy, which computes several at a time, is quicker on large arrays.
COSTLY = {*_LIBRARY, "exp2", "power", "arctan2", "hypot", "logaddexp"} - {"sqrt"}

#: Comparisons of numbers that a call gave.
_COMPARISONS: dict[Any, np.ufunc] = {
    operator.eq: np.equal,
    operator.ne: np.not_equal,
    operator.lt: np.less,
    operator.le: np.less_equal,
    operator.gt: np.greater,
    operator.ge: np.greater_equal,
}

Expression = Callable[[Sequence[str]], str]


class Formula:
    """What one call does to the numbers of its operands.

    Attributes
    ----------
    operands : tuple
        Values, and numbers as they stand in the call.
    costly : bool
        Whether it calls a function of C's library.
    """

    def __init__(self, operands: Sequence[Any], expression: Expression, costly: bool = False) -> None:
        self.operands = tuple(operands)
        self.expression = expression
        self.costly = costly


def formula(call: Call) -> Formula | None:
    """Return how one number of the result is computed, or None where this is not known."""
    function, args, result = call.function, call.args, call.result
    if not isinstance(result, Value) or result.dtype not in KINDS:
        return None
    if any(isinstance(v, Value) and v.dtype not in KINDS for v in call.operands()):
        return None
    target = KINDS[result.dtype]
    if function in _COMPARISONS and not result.shape:
        function = _COMPARISONS[function]
    if isinstance(function, np.ufunc) and function.signature is None and function.nout == 1 and not call.kwargs:
        return _ufunc(function, args, target)
    if function is np.where and len(args) == 3 and not call.kwargs:
        return _where(args, target)
    if function is np.clip and len(args) == 3 and not call.kwargs:
        return _clip(args, result.dtype)
    if function is _like:
        return _copy(args[1], target)
    if function in (np.copy, np.ascontiguousarray, Method("copy")) and len(args) == 1 and not call.kwargs:
        return _copy(args[0], target)
    if function in (np.astype, Method("astype")) and len(args) == 2 and not call.kwargs.keys() - {"copy"}:
        return _copy(args[0], target)
    return None


def _where(args: tuple[Any, ...], target: str) -> Formula | None:
    condition, a, b = cast(args[0], "b1"), cast(args[1], target), cast(args[2], target)
    if condition is None or a is None or b is None:
        return None
    return Formula(args, lambda names: f"({a(names[1])} if {condition(names[0])} else {b(names[2])})")


def _copy(source: Any, target: str) -> Formula | None:
    change = cast(source, target)
    return None if change is None else Formula((source,), lambda names: change(names[0]))


def _ufunc(function: np.ufunc, args: tuple[Any, ...], target: str) -> Formula | None:
    if len(args) != function.nin or not all(isinstance(x, (Value, bool, int, float, np.generic)) for x in args):
        return None
    given = [type(x) if type(x) in (int, float) else np.dtype(bool) if type(x) is bool else x.dtype for x in args]
    try:
        loop = function.resolve_dtypes((*given, None))
    except TypeError:
        return None
    if any(dtype not in KINDS for dtype in loop):
        return None
    kind = loop[0].kind
    template = _TABLES[kind].get(function.__name__)
    if template is None or len({dtype.kind for dtype in loop[:-1]}) > 1:
        return None
    casts = [cast(x, KINDS[dtype]) for x, dtype in zip(args, loop, strict=False)]
    if None in casts:
        return None
    own, last = KINDS[loop[0]], KINDS[loop[-1]]

    def expression(names: Sequence[str]) -> str:
        text = template.format(*(change(name) for change, name in zip(casts, names, strict=True)), type=own)  # type: ignore[misc]
        inner = f"({text})" if last == "b1" else f"{last}({text})"
        return inner if target == last else converted(inner, last, target)

    return Formula(args, expression, function.__name__ in COSTLY)


def _clip(args: tuple[Any, ...], dtype: np.dtype[Any]) -> Formula | None:
    target = KINDS[dtype]
    casts = [None if x is None else cast(x, target) for x in args]
    if dtype.kind != "f" or any(change is None and x is not None for change, x in zip(casts, args, strict=True)):
        return None
    present = [i for i in (1, 2) if args[i] is not None]

    def expression(names: Sequence[str]) -> str:
        text = casts[0](names[0])  # type: ignore[misc]
        for position, i in enumerate(present, 1):
            limit = casts[i](names[position])  # type: ignore[misc]
            text = f"{'larger' if i == 1 else 'smaller'}({text}, {limit})"
        return text

    return Formula((args[0], *(args[i] for i in present)), expression)


def cast(x: Any, target: str) -> Callable[[str], str] | None:
    """Return how a number is brought to the dtype `target`; None where it does not fit."""
    if isinstance(x, Value):
        source = KINDS.get(x.dtype)
        return None if source is None else lambda name: converted(name, source, target)
    if not isinstance(x, (bool, int, float, np.generic)):
        return None
    number = x.item() if isinstance(x, np.generic) else x
    if isinstance(number, complex) or (target[0] == "u" and number < 0):
        return None
    return lambda name: literal(number, target)


def converted(name: str, source: str, target: str) -> str:
    """Write the cast of a number from one dtype to another."""
    if source == target:
        return name
    return f"({name} != 0)" if target == "b1" else f"{target}({name})"


def literal(number: Any, target: str) -> str:
    """Write a number so that it is exactly this one."""
    if target == "b1":
        return str(bool(number))
    if target[0] != "f":
        return f"{target}({int(number)})"
    number = float(number)
    if math.isnan(number):
        return f"{target}(nan)"
    if math.isinf(number):
        return f"{target}({'-' if number < 0 else ''}inf)"
    return f"{target}({number!r})"
