"""Every op in the registry, on every sample it declares, compiled: the program against the function itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autodiff import Op, Tensor, as_tensor, value_and_grad
from autodiff.compile import CompileError, compile
from autodiff.sample import Sample
from tests.autodiff.compiled import CALLS, equal, follows
from tests.autodiff.test_ops import CASES, LAPACK, LAYOUTS, call, differentiable, draw, each_case

#: Ops that no program can be made of, and why.
REFUSED: dict[str, str] = {}

#: For what is slow, and not a matter of parameters.
FIRST = [(op, sample) for op, sample, i in CASES if not i]
each_op = pytest.mark.parametrize(("op", "sample"), FIRST, ids=[op.name for op, _ in FIRST])

Change = Callable[[Any], Any]


def _same(x: Any) -> Any:
    return x


def draws(op: Op, sample: Sample, change: Change = _same) -> list[list[Any]]:
    """Operands for each of several calls: the same shapes, other numbers."""
    return [[change(_copied(x)) for x in draw(op, sample, attempt)] for attempt in range(CALLS)]


def _copied(x: Any) -> Any:
    return x.copy() if isinstance(x, np.ndarray) else x  # constants of a sample are the same array each time


def forward(op: Op, sample: Sample) -> Callable[..., Any]:
    """The op as a function of its operands."""
    return lambda *xs: call(op, xs, sample.params)


def slopes(op: Op, sample: Sample) -> Callable[..., Any]:
    """The op's value, weighed and summed, with its gradients."""
    where = differentiable(op, draw(op, sample))

    def total(*xs: Any) -> Any:
        y = call(op, xs, sample.params)
        weights = np.linspace(1, 2, max(y.size, 1))[: y.size]
        return (y * weights.reshape(y.shape).astype(y.dtype)).sum()

    return value_and_grad(total, argnums=where)


@each_case
def test_forward(op: Op, sample: Sample) -> None:
    """To the last bit, as nothing in a single op is reordered."""
    follows(forward(op, sample), draws(op, sample), exact=True)


@each_case
def test_gradients(op: Op, sample: Sample) -> None:
    follows(slopes(op, sample), draws(op, sample))


@each_op
def test_second_derivatives(op: Op, sample: Sample) -> None:
    where = differentiable(op, draw(op, sample))
    first = slopes(op, sample)

    def bend(*xs: Any) -> Any:
        value, gradients = first(*xs)
        return value + sum((g * g).sum() for g in gradients)

    follows(value_and_grad(bend, argnums=where), draws(op, sample))


@each_case
def test_step_on_tensors_outside(op: Op, sample: Sample) -> None:
    """The operands are tensors that the function holds: `.grad` and the update in place are the program's too."""

    def made() -> tuple[Callable[[Any], Any], list[Any]]:
        operands = draw(op, sample)
        where = differentiable(op, operands)
        for i in where:
            operands[i] = Tensor(operands[i], requires_grad=True)
        learnt = [operands[i] for i in where]

        def step(factor: Any) -> Any:
            for x in learnt:
                x.grad = None
            loss = (call(op, operands, sample.params) * factor).sum()
            loss.backward()
            for x in learnt:
                x.data -= 1e-3 * factor * x.grad
            return loss

        return step, learnt

    (eager, theirs), (function, mine) = made(), made()
    compiled = compile(function)
    for number, factor in enumerate([0.5, 1.0, -0.5, 0.25, 0.125]):
        wanted, got = eager(np.asarray(factor)), compiled(np.asarray(factor))
        equal(got.data, wanted.data, note=f"the loss of call {number}")
        equal([x.data for x in mine], [x.data for x in theirs], note=f"the data after call {number}")
        equal([x.grad for x in mine], [x.grad for x in theirs], note=f"the gradients after call {number}")
    assert len(compiled.programs) <= 2, "it is recorded again and again"


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_floats(op: Op, sample: Sample, dtype: Any) -> None:
    if dtype == np.float16 and getattr(op.forward, "__module__", None) in LAPACK:
        return  # numpy has none
    narrow = set(differentiable(op, draw(op, sample)))
    operands = [[x.astype(dtype) if i in narrow else x for i, x in enumerate(xs)] for xs in draws(op, sample)]
    follows(slopes(op, sample), operands)


@each_op
def test_layouts_change_from_call_to_call(op: Op, sample: Sample) -> None:
    """A program is made for shapes and dtypes; how an argument lies in memory is its own business."""
    layouts = [_same, *LAYOUTS.values(), _same]
    if getattr(op.forward, "__module__", None) in LAPACK:
        layouts.remove(LAYOUTS["stride zero"])  # rows that are all the same make a singular matrix

    def arranged() -> list[list[Any]]:
        found = []
        for number, layout in enumerate(layouts):
            operands = [_copied(x) for x in draw(op, sample, number)]
            found.append([layout(x) if isinstance(x, np.ndarray) and x.ndim else x for x in operands])
        return found

    follows(forward(op, sample), arranged())
    follows(slopes(op, sample), arranged())


@each_case
def test_empty_arrays(op: Op, sample: Sample) -> None:
    """With an axis of length 0: the same result, or the same exception."""
    lengths = {n for x in draw(op, sample) if isinstance(x, np.ndarray) for n in x.shape}
    for length in sorted(lengths):
        follows(slopes(op, sample), draws(op, sample, lambda x, length=length: _without(x, length)))


def _without(x: Any, length: int) -> Any:
    return np.resize(x, [0 if n == length else n for n in x.shape]) if isinstance(x, np.ndarray) else x


@each_case
def test_zero_dimensional_arrays(op: Op, sample: Sample) -> None:
    operands = draws(op, sample, lambda x: np.array(x.flat[0]) if isinstance(x, np.ndarray) else x)
    follows(slopes(op, sample), operands)


@each_case
def test_tensors_as_arguments(op: Op, sample: Sample) -> None:
    """Tensors in, a Tensor out; a result that would need a gradient says clearly that it has no graph."""
    where = differentiable(op, draw(op, sample))

    def tracked(xs: list[Any], requires_grad: bool) -> list[Any]:
        tensors = [as_tensor(x) if i in where else x for i, x in enumerate(xs)]
        for i in where:
            tensors[i].requires_grad = requires_grad
        return tensors

    function = forward(op, sample)
    follows(function, [tracked(xs, False) for xs in draws(op, sample)], exact=True)
    compiled = follows(function, [tracked(xs, True) for xs in draws(op, sample)], exact=True)
    y = compiled(*tracked(draw(op, sample), True))
    if y.requires_grad:
        with pytest.raises(CompileError, match="value_and_grad"):
            y.sum().backward()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(name: str) -> None:
    for op, sample, _ in CASES:
        if op.name == name:
            with pytest.raises(CompileError, match=REFUSED[name]):
                follows(forward(op, sample), draws(op, sample))
