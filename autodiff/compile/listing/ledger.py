"""Which name stands for what, line after line, in a printed program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autodiff.compile.listing.names import Names, identifier
from autodiff.compile.listing.outline import Outline, key_of, within
from autodiff.compile.listing.wording import Wording, is_whole, slot_of
from autodiff.compile.tape import Value


class Ledger:
    """Names values and memory. A name may stand for another value as soon as its own is not needed any more.

    Attributes
    ----------
    names : Names
        All that are given.
    wording : Wording
        Writes calls with these names.
    inputs : dict of str to callable
        What the text takes besides its arguments, and how to get it.
    roots : list of tuple
        Memory that others see, or that several values share: a name and an array for each.
    """

    def __init__(self, outline: Outline) -> None:
        self.names = Names()
        self.wording = Wording(self.expression, self.bind)
        self.inputs: dict[str, Callable[[], Any]] = {}
        self.roots: list[tuple[str, Any]] = []
        self._outline = outline
        self._where: dict[Any, str] = {}  # the expression for each value
        self._owner: dict[str, Any] = {}  # the value that a name stands for now
        self._memory: dict[str, Any] = {}  # and the array of the program that it is
        self._bound: dict[int, tuple[Any, str]] = {}
        self._passing: dict[Any, str] = {}
        self._count = 0

    # What comes from outside

    def input(self, stem: str, get: Callable[[], Any]) -> str:
        """Name something that the text takes."""
        name = self.names.unique(stem)
        self.inputs[name] = get
        return name

    def bind(self, thing: Any, stem: str) -> str:
        """Make something that cannot be written out an input."""
        if id(thing) not in self._bound:
            self._bound[id(thing)] = thing, self.input(stem, lambda: thing)
        return self._bound[id(thing)][1]

    def root(self, name: str, array: Any) -> None:
        """Note the memory that an input is."""
        self.roots.append((name, array))
        self._memory[name] = array

    # Values

    def stand(self, name: str, value: Any, memory: Any = None) -> None:
        """Note that `name` is `value` from here on."""
        self._where[value] = name
        self._owner[name] = value
        self._memory[name] = memory

    def expression(self, value: Any) -> str:
        """Write a value."""
        if value in self._where:
            return self._where[value]
        line = self._outline.inline.get(value)
        if line is not None:
            return self.expression(line.args[0]) if is_whole(line) else self.wording.call(line)
        return self.bind(value.array, "constant")

    def new(self, value: Any, memory: Any, now: int) -> str:
        """Return a name for a value that is computed now: its own if that is free."""
        title = self._outline.titles[value]
        if title is None:
            return self._pass(value, memory, now)
        stem = identifier(self._outline.titles.written(title, self._called))
        name, number = stem, 1
        while not self._free(name, memory, now):
            number += 1
            name = f"{stem}{'_' * stem[-1:].isdigit()}{number}"
        self.names.taken.add(name)
        return name

    def _called(self, value: Any) -> str | None:
        inline = self._outline.inline
        while value in inline and is_whole(inline[value]):
            value = inline[value].args[0]
        return self._where.get(value)

    def _pass(self, value: Any, memory: Any, now: int) -> str:
        """Return a name for what is of no interest in itself: one for each piece of memory."""
        kind = value.dtype.kind if isinstance(value, Value) else "f"
        stem = "mask" if kind == "b" else "count" if kind in "iu" and value.shape == () else "t"
        key = stem, None if memory is None or self._outline.fused else key_of(memory)[0]
        name = self._passing.get(key)
        if name is None or not self._free(name, memory, now):
            self._count += stem == "t"
            name = self._passing[key] = self.names.unique(f"t{self._count}" if stem == "t" else stem)
        return name

    def _free(self, name: str, memory: Any, now: int) -> bool:
        """Whether a name may stand for something else from now on."""
        if name not in self._owner:
            return name not in self.names.taken
        known = self._memory.get(name)
        if known is not None and memory is not None and key_of(known) == key_of(memory):
            return True
        return name not in self.inputs and self._outline.last.get(self._owner[name], -1) <= now

    # Memory

    def handle(self, memory: Any, name: str = "") -> str | None:
        """Return an expression for memory that has a name already: `name` rather than others."""
        key = key_of(memory)
        same = [one for one, known in self._memory.items() if known is not None and key_of(known) == key]
        if same:
            return name if name in same else same[-1]
        if not memory.flags.c_contiguous:
            return None
        for one, flat in self.roots:
            if flat.ndim == 1 and flat.flags.c_contiguous and flat.dtype == memory.dtype and within(memory, flat):
                return slot_of(one, flat.shape, (key[0] - key_of(flat)[0]) // flat.itemsize, memory.shape)
        for one, known in self._memory.items():
            if known is None or not known.ndim or not memory.ndim or key_of(known)[0] != key[0]:
                continue
            if known.flags.c_contiguous and known.dtype == memory.dtype and known.size >= memory.size:
                text = one if known.ndim == 1 else f"{one}.reshape(-1)"
                return slot_of(text, (known.size,), 0, memory.shape)
        return None

    def lasting(self, memory: Any) -> str | None:
        """Return an expression for memory that has to be written to: that of the inputs, or a part of one."""
        if memory is not None and any(within(memory, root) for _, root in self.roots):
            return self.handle(memory)
        return None
