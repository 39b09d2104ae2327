"""A person's own op: the call with which the library declares its ops serves them too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodiff import Tensor, op
from autodiff.op import registry
from autodiff.sample import positive, real, sample
from tests.autodiff.numeric import check_gradient

pytestmark = pytest.mark.usefixtures("own_ops")


def test_a_numpy_function_becomes_differentiable() -> None:
    x = Tensor([1.0, 8.0], requires_grad=True)
    with pytest.raises(NotImplementedError, match=r"np\.nextafter.*autodiff\.op"):
        np.nextafter(x, 9.0)
    after = op(np.nextafter, lambda g, y, x, to: g, None, symbol="⁺", formula="1", samples=[(positive(3), 9.0)])
    y = np.nextafter(x, 9.0)
    assert y.op is after is registry["nextafter"]
    (y * y).sum().backward()
    np.testing.assert_allclose(x.grad, [2, 16])
    check_gradient(lambda x: np.nextafter(x, 9.0), np.array([0.4, 7.5]), rng=np.random.default_rng(0))
    assert (after.name, after.symbol, after.formula) == ("nextafter", "⁺", ("1",))
    assert after.samples[0].draw(np.random.default_rng(0))[0].shape == (3,)


def test_an_op_with_two_operands_and_a_parameter() -> None:
    def blend(a: Any, b: Any, weight: float = 0.5) -> Any:
        return weight * a + (1 - weight) * b * b

    blended = op(
        blend,
        lambda g, y, a, b, weight=0.5: g * weight,
        lambda g, y, a, b, weight=0.5: g * (2 * (1 - weight) * b),
        formula=("w", "2(1 − w)b"),
        samples=[(real(2, 3), real(3)), sample(real(3), real(3), weight=0.25)],
    )
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 3)), rng.normal(size=3)
    np.testing.assert_array_equal(blended(a, b, weight=0.25), blend(a, b, 0.25))
    assert not isinstance(blended(a, b), Tensor)
    check_gradient(lambda a, b: blended(a, b, weight=0.25), a, b, rng=rng)
    check_gradient(lambda a, b: blended(a, b, 0.75), a, b, rng=rng)
    check_gradient(lambda b: blended(b=b, a=a), b, rng=rng)
    result = blended(Tensor(a, requires_grad=True), b, weight=0.25)
    assert result.params == {"weight": 0.25}


def test_an_operand_without_derivative() -> None:
    pick = op(lambda mask, x: np.where(mask, x, 0), None, lambda g, y, mask, x: np.where(mask, g, 0), name="pick")
    x = Tensor([1.0, 2.0], requires_grad=True)
    pick(np.array([True, False]), x).sum().backward()
    np.testing.assert_array_equal(x.grad, [1.0, 0.0])
    with pytest.raises(TypeError, match="at least one operand"):
        op(np.floor, None)


def test_an_op_on_a_sequence() -> None:
    total = op(lambda *xs: sum(xs), lambda i, g, y, *xs: g, name="total", variadic=True)
    x = Tensor([1.0, 2.0], requires_grad=True)
    total([x, x * 3, np.ones(2)]).sum().backward()
    np.testing.assert_array_equal(x.grad, [4.0, 4.0])


def test_the_rule_need_not_undo_broadcasting_or_dtypes() -> None:
    scaled = op(lambda a, b: a * b, lambda g, y, a, b: g * b, lambda g, y, a, b: g * a, name="scaled")
    a = Tensor(np.ones((2, 1), np.float32), requires_grad=True)
    b = Tensor(np.ones(3), requires_grad=True)
    scaled(a, b).sum().backward()
    assert (a.grad.shape, a.grad.dtype) == ((2, 1), np.float32)
    assert (b.grad.shape, b.grad.dtype) == ((3,), np.float64)
