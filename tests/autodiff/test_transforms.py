"""Transforms: against closed forms, against each other, and against PyTorch."""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff.op import Op
from autodiff.state import is_grad_enabled, no_grad
from autodiff.tensor import Tensor
from autodiff.transforms import grad, hessian, hvp, jacobian, jvp, stop_gradient, value_and_grad, vjp

X = np.array([0.3, -1.2, 0.8])
A = np.array([[0.5, -0.2, 1.0], [0.1, 0.7, -0.4]])


def cubic(x: Any) -> Any:
    return (x**3).sum() + x[0] * x[1] * x[2]


def cubic_hessian(x: np.ndarray) -> np.ndarray:
    a, b, c = x
    return np.array([[6 * a, c, b], [c, 6 * b, a], [b, a, 6 * c]])


def is_plain(x: Any) -> bool:
    return type(x) is np.ndarray


# grad and value_and_grad


def test_grad_nests_to_any_order() -> None:
    f: Callable[..., Any] = lambda x: np.sin(x) * x**3
    x = 2.0
    derivatives = [
        x**3 * math.cos(x) + 3 * x**2 * math.sin(x),
        -(x**3) * math.sin(x) + 6 * x**2 * math.cos(x) + 6 * x * math.sin(x),
        -(x**3) * math.cos(x) - 9 * x**2 * math.sin(x) + 18 * x * math.cos(x) + 6 * math.sin(x),
    ]
    for expected in derivatives:
        f = grad(f)
        result = f(x)
        assert is_plain(result)
        assert result.shape == ()
        assert result == pytest.approx(expected, rel=1e-13)


def test_grad_of_a_polynomial_to_the_sixth_order() -> None:
    f: Callable[..., Any] = lambda x: x**6
    for _ in range(6):
        f = grad(f)
    assert f(1.7) == pytest.approx(720)
    assert grad(f)(1.7) == 0


def test_nested_transforms_do_not_confuse_their_variables() -> None:
    assert grad(lambda x: x * grad(lambda y: x + y)(1.0))(3.0) == 1
    assert grad(lambda x: x * grad(lambda y: x * y**2)(2.0))(3.0) == 24
    assert grad(lambda x: grad(lambda y: x * y)(x))(3.0) == 1
    assert grad(lambda x: grad(lambda x: x**3)(x) + grad(lambda y: y * x)(5.0))(2.0) == 13
    product = grad(lambda x: (hvp(cubic, (x,), (np.ones(3),)) ** 2).sum())(X)
    np.testing.assert_allclose(product, _numeric_gradient(lambda x: (cubic_hessian(x).sum(1) ** 2).sum(), X), rtol=1e-7)


def test_arguments_may_be_nested() -> None:
    Pair = namedtuple("Pair", "left right")
    params = {"layers": [{"w": A, "b": np.ones(2)}, {"w": np.ones((1, 2)), "b": 0.5}], "pair": Pair(X, (2.0, None))}

    def f(p: Any, x: Any) -> Any:
        first, second = p["layers"]
        hidden = np.tanh(first["w"] @ x + first["b"])
        return (second["w"] @ hidden).sum() * second["b"] + (p["pair"].left * p["pair"].right[0]).sum()

    value, g = value_and_grad(f)(params, X)
    hidden = np.tanh(A @ X + 1)
    assert value == pytest.approx(hidden.sum() * 0.5 + 2 * X.sum())
    assert list(g) == ["layers", "pair"]
    assert isinstance(g["pair"], Pair)
    assert g["pair"].right[1] is None
    np.testing.assert_allclose(g["pair"].left, [2, 2, 2])
    np.testing.assert_allclose(g["pair"].right[0], X.sum())
    np.testing.assert_allclose(g["layers"][0]["b"], 0.5 * (1 - hidden**2))
    np.testing.assert_allclose(g["layers"][0]["w"], np.outer(0.5 * (1 - hidden**2), X))
    np.testing.assert_allclose(g["layers"][1]["w"], 0.5 * hidden[None])
    assert all(is_plain(leaf) for leaf in (g["layers"][1]["b"], g["pair"].left, g["layers"][0]["w"]))


def test_argnums() -> None:
    def f(a: Any, b: Any, c: Any = 1.0, *, d: Any = 1.0) -> Any:
        return a * b**2 * c**3 * d

    assert grad(f, 1)(2.0, 3.0) == 12
    assert grad(f, -1)(2.0, 3.0) == 12
    assert grad(f, (2, 0))(2.0, 3.0, 5.0, d=2.0) == (2 * 9 * 75 * 2, 9 * 125 * 2)
    assert isinstance(grad(f, (0,))(2.0, 3.0), tuple)
    assert grad(f, [0, 1])(2.0, 3.0) == (9, 12)
    value, g = value_and_grad(f, argnums=(0, 1))(2.0, 3.0)
    assert (value, *g) == (18, 9, 12)
    assert grad(f, np.int64(1))(2, 3.0, 1) == 12  # the others may be integers


def test_has_aux() -> None:
    def f(x: Any) -> Any:
        y = x * x
        return y.sum(), {"y": y, "note": "kept", "none": None}

    g, aux = grad(f, has_aux=True)(X)
    np.testing.assert_allclose(g, 2 * X)
    assert is_plain(aux["y"])
    assert aux["note"] == "kept"
    (value, aux), g = value_and_grad(f, has_aux=True)(X)
    assert is_plain(value)
    np.testing.assert_allclose(aux["y"], X * X)
    (value, back, aux) = vjp(f, X, has_aux=True)
    np.testing.assert_allclose(back(1.0)[0], 2 * X)
    h, aux = hessian(f, has_aux=True)(X)
    np.testing.assert_allclose(h, 2 * np.eye(3))
    assert is_plain(aux["y"])
    assert jvp(f, (X,), (X,), has_aux=True)[2]["note"] == "kept"
    np.testing.assert_allclose(hvp(f, (X,), (X,), has_aux=True)[0], 2 * X)
    # An outer transform differentiates through what is beside the value.
    np.testing.assert_allclose(grad(lambda x: grad(f, has_aux=True)(x)[1]["y"].sum())(X), 2 * X)


@pytest.mark.parametrize("f", [lambda x, y: y.sum(), lambda x, y: 3.0, lambda x, y: 3, lambda x, y: np.argmax(y)])
def test_what_the_result_does_not_depend_on_has_gradient_zero(f: Any) -> None:
    g = grad(f)(X.astype(np.float32), X)
    assert is_plain(g)
    assert g.dtype == np.float32
    np.testing.assert_array_equal(g, np.zeros(3))
    np.testing.assert_array_equal(hessian(f)(X, X), np.zeros((3, 3)))
    np.testing.assert_array_equal(jvp(f, (X, 2 * X), (X, 0 * X))[1], 0)
    np.testing.assert_array_equal(hvp(f, (X, X), (X, X))[1], np.zeros(3))
    assert grad(lambda x: grad(lambda y: y.sum())(x).sum())(X).tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_are_kept(dtype: Any) -> None:
    x = X.astype(dtype)
    assert grad(cubic)(x).dtype == dtype
    assert hessian(cubic)(x).dtype == dtype
    assert jvp(np.sin, (x,), (X,))[1].dtype == dtype
    assert vjp(np.sin, x)[1](X)[0].dtype == dtype


def test_arguments_are_left_alone() -> None:
    x = X.copy()

    def f(x: Any) -> Any:
        x[0] = x[1] * 5
        x += 1
        return (x * x).sum()

    np.testing.assert_allclose(grad(f)(x), [0, 10 * (5 * x[1] + 1) + 2 * (x[1] + 1), 2 * (x[2] + 1)])
    expected = np.zeros((3, 3))
    expected[1, 1], expected[2, 2] = 52, 2
    np.testing.assert_allclose(hessian(f)(x), expected)
    np.testing.assert_array_equal(x, X)
    for result in (grad(lambda x: (x * 1.0).sum())(x), value_and_grad(lambda x: x[0])(x)[0], vjp(lambda x: x, x)[0]):
        assert not np.shares_memory(result, x)
        result[...] = 7


def test_gradients_are_distinct_arrays() -> None:
    a, b = grad(lambda a, b: (a + b).sum(), (0, 1))(X, X)
    assert not np.shares_memory(a, b)
    a[0] = 9
    assert b[0] == 1


# Tensors of an outer computation


def test_gradients_flow_through_to_tensors_and_their_grad_is_left_alone() -> None:
    x = Tensor(X, requires_grad=True)
    g = grad(cubic)(x)
    assert isinstance(g, Tensor)
    assert x.grad is None
    (g * g).sum().backward()
    np.testing.assert_allclose(x.grad, 2 * cubic_hessian(X) @ grad(cubic)(X))
    with no_grad():
        assert is_plain(grad(cubic)(x))
    assert is_plain(grad(cubic)(Tensor(X)))


def test_captured_parameters_are_reached() -> None:
    """The gradient penalty of a critic: a loss on the gradient by the data, differentiated by the weights."""
    w = Tensor(A, requires_grad=True)
    g = grad(lambda x: np.tanh(w @ x).sum())(X)
    (np.square(g).sum() - 1).backward()
    expected = _numeric_gradient(lambda w: np.square((1 - np.tanh(w @ X) ** 2) @ w).sum(), A)
    np.testing.assert_allclose(w.grad, expected, rtol=1e-7)
    value, back = vjp(lambda x: w @ x, X)
    assert isinstance(value, Tensor)
    assert isinstance(back(np.ones(2))[0], Tensor)
    assert isinstance(jacobian(lambda x: w @ x)(X), Tensor)
    with no_grad():
        value, back = vjp(lambda x: w @ x, X)
        assert is_plain(value)
        assert is_plain(back(np.ones(2))[0])


def test_the_mode_is_on_inside_and_as_before_outside() -> None:
    seen = []
    with no_grad():
        g = grad(lambda x: (seen.append(is_grad_enabled()), x * x)[1])(3.0)
        assert not is_grad_enabled()
    assert g == 6
    assert seen == [True]
    with pytest.raises(ZeroDivisionError):
        grad(lambda x: 1 // 0)(3.0)
    with no_grad(), pytest.raises(ZeroDivisionError):
        hessian(lambda x: 1 // 0)(3.0)


def test_stop_gradient() -> None:
    assert grad(lambda x: x * stop_gradient(x))(3.0) == 3
    assert grad(grad(lambda x: x**2 * stop_gradient(x)))(3.0) == 6
    parts = stop_gradient({"a": [Tensor(X, requires_grad=True), X], "b": (2.0, None)})
    assert not parts["a"][0].requires_grad
    assert parts["a"][1] is X
    assert parts["b"] == (2.0, None)


# vjp, jvp, hvp


def test_vjp_may_be_pulled_again() -> None:
    value, back = vjp(lambda x, y: {"product": x * y, "sum": x.sum()}, X, 2.0)
    np.testing.assert_allclose(value["product"], 2 * X)
    for scale in (1.0, 3.0):
        gx, gy = back({"product": scale * np.ones(3), "sum": scale})
        np.testing.assert_allclose(gx, scale * np.full(3, 3.0))
        np.testing.assert_allclose(gy, scale * X.sum())
    value["product"][:] = 0  # what was returned may be changed
    np.testing.assert_allclose(back({"product": np.ones(3), "sum": 0})[1], X.sum())
    assert grad(lambda u: vjp(np.sin, X)[1](u)[0] @ X)(X) == pytest.approx(X * np.cos(X))


def test_vjp_value_may_be_changed_where_the_rule_uses_it() -> None:
    value, back = vjp(np.exp, X)
    value[:] = 0
    np.testing.assert_allclose(back(np.ones(3))[0], np.exp(X))


shapes = npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
finite = st.floats(-2, 2)


@st.composite
def points(draw: Any) -> tuple[Any, ...]:
    shape = draw(shapes)
    return tuple(draw(npst.arrays(np.float64, shape, elements=finite)) for _ in range(4))


def nested(x: Any, y: Any) -> Any:
    return [np.sin(x) * y + x, {"sum": (x * y * y).sum()}, (x, 3.0)]


@settings(max_examples=60, deadline=None)
@given(points())
def test_jvp_and_vjp_are_transposes_and_agree_with_differences(point: Any) -> None:
    x, y, dx, dy = point
    (first, _, _), (d1, d2, (d3, d4)) = jvp(nested, (x, y), (dx, dy))
    np.testing.assert_allclose(first, np.sin(x) * y + x)
    np.testing.assert_allclose(d1, np.cos(x) * y * dx + np.sin(x) * dy + dx, atol=1e-12)
    np.testing.assert_allclose(d2["sum"], (y * y * dx + 2 * x * y * dy).sum(), atol=1e-12)
    np.testing.assert_allclose(d3, dx)
    assert d4 == 0
    u = np.cos(x + 1)
    gx, gy = vjp(nested, x, y)[1]([u, {"sum": 0.5}, (2 * u, 1.0)])
    np.testing.assert_allclose(
        (u * d1).sum() + 0.5 * d2["sum"] + (2 * u * d3).sum(), (gx * dx).sum() + (gy * dy).sum(), atol=1e-10
    )


@settings(max_examples=60, deadline=None)
@given(npst.arrays(np.float64, 3, elements=finite), npst.arrays(np.float64, 3, elements=finite))
def test_hvp_is_the_hessian_times_the_vector(x: np.ndarray, v: np.ndarray) -> None:
    np.testing.assert_allclose(hessian(cubic)(x), cubic_hessian(x), atol=1e-12)
    np.testing.assert_allclose(hvp(cubic, (x,), (v,)), cubic_hessian(x) @ v, atol=1e-12)
    np.testing.assert_allclose(jvp(grad(cubic), (x,), (v,))[1], cubic_hessian(x) @ v, atol=1e-12)


def test_hvp_with_several_and_nested_arguments() -> None:
    def f(p: Any, s: Any) -> Any:
        return (p["a"] * p["b"][0] ** 2).sum() * s

    a, b = X, X + 2
    product = hvp(f, ({"a": a, "b": [b]}, 3.0), ({"a": a, "b": [b]}, 1.0))
    expected = [3 * 2 * b * b + b * b, 3 * (2 * b * a + 2 * a * b) + 2 * a * b]
    np.testing.assert_allclose(product[0]["a"], expected[0])
    np.testing.assert_allclose(product[0]["b"][0], expected[1])
    assert product[1] == pytest.approx((a * b**2).sum() + 2 * (a * b**2).sum())


def test_jvp_nests() -> None:
    second = jvp(lambda x: jvp(np.sin, (x,), (1.0,))[1], (0.7,), (1.0,))[1]
    assert second == pytest.approx(-math.sin(0.7))
    assert grad(lambda x: jvp(lambda y: y**3 * x, (x,), (x,))[1])(2.0) == pytest.approx(12 * 16 / 2 * 1.0)
    assert grad(lambda v: jvp(np.sin, (0.7,), (v,))[1])(5.0) == pytest.approx(math.cos(0.7))


def test_jvp_where_the_derivative_is_infinite_does_not_warn() -> None:
    x = np.array([0.0, 1.0])
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(jvp(np.sqrt, (x,), (np.ones(2),))[1], [np.inf, 0.5])


# jacobian and hessian


@pytest.mark.parametrize("matrix", [A, A.T, A[:, :2], A[:1], A[:, :0], A[:0]], ids=lambda m: str(m.shape))
def test_jacobian_of_a_linear_map_is_its_matrix(matrix: np.ndarray) -> None:
    """By rows where there are few, by columns where these are fewer: the result is the same."""
    result = jacobian(lambda x: matrix @ x)(np.arange(float(matrix.shape[1])))
    assert is_plain(result)
    np.testing.assert_array_equal(result, matrix)


@pytest.mark.parametrize(("rows", "columns"), [(2, 50), (50, 2)])
def test_jacobian_takes_the_shorter_way(rows: int, columns: int) -> None:
    passes = []
    counted = Op(np.dot, (None, lambda g, y, a, b: (passes.append(1), a.T @ g)[1]), "counted", "·", ("",), (), False)
    matrix = np.arange(100.0).reshape(rows, columns)
    np.testing.assert_array_equal(jacobian(lambda x: counted(matrix, x))(np.ones(columns)), matrix)
    assert len(passes) <= 3


@pytest.mark.parametrize("many", [1, 5])
def test_jacobian_of_nested_values(many: int) -> None:
    def f(p: Any, s: Any) -> Any:
        return {"a": np.stack([p["x"] * s] * many), "b": (p["y"] * s, s)}

    x, y = np.arange(6.0).reshape(2, 3), np.float64(2)
    result = jacobian(f, (0, 1))({"x": x, "y": y}, 3.0)
    a, (b, c) = result["a"], result["b"]
    assert a[0]["x"].shape == (many, 2, 3, 2, 3)
    np.testing.assert_array_equal(a[0]["x"].reshape(many, 6, 6)[-1], 3 * np.eye(6))
    np.testing.assert_array_equal(a[0]["y"], np.zeros((many, 2, 3)))
    np.testing.assert_array_equal(a[1], np.stack([x] * many))
    assert (b[0]["y"], b[1], c[0]["y"], c[1]) == (3, 2, 0, 1)
    np.testing.assert_array_equal(c[0]["x"], np.zeros((2, 3)))


def test_jacobian_and_grad_compose() -> None:
    np.testing.assert_allclose(jacobian(grad(cubic))(X), cubic_hessian(X))
    np.testing.assert_allclose(jacobian(jacobian(cubic))(X), cubic_hessian(X))
    third = jacobian(hessian(cubic))(X)
    expected = np.zeros((3, 3, 3))
    for i in range(3):
        expected[i, i, i] = 6
    for i, j, k in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]:
        expected[i, j, k] = 1
    np.testing.assert_allclose(third, expected)
    tall = lambda x: np.concatenate([np.sin(x), x**2, np.exp(x)])
    np.testing.assert_allclose(
        grad(lambda x: (jacobian(tall)(x) ** 2).sum())(X),
        -2 * np.cos(X) * np.sin(X) + 8 * X + 2 * np.exp(2 * X),
    )


def test_hessian_by_several_arguments() -> None:
    (aa, ab), (ba, bb) = hessian(lambda a, b: (a**2 * b).sum(), (0, 1))(X, X + 2)
    np.testing.assert_allclose(aa, np.diag(2 * (X + 2)))
    np.testing.assert_allclose(ab, np.diag(2 * X))
    np.testing.assert_allclose(ba, ab.T)
    np.testing.assert_array_equal(bb, np.zeros((3, 3)))


def test_the_function_keeps_its_name() -> None:
    assert grad(cubic).__name__ == "cubic"


def _numeric_gradient(f: Callable[[Any], Any], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    g = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        unit = np.zeros_like(x)
        unit[i] = step
        g[i] = (f(x + unit) - f(x - unit)) / (2 * step)
    return g
