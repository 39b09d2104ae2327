"""Why operands do not go into a product, or a matrix into a function of it: said with all shapes, and what to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def products(name: str, first: int, second: int) -> Callable[[Any, Any], Exception]:
    """Return what says why two shapes do not fit a product that sums over these axes, counted from the end.

    Of an operand with fewer axes than that, a vector, it sums over the only one.
    """
    return lambda a, b: unfit(name, np.shape(a), np.shape(b), first, second)


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


def squares(name: str, cure: str = "") -> Callable[..., Exception | None]:
    """Return what says that the matrices in the first operand are not square, and what to write instead."""

    def explain(*operands: Any, **options: Any) -> Exception | None:
        shapes = [np.shape(x) for x in operands]
        shape, said = shapes[0], f"{name} of shape{'s' * (len(shapes) > 1)} {' and '.join(map(str, shapes))}: "
        if len(shape) < 2:
            return np.linalg.LinAlgError(f"{said}it takes matrices, in the last two axes{_as_matrix(shape)}")
        if shape[-1] == shape[-2]:
            return None if len(shapes) == 1 else _unequal(said, shapes[0], shapes[1])
        lengths = f"the last two axes have the lengths {shape[-2]} and {shape[-1]}"
        return np.linalg.LinAlgError(f"{said}it takes square matrices, and {lengths}{cure and '; ' + cure}")

    return explain


def matrices(name: str) -> Callable[..., Exception | None]:
    """Return what says that an operand has too few axes to hold matrices."""

    def explain(a: Any, **options: Any) -> Exception | None:
        shape = np.shape(a)
        if len(shape) > 1:
            return None
        said = f"{name} of shape {shape}: it takes matrices, in the last two axes"
        return np.linalg.LinAlgError(said + _as_matrix(shape))

    return explain


def _as_matrix(shape: tuple[int, ...]) -> str:
    return "; write `x[:, None]` for a column, `x[None]` for a row" if shape else ""


def _unequal(said: str, a: tuple[int, ...], b: tuple[int, ...]) -> Exception | None:
    rows = 0 if len(b) == 1 else len(b) - 2
    if not b or b[rows] != a[-1]:
        has = f"has {b[rows]} along axis {rows}" if b else "has none"
        return ValueError(
            f"{said}there are {a[-1]} unknowns, and the right-hand side {has}; it is one vector of shape ({a[-1]},), "
            f"or has one in each column, shape (..., {a[-1]}, k): write `b[..., None]` for a stack of vectors"
        )
    try:
        np.broadcast_shapes(a[:-2], b[:-2])
    except ValueError:
        return ValueError(f"{said}their axes in front do not broadcast; insert axes of length 1 with np.expand_dims")
    return None
