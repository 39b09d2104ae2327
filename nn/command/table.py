"""Standardise the features of a table, or name the cell that makes it impossible."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn.data import Standardizer
from nn.table import Features, Table, TableError


def standardised(standardizer: Standardizer, table: Table, features: Features, rows: NDArray[Any]) -> NDArray[Any]:
    """Return those rows of the features, standardised.

    Raises
    ------
    TableError
        A number is so far from the mean that the result would not be finite.
    """
    values = features.values[rows]
    try:
        return np.asarray(standardizer.transform(values))
    except ValueError:
        mean, scale = standardizer.mean, standardizer.scale
        with np.errstate(over="ignore"):
            distance = np.abs(values / 4 - mean / 4) / scale  # quarters, whose difference is always finite
        row, column = np.unravel_index(np.argmax(distance), distance.shape)
        raise TableError(
            f"{table.path}, line {table.lines[int(rows[row])]}, column {features.names[column]!r}: "
            f"{values[row, column]:g} is too far from the mean {mean[column]:g} of the training rows, whose spread "
            f"is {scale[column]:g}"
        ) from None
