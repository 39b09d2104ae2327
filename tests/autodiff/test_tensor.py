"""A Tensor as an object: how it is made, shown, compared, converted and copied."""

from __future__ import annotations

import copy
import math
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from autodiff import Tensor, as_tensor, no_grad


def leaf(data: Any, name: str | None = None) -> Tensor:
    return Tensor(data, requires_grad=True, name=name)


# Making one


def test_tensor_copies_and_as_tensor_shares() -> None:
    memory = np.array([1.0, 2.0])
    copied, shared = Tensor(memory), as_tensor(memory)
    memory[0] = 9.0
    assert copied.data[0] == 1.0
    assert shared.data is memory
    assert as_tensor(copied) is copied
    assert not np.shares_memory(Tensor(copied).data, copied.data)
    assert np.shares_memory(copied.detach().data, copied.data)
    assert not copied.detach().requires_grad


@pytest.mark.parametrize(
    ("given", "dtype", "shape"),
    [
        (1.5, np.float64, ()), (2, np.int64, ()), (True, np.bool_, ()), (1j, np.complex128, ()),
        ([1, 2], np.int64, (2,)), ([1.0, 2], np.float64, (2,)), ([[1.0], [2.0]], np.float64, (2, 1)),
        ([], np.float64, (0,)),
        ((1.0, 2.0), np.float64, (2,)), (range(3), np.int64, (3,)), (np.float32(1.5), np.float32, ()),
        (np.ones((2, 0), np.float16), np.float16, (2, 0)), (np.array([True, False]), np.bool_, (2,)),
        ([[np.float32(1.0), np.float32(2.0)]], np.float32, (1, 2)), ([Tensor(1.0), 2.0], np.float64, (2,)),
    ],
)  # fmt: skip
def test_dtype_and_shape_are_what_numpy_gives(given: Any, dtype: Any, shape: tuple[int, ...]) -> None:
    for tensor in (Tensor(given), as_tensor(given)):
        assert isinstance(tensor.data, np.ndarray)
        assert (tensor.dtype, tensor.shape, tensor.ndim) == (dtype, shape, len(shape))
        assert tensor.size == math.prod(shape)


def test_dtype_can_be_asked_for() -> None:
    assert Tensor([1, 2], requires_grad=True, dtype=float).dtype == np.float64
    assert Tensor(np.ones(2), dtype="float32").dtype == np.float32
    assert Tensor(1, dtype=np.float16).dtype == np.float16


@pytest.mark.parametrize("given", [3, [1, 2], True, [True], 1j, [1 + 2j], np.array(["a"]), [Fraction(1, 2)], None])
def test_only_floats_have_derivatives(given: Any) -> None:
    Tensor(given)
    with pytest.raises(TypeError, match=rf"dtype {np.array(given).dtype}".replace("<", r"\<") + ".*dtype=float"):
        Tensor(given, requires_grad=True)


def test_ragged_lists_are_numpys_error() -> None:
    with pytest.raises(ValueError, match="inhomogeneous"):
        Tensor([[1.0], [1.0, 2.0]])


def test_a_transposed_array_keeps_its_values() -> None:
    x = np.arange(6.0).reshape(2, 3).T
    np.testing.assert_array_equal(Tensor(x).data, x)
    np.testing.assert_array_equal(Tensor(x[::-1, ::2]).data, x[::-1, ::2])


# Showing it


def test_repr() -> None:
    x = leaf([1.0, 2.0], name="w")
    assert repr(Tensor([1.0, 2.5])) == "Tensor([1. , 2.5])"
    assert repr(Tensor(3.0)) == "Tensor(3.)"
    assert repr(x) == "Tensor([1., 2.], name='w', requires_grad=True)"
    assert repr(x * 2) == "Tensor([2., 4.], op=multiply, requires_grad=True)"
    assert repr(Tensor([1], dtype=np.float32)) == "Tensor([1.], dtype=float32)"
    assert repr(Tensor([1, 2])) == "Tensor([1, 2], dtype=int64)"
    assert repr(Tensor([[1.0], [2.0]])) == "Tensor([[1.],\n        [2.]])"
    assert str(Tensor(3.0)) == "Tensor(3.)"
    assert len(repr(Tensor(np.zeros((1000, 1000))))) < 1000


def test_format() -> None:
    loss = leaf(0.123456) * 1
    assert f"{loss:.4f}" == "0.1235"
    assert f"{leaf([0.5]):>6.2f}" == "  0.50"
    assert f"{loss}" == repr(loss)
    with pytest.raises(TypeError, match="format"):
        f"{leaf([1.0, 2.0]):.2f}"


# Numbers, truth, length


def test_conversion_to_python() -> None:
    t = leaf(2.5)
    assert (float(t), int(t), t.item(), bool(t)) == (2.5, 2, 2.5, True)
    assert float(leaf([[2.5]])) == 2.5
    assert leaf([1.0, 2.0]).tolist() == [1.0, 2.0]
    assert leaf([1.0, 2.0]).item(1) == 2.0
    assert [10, 20, 30][Tensor(1)] == 20
    assert math.sqrt(Tensor(4.0)) == 2.0
    assert not leaf(0.0)


@pytest.mark.parametrize(("convert", "error"), [(float, TypeError), (int, TypeError), (bool, ValueError)])
def test_several_elements_are_no_number(convert: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        convert(leaf([1.0, 2.0]))
    with pytest.raises(ValueError, match="size 1"):
        leaf([1.0, 2.0]).item()


def test_a_float_is_no_index() -> None:
    with pytest.raises(TypeError):
        [1, 2][Tensor(1.0)]


def test_length_iteration_and_membership() -> None:
    t = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert len(t) == 2
    rows = list(t)
    assert all(isinstance(row, Tensor) for row in rows)
    (rows[0] * rows[1]).sum().backward()
    np.testing.assert_array_equal(t.grad, [[3.0, 4.0], [1.0, 2.0]])
    a, b = leaf([5.0, 6.0])
    assert (float(a), float(b)) == (5.0, 6.0)
    assert 3.0 in t
    assert 9.0 not in t
    with pytest.raises(TypeError, match="0-d"):
        iter(leaf(1.0))
    with pytest.raises(TypeError):
        len(leaf(1.0))


def test_index_errors_are_numpys() -> None:
    with pytest.raises(IndexError):
        leaf([1.0])[3]
    with pytest.raises(IndexError):
        leaf([1.0])[0, 0]


# Comparing


def test_comparisons_are_plain_arrays_outside_the_graph() -> None:
    t, other = leaf([1.0, 2.0, 3.0]), leaf([3.0, 2.0, 1.0])
    for facts, expected in (
        (t < other, [True, False, False]), (t <= other, [True, True, False]), (t > 2, [False, False, True]),
        (t >= other, [False, True, True]), (t == other, [False, True, False]), (t != 2.0, [True, False, True]),
        (np.float64(2) < t, [False, False, True]), (np.array([3.0, 2.0, 1.0]) == t, [False, True, False]),
        (np.less(t, other), [True, False, False]), (np.isnan(t), [False] * 3), (np.sign(t) > 0, [True] * 3),
        (np.floor(t) == t, [True] * 3), (np.logical_and(t > 1, t < 3), [False, True, False]),
    ):  # fmt: skip
        assert type(facts) is np.ndarray
        np.testing.assert_array_equal(facts, expected)
    assert t.argmax() == np.argmax(t) == 2
    assert type(t // 2) is np.ndarray
    assert np.allclose(t, [1, 2, 3])
    assert np.array_equal(t, t)


def test_tensors_are_dictionary_keys_by_identity() -> None:
    a, b = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    assert {a: 1, b: 2}[b] == 2
    assert len({a, b, a}) == 2


# Copying


def test_copy_stays_in_the_graph_and_deepcopy_starts_a_new_one() -> None:
    x = leaf([1.0, 2.0], name="x")
    x.grad = np.array([5.0, 6.0])
    for twin in (copy.deepcopy(x), copy.copy(x), pickle.loads(pickle.dumps(x))):
        assert (twin.name, twin.requires_grad, twin.op) == ("x", True, None)
        np.testing.assert_array_equal(twin.data, x.data)
        np.testing.assert_array_equal(twin.grad, x.grad)
        assert not np.shares_memory(twin.data, x.data)
        assert not np.shares_memory(twin.grad, x.grad)
        assert twin.number > x.number
    y = x.copy()
    assert not np.shares_memory(y.data, x.data)
    copy.copy(y * 2).sum().backward()
    np.testing.assert_array_equal(x.grad, [7.0, 8.0])


def test_deepcopy_keeps_shared_tensors_shared() -> None:
    x = leaf([1.0])
    first, second = copy.deepcopy([x, x])
    assert first is second
    assert first is not x


def test_a_result_is_not_pickled_with_its_graph() -> None:
    y = leaf([1.0, 2.0]) * 2
    for attempt in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"shape \(2,\).*part of a graph.*detach"):
            attempt(y)
    with no_grad():
        assert pickle.loads(pickle.dumps(leaf([1.0]) * 2)).tolist() == [2.0]


# Turning it back into an array


def test_asarray_is_refused_where_a_gradient_would_be_lost() -> None:
    t = leaf([1.0, 2.0], name="w")
    for attempt in (np.asarray, np.array, lambda x: np.array([x, x]), lambda x: np.asarray([x[0], 1.0]), np.asanyarray):
        with pytest.raises(TypeError, match=r"lose its gradient.*`t\.data`.*detach"):
            attempt(t)
    with pytest.raises(TypeError, match="'w'"):
        np.asarray(t)


def test_asarray_is_allowed_where_nothing_is_lost() -> None:
    t, plain = leaf([1.0, 2.0]), Tensor([3.0, 4.0])
    assert np.asarray(plain) is plain.data
    assert not np.shares_memory(np.array(plain), plain.data)
    assert np.asarray(plain, dtype=np.float32).dtype == np.float32
    np.testing.assert_array_equal(np.array([plain, plain]), [[3.0, 4.0], [3.0, 4.0]])
    assert type(np.asarray(t.detach())) is np.ndarray
    with no_grad():
        np.testing.assert_array_equal(np.asarray(t), [1.0, 2.0])
    with pytest.raises(ValueError, match="copy"):
        np.array(plain, dtype=np.float32, copy=False)


# Names that do not exist


@pytest.mark.parametrize("name", ["bakward", "gradients", "numpy", "cuda", "requires_gradd"])
def test_an_unknown_attribute_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(leaf([1.0]), name)
    with pytest.raises(AttributeError):
        setattr(leaf([1.0]), name, 1)


def test_transposes() -> None:
    x = leaf(np.arange(24.0).reshape(2, 3, 4))
    assert x.T.shape == (4, 3, 2)
    assert x.mT.shape == (2, 4, 3)
    assert x.transpose(1, 0, 2).shape == x.transpose((1, 0, 2)).shape == np.transpose(x, (1, 0, 2)).shape == (3, 2, 4)
    (x.T * np.arange(24.0).reshape(4, 3, 2)).sum().backward()
    np.testing.assert_array_equal(x.grad, np.arange(24.0).reshape(4, 3, 2).T)


def test_methods_take_what_numpys_methods_take() -> None:
    x = leaf(np.arange(6.0).reshape(2, 3))
    a = x.data
    for got, expected in (
        (x.sum(0), a.sum(0)), (x.sum(axis=(0, 1)), a.sum()), (x.mean(1, keepdims=True), a.mean(1, keepdims=True)),
        (x.max(axis=-1), a.max(axis=-1)), (x.min(), a.min()), (x.prod(1), a.prod(1)), (x.var(ddof=1), a.var(ddof=1)),
        (x.std(0), a.std(0)), (x.reshape(3, 2), a.reshape(3, 2)), (x.reshape((3, -1)), a.reshape(3, -1)),
        (x.reshape(-1, order="F"), a.reshape(-1, order="F")), (x.ravel(), a.ravel()), (x.flatten(), a.flatten()),
        (x.swapaxes(0, 1), a.swapaxes(0, 1)), (x[None].squeeze(0), a), (x.dot(a.T), a.dot(a.T)),
        (x.clip(1, 4), a.clip(1, 4)), (x.astype(np.float32), a.astype(np.float32)), (x.copy(), a),
    ):  # fmt: skip
        assert isinstance(got, Tensor)
        assert got.requires_grad
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got.data, expected)
    assert type(x.astype(int)) is np.ndarray
    assert bool(x.any())
    assert not x.all()
    np.testing.assert_array_equal(x.argsort(axis=1), a.argsort(axis=1))
