"""Numbers read out of a tensor, and what must not read them.

Python's protocol does not say who asks: `float(t)`, which is a read-out and said so, `math.sin(t)`, which would compute
on without a gradient, and `array[0] = t` all call ``__float__``. The caller's bytecode tells.
"""

from __future__ import annotations

import inspect
import math
import operator
import sys
from functools import partial
from types import CodeType, FrameType
from typing import Any

import numpy as np

from autodiff.state import grad_mode


def read_out(tensor: Any) -> Any:
    """Return the only element as a Python number; raise where whoever asks would lose the gradient unsaid."""
    if tensor.requires_grad and grad_mode.get():
        _refuse_loss(tensor, sys._getframe(2))
    return tensor.item() if tensor._data.size == 1 else tensor._data


#: What an instruction does with a number: assign it (``["="]``) or call with it what these names lead to.
_routes: dict[tuple[int, int], tuple[CodeType, list[str]]] = {}

#: Modules whose compiled functions compute with the numbers that they take.
_COMPUTING = {"math", "cmath", "numpy", "scipy"}
_FACTS = {math.isnan, math.isinf, math.isfinite, math.isclose, math.floor, math.ceil}


def refuse_store(tensor: Any, frame: FrameType) -> None:
    """Raise where the tensor is asked for its array because `frame` assigns it to elements of another."""
    if _where_to(frame) == ["="]:
        raise TypeError(
            f"writing {_brief(tensor)} into an array would lose its gradient; make the array a tensor first, "
            "`x = Tensor(x)`, build it with np.stack([...]), or write `t.data` when no gradient is wanted"
        )


def _where_to(frame: FrameType) -> list[str]:
    key = id(frame.f_code), frame.f_lasti
    if key not in _routes:
        if len(_routes) > 1000:
            _routes.clear()
        # The code object is kept, so that no other can take its id.
        _routes[key] = frame.f_code, _route(frame.f_code, frame.f_lasti)
    return _routes[key][1]


def _brief(tensor: Any) -> str:
    return f"the tensor{f' {tensor.name!r}' if tensor.name else ''} of shape {tensor.shape}"


def _refuse_loss(tensor: Any, frame: FrameType) -> None:
    refuse_store(tensor, frame)
    route = _where_to(frame)
    if route and _computes(_resolved(route, frame)):
        name = ".".join(route)
        raise TypeError(
            f"{name}(...) takes a plain number, so {_brief(tensor)} would lose its gradient; call numpy's function for "
            f"arrays instead, as np.sin for math.sin, or write {name}(float(t)) when no gradient is wanted"
        )


def _route(code: CodeType, offset: int) -> list[str]:
    """Say what the instruction at `offset` does with a number that it converts; ``[]`` where that cannot be told."""
    import dis  # no cost to those who never read a tensor out

    steps = [i for i in dis.get_instructions(code) if i.offset <= offset and i.opname not in _NO_STEP]
    now = steps.pop()
    if now.opname in ("STORE_SUBSCR", "STORE_SLICE"):
        return ["="]
    at = now.positions
    if not now.opname.startswith("CALL") or at is None or at.col_offset is None:
        return []
    # A call and the expression of what is called begin at the same place in the source, unless that breaks a line.
    last = len(steps) - 1
    while last >= 0 and not _begins(steps[last].positions, at):
        last -= 1
    while last + 1 < len(steps) and steps[last + 1].opname in _ATTRIBUTE:
        last += 1
    names: list[str] = []
    for step in steps[last::-1] if last >= 0 else ():
        if step.opname == "PUSH_NULL":
            continue
        if step.opname in _ATTRIBUTE:
            names.append(step.argval)
        elif "LOAD_" in step.opname and step.opname != "LOAD_CONST" and isinstance(step.argval, (str, tuple)):
            names.append(step.argval if isinstance(step.argval, str) else step.argval[-1])
            return names[::-1]
        else:
            break
    return []


_NO_STEP = {"EXTENDED_ARG", "PRECALL", "KW_NAMES", "NOP", "CACHE"}
_ATTRIBUTE = {"LOAD_ATTR", "LOAD_METHOD"}


def _begins(part: Any, whole: Any) -> bool:
    """Whether a range of source code (line, last line, column, last column) begins where a longer one begins."""
    return part is not None and part[::2] == whole[::2] and part[1::2] != whole[1::2]


def _resolved(route: list[str], frame: FrameType) -> Any:
    """Return what a chain of names leads to in a frame, without running any code for it; `None` if unknown."""
    name, *attributes = route
    found = None
    for names in (frame.f_locals, frame.f_globals, frame.f_builtins):
        if name in names:
            found = names[name]
            break
    for attribute in attributes:
        look = getattr if isinstance(found, np.ndarray) else inspect.getattr_static
        found = look(found, attribute, None)
    if isinstance(found, (partial, staticmethod)):
        return found.func if isinstance(found, partial) else found.__func__
    return found


def _computes(function: Any) -> bool:
    if not inspect.isroutine(function) and not inspect.isclass(function):
        return False
    owner = getattr(function, "__objclass__", None)  # of a method; a bound one has an object that is no module
    bound = getattr(function, "__self__", None)
    if owner is None and bound is not None and not inspect.ismodule(bound):
        owner = type(bound)
    module = getattr(owner or function, "__module__", None) or ""
    return function is operator.setitem or (module.split(".")[0] in _COMPUTING and function not in _FACTS)
