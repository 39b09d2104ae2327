"""Elements counted, by number or by interval. The sums of their weights have a derivative, and so have even edges."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import as_operand, implements, strip
from autodiff.ops.indexing.index import scatter
from autodiff.ops.operands import as_array
from autodiff.tensor import Tensor


@implements(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """Count each number, as ``np.bincount``; with `weights` a Tensor, their differentiable sums."""
    x, weights = strip(x), as_operand(weights)
    if not isinstance(weights, Tensor):
        return np.bincount(x, weights, minlength)
    length = np.bincount(x, strip(weights), minlength).size  # raises where numpy does
    return scatter(weights.astype(np.float64), index=np.array(x, dtype=np.intp), shape=(length,))


@implements(np.histogram)
def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """Count elements in bins, as ``np.histogram``.

    Counts are plain arrays; with `weights` a Tensor they are their differentiable sums, and with `density` they are
    divided by the widths of the bins. These, and the edges, move with the data where numpy spreads them over it.
    """
    edges, weights = np.histogram_bin_edges(a, bins, range, weights), as_operand(weights)
    plain, places = np.asarray(strip(a)), strip(edges)
    sums: Any = np.histogram(plain, strip(bins), strip(range), weights=strip(weights))[0]
    if isinstance(weights, Tensor):
        inside = (plain >= places[0]) & (plain <= places[-1])
        index = np.minimum(np.searchsorted(places, plain[inside], side="right"), sums.size) - 1
        sums = scatter(weights[inside], index=index, shape=sums.shape)
    return (sums / np.diff(edges) / sums.sum() if density else sums), edges


@implements(np.histogram_bin_edges)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """Edges of bins, as ``np.histogram_bin_edges``, with derivatives by the ends between which they are spread."""
    edges = np.histogram_bin_edges(strip(a), strip(bins), strip(range), strip(weights))  # also says how many
    if np.ndim(strip(bins)):
        return as_array(bins)
    a = as_array(a)
    low, high = range if range is not None else (np.min(a), np.max(a)) if a.size else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, edges.size, dtype=edges.dtype)
