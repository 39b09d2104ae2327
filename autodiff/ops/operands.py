"""What composite functions are given: lists, scalars and arrays, all made into something that has a shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import as_operand, strip


def as_array(x: Any) -> Any:
    """Return Tensors and arrays as they are, anything else as ``np.asarray`` would; Tensors in a list are stacked."""
    x = as_operand(x)
    return x if hasattr(x, "__array_function__") else np.asarray(x)


def as_arrays(*xs: Any) -> tuple[Any, ...]:
    """Return `as_array` of each."""
    return tuple(as_array(x) for x in xs)


def as_floats(x: Any) -> Any:
    """Return `as_array`, with whole numbers and truth values made floating-point."""
    x = as_array(x)
    return x.astype(np.float64) if x.dtype.kind in "biu" else x


def places(x: Any) -> Any:
    """Return the position of every element of `x` in one row, in an array of its shape and of its array type."""
    return np.arange(x.size, like=strip(x)).reshape(x.shape)


def eye(n: int, like: Any) -> Any:
    """Return truth values that hold on the diagonal of an n × n matrix, of the array type of `like`."""
    # Not np.eye: numpy hands arguments of its own on with it, which CuPy's and Dask's do not take.
    i = np.arange(n, like=strip(like))
    return i[:, None] == i


def mT(x: Any) -> Any:
    """Return `x` with its last two axes swapped."""
    return np.swapaxes(x, -1, -2)
