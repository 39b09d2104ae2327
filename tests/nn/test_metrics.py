"""Metrics against scikit-learn, and against their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn.metrics import accuracy, majority_baseline, roc_auc

samples = st.lists(
    st.tuples(st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(-1e6, 1e6)), st.booleans()),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(samples)
def test_metrics_agree_with_scikit_learn(pairs: list[tuple[float, bool]]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn, the oracle, is not installed")
    score, target = np.array([s for s, _ in pairs]), np.array([float(t) for _, t in pairs])
    assert accuracy(score, target) == pytest.approx(sklearn.accuracy_score(target, score >= 0.5))
    if 0 < target.mean() < 1:
        assert roc_auc(score, target) == pytest.approx(sklearn.roc_auc_score(target, score), abs=1e-12)
    assert majority_baseline(target) == pytest.approx(np.bincount(target.astype(int)).max() / len(target))


@settings(deadline=None)
@given(samples.filter(lambda pairs: len({t for _, t in pairs}) == 2))
def test_roc_auc_is_the_share_of_pairs_in_order(pairs: list[tuple[float, bool]]) -> None:
    ones, zeros = ([s for s, t in pairs if t is side] for side in (True, False))
    won = sum((a > b) + 0.5 * (a == b) for a in ones for b in zeros)
    score, target = np.array([s for s, _ in pairs]), [t for _, t in pairs]
    assert roc_auc(score, target) == pytest.approx(won / (len(ones) * len(zeros)), abs=1e-12)
    assert roc_auc(-score, target) == pytest.approx(1 - roc_auc(score, target), abs=1e-12)


def test_known_values() -> None:
    assert accuracy([0.2, 0.5, 0.9, 0.4], [0, 1, 0, 1]) == 0.5
    assert accuracy([0.2, 0.9], [1, 1], threshold=0.1) == 1
    assert roc_auc([-np.inf, np.inf], [0, 1]) == 1
    assert roc_auc([0.5, 0.5, 0.5], [0, 1, 1]) == 0.5
    assert majority_baseline([0, 1, 1, 1]) == 0.75


def test_columns_are_compared_sample_by_sample() -> None:
    p, t = np.array([[0.1], [0.8], [0.3]]), np.array([[0], [1], [1]])
    assert accuracy(p, t) == pytest.approx(2 / 3)
    assert roc_auc(p, t) == 1


def test_a_million_samples_are_ranked_exactly() -> None:
    score = np.random.default_rng(0).permutation(10**6)
    assert roc_auc(score, score >= 5 * 10**5) == 1


@pytest.mark.parametrize(
    ("score", "target", "words"),
    [
        (np.zeros(3), np.zeros((3, 1)), r"shape \(3,\) and target \(3, 1\), expected the same"),
        (np.zeros(0), np.zeros(0), "expected at least one sample"),
        ([0.1, np.nan], [0, 1], "is NaN in 1 of 2 samples"),
        ([0.1, 0.2], [0, np.nan], "target holds .*nan.*, expected only 0 and 1"),
        ([0.1, 0.2], [0, 2], "target holds .*2.*, expected only 0 and 1"),
        ([0.1, 0.2], [-1, 1], "target holds .*-1.*, expected only 0 and 1"),
    ],
)
@pytest.mark.parametrize("metric", [accuracy, roc_auc])
def test_what_cannot_be_measured_is_refused(metric: Any, score: Any, target: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        metric(score, target)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_no_roc_curve(label: int) -> None:
    with pytest.raises(ValueError, match=f"target is {label} in all 2 samples, expected both classes"):
        roc_auc([0.1, 0.2], [label, label])
    assert majority_baseline([label, label]) == 1
