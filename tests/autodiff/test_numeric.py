"""The judge is judged: planted faults must be caught, and honest rules must pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autodiff import Op, Tensor
from autodiff.op import strip
from tests.autodiff.numeric import check_gradient, slope


def unregistered(forward: Callable[..., Any], *rules: Any) -> Op:
    """Make an op that only this test sees: building an `Op` does not register it."""
    return Op(forward, rules, "planted", "?", ("?",), (), False)


def product(a_rule: Any, b_rule: Any) -> Op:
    return unregistered(np.multiply, a_rule, b_rule)


def times_b(g: Any, y: Any, a: Any, b: Any) -> Any:
    return g * b


def times_a(g: Any, y: Any, a: Any, b: Any) -> Any:
    return g * a


X, Y = np.array([[0.3, -1.2, 0.8], [1.1, 0.7, -0.4]]), np.array([0.9, -0.6, 1.4])


def test_slope_is_exact_to_eleven_digits() -> None:
    assert slope(lambda t: np.exp(np.sin(1 + t))) == pytest.approx(np.exp(np.sin(1)) * np.cos(1), rel=1e-11)


def test_an_honest_op_passes() -> None:
    check_gradient(product(times_b, times_a), X, Y, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda g, y, a, b: 1.001 * g * b, id="factor 1.001"),
        pytest.param(lambda g, y, a, b: -g * b, id="sign"),
        pytest.param(lambda g, y, a, b: g, id="dropped factor"),
        pytest.param(lambda g, y, a, b: b + 0 * g, id="dropped upstream gradient"),
        pytest.param(lambda g, y, a, b: g * b + 1e-5 * a, id="spurious term"),
        pytest.param(lambda g, y, a, b: (g * b)[:, ::-1], id="wrong element"),
    ],
)
def test_a_wrong_first_order_rule_is_caught(wrong: Any) -> None:
    with pytest.raises(AssertionError, match=r"first-order|on Tensors"):
        check_gradient(product(wrong, times_a), X, Y, rng=np.random.default_rng(1))
    with pytest.raises(AssertionError, match=r"first-order|on Tensors"):
        check_gradient(
            product(times_b, lambda g, y, a, b: wrong(g, y, b, a)), X, X[::-1].copy(), rng=np.random.default_rng(1)
        )


def test_a_missing_rule_is_caught() -> None:
    with pytest.raises(AssertionError, match="operand 2"):
        check_gradient(product(times_b, None), X, Y, rng=np.random.default_rng(2))


@pytest.mark.parametrize(
    "detached",
    [
        pytest.param(lambda g, y, a, b: g * strip(b), id="operand taken off the graph"),
        pytest.param(lambda g, y, a, b: Tensor(strip(g)) * b, id="upstream gradient taken off the graph"),
    ],
)
def test_a_rule_right_at_first_order_only_is_caught_at_second(detached: Any) -> None:
    def rule(g: Any, y: Any, a: Any, b: Any) -> Any:
        result = detached(g, y, a, b)
        return result if isinstance(g, Tensor) else strip(result)

    op = product(rule, times_a)
    check_gradient(op, X, Y, rng=np.random.default_rng(3), order=1)
    with pytest.raises(AssertionError, match="second-order"):
        check_gradient(op, X, Y, rng=np.random.default_rng(3))


def test_a_rule_that_differs_on_tensors_is_caught() -> None:
    def rule(g: Any, y: Any, a: Any, b: Any) -> Any:
        return g * b * (2 if isinstance(g, Tensor) else 1)

    with pytest.raises(AssertionError, match="on Tensors"):
        check_gradient(product(rule, times_a), X, Y, rng=np.random.default_rng(4))
