"""Time every op of the registry on 1, 1,000 and 1,000,000 elements: plain numpy, recorded on Tensors, and compiled.

    python benchmarks/ops.py [--sizes 1,1000,1000000] [--only tanh,matmul] [--rounds 9] [--quick]

An op is called on a sample of its own, whose axes are made longer until the largest operand, or the result, has about
as many elements as asked for, or a call takes 0.03 s. Columns: numpy is the op's forward computation on plain arrays;
ratios to it are the op on Tensors ("eager"), with the backward pass ("eager + grad"), the compiled op ("compiled"), and
its compiled value and gradient ("compiled + grad"). The columns of an op are interleaved in random order; a figure is
the median over the rounds, a ratio the median of the rounds' ratios. Results are compared before they are timed.
"""

from __future__ import annotations

import one_core  # isort: skip

import argparse
import gc
import math
import random
import time
import warnings
import zlib
from collections.abc import Callable
from statistics import geometric_mean, median
from typing import Any

import numpy as np
from machine import describe

import nn  # noqa: F401 - the losses are ops too
from autodiff import as_tensor, value_and_grad
from autodiff.compile import compile
from autodiff.op import Op, registry
from autodiff.sample import Draw, Sample, regular

COLUMNS = ("numpy", "eager", "eager + grad", "compiled", "compiled + grad")
#: Seconds for one op in one size, where its rounds take longer there are fewer of them.
PATIENCE = 2.0
#: Seconds of a call from which on its operands are not made larger still: some ops take cubic time.
LONGEST = 0.03
Lengths = dict[int, int]
Times = dict[str, list[float]]


def main() -> None:
    options = _options()
    where = one_core.pin()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    for size in options.sizes:
        ratios: dict[str, list[float]] = {column: [] for column in COLUMNS[1:]}
        refused = {}
        print(f"\nAbout {size:,} elements\n\n| op | elements | {' | '.join(COLUMNS)} |")
        print(f"|---|{'---:|' * (len(COLUMNS) + 1)}")
        for name in options.only:  # one after the other: all their arrays together would not fit into memory
            try:
                elements, row = _best(registry[name], size)
                _print_row(name, elements, _measure(row, options.rounds, options.slice), ratios)
            except Exception as error:
                refused[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"
        means = [f"**{geometric_mean(ratios[column] or [1.0]):.2f}×**" for column in COLUMNS[1:]]
        print(f"| **geometric mean** | | | {' | '.join(means)} |")
        for name, why in sorted(refused.items()):
            print(f"\nnot timed: {name}: {why}")
    print(f"{describe()}; {where}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Cost of every op, eager and compiled, against plain numpy.")
    parser.add_argument("--sizes", type=lambda text: [int(n) for n in text.split(",")], default=[1, 1000, 1_000_000])
    parser.add_argument("--only", type=lambda text: text.split(","), default=sorted(registry), help="names of ops")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--slice", type=float, default=2e-3, help="seconds for which each figure of a round is taken")
    parser.add_argument("--quick", action="store_true", help="3 short rounds")
    options = parser.parse_args()
    if unknown := [name for name in options.only if name not in registry]:
        parser.error(f"there is no op {', '.join(unknown)}; there are {', '.join(sorted(registry))}")
    if options.quick:
        options.rounds, options.slice = 3, 2e-4
    return options


def _best(op: Op, size: int) -> tuple[int, dict[str, Callable[[], Any]]]:
    """Elements, and what is timed for an op, on the best of its enlarged samples that works in all of the columns."""
    problem: Exception = ValueError("no sample can be called")
    for elements, sample, lengths in _enlarged(op, size):
        try:
            return elements, _columns(op, _drawn(op, sample, lengths), sample.params)
        except Exception as error:  # also a length that a parameter or a constant operand fixes
            problem = error
    raise problem


def _enlarged(op: Op, size: int) -> list[tuple[int, Sample, Lengths]]:
    """Samples with new lengths by old ones: of those with about `size` elements the quickest, then the closest."""
    found: list[tuple[float, float, int, int, Sample, Lengths]] = []
    for sample in op.samples:
        shapes = [x.shape for x in sample.operands if isinstance(x, Draw)]
        largest = max(shapes, key=lambda shape: int(np.prod(shape)), default=())
        axes = {n for shape in shapes for n in shape if n != 1}
        for way in [axes, *({n} for n in sorted(axes)), set[int]()]:
            if found and min(one[:2] for one in found) < (0.5, LONGEST / 3):
                break  # good enough
            lengths = dict.fromkeys(way, 1) if size == 1 else {n: n for n in way}
            while outcome := _tried(op, sample, lengths):
                elements, seconds = outcome
                off = abs(math.log(max(elements, 1) / size))
                found.append((max(off, 0.4), seconds, len(found), elements, sample, dict(lengths)))
                missing = size / max(elements, 1)
                if missing < 1.2 or seconds > LONGEST or not way:
                    break
                grown = max(1, sum(n in way for n in largest))
                factor = min(8.0, max(1.2, missing ** (1 / grown)))
                lengths = {n: math.ceil(length * factor) for n, length in lengths.items()}
    return [one[3:] for one in sorted(found, key=lambda one: one[:3])]


def _tried(op: Op, sample: Sample, lengths: Lengths) -> tuple[int, float] | None:
    """Elements of the largest operand or of the result, and the seconds that a call takes; None where it fails."""
    try:
        operands = _drawn(op, sample, lengths)
        begin = time.perf_counter()
        y = _call(op, operands, sample.params)
    except (ValueError, IndexError, TypeError, MemoryError):
        return None
    return max(np.size(x) for x in [y, *operands]), time.perf_counter() - begin


def _drawn(op: Op, sample: Sample, lengths: Lengths) -> list[Any]:
    rng = np.random.default_rng(zlib.crc32(op.name.encode()))
    operands = []
    for x in sample.operands:
        if isinstance(x, Draw):
            shape = tuple(lengths.get(n, n) for n in x.shape)
            # The values of these know the shape that they are for.
            x = regular(*shape) if x.values.__qualname__.startswith(regular.__name__) else Draw(shape, x.values)
            x = x(rng)
        operands.append(x)
    return operands


def _call(op: Op, operands: list[Any], params: dict[str, Any]) -> Any:
    return op(list(operands), **params) if op.variadic else op(*operands, **params)


def _columns(op: Op, operands: list[Any], params: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """The five things that are timed, each checked against the first."""
    rules = op.rules * len(operands) if op.variadic else op.rules
    where = [i for i, x in enumerate(operands) if rules[i] and isinstance(x, np.ndarray) and x.dtype.kind == "f"]
    tracked = list(operands)
    for i in where:
        tracked[i] = as_tensor(operands[i].copy())
        tracked[i].requires_grad, tracked[i]._print = True, None  # nobody else holds the copy
    y = np.asarray(_call(op, operands, params))
    seed = np.ones(y.shape, y.dtype)

    def forward(*xs: Any) -> Any:
        return _call(op, list(xs), params)

    def slopes(*xs: Any) -> Any:
        together = list(operands)
        for i, x in zip(where, xs, strict=True):
            together[i] = x
        return (_call(op, together, params) * seed).sum()

    def backward() -> Any:
        for i in where:
            tracked[i].grad = None
        _call(op, tracked, params).backward(seed)
        return [tracked[i].grad for i in where]

    arrays = [operands[i] for i in where]
    moving = [x for x in operands if isinstance(x, np.ndarray)]
    compiled = compile(_of_arrays(forward, operands))
    pulled = compile(value_and_grad(slopes, argnums=tuple(range(len(where)))))
    for _ in range(3):
        np.testing.assert_allclose(compiled(*moving), y, rtol=1e-10, atol=1e-12, equal_nan=True)
        _, gradients = pulled(*arrays)
    for ours, theirs in zip(gradients, backward(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * max(1.0, float(np.abs(theirs).max(initial=0))))
    return {
        "numpy": lambda: op.forward(*operands, **params),
        "eager": lambda: _call(op, tracked, params),
        "eager + grad": backward,
        "compiled": lambda: compiled(*moving),
        "compiled + grad": lambda: pulled(*arrays),
    }


def _of_arrays(function: Callable[..., Any], operands: list[Any]) -> Callable[..., Any]:
    """Leave out the operands that are no arrays: they are constants."""
    fixed = tuple(None if isinstance(x, np.ndarray) else (x,) for x in operands)

    def call(*arrays: Any) -> Any:
        rest = iter(arrays)
        return function(*(next(rest) if x is None else x[0] for x in fixed))

    return call


def _measure(row: dict[str, Callable[[], Any]], rounds: int, slice_: float) -> Times:
    """Seconds per call, by column and round."""
    times: Times = {column: [] for column in COLUMNS}
    each = {column: _seconds(run) for column, run in row.items()}
    counts = {column: max(1, int(slice_ / seconds)) for column, seconds in each.items()}
    rounds = max(1, min(rounds, int(PATIENCE / sum(each.values()))))
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        for column in random.sample(COLUMNS, len(COLUMNS)):
            run, count = row[column], counts[column]
            begin = time.perf_counter()
            for _ in range(count):
                run()
            times[column].append((time.perf_counter() - begin) / count)
    gc.enable()
    return times


def _seconds(run: Callable[[], Any]) -> float:
    run()
    begin = time.perf_counter()
    run()
    return max(time.perf_counter() - begin, 1e-7)


def _print_row(name: str, elements: int, times: Times, ratios: dict[str, list[float]]) -> None:
    cells = [name, f"{elements:,}", _duration(median(times["numpy"]))]
    for column in COLUMNS[1:]:
        ratio = median(a / b for a, b in zip(times[column], times["numpy"], strict=True))
        ratios[column].append(ratio)
        cells.append(f"{ratio:.2f}×")
    print(f"| {' | '.join(cells)} |", flush=True)


def _duration(seconds: float) -> str:
    for unit, factor in (("ns", 1e9), ("µs", 1e6), ("ms", 1e3)):
        if seconds * factor < 1000:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


if __name__ == "__main__":
    main()
