"""Passes over the tape: say the same with fewer and cheaper calls.

Each takes the tape and changes its lines; none changes what is computed by more than rounding.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import numpy as np

from autodiff.compile.kinds import copied
from autodiff.compile.record.recorded import _transposed
from autodiff.compile.tape import Call, Draw, Method, Opaque, Tape, UfuncMethod, Value, decide, mapped

Aliases = dict[Any, Any]
#: Elements up to which the sum of all is quicker as a product with ones.
SMALL = 1 << 12


def simplify(tape: Tape) -> dict[str, int]:
    """Apply all passes; return how many calls were left after each."""
    counts = {"recorded": len(tape.calls)}
    for name, one in (
        ("one spelling", spell),
        ("identities removed", remove_identities),
        ("constants folded", fold),
        ("shared", share),
        ("dead code dropped", drop_dead),
    ):
        one(tape)
        counts[name] = len(tape.calls)
    return counts


# One spelling for what can be written in several ways

_REDUCTIONS: dict[Any, np.ufunc] = {
    np.sum: np.add,
    np.prod: np.multiply,
    np.max: np.maximum,
    np.min: np.minimum,
    np.any: np.logical_or,
    np.all: np.logical_and,
}
_REDUCING_METHODS = {function.__name__: ufunc for function, ufunc in _REDUCTIONS.items()}
_REDUCTION_ARGUMENTS = ("axis", "dtype", "out", "keepdims")


def spell(tape: Tape) -> None:
    """Write reductions as ``ufunc.reduce``, products as ``np.dot``, and numbers as arrays where that is quicker."""
    lines: list[Call | Draw] = []
    for line in tape.lines:
        if isinstance(line, Call):
            _spell_reduction(line, lines)
            _spell_count(line)
            _spell_product(line)
            _spell_method(line)
            _spell_numbers(line)
        lines.append(line)
    tape.lines = lines


def _spell_reduction(call: Call, lines: list[Any]) -> None:
    """``x.sum(0)`` and ``np.sum(x, 0)`` are ``np.add.reduce(x, 0)``; a mean is a sum, divided."""
    function = call.function
    name = function.name if isinstance(function, Method) else None
    ufunc = _REDUCTIONS.get(function) if name is None else _REDUCING_METHODS.get(name)
    mean = function is np.mean or name == "mean"
    x = call.args[0] if call.args else None
    if (ufunc is None and not mean) or not isinstance(x, Value) or call.kwargs.keys() - set(_REDUCTION_ARGUMENTS):
        return
    given = {**dict(zip(_REDUCTION_ARGUMENTS, call.args[1:], strict=False)), **call.kwargs}
    given = {key: value for key, value in given.items() if value is not np._NoValue}
    if given.get("dtype") is not None or given.get("out") is not None or not isinstance(call.result, Value):
        return
    if mean and (x.dtype.kind != "f" or x.dtype.itemsize < 4 or not x.size):
        return
    axis, keepdims = given.get("axis"), bool(given.get("keepdims", False))
    if x.home is not None:  # CuPy's ufuncs reduce by sums and products only, and products with ones gain nothing there
        call.function = getattr(np, function.name) if isinstance(function, Method) else function
        call.args, call.kwargs = (x,), {"axis": axis} | ({"keepdims": True} if keepdims else {})
        return
    reduced = (x, axis, None, None, keepdims)
    if ufunc is np.add and x.dtype.kind == "f" and x.size and not keepdims and len(x.shape) == 2 and axis in (0, -2):
        # A product with ones is quicker than a sum, for few rows by far.
        call.function, call.args, call.kwargs = np.dot, (Value("constant", np.ones(x.shape[0], x.dtype)), x), {}
        return
    if ufunc is np.add and x.dtype.kind == "f" and 0 < x.size <= SMALL and call.result.shape == () and x.shape:
        flat = _inserted(lines, call, np.reshape, (x, (x.size,)), (x.size,), base=x)
        call.function, call.args, call.kwargs = np.dot, (Value("constant", np.ones(x.size, x.dtype)), flat), {}
        return
    if not mean:
        assert ufunc is not None
        call.function, call.args, call.kwargs = UfuncMethod(ufunc, "reduce"), reduced, {}
        return
    total = _inserted(lines, call, UfuncMethod(np.add, "reduce"), reduced, call.result.shape)
    count = np.asarray(x.size // max(call.result.size, 1), x.dtype)
    call.function, call.args, call.kwargs = np.divide, (total, Value("constant", count)), {}


def _inserted(
    lines: list[Any],
    call: Call,
    function: Any,
    args: tuple[Any, ...],
    shape: tuple[int, ...],
    base: Value | None = None,
) -> Value:
    """Put a call of the same origin in front of `call`, and return its result."""
    before = Call(function, args, {})
    before.origin, before.line = call.origin, call.line
    before.result = value = Value("result", _Like(shape, call.result.dtype, call.result.home), base=base)
    value.array, value.call = None, before
    lines.append(before)
    return value


class _Like(NamedTuple):
    """Shape, dtype and kind of a value, for one that is not computed yet."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    home: Any


_COMPARED = {np.not_equal: operator.ne, np.equal: operator.eq}


def _spell_count(call: Call) -> None:
    """``np.count_nonzero`` gives a Python number, which Python compares at a tenth of numpy's price."""
    if call.function in _COMPARED and len(call.args) == 2 and type(call.args[1]) is int and not call.kwargs:
        x = call.args[0]
        counted = isinstance(x, Value) and x.call is not None and x.call.function is np.count_nonzero
        if counted and x.shape == () and x.home is None:
            call.function = _COMPARED[call.function]


def _spell_product(call: Call) -> None:
    """Products of matrices and vectors are ``np.dot``: the same routines at a lower price for small ones."""
    if call.function == Method("dot"):
        call.function = np.dot
    elif call.function in (np.matmul, np.vecdot) and len(call.args) == 2 and not call.kwargs:
        a, b = call.args
        if not (isinstance(a, Value) and isinstance(b, Value) and a.dtype == b.dtype and a.dtype.kind == "f"):
            return
        ranks = len(a.shape), len(b.shape)
        if ranks in {(2, 2), (2, 1), (1, 2), (1, 1)} and (call.function is np.matmul or ranks == (1, 1)):
            call.function = np.dot


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in ("reshape", "transpose", "swapaxes", "squeeze", "ravel", "take", "cumsum", "cumprod", "clip", "repeat")
}


def _spell_method(call: Call) -> None:
    if isinstance(call.function, Method):
        name = call.function.name
        if name == "reshape" and len(call.args) > 2:
            call.args = (call.args[0], call.args[1:])
        if name == "transpose" and len(call.args) > 2:
            call.args = (call.args[0], call.args[1:])
        call.function = _FUNCTIONS.get(name, call.function)


#: Ufuncs whose operands are of one dtype.
_PLAIN: set[Any] = {
    np.add,
    np.subtract,
    np.multiply,
    np.divide,
    np.maximum,
    np.minimum,
    np.fmax,
    np.fmin,
    np.power,
    np.hypot,
}
_PLAIN |= {np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal, np.logaddexp, np.remainder}


def _spell_numbers(call: Call) -> None:
    """A Python number costs a ufunc twice the time of a 0-d array; it is one of the other operand's dtype."""
    if call.function not in _PLAIN or call.kwargs or len(call.args) != 2:
        return
    for i, (number, other) in enumerate((call.args, call.args[::-1])):
        if type(number) in (int, float, bool) and isinstance(other, Value) and other.dtype.kind == "f":
            if other.home is not None:  # which mix with Python's numbers
                return
            with np.errstate(over="ignore"):
                array = np.asarray(number, other.dtype)
            if math.isfinite(number) != bool(np.isfinite(array)):  # too large for the dtype: numpy may refuse
                return
            constant = Value("constant", array)
            call.args = (constant, other) if i == 0 else (other, constant)
            return


# Calls that give back their operand


def remove_identities(tape: Tape) -> None:
    """Drop ``x * 1``, ``x + 0``, ``-(-x)``, copies, casts to the same dtype and reshapes to the same shape."""
    aliases: Aliases = {}
    lines: list[Call | Draw] = []
    for line in tape.lines:
        if isinstance(line, Call):
            _follow(line, aliases)
            same = _same_as(line)
            if same is not None:
                aliases[line.result] = same
                continue
        lines.append(line)
    tape.lines = lines
    _rename(tape, aliases)


_NEUTRAL = {np.add: (0.0, True), np.subtract: (0.0, False), np.multiply: (1.0, True), np.divide: (1.0, False)}
_SHAPING = {np.reshape, np.squeeze, np.broadcast_to, np.ravel, np.transpose, np.swapaxes, _transposed, np.expand_dims}
_COPYING = {np.copy, Method("copy"), np.positive, np.ascontiguousarray, np.asarray}


def _same_as(call: Call) -> Value | None:
    function, result = call.function, call.result
    if not isinstance(result, Value) or not call.args or not isinstance(call.args[0], Value):
        return _twice_or_neutral(call) if isinstance(result, Value) else None
    x = call.args[0]
    alike = x.shape == result.shape and x.dtype == result.dtype
    if function in _COPYING and alike:
        return x
    if (function == Method("astype") or function is np.astype) and alike:
        return x
    if function in _SHAPING and alike:
        if function in (np.reshape, np.squeeze, np.broadcast_to, np.ravel, np.expand_dims) or len(x.shape) < 2:
            return x
        order = _order(call)
        return x if order == tuple(range(len(x.shape))) else None
    return _twice_or_neutral(call)


def _order(call: Call) -> tuple[int, ...] | None:
    """The order of the axes that a transposition gives."""
    n = len(call.args[0].shape)
    if call.function is _transposed or (call.function is np.transpose and len(call.args) == 1 and not call.kwargs):
        return tuple(range(n))[::-1]
    if call.function is np.transpose and len(call.args) == 2 and not call.kwargs:
        axes = call.args[1]
        return tuple(range(n))[::-1] if axes is None else tuple(int(i) % n for i in axes)
    if call.function is np.swapaxes and len(call.args) == 3:
        order = list(range(n))
        i, j = call.args[1:]
        order[i], order[j] = order[j], order[i]
        return tuple(order)
    return None


def _twice_or_neutral(call: Call) -> Value | None:
    function, result = call.function, call.result
    if call.kwargs:
        return None
    x = call.args[0] if call.args else None
    if isinstance(x, Value) and x.call is not None and not x.call.kwargs:
        inner = x.call.args[0] if x.call.args else None
        if isinstance(inner, Value) and inner.shape == result.shape and inner.dtype == result.dtype:
            if function is np.negative and x.call.function is np.negative:
                return inner
            if function in _SHAPING and x.call.function in _SHAPING:
                first, second = _order(x.call), _order(call)
                if first and second and all(first[i] == k for k, i in enumerate(second)):
                    return inner
    if function not in _NEUTRAL or len(call.args) != 2:
        return None
    neutral, either = _NEUTRAL[function]
    pairs = [(call.args[0], call.args[1])] + ([(call.args[1], call.args[0])] if either else [])
    for kept, other in pairs:
        if (
            isinstance(kept, Value)
            and kept.shape == result.shape
            and kept.dtype == result.dtype
            and _is_all(other, neutral)
        ):
            return kept
    return None


def _is_all(x: Any, number: float) -> bool:
    """Whether an operand is that number, everywhere."""
    if isinstance(x, Value):
        return x.kind == "constant" and 0 < x.size <= 1024 and bool((x.array == number).all())
    return type(x) in (int, float) and x == number


# Constants


def fold(tape: Tape) -> None:
    """Compute now what depends on constants alone."""
    lines: list[Call | Draw] = []
    for line in tape.lines:
        if isinstance(line, Call) and line.function is not decide:
            operands = [*line.operands()]
            if operands and all(isinstance(v, Value) and v.kind == "constant" for v in operands):
                result = line.result
                if isinstance(result, Value):
                    result.kind, result.base, result.call = "constant", None, None
                    result.array = copied(line.compute())  # a copy is contiguous, whatever it was a view of
                    continue
        lines.append(line)
    tape.lines = lines


# Common subexpressions


def share(tape: Tape) -> None:
    """Compute only once what is computed twice from the same values."""
    aliases: Aliases = {}
    seen: dict[Hashable, Any] = {}
    lines: list[Call | Draw] = []
    for line in tape.lines:
        if isinstance(line, Call):
            _follow(line, aliases)
            if line.function is not decide:
                key = (line.function, _key(line.args), _key(line.kwargs))
                if key in seen:
                    aliases[line.result] = seen[key]
                    continue
                seen[key] = line.result
        lines.append(line)
    tape.lines = lines
    _rename(tape, aliases)


def _key(tree: Any) -> Hashable:
    if isinstance(tree, Value):
        if tree.kind == "constant" and tree.size <= 16:
            return ("constant", type(tree.array), tree.dtype.str, tree.shape, tree.array.tobytes())
        return id(tree)
    if isinstance(tree, Opaque):
        return id(tree)
    if isinstance(tree, (tuple, list)):
        return (type(tree), tuple(_key(item) for item in tree))
    if isinstance(tree, dict):
        return tuple((key, _key(item)) for key, item in sorted(tree.items()))
    if isinstance(tree, slice):
        return ("slice", _key((tree.start, tree.stop, tree.step)))
    try:
        hash(tree)
    except TypeError:
        return id(tree)
    return (type(tree), tree)


# Dead code


def drop_dead(tape: Tape) -> None:
    """Drop calls whose result nobody needs; a draw is made all the same, as others follow it in its stream."""
    needed = tape.roots()
    lines: list[Call | Draw] = []
    for line in reversed(tape.lines):
        if isinstance(line, Draw):
            line.leaves = {path: v for path, v in line.leaves.items() if v in needed}
        if isinstance(line, Draw) or line.function is decide or line.result in needed:
            lines.append(line)
            if isinstance(line, Call):
                needed.update(line.operands())
    tape.lines = lines[::-1]


# What passes share


def _follow(call: Call, aliases: Aliases) -> None:
    """Let a call's operands be what they were found to be equal to."""
    if not aliases:
        return
    call.args = mapped(lambda v: aliases.get(v, v), call.args)
    if call.kwargs:
        call.kwargs = mapped(lambda v: aliases.get(v, v), call.kwargs)
    if isinstance(call.result, Value) and call.result.base is not None:
        call.result.base = aliases.get(call.result.base, call.result.base)


def _rename(tape: Tape, aliases: Aliases) -> None:
    tape.outputs = [aliases.get(v, v) for v in tape.outputs]
    tape.finals = [aliases.get(v, v) for v in tape.finals]
