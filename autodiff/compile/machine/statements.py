"""What machine code can do: numbers computed one by one, summed over axes, and products of matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from autodiff.compile.machine.expressions import KINDS, Formula, formula, literal
from autodiff.compile.machine.machine import products
from autodiff.compile.plan.flatten import pack, slot
from autodiff.compile.plan.plan import Step, copied
from autodiff.compile.tape import Call, UfuncMethod, Value, decide, put

#: Multiplications from which on a product is left to BLAS: where numbers that stand side by side are worked on several
#: at a time, and where they are not.
LARGE_PRODUCT, LARGE_SUMS = 1 << 15, 1 << 10

#: How two numbers become one, and the number that changes nothing; of floats and of whole numbers.
_FOLDS: dict[str, tuple[str, Any]] = {
    "add": ("{0} + {1}", 0),
    "multiply": ("{0} * {1}", 1),
    "maximum": ("larger({0}, {1})", -np.inf),
    "minimum": ("smaller({0}, {1})", np.inf),
    "logical_or": ("{0} or {1}", False),
    "logical_and": ("{0} and {1}", True),
}


class Access:
    """Numbers in memory, as a statement goes through them.

    Attributes
    ----------
    owner : object
        Whose memory it is.
    address, start, end : int
        Where the first number stands, and the bytes between which all do.
    strides : tuple of int
        Bytes from one number to the next, along each axis of the statement; 0 where it stays.
    key : tuple
        The same for accesses to the same numbers in the same order.
    """

    __slots__ = ("address", "dtype", "end", "key", "owner", "start", "strides")

    def __init__(self, array: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.owner = owner(array)
        self.address: int = array.__array_interface__["data"][0]
        self.start, self.end = byte_bounds(array)
        self.dtype: np.dtype[Any] = array.dtype
        self.strides = strides
        self.key = (self.address, strides, shape, array.dtype)

    def meets(self, other: Access) -> bool:
        """Whether both may touch the same memory."""
        return self.owner is other.owner and self.start < other.end and other.start < self.end


def owner(array: Any) -> Any:
    """Return the array, or whatever it is, whose memory this array looks at."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


class Statement:
    """A loop over all elements of `shape`.

    Attributes
    ----------
    kind : str
        ``"map"``: each number of `out` from one number of each of `reads`. ``"fold"``: `out` has one number for all
        that differ along some axes. ``"product"``: each number is a sum over the last axis of two `wholes`.
        ``"gemm"``: the same, by BLAS. ``"decide"``: the function ends here if the number is not as expected.
    reads : list of Access or str
        Numbers, one for each element; text for numbers that are known.
    wholes : list of Access
        What is read beyond the element itself.
    out : Access or None
        Where the result goes.
    """

    __slots__ = ("detail", "expression", "kind", "out", "reads", "shape", "wholes")

    def __init__(self, kind: str, shape: tuple[int, ...], out: Access | None) -> None:
        self.kind = kind
        self.shape = shape
        self.out = out
        self.reads: list[Access | str] = []
        self.wholes: list[Access] = []
        self.expression: Callable[[Sequence[str]], str] = lambda names: names[0]
        self.detail: Any = None

    @property
    def elements(self) -> list[Access]:
        """The operands that are read element by element."""
        return [read for read in self.reads if isinstance(read, Access)]


def statements(step: Step, array: Callable[[Value], Any], costly: int) -> list[Statement] | None:
    """Return what a step is in machine code; None where it has to stay with numpy.

    `array` gives the memory of a value. Functions of C's library over `costly` elements or more stay with numpy, too,
    which computes several of them at a time.
    """
    line = step.line
    if not isinstance(line, Call) or any(not isinstance(v, Value) or v.dtype not in KINDS for v in line.operands()):
        return None
    if line.function is decide:
        return [_decision(line, array)]
    if step.out is None or step.out.dtype not in KINDS:
        return None
    if line.function is pack:
        parts = [(v, slot(step.out, start, v.shape)) for v, start in _starts(line.args)]
        return [_copied(array(v), target) for v, target in parts if not _same(array(v), target)]
    if line.function is np.concatenate:
        return _concatenated(line, step.out, array)
    if line.function is put:
        return _put(line, step.out, array)
    if line.function is copied:
        return [_copied(array(line.args[0]), step.out)]
    if isinstance(line.function, UfuncMethod):
        return _fold(line, step.out, array, costly)
    if line.function is np.count_nonzero:
        return _count(line, step.out, array, costly)
    if line.function in (np.dot, np.matmul):
        return _product(line, step.out, array)
    found = formula(line)
    if found is None or (found.costly and step.out.size >= costly):
        return None
    return [_map(found, step.out, array)]


def is_turned(matrix: Any) -> bool:
    """Whether a matrix stands column by column."""
    return bool(matrix.ndim == 2 and matrix.flags.f_contiguous and not matrix.flags.c_contiguous)


def is_large_product(line: Call, array: Callable[[Value], Any]) -> bool:
    """Whether a call is a product of two matrices that is left to BLAS, in whatever order its result stands."""
    if line.function is not np.dot or line.kwargs or len(line.args) != 2 or not products():
        return False
    if not all(isinstance(v, Value) and len(v.shape) == 2 and v.dtype == line.result.dtype for v in line.args):
        return False
    a, b = map(array, line.args)
    large = line.result.size * a.shape[1] >= LARGE_PRODUCT
    return large and line.result.dtype.kind == "f" and None not in (_standing(a), _standing(b))


def _starts(values: Sequence[Value]) -> list[tuple[Value, int]]:
    start, found = 0, []
    for v in values:
        found.append((v, start))
        start += v.size
    return found


def _same(a: Any, b: Any) -> bool:
    return a.shape == b.shape and _access(a, a.shape).key == _access(b, b.shape).key


def _bare(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without the axes along which nothing happens."""
    return tuple(n for n in shape if n != 1)


def _access(array: Any, shape: tuple[int, ...]) -> Access:
    """How a loop over `shape` goes through an array that is broadcast to it."""
    strides = np.broadcast_to(array, shape).strides
    return Access(array, _bare(shape), tuple(step for n, step in zip(shape, strides, strict=True) if n != 1))


def _map(found: Formula, out: Any, array: Callable[[Value], Any]) -> Statement:
    statement = Statement("map", _bare(out.shape), _access(out, out.shape))
    statement.expression = found.expression
    for x in found.operands:
        if not isinstance(x, Value):
            statement.reads.append(repr(x))  # written anew by the expression, which knows the dtype
        elif x.kind == "constant" and x.size == 1:
            statement.reads.append(literal(x.array.item(), KINDS[x.dtype]))
        else:
            statement.reads.append(_access(array(x), out.shape))
    return statement


def _copied(source: Any, target: Any) -> Statement:
    statement = Statement("map", _bare(target.shape), _access(target, target.shape))
    statement.reads.append(_access(source, target.shape))
    if source.dtype != target.dtype:
        kinds = KINDS[source.dtype], KINDS[target.dtype]
        statement.expression = lambda names: f"({names[0]} != 0)" if kinds[1] == "b1" else f"{kinds[1]}({names[0]})"
    return statement


def _decision(line: Call, array: Callable[[Value], Any]) -> Statement:
    value, expected = line.args
    statement = Statement("decide", (), None)
    statement.reads.append(_access(array(value).reshape(()), ()))
    statement.detail = expected
    return statement


def _concatenated(line: Call, out: Any, array: Callable[[Value], Any]) -> list[Statement] | None:
    parts, axis = line.args[0], line.args[1] if len(line.args) > 1 else line.kwargs.get("axis", 0)
    if (
        len(line.args) > 2
        or line.kwargs.keys() - {"axis"}
        or not isinstance(axis, int)
        or not isinstance(parts, (tuple, list))
    ):
        return None
    if not all(isinstance(v, Value) and v.shape for v in parts):
        return None
    made, start = [], 0
    for v in parts:
        index = [slice(None)] * out.ndim
        index[axis] = slice(start, start + v.shape[axis])
        start += v.shape[axis]
        made.append(_copied(array(v), out[tuple(index)]))
    return made


def _put(line: Call, out: Any, array: Callable[[Value], Any]) -> list[Statement] | None:
    target, index, value = line.args
    parts = index if type(index) is tuple else (index,)
    if not all(type(i) in (int, slice, type(None), type(Ellipsis)) for i in parts):
        return None
    there = out[parts if any(i is Ellipsis for i in parts) else (*parts, ...)]
    made = [] if _same(array(target), out) else [_copied(array(target), out)]
    if isinstance(value, Value):
        source = array(value)
        if source.ndim > there.ndim:
            source = source.reshape(source.shape[source.ndim - there.ndim :])
        return [*made, _copied(source, there)]
    if not isinstance(value, (bool, int, float)):
        return None
    filled = Statement("map", _bare(there.shape), _access(there, there.shape))
    filled.reads.append(literal(value, KINDS[out.dtype]))
    return [*made, filled]


def _fold(line: Call, out: Any, array: Callable[[Value], Any], costly: int) -> list[Statement] | None:
    function: Any = line.function
    if function.name != "reduce" or line.kwargs or len(line.args) not in (2, 5) or not isinstance(line.args[0], Value):
        return None
    x, axis = line.args[:2]
    keep = len(line.args) == 5 and line.args[4]
    known = _FOLDS.get(function.ufunc.__name__)
    axes = range(len(x.shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    if known is None or not all(isinstance(i, int) for i in axes) or (len(line.args) == 5 and any(line.args[2:4])):
        return None
    gone = {i % len(x.shape) for i in axes}
    if x.size >= costly and len(x.shape) - 1 in gone:  # one sum after the other waits for the last one
        return None
    if not keep:
        out = out.reshape([1 if i in gone else n for i, n in enumerate(x.shape)])
    template, neutral = known
    kind = KINDS[out.dtype]
    logical = function.ufunc.__name__.startswith("logical")
    if logical != (kind == "b1") or (kind[0] != "f" and neutral in (np.inf, -np.inf)):
        return None
    source = _access(array(x), x.shape)
    change = (
        "({0} != 0)" if logical and x.dtype != np.dtype(bool) else "{0}" if x.dtype == out.dtype else f"{kind}({{0}})"
    )
    if _bare(out.shape) == _bare(x.shape):  # nothing to add up
        copy = Statement("map", _bare(x.shape), _access(out, out.shape))
        copy.reads, copy.expression = [source], lambda names: change.format(names[0])
        return [copy]
    statement = Statement("fold", _bare(x.shape), _access(out, x.shape))
    statement.reads = [source]
    statement.expression = lambda names: change.format(names[0])
    # Many small float32 are added up in float64, as adding them up in pairs would keep their digits.
    wide = "f8" if kind == "f4" and function.ufunc is np.add else kind
    statement.detail = (template, literal(neutral, wide), wide)
    return [statement]


def _count(line: Call, out: Any, array: Callable[[Value], Any], costly: int) -> list[Statement] | None:
    if len(line.args) != 1 or line.kwargs or out.dtype != np.dtype(np.int64) or line.args[0].size >= costly:
        return None
    x = line.args[0]
    statement = Statement("fold", _bare(x.shape), _access(out, x.shape))
    statement.reads = [_access(array(x), x.shape)]
    statement.expression = lambda names: f"i8({names[0]} != 0)"
    statement.detail = ("{0} + {1}", "i8(0)", "i8")
    if not statement.shape:
        statement.kind = "map"
    return [statement]


def _product(line: Call, out: Any, array: Callable[[Value], Any]) -> list[Statement] | None:
    if len(line.args) != 2 or line.kwargs or not all(isinstance(v, Value) and v.shape for v in line.args):
        return None
    a, b = map(array, line.args)
    if a.dtype != out.dtype or b.dtype != out.dtype or out.dtype.kind != "f":
        return None
    if line.function is np.dot and (a.ndim > 2 or b.ndim > 2):
        return None
    length = a.shape[-1]
    result = out
    if a.ndim == 1:
        a, result = a[None, :], result.reshape((*result.shape[:-1], 1, *result.shape[-1:]) if b.ndim > 1 else (1,))
    if b.ndim == 1:
        b, result = b[:, None], result.reshape((*result.shape, 1))
    beside = b.strides[-1] == b.itemsize and b.shape[-1] >= 8
    if out.size * length >= (LARGE_PRODUCT if beside else LARGE_SUMS):
        return _gemm(a, b, result) if products() else None
    shape = result.shape
    *down, across, inner = np.broadcast_to(a, (*shape[:-1], length)).strides
    statement = Statement("product", _bare(shape), _access(result, shape))
    statement.wholes.append(_whole(a, shape, (*down, across, 0), inner, length))
    *down, inner, across = np.broadcast_to(b, (*shape[:-2], length, shape[-1])).strides
    statement.wholes.append(_whole(b, shape, (*down, 0, across), inner, length))
    statement.detail = length
    return [statement]


def _whole(array: Any, shape: tuple[int, ...], strides: tuple[int, ...], inner: int, length: int) -> Access:
    """How a product goes through an operand: over its own elements, and for each over the axis that it sums over."""
    steps = tuple(step for n, step in zip(shape, strides, strict=True) if n != 1)
    return Access(array, (*_bare(shape), length), (*steps, inner))


def _gemm(a: Any, b: Any, out: Any) -> list[Statement] | None:
    """A product that BLAS can do: each matrix stands row by row or column by column."""
    if is_turned(out):
        a, b, out = b.T, a.T, out.T
    if a.ndim != 2 or b.ndim != 2 or not out.flags.c_contiguous:
        return None
    told = [_standing(a), _standing(b)]
    if None in told:
        return None
    statement = Statement("gemm", out.shape, Access(out, out.shape, out.strides))
    statement.wholes = [Access(x, x.shape, x.strides) for x in (a, b)]
    statement.detail = (*told, (*out.shape, a.shape[1]))
    return [statement]


def _standing(matrix: Any) -> tuple[int, int] | None:
    """Whether a matrix stands column by column, and how many numbers lie between its rows (or columns)."""
    size = matrix.dtype.itemsize
    (rows, columns), (down, across) = matrix.shape, matrix.strides
    if (across == size or columns == 1) and (rows == 1 or (down % size == 0 and down >= columns * size)):
        return 0, max(down // size, columns)
    if (down == size or rows == 1) and (columns == 1 or (across % size == 0 and across >= rows * size)):
        return 1, max(across // size, rows)
    return None
