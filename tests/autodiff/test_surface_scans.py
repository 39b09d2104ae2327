"""Scans, differences and integrals: every way numpy is called, on Tensors."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff import Tensor
from autodiff.ops.reductions.scans import recurrence
from tests.autodiff.alike import alike, differentiates, leaves_of, torch_agrees

some = settings(max_examples=70, deadline=None, database=None, derandomize=True)
RNG = np.random.default_rng(9)
X = (RNG.permutation(24) * 0.15 - 1.75 + RNG.uniform(-0.03, 0.03, 24)).reshape(2, 3, 4)
GRID = np.array([0.0, 0.3, 1.1, 1.4])
newer = pytest.mark.skipif(not hasattr(np, "cumulative_sum"), reason="numpy 2.1 has it first")

CALLS: dict[str, Any] = {
    "cumsum": lambda x: np.cumsum(x),
    "cumsum along": lambda x: np.cumsum(x, axis=0) + np.cumsum(x, -1) + x.cumsum(axis=1),
    "cumsum, wide": lambda x: np.cumsum(x, 1, np.float64) + x.cumsum(1, float),
    "cumprod": lambda x: np.cumprod(x),
    "cumprod along": lambda x: np.cumprod(x, axis=0) + np.cumprod(x, -1) + x.cumprod(axis=1),
    "nancumsum": lambda x: np.nancumsum(x, axis=1) + np.nancumsum(x, 0),
    "nancumprod": lambda x: np.nancumprod(x, axis=1) + np.nancumprod(x, dtype=float)[5],
    "diff": lambda x: np.diff(x),
    "diff twice": lambda x: np.diff(x, 2, 1) * np.diff(x, n=2, axis=-2),
    "diff no time": lambda x: np.diff(x, n=0),
    "diff more often than there are": lambda x: x.sum() + np.diff(x, n=5, axis=0).sum(),
    "diff from": lambda x: np.diff(x, axis=1, prepend=0) + np.diff(x, axis=1, append=x[:, :1]),
    "diff from and to": lambda x: np.diff(x, 2, 0, np.zeros((1, 3, 4)), x[0, 0, 0] * 2),
    "diff of a list": lambda x: np.diff([1.0, 2.0, 5.0], prepend=x[0, 0]),
    "ediff1d": lambda x: np.ediff1d(x),
    "ediff1d between": lambda x: np.ediff1d(x, to_begin=x[0, 0, 0], to_end=[1.0, 2.0]) * np.ediff1d(x, [1.0, 3.0], 0),
    "gradient": lambda x: np.gradient(x),
    "gradient of a row": lambda x: np.gradient(x[0, 0]),
    "gradient of two": lambda x: np.gradient(x[0, 0, :2]),
    "gradient along": lambda x: np.gradient(x, axis=1),
    "gradient along some": lambda x: np.gradient(x, axis=(-1, 0)),
    "gradient, one width": lambda x: np.gradient(x, 0.5),
    "gradient, three widths": lambda x: np.gradient(x, 0.5, 2.0, x[0, 0, 0] ** 2 + 1),
    "gradient on a grid": lambda x: np.gradient(x, GRID, axis=2),
    "gradient on grids": lambda x: np.gradient(x, [0.0, 1.0], 0.5, GRID, axis=(0, 1, 2)),
    "gradient by the grid": lambda x: np.gradient(x[0, 0], np.cumsum(x[0, 1] ** 2 + 1)),
    "gradient, second order": lambda x: np.gradient(x, axis=(1, 2), edge_order=2),
    "gradient, second order on a grid": lambda x: np.gradient(x, GRID, axis=2, edge_order=2),
    "gradient, second order by the grid": lambda x: np.gradient(
        x[0, 0], np.cumsum(x[0, 1] ** 2 + 1), edge_order=2
    ),
    "gradient of integers by the grid": lambda x: np.gradient(np.arange(4), np.cumsum(x[0, 1] ** 2 + 1)),
    "trapezoid": lambda x: np.trapezoid(x) + np.trapezoid(x, dx=0.5, axis=-1),
    "trapezoid on a grid": lambda x: np.trapezoid(x, GRID) + np.trapezoid(x, x=[0.0, 0.1, 1.0], axis=1)[:, :1],
    "trapezoid by the grid": lambda x: np.trapezoid(x, np.cumsum(x * x + 1, axis=1), axis=1),
    "trapezoid of an array": lambda x: np.trapezoid([1.0, 2.0, 4.0, 0.0], x[0, 0]),
    "unwrap": lambda x: np.unwrap(4 * x) + np.unwrap(3 * x, axis=0, period=2.5) + np.unwrap(x, 4.0),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_values_and_derivatives(call: Any) -> None:
    differentiates(call, X)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_floats_give_numpys_types(call: Any, dtype: Any) -> None:
    if call is not CALLS["gradient of integers by the grid"]:  # of which numpy rounds parts to the grid's type
        alike(call, X.astype(dtype))


CUMULATIVE: dict[str, Any] = {
    "sum": lambda x: np.cumulative_sum(x, axis=1),
    "sum of a row": lambda x: np.cumulative_sum(x[0, 0], include_initial=True),
    "sum, initial": lambda x: np.cumulative_sum(x, axis=-1, include_initial=True),
    "sum, narrow": lambda x: x.sum() + np.cumulative_sum(np.float32(1) * x, axis=0, dtype=np.float64),
    "prod": lambda x: np.cumulative_prod(x, axis=0),
    "prod, initial": lambda x: np.cumulative_prod(x, axis=-2, include_initial=True),
    "of a number": lambda x: np.cumulative_prod(x[0, 0, 0]) + np.cumulative_sum(x[0, 0, 0]),
    "no axis": lambda x: np.cumulative_sum(x),
}


@newer
@pytest.mark.parametrize("call", CUMULATIVE.values(), ids=CUMULATIVE)
def test_the_newer_spelling(call: Any) -> None:
    alike(call, X)
    alike(call, X.astype(np.float32))
    if call is not CUMULATIVE["no axis"]:
        differentiates(call, X)


TORCH: dict[str, tuple[Any, Any]] = {
    "cumsum": (lambda x: np.cumsum(x, axis=1), lambda x: x.cumsum(1)),
    "cumprod": (lambda x: np.cumprod(x, axis=2), lambda x: x.cumprod(2)),
    "maximum.accumulate": (lambda x: np.maximum.accumulate(x, axis=1), lambda x: x.cummax(1).values),
    "minimum.accumulate": (lambda x: np.minimum.accumulate(x, axis=2), lambda x: x.cummin(2).values),
    "logaddexp.accumulate": (lambda x: np.logaddexp.accumulate(x, axis=2), lambda x: x.logcumsumexp(2)),
    "diff": (lambda x: np.diff(x, n=2, axis=2), lambda x: x.diff(n=2, dim=2)),
    "gradient": (lambda x: np.gradient(x, 0.5, axis=2), lambda x: x.gradient(spacing=0.5, dim=2)[0]),
}


@pytest.mark.parametrize(("ours", "theirs"), TORCH.values(), ids=TORCH)
def test_pytorch_agrees(ours: Any, theirs: Any) -> None:
    pytest.importorskip("torch", reason="the comparison with PyTorch needs it")
    if theirs is TORCH["gradient"][1]:
        import torch

        torch_agrees(ours, lambda x: torch.gradient(x, spacing=0.5, dim=2)[0], X)
    else:
        torch_agrees(ours, theirs, X)


def test_pytorch_agrees_on_integrals_by_values_and_grid() -> None:
    torch = pytest.importorskip("torch", reason="the comparison with PyTorch needs it")
    grid = np.cumsum(RNG.uniform(0.3, 1, X.shape), axis=1)
    torch_agrees(
        lambda y, x: np.trapezoid(y, x, axis=1), lambda y, x: torch.trapezoid(y, x, dim=1), X, grid
    )  # fmt: skip


@pytest.mark.parametrize("x", [np.array(1.5), np.zeros((0, 3)), np.zeros((2, 0)), X[::-1, :, ::-2], X[:, :1]], ids=str)
def test_layouts_and_lengths(x: np.ndarray) -> None:
    for function in (np.cumsum, np.cumprod, np.nancumsum, np.nancumprod, np.diff, np.gradient, np.trapezoid):
        for options in ({}, {"axis": 0}, {"axis": -1}, {"axis": 3}):
            alike(lambda t, f=function, o=options: f(t, **o), x)
    alike(np.ediff1d, x)


HOLES = np.array([[1.0, np.nan, 2.0, np.nan, -3.0], [np.nan, 0.0, 2.0, 0.5, np.nan]])


def test_nan_counts_for_nothing_in_scans() -> None:
    for function, neutral in ((np.nancumsum, 0.0), (np.nancumprod, 1.0)):
        alike(lambda x, f=function: f(x, axis=1), HOLES)
        x, filled = leaves_of(HOLES, np.where(np.isnan(HOLES), neutral, HOLES))
        weight = RNG.uniform(0.5, 1.5, HOLES.shape)
        function(x, axis=1).backward(weight)
        function(filled, axis=1).backward(weight)
        np.testing.assert_allclose(x.grad, np.where(np.isnan(HOLES), 0, filled.grad), rtol=1e-14)


EXTREMES: dict[str, tuple[Any, list[float], list[float]]] = {
    "ties go to the last": (np.maximum.accumulate, [1.0, 1.0, 0.0, 1.0, 2.0], [1, 2, 0, 1, 1]),
    "minimum": (np.minimum.accumulate, [1.0, 1.0, 2.0, 0.0], [1, 2, 0, 1]),
    "NaN stays": (np.maximum.accumulate, [1.0, np.nan, 3.0], [1, 2, 0]),
    "fmax leaves NaN": (np.fmax.accumulate, [np.nan, 1.0, np.nan, 3.0], [1, 2, 0, 1]),
    "logaddexp from −∞": (np.logaddexp.accumulate, [-np.inf, 1.0, -np.inf], [0.5, 2, 0]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("function", "x", "slope"), EXTREMES.values(), ids=EXTREMES)
def test_running_extremes(function: Any, x: list[float], slope: list[float]) -> None:
    alike(function, x)
    (t,) = leaves_of(x)
    function(t).backward(np.ones(len(x)))
    np.testing.assert_allclose(t.grad, slope)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9])
def test_a_recurrence_of_any_length(n: int) -> None:
    a, b = RNG.uniform(-1, 1, (2, 3, n))
    expected = b.copy()
    for i in range(1, n):
        expected[:, i] += a[:, i] * expected[:, i - 1]
    np.testing.assert_allclose(recurrence(a, b), expected, rtol=1e-13)
    differentiates(recurrence, a, b)


ZEROS = st.sampled_from([-2.0, -1.0, 0.0, 0.0, 0.5, 3.0])
arrays = hnp.arrays(np.float64, hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5), elements=ZEROS)


@some
@given(arrays, st.data())
def test_running_products_with_zeros_are_exact_to_second_order(x: np.ndarray, data: st.DataObject) -> None:
    """Against the derivatives of the polynomial itself: each product of the others is multiplied out."""
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    rows = np.moveaxis(x, axis, -1)
    weight = RNG.integers(1, 4, x.shape).astype(float)
    first, second = np.zeros_like(rows), np.zeros_like(rows)
    for index in np.ndindex(rows.shape[:-1]):
        row, w = rows[index], np.moveaxis(weight, axis, -1)[index]
        for j in range(len(row)):
            for i in range(j + 1):
                first[index][i] += w[j] * math.prod(np.delete(row[: j + 1], i))
                second[index][i] += sum(
                    w[j] * math.prod(np.delete(row[: j + 1], [i, k])) for k in range(j + 1) if k != i
                )
    (t,) = leaves_of(x)
    slope = (np.cumprod(t, axis=axis) * weight).sum().gradient(t, create_graph=True)
    np.testing.assert_allclose(np.moveaxis(slope.data, axis, -1), first, rtol=1e-12, atol=1e-12)
    slope.sum().backward()
    np.testing.assert_allclose(np.moveaxis(t.grad, axis, -1), second, rtol=1e-12, atol=1e-12)


@some
@given(arrays, st.data())
def test_scans_and_differences_along_any_axis(x: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1))
    for function in (np.cumsum, np.cumprod, np.nancumsum, np.nancumprod):
        alike(lambda t, f=function: f(t, axis), x)
    along = -1 if axis is None else axis
    n = data.draw(st.integers(0, 4))
    alike(lambda t: np.diff(t, n, along), x)
    alike(lambda t: np.trapezoid(t, axis=along), x)
    alike(lambda t: np.ediff1d(t, to_end=n), x)
    differentiates(lambda t: np.cumsum(t, axis) * 1.5, x)


@some
@given(arrays, st.data())
def test_gradients_on_any_grid(f: np.ndarray, data: st.DataObject) -> None:
    axes = data.draw(st.none() | st.lists(st.integers(0, f.ndim - 1), min_size=1, unique=True))
    chosen = range(f.ndim) if axes is None else axes
    grids: list[Any] = []
    for axis in chosen:
        uneven = np.cumsum(RNG.uniform(0.2, 1.5, f.shape[axis]))
        grids.append(data.draw(st.sampled_from([0.5, 2, uneven, uneven[::-1], list(uneven)])))
    edge_order = data.draw(st.integers(1, 3))
    if data.draw(st.booleans()):
        grids = grids[:1]
    axis = tuple(axes) if axes else None
    alike(lambda t: np.gradient(t, *grids, axis=axis, edge_order=edge_order), f, rtol=1e-11)


def test_a_parabola_has_exact_slopes_and_a_line_an_exact_integral() -> None:
    grid = np.array([0.0, 0.5, 2.0, 2.25, 4.0])
    (f,) = leaves_of(grid**2)
    np.testing.assert_allclose(np.gradient(f, grid, edge_order=2).data, 2 * grid, atol=1e-13)
    (line,) = leaves_of(3 * grid)
    integral = np.trapezoid(line, grid)
    np.testing.assert_allclose(integral.data, 1.5 * 16)
    integral.backward()
    widths = np.array([b - a for a, b in pairwise(grid)])
    np.testing.assert_allclose(line.grad, (np.append(widths, 0) + np.append(0, widths)) / 2)


def test_integers_give_what_numpy_gives() -> None:
    x = np.array([3, 1, 4])
    for function in (np.cumsum, np.cumprod, np.diff, np.ediff1d, np.gradient, np.trapezoid):
        got, expected = function(Tensor(x)), function(x)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got.data, expected)


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "out": (lambda t: np.cumsum(t, out=np.empty(24)), TypeError, "cumsum.*no gradient can follow"),
    "diff of a number": (lambda t: np.diff(t.sum()), ValueError, r"shape \(\)"),
    "diff, less than no time": (lambda t: np.diff(t, n=-1), ValueError, "n=-1"),
    "gradient, too short": (lambda t: np.gradient(t[:1]), ValueError, r"needs 2 elements along axis 0.*\(1, 3, 4\)"),
    "gradient, edges": (lambda t: np.gradient(t, edge_order=3), ValueError, "edge_order=3"),
    "gradient, widths": (lambda t: np.gradient(t, 1.0, 2.0), TypeError, "one for each of 3 axes; got 2"),
    "gradient, grid": (lambda t: np.gradient(t, [1.0, 2.0], axis=1), ValueError, "2 coordinates for axis 1 of le"),
    "gradient, table": (lambda t: np.gradient(t, [[1.0]], axis=1), ValueError, r"shape \(1, 1\)"),
    "ediff1d": (lambda t: np.ediff1d(t, to_end=[1j]), TypeError, "to_end holds complex128"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_says_why(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(*leaves_of(X))
