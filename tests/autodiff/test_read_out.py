"""Numbers read out of a tensor: what says so reads, what would compute on is told apart and refused."""

from __future__ import annotations

import asyncio
import inspect
import math
import struct
import subprocess
import sys
from collections.abc import Callable
from math import sin
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor
from tests.autodiff.test_no_silent_detach import SCALAR, assigned, explained, zeros

READ_OUTS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "float": (float, 0.75),
    "int": (int, 0),
    "complex": (complex, 0.75 + 0j),
    "bool": (bool, True),
    "item": (lambda t: t.item(), 0.75),
    "tolist": (lambda t: t.tolist(), 0.75),
    "data": (lambda t: t.data.item(), 0.75),
    "f-string": (lambda t: f"{t:.1f}", "0.8"),
    "format": (lambda t: "{:.2f}".format(t), "0.75"),  # noqa: UP032
    "percent": (lambda t: "%.2f %d" % (t, t), "0.75 0"),  # noqa: UP031
    "map": (lambda t: list(map(float, [t, t])), [0.75, 0.75]),
    "unpacked map": (lambda t: [*map(float, [t])], [0.75]),
    "extend": (lambda t: extended([], t), [0.75]),
    "comprehension": (lambda t: [float(x) for x in [t]], [0.75]),
    "generator": (lambda t: np.fromiter((float(x) for x in [t]), float).tolist(), [0.75]),
    "sum of floats": (lambda t: sum(map(float, [t, t])), 1.5),
    "key": (lambda t: max([t, t], key=float) is t, True),
    "store a float": (lambda t: assigned(zeros(), 0, float(t)).tolist(), [0.75, 0.0, 0.0]),
    "store in a list": (lambda t: assigned([0], 0, t)[0] is t, True),
    "store in a dict": (lambda t: assigned({}, "loss", t)["loss"] is t, True),
    "math of a float": (lambda t: math.sqrt(float(t)), math.sqrt(0.75)),
    "math of an item": (lambda t: math.sqrt(t.item()), math.sqrt(0.75)),
    "math of data": (lambda t: math.sqrt(t.data), math.sqrt(0.75)),
    "math.isfinite": (lambda t: math.isfinite(t), True),
    "math.isnan": (lambda t: math.isnan(t), False),
    "math.isclose": (lambda t: math.isclose(t, 0.75), True),
    "math.floor": (lambda t: math.floor(t), 0),
    "math.ceil": (lambda t: math.ceil(t), 1),
    "struct.pack": (lambda t: struct.unpack("d", struct.pack("d", t))[0], 0.75),
    "truth in an array": (lambda t: assigned(zeros(2, bool), 0, t).tolist(), [True, False]),
    "list.index": (lambda t: [1.5, t].index(t), 1),
    "len(str)": (lambda t: str(t), "Tensor(0.75, requires_grad=True)"),
}  # fmt: skip


def extended(target: list[float], value: Any) -> list[float]:
    target.extend(map(float, [value]))
    return target


@pytest.mark.parametrize("route", READ_OUTS)
def test_a_read_out_reads(route: str) -> None:
    read, expected = READ_OUTS[route]
    got = read(Tensor(SCALAR, requires_grad=True))
    assert got == expected
    assert type(got) is type(expected)


def test_the_caller_is_told_apart_wherever_it_is() -> None:
    """In a coroutine, a class body, a try block, over several lines, at module level, in a comprehension."""
    t = Tensor(SCALAR, requires_grad=True)

    async def later() -> float:
        await asyncio.sleep(0)
        return math.sin(t)

    def guarded() -> float:
        try:
            return 1.0
        finally:
            sin(t)

    def in_class() -> None:
        class _Body:
            value = math.sin(t)

    long = (
        "def wide(x):\n"
        + "".join(f"    v{i} = x.q{i} if {i} < 0 else {i}\n" for i in range(300))
        + "    return math.sin(x)"
    )
    space: dict[str, Any] = {"math": math, "t": t}
    exec(long, space)
    attempts: list[Callable[[], Any]] = [
        lambda: asyncio.run(later()),
        guarded,
        in_class,
        lambda: (math
                 .sin(t)),
        lambda: [f(t) for f in (math.cos, math.sin)],
        lambda: space["wide"](t),
        lambda: exec("x = math.sin(t)", space),
        lambda: exec("array[0] = t", {**space, "array": zeros()}),
        lambda: eval("math.sin(t)", space),
        lambda: 2.0 if t is None else math.sin(t) + 1,
    ]  # fmt: skip
    for attempt in attempts:
        for _ in range(2):  # the second time the answer is remembered
            with pytest.raises((TypeError, ValueError)) as caught:
                attempt()
            assert "would lose its gradient" in explained(caught.value), inspect.getsource(attempt)
    assert exec("x = float(t)", space) is None
    assert space["x"] == 0.75


def test_without_source_positions_assignment_is_still_refused_and_reading_works() -> None:
    code = """
import math, numpy as np
from autodiff import Tensor
t = Tensor(0.75, requires_grad=True)
assert float(t) == 0.75
math.sin(t)  # cannot be told from float(t) here
try:
    np.zeros(3)[0] = t
except ValueError as error:
    print(error.__cause__)
"""
    root = Path(autodiff.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-X", "no_debug_ranges", "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert "would lose its gradient" in done.stdout
