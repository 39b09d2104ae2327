"""Ufuncs and their methods, elementwise functions: every way numpy is called, on Tensors."""

from __future__ import annotations

import math
import operator
import warnings
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff import Tensor
from tests.autodiff.alike import alike, differentiates, leaves_of, torch_agrees

some = settings(max_examples=60, deadline=None, database=None, derandomize=True)
RNG = np.random.default_rng(3)
# Chosen so that no multiple or quotient that is rounded below lies beside a jump.
REAL = np.array([[0.47, -0.68, -1.57], [-1.23, 0.46, 0.99]])
OTHER = np.array([[0.83], [1.7]])
POSITIVE = RNG.uniform(0.3, 2.5, (2, 3))
UNIT = RNG.uniform(0.1, 0.9, (2, 3))
ABOVE_ONE = RNG.uniform(1.2, 3, (2, 3))

#: Name in numpy: PyTorch's name and a domain.
UNARY: dict[str, tuple[str, np.ndarray]] = {
    "negative": ("neg", REAL), "positive": ("positive", REAL), "absolute": ("abs", REAL), "fabs": ("abs", REAL),
    "exp": ("exp", REAL), "exp2": ("exp2", REAL), "expm1": ("expm1", REAL),
    "log": ("log", POSITIVE), "log2": ("log2", POSITIVE), "log10": ("log10", POSITIVE), "log1p": ("log1p", POSITIVE),
    "sqrt": ("sqrt", POSITIVE), "square": ("square", REAL), "reciprocal": ("reciprocal", REAL),
    "sin": ("sin", REAL), "cos": ("cos", REAL), "tan": ("tan", UNIT), "arcsin": ("asin", UNIT),
    "arccos": ("acos", UNIT), "arctan": ("atan", REAL), "sinh": ("sinh", REAL), "cosh": ("cosh", REAL),
    "tanh": ("tanh", REAL), "arcsinh": ("asinh", REAL), "arccosh": ("acosh", ABOVE_ONE), "arctanh": ("atanh", UNIT),
    "deg2rad": ("deg2rad", REAL), "rad2deg": ("rad2deg", REAL), "radians": ("deg2rad", REAL),
    "degrees": ("rad2deg", REAL), "sinc": ("sinc", REAL), "nan_to_num": ("nan_to_num", REAL),
    "i0": ("special.i0", REAL), "conjugate": ("conj", REAL), "real": ("real", REAL), "cbrt": ("", REAL),
    "real_if_close": ("real", REAL),
}  # fmt: skip
BINARY: dict[str, tuple[str, np.ndarray]] = {
    "add": ("add", REAL), "subtract": ("sub", REAL), "multiply": ("mul", REAL), "divide": ("div", REAL),
    "true_divide": ("div", REAL), "remainder": ("remainder", REAL), "mod": ("remainder", REAL),
    "fmod": ("fmod", REAL), "power": ("pow", POSITIVE), "float_power": ("float_power", POSITIVE),
    "arctan2": ("atan2", REAL), "hypot": ("hypot", REAL), "maximum": ("maximum", REAL), "minimum": ("minimum", REAL),
    "fmax": ("fmax", REAL), "fmin": ("fmin", REAL), "logaddexp": ("logaddexp", REAL),
    "logaddexp2": ("logaddexp2", REAL),
}  # fmt: skip
OPERATORS = {"add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
             "power": operator.pow, "remainder": operator.mod, "floor_divide": operator.floordiv}  # fmt: skip


def torch_named(name: str) -> Any:
    torch = pytest.importorskip("torch", reason="the comparison with PyTorch needs it")
    if name == "deg2rad":  # PyTorch's own has no second derivative
        return lambda x: x * (math.pi / 180)
    if name == "rad2deg":
        return lambda x: x * (180 / math.pi)
    return operator.attrgetter(name)(torch)


@pytest.mark.parametrize("name", [name for name, (theirs, _) in UNARY.items() if theirs])
def test_unary_functions_agree_with_pytorch(name: str) -> None:
    theirs, x = UNARY[name]
    torch_agrees(getattr(np, name), torch_named(theirs), x)


@pytest.mark.parametrize("name", BINARY)
def test_binary_functions_agree_with_pytorch(name: str) -> None:
    theirs, x = BINARY[name]
    torch_agrees(getattr(np, name), torch_named(theirs), x, OTHER)


CALLS: dict[str, Any] = {
    "modf": lambda x, y: np.modf(3 * x),
    "frexp": lambda x, y: np.frexp(5 * x),
    "divmod": lambda x, y: np.divmod(5 * x, y),
    "divmod of a scalar": lambda x, y: divmod(2.0, x),
    "divmod operator": lambda x, y: divmod(5 * x, y),
    "ldexp": lambda x, y: np.ldexp(x, np.array([2, -1, 0])),
    "float_power of ints": lambda x, y: np.float_power(y, 3),
    "float_power of an int": lambda x, y: np.float_power(2, x),
    "copysign": lambda x, y: np.copysign(x, np.sign(-y)) * y,
    "heaviside": lambda x, y: np.heaviside(np.trunc(x), y),
    "floor_divide": lambda x, y: x + np.floor_divide(5 * x, y),
    "conj": lambda x, y: np.conj(x) + x.conj() + x.conjugate(),
    "real and imag": lambda x, y: np.real(x) * 2 + x.real + np.imag(x) + x.imag,
    "angle": lambda x, y: x + np.angle(x) + np.angle(x, deg=True),
    "nan_to_num": lambda x, y: np.nan_to_num(np.where(x > 1, np.inf, x), nan=3.0, posinf=2.0, neginf=1.0),
    "rounding": lambda x, y: x * np.rint(5 * x) + np.round(3 * x) + x.round(-1) + np.around(x),
    "whole numbers": lambda x, y: x * (np.floor(3 * x) + np.ceil(2 * x) + np.trunc(x) + np.sign(x) + np.spacing(x)),
    "tests": lambda x, y: x * np.isfinite(x) * np.signbit(y) + x * np.isreal(x) + x * np.isneginf(x),
    "clip": lambda x, y: np.clip(x, -0.4, y),
    "clip by name": lambda x, y: np.clip(x, min=-0.4, max=1.0) if hasattr(np, "cumulative_sum") else np.clip(x, -1, 1),
    "clip method": lambda x, y: x.clip(-0.4, 1.0) + x.clip(max=y),
    "where": lambda x, y: np.where(x > 0.5, x, y),
    "lists": lambda x, y: np.add([1.0, 2.0, 3.0], x) * np.multiply(y, [[1.0], [2.0]]),
    "scalars": lambda x, y: (2 - x) * 3 / (y + 1) ** 2 - 2**x,
    "reversed strides": lambda x, y: np.exp(x[::-1, ::-2]) * np.hypot(y[::-1], 1.0),
    "astype": lambda x, y: np.astype(x, np.float64) * x.astype(np.float32).astype(np.float64).shape[0],
    "add.reduce": lambda x, y: np.add.reduce(x) * y,
    "add.reduce, all": lambda x, y: np.add.reduce(x, axis=None) + np.add.reduce(y, 1, keepdims=True),
    "add.reduce, masked": lambda x, y: np.add.reduce(x, axis=(0, 1), where=[True, False, True], initial=3.0),
    "multiply.reduce, first": lambda x, y: np.multiply.reduce(x),
    "multiply.reduce": lambda x, y: np.multiply.reduce(x, axis=-1) * np.multiply.reduce(y),
    "maximum.reduce": lambda x, y: np.maximum.reduce(x) + np.minimum.reduce(x, axis=1, keepdims=True),
    "maximum.reduce, masked": lambda x, y: np.maximum.reduce(x, initial=-0.5, where=[True, False, True], axis=1),
    "fmax.reduce": lambda x, y: np.fmax.reduce(x) + np.fmin.reduce(x, axis=None),
    "logaddexp.reduce": lambda x, y: np.logaddexp.reduce(x) + np.logaddexp.reduce(x, axis=1, keepdims=True),
    "add.accumulate": lambda x, y: np.add.accumulate(x) + np.add.accumulate(x, axis=1),
    "multiply.accumulate": lambda x, y: np.multiply.accumulate(x, axis=-1),
    "maximum.accumulate": lambda x, y: np.maximum.accumulate(x, axis=1) + np.minimum.accumulate(x),
    "fmax.accumulate": lambda x, y: np.fmax.accumulate(x, axis=1) + np.fmin.accumulate(x),
    "logaddexp.accumulate": lambda x, y: np.logaddexp.accumulate(x, axis=1) + np.logaddexp.accumulate(x),
    "add.outer": lambda x, y: np.add.outer(x, y),
    "subtract.outer": lambda x, y: np.subtract.outer(x[0], y[:, 0]),
    "multiply.outer": lambda x, y: np.multiply.outer(x, [1.0, 2.0]) + np.multiply.outer(2.0, x)[..., None],
    "divide.outer": lambda x, y: np.divide.outer(x, y),
    "power.outer": lambda x, y: np.power.outer(y, x),
    "hypot.outer": lambda x, y: np.hypot.outer(x[0, 0], y),
    "comparison.outer": lambda x, y: x * np.less.outer(x[0], y[:, 0]).sum(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_values_and_derivatives(call: Any) -> None:
    differentiates(call, REAL, OTHER)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_floats_give_numpys_types(call: Any, dtype: Any) -> None:
    alike(call, REAL.astype(dtype), OTHER.astype(dtype))


#: What is done elementwise gives numpy's values on whatever is passed, and warns only where numpy warns.
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 1e-300, 1e300, -1e300, np.inf, -np.inf, np.nan])
ELEMENTWISE = [name for name in UNARY if name != "real_if_close"] + ["modf", "frexp", "sign", "rint", "fix", "angle"]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_special_values_go_through_unary_functions(name: str) -> None:
    for x in (
        SPECIAL,
        SPECIAL[::-2],
        SPECIAL.reshape(3, 1, 4),
        np.array(0.5),
        np.zeros((0, 3)),
        SPECIAL[2:6].astype("f4"),
    ):
        alike(getattr(np, name), x)


@pytest.mark.parametrize("name", [*BINARY, "copysign", "heaviside", "divmod", "floor_divide"])
def test_special_values_go_through_binary_functions(name: str) -> None:
    for x, y in ((SPECIAL[:, None], SPECIAL), (np.array(2.0), SPECIAL[::-1]), (np.zeros((0, 3)), np.ones(3))):
        alike(getattr(np, name), x, y)


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_take_arrays_and_scalars_on_either_side(name: str) -> None:
    operate, ufunc = OPERATORS[name], getattr(np, name)
    for left, right in ((POSITIVE, OTHER), (POSITIVE, 2.0), (2.5, POSITIVE), (POSITIVE[0], POSITIVE)):
        expected = ufunc(left, right)
        for ours in (
            operate(*leaves_of(left, right)),
            operate(left, *leaves_of(right)),
            operate(*leaves_of(left), right),
            ufunc(left, *leaves_of(right)),
        ):
            # A power of 2 is a square to the operator, of which old numpys round the last digit otherwise.
            np.testing.assert_allclose(ours.data if isinstance(ours, Tensor) else ours, expected, rtol=4e-16)
            assert isinstance(ours, np.ndarray if name == "floor_divide" else Tensor)


def test_rounding_and_counting_leave_the_graph() -> None:
    (t,) = leaves_of(REAL)
    for plain in (np.rint(t), np.floor(t), np.sign(t), t.round(1), t // 1, np.spacing(t), np.imag(t), np.angle(t)):
        assert type(plain) is np.ndarray
    assert type(round(t, 1)) is np.ndarray
    assert [type(part) for part in np.modf(t)] == [Tensor, np.ndarray]
    assert [type(part) for part in np.frexp(t)] == [Tensor, np.ndarray]
    assert [type(part) for part in np.divmod(t, 2)] == [np.ndarray, Tensor]
    assert np.real(t) is t
    assert type(np.heaviside(t, 0.5)) is np.ndarray


#: Function, operands, gradients by each. Where PyTorch gives a finite one it is that; NaN is never right.
KINKS: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "hypot at the origin": (np.hypot, [[0.0], [0.0]], [[0.0], [0.0]]),
    "arctan2 at the origin": (np.arctan2, [[0.0], [0.0]], [[0.0], [0.0]]),
    "maximum of NaN": (np.maximum, [[np.nan, 1.0], [0.0, np.nan]], [[1.0, 1.0], [1.0, 1.0]]),
    "fmax leaves NaN": (np.fmax, [[np.nan, 1.0, 2.0], [5.0, np.nan, 2.0]], [[0.0, 1.0, 0.5], [1.0, 0.0, 0.5]]),
    "fmin leaves NaN": (np.fmin, [[np.nan, 1.0, 2.0], [5.0, np.nan, 2.0]], [[0.0, 1.0, 0.5], [1.0, 0.0, 0.5]]),
    "fmax of two NaN": (np.fmax, [[np.nan], [np.nan]], [[0.0], [0.0]]),
    "logaddexp, one infinite": (np.logaddexp, [[-np.inf, np.inf], [1.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]),
    "logaddexp, both infinite": (np.logaddexp, [[-np.inf, np.inf], [-np.inf, np.inf]], [[0.5, 0.5], [0.5, 0.5]]),
    "logaddexp2, far apart": (np.logaddexp2, [[1e6, 0.0], [0.0, 1e6]], [[1.0, 0.0], [0.0, 1.0]]),
    "fabs": (np.fabs, [[-1.0, 0.0]], [[-1.0, 0.0]]),
    "copysign": (lambda x: np.copysign(x, -1.0), [[-2.0, 0.0, 2.0]], [[1.0, 0.0, -1.0]]),
    "fmod by nearly a divisor": (lambda b: np.fmod([1.0, 1.0, 0.3], b), [[0.1, -0.1, 0.01]], [[-9.0, 9.0, -29.0]]),
    "sinc at 0": (np.sinc, [[0.0]], [[0.0]]),
    "i0 at 0": (np.i0, [[0.0]], [[0.0]]),
    "heaviside by its middle": (lambda h: np.heaviside([-1.0, 0.0, 1.0], h), [[0.5] * 3], [[0.0, 1.0, 0.0]]),
    "nan_to_num": (np.nan_to_num, [[np.nan, np.inf, -np.inf, 1.0]], [[0.0, 0.0, 0.0, 1.0]]),
    "power at 0 by the exponent": (lambda b: np.power(0.0, b), [[0.0, 2.0]], [[0.0, 0.0]]),
    "power at 0, exponent 0": (np.power, [[0.0], [0.0]], [[0.0], [0.0]]),
    "arctan far out": (np.arctan, [[1e200, -1e300]], [[0.0, 0.0]]),
    "arcsinh far out": (np.arcsinh, [[1e200, -1e300]], [[1e-200, 1e-300]]),
    "arccosh far out": (np.arccosh, [[1e200]], [[1e-200]]),
    "arctan2 far out": (np.arctan2, [[3e200], [4e200]], [[0.16e-200], [-0.12e-200]]),
    "arctan2 near the origin": (np.arctan2, [[3e-200], [4e-200]], [[16e198], [-12e198]]),
    "ldexp": (lambda x: np.ldexp(x, 3), [[1.0, 0.0]], [[8.0, 8.0]]),
    "modf": (lambda x: np.modf(x)[0], [[-1.5, np.inf, 2.0]], [[1.0, 0.0, 1.0]]),
}


@pytest.mark.parametrize(("function", "operands", "slopes"), KINKS.values(), ids=KINKS)
def test_the_slope_at_kinks_and_far_out(function: Any, operands: list[Any], slopes: list[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        leaves = leaves_of(*operands)
        y = function(*leaves)
        y.backward(np.ones(y.shape))
    for leaf, slope in zip(leaves, slopes, strict=True):
        np.testing.assert_allclose(leaf.grad, slope, rtol=1e-14, atol=0)


def test_the_fraction_keeps_its_sign_where_it_is_zero() -> None:
    x = np.array([-2.0, -np.inf, 2.0, np.inf, -0.0])
    for ours, numpys in zip(np.modf(Tensor(x)), np.modf(x), strict=True):
        np.testing.assert_array_equal(np.signbit(ours), np.signbit(numpys))


def test_the_exponent_of_a_negative_base_has_no_derivative() -> None:
    (b,) = leaves_of([3.0])
    np.power(-2.0, b).backward()
    assert np.isnan(b.grad[0])


def test_the_mixed_derivative_of_a_power_at_exponent_0() -> None:
    a, b = leaves_of([2.0], [0.0])
    (a**b).sum().gradient(a, create_graph=True).sum().backward()
    np.testing.assert_allclose(b.grad, 0.5)


def test_derivatives_of_sinc_up_to_the_fourth_agree_with_mpmath() -> None:
    mpmath = pytest.importorskip("mpmath", reason="it is the judge")
    points = [0.0, 1e-9, -0.01, 0.2, 0.2499999, 0.25, 0.2500001, 0.7, -1.0, 2.5]
    (x,) = leaves_of(points)
    y: Any = np.sinc(x)
    for order in range(1, 5):
        y = y.sum().gradient(x, create_graph=True)
        expected = [float(mpmath.diff(mpmath.sincpi, p, order)) for p in points]
        np.testing.assert_allclose(y.data, expected, rtol=1e-9, atol=1e-9)


def test_derivatives_of_i0_agree_with_mpmath() -> None:
    mpmath = pytest.importorskip("mpmath", reason="it is the judge")
    points = [0.0, 1e-9, -0.3, 2.0, -7.9, 8.1, 24.9, 25.1, -40.0]
    (x,) = leaves_of(points)
    y: Any = np.i0(x)
    for order in range(1, 6):
        y = y.sum().gradient(x, create_graph=True)
        expected = [float(mpmath.diff(lambda z: mpmath.besseli(0, z), p, order)) for p in points]
        np.testing.assert_allclose(y.data, expected, rtol=1e-13, atol=1e-15)


arrays = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4),
    elements=st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]),
)


@some
@given(arrays, st.data())
def test_reduce_and_accumulate_take_any_axis(x: np.ndarray, data: st.DataObject) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    for ufunc in (np.add, np.multiply, np.maximum, np.minimum, np.fmax, np.fmin, np.logaddexp):
        keepdims = data.draw(st.booleans())
        alike(lambda t, u=ufunc, k=keepdims: u.reduce(t, axis, keepdims=k), x)
        alike(lambda t, u=ufunc: u.accumulate(t, axis), x)


@some
@given(arrays)
def test_accumulated_sums_and_products_have_exact_derivatives(x: np.ndarray) -> None:
    differentiates(lambda t: np.add.accumulate(t, axis=-1) * np.multiply.accumulate(t, axis=0), x)


@some
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3), st.sampled_from(sorted(BINARY)))
def test_binary_functions_broadcast(shapes: Any, name: str) -> None:
    rng = np.random.default_rng(1)
    x, y = (rng.uniform(0.5, 2, shape) for shape in shapes.input_shapes)
    leaves = leaves_of(x, y)
    result = getattr(np, name)(*leaves)
    assert result.shape == shapes.result_shape
    np.testing.assert_array_equal(result.data, getattr(np, name)(x, y))
    result.backward(np.ones(result.shape))
    full = leaves_of(*np.broadcast_arrays(x, y))
    getattr(np, name)(*full).backward(np.ones(result.shape))
    for leaf, wide in zip(leaves, full, strict=True):
        lead = wide.grad.ndim - leaf.ndim
        summed = wide.grad.sum(axis=tuple(range(lead)))
        stretched = tuple(i for i, n in enumerate(leaf.shape) if n == 1)
        np.testing.assert_allclose(leaf.grad, summed.sum(axis=stretched, keepdims=True), rtol=1e-12)


def added(x: Any, v: Any) -> Any:
    """Add to some elements more than once, as messages are gathered along the edges of a graph."""
    x = x * 1.0
    np.add.at(x, [0, 1, 0], v)
    np.subtract.at(x, (slice(None), np.array([2, 2])), 0.5 * v[:2, :1])
    np.add.at(x, (1, 1), 3.0)
    return x


def test_repeated_additions_at_an_index_all_count() -> None:
    x, v = REAL, np.arange(9.0).reshape(3, 3)
    alike(added, x, v)
    differentiates(added, x, v)


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "where": (lambda t: np.add(t, 1, where=t > 0), NotImplementedError, r"where=.*shape \(2, 3\).*np\.where\(m, "),
    "dtype": (lambda t: np.exp(t, dtype="f4"), NotImplementedError, r"exp on a Tensor.*dtype='f4'.*\.astype\(dtype\)"),
    "out": (lambda t: np.exp(t, out=np.empty(t.shape)), TypeError, "no gradient can follow"),
    "out of reduce": (lambda t: np.add.reduce(t, out=np.empty(3)), TypeError, "no gradient can follow"),
    "out of clip": (lambda t: np.clip(t, 0, 1, out=t), TypeError, "no gradient can follow"),
    "casting": (lambda t: np.exp(t, casting="no"), NotImplementedError, "exp on a Tensor does not take casting='no'"),
    "where in modf": (lambda t: np.modf(t, where=t > 0), NotImplementedError, "modf on a Tensor does not take where"),
    "where in divmod": (lambda t: np.divmod(t, 2, where=t > 0), NotImplementedError, "divmod on a Tensor.*where"),
    "where in heaviside": (lambda t: np.heaviside(t, 2, where=t > 0), NotImplementedError, "heaviside.*where"),
    "where in logaddexp.reduce": (
        lambda t: np.logaddexp.reduce(t, where=t > 0, initial=0.0), NotImplementedError, "logaddexp.reduce on a Tensor",
    ),
    "multiply.at": (lambda t: np.multiply.at(t, [0], 1.0), NotImplementedError, r"multiply\.at.*x\[i\] = np\.mul"),
    "add.at of a leaf": (lambda t: np.add.at(t, [0], 1.0), RuntimeError, r"y = x\.copy\(\)"),
    "add.at of an array": (lambda t: np.add.at(np.zeros((2, 3)), [0], t[0]), TypeError, r"np\.add\.at.*Tensor\(x\)"),
    "add.reduceat": (lambda t: np.add.reduceat(t, [0, 1]), NotImplementedError, r"np\.add\.reduceat.*np\.stack"),
    "nextafter": (lambda t: np.nextafter(t, 1), NotImplementedError, "np.nextafter is not differentiated"),
    "nan_to_num in place": (lambda t: np.nan_to_num(t, copy=False), NotImplementedError, r"t = np\.nan_to_num\(t\)"),
    "complex": (lambda t: np.real(Tensor([1j])), NotImplementedError, r"np\.real\(t\.data\)"),
    "subtract.reduce": (lambda t: np.subtract.reduce(t), NotImplementedError, "np.subtract.reduce is not"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_differentiated_says_what_to_write(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(*leaves_of(REAL))
