"""Writing to a view: it, what it is a view of and all other views change, as numpy's arrays do, gradients with them."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor, as_tensor, no_grad, op
from tests.autodiff.numeric import check_gradient

X = np.random.default_rng(0).normal(size=(3, 4))
T = np.array(0.7)


def leaf(data: Any, name: str | None = None) -> Tensor:
    return Tensor(data, requires_grad=True, name=name)


def store(target: Any, index: Any, value: Any) -> None:
    target[index] = value


# The same code on arrays and on Tensors: every case changes `y`, and returns what it and its views are then


def assign_twice_indexed(y: Any, t: Any) -> Any:
    y[0][1] = t
    return (y,)


def assign_three_times_indexed(y: Any, t: Any) -> Any:
    y[1:][0][2] = t * y[0, 0]
    return (y,)


def scale_a_row(y: Any, t: Any) -> Any:
    r = y[0]
    r *= t
    return r, y


def scale_all_rows(y: Any, t: Any) -> Any:
    for row in y:
        row /= row[1:].sum() * t
    return (y,)


def every_sign(y: Any, t: Any) -> Any:
    a, b = y[:2], y[1:]
    a += t
    b -= a
    a *= b
    b /= 1.5 + t
    a **= 2
    a %= 0.9
    return a, b, y


def in_place_product(y: Any, t: Any) -> Any:
    block = y[:, :3]
    block @= np.arange(9.0).reshape(3, 3) * 0.3
    return block, y * t


def transposed(y: Any, t: Any) -> Any:
    y.T[1] = t
    y.transpose(1, 0)[..., 2] = t * t
    return (y,)


def reshaped(y: Any, t: Any) -> Any:
    y.reshape(2, 6)[1] = t
    y.ravel()[2] = t * t
    y.reshape(-1)[3:5] = y[0, :2] * t
    return (y,)


def numpys_functions(y: Any, t: Any) -> Any:
    np.swapaxes(y, 0, 1)[0, 0] = t
    np.moveaxis(y, 0, 1)[1, 1] = t * 2
    np.flip(y, 1)[0, 0] = t * 3
    np.rot90(y)[0, 0] = t * 4
    np.expand_dims(y, 0)[0, 1, 1] = t * 5
    np.atleast_3d(y)[2, 1] = t * 6
    np.split(y, 2, axis=1)[1][2, 0] = t * 7
    np.squeeze(y[None])[1, 2] = t * 8
    np.ravel(y)[6] = t * 9
    np.copyto(y[2, 2:], t * np.ones(2))
    y[0].fill(1.0)
    return (y,)


def a_view_read_later(y: Any, t: Any) -> Any:
    row, column, corner = y[1], y[:, 1], y[:2, :2]
    row[1] = t
    column *= 2
    return row, column, corner, y


def a_base_written_to(y: Any, t: Any) -> Any:
    row, flat = y[1], y.reshape(-1)
    inner = row[1:]
    y[1] = t * y[0]
    y[1, 2] = t
    return inner, row, flat, y


def a_view_used_before_and_after(y: Any, t: Any) -> Any:
    row = y[0]
    before = row * row
    whole = y * y
    row[0] = t
    after = row * row
    return before, whole, after, y


def written_from_another_view(y: Any, t: Any) -> Any:
    top, bottom = y[:2], y[1:]
    top[0] = bottom[1] * t
    bottom[...] = top * top
    return top, bottom, y


def swapped_without_copies(y: Any, t: Any) -> Any:
    y[0], y[1] = y[1], y[0]
    return (y * t,)


def slices_augmented(y: Any, t: Any) -> Any:
    y[1:, 1:] += t * y[:-1, :-1]
    y[0] -= y[1]
    y[y > 0.3] *= t
    return (y,)


def reversed_view(y: Any, t: Any) -> Any:
    back = y[::-1, ::-2]
    back[0] = t
    back.T[0] *= 2
    return back, y


def stencil(y: Any, t: Any) -> Any:
    u = y.reshape(-1)
    for _ in range(3):
        u[1:-1] = u[1:-1] * t + u[:-2] * u[2:]
    return u, y


def repeated_index(y: Any, t: Any) -> Any:
    row = y[1]
    row[np.array([0, 0, 2])] = t * y[0, :3]
    return (y,)


def mask_of_a_view(y: Any, t: Any) -> Any:
    part = y[:, 1:]
    part[part < 0] = t
    return part, y


def diagonal_of_windows(y: Any, t: Any) -> Any:
    shown = np.diagonal(y)
    y[1, 1] = t
    return shown * 1.0, y


CASES = [
    assign_twice_indexed, assign_three_times_indexed, scale_a_row, scale_all_rows, every_sign, in_place_product,
    transposed, reshaped, numpys_functions, a_view_read_later, a_base_written_to, a_view_used_before_and_after,
    written_from_another_view, swapped_without_copies, slices_augmented, reversed_view, stencil, repeated_index,
    mask_of_a_view, diagonal_of_windows,
]  # fmt: skip
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)


def joined(results: Any) -> Any:
    return np.concatenate([np.ravel(x) for x in results])


@each_case
def test_values_and_gradients_are_numpys(case: Callable[..., Any]) -> None:
    expected = [np.copy(x) for x in case(X.copy(), T.copy())]
    x, t = leaf(X), leaf(T)
    for got, wanted in zip(case(x * 1.0, t), expected, strict=True):
        np.testing.assert_allclose(got.data, wanted, rtol=1e-14)
    check_gradient(lambda x, t: joined(case(x * 1.0, t)), X, T, rng=np.random.default_rng(1))


@each_case
def test_on_a_constant_that_becomes_part_of_the_graph(case: Callable[..., Any]) -> None:
    check_gradient(lambda t: joined(case(Tensor(X), t)), T, rng=np.random.default_rng(2))


@each_case
def test_where_nothing_is_recorded_it_is_numpys_too(case: Callable[..., Any]) -> None:
    expected = [np.copy(x) for x in case(X.copy(), T.copy())]
    for y, t in ((Tensor(X), Tensor(T)), (leaf(X), leaf(T))):
        with no_grad():
            for got, wanted in zip(case(y, t), expected, strict=True):
                np.testing.assert_allclose(got.data, wanted, rtol=1e-14)


@each_case
def test_nothing_is_left_in_a_cycle(case: Callable[..., Any]) -> None:
    gc.collect()
    gc.disable()
    try:
        x, t = leaf(X), leaf(T)
        y = x * 1.0
        gone = [weakref.ref(y)]
        results = case(y, t)
        gone += [weakref.ref(result) for result in results]
        joined(results).sum().backward()
        del y, results
        assert [entry() for entry in gone] == [None] * len(gone)
    finally:
        gc.enable()


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "Fortran": lambda y: y.T,
    "reversed": lambda y: y[::-1],
    "spaced": lambda y: y[:, ::2],
    "turned": lambda y: np.transpose(y[None], (1, 0, 2)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_view_of_a_tensor_that_lies_otherwise_in_memory(layout: str) -> None:
    views: list[Callable[[Any], Any]] = [
        lambda x: x.T.reshape(-1),
        lambda x: x.reshape(-1, order="A"),
        lambda x: np.ravel(x, "K"),
        lambda x: np.ravel(x),
        lambda x: x.reshape(-1, order="F"),
    ]

    def case(y: Any, t: Any, view: Callable[[Any], Any]) -> Any:
        whole = LAYOUTS[layout](y)
        part = view(whole)
        part[1:3] = t
        return part, whole, y

    for base in (X, np.asfortranarray(X)):
        for view in views:
            expected = [np.copy(x) for x in case(base.copy(order="K"), T.copy(), view)]
            tensor = as_tensor(base.copy(order="K"))
            for got, wanted in zip(case(tensor, leaf(T), view), expected, strict=True):
                np.testing.assert_allclose(got.data, wanted)


def test_a_copy_is_no_view() -> None:
    y, t = leaf(X) * 1.0, leaf(T)
    for copied in (
        y.copy(), y.flatten(), y[[0, 1]], y[y > -9], y.T.reshape(-1), y.T.ravel(), np.take(y, 0, axis=0),
        np.repeat(y, 1, axis=0), np.tile(y, 1), np.roll(y, 0), np.reshape(y, -1, copy=True), np.tril(y), np.sort(y),
        np.delete(y, [], axis=0), np.concatenate([y]), np.meshgrid(y[0], y[1])[0], np.compress([True] * 3, y, axis=0),
        np.pad(y, 0), np.append(y, []), np.insert(y, 0, 1.0), np.broadcast_to(y, (1, 3, 4)).copy(), np.cbrt(y),
        y.astype(float), np.resize(y, (3, 4)),
        np.nan_to_num(y), np.positive(y), np.where(True, y, 0), np.clip(y, -9, 9), np.stack([y])[0],
        np.cumsum(y, axis=0)[:1], np.sum(y, axis=()), np.max(y, axis=()), np.squeeze(y + 0),
    ):  # fmt: skip
        copied[...] = t
    np.testing.assert_array_equal(y.data, X)


VIEWS: dict[str, Callable[[Any], Any]] = {
    "x[0]": lambda x: x[0],
    "x[1:, None]": lambda x: x[1:, None],
    "x.T": lambda x: x.T,
    "x.mT": lambda x: x.mT if isinstance(x, Tensor) or hasattr(x, "mT") else x.T,
    "transpose": np.transpose,
    "matrix_transpose": np.matrix_transpose,
    "permute_dims": lambda x: np.permute_dims(x, (1, 0)),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "moveaxis": lambda x: np.moveaxis(x, 0, 1),
    "rollaxis": lambda x: np.rollaxis(x, 1),
    "reshape": lambda x: np.reshape(x, -1),
    "ravel": np.ravel,
    "expand_dims": lambda x: np.expand_dims(x, 0),
    "squeeze": lambda x: np.squeeze(x[None]),
    "atleast_3d": np.atleast_3d,
    "flip": np.flip,
    "fliplr": np.fliplr,
    "rot90": np.rot90,
    "split": lambda x: np.split(x, 2, axis=1)[1],
    "array_split": lambda x: np.array_split(x, 2)[0],
    "hsplit": lambda x: np.hsplit(x, 2)[0],
    "iteration": lambda x: list(x)[1],
    "unpacking": lambda x: next(iter(x)),
    "copy=False": lambda x: x.reshape(2, 6, copy=False) if isinstance(x, Tensor) else x.reshape(2, 6),
    "matrices": lambda x: x.reshape(3, 2, 2)[1],
    "meshgrid": lambda x: np.meshgrid(x[0], x[1], copy=False, sparse=True)[1],
}


@pytest.mark.parametrize("view", VIEWS)
def test_all_that_gives_a_view_is_known_as_one(view: str) -> None:
    array, y, t = X.copy(), leaf(X) * 1.0, leaf(T)
    VIEWS[view](array)[...] = T
    VIEWS[view](y)[...] = t
    np.testing.assert_array_equal(y.data, array)
    y.sum().backward()
    assert t.grad == (array == T).sum()


READ_ONLY: dict[str, Callable[[Any], Any]] = {
    "broadcast_to": lambda y: np.broadcast_to(y, (2, 3, 4)),
    "diagonal": np.diagonal,
    "diag": np.diag,
    "windows": lambda y: np.lib.stride_tricks.sliding_window_view(y, (2, 2)),
    "a view of one": lambda y: np.broadcast_to(y, (2, 3, 4))[0],
}


@pytest.mark.parametrize("view", READ_ONLY)
def test_a_view_that_can_only_be_read(view: str) -> None:
    y = leaf(X) * 1.0
    shown = READ_ONLY[view](y)
    with pytest.raises(ValueError, match=r"a view that can only be read.*`y = x\.copy\(\); y\[i\] = v`"):
        shown[0] = 1.0
    with pytest.raises(ValueError, match="read"):
        shown += 1.0
    np.testing.assert_array_equal(y.data, X)


# Leaves


def test_a_view_of_a_leaf_that_requires_a_gradient_is_not_written_to() -> None:
    w = leaf(X, "weight")
    said = r"of shape \(4,\), a view of the tensor 'weight' of shape \(3, 4\), which is a leaf that requires a gradient"
    row = w[0]
    for attempt in (lambda: store(row, 1, 5.0), lambda: row.__imul__(2.0), lambda: store(w[0], 1, leaf(1.0))):
        with pytest.raises(RuntimeError, match=said):
            attempt()
    for part in w:
        with pytest.raises(RuntimeError, match=said):
            part /= 2
    np.testing.assert_array_equal(w.data, X)
    copied = w[0].copy()
    copied[1] = 5.0
    with no_grad():
        w[0][1] = 5.0
        row *= 2
    assert w.data[0, 1] == 10.0
    assert w.is_leaf


def test_a_view_taken_without_a_record_is_written_to_with_one() -> None:
    x, t = leaf([1.0, 2.0, 3.0]), leaf(7.0)
    y = x * 2
    with no_grad():
        v = y[1:]
    v[0] = t
    (y * y).sum().backward()
    assert t.grad == 14.0
    assert x.grad.tolist() == [8.0, 0.0, 24.0]
    assert not v.requires_grad
    assert v.data.tolist() == [7.0, 6.0]


def test_a_view_read_without_a_record_has_its_gradient_later() -> None:
    y, t = leaf([1.0, 2.0, 3.0]) * 2, leaf(7.0)
    v = y[1:]
    y[1] = t
    with no_grad():
        assert v.data.tolist() == [7.0, 6.0]
        assert v.requires_grad
    (v * v).sum().backward()
    assert t.grad == 14.0


@pytest.mark.parametrize(
    "look",
    [
        lambda v: v.data[0], lambda v: float(v[0]), lambda v: (v == 7.0)[0] * 7.0, lambda v: v.tolist()[0],
        lambda v: next(iter(v)).item(), lambda v: float(f"{v[0]:.1f}"), lambda v: v.detach().data[0],
        lambda v: (v + 0).data[0], lambda v: np.argmax(v) + 7.0, lambda v: float(repr(v)[8:10]),
        lambda v: max(v).item(),
        lambda v: v.gradient(v) * 7.0 if v.size == 1 else 7.0, lambda v: autodiff.as_tensor(v).data[0],
        lambda v: np.stack([v, v]).data[0, 0], lambda v: v.T.data[0], lambda v: abs(v).data[0],
    ],
)  # fmt: skip
def test_however_it_is_looked_at(look: Callable[[Any], Any]) -> None:
    y, t = leaf([1.0, 2.0, 3.0]) * 2, leaf(7.0)
    v = y[1:]
    y[1] = t
    assert look(v) == 7.0
    assert type(v) is Tensor


# What cannot be followed


@pytest.mark.usefixtures("own_ops")
def test_an_operation_of_ones_own_that_gives_a_view() -> None:
    unsaid = op(lambda x: x[::2], lambda g, y, x: np.repeat(g, 2), name="unsaid")
    said = op(lambda x: x[::2], lambda g, y, x: np.stack([g, g * 0], -1).reshape(-1), name="said", view=True)
    y, t = leaf([1.0, 2.0, 3.0, 4.0]) * 1, leaf(7.0)
    with pytest.raises(RuntimeError, match=r"shares memory with the operand of shape \(4,\) of the unsaid"):
        unsaid(y)[0] = t
    same = op(lambda x: x, lambda g, y, x: g, name="same")
    with pytest.raises(RuntimeError, match="shares memory with the operand"):
        same(y)[0] = t
    said(y)[1] = t
    assert y.data.tolist() == [1.0, 2.0, 7.0, 4.0]


def test_what_einsum_gives_may_be_a_view_and_is_refused_then() -> None:
    y = leaf(X[:3, :3]) * 1.0
    with pytest.raises(RuntimeError, match=r"of the einsum that made it.*`y = x\.copy\(\); y\[i\] = v`"):
        np.einsum("ii->i", y)[...] = 1.0
    copied = np.einsum("ii->i", y).copy()
    copied[...] = 1.0


def test_augmenting_the_whole_makes_a_new_tensor() -> None:
    y = leaf([1.0, 2.0]) * 1
    view, same = y[:1], y
    y += 1
    assert y is not same
    assert view.data.tolist() == [1.0]


# Cost


def test_views_that_nobody_reads_again_cost_nothing_more() -> None:
    """Each is visited by the next write, once: a recurrence of n steps takes n times as long."""

    def visits(n: int) -> int:
        count = 0

        def trace(frame: Any, event: str, arg: Any) -> None:
            nonlocal count
            count += event == "call"

        table, h = Tensor(np.zeros((n + 1, 2))), leaf([0.5, 0.5])
        sys.setprofile(trace)
        try:
            for i in range(n):
                table[i + 1] = table[i] * h + 1
        finally:
            sys.setprofile(None)
        table.sum().backward()
        return count

    assert visits(80) < 2.2 * visits(40)


def test_views_that_are_gone_are_forgotten() -> None:
    x = leaf(X)
    for _ in range(5000):
        x[0]
    assert x._past is not None
    assert len(x._past.views) < 32


def test_a_deep_line_of_views() -> None:
    limit = sys.getrecursionlimit()
    y, t = leaf(X) * 1.0, leaf(T)
    deep = y
    for _ in range(3000):
        deep = deep[...]
    y[0, 0] = t
    sys.setrecursionlimit(200)
    try:
        assert deep.data[0, 0] == T
        deep[0, 1] = t
        y.sum().backward()
    finally:
        sys.setrecursionlimit(limit)
    assert t.grad == 2.0
    del deep, y
