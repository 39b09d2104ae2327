"""``x[i] = v``, ``x += y`` and ``x.data = …``: what they mean in a graph, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodiff import Tensor, as_tensor, no_grad
from tests.autodiff.numeric import check_gradient


def leaf(data: Any, name: str | None = None) -> Tensor:
    return Tensor(data, requires_grad=True, name=name)


X, V = np.array([[0.3, -1.2, 0.8], [1.1, 0.7, -0.4]]), np.array([0.9, -0.6, 1.4])

# x[i] = v


def test_assignment_sends_the_gradient_to_both() -> None:
    x, v = leaf([1.0, 2.0, 3.0]), leaf(5.0)
    y = x * 2
    y[1] = v
    assert y.op is not None
    assert y.op.name == "setitem"
    np.testing.assert_array_equal(y.data, [2.0, 5.0, 6.0])
    (y * y).sum().backward()
    np.testing.assert_array_equal(x.grad, [8.0, 0.0, 24.0])
    np.testing.assert_array_equal(v.grad, 10.0)


@pytest.mark.parametrize(
    "index",
    [
        0, (slice(None), 1), slice(None, None, -1), (..., -1), (1, 2), ...,
        np.array([True, False]), np.array([1, 0]), [1],
    ],
    ids=repr,
)  # fmt: skip
def test_any_index(index: Any) -> None:
    value = np.random.default_rng(0).normal(size=X[index].shape)

    def function(x: Any, v: Any) -> Any:
        y = x * x
        y[index] = v * v
        return y * y

    check_gradient(function, X, value, rng=np.random.default_rng(1))


def test_the_value_broadcasts() -> None:
    def function(x: Any, v: Any) -> Any:
        y = x * 1.0
        y[...] = v
        y[0] = v[0]
        return y * y

    check_gradient(function, X, V, rng=np.random.default_rng(2))


def test_where_an_index_repeats_only_the_last_write_counts() -> None:
    x, v = leaf([1.0, 2.0]), leaf([10.0, 20.0, 30.0])
    y = x * 1
    y[np.array([0, 0, 1])] = v
    np.testing.assert_array_equal(y.data, [20.0, 30.0])
    y.sum().backward()
    np.testing.assert_array_equal(v.grad, [0.0, 1.0, 1.0])
    np.testing.assert_array_equal(x.grad, [0.0, 0.0])


def test_a_recurrence() -> None:
    def function(a: Any) -> Any:
        x = Tensor(np.zeros(6)) * 1
        x[0] = a
        for i in range(1, 6):
            x[i] = x[i - 1] * a
        return x

    a = leaf(1.5)
    function(a).sum().backward()
    np.testing.assert_allclose(a.grad, sum((i + 1) * 1.5**i for i in range(6)))
    check_gradient(function, np.array(1.5), rng=np.random.default_rng(3))


def test_fibonacci_reads_two_steps_back() -> None:
    x = leaf([1.0, 1.0])
    f = np.concatenate([x, np.zeros(8)])
    for i in range(2, 10):
        f[i] = f[i - 1] + f[i - 2]
    f[9].backward()
    np.testing.assert_array_equal(x.grad, [21.0, 34.0])


def test_earlier_consumers_keep_what_they_read() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    before = y * y
    y[0] = 100.0
    after = y * y
    (before + after).sum().backward()
    np.testing.assert_array_equal(before.data, [4.0, 16.0])
    np.testing.assert_array_equal(x.grad, [8.0, 32.0])
    x.zero_grad()
    y[1] = y[0]
    before.sum().backward()
    np.testing.assert_array_equal(x.grad, [8.0, 16.0])


def test_earlier_consumers_are_on_the_path_of_gradient_too() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    before = y * 3
    y[0] = 5.0
    loss = before.sum() + y.sum()
    np.testing.assert_array_equal(loss.gradient(x), [6.0, 8.0])
    np.testing.assert_array_equal(loss.gradient(x, create_graph=True).data, [6.0, 8.0])


def test_an_earlier_consumer_may_be_assigned_back() -> None:
    def function(x: Any) -> Any:
        y = x * 2
        early = y * y
        y[0] = early[1]
        y[1] = early[0] + y[0]
        return y

    check_gradient(function, X[:, :2].copy(), rng=np.random.default_rng(4))


def test_assigning_a_tensor_to_itself() -> None:
    for index in (slice(None), ..., slice(None, None, -1), np.array([2, 0, 1])):
        x = leaf([1.0, 2.0, 3.0])
        y = x * 2
        expected = y.data.copy()
        expected[index] = expected.copy()
        y[index] = y
        np.testing.assert_array_equal(y.data, expected)
        (y * np.array([1.0, 10.0, 100.0])).sum().backward()
        weights = np.array([1.0, 10.0, 100.0])
        np.testing.assert_array_equal(x.grad, 2 * (weights[index] if index is not ... else weights))
    y = leaf([[1.0, 2.0], [3.0, 4.0]]) * 1
    y[0] = y[1]
    y[:, 0] = y[:, 1]
    np.testing.assert_array_equal(y.data, [[4.0, 4.0], [4.0, 4.0]])


def test_swapping_rows() -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = x * 1
    y[0], y[1] = y[1].copy(), y[0].copy()  # without copies the second row is a view, as numpy's: see test_views.py
    np.testing.assert_array_equal(y.data, [[3.0, 4.0], [1.0, 2.0]])
    (y * [[1.0, 1.0], [7.0, 7.0]]).sum().backward()
    np.testing.assert_array_equal(x.grad, [[7.0, 7.0], [1.0, 1.0]])


def test_a_constant_array_becomes_part_of_the_graph() -> None:
    table, w = Tensor(np.zeros(3)), leaf(2.0)
    table[0] = w * 3
    assert table.requires_grad
    (table * 5).sum().backward()
    np.testing.assert_array_equal(w.grad, 15.0)


def test_assignment_does_not_touch_memory_that_others_see() -> None:
    memory = np.zeros(3)
    shared, w = as_tensor(memory), leaf(2.0)
    shared[0] = w
    np.testing.assert_array_equal(memory, 0)
    y = leaf([1.0, 2.0]) * 1
    memory = y.data
    y[0] = 7.0
    np.testing.assert_array_equal(memory, [1.0, 2.0])


def test_assignment_with_indices_and_values_of_many_kinds() -> None:
    y = leaf([0.0] * 4) * 1
    y[Tensor([0, 1])] = [leaf(1.0), 2.0]
    y[y.data == 0] = 9
    y[np.int64(3)] = np.float32(4)
    np.testing.assert_array_equal(y.data, [1.0, 2.0, 9.0, 4.0])
    with pytest.raises(ValueError, match="broadcast"):
        y[:2] = np.ones(3)
    with pytest.raises(IndexError):
        y[4] = 1.0
    np.testing.assert_array_equal(y.data, [1.0, 2.0, 9.0, 4.0])


def test_a_refused_assignment_changes_nothing() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    op, inputs, number = y.op, y.inputs, y.number
    with pytest.raises(IndexError):
        y[5] = leaf(1.0)
    with pytest.raises(ValueError, match="broadcast"):
        y[:] = leaf([1.0, 2.0, 3.0])
    assert (y.op, y.inputs, y.number) == (op, inputs, number)
    consumer = y * 3
    with pytest.raises(ValueError, match="broadcast"):
        y[:] = np.concatenate([consumer, consumer])
    np.testing.assert_array_equal(consumer.sum().gradient(y), [3.0, 3.0])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 2.0])


def test_a_hook_taken_before_can_still_be_removed_after() -> None:
    for removed in (False, True):
        x = leaf([1.0, 2.0])
        y = x * 2
        handle = y.register_hook(lambda g: g * 100)  # a hook on what y was
        y[0] = 5.0
        if removed:
            handle.remove()
        y.sum().backward()
        np.testing.assert_array_equal(x.grad, [0.0, 2.0 if removed else 200.0])


def test_a_narrow_tensor_stays_narrow() -> None:
    x, v = Tensor([1.0, 2.0], requires_grad=True, dtype=np.float32), leaf(3.0)
    y = x * 1
    y[0] = v
    assert y.dtype == np.float32
    y.sum().backward()
    assert (x.grad.dtype, v.grad.dtype) == (np.float32, np.float64)


# Leaves


def test_a_leaf_that_requires_a_gradient_is_not_assigned_to() -> None:
    w = leaf([1.0, 2.0], name="weight")
    with pytest.raises(RuntimeError, match=r"'weight' of shape \(2,\), a leaf that requires a gradient.*no_grad"):
        w[0] = 5.0
    np.testing.assert_array_equal(w.data, [1.0, 2.0])
    with no_grad():
        w[0] = 5.0
    np.testing.assert_array_equal(w.data, [5.0, 2.0])
    assert w.is_leaf
    plain = Tensor([1.0, 2.0])
    plain[0] = 5.0
    np.testing.assert_array_equal(plain.data, [5.0, 2.0])


AUGMENTED = {
    "+=": (lambda x, y: x.__iadd__(y), np.add),
    "-=": (lambda x, y: x.__isub__(y), np.subtract),
    "*=": (lambda x, y: x.__imul__(y), np.multiply),
    "/=": (lambda x, y: x.__itruediv__(y), np.divide),
    "**=": (lambda x, y: x.__ipow__(y), np.power),
}
each_sign = pytest.mark.parametrize(("augment", "ufunc"), AUGMENTED.values(), ids=AUGMENTED)


@each_sign
def test_augmented_assignment_on_a_result_makes_a_new_tensor(augment: Any, ufunc: Any) -> None:
    x = leaf([1.5, 2.5])
    old = x * 2
    new = augment(old, 3.0)
    assert new is not old
    np.testing.assert_array_equal(old.data, [3.0, 5.0])
    np.testing.assert_array_equal(new.data, ufunc([3.0, 5.0], 3.0))
    new.sum().backward()
    assert x.grad is not None


@each_sign
def test_augmented_assignment_on_a_leaf_is_refused_outside_no_grad(augment: Any, ufunc: Any) -> None:
    w = leaf([1.5, 2.5], name="w")
    with pytest.raises(RuntimeError, match=r"'w' of shape \(2,\), a leaf that requires a gradient.*no_grad"):
        augment(w, 3.0)
    memory = w.data
    with no_grad():
        assert augment(w, 3.0) is w
    assert w.data is memory
    np.testing.assert_array_equal(w.data, ufunc([1.5, 2.5], 3.0))
    assert w.requires_grad


@each_sign
def test_augmented_assignment_of_a_tracked_value_to_a_constant(augment: Any, ufunc: Any) -> None:
    total, w = Tensor([1.0, 1.0]), leaf([2.0, 3.0])
    kept = total
    total = augment(total, w)
    np.testing.assert_array_equal(kept.data, [1.0, 1.0])
    total.sum().backward()
    assert w.grad is not None


def test_summing_losses_in_a_loop() -> None:
    w, total = leaf(2.0), 0
    for i in range(4):
        total += w * i
    total.backward()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(w.grad, 6.0)


# Changing data behind the graph's back


@pytest.mark.parametrize("how", ["data", "+=", "[]="])
def test_a_change_between_forward_and_backward_is_refused_by_name(how: str) -> None:
    w, x = leaf([1.0, 2.0], name="hidden.weight"), leaf([3.0, 4.0])
    loss = (w * x).sum()
    with no_grad():
        if how == "data":
            w.data = np.array([9.0, 9.0])
        elif how == "+=":
            w += 1
        else:
            w[0] = 9.0
    for run in (loss.backward, lambda: loss.gradient(x)):
        with pytest.raises(RuntimeError, match=r"'hidden\.weight' of shape \(2,\) was changed in place.*backward"):
            run()
    assert x.grad is None
    fresh = (w * x).sum()
    fresh.backward()
    np.testing.assert_array_equal(x.grad, w.data)


def test_a_change_of_an_intermediate_result_is_refused_too() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    y.name = "activations"
    loss = (y * y).sum()
    y.data = np.zeros(2)
    with pytest.raises(RuntimeError, match="'activations'"):
        loss.backward()


def test_assigning_data_keeps_shape_and_dtype() -> None:
    w = Tensor([1.0, 2.0], requires_grad=True, dtype=np.float32)
    w.data = [3, 4]
    np.testing.assert_array_equal(w.data, [3.0, 4.0])
    assert w.dtype == np.float32
    with pytest.raises(ValueError, match=r"shape \(3,\) into a tensor of shape \(2,\)"):
        w.data = np.ones(3)
    w.data = Tensor([5.0, 6.0])
    assert isinstance(w.data, np.ndarray)
