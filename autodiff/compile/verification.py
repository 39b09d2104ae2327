"""Run a program and the function itself from the same state, and compare what they leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.compile.kinds import copied
from autodiff.compile.record.recording import Recording
from autodiff.compile.tape import CompileError
from autodiff.op import strip

if TYPE_CHECKING:
    from autodiff.compile.program import Program

#: How far results may be apart, relative to the largest number: reordered sums round differently.
TOLERANCE = {np.dtype(np.float16): 1e-2, np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-10}


def verified(
    program: Program, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], arrays: list[Any]
) -> Any:
    """Return the function's own result after comparing the program's with it.

    Raises
    ------
    CompileError
        They differ; the function's own effects stand.
    """
    before = program.snapshot()
    theirs = program.run(*arrays)
    left = [(str(place), copied(array)) for place, array in program.held()]
    program.restore(before)
    recording = Recording(function, args, kwargs)
    result = recording.result
    recording.forget()
    for (name, got), (_, wanted) in zip([("the result", x) for x in _leaves(theirs)], _named(result), strict=True):
        _compare(name, got, wanted)
    for (name, got), (place, _) in zip(left, program.held(), strict=True):
        _compare(name, got, place.box.read()[place.key])
    return result


def _named(tree: Any) -> list[tuple[str, Any]]:
    return [("the result", x) for x in _leaves(tree)]


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for item in tree.values() for leaf in _leaves(item)]
    if isinstance(tree, (tuple, list)):
        return [leaf for item in tree for leaf in _leaves(item)]
    return [strip(tree)]


def _compare(name: str, got: Any, wanted: Any) -> None:
    if not hasattr(wanted, "dtype") or wanted.dtype.kind not in "fc":
        same = np.array_equal(got, wanted)
    else:
        largest = float(np.max(np.abs(wanted))) if wanted.size else 0.0
        limit = TOLERANCE.get(wanted.dtype, 1e-10) * max(largest, 1e-30)
        same = got.shape == wanted.shape and np.allclose(got, wanted, rtol=0, atol=limit, equal_nan=True)
    if not same:
        raise CompileError(
            f"the program and the function differ in {name}: {np.ravel(got)[:3]} instead of "
            f"{np.ravel(wanted)[:3]}; please report this, and leave out compile() meanwhile"
        )
