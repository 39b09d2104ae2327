"""Polynomials by their coefficients: fits, sums, products, derivatives, roots."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from autodiff import Tensor
from tests.autodiff.alike import alike, differentiates

X = np.array([0.1, 0.9, 2.2, 2.8, 4.1])
Y = np.array([0.5, -1.2, 0.7, 2.4, 1.1])
P, Q = np.array([2.0, -0.5, 1.5, 0.3]), np.array([1.2, 0.7])

CALLS: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "polyfit": (lambda x, y: np.polyfit(x, y, 2), (X, Y)),
    "polyfit, weighed": (lambda x, y, w: np.polyfit(x, y, 1, w=w), (X, Y, Y**2 + 0.5)),
    "polyfit, several": (lambda x, y: np.polyfit(x, y, deg=2), (X, np.stack([Y, Y**2], axis=1))),
    "polyfit, several weighed": (lambda y, w: np.polyfit(X, y, 1, w=w), (np.stack([Y, Y**2], axis=1), X + 1)),
    "polyfit, whole numbers": (lambda y: np.polyfit(range(5), y, 3), (Y,)),
    "polyfit, exact": (lambda x, y: np.polyfit(x, y, 4), (X, Y)),
    "polyadd": (lambda p, q: (np.polyadd(p, q), np.polyadd(q, p), np.polyadd(p, [1, 2.0]), np.polyadd(p, 3.0)), (P, Q)),
    "polysub": (lambda p, q: (np.polysub(p, q), np.polysub([1, 2.0, 3.0], p)), (P, Q)),
    "polymul": (lambda p, q: (np.polymul(p, q), np.polymul(p, 2.0), np.polymul([0, 0, 1.0], q)), (P, Q)),
    "polyder": (lambda p: (np.polyder(p), np.polyder(p, 2), np.polyder(p, 0), np.polyder(p, m=7)), (P,)),
    "polyint": (
        lambda p, c: (np.polyint(p), np.polyint(p, 2, c), np.polyint(p, 2, 3.0), np.polyint(p, 1, c[0])),
        (P, Q),
    ),
    "poly": (lambda r: (np.poly(r), np.poly(r[:1]), np.poly(r[:0])), (P,)),
}


@pytest.mark.parametrize("name", CALLS)
def test_polynomials(name: str) -> None:
    call, arrays = CALLS[name]
    alike(call, *arrays, rtol=1e-11)
    differentiates(lambda *xs: np.concatenate([np.ravel(part) for part in call(*xs)]), *arrays)


def test_a_poor_fit_is_told_as_numpy_tells_it() -> None:
    with pytest.warns(np.exceptions.RankWarning):
        np.polyfit(np.ones(3), Tensor(Y[:3], requires_grad=True), 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: np.polyfit(X, t, 1, full=True), "full=True, cov=False.*y - np.polyval(p, x)"),
        (lambda t: np.polyfit(X, t, 1, cov=True), "full=False, cov=True.*np.linalg.lstsq"),
        (lambda t: np.poly(np.diag(t)), "np.poly(np.linalg.eigvalsh(a))"),
        (np.roots, "np.roots is not differentiated"),
    ],
)
def test_what_is_refused_says_what_to_write(call: Any, message: str) -> None:
    with pytest.raises(NotImplementedError, match=re.escape(message).replace(r"\.\*", ".*")):
        call(Tensor(Y, requires_grad=True))
