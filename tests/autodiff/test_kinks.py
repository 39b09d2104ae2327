"""Kinks, ties and poles: the subgradient that PyTorch takes, and no NaN where a one-sided derivative is finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor

CASES: dict[str, tuple[Callable[[Any], Any], list[float], list[float]]] = {
    "relu at 0": (autodiff.relu, [-1.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
    "leaky relu at 0": (autodiff.leaky_relu, [-1.0, 0.0, 1.0], [0.01, 0.01, 1.0]),
    "elu at 0": (autodiff.elu, [0.0, 1.0], [1.0, 1.0]),
    "abs at 0": (np.abs, [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]),
    "maximum shares a tie": (lambda x: np.maximum(x, 0.0), [-1.0, 0.0, 1.0], [0.0, 0.5, 1.0]),
    "minimum shares a tie": (lambda x: np.minimum(x, 0.0), [-1.0, 0.0, 1.0], [1.0, 0.5, 0.0]),
    "maximum with itself": (lambda x: np.maximum(x, x), [1.0, 2.0], [1.0, 1.0]),
    "max shares ties": (np.max, [3.0, 1.0, 3.0, 3.0], [1 / 3, 0.0, 1 / 3, 1 / 3]),
    "min shares ties": (np.min, [1.0, 1.0, 3.0], [0.5, 0.5, 0.0]),
    "clip passes on its ends": (lambda x: np.clip(x, -1, 1), [-2.0, -1.0, 0.0, 1.0, 2.0], [0.0, 1.0, 1.0, 1.0, 0.0]),
    "x**0 at 0": (lambda x: x**0, [0.0, 2.0], [0.0, 0.0]),
    "x**0. at 0": (lambda x: x**0.0, [0.0, 2.0], [0.0, 0.0]),
    "x**1 at 0": (lambda x: x**1, [0.0, -2.0], [1.0, 1.0]),
    "x**2 at 0": (lambda x: x**2, [0.0, -2.0], [0.0, -4.0]),
    "x**array at 0": (lambda x: x ** np.array([0.0, 1.0, 2.0, 3.0]), [0.0, 0.0, 0.0, -2.0], [0.0, 1.0, 0.0, 12.0]),
    "x**array of ints": (lambda x: x ** np.array([0, 1, 2]), [0.0, 0.0, 3.0], [0.0, 1.0, 6.0]),
    "0**x": (lambda x: 0.0**x, [1.0, 2.0], [0.0, 0.0]),
    "array**x at 0": (lambda x: np.array([0.0, 1.0, 2.0]) ** x, [1.0, 2.0, 3.0], [0.0, 0.0, 8 * np.log(2)]),
    "prod with one zero": (np.prod, [2.0, 0.0, 3.0], [0.0, 6.0, 0.0]),
    "prod with two zeros": (np.prod, [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
    "std of a constant": (np.std, [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]),
    "var of a constant": (np.var, [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]),
    "where guards a pole": (lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1)), 0), [0.0, 2.0], [0.0, 0.5]),
}


@pytest.mark.parametrize(("function", "x", "slope"), CASES.values(), ids=CASES)
def test_the_slope_at_a_kink(function: Callable[[Any], Any], x: list[float], slope: list[float]) -> None:
    for dtype in (np.float64, np.float32):
        t = Tensor(x, requires_grad=True, dtype=dtype)
        function(t).sum().backward()
        np.testing.assert_allclose(t.grad, slope, rtol=4 * np.finfo(dtype).eps)
        assert t.grad.dtype == dtype


SECOND: dict[str, tuple[Callable[[Any], Any], list[float], list[float]]] = {
    "prod with a zero": (np.prod, [2.0, 0.0, 3.0], [0.0 + 3.0, 2.0 + 3.0, 2.0 + 0.0]),  # of bc + ac + ab
    "square": (lambda x: x**2, [0.0, 3.0], [2.0, 2.0]),
    "identity": (lambda x: x**1, [0.0, 3.0], [0.0, 0.0]),
    "cube": (lambda x: x**3, [0.0, 3.0], [0.0, 18.0]),
    "relu": (autodiff.relu, [0.0, 3.0], [0.0, 0.0]),
}


@pytest.mark.parametrize(("function", "x", "second"), SECOND.values(), ids=SECOND)
def test_the_second_derivative_at_a_kink(function: Callable[[Any], Any], x: list[float], second: list[float]) -> None:
    t = Tensor(x, requires_grad=True)
    slope = function(t).sum().gradient(t, create_graph=True)
    if slope.requires_grad:
        slope.sum().backward()
    np.testing.assert_allclose(np.zeros(len(x)) if t.grad is None else t.grad, second)


def test_ties_are_shared_along_the_reduced_axis_only() -> None:
    x = Tensor([[1.0, 1.0], [1.0, 0.0]], requires_grad=True)
    x.max(axis=0).sum().backward()
    np.testing.assert_array_equal(x.grad, [[0.5, 1.0], [0.5, 0.0]])


def test_prod_with_zeros_along_an_axis() -> None:
    x = Tensor([[2.0, 0.0], [3.0, 4.0], [0.0, 5.0]], requires_grad=True)
    (np.prod(x, axis=0) * [1.0, 10.0]).sum().backward()
    np.testing.assert_array_equal(x.grad, [[0.0, 200.0], [0.0, 0.0], [6.0, 0.0]])


def test_a_pole_is_infinite_with_numpys_warning() -> None:
    for function in (np.sqrt, np.log):
        x = Tensor([0.0], requires_grad=True)
        with np.errstate(divide="ignore"):
            function(x).backward()
        assert x.grad[0] == np.inf
