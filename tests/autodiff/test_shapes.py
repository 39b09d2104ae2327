"""Properties over shapes that hypothesis thinks up: products of all ranks, reductions, indices, broadcasting."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from autodiff import Tensor
from tests.autodiff.numeric import check_gradient

many = settings(max_examples=200, deadline=None, database=None, derandomize=True)
few = settings(max_examples=40, deadline=None, database=None, derandomize=True)


def values(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.normal(size=shape)) for shape in shapes]


def leaves(*arrays: np.ndarray) -> list[Tensor]:
    return [Tensor(x, requires_grad=True) for x in arrays]


def assert_close(got: Any, expected: Any) -> None:
    assert got.shape == np.shape(expected)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


# Products: einsum, which knows nothing of ranks, is the judge.

SUBSCRIPTS = st.integers(0, 3)


@st.composite
def matmul_shapes(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return two shapes that matmul takes: ranks 1 to 4 each, batches that broadcast, lengths from 0."""
    n, k, m = (draw(SUBSCRIPTS) for _ in range(3))
    batch = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, min_side=0, max_side=3)).input_shapes
    a = (k,) if draw(st.booleans()) and draw(st.booleans()) else (*batch[0], n, k)
    b = (k,) if draw(st.booleans()) and draw(st.booleans()) else (*batch[1], k, m)
    return a, b


def einsum_matmul(a: Any, b: Any) -> Any:
    left, right = ("...nk", "...km")
    out = "...nm"
    if a.ndim == 1:
        left, out = "k", out.replace("n", "")
    if b.ndim == 1:
        right, out = "k", out.replace("m", "")
    return np.einsum(f"{left},{right}->{out.replace('...', '...' if '...' in left + right else '')}", a, b)


def product_gradients(function: Any, a: np.ndarray, b: np.ndarray, g: np.ndarray) -> tuple[Any, Any]:
    """The product is linear in each operand: its exact gradient is read off, one unit matrix at a time."""
    da, db = np.zeros_like(a), np.zeros_like(b)
    for grad, x, call in ((da, a, lambda e: function(e, b)), (db, b, lambda e: function(a, e))):
        for index in np.ndindex(x.shape):
            unit = np.zeros_like(x)
            unit[index] = 1
            grad[index] = np.sum(call(unit) * g)
    return da, db


def check_product(ours: Any, oracle: Any, a: np.ndarray, b: np.ndarray, seed: int) -> None:
    ta, tb = leaves(a, b)
    y = ours(ta, tb)
    assert_close(y.data, oracle(a, b))
    (g,) = values(seed + 1, y.shape)
    y.backward(g)
    da, db = product_gradients(oracle, a, b, g)
    assert_close(ta.grad, da)
    assert_close(tb.grad, db)


@many
@given(shapes=matmul_shapes(), seed=st.integers(0, 99))
def test_matmul_of_all_ranks(shapes: Any, seed: int) -> None:
    a, b = values(seed, *shapes)
    check_product(lambda a, b: a @ b, einsum_matmul, a, b, seed)


@many
@given(
    left=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    right=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    k=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_dot_of_all_ranks(left: tuple[int, ...], right: tuple[int, ...], k: int, seed: int) -> None:
    a_shape = (*left, k)
    b_shape = (k,) if not right else (*right[:-1], k, right[-1])
    a, b = values(seed, a_shape, b_shape)

    def oracle(a: Any, b: Any) -> Any:
        return np.tensordot(a, b, axes=(-1, 0 if b.ndim == 1 else -2))

    check_product(np.dot, oracle, a, b, seed)


@few
@given(shape=hnp.array_shapes(min_dims=0, max_dims=3, max_side=3), flip=st.booleans(), seed=st.integers(0, 99))
def test_dot_with_a_scalar(shape: tuple[int, ...], flip: bool, seed: int) -> None:
    a, b = values(seed, (), shape)
    if flip:
        a, b = b, a
    check_product(np.dot, np.multiply, a, b, seed)


@few
@given(shapes=matmul_shapes(), seed=st.integers(0, 99))
def test_matmul_to_second_order(shapes: Any, seed: int) -> None:
    check_gradient(np.matmul, *values(seed, *shapes), rng=np.random.default_rng(seed))


@pytest.mark.parametrize(("a", "b"), [((2, 3), (2, 3)), ((3,), (2,)), ((), (2,)), ((2, 2, 3), (3, 3, 2)), ((2,), ())])
def test_shapes_that_do_not_fit_are_numpys_error(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = leaves(np.ones(a), np.ones(b))
    with pytest.raises(ValueError):
        x @ y


# Reductions


@st.composite
def reductions(draw: Any) -> tuple[tuple[int, ...], dict[str, Any]]:
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, max_side=3))
    axes = st.integers(-len(shape), len(shape) - 1) if shape else st.nothing()
    several = hnp.valid_tuple_axes(len(shape)) if shape else st.nothing()
    return shape, {"axis": draw(st.none() | axes | several), "keepdims": draw(st.booleans())}


@many
@given(case=reductions(), name=st.sampled_from(["sum", "mean", "max", "min", "prod"]), seed=st.integers(0, 99))
def test_reductions_over_any_axes(case: Any, name: str, seed: int) -> None:
    shape, params = case
    (x,) = values(seed, shape)
    check_reduction(name, x, params, seed)


@many
@given(
    case=reductions(), name=st.sampled_from(["var", "std"]), ddof=st.sampled_from([0, 1, 0.5]), seed=st.integers(0, 99)
)
def test_spread_over_any_axes(case: Any, name: str, ddof: float, seed: int) -> None:
    shape, params = case
    (x,) = values(seed, shape)
    elements = x.size / max(np.var(x, **params).size, 1)
    assume(elements - ddof > 0)
    assume(name == "var" or elements > 1)  # the deviation of one number is a kink
    check_reduction(name, x, {**params, "ddof": ddof}, seed)


def check_reduction(name: str, x: np.ndarray, params: dict[str, Any], seed: int) -> None:
    function = getattr(np, name)
    (t,) = leaves(x)
    for y in (function(t, **params), getattr(t, name)(**params)):
        expected = np.asarray(function(x, **params))
        assert y.shape == expected.shape
        np.testing.assert_array_equal(y.data, expected)
    order = 2 if seed % 4 == 0 else 1  # the second is slower, and the op tests have it for every op
    check_gradient(lambda v: function(v, **params), x, rng=np.random.default_rng(seed), order=order, tolerance=1e-6)


# Indexing

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, max_side=4)


@st.composite
def basic(draw: Any) -> tuple[tuple[int, ...], Any]:
    shape = draw(SHAPES)
    return shape, draw(hnp.basic_indices(shape, max_dims=5, allow_newaxis=True))


@st.composite
def advanced(draw: Any) -> tuple[tuple[int, ...], Any]:
    """Integer arrays, boolean masks, and mixtures of both with slices."""
    shape = draw(SHAPES)
    kind = draw(st.sampled_from(["integers", "mask", "axis mask", "mixed", "list"]))
    if kind == "integers":
        return shape, draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(min_dims=0, max_dims=2)))
    if kind == "mask":
        return shape, draw(hnp.arrays(bool, shape))
    if kind == "axis mask":
        return shape, (*([slice(None)] * (len(shape) - 1)), draw(hnp.arrays(bool, shape[-1:])))
    if kind == "list":
        return shape, draw(st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=4))
    first = draw(hnp.arrays(np.intp, draw(hnp.array_shapes(max_dims=2)), elements=st.integers(0, shape[0] - 1)))
    rest = [draw(st.slices(n) | st.integers(-n, n - 1)) for n in shape[1:]]
    return shape, (first, *rest)


def check_index(shape: tuple[int, ...], index: Any, seed: int) -> None:
    """Where each element of ``x[index]`` comes from is asked of numpy itself, by indexing the positions."""
    (x,) = values(seed, shape)
    positions = np.arange(x.size).reshape(shape)[index]
    (t,) = leaves(x)
    y = t[index]
    assert_close(y.data, x[index])
    g = np.asarray(values(seed + 1, y.shape)[0])
    y.backward(g)
    expected = np.zeros(x.size)
    np.add.at(expected, np.ravel(positions), np.ravel(g))
    assert_close(t.grad, expected.reshape(shape))


@many
@given(case=basic(), seed=st.integers(0, 99))
def test_basic_indices(case: Any, seed: int) -> None:
    check_index(*case, seed)


@many
@given(case=advanced(), seed=st.integers(0, 99))
def test_advanced_indices(case: Any, seed: int) -> None:
    check_index(*case, seed)


@many
@given(case=basic() | advanced(), seed=st.integers(0, 99))
def test_assignment_at_any_index(case: Any, seed: int) -> None:
    shape, index = case
    (x,) = values(seed, shape)
    v = np.asarray(values(seed + 1, x[index].shape)[0])
    t, u = leaves(x, v)
    y = t * 1
    y[index] = u
    expected = x.copy()
    expected[index] = v
    assert_close(y.data, expected)
    (g,) = values(seed + 2, shape)
    y.backward(g)
    # Number what is written from 1: what stands in the end says which write, if any, each element shows.
    source = np.zeros(shape, int)
    source[index] = np.arange(1, v.size + 1).reshape(v.shape)
    assert_close(t.grad, np.where(source == 0, g, 0))
    written = np.zeros(v.size + 1)
    np.add.at(written, source.ravel(), g.ravel())
    assert_close(u.grad, written[1:].reshape(v.shape))


# Broadcasting

BINARY = [np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum, np.minimum, np.logaddexp, np.remainder]


@many
@given(
    shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=3, max_dims=4),
    ufunc=st.sampled_from(BINARY),
    seed=st.integers(0, 99),
)
def test_binary_operations_undo_broadcasting(shapes: Any, ufunc: np.ufunc, seed: int) -> None:
    a, b = (np.exp(0.3 * x) for x in values(seed, *shapes.input_shapes))
    wide_a, wide_b = leaves(*(x.copy() for x in np.broadcast_arrays(a, b)))
    narrow_a, narrow_b = leaves(a, b)
    y = ufunc(narrow_a, narrow_b)
    assert y.shape == shapes.result_shape
    (g,) = values(seed + 1, y.shape)
    y.backward(g)
    ufunc(wide_a, wide_b).backward(g)
    # The gradient of a stretched operand is the sum over all places where it was put.
    for narrow, wide in ((narrow_a, wide_a), (narrow_b, wide_b)):
        lead = wide.ndim - narrow.ndim
        total = np.sum(wide.grad, axis=tuple(range(lead)))
        ones = tuple(i for i, n in enumerate(narrow.shape) if n == 1)
        assert_close(narrow.grad, np.sum(total, axis=ones, keepdims=True).reshape(narrow.shape))


@few
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, max_side=3, max_dims=3), seed=st.integers(0, 99))
def test_where_and_clip_broadcast_all_operands(shapes: Any, seed: int) -> None:
    c, a, b = values(seed, *shapes.input_shapes)
    check_gradient(lambda a, b: np.where(c > 0, a, b), a, b, rng=np.random.default_rng(seed), order=1)
    if not (np.abs(c - a).min() < 0.05 or np.abs(c - b).min() < 0.05):
        check_gradient(
            lambda c: np.clip(c, np.minimum(a, b), np.maximum(a, b)), c, rng=np.random.default_rng(seed), order=1
        )


# Shapes


@many
@given(shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3), data=st.data())
def test_moving_elements_moves_their_gradients(shape: tuple[int, ...], data: Any) -> None:
    """Reshape, transpose, swapaxes, expand_dims, squeeze, ravel: the gradient goes back where the element was."""
    (x,) = values(0, shape)
    axes = data.draw(st.permutations(range(len(shape))))
    new_axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    moves = [
        lambda v: np.transpose(v, axes), lambda v: np.expand_dims(v, new_axis), lambda v: np.reshape(v, (x.size,)),
        lambda v: np.squeeze(v), lambda v: np.ravel(v, order="F"), lambda v: np.stack([v, v], axis=new_axis),
        lambda v: np.broadcast_to(v, (2, *shape)),
    ]  # fmt: skip
    if shape:
        i, j = (data.draw(st.integers(-len(shape), len(shape) - 1)) for _ in range(2))
        moves += [lambda v: np.swapaxes(v, i, j), lambda v: np.concatenate([v, v], axis=i)]
    move = data.draw(st.sampled_from(moves))
    (t,) = leaves(x)
    y = move(t)
    positions = move(np.arange(x.size).reshape(shape))
    assert_close(y.data, move(x))
    (g,) = values(1, y.shape)
    y.backward(g)
    expected = np.zeros(x.size)
    np.add.at(expected, np.ravel(positions), np.ravel(g))
    assert_close(t.grad, expected.reshape(shape))
