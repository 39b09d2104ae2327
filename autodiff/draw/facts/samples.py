"""Numbers of arrays for a closer look than a card allows: all of a small one, an even sample of a large one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.draw.facts.flow import Flow, elementwise
from autodiff.op import strip
from autodiff.tensor import Tensor

#: So many rows and columns are kept of a larger array: what a heat map of a few hundred pixels can show.
MOST = 32


@dataclass(frozen=True, slots=True)
class Sample:
    """Numbers of an array, as rows and columns: its last axis runs along the columns.

    Attributes
    ----------
    shape : tuple of int
        Of the array.
    values : numpy.ndarray
        Two axes, float64.
    rows, columns : tuple of int
        Which rows and columns of the array they are; empty where they are all.
    """

    shape: tuple[int, ...]
    values: Any
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()

    def __add__(self, other: Sample) -> Sample:
        return Sample(self.shape, self.values + other.values, self.rows, self.columns)


def sample(array: Any, most: int = MOST) -> Sample | None:
    """Return numbers of an array, of at most so many rows and columns if it is large; None where it has none.

    Examples
    --------
    >>> sample(np.eye(2)).values.tolist(), sample(np.zeros((999, 3))).rows[:3], sample("text")
    ([[1.0, 0.0], [0.0, 1.0]], (0, 32, 64), None)
    """
    try:
        held = np.asarray(array)
    except Exception:  # an array of another library that does not come over
        return None
    if held.dtype.kind not in "biuf" or not held.size:
        return None
    table = held.reshape(-1, held.shape[-1]) if held.ndim else held.reshape(1, 1)
    if table.size <= most * most:
        return Sample(held.shape, table.astype(np.float64))
    rows, columns = (_even(n, most) for n in table.shape)
    return Sample(held.shape, table[np.ix_(rows, columns)].astype(np.float64), tuple(rows), tuple(columns))


def _even(n: int, most: int) -> list[int]:
    """Choose at most `most` of n places, the first and the last among them."""
    if n <= most:
        return list(range(n))
    return [math.floor(i * (n - 1) / (most - 1)) for i in range(most)]


@dataclass(slots=True)
class Samples:
    """The numbers behind the cards and boxes of a picture.

    Attributes
    ----------
    values, grads : dict of str to Sample
        By the id of a card.
    incoming : dict of str to Sample
        The gradient of the result of an op, by the op's id.
    factors, returned : dict of (str, int) to Sample
        What an op multiplies that by, element by element, and what it gives back, by id and operand.
    sources : dict of str to str
        The line of code that called an op, where it was recorded.
    most : int
        How many rows and columns are kept of a large array.
    """

    values: dict[str, Sample] = field(default_factory=dict)
    grads: dict[str, Sample] = field(default_factory=dict)
    incoming: dict[str, Sample] = field(default_factory=dict)
    factors: dict[tuple[str, int], Sample] = field(default_factory=dict)
    returned: dict[tuple[str, int], Sample] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    most: int = MOST

    def card(self, id: str, value: Any, grad: Any) -> None:
        """Keep the numbers of a card."""
        for kept, array in ((self.values, value), (self.grads, grad)):
            found = None if array is None else sample(array, self.most)
            if found is not None:
                kept[id] = found

    def op(self, id: str, made: Tensor, i: int, operands: list[int], flow: Flow | None) -> None:
        """Keep the numbers of an op's way back; `i` is its place in the reading, `operands` those that are shown."""
        if made.source is not None:
            self.sources[id] = str(made.source)
        g = flow.incoming.get(i) if flow is not None else None
        came = None if g is None else sample(g, self.most)
        if flow is None or came is None:
            return
        self.incoming[id] = came
        for place, position in enumerate(operands):
            back = flow.returned.get((i, position))
            gone = None if back is None else sample(back, self.most)
            if gone is None:
                continue
            self.returned[id, place] = gone
            x = (made.inputs or ())[position]
            single = made.size == 1 or np.shape(strip(x)) == made.shape
            factor = sample(elementwise(made, position), self.most) if single else None
            # A product of matrices has no factor for each element: with g = 1 its rule gives sums.
            if factor is not None and _agree(factor.values, came.values, gone.values):
                self.factors[id, place] = factor


def _agree(factor: Any, came: Any, gone: Any) -> bool:
    try:
        with np.errstate(all="ignore"):
            return bool(np.allclose(factor * came, gone, rtol=1e-5, atol=0, equal_nan=True))
    except ValueError:  # shapes that do not go together
        return False
