"""Activations over all floating-point numbers: no warning (warnings are errors), and right to the last digits.

The judge is mpmath with 60 digits; for values and gradients together, PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

import autodiff
from autodiff import Tensor

INF = float("inf")


@dataclass(frozen=True)
class Case:
    """An activation, its exact value and slope, both at ±∞, and how far a slope may be off.

    `loss` is the error of the slope, in units of the last place of 1, where it is the small difference of two large
    numbers and only its absolute error can be small.
    """

    function: Callable[..., Any]
    value: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    low: tuple[float, float]
    high: tuple[float, float]
    loss: float = 0.0


def sigma(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def phi(x: Any) -> Any:
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def Phi(x: Any) -> Any:
    return mp.erfc(-x / mp.sqrt(2)) / 2


CASES = {
    "sigmoid": Case(autodiff.sigmoid, sigma, lambda x: sigma(x) * sigma(-x), (0, 0), (1, 0), loss=1),
    "tanh": Case(np.tanh, mp.tanh, lambda x: mp.sech(x) ** 2, (-1, 0), (1, 0), loss=2),
    "relu": Case(autodiff.relu, lambda x: max(x, 0), lambda x: int(x > 0), (0, 0), (INF, 1)),
    "leaky_relu": Case(
        autodiff.leaky_relu,
        lambda x: x if x > 0 else x / 100,
        lambda x: 1 if x > 0 else mpf("0.01"),
        (-INF, 0.01),
        (INF, 1),
    ),
    "elu": Case(
        autodiff.elu, lambda x: x if x > 0 else mp.expm1(x), lambda x: 1 if x > 0 else mp.exp(x), (-1, 0), (INF, 1)
    ),
    "softplus": Case(autodiff.softplus, lambda x: mp.log1p(mp.exp(-abs(x))) + max(x, 0), sigma, (0, 0), (INF, 1)),
    "gelu": Case(autodiff.gelu, lambda x: x * Phi(x), lambda x: Phi(x) + x * phi(x), (0, 0), (INF, 1)),
    "silu": Case(
        autodiff.silu, lambda x: x * sigma(x), lambda x: sigma(x) * (1 + x * sigma(-x)), (0, 0), (INF, 1), loss=1
    ),
}
DTYPES = [np.float16, np.float32, np.float64]
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)


def all_sizes(dtype: Any) -> np.ndarray:
    """Numbers of both signs from the smallest subnormal to the largest, densest where activations bend."""
    info = np.finfo(dtype)
    top = float(info.max)
    sizes = [
        float(info.smallest_subnormal),
        float(info.tiny),
        float(info.eps),
        1e-3,
        0.03,
        0.3,
        0.5,
        1,
        1.5,
        2,
        3,
        4.5,
        6,
        8,
    ]
    sizes += [
        9.5,
        11,
        13,
        16,
        17.5,
        20,
        26,
        37,
        38,
        40,
        50,
        87,
        89,
        103,
        105,
        300,
        700,
        709.5,
        710,
        744,
        746,
        1000,
        3e4,
    ]
    sizes += [size for size in (1e30, 1e38, 1e154, 1e155, 1e300, 1e308, top / 2, top) if size <= top]
    x = np.array([0.0, *sizes], dtype)
    return np.concatenate([-x[::-1], x])


@each_case
@each_dtype
def test_values_and_slopes_are_right_at_every_size(case: Case, dtype: Any) -> None:
    x = all_sizes(dtype)
    info = np.finfo(dtype)
    eps, tiny = float(info.eps), float(info.tiny)
    t = Tensor(x, requires_grad=True)
    y = case.function(t)
    y.backward(np.ones_like(x))
    assert (y.dtype, t.grad.dtype) == (dtype, dtype)
    assert np.isfinite(y.data).all()
    assert np.isfinite(t.grad).all()
    for xi, value, slope in zip(map(float, x), map(float, y.data), map(float, t.grad), strict=True):
        # exp(−x²/2) inherits x² times the relative error of its exponent; nothing in these dtypes can avoid that.
        units = 12 + (xi * xi if case.function is autodiff.gelu and abs(xi) < 40 else 0)
        for what, got, exact, loss in (
            ("value", value, exactly(case.value, xi, (case.low[0], case.high[0])), 0.0),
            ("slope", slope, exactly(case.slope, xi, (case.low[1], case.high[1])), case.loss),
        ):
            # What is below the smallest normal number may lose digits, or be flushed to zero; silu multiplies it by x.
            allowed = eps * (units * abs(exact) + 4 * loss) + tiny * max(1, min(abs(xi), 1000))
            assert abs(got - exact) <= allowed, f"{what} at {xi!r}: {got!r}, exactly {mpmath.nstr(exact, 20)}"


def exactly(function: Callable[[Any], Any], x: float, limits: tuple[float, float]) -> Any:
    """Evaluate with 60 digits; beyond ±1000 every activation is its limit, or a line through the origin."""
    if abs(x) <= 1000:
        with mp.workdps(60):
            return +mpf(function(mpf(x)))
    limit = limits[0] if x < 0 else limits[1]
    return mpf(x) * (mpf("0.01") if x < 0 else 1) if abs(limit) == INF else mpf(limit)


@each_case
@each_dtype
def test_infinities_give_the_limits(case: Case, dtype: Any) -> None:
    t = Tensor(np.array([-INF, INF], dtype), requires_grad=True)
    y = case.function(t)
    y.backward(np.ones(2, dtype))
    np.testing.assert_array_equal(y.data, np.array([case.low[0], case.high[0]], dtype))
    np.testing.assert_array_equal(t.grad, np.array([case.low[1], case.high[1]], dtype))


@each_case
@each_dtype
def test_nan_stays_nan(case: Case, dtype: Any) -> None:
    t = Tensor(np.array([np.nan, 1.0], dtype), requires_grad=True)
    with np.errstate(invalid="ignore"):  # some of numpy's own functions warn of NaN
        y = case.function(t)
        y.backward(np.ones(2, dtype))
    assert list(np.isnan(y.data)) == [True, False]
    assert not np.isnan(t.grad[1])


@each_case
@each_dtype
def test_second_derivatives_are_finite_at_every_size(case: Case, dtype: Any) -> None:
    t = Tensor(all_sizes(dtype), requires_grad=True)
    ones = Tensor(np.ones(t.shape, dtype))
    y = case.function(t)
    # The rule itself, on Tensors: y.sum(), which gradient() would need, may overflow.
    slope = y.op.rules[0](ones, y, *y.inputs, **y.params)
    if slope.requires_grad:
        slope.backward(np.ones(t.shape, dtype))
        assert np.isfinite(t.grad).all()


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_leaky_relu_takes_its_slope(slope: float) -> None:
    x = Tensor([-2.0, 0.0, 3.0], requires_grad=True)
    y = autodiff.leaky_relu(x, negative_slope=slope)
    y.sum().backward()
    np.testing.assert_array_equal(y.data, [-2 * slope, 0, 3])
    np.testing.assert_array_equal(x.grad, [slope, slope, 1])
    np.testing.assert_array_equal(autodiff.leaky_relu(x.data, slope), y.data)


# Over an axis

ROWS: dict[str, list[float]] = {
    "moderate": [0.5, -1.5, 2.0, 0.0],
    "one": [3.0],
    "ties": [1.0, 1.0, 1.0],
    "tails": [0.0, -30.0, -700.0, -744.0],
    "far apart": [1000.0, 0.0, -1000.0],
    "huge": [1e308, 1e308],
    "huge apart": [1e308, -1e308, 0.0],
    "huge below": [-1e308, -1e308],
    "masked": [0.0, -INF, 1.0],
    "subnormal": [5e-324, -5e-324],
}
each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def exact_row(row: list[float]) -> tuple[list[Any], list[Any], Any]:
    """Softmax, its logarithm and logsumexp, with 60 digits."""
    with mp.workdps(400):
        m = max(map(mpf, row))
        # Beyond 10,000 a difference leaves nothing of its exponential that a float could hold.
        e = [mp.exp(mpf(x) - m) if mpf(x) - m > -10_000 else mpf(0) for x in row]
        log_sum = mp.log(mp.fsum(e))
        return [v / mp.fsum(e) for v in e], [mpf(x) - m - log_sum for x in row], m + log_sum


@each_row
def test_softmax_and_its_relatives_over_extreme_rows(row: list[float]) -> None:
    x = np.array(row)
    soft, log_soft, log_sum = exact_row(row)
    scale = np.finfo(float).eps * 8
    np.testing.assert_allclose(autodiff.softmax(x), np.array(soft, float), rtol=2e-13, atol=1e-307)
    np.testing.assert_allclose(autodiff.logsumexp(x), float(log_sum), rtol=scale, atol=scale)
    with np.errstate(over="ignore"):
        expected = np.array([float(v) if abs(v) < 1.8e308 else -INF for v in log_soft])
    np.testing.assert_allclose(autodiff.log_softmax(x), expected, rtol=scale, atol=scale)


@each_row
def test_gradients_over_extreme_rows(row: list[float]) -> None:
    soft = np.array(exact_row(row)[0], float)
    g = np.linspace(-1, 2, len(row))
    for function, expected in (
        (autodiff.softmax, soft * (g - (g * soft).sum())),
        (autodiff.log_softmax, g - soft * g.sum()),
    ):
        x = Tensor(row, requires_grad=True)
        function(x).backward(g)
        np.testing.assert_allclose(x.grad, expected, rtol=1e-12, atol=1e-15)
    x = Tensor(row, requires_grad=True)
    autodiff.logsumexp(x).backward()
    np.testing.assert_allclose(x.grad, soft, rtol=2e-13, atol=1e-307)


def test_logsumexp_of_infinities() -> None:
    assert autodiff.logsumexp(np.array([INF, 0.0, 1e308])) == INF
    assert autodiff.logsumexp(np.array([-INF, -INF])) == -INF
    assert autodiff.logsumexp(np.zeros(0)) == -INF
    np.testing.assert_array_equal(autodiff.logsumexp(np.zeros((2, 0)), axis=1), [-INF, -INF])


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), (-1, 0)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_logsumexp_over_any_axis(axis: Any, keepdims: bool) -> None:
    data = np.random.default_rng(0).normal(size=(2, 3, 4))
    x = Tensor(data, requires_grad=True)
    y = autodiff.logsumexp(x, axis=axis, keepdims=keepdims)
    naive = np.exp(data).sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(y.data, np.log(np.exp(data).sum(axis=axis, keepdims=keepdims)), rtol=1e-14)
    y.backward(np.full(y.shape, 2.0))
    np.testing.assert_allclose(x.grad, 2 * np.exp(data) / naive, rtol=1e-13)


@pytest.mark.parametrize("axis", [0, 1, 2, -2])
def test_softmax_over_any_axis_sums_to_one(axis: int) -> None:
    x = np.random.default_rng(1).normal(size=(2, 3, 4))
    np.testing.assert_allclose(autodiff.softmax(x, axis=axis).sum(axis=axis), 1, rtol=1e-15)
    np.testing.assert_allclose(np.exp(autodiff.log_softmax(x, axis=axis)), autodiff.softmax(x, axis=axis), rtol=1e-14)
    np.testing.assert_array_equal(autodiff.softmax(x, axis), autodiff.softmax(x, axis=axis))


# PyTorch


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch judges the activations where it is installed")


def functions(torch: Any) -> dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]]:
    F = torch.nn.functional
    pairs = {name: (case.function, getattr(F, name)) for name, case in CASES.items()}
    return pairs | {
        "softplus": (autodiff.softplus, lambda x: F.softplus(x, threshold=1e9)),  # PyTorch cuts off at 20
        "leaky_relu 0.3": (lambda x: autodiff.leaky_relu(x, negative_slope=0.3), lambda x: F.leaky_relu(x, 0.3)),
        "elu 2": (lambda x: autodiff.elu(x, alpha=2.0), lambda x: F.elu(x, 2.0)),
        "softmax": (autodiff.softmax, lambda x: F.softmax(x, dim=-1)),
        "softmax 0": (lambda x: autodiff.softmax(x, axis=0), lambda x: F.softmax(x, dim=0)),
        "log_softmax": (autodiff.log_softmax, lambda x: F.log_softmax(x, dim=-1)),
        "log_softmax 1": (lambda x: autodiff.log_softmax(x, axis=1), lambda x: F.log_softmax(x, dim=1)),
        "logsumexp": (autodiff.logsumexp, lambda x: torch.logsumexp(x, dim=(0, 1, 2))),
        "logsumexp 0": (lambda x: autodiff.logsumexp(x, axis=0), lambda x: torch.logsumexp(x, dim=0)),
    }


def test_values_and_gradients_are_pytorchs(torch: Any) -> None:
    rng = np.random.default_rng(2)
    data = rng.normal(size=(4, 5, 6)) * rng.choice([0.1, 1.0, 10.0], size=(4, 5, 6))
    data[0, 0] = [0.0, -0.0, 1.0, -1.0, 30.0, -30.0]
    for name, (ours, theirs) in functions(torch).items():
        x = Tensor(data, requires_grad=True)
        z = torch.tensor(data, requires_grad=True)
        y, expected = ours(x), theirs(z)
        g = rng.normal(size=y.shape)
        y.backward(g)
        expected.backward(torch.tensor(g))
        np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=1e-12, atol=1e-15, err_msg=name)
        np.testing.assert_allclose(x.grad, z.grad.numpy(), rtol=1e-12, atol=1e-15, err_msg=name)
