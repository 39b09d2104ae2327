"""What the picture says about an array: its values when there are few, their range when there are many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Up to so many numbers, in rows of at most so many, are shown one by one.
MOST_VALUES = 25
LONGEST_ROW = 8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An array as it was when the graph was built.

    Attributes
    ----------
    shape : tuple of int
    dtype : str
    values : numpy.ndarray or None
        A copy of the whole array when it is small, else None.
    low, high : int or float or None
        Range of the finite values; None where there is none, or where values have no order.
    rms : float or None
        Root of the mean square of the finite values.
    nans, infs : int
        How many values are NaN and how many are infinite.
    """

    shape: tuple[int, ...]
    dtype: str
    values: Any = None
    low: Any = None
    high: Any = None
    rms: float | None = None
    nans: int = 0
    infs: int = 0

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


def brief(data: Any) -> Snapshot:
    """Return only what an array is: its shape and dtype."""
    return Snapshot(tuple(int(n) for n in np.shape(data)), str(getattr(data, "dtype", type(data).__name__)))


def take(data: Any, most: int | None = None) -> Snapshot:
    """Snapshot an array or scalar; what cannot be brought into a numpy array keeps its shape and dtype only.

    A copy of the values is kept of arrays of up to `most` numbers, `MOST_VALUES` unless given.
    """
    shape = tuple(int(n) for n in np.shape(data))
    try:
        # An array on another device refuses the implicit copy, and CuPy names the explicit one `get`.
        array = np.asarray(data.get() if hasattr(data, "get") else data)
    except Exception:
        return Snapshot(shape, str(getattr(data, "dtype", type(data).__name__)))
    dtype = str(array.dtype)
    if array.dtype.kind not in "biufc" or array.size == 0:
        return Snapshot(shape, dtype)
    small = array.size <= (MOST_VALUES if most is None else most) and (array.shape or (1,))[-1] <= LONGEST_ROW
    with np.errstate(all="ignore"):
        infs = int(np.isinf(array).sum())
        nans = int(np.isnan(array).sum())
        finite = array[np.isfinite(array)] if infs or nans else array
        ordered = array.dtype.kind != "c" and finite.size > 0
        return Snapshot(
            shape,
            dtype,
            values=array.copy() if small else None,
            low=finite.min().item() if ordered else None,
            high=finite.max().item() if ordered else None,
            rms=_rms(finite),
            nans=nans,
            infs=infs,
        )


def lines(snapshot: Snapshot) -> list[str]:
    """Return the values as lines of text: in full, one row of the array a line, or as their range."""
    if snapshot.size == 0:
        return ["empty"]
    if snapshot.values is not None:
        return _rows(snapshot.values)
    parts = []
    if snapshot.low is not None:
        same = snapshot.low == snapshot.high
        span = f"{number(snapshot.low)} … {number(snapshot.high)}"
        parts.append(f"all {number(snapshot.low)}" if same else span)
    elif snapshot.rms is not None:
        parts.append(f"rms {number(snapshot.rms)}")
    parts += [f"{count} {word}" for count, word in ((snapshot.nans, "NaN"), (snapshot.infs, "Inf")) if count]
    return [", ".join(parts) or "not shown"]


def number(value: Any) -> str:
    """Write a number with three significant digits, whole numbers in full.

    Examples
    --------
    >>> [number(v) for v in (0.123456, 1234.5, 1.2e-07, -0.0, 7, float("nan"))]
    ['0.123', '1234', '1.2e-7', '0', '7', 'NaN']
    """
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, complex):
        return f"{number(value.real)}{'' if value.imag < 0 else '+'}{number(value.imag)}j"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    if isinstance(value, int) and abs(value) < 10**12:
        return str(value)
    text = f"{value:.3g}" if abs(value) < 999.5 or abs(value) >= 1e6 else f"{value:.0f}"
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else ("0" if text == "-0" else text)


def _rows(array: Any) -> list[str]:
    """Write each row of an array, its columns aligned on the right."""
    table = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
    cells = [[number(value) for value in row] for row in table.tolist()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.rjust(n) for cell, n in zip(row, widths, strict=True)) for row in cells]


def _rms(finite: Any) -> float | None:
    """Root mean square; divided by the largest magnitude first, so that no square overflows."""
    if finite.size == 0:
        return None
    wide = np.abs(finite).astype(np.float64)
    largest = float(wide.max())
    if largest == 0 or not math.isfinite(largest):
        return largest
    return largest * float(np.sqrt(np.mean((wide / largest) ** 2)))
