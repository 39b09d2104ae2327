"""Conversion between types of numbers, and the functions that take complex numbers apart: here all are real."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import implements, op, refuse, strip
from autodiff.sample import real, sample

astype = op(
    lambda x, dtype: x.astype(dtype),
    lambda g, y, x, dtype: g,  # the engine converts a gradient to its tensor's dtype
    name="astype",
    formula="1",
    samples=[sample(real(2, 3), dtype=np.float64)],
)


@implements(np.astype)
def convert(x: Any, dtype: Any, /, *, copy: bool = True, **unused: Any) -> Any:
    """Convert the elements, as ``np.astype``; to a type without derivatives, the plain array."""
    return astype(x, dtype=dtype) if np.dtype(dtype).kind in "fc" else strip(x).astype(dtype)


@implements(np.real)
def real_part(val: Any) -> Any:
    """Return `val` itself, which is real."""
    _expect_real("real", val)
    return val


@implements(np.real_if_close)
def real_if_close(a: Any, tol: float = 100) -> Any:
    """Return `a` itself, which is real."""
    _expect_real("real_if_close", a)
    return a


@implements(np.conjugate)
def conjugate(x: Any, /, **options: Any) -> Any:
    """Return a copy of `x`, which is real, as ``np.conjugate``."""
    refuse("conjugate", **options)
    _expect_real("conjugate", x)
    return np.positive(x)


@implements(np.imag)
def imaginary_part(val: Any) -> Any:
    """Return zeros, a plain array."""
    _expect_real("imag", val)
    return np.zeros_like(strip(val))


@implements(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """Return 0 or π (180 with `deg`), a plain array: the angle of a real number does not change with it."""
    _expect_real("angle", z)
    return np.angle(strip(z), deg=deg)


@implements(np.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """Replace NaN and infinities, as ``np.nan_to_num``; the gradient passes where the numbers are finite."""
    if not copy:
        raise NotImplementedError("nan_to_num(t, copy=False) would change a Tensor; write `t = np.nan_to_num(t)`")
    plain = strip(x)
    return np.where(np.isfinite(plain), x, np.nan_to_num(plain, nan=nan, posinf=posinf, neginf=neginf))


def _expect_real(name: str, x: Any) -> None:
    if x.dtype.kind == "c":
        raise NotImplementedError(f"np.{name} of a complex Tensor: use the plain array, np.{name}(t.data)")
