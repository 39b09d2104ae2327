"""Numbers spread between two ends, and histograms, whose edges are such numbers: numpy's values, right derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiff import Tensor
from tests.autodiff.alike import alike, differentiates

A, B, BASE = np.array(0.3), np.array(2.2), np.array([2.5, 3.0])
LOW, HIGH = np.array([0.4, 1.1]), np.array([[2.0], [0.7], [3.1]])
DATA = np.array([0.31, -1.2, 0.9, 2.4, 0.35, -0.1, 1.7])

RANGES: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "linspace": (lambda a, b: np.linspace(a, b, 5), (A, B)),
    "of an end": (lambda b: np.linspace(1, b, num=4, endpoint=False), (B,)),
    "of arrays": (lambda a, b: np.linspace(a, b, 4, axis=1), (LOW, HIGH)),
    "of a list": (lambda a: np.linspace([0.5, 1.0], a, 3, axis=-1), (A,)),
    "with step": (lambda a, b: np.linspace(a, b, 3, retstep=True), (A, B)),
    "none": (lambda a, b: np.linspace(a, b, 0), (A, B)),
    "one": (lambda a, b: np.linspace(a, b, 1), (A, B)),
    "one, no end": (lambda a, b: np.linspace(a, b, 1, endpoint=False, retstep=True), (A, B)),
    "backwards": (lambda a, b: np.linspace(b, a, 6, dtype=float), (A, B)),
    "logspace": (lambda a, b: np.logspace(a, b, 5), (A, B)),
    "logspace, base": (lambda a, c: np.logspace(a, 1.0, 4, False, base=c), (A, B)),
    "logspace, bases": (lambda a, b, c: np.logspace(a, b, 3, base=c, axis=-1), (A, B, BASE)),
    "geomspace": (lambda a, b: np.geomspace(a, b, 5), (A, B)),
    "geomspace, no end": (lambda a, b: np.geomspace(a, b, 4, endpoint=False), (A, B)),
    "geomspace, negative": (lambda a, b: np.geomspace(-a, -b, num=3), (A, B)),
    "geomspace, arrays": (lambda a, b: np.geomspace(a, b, 4, axis=-1), (LOW, HIGH)),
    "geomspace, few": (lambda a, b: (np.geomspace(a, b, 1), np.geomspace(a, b, 0), np.geomspace(a, b, 2)), (A, B)),
}


@pytest.mark.parametrize("name", RANGES)
def test_ranges(name: str) -> None:
    call, arrays = RANGES[name]
    differentiates(call, *arrays)
    alike(call, *(x.astype(np.float32) for x in arrays), rtol=1e-6)


@given(n=st.integers(0, 9), endpoint=st.booleans(), shape=st.sampled_from([(), (2,), (3, 1)]), axis=st.integers(-1, 0))
def test_the_two_derivatives_of_linspace_share_each_number(n: int, endpoint: bool, shape: Any, axis: int) -> None:
    """Moved together, both ends move all numbers with them; the first number moves with `start` alone."""
    start, stop = (Tensor(np.full(shape, value), requires_grad=True) for value in (0.5, 2.0))
    y = np.linspace(start, stop, n, endpoint=endpoint, axis=axis)
    y.sum().backward()
    np.testing.assert_allclose(start.grad + stop.grad, n, rtol=1e-12)
    np.testing.assert_allclose(stop.grad, n / 2 if endpoint and n > 1 else (n - 1) / 2 if n else 0, rtol=1e-12)


def test_whole_numbers_are_facts() -> None:
    got = np.linspace(Tensor(0.0, requires_grad=True), 10, 4, dtype=int)
    assert type(got) is np.ndarray
    np.testing.assert_array_equal(got, [0, 3, 6, 10])


def test_a_geometric_progression_has_no_zero() -> None:
    with pytest.raises(ValueError, match="geomspace takes two ends other than 0"):
        np.geomspace(Tensor(0.0, requires_grad=True), 1.0)


HISTOGRAMS: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "edges": (lambda x: np.histogram(x, 4)[1], (DATA,)),
    "counts": (lambda x: np.histogram(x, 4), (DATA,)),
    "density": (lambda x: np.histogram(x, 3, density=True), (DATA,)),
    "density of weights": (lambda x, w: np.histogram(x, 3, weights=w, density=True), (DATA, DATA**2 + 1)),
    "range": (lambda x, a: np.histogram(x, 3, range=(a, 2.0), density=True), (DATA, A)),
    "range of data": (lambda x: np.histogram(x, 3, (x.min() - 1, x.max() + x[0])), (DATA,)),
    "own edges": (lambda x, e: np.histogram(x, e, density=True), (DATA, np.array([-2.0, 0.0, 0.5, 3.0]))),
    "estimated": (lambda x: np.histogram(x, "auto"), (DATA,)),
    "one value": (lambda x: np.histogram(x, 3), (DATA[:1],)),
    "edges alone": (lambda x: np.histogram_bin_edges(x, 5), (DATA,)),
    "edges, estimated": (lambda x: np.histogram_bin_edges(x, "fd"), (DATA,)),
    "whole numbers weighed": (lambda w: np.histogram([1, 2, 2, 5, 1, 1, 4], 3, weights=w), (DATA,)),
}


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_histograms_move_with_their_edges(name: str) -> None:
    call, arrays = HISTOGRAMS[name]
    differentiates(call, *arrays)


def test_a_histogram_of_nothing() -> None:
    alike(lambda x: np.histogram(x, 3), np.zeros(0))


def test_the_largest_element_lies_in_the_last_bin() -> None:
    """The edges are exactly numpy's, so that a search among them finds what numpy counted."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        x = rng.standard_normal(7) * 10.0 ** rng.integers(-8, 8)
        counts, edges = np.histogram(Tensor(x, requires_grad=True), int(rng.integers(1, 9)))
        np.testing.assert_array_equal(edges.data, np.histogram(x, counts.size)[1])
