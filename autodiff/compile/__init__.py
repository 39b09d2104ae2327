"""Compilation: a step is recorded once, and runs from then on as a straight line of numpy calls."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, overload

from autodiff.compile.compiled import Compiled, P, R
from autodiff.compile.program import Program
from autodiff.compile.tape import CompileError

__all__ = ["CompileError", "Compiled", "Program", "compile"]


@overload
def compile(function: Callable[P, R], *, verify: int = 0, backend: str = "numpy") -> Compiled[P, R]: ...
@overload
def compile(*, verify: int = 0, backend: str = "numpy") -> Callable[[Callable[P, R]], Compiled[P, R]]: ...


def compile(function: Any = None, *, verify: int = 0, backend: str = "numpy") -> Any:
    """Compile a function of arrays or Tensors: a training step, a model, ``value_and_grad(f)``.

    The first call runs it as it is and records every numpy call, forward, backward and the optimizer's update. Later
    calls run the program that was planned from that: dead and double calls dropped, updates of many parameters made
    one, results written into fixed memory. Arrays that the function reaches without being passed them (parameters,
    running statistics, momenta, attributes of objects) are read and updated where they are.
    What is returned is new each time.

    Parameters
    ----------
    function : callable
        Called with arrays, Tensors, numbers and objects, also nested. Other shapes, dtypes or numbers make another
        program. Leave it out to use ``@compile(verify=3)`` as a decorator.
    verify : int
        Compare the first runs of each program with the function itself.
    backend : {"numpy", "numba"}
        What runs the program: numpy's functions, or machine code made by Numba (``pip install nablagraph[numba]``).

    Returns
    -------
    Compiled
        To be called as `function` is. ``step.program`` shows what it runs.

    Raises
    ------
    CompileError
        By a call: the function does what no program of it could do again, as a branch on the value of an array. The
        message names the line. Arrays outside are left as they were before the call.

    Notes
    -----
    Results are those of the function itself up to rounding: sums may be taken in another order. Checks of values, as a
    loss makes of its labels, are made when a call is recorded, and not again.
    """
    if backend not in ("numpy", "numba"):
        raise ValueError(f'backend must be "numpy" or "numba", got {backend!r}')
    if isinstance(verify, bool) or not isinstance(verify, int) or verify < 0:
        raise ValueError(f"verify is a number of calls, 0 or greater; got {verify!r}")
    if function is None:
        return lambda function: compile(function, verify=verify, backend=backend)
    if not callable(function):
        raise TypeError(f"compile takes a function, got {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
        raise TypeError(
            f"compile takes a function that returns its result; {function.__qualname__} is suspended meanwhile"
        )
    return Compiled(function, verify, backend)


class _Compile(ModuleType):
    """A package that can be called: ``autodiff.compile`` is also its function."""

    def __call__(self, function: Any = None, *, verify: int = 0, backend: str = "numpy") -> Any:
        return compile(function, verify=verify, backend=backend)


sys.modules[__name__].__class__ = _Compile
