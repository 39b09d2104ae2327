"""Joining, splitting and editing: every way numpy is called, on Tensors and on mixtures of them with arrays."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff import Tensor
from tests.autodiff.moves import LAYOUTS, check_moves, leaves_of, numbers, same, torch_agrees

some = settings(max_examples=60, deadline=None, database=None, derandomize=True)
since_2_1 = pytest.mark.skipif(not hasattr(np, "unstack"), reason="np.unstack came with numpy 2.1")

#: Calls on two arrays of shape (2, 3, 4).
MOVES: dict[str, Any] = {
    "concatenate": lambda x, y: np.concatenate((x, y)),
    "concatenate along": lambda x, y: np.concatenate([x, y[:, :1], x[:, 1:]], axis=1),
    "concatenate along the last": lambda x, y: np.concatenate([x, y, y], -1),
    "concatenate flat": lambda x, y: np.concatenate([x, y[0], y[0, 0, 0]], axis=None),
    "concatenate the rows of one": lambda x, y: np.concatenate(x),
    "concat": lambda x, y: np.concat([x, y], axis=2),
    "stack": lambda x, y: np.stack([x, y]),
    "stack along": lambda x, y: np.stack((x, y, x), axis=2),
    "stack along the last": lambda x, y: np.stack(arrays=[x, y], axis=-1),
    "stack one": lambda x, y: np.stack(x, axis=1),
    "vstack": lambda x, y: np.vstack((x, y)),
    "vstack of vectors": lambda x, y: np.vstack([x[0, 0], y[0, 1]]),
    "vstack of scalars": lambda x, y: np.vstack([x[0, 0, 0], y[0, 1, 1]]),
    "vstack of rows": lambda x, y: np.vstack(x),
    "hstack": lambda x, y: np.hstack((x, y)),
    "hstack of vectors": lambda x, y: np.hstack((x[0, 0], y[0, 1, :2])),
    "hstack of scalars": lambda x, y: np.hstack([x[0, 0, 0], y[0, 1, 1]]),
    "dstack": lambda x, y: np.dstack((x, y)),
    "dstack of vectors": lambda x, y: np.dstack((x[0, 0], y[1, 1])),
    "dstack of matrices": lambda x, y: np.dstack([x[0], y[1]]),
    "column_stack": lambda x, y: np.column_stack((x[0, 0], y[0].T, x[0, 1])),
    "column_stack of matrices": lambda x, y: np.column_stack([x[0], y[0]]),
    "column_stack of scalars": lambda x, y: np.column_stack([x[0, 0, 0], y[0, 0, 1]]),
    "block": lambda x, y: np.block([[x[0], y[0]], [y[1], x[1]]]),
    "block of a row": lambda x, y: np.block([x[0], y[0]]),
    "block of vectors": lambda x, y: np.block([[x[0, 0]], [y[0]]]),
    "block of scalars": lambda x, y: np.block([x[0, 0, 0], y[0, 0]]),
    "block of one": lambda x, y: np.block(x),
    "block of one in lists": lambda x, y: np.block([[x]]),
    "block deeper than its blocks": lambda x, y: np.block([[[x[0], y[0]]], [[y[1], x[1]]]]),
    "block of deeper blocks": lambda x, y: np.block([[x, y], [y, x]]),
    "append": lambda x, y: np.append(x, y),
    "append along": lambda x, y: np.append(x, y, axis=1),
    "append a scalar": lambda x, y: np.append(x[0], y[0, 0, 0]),
    "split": lambda x, y: np.split(x, 2),
    "split along": lambda x, y: np.split(y, 2, axis=-1),
    "split at": lambda x, y: np.split(x, [1, 3], axis=2),
    "split at an array": lambda x, y: np.split(x, np.array([1, 2]), 1),
    "split beyond": lambda x, y: np.split(x, [0, 2, 2, 9], axis=1),
    "split from the end": lambda x, y: np.split(x, [-2], axis=2),
    "split backwards": lambda x, y: np.split(x, [3, 1], axis=2),
    "array_split": lambda x, y: np.array_split(x, 3, axis=2),
    "array_split into more": lambda x, y: np.array_split(x, 5, axis=1),
    "hsplit": lambda x, y: np.hsplit(x, 3),
    "hsplit of a vector": lambda x, y: np.hsplit(x[0, 0], [1]),
    "vsplit": lambda x, y: np.vsplit(y, 2),
    "dsplit": lambda x, y: np.dsplit(x, [1, 2]),
    "insert": lambda x, y: np.insert(x, 3, y[0, 0]),
    "insert along": lambda x, y: np.insert(x, 1, y[:, 0], axis=1),
    "insert a row": lambda x, y: np.insert(x, -1, y[0], axis=0),
    "insert one value": lambda x, y: np.insert(x, 2, y[0, 0, 0], axis=2),
    "insert at several": lambda x, y: np.insert(x, [1, 3, 3], y[0, :, :3], axis=2),
    "insert at several, unsorted": lambda x, y: np.insert(x, [3, 0], y[0, 0, :2], axis=-1),
    "insert at one in a list": lambda x, y: np.insert(x, [1], y, axis=0),
    "insert at a slice": lambda x, y: np.insert(x, slice(0, 3, 2), y[0, 0, :2], axis=2),
    "insert nothing": lambda x, y: np.insert(x, [], y[0, 0, :0]),
    "delete": lambda x, y: np.delete(x, 5),
    "delete along": lambda x, y: np.delete(x, [0, -1], axis=2),
    "delete a slice": lambda x, y: np.delete(x, slice(None, None, 2), 1),
    "delete by mask": lambda x, y: np.delete(x, np.array([True, False, True]), axis=1),
    "delete an integer": lambda x, y: np.delete(y, -1, axis=0),
}  # fmt: skip
LISTS: dict[str, Any] = {
    "stack of lists": lambda x, y: np.stack([[x[0, 0, 0], y[0, 0, 0]], x[0, 1, :2]]),
    "hstack of lists": lambda x, y: np.hstack([x[0, 0], [y[0, 0, 0], y[1, 0, 0]]]),
    "vstack of lists": lambda x, y: np.vstack([x[0, 0, :2], [y[0, 0, 0], y[1, 0, 0]]]),
    "append a list": lambda x, y: np.append(x[0, 0], [y[0, 0, 0], y[1, 0, 0]]),
    "column_stack of lists": lambda x, y: np.column_stack([x[0, 0, :2], [y[0, 0, 0], y[1, 0, 0]]]),
}


@pytest.mark.parametrize("call", [*MOVES.values(), *LISTS.values()], ids=[*MOVES, *LISTS])
def test_moves_are_numpys_with_exact_derivatives(call: Any) -> None:
    for layout in LAYOUTS:
        check_moves(call, numbers(2, 3, 4), numbers(2, 3, 4, seed=1), layout=layout)


@pytest.mark.parametrize("call", MOVES.values(), ids=MOVES)
def test_tensors_and_arrays_mix(call: Any) -> None:
    """One operand a Tensor, the other a plain array, either way round."""
    x, y = numbers(2, 3, 4), numbers(2, 3, 4, seed=1)
    both = leaves_of((x.copy(), y.copy()))
    alone = [leaves_of((x.copy(),))[0], leaves_of((y.copy(),))[0]]
    _total(call(*both)).backward()
    for i, operands in enumerate([(alone[0], y), (x, alone[1])]):
        result = call(*operands)
        same(result, call(x, y))
        total = _total(result)
        if isinstance(total, Tensor) and total.requires_grad:
            total.backward()
            np.testing.assert_array_equal(alone[i].grad, both[i].grad)
        else:
            assert both[i].grad is None


def _total(result: Any) -> Any:
    parts = result if isinstance(result, (list, tuple)) else [result]
    return sum((part * part).sum() for part in parts)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 3), (2, 0), (2, 3), (2, 0, 4), (0, 3, 4)])
@pytest.mark.parametrize("call", MOVES.values(), ids=MOVES)
def test_where_numpy_fails_so_do_tensors(call: Any, shape: tuple[int, ...]) -> None:
    x, y = numbers(*shape), numbers(*shape, seed=1)
    try:
        expected = call(x, y)
    except (ValueError, IndexError, TypeError) as error:
        kind = type(error) if type(error) in (ValueError, IndexError, TypeError) else (ValueError, IndexError)
        with pytest.raises(kind):
            call(*leaves_of((x, y)))
    else:
        same(call(*leaves_of((x, y))), expected)


@since_2_1
def test_unstack() -> None:
    for axis in (0, 1, -1):
        check_moves(lambda x, axis=axis: np.unstack(x, axis=axis), numbers(2, 3, 4))
    check_moves(np.unstack, numbers(3))
    with pytest.raises(ValueError, match="at least 1"):
        np.unstack(Tensor(1.0, requires_grad=True))


@some
@given(data=st.data())
def test_any_joining_and_splitting(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=3, min_side=0, max_side=3))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    marks = data.draw(st.lists(st.integers(-4, 4), max_size=3))
    x, y = numbers(*shape), numbers(*shape, seed=1)
    check_moves(lambda x, y: np.concatenate([x, y, x], axis), x, y)
    check_moves(lambda x, y: np.stack([y, x], axis), x, y)
    check_moves(lambda x: np.split(x, marks, axis), x)
    check_moves(lambda x: np.array_split(x, len(marks) + 1, axis), x)
    check_moves(lambda x, y: np.append(x, y, axis), x, y)


@some
@given(data=st.data())
def test_any_editing(data: Any) -> None:
    n = data.draw(st.integers(1, 5))
    places = data.draw(st.lists(st.integers(-n, n - 1), min_size=1, max_size=4))
    axis = data.draw(st.sampled_from([0, 1, -1]))
    shape = (n, 2) if axis == 0 else (2, n)
    values = (len(places), 1) if axis == 0 else (len(places),)
    check_moves(lambda x, v: np.insert(x, places, v, axis=axis), numbers(*shape), numbers(*values, seed=1))
    check_moves(lambda x, v: np.insert(x, places[0], v, axis=axis), numbers(*shape), numbers(2, seed=1))
    check_moves(lambda x: np.delete(x, places, axis=axis), numbers(*shape))
    check_moves(lambda x: np.delete(x, places), numbers(*shape))


ZEROS = [[0, 0, 1.5, 0, 2.5, 0], [0, 0, 0], [1.5, 2.5], [], [0, 3], [2.0, 0]]


@pytest.mark.parametrize("values", ZEROS, ids=str)
@pytest.mark.parametrize("trim", ["fb", "f", "b", "B", "bf"])
def test_trim_zeros(values: list[float], trim: str) -> None:
    x = np.array(values, dtype=float)
    t = Tensor(x, requires_grad=True)
    got, expected = np.trim_zeros(t, trim), np.trim_zeros(x, trim)
    same(got, expected)
    if got.size:
        (got * got).sum().backward()
        kept = 2 * x
        np.testing.assert_array_equal(t.grad, kept)  # what is cut off is zero, and so is twice that


@since_2_1
def test_trim_zeros_of_a_matrix() -> None:
    x = np.zeros((4, 5))
    x[1, 2], x[2, 1] = 3.0, 4.0
    try:
        cases = [np.trim_zeros(x), np.trim_zeros(x, "f", axis=1), np.trim_zeros(x, "b", 0)]
    except (TypeError, ValueError):
        pytest.skip("np.trim_zeros takes matrices since numpy 2.2")
    t = Tensor(x, requires_grad=True)
    same([np.trim_zeros(t), np.trim_zeros(t, "f", axis=1), np.trim_zeros(t, "b", 0)], cases)
    np.trim_zeros(t).sum().backward()
    expected = np.zeros((4, 5))
    expected[1:3, 1:3] = 1
    np.testing.assert_array_equal(t.grad, expected)


TORCH: dict[str, Any] = {
    "concatenate": (lambda x, y: np.concatenate([x, y, x], 1), lambda x, y, torch: torch.cat([x, y, x], 1)),
    "stack": (lambda x, y: np.stack([x, y], -1), lambda x, y, torch: torch.stack([x, y], -1)),
    "vstack": (lambda x, y: np.vstack([x[0, 0], y[0]]), lambda x, y, torch: torch.vstack([x[0, 0], y[0]])),
    "hstack": (lambda x, y: np.hstack([x, y]), lambda x, y, torch: torch.hstack([x, y])),
    "dstack": (lambda x, y: np.dstack([x[0], y[0]]), lambda x, y, torch: torch.dstack([x[0], y[0]])),
    "column_stack": (
        lambda x, y: np.column_stack([x[0, 0], y[0].T]),
        lambda x, y, torch: torch.column_stack([x[0, 0], y[0].T]),
    ),
    "split": (lambda x, y: np.split(x, [1, 3], 2), lambda x, y, torch: torch.tensor_split(x, [1, 3], 2)),
    "array_split": (lambda x, y: np.array_split(x, 3, 2), lambda x, y, torch: torch.tensor_split(x, 3, 2)),
    "hsplit": (lambda x, y: np.hsplit(x, 3), lambda x, y, torch: torch.hsplit(x, 3)),
    "vsplit": (lambda x, y: np.vsplit(x, 2), lambda x, y, torch: torch.vsplit(x, 2)),
    "dsplit": (lambda x, y: np.dsplit(x, [1]), lambda x, y, torch: torch.dsplit(x, [1])),
}


@pytest.mark.parametrize(("ours", "theirs"), TORCH.values(), ids=TORCH)
def test_pytorch_agrees(ours: Any, theirs: Any) -> None:
    torch = pytest.importorskip("torch", reason="the oracle of this test")
    arrays = numbers(2, 3, 4), numbers(2, 3, 4, seed=1)
    torch_agrees(ours, lambda x, y: theirs(x, y, torch), *arrays)


# Refusals


def test_blocks_nested_wrongly_are_refused() -> None:
    t = Tensor(numbers(2, 2), requires_grad=True)
    with pytest.raises(TypeError, match="tuple"):
        np.block([(t, t)])
    for wrong in ([[t], t], [t, [t]], [[t, t], []], [[], [t]]):
        with pytest.raises(ValueError, match="same depth"):
            np.block(wrong)


def test_values_among_integers_are_refused() -> None:
    with pytest.raises(TypeError, match=r"would round.*astype\(float\)"):
        np.insert(np.arange(3), 1, Tensor(0.5, requires_grad=True))
    same(np.insert(np.arange(3), 1, Tensor(5)), np.insert(np.arange(3), 1, 5))


@pytest.mark.parametrize("function", [np.concatenate, np.stack, np.vstack, np.hstack])
def test_dtype_is_refused_with_its_cure(function: Any) -> None:
    t = Tensor(numbers(2, 2), requires_grad=True)
    with pytest.raises(NotImplementedError, match=r"does not take dtype=.*\.astype\(dtype\)"):
        function([t, t], dtype=np.float32)


@pytest.mark.parametrize("join", [lambda t: np.r_[t], lambda t: np.c_[t], lambda t: np.r_["0,2", t, t]])
def test_r_and_c_name_the_cure(join: Any) -> None:
    with pytest.raises(TypeError, match=r"lose its gradient.*np\.stack"):
        join(Tensor([1.0, 2.0], requires_grad=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_floats_are_kept(dtype: Any) -> None:
    x, y = leaves_of((numbers(2, 3, 4).astype(dtype), numbers(2, 3, 4, seed=1).astype(dtype)))
    for call in MOVES.values():
        x.grad = y.grad = None
        _total(call(x, y)).backward()
        assert {g.dtype for g in (x.grad, y.grad) if g is not None} == {np.dtype(dtype)}


def test_mixed_dtypes_are_promoted_and_gradients_are_not() -> None:
    narrow = Tensor(np.ones(2, np.float32), requires_grad=True)
    wide = Tensor(np.ones(2), requires_grad=True)
    y = np.concatenate([narrow, wide])
    assert y.dtype == np.float64
    y.sum().backward()
    assert (narrow.grad.dtype, wide.grad.dtype) == (np.float32, np.float64)
