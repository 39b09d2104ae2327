"""What ``backward()`` and ``gradient()`` promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodiff import Tensor, as_tensor, no_grad, sigmoid
from autodiff.engine import first_nonfinite


def leaf(data: Any, dtype: Any = float, name: str | None = None) -> Tensor:
    return Tensor(data, requires_grad=True, dtype=dtype, name=name)


# Adding up


def test_a_chain() -> None:
    x = leaf([1.0, 2.0, 3.0])
    (np.exp(x * 2) + 1).sum().backward()
    np.testing.assert_allclose(x.grad, 2 * np.exp([2.0, 4.0, 6.0]))


def test_a_tensor_used_twice_gets_both_gradients() -> None:
    for double in (lambda a: a + a, lambda a: a - (-a), lambda a: np.add(a, a)):
        a = leaf([1.0, 2.0])
        double(a).sum().backward()
        np.testing.assert_array_equal(a.grad, [2.0, 2.0])
    a = leaf([3.0, 4.0])
    (a * a * a).sum().backward()
    np.testing.assert_array_equal(a.grad, [27.0, 48.0])


def test_a_diamond_is_walked_once() -> None:
    x = leaf(2.0)
    calls = []
    middle = x * 3
    middle.register_hook(lambda g: calls.append(float(g)))
    (middle * 5 + middle * 7).backward()
    assert float(x.grad) == 36.0
    assert calls == [12.0], "the shared tensor's gradient is complete before it flows on"


def test_adding_up_does_not_write_into_a_gradient_that_another_tensor_holds() -> None:
    x = leaf([1.0, 2.0])
    a, b = x * 1, x * 10
    other = a * 3
    together = a + b  # hands one and the same gradient to a and to b, before a gets its second share
    (together.sum() + other.sum()).backward(retain_grads=True)
    np.testing.assert_array_equal(a.grad, [4.0, 4.0])
    np.testing.assert_array_equal(b.grad, [1.0, 1.0])
    np.testing.assert_array_equal(x.grad, [14.0, 14.0])


def test_a_doubling_chain_costs_its_length_not_its_paths() -> None:
    z = x = leaf(1e-300)
    for _ in range(1000):
        z = z + z
    z.backward()
    assert float(x.grad) == 2.0**1000


def test_backward_accumulates_until_zero_grad() -> None:
    x = leaf([1.0, 2.0])
    loss = (x * x).sum()
    loss.backward()
    loss.backward()
    np.testing.assert_array_equal(x.grad, [4.0, 8.0])
    x.zero_grad()
    assert x.grad is None
    loss.backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


def test_accumulation_does_not_write_into_the_array_handed_out_before() -> None:
    x = leaf([1.0, 2.0])
    (x * 3).sum().backward()
    kept, copy = x.grad, x.grad.copy()
    (x * 3).sum().backward()
    np.testing.assert_array_equal(kept, copy)


def test_grad_is_the_leafs_own_array() -> None:
    a, b, seed = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([[5.0, 6.0], [7.0, 8.0]]), np.ones((2, 2))
    for result in (a + b, a - b, a.T + b.T, a.reshape(2, 2) + b, np.copy(a) + a, np.positive(a) + b):
        a.zero_grad(), b.zero_grad()
        result.backward(seed, retain_grads=True)
        grads = [g for g in (a.grad, b.grad, result.grad) if g is not None]
        for i, g in enumerate(grads):
            assert type(g) is np.ndarray
            assert g.flags.writeable
            assert not any(np.shares_memory(g, other) for other in [seed, a.data, b.data, *grads[:i]])
            g += 1  # what a person does to a gradient touches nothing else
        np.testing.assert_array_equal(seed, 1)


def test_a_scalars_gradient_is_an_array_too() -> None:
    x = leaf(3.0)
    for _ in range(2):
        (x * x + x).backward()
        assert type(x.grad) is np.ndarray
        assert x.grad.shape == ()
        x.grad *= 2.0
    y = x * 2
    (y * y).backward(retain_grads=True)
    assert type(y.grad) is np.ndarray
    assert type((x * x).gradient(x)) is np.ndarray


def test_only_leaves_get_grad_unless_asked() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    loss = y.sum()
    loss.backward()
    assert y.grad is None
    assert loss.grad is None
    loss.backward(retain_grads=True)
    np.testing.assert_array_equal(y.grad, [1.0, 1.0])
    np.testing.assert_array_equal(loss.grad, 1.0)
    loss.backward(retain_grads=True)
    np.testing.assert_array_equal(y.grad, [2.0, 2.0])


def test_constants_get_no_gradient() -> None:
    x, constant = leaf([1.0, 2.0]), Tensor([3.0, 4.0])
    (x * constant).sum().backward()
    assert constant.grad is None
    np.testing.assert_array_equal(x.grad, [3.0, 4.0])


def test_mixed_dtypes_give_each_tensor_its_own() -> None:
    half, single, double = leaf([1.0, 2.0], np.float16), leaf([3.0, 4.0], np.float32), leaf([5.0, 6.0])
    loss = (half * single * double).sum()
    assert loss.dtype == np.float64
    loss.backward()
    for x, expected in ((half, [15.0, 24.0]), (single, [5.0, 12.0]), (double, [3.0, 8.0])):
        assert x.grad.dtype == x.dtype
        np.testing.assert_array_equal(x.grad, expected)
    assert (single * 2.5 + 1 - 0.5**single).dtype == np.float32, "Python scalars are weak"


# Where to start


def test_a_scalar_starts_from_one_whatever_its_shape() -> None:
    for shape in ((), (1,), (1, 1)):
        x = leaf(np.full(shape, 3.0))
        (x * 2).backward()
        np.testing.assert_array_equal(x.grad, np.full(shape, 2.0))


def test_a_leaf_can_be_its_own_root() -> None:
    x = leaf(3.0)
    x.backward()
    np.testing.assert_array_equal(x.grad, 1.0)


@pytest.mark.parametrize("kind", [list, np.int64, np.float32, np.float64, Tensor])
def test_a_given_gradient(kind: Any) -> None:
    seed = np.array([1, 10], kind) if issubclass(kind, np.generic) else kind([1.0, 10.0])
    x = leaf([3.0, 4.0])
    (x * x).backward(seed)
    np.testing.assert_array_equal(x.grad, [6.0, 80.0])
    assert x.grad.dtype == np.float64


def test_a_tensor_with_several_elements_needs_a_gradient() -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"shape \(2,\).*\.sum\(\).*\.mean\(\).*gradient="):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"gradient= has shape \(3,\), the tensor has shape \(2,\)"):
        (x * 2).backward(np.ones(3))
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        (x * 2).gradient(x)
    with pytest.raises(TypeError, match="complex"):
        (x * 2).backward(np.ones(2) * 1j)
    assert x.grad is None


def test_nothing_to_differentiate_is_an_error_that_says_why() -> None:
    for untracked in (Tensor(1.0), Tensor(1.0, name="target") * 2, leaf(1.0).detach()):
        with pytest.raises(RuntimeError, match=r"does not require a gradient.*requires_grad=True"):
            untracked.backward()
    x = leaf(1.0)
    with no_grad():
        y = x * 2
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()
    with pytest.raises(RuntimeError, match="'target'"):
        Tensor(1.0, name="target").backward()


# gradient()


def test_gradient_by_several_inputs_writes_nothing() -> None:
    w, b, unused = leaf([1.0, 2.0]), leaf(3.0), leaf(4.0)
    hidden = w * b
    loss = (hidden * hidden).sum() + unused
    dw, db, dh = loss.gradient(w, b, hidden)
    np.testing.assert_array_equal(dw, [18.0, 36.0])
    np.testing.assert_array_equal(db, 30.0)
    np.testing.assert_array_equal(dh, [6.0, 12.0])
    assert all(x.grad is None for x in (w, b, hidden, loss, unused))
    np.testing.assert_array_equal(loss.gradient(loss), 1.0)
    single = loss.gradient(w)
    assert type(single) is np.ndarray
    single += 1
    np.testing.assert_array_equal(loss.gradient(w), [18.0, 36.0])


def test_gradient_arrays_are_the_callers_own() -> None:
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    middle = a + b
    found = middle.sum().gradient(a, b, middle)
    for i, g in enumerate(found):
        assert g.flags.writeable
        assert not any(np.shares_memory(g, other) for other in found[:i])


def test_gradient_twice_by_the_same_tensor() -> None:
    x = leaf([1.0, 2.0])
    first, second = (x * x).sum().gradient(x, x)
    np.testing.assert_array_equal(first, [2.0, 4.0])
    np.testing.assert_array_equal(second, [2.0, 4.0])


def test_gradient_by_what_only_decides_is_zero() -> None:
    x, condition, frozen = leaf([1.0, 2.0]), leaf([0.0, 3.0]), Tensor([1.0, 0.0])
    loss = np.where(condition * 2, x * x, 0).sum()
    by_x, by_condition = loss.gradient(x, condition)
    np.testing.assert_array_equal(by_x, [0.0, 4.0])
    np.testing.assert_array_equal(by_condition, [0.0, 0.0])
    recorded = loss.gradient(condition, create_graph=True)
    assert isinstance(recorded, Tensor)
    np.testing.assert_array_equal(recorded.data, [0.0, 0.0])
    with pytest.raises(ValueError, match="does not depend on argument 0"):
        np.where(frozen, x, 0).sum().gradient(frozen)  # its gradient was never asked for


def test_gradient_names_the_input_that_is_not_there() -> None:
    x, other = leaf([1.0]), leaf([1.0, 2.0], name="bias")
    loss = (x * 2).sum()
    with pytest.raises(ValueError, match=r"does not depend on argument 1, tensor 'bias' of shape \(2,\)"):
        loss.gradient(x, other)
    with pytest.raises(TypeError, match="argument 0 is a ndarray"):
        loss.gradient(np.ones(1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"loss\.gradient\(w, b\)"):
        loss.gradient()


def test_gradient_to_third_order() -> None:
    x = leaf([0.5, -1.5])
    y = (x**4 + np.sin(x)).sum()
    first = y.gradient(x, create_graph=True)
    second = first.sum().gradient(x, create_graph=True)
    third = second.sum().gradient(x)
    assert isinstance(first, Tensor)
    assert isinstance(third, np.ndarray)
    v = x.data
    np.testing.assert_allclose(first.data, 4 * v**3 + np.cos(v))
    np.testing.assert_allclose(second.data, 12 * v**2 - np.sin(v))
    np.testing.assert_allclose(third, 24 * v - np.cos(v))


def test_a_gradient_penalty_trains() -> None:
    """The gradient of a gradient's norm reaches the weights, by backward() as well."""
    w, x = leaf([[0.3, -0.4], [0.8, 0.1]]), leaf([[1.0, 2.0]])
    slope = sigmoid(x @ w).sum().gradient(x, create_graph=True)
    (slope * slope).sum().backward()
    s = 1 / (1 + np.exp(-(x.data @ w.data)))
    d1, d2 = s * (1 - s), s * (1 - s) * (1 - 2 * s)
    upstream = 2 * (d1 @ w.data.T)
    np.testing.assert_allclose(w.grad, upstream.T @ d1 + x.data.T @ ((upstream @ w.data) * d2))
    np.testing.assert_allclose(x.grad, ((upstream @ w.data) * d2) @ w.data.T)


def test_gradient_under_no_grad_of_a_graph_made_before() -> None:
    x = leaf([1.0, 2.0])
    loss = (x * x).sum()
    with no_grad():
        np.testing.assert_array_equal(loss.gradient(x), [2.0, 4.0])
        loss.backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


# What a Tensor says of itself as a node


def test_a_result_knows_its_op_and_operands() -> None:
    x, y = leaf([1.0]), leaf([2.0])
    z = x * y
    assert z.op is not None
    assert (z.op.name, z.inputs, z.params, z.is_leaf) == ("multiply", (x, y), {}, False)
    assert (x.op, x.inputs, x.is_leaf) == (None, (), True)
    assert (x * x).inputs == (x, x)
    assert x.number < y.number < z.number
    assert x.sum(axis=0).params["axis"] == 0
    assert (3 * x).inputs[0] == 3


def test_what_needs_no_gradient_remembers_nothing() -> None:
    for result in (Tensor([1.0]) * 2, leaf([1.0]).detach() * 2, as_tensor(np.ones(1)) + np.ones(1)):
        assert (result.op, result.inputs, result.requires_grad, result.is_leaf) == (None, (), False, True)
    with no_grad():
        assert (leaf([1.0]) * 2).op is None


def test_first_nonfinite_is_the_first_op_that_went_wrong() -> None:
    x = leaf([0.0, 1.0])
    assert first_nonfinite((x * 2).sum()) is None
    with np.errstate(divide="ignore"):
        culprit = np.log(x)
    assert first_nonfinite((culprit * 2 + 1).sum()) is culprit
    bad = Tensor([np.nan], name="features")
    assert first_nonfinite((bad * leaf([1.0])).sum()) is bad
