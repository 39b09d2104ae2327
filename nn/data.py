"""Prepare data for training: mini-batches, a validation part, standardised features."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # whatever speaks numpy's protocols
Pair: TypeAlias = tuple[Array, Array]


def batches(
    X: Array, y: Array, batch_size: int, shuffle: bool = True, rng: np.random.Generator | None = None
) -> Iterator[Pair]:
    """Iterate once over the rows of `X` and `y` in pairs ``(xb, yb)`` of at most `batch_size` rows.

    Parameters
    ----------
    X, y
        Arrays of shapes (n, ...) with the same n, at least 1.
    batch_size
        Rows in a batch; the last batch holds what is left.
    shuffle
        Draw a new order of rows from `rng`. Without it the batches are views, in the order of the rows; one
        batch that holds all rows is `X` and `y` themselves.
    rng
        Required when `shuffle`, so that every random draw has a named source.

    Raises
    ------
    ValueError
        At the call, when the numbers of rows differ or are 0, `batch_size` is below 1, or `rng` is missing.
    TypeError
        When `batch_size` is not an integer or `rng` not a `numpy.random.Generator`.
    """
    X, y, rows = _matched(X, y)
    size = operator.index(batch_size)
    if size < 1:
        raise ValueError(f"batch_size is {size}, expected at least 1")
    if shuffle:
        # Drawn here and not at the first batch, so that the order depends on when batches() was called only.
        order = _generator(rng, "or shuffle=False").permutation(rows)
        return ((X[part], y[part]) for part in _slices(order, rows, size))
    if size >= rows:
        return iter([(X, y)])
    return ((X[i : i + size], y[i : i + size]) for i in range(0, rows, size))


def split(X: Array, y: Array, validation: float, rng: np.random.Generator, stratify: bool = True) -> tuple[Pair, Pair]:
    """Split rows at random into a training and a validation part: ``(X, y), (X_val, y_val) = split(...)``.

    Rows keep their order within each part.

    Parameters
    ----------
    X, y
        Arrays of shapes (n, ...) with the same n.
    validation
        Fraction of the rows that goes to the validation part, between 0 and 1; both parts get one at least.
    rng
        Source of the random choice.
    stratify
        Give each class (each distinct row of `y`) the same fraction, within one row, and at least one row in
        each part.

    Raises
    ------
    ValueError
        When the numbers of rows differ, `validation` is not between 0 and 1, there are fewer than two rows,
        or a class to stratify by has one row only.
    """
    X, y, rows = _matched(X, y)
    rng = _generator(rng)
    if not 0 < validation < 1:
        raise ValueError(f"validation is {validation}, expected a fraction of the rows between 0 and 1, such as 0.2")
    if rows < 2:
        raise ValueError(f"X has shape {np.shape(X)}, expected at least 2 rows to split")
    labels = np.reshape(y, (rows, -1)) if stratify else np.zeros((rows, 1))
    classes, inverse = np.unique(labels, axis=0, return_inverse=True)
    sizes = np.bincount(inverse.reshape(-1), minlength=len(classes))
    if sizes.min() < 2:
        alone = classes[sizes.argmin()]
        raise ValueError(
            f"class {alone[0] if alone.size == 1 else alone} in y has one row only, expected at least 2, one "
            f"for each side ({len(classes)} classes, {rows} rows): merge rare classes, or pass stratify=False"
        )
    # Sorted by class and by chance within a class, the first so many of each class are the validation rows.
    order = np.lexsort((rng.random(rows), inverse.reshape(-1)))
    rank = np.arange(rows) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = np.zeros(rows, bool)
    chosen[order] = rank < np.repeat(_shares(sizes, validation), sizes)
    return (X[~chosen], y[~chosen]), (X[chosen], y[chosen])


class Standardizer:
    """Shift and scale each feature to mean 0 and standard deviation 1: ``(X - mean) / scale``.

    Attributes
    ----------
    mean, scale
        float64 arrays of shape (features,), None before `fit`. `scale` is the standard deviation (ddof=0) of
        the rows that were fitted, and 1 for a constant feature.

    Examples
    --------
    >>> standardizer = Standardizer().fit(np.array([[1.0, 7.0], [3.0, 7.0]]))
    >>> standardizer.transform(np.array([[5.0, 7.0]]))
    array([[3., 0.]])
    """

    mean: Array = None
    scale: Array = None

    def fit(self, X: Array) -> Standardizer:
        """Take mean and scale from `X`, of shape (n, features) with n at least 1 and finite numbers only."""
        X = _finite(X)
        if len(X) == 0:
            raise ValueError(f"X has shape {X.shape}, expected at least one row")
        # In units of each feature's own magnitude and range, nothing here can overflow, underflow or cancel.
        unit = _power_of_two(np.abs(X).max(axis=0))
        scaled = X / unit
        low = scaled.min(axis=0)
        span = scaled.max(axis=0) - low
        constant = span == 0
        within = (scaled - low) / np.where(constant, 1.0, span)
        scale = within.std(axis=0) * span * unit
        self.mean = (low + within.mean(axis=0) * span) * unit
        self.scale = np.where(scale == 0, 1.0, scale)
        return self

    def transform(self, X: Array) -> Array:
        """Standardise `X`, of shape (n, features); a floating dtype is kept, others become float64.

        Raises
        ------
        ValueError
            When the shape does not fit, or a number is not finite or too large to be standardised.
        RuntimeError
            Before `fit` or `load_state_dict`.
        """
        self._require_fitted()
        given = np.asarray(X).dtype
        dtype = given if given.kind == "f" else np.dtype(np.float64)
        X = _finite(X)
        if X.shape[1] != len(self.mean):
            raise ValueError(
                f"X has shape {X.shape}, expected (n, {len(self.mean)}): the Standardizer was fitted to "
                f"{len(self.mean)} features"
            )
        # A power of two takes the magnitude out without rounding, so that X - mean cannot overflow.
        unit = _power_of_two(np.maximum(np.abs(self.mean), self.scale))
        with np.errstate(over="ignore"):
            result = ((X / unit - self.mean / unit) / (self.scale / unit)).astype(dtype)
        if not np.isfinite(result).all():
            row, feature = np.argwhere(~np.isfinite(result))[0]
            raise ValueError(
                f"X[{row}, {feature}] is {X[row, feature]}, too far from the mean {self.mean[feature]} for "
                f"{dtype}, in units of the scale {self.scale[feature]}"
            )
        return result

    def state_dict(self) -> dict[str, Array]:
        """Copies of mean and scale, for `nn.save`."""
        self._require_fitted()
        return {"mean": self.mean.copy(), "scale": self.scale.copy()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take mean and scale from `state`; one that is refused, with a ValueError, changes nothing."""
        if state.keys() != {"mean", "scale"}:
            raise ValueError(f"the state has the keys {sorted(state)}, expected ['mean', 'scale']")
        mean, scale = np.array(state["mean"], np.float64), np.array(state["scale"], np.float64)
        if mean.ndim != 1 or mean.shape != scale.shape:
            raise ValueError(f"mean has shape {mean.shape} and scale {scale.shape}, expected (features,) for both")
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError(f"mean is {mean} and scale {scale}, expected finite means and positive scales")
        self.mean, self.scale = mean, scale

    def _require_fitted(self) -> None:
        if self.mean is None:
            raise RuntimeError("this Standardizer knows no mean and scale yet: call fit(X) first")


def _matched(X: Array, y: Array) -> tuple[Array, Array, int]:
    X, y = (a if hasattr(a, "shape") else np.asarray(a) for a in (X, y))
    if not X.shape or not y.shape or X.shape[0] != y.shape[0]:
        raise ValueError(
            f"X has shape {tuple(X.shape)} and y {tuple(y.shape)}, expected the same number of rows in both"
        )
    if X.shape[0] == 0:
        raise ValueError(f"X has shape {tuple(X.shape)}, expected at least one row")
    return X, y, X.shape[0]


def _generator(rng: np.random.Generator | None, otherwise: str = "") -> np.random.Generator:
    cure = f"pass rng=numpy.random.default_rng(seed) {otherwise}".rstrip()
    if rng is None:
        raise ValueError(f"rng is missing, needed for the random order: {cure}")
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is {rng!r}, expected a numpy.random.Generator: {cure}")
    return rng


def _slices(order: Array, rows: int, size: int) -> Iterator[Array]:
    return (order[i : i + size] for i in range(0, rows, size))


def _shares(sizes: Array, fraction: float) -> Array:
    """How many of each class go to validation: by largest remainder, between 1 and size - 1."""
    exact = sizes * fraction
    shares = np.clip(np.floor(exact).astype(int), 1, sizes - 1)
    missing = round(float(sizes.sum()) * fraction) - int(shares.sum())
    if missing > 0:
        spare = np.where(shares < sizes - 1, exact - shares, -np.inf)
        shares[np.argsort(-spare, kind="stable")[: min(missing, int(np.isfinite(spare).sum()))]] += 1
    return shares


def _finite(X: Array) -> Array:
    """`X` as float64 in two dimensions, refused when a number is NaN or infinite."""
    X = np.asarray(X, np.float64)
    if X.ndim != 2:
        raise ValueError(f"X has shape {X.shape}, expected (n, features)")
    if not np.isfinite(X).all():
        row, feature = np.argwhere(~np.isfinite(X))[0]
        raise ValueError(f"X[{row}, {feature}] is {X[row, feature]}, expected finite numbers only")
    return X


def _power_of_two(magnitude: Array) -> Array:
    """The largest power of two not above each magnitude, 1 for 0."""
    return np.where(magnitude == 0, 1.0, np.ldexp(1.0, np.frexp(magnitude)[1] - 1))
