"""Statements joined to loops, and the loops as text.

Statements over the same elements share one loop where each needs of the others no more than the element that it is at;
numbers that nobody needs outside of the loop are never stored.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from autodiff.compile.machine.arena import Arena
from autodiff.compile.machine.expressions import KINDS
from autodiff.compile.machine.statements import Access, Statement
from autodiff.compile.tape import Value

#: Gives the name of the pointer to the numbers of an access, and the place of the first; or the name of a number.
Pointer = Callable[[Access], "tuple[str, int] | str"]


class Group:
    """Statements in one loop.

    Attributes
    ----------
    shape : tuple of int
        What the loop goes over.
    stored : set of Statement
        Those whose result is needed outside.
    """

    def __init__(self, first: Statement) -> None:
        self.shape = first.shape
        self.statements = [first]
        self.stored: set[Statement] = set()

    def reads(self) -> Iterator[Access]:
        """Yield all that it reads."""
        for statement in self.statements:
            yield from statement.elements
            yield from statement.wholes

    def writes(self) -> Iterator[Access]:
        """Yield all that it writes."""
        for statement in self.statements:
            if statement.out is not None:
                yield statement.out

    def takes(self, statement: Statement) -> bool:
        """Whether a statement goes over the same elements."""
        alone = ("gemm", "decide")
        return self.shape == statement.shape and self.statements[0].kind not in alone and statement.kind not in alone


class Segment:
    """Consecutive steps as machine code.

    Attributes
    ----------
    inputs : list of Value
        What it is given anew for each run: arrays, and numbers for those of shape ().
    pointers, body : list of str
        Its text.
    """

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.groups: list[Group] = []
        self.inputs: list[Value] = []
        self.pointers: list[str] = []
        self.body: list[str] = []


def joined(statements: Iterable[Statement]) -> list[Group]:
    """Put each statement into the last loop that can take it."""
    groups: list[Group] = []
    for statement in statements:
        lowest = 0
        for i in range(len(groups) - 1, -1, -1):
            order = max(_order(other, statement) for other in groups[i].statements)
            if order:
                lowest = max(lowest, i + order - 1)
            if order == 2 or groups[i].statements[0].kind == "decide":
                lowest = max(lowest, i + 1)
                break
        for group in reversed(groups[lowest:]):
            if group.takes(statement):
                group.statements.append(statement)
                break
        else:
            groups.append(Group(statement))
    return groups


def _order(first: Statement, second: Statement) -> int:
    """0: each may come first. 1: `first` comes first, at each element. 2: all of `first` comes first."""
    if second.kind == "decide" and first.kind == "decide":
        return 2
    pairs: list[tuple[Access | None, Access | None]] = [
        (first.out, read) for read in (*second.elements, *second.wholes)
    ]
    pairs += [(read, second.out) for read in (*first.elements, *first.wholes)]
    pairs.append((first.out, second.out))
    found = 0
    for a, b in pairs:
        if a is None or b is None or not a.meets(b):
            continue
        strict = a.key != b.key or first.shape != second.shape or "fold" in _writers(first, second, a, b)
        if strict or any(a is x or b is x for x in (*first.wholes, *second.wholes)):
            return 2
        found = 1
    return found


def _writers(first: Statement, second: Statement, a: Access, b: Access) -> set[str]:
    """The kinds of those of two statements that write an access."""
    return {s.kind for s, access in ((first, a), (second, b)) if access is s.out}


def lines(group: Group, pointer: Pointer, names: Iterator[str]) -> list[str]:
    """Write a loop."""
    first = group.statements[0]
    if first.kind == "gemm":
        return [_gemm(first, pointer)]
    if first.kind == "decide":
        text = _load(first.elements[0], pointer, ())
        return [f"if ({text}) != {int(bool(first.detail))}: return 2"]
    return _Loop(group, pointer, names).lines()


class _Loop:
    def __init__(self, group: Group, pointer: Pointer, names: Iterator[str]) -> None:
        self.group = group
        self.pointer = pointer
        self.names = names
        accesses = [*group.reads(), *group.writes()]
        self.axes = _axes(group.shape, accesses)
        depth = len(self.axes)
        #: What is done on the way in and on the way out, at each depth.
        self.before: list[list[str]] = [[] for _ in range(depth + 1)]
        self.after: list[list[str]] = [[] for _ in range(depth + 1)]
        self.ahead: list[str] = []
        self.known: dict[object, str] = {}

    def lines(self) -> list[str]:
        for statement in self.group.statements:
            if statement.kind == "fold":
                self._fold(statement)
            else:
                self._map(statement)
        return [*self.ahead, *self._nested(0)]

    def _nested(self, depth: int) -> list[str]:
        inner: list[str] = []
        if depth < len(self.axes):
            deeper = self._nested(depth + 1)
            if deeper:
                inner = [f"for i{depth} in range({self.axes[depth][0]}):", *(f"    {line}" for line in deeper)]
        return [*self.before[depth], *inner, *self.after[depth]]

    def _strides(self, access: Access) -> tuple[int, ...]:
        """Numbers from one round of each loop to the next."""
        return tuple(access.strides[axis[-1]] // access.dtype.itemsize for _, axis in self.axes)

    def _operands(self, statement: Statement) -> list[str]:
        found = []
        for read in statement.reads:
            if isinstance(read, str):
                found.append(read)
                continue
            if read.key not in self.known:
                strides = self._strides(read)
                depth = max((i + 1 for i, step in enumerate(strides) if step), default=0)
                name = self.known[read.key] = next(self.names)
                self.before[depth].append(f"{name} = {_load(read, self.pointer, strides)}")
            found.append(self.known[read.key])
        return found

    def _map(self, statement: Statement) -> None:
        name, body = next(self.names), self.before[-1]
        out = statement.out
        assert out is not None
        kind = KINDS[out.dtype]
        if statement.kind == "product":
            a, b = (
                _load(x, self.pointer, (*self._strides(x), x.strides[-1] // x.dtype.itemsize)) for x in statement.wholes
            )
            k = f"i{len(self.axes)}"
            body += [f"{name} = {kind}(0)", f"for {k} in range({statement.detail}):", f"    {name} += {a} * {b}"]
        else:
            body.append(f"{name} = {statement.expression(self._operands(statement))}")
        self.known[out.key] = name
        if statement in self.group.stored:
            body.append(_store(out, self.pointer, self._strides(out), name))

    def _fold(self, statement: Statement) -> None:
        out = statement.out
        assert out is not None
        template, neutral, wide = statement.detail
        value = statement.expression(self._operands(statement))
        strides = self._strides(out)
        inner = max((i + 1 for i, step in enumerate(strides) if step), default=0)
        if all(strides[:inner]):  # all axes that are added up lie inside: a number of the loop takes the sum
            name = next(self.names)
            self.before[inner].append(f"{name} = {neutral}")
            self.before[-1].append(f"{name} = {template.format(name, _as(value, wide, out))}")
            kind = KINDS[out.dtype]
            self.after[inner].append(_store(out, self.pointer, strides, name if kind == wide else f"{kind}({name})"))
            return
        kind = KINDS[out.dtype]
        loops = [(n, step) for (n, _), step in zip(self.axes, strides, strict=True) if step]
        margin = ""
        for i, (n, _) in enumerate(loops):
            self.ahead.append(f"{margin}for i{i} in range({n}):")
            margin += "    "
        start = neutral.replace(wide, kind, 1)
        self.ahead.append(margin + _store(out, self.pointer, tuple(step for _, step in loops), start))
        now = _load(out, self.pointer, strides)
        self.before[-1].append(_store(out, self.pointer, strides, template.format(now, value)))


def _as(value: str, wide: str, out: Access) -> str:
    return value if KINDS[out.dtype] == wide else f"{wide}({value})"


def _axes(shape: tuple[int, ...], accesses: list[Access]) -> list[tuple[int, list[int]]]:
    """Order the axes so that steps in memory are small on the inside, and join those that are gone through as one.

    Returns
    -------
    list of tuple
        The length of each loop, and the axes in it.
    """
    axes: list[tuple[int, list[int]]] = []
    order = sorted(range(len(shape)), key=lambda i: -sum(abs(x.strides[i]) for x in accesses))
    for i in order:
        n = shape[i]
        if axes and all(x.strides[axes[-1][1][-1]] == x.strides[i] * n for x in accesses):
            axes[-1] = (axes[-1][0] * n, [*axes[-1][1], i])
        else:
            axes.append((n, [i]))
    return axes


def _place(access: Access, pointer: Pointer, strides: tuple[int, ...]) -> str:
    found = pointer(access)
    if isinstance(found, str):
        return found
    name, start = found
    terms = [f"i{i}" if step == 1 else f"i{i} * {step}" for i, step in enumerate(strides) if step]
    if start or not terms:
        terms.append(str(start))
    return f"{name}[{' + '.join(terms)}]"


def _load(access: Access, pointer: Pointer, strides: tuple[int, ...]) -> str:
    place = _place(access, pointer, strides)
    return f"({place} != 0)" if KINDS[access.dtype] == "b1" and "[" in place else place


def _store(access: Access, pointer: Pointer, strides: tuple[int, ...], value: str) -> str:
    place = _place(access, pointer, strides)
    return f"{place} = u1({value})" if KINDS[access.dtype] == "b1" else f"{place} = {value}"


def _gemm(statement: Statement, pointer: Pointer) -> str:
    """Write a product that BLAS does."""
    out = statement.out
    assert out is not None
    passed = []
    (ta, sa), (tb, sb), (m, n, k) = statement.detail
    for access in (*statement.wholes, out):
        found = pointer(access)
        assert not isinstance(found, str)
        passed.append(f"shifted({found[0]}, {found[1]})")
    return f"gemm({passed[0]}, {ta}, {sa}, {passed[1]}, {tb}, {sb}, {passed[2]}, {n}, {m}, {n}, {k})"


def stores(group: Group, statement: Statement) -> bool:
    """Whether a statement of a group writes its result to memory."""
    return statement in group.stored or statement.kind in ("fold", "gemm")


def write(segment: Segment, arena: Arena, given: dict[int, Value]) -> None:
    """Write the text of a segment, and note what it has to be given."""
    pointers: dict[str, str] = {}
    names = (f"t{i}" for i in itertools.count())

    def pointer(access: Access) -> tuple[str, int] | str:
        value = given.get(id(access.owner))
        if value is None:
            text, start = arena.pointer(access)
            return pointers.setdefault(text, f"p{len(pointers)}"), start
        if value not in segment.inputs:
            segment.inputs.append(value)
        number = segment.inputs.index(value)
        if not value.shape:
            return f"s{number}"
        return f"a{number}", (access.address - access.owner.__array_interface__["data"][0]) // access.dtype.itemsize

    for group in segment.groups:
        segment.body += lines(group, pointer, names)
    segment.pointers = [f"{name} = {text}" for text, name in pointers.items()]
