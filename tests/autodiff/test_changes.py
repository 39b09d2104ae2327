"""Data changed between forward and backward, by whatever route: refused, or the gradient is still right."""

from __future__ import annotations

import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest

from autodiff import Tensor, as_tensor, no_grad, op
from autodiff.changes import LENT


def leaf() -> Tensor:
    return Tensor([1.0, 2.0, 3.0], requires_grad=True, name="w")


def test_through_the_array() -> None:
    x = leaf()
    loss = (x * x).sum()
    x.data[0] = 9
    with pytest.raises(RuntimeError, match="'w' of shape \\(3,\\) was changed in place"):
        loss.backward()


def test_a_swap_of_two_elements_is_seen() -> None:
    x = leaf()
    loss = (x * x).sum()
    x.data[:2] = x.data[1::-1].copy()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_through_an_array_taken_long_before() -> None:
    x = leaf()
    array = x.data
    loss = (x * x).sum()
    array += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda x: x.data[1:], id="of the array"),
        pytest.param(lambda x: x[1:].data, id="of the tensor, recorded"),
        pytest.param(lambda x: x.reshape(3, 1)[1:].data, id="of a view"),
        pytest.param(lambda x: x.detach().data, id="detached"),
        pytest.param(lambda x: np.asarray(x.detach()), id="asarray"),
    ],
)
def test_through_a_view(view: Any) -> None:
    x = leaf()
    loss = (x * x).sum()
    view(x)[0] = 9
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_through_a_tensor_that_is_a_view() -> None:
    x = leaf()
    loss = (x * x).sum()
    with no_grad():
        part = x[1:]
        part += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_through_a_recorded_view_of_a_result() -> None:
    h = leaf() * 2
    flat = h.reshape(-1)
    loss = (h * h).sum()
    with no_grad():
        flat += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_of_a_tensor_that_is_seen_through_a_view() -> None:
    x = leaf()
    column = x.reshape(3, 1)
    loss = (column * column).sum()
    with no_grad():
        x += 1
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_through_a_tensor_whose_view_was_used() -> None:
    x, w = Tensor([1.0, 2.0]), Tensor([3.0], requires_grad=True)
    loss = (w * x[0:1]).sum()
    x[0] = 9.0
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_an_index_may_change_after_it_was_used() -> None:
    x, index = leaf() * 1, np.array([0])
    x[index] = 5.0
    y = x[index]
    index[0] = 1
    (x + y).sum().backward()
    assert x.data.tolist() == [5.0, 2.0, 3.0]
    assert x.inputs[0].inputs[0].grad.tolist() == [0.0, 1.0, 1.0]


def test_through_a_shared_source() -> None:
    source = np.ones(3)
    w = leaf()
    loss = (as_tensor(source) * w).sum()
    source[0] = 7
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_a_copied_source_may_change() -> None:
    source = np.ones(3)
    w = leaf()
    loss = (Tensor(source) * w).sum()
    source[0] = 7
    loss.backward()
    assert w.grad.tolist() == [1, 1, 1]


def test_between_two_steps_it_may_change_by_any_route() -> None:
    source, w = np.ones(3), leaf()
    shared, array = as_tensor(source), w.data
    for _ in range(3):
        w.zero_grad()
        loss = (shared * w).sum()
        loss.backward()
        assert np.array_equal(w.grad, source)
        source += 1
        array -= 0.1 * w.grad


def test_only_those_before_the_change_are_refused() -> None:
    x = leaf()
    array = x.data
    before = (x * x).sum()
    array += 1
    after = (x * x).sum()
    after.backward()
    assert x.grad.tolist() == [4, 6, 8]
    with pytest.raises(RuntimeError, match="changed in place"):
        before.backward()


def test_looking_is_no_change() -> None:
    x = leaf()
    h = x * x
    loss = h.sum()
    print(x.data, h.data, x.detach(), f"{loss.data}")
    loss.backward()
    assert x.grad.tolist() == [2, 4, 6]


def test_an_array_that_was_given_back_costs_nothing_more() -> None:
    x = leaf()
    x.data -= 0.5
    assert x._print == LENT
    x * x
    assert x._print is None


def test_an_array_that_is_held_is_watched_until_it_is_let_go() -> None:
    x = leaf()
    array = x.data
    x * x
    assert x._print is not None
    del array
    x * x
    assert x._print is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (2, 3)])
def test_every_kind_of_array_can_be_lent(shape: tuple[int, ...], dtype: Any) -> None:
    x = Tensor(np.ones(shape), requires_grad=True, dtype=dtype)
    for array in (x.data, x.data.T, x.data[..., ::-1] if shape else x.data):
        loss = (x * as_tensor(array).reshape(shape)).sum()
        x.zero_grad()
        loss.backward()
        assert x.grad.shape == shape


@pytest.mark.parametrize("data", [np.array(["2020-01-01"], "datetime64[D]"), np.array(["a", "b"]), np.array([None])])
def test_what_has_no_derivative_can_be_lent_too(data: Any) -> None:
    assert Tensor(data).data.tolist() == data.tolist()


@pytest.mark.usefixtures("own_ops")
def test_lending_visits_each_tensor_once() -> None:
    both = op(
        lambda a, b: (a + b)[...],  # its result has a base, and two operands
        lambda g, y, a, b: g,
        lambda g, y, a, b: g,
        name="both",
    )
    z = leaf()
    for _ in range(200):
        z = both(z, z)
    assert z.data.shape == (3,)


def test_lending_keeps_nothing_alive() -> None:
    gc.disable()
    try:
        x = leaf()
        gone = weakref.ref(x)
        array = x.data
        (x[1:] * x.detach()[1:]).sum().backward()
        del x
        assert gone() is None
        assert array.tolist() == [1, 2, 3]
    finally:
        gc.enable()


def test_pickles_and_copies_start_unwatched() -> None:
    x = leaf()
    array = x.data
    assert pickle.loads(pickle.dumps(x))._print is None
    assert array is x.data
