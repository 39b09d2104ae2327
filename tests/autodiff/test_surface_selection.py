"""Selection, sorting, interpolation and mapping: every way numpy is called, on Tensors."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff import Tensor
from tests.autodiff.moves import LAYOUTS, check_moves, check_numerically, leaves_of, numbers, same, torch_agrees
from tests.autodiff.numeric import check_gradient, plain

some = settings(max_examples=60, deadline=None, database=None, derandomize=True)
SHAPE = (3, 4, 5)
MASK = np.arange(60).reshape(SHAPE) % 7 < 3
WHICH = np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]])

#: Calls on one array or two, of shape (3, 4, 5), that only move elements.
MOVES: dict[str, Any] = {
    "take": lambda x, y: np.take(x, [0, 59, 7, 7]),
    "take one": lambda x, y: np.take(x, 7),
    "take along": lambda x, y: np.take(x, [[0, -1], [1, 1]], axis=1),
    "take one along": lambda x, y: np.take(x, 2, -1),
    "take, wrapping": lambda x, y: np.take(x, [5, -7, 61], axis=0, mode="wrap"),
    "take, clipping": lambda x, y: np.take(x, [5, -7, 1], axis=2, mode="clip"),
    "take truths": lambda x, y: np.take(x, [True, False], axis=0),
    "take nothing": lambda x, y: np.take(x, np.array([], int), axis=1),
    "take method": lambda x, y: x.take([1, 0, 0], axis=2),
    "take_along_axis": lambda x, y: np.take_along_axis(x, WHICH[:, :, None], axis=2),
    "take_along_axis, broadcast": lambda x, y: np.take_along_axis(x, WHICH[:1, :1, None], 1),
    "take_along_axis flat": lambda x, y: np.take_along_axis(x, np.array([3, 3, -1]), axis=None),
    "choose": lambda x, y: np.choose(WHICH, [x[:, :, 0], y[:, :, 1]]),
    "choose, broadcast": lambda x, y: np.choose(WHICH, [x[0, :, 0], y[0, 0, 0]]),
    "choose, wrapping": lambda x, y: np.choose(WHICH + 2, [x[:, :, 0], y[:, :, 1]], mode="wrap"),
    "choose among rows": lambda x, y: np.choose([0, 2, 1, 2, 0], x[:, 0]),
    "compress": lambda x, y: np.compress([True, False, True], x, axis=0),
    "compress flat": lambda x, y: np.compress(MASK.ravel(), x),
    "compress by a short condition": lambda x, y: np.compress([False, True], x, 1),
    "compress method": lambda x, y: x.compress([0, 1, 1], axis=1),
    "extract": lambda x, y: np.extract(MASK, x),
    "extract by a short condition": lambda x, y: np.extract([True, False, True], x),
    "where": lambda x, y: np.where(MASK, x, y),
    "where, broadcast": lambda x, y: np.where(MASK[0], x, y[0, 0]),
    "select": lambda x, y: np.select([MASK, ~MASK], [x, y]),
    "select, overlapping": lambda x, y: np.select([MASK, MASK[:, ::-1]], [x, y]),
    "select, default": lambda x, y: np.select([MASK], [x], default=y[0, 0, 0]),
    "select, broadcast": lambda x, y: np.select([MASK[0, 0], MASK[0]], [x[0], y[0, 0]]),
}  # fmt: skip


@pytest.mark.parametrize("call", MOVES.values(), ids=MOVES)
def test_moves_are_numpys_with_exact_derivatives(call: Any) -> None:
    for layout in LAYOUTS:
        check_moves(call, numbers(*SHAPE), numbers(*SHAPE, seed=1), layout=layout)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 3), (2, 0), (2, 3), (3, 4, 0), (0, 4, 5)])
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


GRADES = np.array([0.0, 0.5, 1.0, 0.69, 0.9])
SMOOTH: dict[str, Any] = {
    "sort": lambda x: np.sort(x),
    "sort along": lambda x: np.sort(x, axis=0),
    "sort flat": lambda x: np.sort(x, axis=None),
    "sort of a kind": lambda x: np.sort(x, 1, kind="mergesort"),
    "sort, stable": lambda x: np.sort(x, stable=True),
    "sort, squared": lambda x: np.sort(x * x, axis=-2),
    "partition": lambda x: np.sort(np.partition(x, 2, axis=1)[:, :2], axis=1),
    "partition at": lambda x: np.partition(x, 2, axis=1)[:, 2],
    "partition at two": lambda x: np.partition(x, (1, 3), axis=-1)[:, [1, 3]],
    "partition flat": lambda x: np.partition(x, 4, axis=None)[4],
    "unique": lambda x: np.unique(x),
    "unique rows": lambda x: np.unique(x, axis=0),
    "unique columns": lambda x: np.unique(x, False, False, False, 1),
    "union1d": lambda x: np.union1d(x, x[0] * x[0]),
    "bincount": lambda x: np.bincount([0, 3, 3, 1], weights=x[0, :4]),
    "bincount, longer": lambda x: np.bincount(np.array([0, 3, 3, 1]), x[0, :4], 9),
    "histogram of weights": lambda x: np.histogram(GRADES, [0.0, 0.5, 0.7, 1.0], weights=x[0])[0],
    "histogram density": lambda x: np.histogram(GRADES, 4, (0.1, 0.9), density=True, weights=x[0] ** 2)[0],
    "piecewise": lambda x: np.piecewise(x, [x < 0, x > 0.5], [lambda v: v * v, np.sin]),
    "piecewise, otherwise": lambda x: np.piecewise(x, [plain(x) < 0], [lambda v: v * v * v, lambda v: 2 * v]),
    "piecewise, constants": lambda x: np.piecewise(x, [x < 0, x >= 0], [-1.0, lambda v: v * v]),
    "piecewise, overlapping": lambda x: np.piecewise(x, [x < 1, x < 0], [lambda v: v * v, lambda v: v**3]),
    "piecewise, one condition": lambda x: np.piecewise(x[0], x[0] < 0, [np.exp, np.cos]),
    "piecewise, by rows": lambda x: np.piecewise(x, [[True, False, True]], [np.sin, np.exp]),
    "piecewise, constants only": lambda x: np.piecewise(x, [x < 0], [1.0, 2.0]),
    "piecewise, of a scalar": lambda x: np.piecewise(x[0, 0], [x[0, 0] < 9, x[0, 0] > 9], [lambda v: v * v, 0]),
    "piecewise, arguments": lambda x: np.piecewise(x, [x < 0], [lambda v, a, b: a * v**b], 3.0, b=2),
    "apply, to a number": lambda x: np.apply_along_axis(lambda v: (v * v).sum(), 0, x),
    "apply, to a vector": lambda x: np.apply_along_axis(lambda v: v[::-1] * v.sum(), 1, x),
    "apply, to a matrix": lambda x: np.apply_along_axis(lambda v: np.multiply.outer(v, v[:2] ** 2), 0, x),
    "apply, arguments": lambda x: np.apply_along_axis(lambda v, k, p: k * v**p, -1, x, 3.0, p=2),
    "apply, in three axes": lambda x: np.apply_along_axis(lambda v: v * v, 1, np.stack([x, x * x])),
    "select, constants": lambda x: np.select([x < 0, x > 1], [x * x, 2], 7.5),
    "where, itself": lambda x: np.where(x > 0, x, 0.1 * x),
    "interp": lambda x: np.interp(x, [-1.0, 0.05, 2.0], [3.0, -1.0, 1.5]),
    "interp, left and right": lambda x: np.interp(x, [-0.5, 0.05], [3.0, -1.0], left=7.0, right=9.0),
    "interp, periodic": lambda x: np.interp(x, [0.3, 2.9, 1.1], [3.0, -1.0, 1.5], period=1.37),
}  # fmt: skip


@pytest.mark.parametrize("call", SMOOTH.values(), ids=SMOOTH)
def test_selection_by_value(call: Any) -> None:
    check_numerically(call, numbers(3, 5))


@pytest.mark.parametrize("call", SMOOTH.values(), ids=SMOOTH)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_floats_are_as_numpy_has_them(call: Any, dtype: Any) -> None:
    x = numbers(3, 5).astype(dtype)
    t = Tensor(x, requires_grad=True)
    y = call(t)
    assert y.dtype == call(x).dtype
    y.sum().backward()
    assert t.grad.dtype == dtype


@pytest.mark.parametrize("flags", [{}, {"return_index": True}, {"return_inverse": True, "return_counts": True}])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_unique_with_its_facts(flags: dict[str, bool], axis: int | None) -> None:
    x = np.array([[2.0, 1.0, 2.0], [1.0, 3.0, 1.0], [2.0, 1.0, 2.0]])
    t = Tensor(x, requires_grad=True)
    got, expected = np.unique(t, axis=axis, **flags), np.unique(x, axis=axis, **flags)
    same(got, expected)
    values = got[0] if flags else got
    values.sum().backward()
    assert t.grad.sum() == values.size
    for fact in got[1:] if flags else ():
        assert type(fact) is np.ndarray


def test_equal_elements_keep_their_order_in_a_sort() -> None:
    x = np.arange(500) % 3.0
    t = Tensor(x, requires_grad=True)
    (np.sort(t) * np.arange(500.0)).sum().backward()
    np.testing.assert_array_equal(t.grad, np.argsort(np.argsort(x, kind="stable")))


def test_nan_is_sorted_to_the_end() -> None:
    x = np.array([np.nan, 1.0, -np.inf, 0.0])
    same(np.sort(Tensor(x, requires_grad=True)), np.sort(x))


@some
@given(data=st.data())
def test_any_sort_and_take(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=3, min_side=0, max_side=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = numbers(*shape)
    order = np.argsort(x, axis)
    check_moves(lambda v: np.take_along_axis(v, order, axis), x)
    t, u = leaves_of((x, x.copy()))
    same(np.sort(t, axis), np.sort(x, axis))
    weights = numbers(*shape, seed=1)
    if x.size:
        (np.sort(t, axis) * weights).sum().backward()
        (np.take_along_axis(u, order, axis) * weights).sum().backward()
        np.testing.assert_array_equal(t.grad, u.grad)
    n = shape[axis]
    indices = data.draw(hnp.arrays(int, st.sampled_from([(), (3,), (2, 2)]), elements=st.integers(-9, 9)))
    for mode in ("wrap", "clip") if n else ():
        check_moves(lambda v, mode=mode: np.take(v, indices, axis, mode=mode), x)


# Interpolation

PLACES, VALUES = np.array([-1.5, -0.4, 0.3, 1.9]), np.array([0.7, -1.2, 2.0, 0.4])


def test_interp_by_all_its_operands() -> None:
    x = np.array([[-3.0, -1.0, -0.6], [0.1, 1.0, 4.0]])
    check_numerically(lambda x, xp, fp: np.interp(x, xp, fp), x, PLACES, VALUES)
    check_numerically(lambda fp: np.interp(x, PLACES, fp), VALUES)
    check_numerically(lambda xp: np.interp(x, xp, VALUES), PLACES)
    check_numerically(lambda x, fp, a: np.interp(x, PLACES, fp, left=a * a, right=3 * a), x, VALUES, np.array(0.7))
    check_numerically(lambda x, xp, fp: np.interp(x, xp, fp, period=2.7), x, PLACES, VALUES)


@some
@given(data=st.data())
def test_any_interp_is_numpys(data: Any) -> None:
    """Also on the samples' places, with places that coincide, and with one sample only."""
    whole = st.integers(-3, 3)
    xp = np.sort(data.draw(hnp.arrays(float, st.integers(1, 5), elements=whole)))
    fp = data.draw(hnp.arrays(float, xp.shape, elements=whole))
    shapes = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0)
    x = data.draw(hnp.arrays(float, shapes, elements=st.integers(-8, 8))) / 2
    options = data.draw(st.sampled_from([{}, {"left": -9.0}, {"right": 8.0}, {"period": 2.5}]))
    if "period" in options and np.unique(xp % 2.5).size < xp.size:
        return  # which of two samples in one place counts is a matter of their order
    t = Tensor(x, requires_grad=True)
    got = np.interp(t, xp, fp, **options)
    np.testing.assert_allclose(got.data, np.interp(x, xp, fp, **options), rtol=1e-14, atol=1e-14)
    if x.size:
        got.sum().backward()
        assert np.isfinite(t.grad).all()


def test_interp_on_a_sample_and_beyond() -> None:
    t = Tensor([-2.0, -1.5, 0.3, 1.9, 2.0, np.nan], requires_grad=True)
    y = np.interp(t, PLACES, VALUES)
    np.testing.assert_array_equal(y.data, [0.7, 0.7, 2.0, 0.4, 0.4, np.nan])
    y.sum().backward()
    slopes = np.diff(VALUES) / np.diff(PLACES)
    np.testing.assert_allclose(t.grad[:5], [0, slopes[0], slopes[2], slopes[2], 0])
    same(np.interp(Tensor(np.float32([0.5]), requires_grad=True), PLACES, VALUES),
         np.interp(np.float32([0.5]), PLACES, VALUES))  # fmt: skip


@pytest.mark.parametrize("wrong", [([], []), ([1.0, 2.0], [1.0]), ([[1.0]], [1.0])])
def test_wrong_samples_fail_as_numpy_fails(wrong: Any) -> None:
    for period in (None, 1.0):
        for x in ([0.5], Tensor([0.5], requires_grad=True)):
            with pytest.raises(ValueError, match=r"empty|same length|too deep|sequence|1-D|dimension"):
                np.interp(x, *wrong, period=period)
    with pytest.raises(ValueError, match="period"):
        np.interp(Tensor([0.5], requires_grad=True), [1.0], [1.0], period=0)
    with pytest.raises(NotImplementedError, match="complex"):
        np.interp(Tensor([0.5], requires_grad=True), [1.0], [1j])


# Facts


FACTS: dict[str, Any] = {
    "argsort": lambda x: np.argsort(x, axis=0, kind="stable"),
    "argsort method": lambda x: x.argsort(axis=1),
    "argpartition": lambda x: np.take_along_axis(plain(x), np.argpartition(x, 2, axis=1), 1)[:, 2],
    "argpartition method": lambda x: x.argpartition(0, axis=0)[0],
    "lexsort": lambda x: np.lexsort((x[0], x[1])),
    "searchsorted": lambda x: np.searchsorted([-1.0, 0.0, 1.0], x, side="right"),
    "searchsorted method": lambda x: np.sort(x[0]).searchsorted([0.0, 5.0]),
    "digitize": lambda x: np.digitize(x, np.array([-1.0, 0.0, 1.0]), right=True),
    "histogram": lambda x: np.histogram(x, bins=[-2, 0, 2], density=True),
    "histogram_bin_edges": lambda x: np.histogram_bin_edges(x, [-1.0, 0.0, 2.0]),
    "isin": lambda x: np.isin(x, plain(x)[0, :2]),
    "flatnonzero": lambda x: np.flatnonzero(x > 0),
    "nonzero": np.nonzero,
    "nonzero method": lambda x: x.nonzero(),
    "argwhere": np.argwhere,
    "diag_indices_from": lambda x: np.diag_indices_from(x[:, :3]),
    "tril_indices_from": lambda x: np.tril_indices_from(x, k=1),
    "triu_indices_from": np.triu_indices_from,
    "where of one": np.where,
    "zeros_like": np.zeros_like,
    "ones_like": lambda x: np.ones_like(x, dtype=int),
    "empty_like": lambda x: np.empty_like(x).shape,
    "full_like": lambda x: np.full_like(x, 7.0),
    "shape": np.shape,
}


@pytest.mark.parametrize("call", FACTS.values(), ids=FACTS)
def test_facts_are_plain(call: Any) -> None:
    x = numbers(3, 5)
    got, expected = call(Tensor(x, requires_grad=True)), call(x)
    assert type(got) is type(expected)
    np.testing.assert_equal(got, expected)
    assert not isinstance(got, Tensor)


def test_tensors_of_integers_in_functions_about_places() -> None:
    n = Tensor([7, 3])
    same(np.unravel_index(n, (3, 4)), np.unravel_index([7, 3], (3, 4)))
    same(np.ravel_multi_index((n, n), (9, 9)), np.ravel_multi_index(([7, 3], [7, 3]), (9, 9)))
    same(np.ix_(Tensor([1, 0]), [2]), np.ix_([1, 0], [2]))
    same(np.bincount(n), np.bincount([7, 3]))
    same(np.take(np.arange(9.0), n), np.arange(9.0)[[7, 3]])
    same(np.choose(Tensor([1, 0]), [[1.0, 2.0], [3.0, 4.0]]), np.array([3.0, 2.0]))
    assert np.iterable(n)
    assert not np.iterable(1)


# Refusals


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.take(t, [9]), lambda t: np.take(t, 0, axis=2),
        lambda t: np.take_along_axis(t, np.array([0]), 0), lambda t: np.take_along_axis(t, np.array([[9]]), 1),
        lambda t: np.choose([2, 0], [t[0], t[1]]), lambda t: np.compress([[True]], t, axis=0),
        lambda t: np.compress([True] * 9, t, axis=0), lambda t: np.extract(np.ones(9, bool), t),
        lambda t: np.select([[True]], [t, t]), lambda t: np.select([], []), lambda t: np.select([np.ones(2)], [t]),
        lambda t: np.sort(t, axis=5), lambda t: np.partition(t, 9), lambda t: np.sort(t, kind="nonsense"),
        lambda t: np.bincount([-1, 0], t[0]), lambda t: np.bincount([0, 1, 2], t[0]),
        lambda t: np.piecewise(t, [plain(t) > 0], [1, 2, 3]), lambda t: np.apply_along_axis(np.sum, 3, t),
        lambda t: np.apply_along_axis(np.sum, 0, t[:, :0]), lambda t: np.sort(t, stable=True, kind="heapsort"),
    ],
)  # fmt: skip
def test_what_numpy_refuses_is_refused(call: Any) -> None:
    x = numbers(2, 2)
    with pytest.raises((ValueError, IndexError, TypeError)):
        call(x)
    with pytest.raises((ValueError, IndexError, TypeError)):
        call(Tensor(x, requires_grad=True))


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.take(t, [0], out=np.zeros(1)), lambda t: np.compress([True], t, out=np.zeros(1)),
        lambda t: np.choose([0], [t], out=np.zeros(1)), lambda t: t.take([0], out=np.zeros(1)),
        lambda t: t.compress([True], out=np.zeros(1)),
    ],
)  # fmt: skip
def test_out_is_refused(call: Any) -> None:
    with pytest.raises(TypeError, match="no gradient can follow"):
        call(Tensor([1.0], requires_grad=True))


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.asarray_chkfinite(t), lambda t: np.vectorize(lambda v: v * 2)(t),
        lambda t: np.ascontiguousarray(t), lambda t: np.asfortranarray(t), lambda t: np.require(t),
        lambda t: np.full(3, t[0]), lambda t: np.array([t, t]), lambda t: list(np.ndenumerate(t)),
        lambda t: np.select([[True]], [1.0], t[0]),
    ],
)  # fmt: skip
def test_what_numpy_keeps_to_itself_raises_with_the_cure(call: Any) -> None:
    """These ask for a plain array before a Tensor can take part."""
    with pytest.raises(TypeError, match=r"lose its gradient.*`t\.data`"):
        call(Tensor([1.0, 2.0], requires_grad=True))


def test_frompyfunc_is_named() -> None:
    with pytest.raises(NotImplementedError, match="is not differentiated"):
        np.frompyfunc(lambda v: v * 2, 1, 1)(Tensor([1.0], requires_grad=True))


TORCH: dict[str, Any] = {
    "take": (lambda x: np.take(x, [0, 7, 7]), lambda t, torch: torch.take(t, torch.tensor([0, 7, 7]))),
    "take along": (lambda x: np.take(x, [1, 1], 2), lambda t, torch: torch.index_select(t, 2, torch.tensor([1, 1]))),
    "take_along_axis": (
        lambda x: np.take_along_axis(x, WHICH[:, :, None], 2),
        lambda t, torch: torch.gather(t, 2, torch.tensor(WHICH[:, :, None])),
    ),
    "extract": (lambda x: np.extract(MASK, x), lambda t, torch: torch.masked_select(t, torch.tensor(MASK))),
    "sort": (lambda x: np.sort(x, 1), lambda t, torch: torch.sort(t, 1).values),
    "where": (lambda x: np.where(MASK, x, x * x), lambda t, torch: torch.where(torch.tensor(MASK), t, t * t)),
    "bincount": (
        lambda x: np.bincount([0, 3, 3, 1, 0], x[0, 0]),
        lambda t, torch: torch.zeros(4, dtype=t.dtype).index_add(0, torch.tensor([0, 3, 3, 1, 0]), t[0, 0]),
    ),
    "partition": (lambda x: np.partition(x, 2, 1)[:, 2], lambda t, torch: torch.kthvalue(t, 3, 1).values),
}


@pytest.mark.parametrize(("ours", "theirs"), TORCH.values(), ids=TORCH)
def test_pytorch_agrees(ours: Any, theirs: Any) -> None:
    torch = pytest.importorskip("torch", reason="the oracle of this test")
    torch_agrees(ours, lambda t: theirs(t, torch), numbers(*SHAPE))


def test_gradient_through_a_sorted_loss() -> None:
    """A trimmed mean, as a person writes it."""
    check_gradient(lambda x: np.sort(x**2)[1:-1].mean(), numbers(7), rng=np.random.default_rng(0))
