"""Why two operands do not go into one product: said with both shapes, the lengths that differ, and what to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Product = Callable[[Any, Any], Any]


def explaining(product: Product, first: int, second: int) -> Product:
    """Return `product`, with errors that say why the shapes do not fit. It sums over these axes, counted from the end.

    Of an operand with fewer axes than that, a vector, it sums over the only one.
    """
    name = product.__name__

    def explained(a: Any, b: Any) -> Any:
        try:
            return product(a, b)
        except ValueError as error:
            raise unfit(name, np.shape(a), np.shape(b), first, second) from error

    explained.__name__ = name
    return explained


def unfit(name: str, a: tuple[int, ...], b: tuple[int, ...], first: int, second: int) -> ValueError:
    """Return the error for operands of shapes `a` and `b` that are summed over the axes `first` and `second`."""
    said = f"{name} of shapes {a} and {b}: "
    if not a or not b:
        return ValueError(f"{said}it takes no single numbers; write `a * b`")
    i, j = max(first, -len(a)), max(second, -len(b))
    if a[i] == b[j]:
        cure = "insert axes of length 1 with np.expand_dims where the others are to be repeated"
        return ValueError(f"{said}their axes in front, over which it repeats itself, do not broadcast; {cure}")
    cure = "transpose or reshape one of them"
    if len(b) > 1 and a[i] == b[-3 - j]:  # the other one of its last two axes
        cure = "transpose the second, `np.swapaxes(b, -1, -2)`"
    elif len(a) > 1 and a[-3 - i] == b[j]:
        cure = "transpose the first, `np.swapaxes(a, -1, -2)`"
    where = f"axis {len(a) + i} of the first has length {a[i]}, axis {len(b) + j} of the second {b[j]}"
    return ValueError(f"{said}{where}, and the sum over both needs them equal; {cure}")
