"""Fourier transforms, whose results are complex: not differentiated, and said so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from autodiff.op import implements

_AUXILIARY = {"fftfreq", "rfftfreq"}  # they take no array


def _refusing(name: str) -> Callable[..., NoReturn]:
    def refuse(*args: Any, **options: Any) -> NoReturn:
        raise NotImplementedError(
            f"np.fft.{name} is not differentiated by autodiff: np.fft computes with complex numbers. For a real signal "
            "x of length n write the sums as products with constant matrices, t = 2 * np.pi * np.outer(np.arange(n), "
            "np.arange(n)) / n, real part np.cos(t) @ x, imaginary part -np.sin(t) @ x; or pass `x.data` when no "
            "gradient is wanted"
        )

    return refuse


for _name in sorted(set(np.fft.__all__) - _AUXILIARY):
    implements(getattr(np.fft, _name))(_refusing(_name))
