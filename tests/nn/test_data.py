"""Batches, the validation split and standardisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nn.data import Standardizer, batches, split
from nn.io import load, save


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(deadline=None)
@given(rows=st.integers(1, 30), size=st.integers(1, 40), shuffle=st.booleans(), seed=st.integers(0, 9))
def test_batches_give_each_row_once_with_its_target(rows: int, size: int, shuffle: bool, seed: int) -> None:
    X = np.arange(rows * 2.0).reshape(rows, 2)
    y = np.arange(rows)
    found = list(batches(X, y, size, shuffle, rng(seed)))
    assert [len(xb) for xb, _ in found] == [min(size, rows - i) for i in range(0, rows, size)]
    assert all((xb[:, 0] == 2 * yb).all() for xb, yb in found)
    order = np.concatenate([yb for _, yb in found])
    np.testing.assert_array_equal(np.sort(order), y)
    if not shuffle:
        np.testing.assert_array_equal(order, y)


def test_each_epoch_has_its_own_order_and_a_seed_repeats_it() -> None:
    y = np.arange(20)

    def epochs() -> list[list[int]]:
        source = rng(3)
        return [[int(i) for _, yb in batches(y, y, 7, rng=source) for i in yb] for _ in range(3)]

    first, second, third = epochs()
    assert first != second != third
    assert [first, second, third] == epochs()


def test_the_order_is_drawn_at_the_call() -> None:
    source = rng(1)
    lazy = batches(np.arange(5), np.arange(5), 2, rng=source)
    after = source.random()
    list(lazy)
    source = rng(1)
    source.permutation(5)
    assert source.random() == after


def test_one_unshuffled_batch_is_the_arrays_themselves_and_more_are_views() -> None:
    X, y = np.zeros((4, 2)), np.zeros(4)
    ((xb, yb),) = batches(X, y, 4, shuffle=False)
    assert xb is X
    assert yb is y
    assert all(np.shares_memory(xb, X) for xb, _ in batches(X, y, 3, shuffle=False))


def test_lists_are_taken_as_arrays() -> None:
    ((xb, yb),) = batches([[1, 2], [3, 4]], [0, 1], 5, shuffle=False)
    assert xb.shape == (2, 2)
    assert yb.shape == (2,)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((np.zeros((3, 2)), np.zeros(4), 2), ValueError, r"X has shape \(3, 2\) and y \(4,\)"),
        ((np.zeros(()), np.zeros(()), 2), ValueError, r"X has shape \(\) and y \(\)"),
        ((np.zeros((0, 2)), np.zeros(0), 2), ValueError, r"\(0, 2\), expected at least one row"),
        ((np.zeros(3), np.zeros(3), 0), ValueError, "batch_size is 0, expected at least 1"),
        ((np.zeros(3), np.zeros(3), 1.5), TypeError, "integer"),
        ((np.zeros(3), np.zeros(3), 2), ValueError, r"default_rng\(seed\) or shuffle=False"),
        ((np.zeros(3), np.zeros(3), 2, True, 42), TypeError, r"rng is 42, expected a numpy.random.Generator"),
    ],
)
def test_batches_complains_at_the_call(arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        batches(*arguments)


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(2, 40), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_a_split_keeps_each_class_in_proportion(counts: list[int], fraction: float, seed: int) -> None:
    y = rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    X = np.arange(len(y))
    (X_train, y_train), (X_val, y_val) = split(X, y, fraction, rng(seed))
    np.testing.assert_array_equal(np.sort(np.concatenate([X_train, X_val])), X)
    np.testing.assert_array_equal(y[X_train], y_train)
    np.testing.assert_array_equal(y[X_val], y_val)
    assert (np.diff(X_train) > 0).all()
    assert (np.diff(X_val) > 0).all()
    for label, count in enumerate(counts):
        share = int((y_val == label).sum())
        assert 1 <= share <= count - 1
        assert abs(share - count * fraction) < 1 or share in (1, count - 1)
    if all(1 <= count * fraction <= count - 1 for count in counts):
        assert abs(len(y_val) - len(y) * fraction) <= 0.5 + 1e-9


def test_a_split_is_random_and_a_seed_repeats_it() -> None:
    X, y = np.arange(100), np.arange(100) % 2
    chosen = [split(X, y, 0.2, rng(seed))[1][0].tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    often = np.bincount(np.concatenate([split(X, y, 0.2, rng(seed))[1][0] for seed in range(400)]))
    assert often.min() > 40  # 80 expected for every row, standard deviation 8
    assert often.max() < 120


@pytest.mark.parametrize(
    "y",
    [
        np.repeat(["benign", "malignant"], [30, 10]),
        np.repeat([0.0, 1.0], [30, 10])[:, None],
        np.eye(2)[np.repeat([0, 1], [30, 10])],
    ],
    ids=["text", "column", "one-hot"],
)
def test_targets_of_any_form_are_stratified(y: Any) -> None:
    (_, y_train), (_, y_val) = split(np.arange(40), y, 0.2, rng())
    assert y_train.shape == (32, *y.shape[1:])
    assert sorted(np.unique(y_val, axis=0, return_counts=True)[1].tolist()) == [2, 6]


def test_a_split_without_strata_takes_rows_whatever_their_class() -> None:
    (X_train, _), (X_val, _) = split(np.arange(10), np.arange(10.0), 0.3, rng(), stratify=False)
    assert (len(X_train), len(X_val)) == (7, 3)
    (X_train, _), (X_val, _) = split(np.arange(2), np.arange(2.0), 0.01, rng(), stratify=False)
    assert (len(X_train), len(X_val)) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((np.zeros((3, 2)), np.zeros(4), 0.2, rng()), ValueError, r"\(3, 2\) and y \(4,\)"),
        ((np.zeros(3), np.zeros(3), 20, rng()), ValueError, "validation is 20, expected a fraction"),
        ((np.zeros(3), np.zeros(3), 0.0, rng()), ValueError, "validation is 0.0"),
        ((np.zeros(3), np.zeros(3), float("nan"), rng()), ValueError, "validation is nan"),
        ((np.zeros(1), np.zeros(1), 0.5, rng()), ValueError, "expected at least 2 rows"),
        ((np.zeros(3), np.array([0, 0, 7]), 0.5, rng()), ValueError, "class 7 in y has one row only"),
        ((np.zeros(3), np.array([0.1, 0.2, 0.3]), 0.5, rng()), ValueError, "pass stratify=False"),
        ((np.zeros(3), np.zeros(3), 0.5, 1), TypeError, "expected a numpy.random.Generator"),
        ((np.zeros(3), np.zeros(3), 0.5, None), ValueError, "rng is missing"),
    ],
)
def test_split_says_what_is_wrong(arguments: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        split(*arguments)


def test_standardised_features_have_mean_0_and_deviation_1() -> None:
    X = rng().normal([1.0, -50.0, 1e6], [1e-3, 5.0, 1e3], (500, 3))
    standardizer = Standardizer().fit(X)
    np.testing.assert_allclose(standardizer.mean, X.mean(0), rtol=1e-12)
    np.testing.assert_allclose(standardizer.scale, X.std(0), rtol=1e-10)
    Z = standardizer.transform(X)
    np.testing.assert_allclose(Z, (X - X.mean(0)) / X.std(0), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(Z.std(0), 1, rtol=1e-10)


finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(max_examples=300, deadline=None)
@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=finite))
def test_any_finite_numbers_are_standardised_without_a_warning(X: Any) -> None:
    standardizer = Standardizer().fit(X)
    assert np.isfinite(standardizer.mean).all()
    assert np.isfinite(standardizer.scale).all()
    assert (standardizer.scale > 0).all()
    Z = standardizer.transform(X)
    assert np.isfinite(Z).all()
    assert (np.abs(Z) <= np.sqrt(len(X)) * 1.01 + 2).all()  # no sample lies further out than √n deviations


@pytest.mark.parametrize("size", [1e-320, 1e-300, 1e-150, 1.0, 1e150, 1e300, 8e307])
def test_the_magnitude_does_not_matter(size: float) -> None:
    X = np.array([[1.0, -1.0], [2.0, 1.0], [0.0, 0.0]]) * size
    X[:, 1] *= 2
    np.testing.assert_allclose(
        Standardizer().fit(X).transform(X), np.sqrt(1.5) * np.array([[0, -1], [1, 1], [-1, 0]]), atol=1e-3
    )


def test_the_distance_from_the_mean_may_be_beyond_the_largest_float() -> None:
    X = np.array([[1.0], [-1.0], [-1.0], [-1.0], [-1.0]]) * 1.7e308
    np.testing.assert_allclose(Standardizer().fit(X).transform(X)[:, 0], [2, -0.5, -0.5, -0.5, -0.5])


@pytest.mark.parametrize("value", [0.0, 0.1, -7.0, 1e300, 5e-324])
def test_a_constant_feature_becomes_zero(value: float) -> None:
    X = np.full((7, 1), value)  # a mean taken as sum / n is off in the last digit for 0.1
    standardizer = Standardizer().fit(X)
    assert standardizer.mean.item() == value
    assert standardizer.scale.item() == 1
    assert (standardizer.transform(X) == 0).all()
    assert standardizer.transform(np.array([[2.0]])).item() == 2 - value


@pytest.mark.parametrize(
    ("given", "kept"),
    [(np.float32, np.float32), (np.float16, np.float16), (int, np.float64), (bool, np.float64)],
)
def test_a_floating_dtype_is_kept(given: Any, kept: Any) -> None:
    X = np.array([[0, 1], [1, 0]], given)
    assert Standardizer().fit(X).transform(X).dtype == kept


def test_the_state_goes_through_a_file(tmp_path: Path) -> None:
    X = rng().normal(size=(9, 3))
    standardizer = Standardizer().fit(X)
    save(standardizer.state_dict(), tmp_path / "s.npz")
    other = Standardizer()
    other.load_state_dict(load(tmp_path / "s.npz"))
    np.testing.assert_array_equal(other.transform(X), standardizer.transform(X))
    standardizer.state_dict()["mean"][:] = 0
    assert standardizer.mean.any()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"mean": [0.0]}, r"keys \['mean'\], expected \['mean', 'scale'\]"),
        ({"mean": [0.0], "scale": [1.0, 1.0]}, r"mean has shape \(1,\) and scale \(2,\)"),
        ({"mean": 0.0, "scale": 1.0}, r"expected \(features,\)"),
        ({"mean": [0.0], "scale": [0.0]}, "positive scales"),
        ({"mean": [np.nan], "scale": [1.0]}, "finite means"),
    ],
)
def test_a_refused_state_changes_nothing(state: Any, words: str) -> None:
    standardizer = Standardizer().fit(np.array([[1.0], [3.0]]))
    with pytest.raises(ValueError, match=words):
        standardizer.load_state_dict(state)
    assert (standardizer.mean.item(), standardizer.scale.item()) == (2, 1)


def test_the_standardizer_says_what_is_wrong() -> None:
    fitted = Standardizer().fit(np.array([[1.0, 5.0], [1.0 + 1e-15, 7.0]]))
    for call in (lambda: Standardizer().transform(np.eye(2)), lambda: Standardizer().state_dict()):
        with pytest.raises(RuntimeError, match=r"call fit\(X\) first"):
            call()
    with pytest.raises(ValueError, match=r"X has shape \(2,\), expected \(n, features\)"):
        Standardizer().fit(np.zeros(2))
    with pytest.raises(ValueError, match=r"\(0, 2\), expected at least one row"):
        Standardizer().fit(np.zeros((0, 2)))
    with pytest.raises(ValueError, match=r"X\[1, 0\] is nan"):
        Standardizer().fit(np.array([[1.0], [np.nan]]))
    with pytest.raises(ValueError, match=r"X has shape \(1, 3\), expected \(n, 2\)"):
        fitted.transform(np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"X\[0, 1\] is inf"):
        fitted.transform(np.array([[0.0, np.inf]]))
    with pytest.raises(ValueError, match=r"X\[0, 0\] is 1e\+300, too far from the mean"):
        fitted.transform(np.array([[1e300, 0.0]]))
    assert fitted.transform(np.zeros((0, 2))).shape == (0, 2)
