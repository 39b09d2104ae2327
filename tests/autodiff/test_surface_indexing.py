"""Indexing and assignment by everything that numpy takes as an index, exact to second order."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff import Tensor, no_grad
from tests.autodiff.moves import LAYOUTS, check_moves, check_numerically, leaves_of, numbers, same, torch_agrees

some = settings(max_examples=100, deadline=None, database=None, derandomize=True)
SHAPE = (3, 4, 5)
MASK = np.arange(60).reshape(SHAPE) % 7 < 3

INDICES: dict[str, Any] = {
    "integer": 1,
    "negative": -1,
    "numpy integer": np.int8(2),
    "0-d array": np.array(1),
    "unsigned": np.array([2, 0], dtype=np.uint8),
    "integers": (0, -1, 2),
    "slice": slice(1, None),
    "reversed": slice(None, None, -1),
    "beyond the end": slice(2, 99),
    "empty slice": slice(2, 1),
    "slices": (slice(None), slice(1, -1), slice(None, None, 2)),
    "ellipsis": ...,
    "ellipsis in front": (..., 0),
    "ellipsis between": (0, ..., slice(1, 3)),
    "nothing": (),
    "new axis": None,
    "new axes": (None, 1, None, ..., None),
    "list": [0, 2, 0],
    "empty list": [],
    "array": np.array([2, 0, 2, 2]),
    "negative array": np.array([-1, 2]),
    "matrix": np.array([[0, 1], [1, 0]]),
    "arrays": (np.array([0, 1, 0]), np.array([3, 3, 3])),
    "arrays, broadcast": (np.array([[0], [2]]), np.array([1, 1, 0])),
    "arrays apart": (np.array([0, 0]), slice(None), np.array([1, 1])),
    "array and slice": (slice(1, None), np.array([1, 1, 0])),
    "array and integer": (1, slice(None), np.array([4, 4])),
    "array and new axis": (None, np.array([1, 1]), None),
    "array after ellipsis": (..., np.array([0, 0, -1])),
    "nested lists": ([[0, 1], [2, 2]], [0, 3]),
    "range": np.arange(2),
    "ix_": np.ix_([0, 2], [1, 1], [0, 4]),
    "mask": MASK,
    "mask of rows": np.array([True, False, True]),
    "mask of nothing": np.zeros(3, bool),
    "list of truths": [True, False, True],
    "mask of two axes": MASK[:, :, 0],
    "mask behind": (slice(None), np.array([True, False, True, True])),
    "mask and integer": (np.array([True, False, True]), 1),
    "mask and array": (np.array([True, False, True]), np.array([3, 3])),
    "mask and slice": (slice(0, 2), slice(None), np.array([True, False, True, False, True])),
    "masks": (np.array([True, False, True]), np.array([False, True, False, True])),
    "True": True,
    "False": False,
    "True and new axis": (True, None, 1),
    "a list within a tuple": ([0, 0], ..., [1, 1]),
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_reading(index: Any) -> None:
    for layout in LAYOUTS:
        check_moves(lambda x: x[index], numbers(*SHAPE), layout=layout)


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_tensors_as_indices(index: Any) -> None:
    """Tensors of integers and truth values stand for their arrays, also inside tuples."""

    def wrapped(part: Any) -> Any:
        if isinstance(part, tuple):
            return tuple(wrapped(p) for p in part)
        return Tensor(part) if isinstance(part, (np.ndarray, np.generic)) else part

    x = numbers(*SHAPE)
    same(Tensor(x, requires_grad=True)[wrapped(index)], x[index])
    t, u = leaves_of((x, x.copy()))
    (t[wrapped(index)] * 2).sum().backward()
    (u[index] * 2).sum().backward()
    np.testing.assert_array_equal(t.grad, u.grad)


def test_tensors_as_bounds_and_inside_lists() -> None:
    x = numbers(*SHAPE)
    t, n = Tensor(x, requires_grad=True), Tensor(2)
    same(t[:n], x[:2])
    same(t[n], x[2])
    same(t[[n, 0]], x[[2, 0]])
    same(t[t > 0], x[x > 0])
    same(x[n], x[2])
    same(x[Tensor([0, 1])], x[[0, 1]])
    same(x[t > 0], x[x > 0])


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_writing(index: Any) -> None:
    """``y[index] = v``: a gradient for what stays and for what is written; a later write to a place wins."""

    def write(x: Any, v: Any) -> Any:
        y = x * 2
        y[index] = v * 3
        return y

    x = numbers(*SHAPE)
    for shape in {x[index].shape, (), (1, *x[index].shape)}:
        value = numbers(*shape, seed=1)
        try:
            write(x, value)
        except (ValueError, TypeError) as error:  # a leading axis is not always allowed
            with pytest.raises(type(error)):
                write(*leaves_of((x, value)))
        else:
            check_numerically(write, x, value)


@some
@given(data=st.data())
def test_any_basic_index(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    check_moves(lambda x: x[index], numbers(*shape))


@st.composite
def mixed_indices(draw: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """An index with arrays of one shape, masks, slices, integers, new axes and an ellipsis, in any order."""
    common = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=3))
    parts: list[Any] = []
    for n in shape:
        kind = draw(st.sampled_from(["array", "array", "slice", "integer", "mask", "new axis"]))
        if kind == "new axis":
            parts.append(None)
            kind = "slice"
        if kind == "array":
            parts.append(draw(hnp.arrays(int, common, elements=st.integers(-n, n - 1))))
        elif kind == "mask":
            mask = np.zeros(n, bool)
            mask[draw(st.integers(0, n - 1))] = True  # one hit: it broadcasts against every array
            parts.append(mask)
        else:
            parts.append(draw(st.slices(n)) if kind == "slice" else draw(st.integers(-n, n - 1)))
    keep = draw(st.integers(0, len(parts)))
    return (*parts[:keep], ...)


@some
@given(data=st.data())
def test_any_mixed_index(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=4, max_side=4))
    index = data.draw(mixed_indices(shape))
    check_moves(lambda x: x[index], numbers(*shape))


@some
@given(data=st.data())
def test_any_assignment(data: Any) -> None:
    """Judged by assigning the elements' numbers: which of them is left says whose gradient passes."""
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=4))
    index = data.draw(mixed_indices(shape))
    x = numbers(*shape)
    place = x[index].shape
    value = numbers(*data.draw(st.sampled_from([place, (), (1, *place), tuple(1 for _ in place)])), seed=1)

    def write(x: Any, v: Any) -> Any:
        y = x.copy()
        y[index] = v
        return y

    check_moves(write, x, value)


@pytest.mark.parametrize(
    "index",
    [5, -4, (0, 9), (0, 0, 0, 0), np.array([0, 3]), [0, 9], 1.0, "a", np.array([0.5]), np.ones(2, bool),
     (..., ...), (np.array([0, 1]), np.array([0, 1, 2])), slice(None, "a"), slice(1.5)],
    ids=str,
)  # fmt: skip
def test_errors_are_numpys(index: Any) -> None:
    x = numbers(*SHAPE)
    with pytest.raises((IndexError, TypeError)) as numpys:
        x[index]
    t = Tensor(x, requires_grad=True)
    with pytest.raises(numpys.type) as ours:
        t[index]
    assert str(ours.value) == str(numpys.value)
    y = t * 1
    with pytest.raises((IndexError, TypeError, ValueError)):
        y[index] = 1.0
    y.sum().backward()  # the refused assignment left nothing behind
    np.testing.assert_array_equal(t.grad, 1)


def test_a_float_tensor_is_no_index() -> None:
    with pytest.raises(IndexError):
        Tensor([1.0, 2.0])[Tensor([0.0])]


def test_an_index_may_change_afterwards() -> None:
    """A loop that reuses its mask or its array of indices gets the gradient of what it read."""
    x = numbers(4)
    for index, other in (
        (np.array([True, False, True, False]), np.array([False, True, False, True])),
        (np.array([0, 0, 2]), np.array([1, 3, 3])),
    ):
        t, u = leaves_of((x, x.copy()))
        kept = index.copy()
        y = (t[index] * t[(index,)]).sum()
        index[...] = other
        y.backward()
        (u[kept] ** 2).sum().backward()
        np.testing.assert_array_equal(t.grad, u.grad)
    rows = [0, 1]
    t = Tensor(x, requires_grad=True)
    y = t[rows].sum()
    rows[0] = 3
    y.backward()
    np.testing.assert_array_equal(t.grad, [1, 1, 0, 0])


def test_repeated_indices_accumulate() -> None:
    t = Tensor(np.zeros((3, 2)), requires_grad=True)
    t[np.array([0, 0, 2, 0])].sum().backward()
    np.testing.assert_array_equal(t.grad, [[3, 3], [0, 0], [1, 1]])


def test_writing_fractions_among_integers_is_refused() -> None:
    whole = Tensor([1, 2, 3])
    with pytest.raises(TypeError, match=r"dtype int64, which would round it.*astype\(float\)"):
        whole[0] = Tensor(0.5, requires_grad=True)
    same(whole, np.array([1, 2, 3]))
    whole[0] = Tensor(5)
    same(whole, np.array([5, 2, 3]))


def test_an_embedding_trains() -> None:
    """Rows looked up by a batch of words, as numpy's own accumulation gives it."""
    rng = np.random.default_rng(0)
    table, words, g = rng.normal(size=(7, 3)), rng.integers(0, 7, (4, 5)), rng.normal(size=(4, 5, 3))
    t = Tensor(table, requires_grad=True)
    (t[words] * g).sum().backward()
    expected = np.zeros_like(table)
    np.add.at(expected, words, g)
    np.testing.assert_allclose(t.grad, expected, rtol=1e-14)


@pytest.mark.parametrize(
    "index",
    [INDICES[name] for name in ("array", "arrays, broadcast", "arrays apart", "mask", "slices", "mask behind")],
    ids=["array", "arrays, broadcast", "arrays apart", "mask", "slices", "mask behind"],
)
def test_pytorch_agrees(index: Any) -> None:
    torch = pytest.importorskip("torch", reason="the oracle of this test")

    def theirs(part: Any) -> Any:
        if isinstance(part, tuple):
            return tuple(theirs(p) for p in part)
        return torch.tensor(part) if isinstance(part, np.ndarray) else part

    torch_agrees(lambda x: x[index], lambda t: t[theirs(index)], numbers(*SHAPE))

    def write(x: Any, v: Any, index: Any) -> Any:
        y = x * 2
        y[index] = v
        return y

    hits = np.zeros(SHAPE)
    np.add.at(hits, index, 1)
    if hits.max() == 1:  # where a place is written twice PyTorch's gradient is not defined
        value = numbers(*numbers(*SHAPE)[index].shape, seed=1)
        torch_agrees(lambda x, v: write(x, v, index), lambda t, v: write(t, v, theirs(index)), numbers(*SHAPE), value)


# numpy's functions that write


WRITERS: dict[str, Any] = {
    "copyto": lambda x, v: np.copyto(x, v[0, 0]),
    "copyto where": lambda x, v: np.copyto(x, v, where=MASK),
    "copyto by name": lambda x, v: np.copyto(dst=x, src=v[0], where=MASK[0]),
    "put": lambda x, v: np.put(x, [0, 7, 7, -1], v[0, 0]),
    "put clipped": lambda x, v: np.put(x, [0, 99], v[0, 0], mode="clip"),
    "put by name": lambda x, v: np.put(x, ind=np.array([3, 4]), v=v[0, 0, 0]),
    "put method": lambda x, v: x.put([1, 2, 3], v[0, 0, :2]),
    "putmask": lambda x, v: np.putmask(x, MASK, v),
    "putmask, repeating": lambda x, v: np.putmask(x, mask=MASK, values=v[0, 0]),
    "place": lambda x, v: np.place(x, MASK, v[0, 0]),
    "put_along_axis": lambda x, v: np.put_along_axis(x, MASK[:, :1].astype(int), v[:, 1:2], 1),
    "put_along_axis flat": lambda x, v: np.put_along_axis(x, np.array([0, 5, 5]), v[0, 0, :3], axis=None),
    "fill": lambda x, v: x.fill(v[0, 0, 0]),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_functions_that_write_do_what_assignment_does(write: Any) -> None:
    def call(x: Any, v: Any) -> Any:
        y = x.copy()
        write(y, v)
        return y

    check_moves(call, numbers(*SHAPE), numbers(*SHAPE, seed=1))


@pytest.mark.parametrize("wrap", [False, True])
def test_fill_diagonal(wrap: bool) -> None:
    def call(x: Any, v: Any) -> Any:
        y = x.copy()
        np.fill_diagonal(y, v, wrap)
        return y

    check_moves(call, numbers(7, 3), numbers(2, seed=1))
    check_moves(call, numbers(3, 3, 3), numbers(seed=1))


@pytest.mark.parametrize(
    "write",
    [
        lambda x, v: np.copyto(x, v), lambda x, v: np.put(x, [0, 1], v), lambda x, v: np.putmask(x, x > 0, v),
        lambda x, v: np.place(x, x > 0, v), lambda x, v: np.put_along_axis(x, np.array([0, 1, 1]), v, 0),
        lambda x, v: np.copyto(dst=x, src=v), lambda x, v: x.__setitem__(slice(None), v),
    ],
)  # fmt: skip
def test_writing_a_gradient_into_an_array_is_refused(write: Any) -> None:
    array, value = np.ones(3), Tensor(numbers(3), requires_grad=True)
    with pytest.raises(TypeError, match=r"Tensor\(x\)|lose its gradient"):
        write(array, value)
    np.testing.assert_array_equal(array, 1)
    wanted = np.ones(3)
    write(wanted, value.data)
    write(array, value.detach())
    np.testing.assert_array_equal(array, wanted)
    with no_grad():
        array = np.ones(3)
        write(array, value)
    np.testing.assert_array_equal(array, wanted)


def test_writing_into_a_leaf_is_refused_with_the_cure() -> None:
    leaf = Tensor(numbers(3), requires_grad=True)
    for write in (lambda: np.copyto(leaf, 0.0), lambda: np.put(leaf, 0, 1.0), lambda: leaf.fill(0.0)):
        with pytest.raises(RuntimeError, match=r"y = x\.copy\(\)"):
            write()
    with no_grad():
        np.copyto(leaf, 7.0)
    np.testing.assert_array_equal(leaf.data, 7.0)
    constant = Tensor(numbers(3))
    np.putmask(constant, constant.data > 0, 0.0)
    assert (constant.data <= 0).all()
    assert not constant.requires_grad
