"""numpy's functions on Tensors: what a person already wrote runs, and what cannot run says why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodiff import Tensor, no_grad
from autodiff.ops.activations import relu, sigmoid, softmax


@pytest.fixture
def t() -> Tensor:
    return Tensor([[1.0, -2.0, 3.0], [0.5, 0.25, -1.0]], requires_grad=True, name="t")


def same(got: Any, expected: Any) -> None:
    assert isinstance(got, Tensor)
    assert got.requires_grad
    assert got.dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(got.data, expected)


# Every way to pass an argument

A = np.array([[1.0, -2.0, 3.0], [0.5, 0.25, -1.0]])
CALLS: dict[str, Any] = {
    "axis by position": lambda x: np.sum(x, 0),
    "all by name": lambda x: np.sum(a=x, axis=0),
    "names in another order": lambda x: np.sum(axis=1, keepdims=True, a=x),
    "numpy's five positions": lambda x: np.sum(x, 0, None, None, True),
    "negative axes": lambda x: np.max(x, axis=(-1, 0)),
    "mean": lambda x: np.mean(x, 1, keepdims=True),
    "var, old name": lambda x: np.var(x, axis=0, ddof=1),
    "var, new name": lambda x: np.var(x, axis=0, correction=1),
    "var by position": lambda x: np.var(x, 0, None, None, 1, True),
    "std, new name": lambda x: np.std(x, correction=1),
    "clip by position": lambda x: np.clip(x, -1, 1),
    "clip from below": lambda x: np.clip(x, min=0),
    "clip from above": lambda x: np.clip(x, max=0),
    "clip, old names": lambda x: np.clip(x, a_min=-1, a_max=None),
    "clip to arrays": lambda x: np.clip(x, np.zeros(3), [1.0, 2.0, 3.0]),
    "reshape by position": lambda x: np.reshape(x, (3, 2)),
    "reshape, Fortran order": lambda x: np.reshape(x, -1, "F"),
    "transpose to a list": lambda x: np.transpose(x, [1, 0]),
    "transpose by name": lambda x: np.transpose(x, axes=(-1, 0)),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "expand_dims": lambda x: np.expand_dims(x, axis=(0, 2)),
    "squeeze": lambda x: np.squeeze(x[None], 0),
    "broadcast_to": lambda x: np.broadcast_to(x, shape=(2, 2, 3)),
    "ravel": lambda x: np.ravel(x, order="F"),
    "concatenate": lambda x: np.concatenate((x, A), 1),
    "concatenate flat": lambda x: np.concatenate([x, x], axis=None),
    "stack": lambda x: np.stack([x, A], -1),
    "stack by name": lambda x: np.stack(arrays=(x, x), axis=1),
    "where": lambda x: np.where(A > 0, x, 0),
    "where on itself": lambda x: np.where(x > 0, x, 0.1 * x),
    "dot by name": lambda x: np.dot(a=x, b=A.T),
    "dot on the right": lambda x: np.dot(A.T, x),
    "matmul": lambda x: np.matmul(x, A.T),
    "@ on the right": lambda x: A.T @ x,
    "array first": lambda x: A * x + A - x,
    "numpy scalar first": lambda x: np.float64(2) * x / np.float64(4),
    "list first": lambda x: [1.0, 2.0, 3.0] * x,
    "list second": lambda x: x - [1.0, 2.0, 3.0],
    "maximum": lambda x: np.maximum(0, x),
    "where=True is numpy's default": lambda x: np.add(x, 1, where=True),
    "out=None is numpy's default": lambda x: np.exp(x, out=None),
    "copy": np.copy,
    "round trip": lambda x: np.log(np.exp(x)),
    "mod": lambda x: divmod(x, 2.0)[1],
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_arguments_may_be_passed_as_to_numpy(t: Tensor, call: Any) -> None:
    try:
        expected = call(A)
    except TypeError as error:  # `min=` and `max=` of np.clip came with numpy 2.1
        pytest.skip(f"this numpy does not take it: {error}")
    same(call(t), expected)


def test_lists_may_mix_tensors_and_numbers() -> None:
    a, b = Tensor(2.0, requires_grad=True), Tensor(3.0, requires_grad=True)
    row = np.stack([a, 1.0, b])
    same(row, [2.0, 1.0, 3.0])
    table = np.concatenate([np.stack([a, 1.0]), [b]])
    same(table, [2.0, 1.0, 3.0])
    product = np.eye(2) * 1.0 + Tensor([[0.0, 0.0], [0.0, 0.0]], requires_grad=True) + [[a, b], [1.0, b]]
    (row.sum() + product.sum() + table.sum()).backward()
    np.testing.assert_array_equal(a.grad, 3.0)
    np.testing.assert_array_equal(b.grad, 4.0)


def test_the_seeds_code_runs_unchanged(t: Tensor) -> None:
    """A forward pass as people write it, with a loss by hand."""
    w, b = Tensor(np.ones((4, 2)) * 0.1, requires_grad=True), Tensor(np.zeros((4, 1)), requires_grad=True)
    y = np.array([[1.0, 0.0, 1.0]])
    a1 = np.tanh(np.dot(w, A) + b)
    p = 1 / (1 + np.exp(-np.sum(a1, axis=0, keepdims=True)))
    loss = np.mean(-(y * np.log(p) + (1 - y) * np.log(1 - p)))
    loss.backward()
    n1 = np.tanh(np.ones((4, 2)) * 0.1 @ A)
    delta = (1 / (1 + np.exp(-n1.sum(0))) - y) / 3 * (1 - n1**2)
    np.testing.assert_allclose(w.grad, delta @ A.T)
    np.testing.assert_allclose(b.grad, delta.sum(1, keepdims=True))


# No gradient is lost in silence


def test_writing_into_an_array_is_refused(t: Tensor) -> None:
    buffer = np.zeros((2, 3))
    for attempt in (
        lambda: np.add(t, 1, out=buffer), lambda: np.add(A, A, out=t), lambda: np.exp(t, buffer),
        lambda: np.sum(t, axis=0, out=np.zeros(3)), lambda: np.clip(t, 0, 1, out=buffer),
        lambda: np.matmul(t, A.T, out=np.zeros((2, 2))), lambda: np.dot(t, A.T, out=np.zeros((2, 2))),
        lambda: np.concatenate([t, t], out=np.zeros((4, 3))), lambda: t.sum(0, out=np.zeros(3)),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="no gradient can follow"):
            attempt()
    np.testing.assert_array_equal(buffer, 0)


def test_augmenting_an_array_by_a_tensor_is_refused(t: Tensor) -> None:
    array = np.zeros((2, 3))
    with pytest.raises(TypeError, match=r"array \+= tensor.*x = x \+ t"):
        array += t
    with pytest.raises(TypeError, match=r"no gradient can follow"):
        array[0] *= t[0]
    with pytest.raises(TypeError, match="lose its gradient"):
        array[:] = t
    with pytest.raises(TypeError, match="lose its gradient"):
        array[0, 1:] = t[0, 1:]
    np.testing.assert_array_equal(array, 0)


def test_making_an_array_of_tensors_is_refused(t: Tensor) -> None:
    scalar = t.sum()
    for attempt in (
        lambda: np.array([scalar, scalar]), lambda: np.array([[t[0], t[1]]]), lambda: np.asarray([1.0, scalar]),
        lambda: np.mean([scalar, scalar]), lambda: np.sum([t, t]), lambda: np.exp([scalar, 1.0]),
        lambda: np.full(3, scalar), lambda: np.array(t, dtype=np.float32),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"lose its gradient.*np\.stack"):
            attempt()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda t: np.nextafter(t, 1.0), "np.nextafter"),
        (lambda t: np.subtract.reduce(t), "np.subtract.reduce"),
    ],
)
def test_a_function_without_derivative_is_named(t: Tensor, call: Any, name: str) -> None:
    with pytest.raises(NotImplementedError) as caught:
        call(t)
    assert str(caught.value).startswith(f"{name} is not differentiated")
    assert "`t.data`" in str(caught.value)
    assert "autodiff.op" in str(caught.value)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda t: np.exp(t, dtype=np.float32), "dtype"),
        (lambda t: np.concatenate([t, t], dtype=np.float32), "dtype"),
    ],
)
def test_dtype_is_refused_with_its_cure(t: Tensor, call: Any, argument: str) -> None:
    with pytest.raises(NotImplementedError, match=r"does not take dtype=.*\.astype\(dtype\)"):
        call(t)


MASK = np.array([[True, False, True], [False, True, True]])
ARGUMENTS: dict[str, Any] = {
    "where": lambda x: np.sum(x, where=MASK),
    "where in mean": lambda x: np.mean(x, axis=1, where=MASK),
    "where in max": lambda x: np.max(x, initial=0.0, where=MASK),
    "initial": lambda x: np.max(x, initial=2.0),
}


@pytest.mark.parametrize("call", ARGUMENTS.values(), ids=ARGUMENTS)
def test_an_argument_is_either_followed_or_refused_by_name(t: Tensor, call: Any) -> None:
    try:
        got = call(t)
    except NotImplementedError:
        with pytest.raises(NotImplementedError, match=r"does not take (where|initial)="):
            call(t)
    else:
        same(got, call(A))


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.sum(foo=1),
        lambda t: t.sum(foo=None),
        lambda t: np.sum(t, foo=1),
        lambda t: sigmoid(t, foo=1),
        lambda t: sigmoid(t, foo=None),
        lambda t: softmax(t, axes=0),
        lambda t: t.clip(minimum=0),
        lambda t: relu(t, t),
        lambda t: relu(),
        lambda t: np.where(t > 0, t),
    ],
)
def test_an_unknown_argument_is_an_error(t: Tensor, call: Any) -> None:
    with pytest.raises((TypeError, NotImplementedError, ValueError)):
        call(t)


def test_where_with_only_a_condition_is_a_fact(t: Tensor) -> None:
    for got, expected in zip(np.where(t), np.where(A), strict=True):
        assert type(got) is np.ndarray
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("ddof", [{"ddof": 1, "correction": 1}])
def test_two_names_for_one_argument_are_refused(t: Tensor, ddof: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="ddof and correction"):
        np.var(A, **ddof)
    with pytest.raises((ValueError, TypeError)):
        np.var(t, **ddof)


@pytest.mark.parametrize("other", [None, "a", object(), {}], ids=["None", "str", "object", "dict"])
def test_nonsense_operands_are_type_errors(t: Tensor, other: Any) -> None:
    for attempt in (lambda: t + other, lambda: other * t, lambda: t**other):
        with pytest.raises(TypeError):
            attempt()
    with pytest.raises((TypeError, ValueError)):
        t @ other


def test_shape_errors_name_the_shapes(t: Tensor) -> None:
    with pytest.raises(ValueError, match=r"\(2,3\) \(2,\)"):
        t + np.ones(2)
    with pytest.raises(ValueError, match=r"shapes \(2, 3\) and \(2, 2\).*transpose the first"):
        t @ np.ones((2, 2))
    with pytest.raises(ValueError, match=r"\(2,3\) and \(2,3\)|shapes"):
        np.dot(t, t)


def test_axis_errors_are_numpys(t: Tensor) -> None:
    for call in (lambda x: np.sum(x, axis=2), lambda x: x.max(axis=5), lambda x: softmax(x, axis=3)):
        with pytest.raises(np.exceptions.AxisError, match="out of bounds"):
            call(t)


def test_under_no_grad_numpys_functions_give_tensors_without_history(t: Tensor) -> None:
    with no_grad():
        for result in (np.exp(t), t @ t.T, np.sum(t), np.stack([t, t])):
            assert isinstance(result, Tensor)
            assert (result.requires_grad, result.op) == (False, None)
