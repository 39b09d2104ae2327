"""The checkers are checked: honest gradients pass, planted faults are caught and described."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autodiff.check import GradientError, OpError, check_op, gradcheck
from autodiff.check.differences import has_kink, slope
from autodiff.op import Op, op, registry
from autodiff.sample import positive, real, sample
from autodiff.tensor import Tensor
from autodiff.transforms import checkpoint, grad, jvp

X, Y = np.array([[0.3, -1.2, 0.8], [1.1, 0.7, -0.4]]), np.array([0.9, -0.6, 1.4])


def unregistered(forward: Callable[..., Any], *rules: Any, variadic: bool = False) -> Op:
    """Make an op that only this test sees: building an `Op` does not register it."""
    return Op(forward, rules, "planted", "?", ("?",), (), variadic)


def broken(name: str, factor: float = 1.001, position: int = 0) -> Op:
    """A built-in op with one rule off by a factor."""
    right = registry[name]

    rule = right.rules[position]
    assert rule is not None

    @functools.wraps(rule)
    def wrong(*args: Any, **params: Any) -> Any:
        return factor * rule(*args, **params)

    rules = tuple(wrong if p == position else other for p, other in enumerate(right.rules))
    return Op(right.forward, rules, name, right.symbol, right.formula, (), right.variadic)


# Numeric derivatives


def test_slope_by_complex_step_is_exact() -> None:
    line = lambda t: np.array([np.exp(np.sin(1 + t)), (2 + t) ** 3])
    exact = [np.exp(np.sin(1)) * np.cos(1), 12]
    found = slope(line, line)
    assert found.method == "complex step"
    np.testing.assert_allclose(found.value, exact, rtol=1e-15)
    found = slope(line)
    assert found.method == "central differences"
    np.testing.assert_allclose(found.value, exact, rtol=1e-10)
    assert (found.error < 1e-8).all()


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(lambda t: np.array([np.abs(1.5 + t) ** 2]), id="not analytic"),
        pytest.param(lambda t: np.array([float(np.real(1.5 + t)) ** 2]), id="drops the imaginary part"),
        pytest.param(lambda t: np.array([np.linalg.norm(np.array([1.5 + t, 0.0])) ** 2]), id="a norm"),
        pytest.param(lambda t: np.array([(1.5 + t) ** 2 if isinstance(t, float) else 1 / 0]), id="raises"),
        pytest.param(lambda t: np.array([np.logaddexp(0, 50 + t)]) * 3, id="not defined for complex numbers"),
    ],
)
def test_the_complex_step_is_not_believed_where_the_function_is_not_analytic(line: Any) -> None:
    found = slope(line, line)
    assert found.method == "central differences"
    np.testing.assert_allclose(found.value, [3.0], rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3])
def test_slope_finds_its_step(scale: float) -> None:
    """log near 0 leaves no room for large steps, a wide parabola none for small ones."""
    np.testing.assert_allclose(slope(lambda t: np.array([np.log(1e-3 + t)])).value, [1e3], rtol=1e-7)
    np.testing.assert_allclose(slope(lambda t: np.array([scale * (3 + t) ** 2])).value, [6 * scale], rtol=1e-9)


def test_kinks_are_seen() -> None:
    assert has_kink(abs)
    assert has_kink(lambda t: max(t, 0.0) + 5)
    assert has_kink(lambda t: float(t > 0))
    assert has_kink(lambda t: np.sqrt(abs(t)))
    assert not has_kink(lambda t: t * abs(t))
    assert not has_kink(lambda t: 1e5 * np.sin(t + 1))
    assert not has_kink(lambda t: 0.0)


# gradcheck


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda x, y: np.sin(x) * y, (X, Y)),
        (lambda x: (np.abs(x) ** 1.5).sum(), (X,)),
        (lambda x: np.linalg.norm(x) if not isinstance(x, Tensor) else np.sqrt((x * x).sum()), (X,)),
        (lambda p, n: {"a": p["w"] ** n, "b": [p["b"].sum(), 3]}, ({"w": X, "b": [Y][0]}, 3)),
        (lambda x: np.logaddexp(x, 0), (X,)),
        (lambda x: x[np.array([0, 0, 1])] * np.maximum(x, 0)[0], (X,)),
        (lambda x: 1e-8 * np.exp(x), (X,)),
        (lambda x: 1e8 * np.exp(x), (X,)),
        (lambda x: x * 0.0, (X,)),
        (lambda x: x.sum(), (np.ones((0, 3)),)),
        (lambda x: grad(lambda y: (y**3).sum())(x), (X,)),
        (lambda x: jvp(np.sin, (x,), (x,))[1], (X,)),
        (lambda x: (x**3).sum().gradient(x, create_graph=True), (X,)),
        (lambda x: checkpoint(lambda x: np.sin(x) * x)(x), (X,)),
        (lambda x: _assigned(x), (X,)),
        (lambda x: x.std(axis=0), (X,)),
    ],
)
def test_right_gradients_pass(f: Any, args: Any) -> None:
    assert gradcheck(f, *args)
    assert gradcheck(f, *args, order=2)


def _assigned(x: Any) -> Any:
    x[0] = x[1] * 2
    return x * x


def test_narrow_floats_are_checked_in_double_precision() -> None:
    assert gradcheck(lambda x: np.exp(x), X.astype(np.float32), order=2)
    assert gradcheck(lambda x: np.exp(x), Tensor(X, requires_grad=True), order=2)
    with pytest.raises(TypeError, match="returned float32, too coarse"):
        gradcheck(lambda x: np.exp(x).astype(np.float32), X)


@pytest.mark.parametrize(
    ("name", "operands", "params", "position"),
    [
        ("multiply", (X, Y), {}, 0),
        ("multiply", (X, Y), {}, 1),
        ("divide", (X, Y), {}, 1),
        ("exp", (X,), {}, 0),
        ("tanh", (X,), {}, 0),
        ("sigmoid", (X,), {}, 0),
        ("absolute", (X,), {}, 0),
        ("maximum", (X, Y), {}, 1),
        ("matmul", (X, Y), {}, 0),
        ("matmul", (X, Y), {}, 1),
        ("mean", (X,), {"axis": 0}, 0),
        ("sum", (X,), {"axis": 1}, 0),
        ("reshape", (X,), {"shape": (3, 2)}, 0),
        ("getitem", (X,), {"index": (0, slice(1, None))}, 0),
        ("softmax", (X,), {}, 0),
        ("logsumexp", (X,), {"axis": 1}, 0),
        ("gelu", (X,), {}, 0),
    ],
)
@pytest.mark.parametrize("factor", [1.001, -1])
def test_a_planted_factor_is_caught(name: str, operands: Any, params: Any, position: int, factor: float) -> None:
    """Alone, and deep inside a function of which it is a small part."""
    wrong = broken(name, factor, position)
    with pytest.raises(GradientError) as caught:
        gradcheck(lambda *xs: wrong(*xs, **params), *operands)
    error = caught.value
    assert error.order == 1
    assert error.argument == f"argument {position}"
    assert not error.kink
    assert error.relative_error == pytest.approx(abs(1 - 1 / factor) if factor > 1 else 2, rel=1e-3)
    assert error.analytic == pytest.approx(factor * error.numeric, rel=1e-6)
    with pytest.raises(GradientError):
        gradcheck(lambda *xs: (np.sin(xs[0]) * 10).sum() + (wrong(*xs, **params) ** 2).sum(), *operands)
    with pytest.raises(GradientError):
        gradcheck(lambda *xs: (registry[name](*xs, **params) ** 2).sum() + np.square(wrong(*xs, **params)), *operands)


def test_the_report() -> None:
    planted = unregistered(
        lambda x: x**3, lambda g, y, x: g * np.where(np.arange(6).reshape(2, 3) == 4, 3.1, 3) * x * x
    )
    with pytest.raises(GradientError) as caught:
        gradcheck(lambda p, n: planted(p["w"][0]) * n, {"w": [X]}, 2)
    error = caught.value
    assert (error.argument, error.index, error.output_index) == ("argument 0['w'][0]", (1, 1), (1, 1))
    assert error.analytic == pytest.approx(2 * 3.1 * 0.49)
    assert error.numeric == pytest.approx(2 * 3 * 0.49)
    assert error.relative_error == pytest.approx(0.1 / 3.1)
    for part in (
        "the gradient by argument 0['w'][0] is wrong: 1 of 36 elements differ",
        "(1, 1) of argument 0['w'][0], of shape (2, 3)",
        "(complex step)",
        "no kink is near",
    ):
        assert part in str(error)
    with pytest.raises(GradientError, match=r"each of them is 1\.001 times what it should be"):
        gradcheck(lambda x: broken("exp")(x), X)


def test_of_a_large_jacobian_a_part_is_compared() -> None:
    wrong = broken("exp")
    with pytest.raises(GradientError, match=r"of 2000 elements differ(.|\n)*of its sum"):
        gradcheck(lambda x: wrong(x), np.linspace(-1, 1, 2500))


@pytest.mark.parametrize("at", [0.0, 1e-9, 5e-6])
def test_a_kink_is_named(at: float) -> None:
    with pytest.raises(GradientError, match="a kink or jump is near") as caught:
        gradcheck(lambda x: np.where(x > 0, 3 * x, x), np.array([2.0, at]))
    assert caught.value.kink
    assert caught.value.index == (1,)


def test_beside_a_kink_there_is_still_room() -> None:
    assert gradcheck(lambda x: np.maximum(x, 0) + abs(x), np.array([1e-3, -1e-3, 2e-4]))
    with pytest.raises(GradientError, match="no kink"):
        gradcheck(lambda x: broken("absolute")(x), np.array([1e-2, -1e-2]))


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(lambda g, y, a, b: g * Tensor(b.data) if isinstance(g, Tensor) else g * b, id="operand detached"),
        pytest.param(lambda g, y, a, b: Tensor(g.data) * b if isinstance(g, Tensor) else g * b, id="upstream detached"),
        pytest.param(lambda g, y, a, b: g * b * (1.001 if isinstance(g, Tensor) else 1), id="differs on Tensors"),
    ],
)
def test_a_rule_right_at_first_order_only_is_caught_at_second(rule: Any) -> None:
    product = unregistered(np.multiply, rule, lambda g, y, a, b: g * a)
    assert gradcheck(product, X, X[::-1])
    with pytest.raises(GradientError, match=r"derivative of the gradient|on Tensors") as caught:
        gradcheck(product, X, X[::-1], order=2)
    assert caught.value.order == 2


def test_what_gradcheck_refuses() -> None:
    with pytest.raises(TypeError, match="needs an argument of floating-point numbers"):
        gradcheck(lambda x: x, 3)
    with pytest.raises(ValueError, match="order is 1 or 2"):
        gradcheck(np.sin, X, order=3)


def test_a_gradient_that_is_not_finite_is_wrong() -> None:
    nan = unregistered(np.exp, lambda g, y, x: g * np.nan)
    with pytest.raises(GradientError, match="nan"):
        gradcheck(nan, X)


# check_op


def honest(**changes: Any) -> Op:
    """Declare a right op of two operands, but for `changes`."""
    facts: dict[str, Any] = {
        "forward": lambda a, b, k=1.0: k * a * b * b,
        "rules": (first, second),
        "formula": ("k·b²", "2k·a·b"),
        "samples": [(real(2, 3), positive(3)), sample(real(3), positive(3), k=0.5)],
    } | changes
    return op(facts["forward"], *facts["rules"], name="mine", formula=facts["formula"], samples=facts["samples"])


def first(g: Any, y: Any, a: Any, b: Any, k: float = 1.0) -> Any:
    return g * k * b * b


def second(g: Any, y: Any, a: Any, b: Any, k: float = 1.0) -> Any:
    return g * 2 * k * a * b


def _off(g: Any, y: Any, a: Any, b: Any, k: float = 1.0) -> Any:
    return 1.001 * first(g, y, a, b, k)


def _without_k(g: Any, y: Any, a: Any, b: Any, k: float = 1.0) -> Any:
    return first(g, y, a, b)


def _detached(g: Any, y: Any, a: Any, b: Any, k: float = 1.0) -> Any:
    return g * k * (b.data if isinstance(b, Tensor) else b) ** 2


def _changes_upstream(g: Any, y: Any, a: Any, b: Any, k: float = 1.0) -> Any:
    g *= 2
    return g * k * a * b


def _by_layout(g: Any, y: Any, a: Any, b: Any, k: float = 1.0) -> Any:
    return second(g, y, a, b, k) * (1 if isinstance(b, Tensor) or b.flags.c_contiguous else 2)


def _not_empty(g: Any, y: Any, a: Any, b: Any, k: float = 1.0) -> Any:
    return first(g, y, a, b, k) * (b.size // b.size)


def _misshapen(g: Any, y: Any, a: Any, b: Any, k: float = 1.0) -> Any:
    return np.sum(second(g, y, a, b, k))


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no samples": ({"samples": []}, "declaration: it has no samples"),
    "too few formulas": ({"formula": ()}, "it has 0 formulas for 2 operands"),
    "a rule that no sample reaches": ({"samples": [(real(3), 2.0)]}, r"in no sample has operand \[1\] a gradient"),
    "a slightly wrong rule": (
        {"rules": (_off, second)},
        r"gradient, sample 0 \(of shape \(2, 3\), of shape \(3,\)\): the gradient by argument 0 is wrong",
    ),
    "a forgotten parameter": (
        {"rules": (_without_k, second)},
        r"1 of .*differ|gradient, sample 1 \(of shape \(3,\), of shape \(3,\), k=0\.5\)",
    ),
    "a detached operand": ({"rules": (_detached, second)}, "the derivative of the gradient by argument 1"),
    "a rule that changes its upstream gradient": (
        {"rules": (first, _changes_upstream)},
        "sharing, sample 0 .*rule 1 changed an operand or the gradient",
    ),
    "forward in float32": (
        {"forward": lambda a, b, k=1.0: (k * a * b * b).astype(np.float32)},
        "too coarse for differences",
    ),
    "a random forward": (
        {"forward": lambda a, b, k=1.0: a * b * b * k + np.random.default_rng().random()},
        "forward, sample 0 .*the same call gives another value",
    ),
    "forward makes a Tensor": (
        {"forward": lambda a, b, k=1.0: Tensor(a * b * b * k)},
        "forward, sample 0 .*forward made a Tensor of arrays",
    ),
    "a rule that depends on the memory layout": (
        {"rules": (first, _by_layout)},
        "layout, sample 0 .*with strided operands the result is another",
    ),
    "a rule that fails on empty arrays": (
        {"rules": (_not_empty, second)},
        "empty, sample 0 .*forward takes shapes .*the rules do not: .*zero",
    ),
    "a gradient of another shape": ({"rules": (first, _misshapen)}, "returned a gradient of shape"),
}


@pytest.mark.usefixtures("own_ops")
def test_an_honest_op_passes() -> None:
    assert check_op(honest())


@pytest.mark.usefixtures("own_ops")
@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_op_fails_with_the_reason(changes: Any, message: str) -> None:
    with pytest.raises(OpError, match=message) as caught:
        check_op(honest(**changes))
    assert str(caught.value).startswith("the op mine fails ")


@pytest.mark.usefixtures("own_ops")
def test_wrong_broadcasting_is_caught() -> None:
    """A rule that counts elements of its operand instead of the result's is right only while nothing is broadcast."""
    mean = op(
        lambda a, b: (a - b) / max(a.size, b.size),
        lambda g, y, a, b: g / a.size,
        lambda g, y, a, b: -g / max(a.size, b.size),
        name="mine",
        formula=("1/n", "−1/n"),
        samples=[(real(2, 3), real(2, 3))],
    )
    with pytest.raises(OpError, match="broadcasting, sample 0"):
        check_op(mean)


def test_check_op_takes_an_op() -> None:
    with pytest.raises(TypeError, match="check_op takes an op"):
        check_op(np.sin)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["add", "tanh", "matmul", "concatenate", "getitem", "mean", "softmax", "relu"])
def test_built_in_ops_pass(name: str) -> None:
    assert check_op(registry[name])
