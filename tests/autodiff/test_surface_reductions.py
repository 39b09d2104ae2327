"""Reductions, with and without NaN, moments and order statistics: every way numpy is called, on Tensors."""

from __future__ import annotations

import warnings
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff import Tensor
from tests.autodiff.alike import alike, differentiates, leaves_of, torch_agrees

some = settings(max_examples=80, deadline=None, database=None, derandomize=True)
RNG = np.random.default_rng(7)
X = (RNG.permutation(24) * 0.15 - 1.75 + RNG.uniform(-0.03, 0.03, 24)).reshape(2, 3, 4)
MASK = np.array([[True, False, True, True], [False, True, True, False], [True, True, True, True]])
COLUMN = np.array([True, False, True])[:, None]
WEIGHTS = np.array([0.5, 2.0, 0.25, 1.25])

PLAIN = ["sum", "prod", "mean", "max", "min", "amax", "amin", "var", "std", "ptp", "median"]
SKIPPING = ["nansum", "nanprod", "nanmean", "nanmax", "nanmin", "nanvar", "nanstd", "nanmedian"]
AXES: list[Any] = [None, 0, -1, (0, 2), (-1, 0), (0, 1, 2)]
METHODS = [
    *("inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull"),
    *("linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest"),
]


@pytest.mark.parametrize("name", [*PLAIN, *SKIPPING])
def test_axes(name: str) -> None:
    function = getattr(np, name)
    for axis in AXES:
        differentiates(lambda x, a=axis: function(x, axis=a), X)
        alike(lambda x, a=axis: function(x, a, keepdims=True), X)


CALLS: dict[str, Any] = {
    "sum, masked": lambda x: np.sum(x, axis=(0, 1), where=MASK, initial=2.0),
    "sum, masked by a column": lambda x: np.sum(x, where=COLUMN, keepdims=True),
    "sum, masked by a list": lambda x: np.sum(x, 2, where=[True, False, True, True]),
    "sum by position": lambda x: np.sum(x, -1, None, None, True, 3.0, MASK),
    "sum from a Tensor": lambda x: np.sum(x[0], axis=0, initial=x[1, 1, 1]),
    "sum, wide": lambda x: np.sum(x, dtype=np.float64) + np.prod(x, 1, np.float64) + np.var(x, 1, float).sum(0),
    "sum method": lambda x: x.sum(1) + x.sum(axis=1, keepdims=True, where=MASK)[:, 0],
    "sum over no axis": lambda x: np.sum(x, axis=()) * np.mean(x, axis=()) + np.prod(x, axis=()),
    "prod, masked": lambda x: np.prod(x, axis=0, where=MASK, initial=-2.0),
    "prod from a Tensor": lambda x: np.prod(x[0], axis=0, initial=x[1, 1, 1]),
    "prod method": lambda x: x.prod(axis=(0, -1)),
    "mean, masked": lambda x: np.mean(x, axis=1, where=MASK) + x.mean(),
    "mean, all masked but one": lambda x: np.mean(x, where=np.arange(4) == 2),
    "max, masked": lambda x: np.max(x, axis=1, where=MASK, initial=-0.4),
    "max from a Tensor": lambda x: np.max(x[0], axis=0, initial=x[1, 1, 1]) + np.min(x[0], initial=x[1, 1, 0]),
    "max method": lambda x: x.max(0) + x.min(axis=1, keepdims=True),
    "min, masked": lambda x: np.min(x, keepdims=True, where=MASK, initial=0.1),
    "ptp method": lambda x: x.ptp(axis=1) if hasattr(x, "ptp") else np.ptp(x, axis=1),
    "var, ddof": lambda x: np.var(x, axis=1, ddof=1) + x.var(ddof=2),
    "var, correction": lambda x: np.var(x, axis=(0, 1), correction=1.5),
    "var, masked": lambda x: np.var(x, axis=1, where=MASK, ddof=0.5),
    "var, mean given": lambda x: np.var(x, axis=1, mean=np.mean(x, axis=1, keepdims=True)),
    "var, any mean given": lambda x: np.var(x, axis=1, ddof=1, mean=x[:, :1], keepdims=True),
    "var, mean given, masked": lambda x: np.var(x, axis=1, mean=x[:, :1] * 0.5, where=MASK),
    "std, ddof": lambda x: np.std(x, axis=1, ddof=1) + x.std(-1, ddof=1, keepdims=True).mean(),
    "std, masked": lambda x: np.std(x, axis=2, where=MASK) + np.std(x, where=COLUMN),
    "std, mean given": lambda x: np.std(x, axis=0, mean=np.mean(x, axis=0, keepdims=True)),
    "average": lambda x: np.average(x) + np.average(x, axis=0),
    "average, weighted": lambda x: np.average(x, axis=-1, weights=WEIGHTS, keepdims=True),
    "average, all weighted": lambda x: np.average(x, weights=np.abs(X) + 1, returned=True),
    "average, two axes": lambda x: np.average(x, axis=(2, 0), weights=np.arange(1.0, 9.0).reshape(4, 2)),
    "average, returned": lambda x: np.average(x, 1, [1.0, 2.0, 3.0], True),
    "average, unweighted, returned": lambda x: np.average(x, 1, None, True),
    "average, by the weights": lambda x: np.average(x, 2, np.exp(x[0, 0]), returned=True),
    "average of an array": lambda x: np.average(X, axis=0, weights=x * x),
    "average of a list": lambda x: np.average([1.0, 2.0, 3.0, 5.0], weights=x[0, 0] ** 2),
    "counts": lambda x: x * np.count_nonzero(x) + np.any(x > 0) * np.all(x < 9) + x[0, np.argmax(x[0, :, 0])],
    "positions": lambda x: x * x.argmax() + x * np.argmin(x, axis=0) + np.nanargmax(x) + np.nanargmin(x, 1)[:, None],
    "median method of old": lambda x: np.median(x, axis=(0, 2), overwrite_input=False, keepdims=True),
    "nanmax, limited": lambda x: np.nanmax(x, axis=0, initial=-0.2, where=MASK) + np.nanmin(x, 0, initial=0.3),
    "nansum, masked": lambda x: np.nansum(x, axis=0, where=MASK, initial=1.0) * np.nanprod(x, 0, initial=2.0),
    "nanmean, masked": lambda x: np.nanmean(x, axis=1, where=MASK, keepdims=True),
    "nanvar, ddof": lambda x: np.nanvar(x, axis=1, ddof=1) + np.nanstd(x, axis=1, correction=1),
    "nanvar, masked": lambda x: np.nanvar(x, axis=1, where=MASK) + np.nanstd(x, 1, where=MASK),
    "nanvar, mean given": lambda x: np.nanvar(x, axis=1, mean=x[:, :1]),
    "quantile of several": lambda x: np.quantile(x, [[0.1, 0.6], [0.99, 0.0]], axis=(0, 1), keepdims=True),
    "percentile": lambda x: np.percentile(x, 30, axis=1) + np.percentile(x, [20.0, 45.0], 2)[0, :, :1],
    "nanquantile": lambda x: np.nanquantile(x, 0.3, axis=1) + np.nanpercentile(x, 30, axis=1, method="hazen"),
    "weighted quantile": lambda x: np.quantile(x, [0.2, 0.7], axis=2, method="inverted_cdf", weights=WEIGHTS),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_values_and_derivatives(call: Any) -> None:
    differentiates(call, X)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_floats_give_numpys_types(call: Any, dtype: Any) -> None:
    alike(call, X.astype(dtype))


@pytest.mark.parametrize("name", [*PLAIN, *SKIPPING])
@pytest.mark.parametrize("x", [np.array(1.5), np.zeros((0, 3)), np.zeros((2, 0)), X[::-1, :, ::-2], X[:, :1]], ids=str)
def test_layouts_and_lengths(name: str, x: np.ndarray) -> None:
    for axis in (None, 0, -1):
        alike(lambda t, a=axis: getattr(np, name)(t, axis=a), x)


def with_holes() -> np.ndarray:
    x = X.copy()
    x[0, 1, 2] = x[1, 0, 0] = x[1, 2, 3] = np.nan
    x[0, :, 1] = np.nan  # and a column that is all NaN
    return x


@pytest.mark.parametrize("name", [*SKIPPING, "nanquantile", "nanpercentile"])
@pytest.mark.parametrize("axis", [None, 1, (0, 2)])
def test_nan_is_left_out(name: str, axis: Any) -> None:
    """The gradient is that of the numbers alone, group by group, and 0 at every NaN."""
    options = {"nanquantile": {"q": 0.3}, "nanpercentile": {"q": 30, "method": "weibull"}}.get(name, {})
    (x,) = leaves_of(with_holes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the column that is all NaN, as numpy warns
        alike(lambda t: getattr(np, name)(t, axis=axis, **options), with_holes())
        y = getattr(np, name)(x, axis=axis, **options)
    weight = RNG.uniform(0.5, 1.5, y.shape)
    y.backward(weight)
    assert (x.grad[np.isnan(x.data)] == 0).all()
    rest = [i for i in range(3) if axis is not None and i not in np.atleast_1d(axis)]
    for group in np.ndindex(*(X.shape[i] for i in rest)):
        index: list[Any] = [slice(None)] * 3
        for i, position in zip(rest, group, strict=True):
            index[i] = position
        numbers = x.data[tuple(index)]
        here = ~np.isnan(numbers)
        if not here.any():
            continue
        (alone,) = leaves_of(numbers[here])
        (getattr(np, name.removeprefix("nan"))(alone, **options) * weight[group]).backward()
        np.testing.assert_allclose(x.grad[tuple(index)][here], alone.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("function", ["quantile", "percentile", "nanquantile", "nanpercentile"])
def test_every_method_of_quantiles(function: str, method: str) -> None:
    scale = 100 if "percentile" in function else 1
    q = np.array([0.0, 0.17, 0.5, 0.61, 0.86, 1.0]) * scale
    differentiates(lambda x: getattr(np, function)(x, q, axis=1, method=method), X[:, :, 0].repeat(1, 1))
    differentiates(lambda x: getattr(np, function)(x, q, method=method), np.sort(X.ravel())[:7])
    differentiates(lambda x: getattr(np, function)(x, 0.4 * scale, axis=(0, -1), method=method), X)
    alike(lambda x: getattr(np, function)(x, q, axis=1, method=method), X.astype(np.float32))


@pytest.mark.parametrize("n", range(1, 12))
def test_weights_of_quantiles_sum_to_one_and_are_exact_at_ranks(n: int) -> None:
    """At q = k/(n − 1) the linear quantile is one element, and all of the gradient is that element's."""
    x = np.arange(n) ** 2.0
    for k in range(n):
        (t,) = leaves_of(x)
        np.quantile(t, k / max(n - 1, 1)).backward()
        np.testing.assert_allclose(t.grad, np.arange(n) == k, atol=1e-13)
    for method in METHODS:
        for q in np.linspace(0, 1, 23):
            (t,) = leaves_of(x)
            y = np.quantile(t, q, method=method)
            y.backward()
            np.testing.assert_allclose(t.grad.sum(), 1, rtol=1e-13)
            np.testing.assert_allclose(t.grad @ x, y.data, rtol=1e-12, atol=1e-12)  # it is homogeneous


TORCH: dict[str, tuple[Any, Any]] = {
    "sum": (lambda x: np.sum(x, axis=(0, 2)), lambda x: x.sum((0, 2))),
    "prod": (lambda x: np.prod(x, axis=1), lambda x: x.prod(1)),
    "prod, all": (np.prod, lambda x: x.prod()),
    "mean": (lambda x: np.mean(x, axis=-1), lambda x: x.mean(-1)),
    "max": (lambda x: np.max(x, axis=(0, 1)), lambda x: x.amax((0, 1))),
    "min": (lambda x: np.min(x, axis=2), lambda x: x.amin(2)),
    "var": (lambda x: np.var(x, axis=1, ddof=1), lambda x: x.var(1)),
    "std": (lambda x: np.std(x, axis=(1, 2)), lambda x: x.std((1, 2), correction=0)),
    "median": (lambda x: np.median(x[:, :, :3], axis=2), lambda x: x[:, :, :3].median(2).values),
    "quantile": (lambda x: np.quantile(x, 0.3, axis=1), lambda x: x.quantile(0.3, 1)),
    "quantile, lower": (
        lambda x: np.quantile(x, 0.7, axis=2, method="lower"), lambda x: x.quantile(0.7, 2, interpolation="lower"),
    ),
    "quantile, midpoint": (
        lambda x: np.quantile(x, 0.7, method="midpoint"), lambda x: x.quantile(0.7, interpolation="midpoint"),
    ),
    "nansum": (lambda x: np.nansum(x, axis=0), lambda x: x.nansum(0)),
    "nanmean": (lambda x: np.nanmean(x, axis=0), lambda x: x.nanmean(0)),
    "nanquantile": (lambda x: np.nanquantile(x, 0.2, axis=0), lambda x: x.nanquantile(0.2, 0)),
    "logaddexp.reduce": (lambda x: np.logaddexp.reduce(x, axis=1), lambda x: x.logsumexp(1)),
}  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs"), TORCH.values(), ids=TORCH)
def test_pytorch_agrees(ours: Any, theirs: Any) -> None:
    pytest.importorskip("torch", reason="the comparison with PyTorch needs it")
    torch_agrees(ours, theirs, X)


ZEROS = [[2.0, 3.0, -1.5], [2.0, 0.0, -1.5], [0.0, 0.0, 2.5], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("zeros", ZEROS, ids=str)
@pytest.mark.parametrize("function", [np.prod, np.nanprod, np.multiply.reduce, np.cumprod])
def test_products_with_zeros_are_exact_to_third_order(function: Any, zeros: list[float]) -> None:
    differentiates(function, np.array(zeros))
    (x,) = leaves_of(zeros)
    y: Any = np.prod(x)
    for i in range(3):  # d³(abc)/da db dc = 1
        y = y.gradient(x, create_graph=True)[i]
    assert y.data == 1


def test_a_long_product_with_zeros_takes_little_memory() -> None:
    x = np.ones(200_000)
    x[[7, 100_000]] = 0, 3
    (t,) = leaves_of(x)
    np.prod(t).backward()
    assert t.grad[7] == 3
    assert np.count_nonzero(t.grad) == 1


TIES: dict[str, tuple[Any, list[float], list[float]]] = {
    "max": (np.max, [1.0, 3.0, 3.0], [0, 0.5, 0.5]),
    "max of NaN": (np.max, [1.0, np.nan, 3.0, np.nan], [0, 0.5, 0, 0.5]),
    "max below its start": (lambda x: np.max(x, initial=5.0), [1.0, 3.0], [0, 0]),
    "max of masked": (lambda x: np.max(x, initial=0.0, where=[True, False, True]), [3.0, 9.0, 3.0], [0.5, 0, 0.5]),
    "max of masked that tie": (lambda x: np.max(x, initial=0.0, where=[True, False, True]), [3.0, 3.0, 1.0], [1, 0, 0]),
    "prod with a zero, from 2": (lambda x: np.prod(x, initial=2.0), [3.0, 0.0], [0, 6]),
    "nanvar of NaN, mean given": (lambda x: np.nanvar(x, mean=np.array([1.0])), [2.0, np.nan, 4.0], [1, 0, 3]),
    "nanmin": (np.nanmin, [np.nan, 1.0, 1.0], [0, 0.5, 0.5]),
    "nanmax of nothing": (lambda x: np.nanmax(x, initial=1.0), [np.nan, np.nan], [0, 0]),
    "ptp": (np.ptp, [1.0, 1.0, 3.0], [-0.5, -0.5, 1]),
    "ptp of a constant": (np.ptp, [2.0, 2.0], [0, 0]),
    "median": (np.median, [1.0, 2.0, 2.0, 2.0, 3.0], [0, 1 / 3, 1 / 3, 1 / 3, 0]),
    "median between two": (np.median, [1.0, 1.0, 2.0, 2.0], [0.25, 0.25, 0.25, 0.25]),
    "median of NaN": (np.median, [1.0, np.nan, 2.0], [0, 1, 0]),
    "nanmedian": (np.nanmedian, [1.0, np.nan, 3.0], [0.5, 0, 0.5]),
    "quantile": (lambda x: np.quantile(x, 0.9), [5.0, 5.0, 1.0], [0.5, 0.5, 0]),
    "std of a constant": (np.std, [2.0, 2.0], [0, 0]),
    "std of a constant, mean given": (lambda x: np.std(x, mean=np.mean(x, keepdims=True)), [2.0, 2.0], [0, 0]),
    "nanstd of one": (np.nanstd, [2.0, np.nan], [0, 0]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("function", "x", "slope"), TIES.values(), ids=TIES)
def test_ties_and_kinks(function: Any, x: list[float], slope: list[float]) -> None:
    for dtype in (np.float64, np.float32):
        (t,) = leaves_of(np.array(x, dtype))
        function(t).backward()
        np.testing.assert_allclose(t.grad, slope, rtol=4 * np.finfo(dtype).eps)
        assert t.grad.dtype == dtype


def test_a_mean_over_more_elements_than_float16_counts() -> None:
    (t,) = leaves_of(np.ones(100_000, np.float16))
    np.mean(t).backward()
    np.testing.assert_allclose(t.grad[0], 1e-5, rtol=0.01)


arrays = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4),
    elements=st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0, np.nan]),
)


@st.composite
def reductions(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, Any]]:
    """An array and an axis, keepdims and mask for it."""
    x = draw(arrays)
    axis = draw(st.none() | st.lists(st.integers(0, x.ndim - 1), unique=True, min_size=1).map(tuple) | st.just(-1))
    options: dict[str, Any] = {"axis": axis, "keepdims": draw(st.booleans())}
    if draw(st.booleans()):
        options["where"] = draw(hnp.arrays(bool, x.shape[draw(st.integers(0, x.ndim)) :]))
    return x, options


@some
@given(reductions(), st.sampled_from(["sum", "prod", "mean", "max", "min", "var", "std"]), st.booleans())
def test_any_axis_and_mask(case: Any, name: str, skip: bool) -> None:
    x, options = case
    function = getattr(np, "nan" * skip + name)
    if name in ("max", "min") and "where" in options:
        options["initial"] = 0.5
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of groups without elements, as numpy warns
        alike(lambda t: function(t, **options), x)
        check_against_masked_elements(function, np.where(np.isnan(x), 7.0, x), options)


def check_against_masked_elements(function: Any, x: np.ndarray, options: dict[str, Any]) -> None:
    """What is masked has no gradient; the others have that of the reduction of themselves alone."""
    (t,) = leaves_of(x)
    y = function(t, **options)
    y.backward(np.ones(y.shape))
    mask = np.broadcast_to(options.get("where", True), x.shape)
    assert (t.grad[~mask] == 0).all()
    assert np.isfinite(t.grad).all()
    moved = np.where(mask, x, x + 1)  # a change of what is masked changes nothing
    (u,) = leaves_of(moved)
    z = function(u, **options)
    z.backward(np.ones(z.shape))
    np.testing.assert_array_equal(t.grad, u.grad)


@some
@given(arrays, st.data())
def test_any_quantile(x: np.ndarray, data: st.DataObject) -> None:
    options = {
        "q": data.draw(st.sampled_from([0.0, 0.25, 0.5, 1 / 3, 1.0, 0.9]) | st.just([0.1, 0.5, 1.0])),
        "axis": data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1)),
        "method": data.draw(st.sampled_from(METHODS)),
        "keepdims": data.draw(st.booleans()),
    }
    function = data.draw(st.sampled_from([np.quantile, np.nanquantile]))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nanquantile warns of slices that are all NaN
        alike(lambda t: function(t, **options), x)
        (t,) = leaves_of(x)
        y = function(t, **options)
    y.backward(np.where(np.isnan(y.data) & (function is np.nanquantile), 0.0, 1.0))
    # A quantile moves by 1 when all elements do.
    expected = np.sum(~np.isnan(y.data)) if function is np.nanquantile else y.size
    np.testing.assert_allclose(t.grad.sum(), expected, rtol=1e-12)


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "out": (lambda t: np.sum(t, out=np.empty(())), TypeError, "sum.*no gradient can follow"),
    "out of median": (lambda t: np.median(t, out=np.empty(())), TypeError, "median.*no gradient can follow"),
    "out of ptp": (lambda t: np.ptp(t, out=np.empty(())), TypeError, "ptp.*no gradient can follow"),
    "out of var": (
        lambda t: np.var(t, out=np.empty(()), mean=np.zeros((1, 1, 1))), TypeError, "var.*no gradient can follow",
    ),
    "two names": (lambda t: np.var(t, ddof=1, correction=1), ValueError, "ddof and correction"),
    "q with a gradient": (lambda t: np.quantile(t, t.mean() * 0), NotImplementedError, r"by q; pass q\.data"),
    "weights of another shape": (lambda t: np.average(t, weights=WEIGHTS), TypeError, r"\(4,\).*\(2, 3, 4\).*axis"),
    "weights that do not fit": (lambda t: np.average(t, 1, WEIGHTS), ValueError, r"\(4,\).*\(2, 3, 4\)"),
    "weights that sum to 0": (lambda t: np.average(t, 2, WEIGHTS * 0), ZeroDivisionError, "weights sum to zero"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_says_why(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(*leaves_of(X))


def test_a_mask_that_changes_later_changes_nothing() -> None:
    mask = MASK.copy()
    (t,) = leaves_of(X[0])
    y = np.sum(t, where=mask)
    mask[:] = False
    y.backward()
    np.testing.assert_array_equal(t.grad, MASK)


def test_integers_give_what_numpy_gives() -> None:
    x = np.arange(6).reshape(2, 3)
    for name in ("sum", "prod", "mean", "max", "var", "median", "ptp", "average"):
        got = getattr(np, name)(Tensor(x), axis=0)
        expected = getattr(np, name)(x, axis=0)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got.data, expected)
