"""Fewer samples: of large data a part is as good, as a wrong gradient is wrong for a few hundred rows too."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

#: Data with more samples and more elements are cut, to the first of `FEW` or, where batches are larger, to the second.
LONG, LARGE, FEW = 1024, 200_000, (256, 4096)


def cuts(arrays: list[Any], given: set[int], few: int) -> tuple[dict[int, tuple[slice, ...]], int]:
    """Choose the axis of the samples, and what to take of each array.

    Parameters
    ----------
    arrays : list of array
        All that the call reaches; `given` are the ids of its arguments.
    few : int
        How many samples to take.

    Returns
    -------
    dict of int to tuple of slice
        What to take, by the id of the array; empty where everything is small enough or no axis is shared.
    int
        How many samples there are in all.
    """
    own = list({id(a): a for a in arrays}.values())
    lengths = Counter(n for a in own for n in set(a.shape) if n > max(LONG, few))
    for n in sorted(lengths, key=lambda n: (-lengths[n], -n)):
        mine = [a for a in own if a.shape.count(n) == 1]
        if sum(a.size for a in mine) > LARGE and (len(mine) > 1 or id(mine[0]) in given):
            return {id(a): tuple(slice(few) if m == n else slice(None) for m in a.shape) for a in mine}, n
    return {}, 0


def is_large(array: np.ndarray[Any, Any]) -> bool:
    """Whether copies of an array are to be avoided."""
    return array.nbytes > 16_000_000
