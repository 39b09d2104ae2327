"""Long elementwise chains in blocks: each block of all their arrays stays in the cache until the chain is through.

What passes from one call of a chain to the next, and no further, needs memory for one block only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from autodiff.compile.plan.forms import is_elementwise, takes_out
from autodiff.compile.tape import Call, Value

#: Elements from which on a chain is worth cutting, and bytes of a block of one array: half of a small second cache,
#: with three arrays in use, and so large that numpy's calls themselves cost next to nothing.
LARGE, BLOCK = 1 << 16, 1 << 17


class Chain(NamedTuple):
    """Consecutive elementwise calls that give arrays of one shape, and the rows that are done at a time."""

    calls: tuple[Call, ...]
    shape: tuple[int, ...]
    height: int

    @property
    def rows(self) -> list[slice]:
        """The blocks."""
        return [slice(i, min(i + self.height, self.shape[0])) for i in range(0, self.shape[0], self.height)]

    @property
    def block(self) -> tuple[int, ...]:
        """The shape of what is done at a time."""
        return (self.height, *self.shape[1:])

    def cuts(self, array: Any) -> bool:
        """Whether this array is taken block by block; others are broadcast to each block whole."""
        return bool(array.ndim == len(self.shape) and array.shape[0] == self.shape[0])

    def passes(self, array: Any) -> bool:
        """Whether this array has room for one block only."""
        return bool(array.shape == self.block)


def chain_at(lines: Sequence[Any], i: int, stands: Callable[[Value], bool]) -> Chain | None:
    """Return the chain that begins with line `i`; None if nothing is to be gained there.

    `stands` tells whether a value of an earlier line has memory of its own.
    """
    calls: list[Call] = []
    made: set[Value] = set()

    def fits(line: Any) -> bool:
        if not isinstance(line, Call) or not is_elementwise(line) or not takes_out(line):
            return False
        shape = line.result.shape
        if line.result.size < LARGE or shape[0] < 2 or (calls and shape != calls[0].result.shape):
            return False
        if line.result.home is not None:  # which know best themselves
            return False
        return all(v.shape == () or v in made or stands(v) for v in line.operands())

    while i < len(lines) and fits(lines[i]):
        calls.append(lines[i])
        made.add(lines[i].result)
        i += 1
    if len(calls) < 2:
        return None
    shape = calls[0].result.shape
    row = max(call.result.nbytes for call in calls) // shape[0]
    height = max(1, BLOCK // row)
    return Chain(tuple(calls), shape, height) if height < shape[0] else None
