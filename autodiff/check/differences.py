"""Numeric derivatives along a line: by complex step where the function is analytic, else by central differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Line = Callable[[Any], Any]

#: Central differences start from these steps; the one that settles best is taken.
_STEPS = (1e-2, 1e-3, 1e-4, 1e-5)
_IMAGINARY = 1e-30


class Slope(NamedTuple):
    """A numeric derivative, and how far it can be trusted."""

    value: Any
    error: Any
    method: str


def slope(line: Line, complex_line: Line | None = None) -> Slope:
    """Return the derivative at 0 of a function of one number, for each element of the array that it returns.

    Parameters
    ----------
    line : callable
        The function.
    complex_line : callable, optional
        The same for complex numbers. It is believed only where it agrees with differences: a function that takes
        absolute values or compares is none of a complex variable, and gives numbers all the same.

    Returns
    -------
    Slope
        The derivative, the estimated error, and the method.

    Notes
    -----
    Central differences with steps h, h/2 and h/4 are extrapolated twice (Richardson); what the second extrapolation
    changes is the estimate of the error. The complex step is Im f(ih)/h, without cancellation (Squire and Trapp 1998).
    """
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value, error = _central(line)
        if complex_line is not None:
            exact = _complex_step(complex_line)
            if exact is not None and exact.shape == value.shape and _agree(exact, value, error):
                return Slope(exact, np.abs(exact) * 1e-15, "complex step")
    return Slope(value, error, "central differences")


def has_kink(line: Line) -> bool:
    """Say whether a function of one number has a kink or a jump at 0. One beside it shows in the error of `slope`."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        middle = line(0.0)
        sides = [((line(h) - middle) / h, (middle - line(-h)) / h) for h in (1e-4, 1e-5)]
    far, near = (abs(right - left) for right, left in sides)
    # The slopes on both sides meet in proportion to the step where the function is smooth, and never at a kink.
    return not near <= max(0.5 * far, 1e-6 * sum(map(abs, sides[1])), 1e-9 * abs(middle), 1e-12)


def _central(line: Line) -> tuple[Any, Any]:
    value = error = None
    for step in _STEPS:
        d = [(line(h) - line(-h)) / (2 * h) for h in (step, step / 2, step / 4)]
        first, second = (4 * d[1] - d[0]) / 3, (4 * d[2] - d[1]) / 3
        best = (16 * second - first) / 15
        doubt = np.abs(best - second)
        doubt = np.where(np.isfinite(doubt), doubt, np.inf)
        if value is None or error is None:
            value, error = best, doubt
        else:
            value, error = np.where(doubt < error, best, value), np.minimum(doubt, error)
        if np.all(error <= 1e-9 * (np.abs(value) + 1e-300)):
            break
    return value, error


def _agree(exact: Any, value: Any, error: Any) -> bool:
    """Say whether differences, where they settle, bear out the complex step."""
    size = np.max(np.abs(value), initial=0.0)
    return bool(np.all(error <= 1e-4 * size + 1e-300) and np.all(np.abs(exact - value) <= 100 * error + 1e-9 * size))


def _complex_step(line: Line) -> Any:
    """Return the derivative, or None where the function takes no complex numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            result = line(_IMAGINARY * 1j)
        except Exception:  # whatever a person's function raises when given complex numbers
            return None
    if not np.iscomplexobj(result):
        return None
    return np.imag(result) / _IMAGINARY
