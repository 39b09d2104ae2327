"""The tape: every numpy call of one run, in order, each value written once.

A recording writes it, the passes make it shorter, and the code of the program is generated from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from autodiff.compile.kinds import home

Kind = Literal["argument", "state", "fresh", "constant", "result"]


class CompileError(RuntimeError):
    """A function cannot be compiled; says which line stands in the way, and what to write instead."""


class Origin(NamedTuple):
    """Where a call comes from.

    Attributes
    ----------
    stage : str
        ``"forward"``, ``"backward"`` or ``"update"``.
    scope : tuple of str
        The layers that were running, outermost first.
    op : str
        The operation whose forward computation or rule made the call; empty outside all.
    formula : str
        The derivative that the rule is of.
    """

    stage: str
    scope: tuple[str, ...]
    op: str
    formula: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (".".join(self.scope), self.op) if part)


class Value:
    """An array of the program, known by shape and dtype; it never changes, an update makes a new one.

    Attributes
    ----------
    kind : str
        Who gives it: the caller, the memory of a Tensor or an object ("state"), a function that is asked anew for each
        run ("fresh"), the plan ("constant"), or a call ("result").
    array : array or None
        What it was when it was recorded: needed for constants and states, else let go of.
    base : Value or None
        The value whose memory this one looks at.
    home : array or None
        An empty array of its kind, to make memory like; `None` for numpy's.
    about : str or Value or None
        The operation that it is the result of, or the value that it is the gradient of.
    """

    __slots__ = ("about", "array", "base", "call", "dtype", "home", "kind", "name", "shape")

    def __init__(self, kind: Kind, array: Any, name: str = "", base: Value | None = None) -> None:
        self.kind = kind
        self.array = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype
        self.home = home(array)
        self.name = name
        self.base = base
        self.about: Any = None
        self.call: Call | None = None

    @property
    def size(self) -> int:
        """The number of elements."""
        size = 1
        for n in self.shape:
            size *= n
        return size

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.size * self.dtype.itemsize

    @property
    def root(self) -> Value:
        """The value that owns the memory."""
        value = self
        while value.base is not None:
            value = value.base
        return value

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name or hex(id(self))} {self.dtype}{list(self.shape)}>"


@dataclass(frozen=True)
class Method:
    """A method of the first operand, called by name."""

    name: str

    def __call__(self, array: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(array, self.name)(*args, **kwargs)


@dataclass(frozen=True)
class UfuncMethod:
    """``np.add.reduce`` and its kin."""

    ufunc: np.ufunc
    name: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.ufunc, self.name)(*args, **kwargs)


class Call:
    """One numpy call.

    Attributes
    ----------
    function : callable
        A numpy function, a `Method`, a `UfuncMethod`, or one of the functions below.
    args, kwargs
        As passed; Values stand where arrays stood, also inside tuples and lists.
    result : Value
        What it gives. Calls that give several arrays give a tuple, of which `part` takes one each.
    line : tuple of str and int, or None
        File and number of the line of a person's code that made it.
    """

    __slots__ = ("args", "function", "kwargs", "line", "origin", "result")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.origin: Origin | None = None
        self.line: tuple[str, int] | None = None
        self.result: Any = None

    def operands(self) -> Iterator[Value]:
        """Yield the Values among the arguments, as often as they stand there."""
        yield from values_in(self.args)
        if self.kwargs:
            yield from values_in(self.kwargs)

    def compute(self) -> Any:
        """Compute the call anew from the arrays of its operands."""
        arrays = mapped(lambda v: v.array, (self.args, self.kwargs))
        return self.function(*arrays[0], **arrays[1])

    def __repr__(self) -> str:
        return f"<call {getattr(self.function, '__name__', self.function)} of {[*self.operands()]}>"


class Opaque:
    """What a call gives that is no array: a tuple of several, or nothing."""

    __slots__ = ("call",)

    def __init__(self) -> None:
        self.call: Call | None = None


def part(parts: Any, position: int) -> Any:
    """Take one array of a call that gave several."""
    return parts[position]


def put(array: Any, index: Any, value: Any) -> Any:
    """Return a copy of `array` with ``copy[index] = value``."""
    updated = array.copy()
    updated[index] = value
    return updated


def decide(value: Any, expected: bool) -> None:
    """Go on only if the truth of `value` is what it was when the branch was recorded."""


def values_in(tree: Any) -> Iterator[Any]:
    """Yield the Values and Opaques in nested tuples, lists, dicts and slices."""
    if isinstance(tree, (Value, Opaque)):
        yield tree
    elif type(tree) in (tuple, list):
        for item in tree:
            yield from values_in(item)
    elif type(tree) is dict:
        for item in tree.values():
            yield from values_in(item)


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """Replace every Value and Opaque in `tree` by what `function` makes of it."""
    if isinstance(tree, (Value, Opaque)):
        return function(tree)
    if type(tree) is tuple:
        return tuple([mapped(function, item) for item in tree])
    if type(tree) is list:
        return [mapped(function, item) for item in tree]
    if type(tree) is dict:
        return {key: mapped(function, item) for key, item in tree.items()}
    return tree


class Draw:
    """What is asked anew for each run.

    Attributes
    ----------
    function : callable
        Without arguments.
    leaves : dict of tuple to Value
        The arrays and numbers in its result, by where they stand.
    label : str
        What a person calls it.
    """

    def __init__(self, function: Callable[[], Any], leaves: dict[tuple[int, ...], Value], label: str) -> None:
        self.function = function
        self.leaves = leaves
        self.label = label


class Tape:
    """All that one run did.

    Attributes
    ----------
    lines : list of Call or Draw
        In the order of the run.
    arguments : list of Value
        One for each array that the caller passes.
    finals : list of Value
        What the run leaves in memory outside.
    outputs : list of Value
        The arrays that are returned.
    """

    def __init__(self) -> None:
        self.lines: list[Call | Draw] = []
        self.arguments: list[Value] = []
        self.finals: list[Value] = []
        self.outputs: list[Value] = []

    @property
    def calls(self) -> list[Call]:
        """The numpy calls alone."""
        return [line for line in self.lines if isinstance(line, Call)]

    def roots(self) -> set[Any]:
        """Return the values that the run is for."""
        return {*self.outputs, *self.finals}
