"""Judges of compiled functions: the function itself, run beside the program from the same state."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from autodiff import Tensor
from autodiff.compile import Compiled, CompileError, Program, compile

#: Recordings that may come before the first program, and the runs of programs that are then looked at.
CALLS = 4
#: The first call, from 0, that may no longer record.
WARM_UP = 2
#: Relative to the largest number of an array: a program may take its sums in another order.
TOLERANCE = {2: 1e-2, 4: 1e-5, 8: 1e-12}


class Thing:
    """Holds whatever it is given."""

    def __init__(self, **held: Any) -> None:
        vars(self).update(held)


def vector(start: float = 0.0) -> Any:
    """Return three numbers."""
    return np.arange(3.0) + start


def leaves(tree: Any) -> list[Any]:
    """All arrays and numbers in nested results, in order; Tensors as their arrays."""
    if isinstance(tree, dict):
        return [leaf for item in tree.values() for leaf in leaves(item)]
    if isinstance(tree, (tuple, list)):
        return [leaf for item in tree for leaf in leaves(item)]
    return [tree.data if isinstance(tree, Tensor) else tree]


def frozen(tree: Any) -> list[Any]:
    """Copies of all that `leaves` finds."""
    return [np.array(x) if hasattr(x, "shape") else x for x in leaves(tree)]


def kind(tree: Any) -> Any:
    """What a result is, but for the numbers in it; numpy's scalars and 0-d arrays count as one."""
    if isinstance(tree, dict):
        return {key: kind(item) for key, item in tree.items()}
    if isinstance(tree, (tuple, list)):
        return type(tree), [kind(item) for item in tree]
    if isinstance(tree, Tensor):
        return "tensor", tree.shape, tree.dtype, tree.requires_grad
    if hasattr(tree, "dtype"):
        return "array", tree.shape, tree.dtype
    return type(tree)


def equal(got: Any, wanted: Any, *, exact: bool = False, note: object = "") -> None:
    """Require the same kinds of results, and the same numbers: to the last bit, or but for rounding."""
    assert kind(got) == kind(wanted), note
    for a, b in zip(leaves(got), leaves(wanted), strict=True):
        if exact or not hasattr(b, "dtype") or b.dtype.kind not in "fc":
            np.testing.assert_array_equal(a, b, err_msg=str(note))
        else:
            scale = float(np.max(np.abs(b), initial=0, where=np.isfinite(b)))
            scale = max(scale, 1.0) if b.dtype.itemsize < 8 else scale  # terms of a sum that cancel
            limit = TOLERANCE[b.dtype.itemsize if b.dtype.kind == "f" else 8]
            np.testing.assert_allclose(a, b, rtol=limit, atol=limit * scale, err_msg=str(note))


def follows(
    function: Callable[..., Any], calls: Iterable[Sequence[Any]], *, exact: bool = False, verify: int = 0
) -> Compiled[..., Any]:
    """Require that the compiled `function`, which keeps nothing, gives what it gives itself, call after call.

    Results belong to who called: no later call changes them, and what becomes of them, or of the arguments afterwards,
    changes no later result. Return the compiled function.
    """
    compiled = compile(function, verify=verify)
    settled: list[Program] = []
    seen: list[tuple[Any, list[Any]]] = []
    for number, args in enumerate(calls):
        before = frozen(args)
        wanted = outcome(function, *args)
        got = outcome(compiled, *args)
        if isinstance(wanted, Exception):
            assert type(got) is type(wanted), f"call {number}: {got!r} instead of {wanted!r}"
            continue
        if isinstance(got, Exception):
            raise got
        equal(got, wanted, exact=exact, note=f"call {number}")
        equal(leaves(args), before, exact=True, note=f"the arguments after call {number}")
        for old, copies in seen:
            equal(leaves(old), copies, exact=True, note=f"an earlier result after call {number}")
        if number == WARM_UP:
            settled = compiled.programs
        seen.append((got, frozen(got)))
        if number % 2:
            spoil(got)
            spoil(args)
            seen.clear()
    assert compiled.programs == settled, "it is recorded again and again"
    return compiled


def spoil(tree: Any) -> None:
    """Overwrite all arrays."""
    for x in leaves(tree):
        if isinstance(x, np.ndarray) and x.flags.writeable:
            x[...] = np.array(77).astype(x.dtype)


def attempt(function: Callable[..., Any], *args: Any) -> Any:
    """What a compiled function gives, or the error with which it refuses."""
    try:
        return function(*args)
    except CompileError as error:
        return error


def outcome(function: Callable[..., Any], *args: Any) -> Any:
    """What a call gives: its result, or the exception that numpy raises."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the mean of nothing warns
        try:
            return function(*args)
        except (ValueError, IndexError, TypeError, NotImplementedError, ZeroDivisionError) as error:
            return error
