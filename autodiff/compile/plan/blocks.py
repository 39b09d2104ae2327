"""Long elementwise chains in blocks: each block of all their arrays stays in the cache until the chain is through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from autodiff.compile.plan.forms import is_elementwise
from autodiff.compile.plan.plan import Plan, Step
from autodiff.compile.tape import Call, Value

#: Elements from which on a chain is worth cutting, and elements of a block.
LARGE, BLOCK = 1 << 16, 1 << 14


class Loop(NamedTuple):
    """Consecutive elementwise steps over arrays of one shape, and the rows that are done at a time."""

    steps: list[Step]
    rows: list[slice]
    shape: tuple[int, ...]

    def cuts(self, array: Any) -> bool:
        """Whether this array is taken block by block; others are broadcast to each block whole."""
        return bool(array.ndim == len(self.shape) and array.shape[0] == self.shape[0] and self.shape[0] > 1)


def blocks(plan: Plan) -> Iterator[Step | Loop]:
    """Give the plan's steps, runs of large elementwise ones as loops."""
    run: list[Step] = []
    for step in [*plan.steps, None]:
        if step is not None and _fits(step, plan) and (not run or step.out.shape == run[0].out.shape):
            run.append(step)
            continue
        yield from _joined(run)
        run = [step] if step is not None and _fits(step, plan) else []
        if step is not None and not run:
            yield step


def _joined(run: list[Step]) -> Iterator[Step | Loop]:
    if len(run) < 2:
        yield from run
        return
    shape = run[0].out.shape
    rows = max(1, BLOCK * shape[0] // run[0].out.size)
    yield Loop(run, [slice(i, i + rows) for i in range(0, shape[0], rows)], shape)


def _fits(step: Step, plan: Plan) -> bool:
    line = step.line
    if not isinstance(line, Call) or step.out is None or not is_elementwise(line) or step.out.size < LARGE:
        return False
    return step.out.shape[0] > 1 and all(
        v in plan.memory or v.kind == "constant" or v.shape == () for v in line.operands() if isinstance(v, Value)
    )
