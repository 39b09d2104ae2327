"""The operands, formulas and parameters of an op, as the picture writes them."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np

from autodiff.op import Op


def derivatives(op: Op, count: int) -> tuple[list[str], list[str | None]]:
    """Return the name of every operand and the formula of the derivative by it."""
    if op.variadic:
        return [f"[{i}]" for i in range(count)], [op.formula[0] if op.formula else ""] * count
    written = iter(op.formula)
    formulas = [None if rule is None else next(written, "") for rule in op.rules]
    rule = next(rule for rule in op.rules if rule is not None)
    try:
        names = list(inspect.signature(rule).parameters)[2 : 2 + count]
    except (TypeError, ValueError):
        names = []
    return (names if len(names) == count else ["abcdefghijklmnopqrstuvwxyz"[i] for i in range(count)]), formulas


def given_formula(formula: str | None, names: list[str], inputs: tuple[Any, ...]) -> str | None:
    """Leave the weights out of the formula of a loss that was given none."""
    if formula and "w" in names and inputs[names.index("w")] is None:
        return re.sub(r"w·|w(?=\()", "", formula)
    return formula


def brief_text(value: Any) -> str:
    """Write a parameter of an op; an array by its shape only."""
    if isinstance(value, slice):
        ends = ("" if end is None else brief_text(end) for end in (value.start, value.stop))
        return ":".join(ends) + ("" if value.step is None else f":{brief_text(value.step)}")
    if isinstance(value, tuple):
        return "(" + ", ".join(brief_text(item) for item in value[:6]) + (", …)" if len(value) > 6 else ")")
    if value is Ellipsis:
        return "..."
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return str(value)
    shape = getattr(value, "shape", None) or (len(value),) if hasattr(value, "__len__") else ()
    return f"{type(value).__name__}{shape}" if shape else str(getattr(value, "__name__", type(value).__name__))
