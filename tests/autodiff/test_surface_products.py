"""Products of vectors, matrices and tensors, convolutions, covariances, polynomials: called in numpy's every way."""

from __future__ import annotations

import gc
import re
import weakref
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff import Tensor
from tests.autodiff.agreement import agrees_with_numpy, agrees_with_torch, gives_numpys_values, leaf, numbers

some = settings(max_examples=60, deadline=None, database=None, derandomize=True)
V, W, M, N = numbers(3), numbers(4), numbers(2, 3), numbers(3, 4)
STACK, OTHER = numbers(2, 3, 4), numbers(2, 4, 2)
WEIGHTS = np.array([0.5, 2.0, 1.0, 1.5])

CASES: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "vdot": (np.vdot, (M, N[:, :2].T)),
    "vdot of numbers": (np.vdot, (numbers(), numbers())),
    "inner": (np.inner, (STACK, numbers(3, 2, 4))),
    "inner of vectors": (np.inner, (V, V[::-1])),
    "inner with a number": (np.inner, (numbers(), M)),
    "inner with a vector": (np.inner, (V, M)),
    "outer": (np.outer, (M, V)),
    "outer with a number": (lambda a: np.outer(a, 2.5), (M,)),
    "linalg.outer": (np.linalg.outer, (V, W)),
    "matmul": (lambda a, b: a @ b, (STACK, OTHER)),
    "matmul, broadcast": (np.matmul, (numbers(2, 1, 2, 3), N)),
    "matmul axes": (
        lambda a, b: np.matmul(a, b, axes=[(0, 1), (-1, -2), (-2, 0)]),
        (numbers(2, 4, 3), numbers(3, 2, 4)),
    ),
    "matmul axes, a vector": (lambda a, b: np.matmul(a, b, axes=[(1, 0), (0,), (0,)]), (M, numbers(2))),
    "linalg.matmul": (np.linalg.matmul, (M, N)),
    "dot": (np.dot, (STACK, OTHER)),
    "dot method": (lambda a, b: a.dot(b), (M, N)),
    "vecdot": (np.vecdot, (M, V)),
    "vecdot axis": (lambda a, b: np.vecdot(a, b, axis=0), (N, V[:, None])),
    "vecdot axes": (lambda a, b: np.vecdot(a, b, axes=[0, -1]), (N, V)),
    "vecdot axes with that of the result": (lambda a, b: np.vecdot(a, b, axes=[(0,), (1,), ()]), (N, numbers(4, 3))),
    "linalg.vecdot": (lambda a, b: np.linalg.vecdot(a, b, axis=0), (N, N[:, ::-1])),
    "tensordot": (np.tensordot, (STACK, numbers(3, 4, 2))),
    "tensordot 1": (lambda a, b: np.tensordot(a, b, 1), (STACK, W)),
    "tensordot 0": (lambda a, b: np.tensordot(a, b, axes=0), (M, V)),
    "tensordot pairs": (lambda a, b: np.tensordot(a, b, axes=([0, -1], [-1, 0])), (STACK, numbers(4, 3, 2))),
    "tensordot one pair": (lambda a, b: np.linalg.tensordot(a, b, axes=(1, 0)), (STACK, N)),
    "tensordot of numbers": (lambda a, b: np.tensordot(a, b, 0), (numbers(), M)),
    "kron": (np.kron, (M, N)),
    "kron of vectors": (np.kron, (V, W)),
    "kron, different ranks": (np.kron, (V, STACK)),
    "kron, different ranks, reversed": (np.kron, (STACK, M)),
    "kron with a number": (lambda a: np.kron(a, 3.0), (M,)),
    "kron with 0-d": (np.kron, (numbers(), M)),
    "cross": (np.cross, (M, M[:, ::-1] + 1)),
    "cross axes": (lambda a, b: np.cross(a, b, axisa=0, axisb=-1, axisc=0), (N, numbers(4, 3))),
    "cross axis": (lambda a, b: np.cross(a, b, axis=0), (N, V[:, None])),
    "cross, broadcast": (np.cross, (numbers(2, 1, 3), numbers(4, 3))),
    "linalg.cross": (lambda a, b: np.linalg.cross(a, b, axis=0), (N, N[::-1])),
    "multi_dot": (lambda *xs: np.linalg.multi_dot(xs), (M, N, numbers(4, 2), numbers(2, 5))),
    "multi_dot of two": (lambda *xs: np.linalg.multi_dot(xs), (M, N)),
    "multi_dot of three": (lambda *xs: np.linalg.multi_dot(list(xs)), (M, N, W[:, None])),
    "multi_dot between vectors": (lambda *xs: np.linalg.multi_dot(xs), (V, N, W)),
    "multi_dot from a vector": (lambda *xs: np.linalg.multi_dot(xs), (V, N, numbers(4, 2))),
    "matrix_power 0": (lambda a: np.linalg.matrix_power(a, 0) + 0 * a, (numbers(3, 3),)),
    "matrix_power -3": (lambda a: np.linalg.matrix_power(a, -3), (numbers(3, 3) + 2 * np.eye(3),)),
    "convolve": (np.convolve, (W, V)),
    "convolve with a number": (lambda a: np.convolve(a, 2.0), (W,)),
    "correlate": (np.correlate, (W, V)),
    "cov": (np.cov, (N,)),
    "cov of one variable": (np.cov, (W,)),
    "cov of two": (np.cov, (W, W[::-1] + 1)),
    "cov y": (lambda m, y: np.cov(m, y=y, ddof=0), (N, numbers(2, 4))),
    "cov columns": (lambda m: np.cov(m, rowvar=False), (N,)),
    "cov columns, y": (lambda m, y: np.cov(m, y, rowvar=False), (N, numbers(3, 2))),
    "cov columns, one more": (lambda m, y: np.cov(m, y, False), (N, V)),
    "cov bias": (lambda m: np.cov(m, None, True, True), (N,)),
    "cov fweights": (lambda m: np.cov(m, fweights=[1, 2, 1, 3]), (N,)),
    "cov aweights": (lambda m: np.cov(m, aweights=WEIGHTS), (N,)),
    "cov both weights": (lambda m: np.cov(m, fweights=[1, 2, 1, 3], aweights=WEIGHTS, ddof=2), (N,)),
    "cov both weights, biased": (lambda m: np.cov(m, fweights=[1, 2, 1, 3], aweights=WEIGHTS, bias=True), (N,)),
    "cov dtype": (lambda m: np.cov(m, dtype=np.float64), (N,)),
    "corrcoef": (np.corrcoef, (N,)),
    "corrcoef of two": (lambda x, y: np.corrcoef(x, y), (W, W[::-1] * W)),
    "corrcoef columns": (lambda x: np.corrcoef(x, rowvar=False), (N,)),
    "polyval": (np.polyval, (V, M)),
    "polyval at a number": (lambda p: np.polyval(p, 1.5), (V,)),
    "polyval of numbers": (lambda x: np.polyval([1.0, -2.0, 0.5], x), (M,)),
    "polynomial.polyval": (lambda x: np.polynomial.polynomial.polyval(x, [1.0, -2.0, 0.5]), (M,)),
    "vander": (np.vander, (V,)),
    "vander N": (lambda x: np.vander(x, 2), (V,)),
    "vander increasing": (lambda x: np.vander(x, N=5, increasing=True), (V,)),
}  # fmt: skip
if hasattr(np, "matvec"):
    CASES |= {
        "matvec": (np.matvec, (STACK, W)),
        "matvec axes": (lambda a, v: np.matvec(a, v, axes=[(0, 1), 0, 0]), (STACK, N)),
        "vecmat": (np.vecmat, (V, STACK)),
        "vecmat axes": (lambda v, a: np.vecmat(v, a, axes=[(-1,), (1, 0), (0,)]), (M, numbers(4, 3, 2))),
    }


@pytest.mark.parametrize("name", CASES)
def test_values_are_numpys_and_derivatives_right(name: str) -> None:
    call, arrays = CASES[name]
    agrees_with_numpy(call, *arrays)


@pytest.mark.parametrize("name", CASES)
def test_layouts(name: str) -> None:
    """Negative strides and other orders make no difference; float32 comes out as from numpy."""
    call, arrays = CASES[name]
    gives_numpys_values(call, *[np.flip(np.flip(np.asfortranarray(x)).copy()) if x.ndim else x for x in arrays])
    gives_numpys_values(call, *[x.astype(np.float32) for x in arrays], rtol=1e-4)


def _pairs() -> dict[str, tuple[Any, Any, tuple[np.ndarray, ...]]]:
    try:
        import torch
    except ImportError:
        return {}
    return {
        "inner": (np.inner, torch.inner, (STACK, numbers(3, 2, 4))),
        "outer": (np.outer, torch.outer, (V, W)),
        "matmul": (np.matmul, torch.matmul, (STACK, OTHER)),
        "matmul, broadcast": (np.matmul, torch.matmul, (numbers(2, 1, 2, 3), N)),
        "dot": (np.dot, torch.dot, (V, V[::-1].copy())),
        "vdot": (np.vdot, torch.vdot, (V, V[::-1].copy())),
        "tensordot": (
            lambda a, b: np.tensordot(a, b, axes=([0, 2], [2, 0])),
            lambda a, b: torch.tensordot(a, b, dims=([0, 2], [2, 0])),
            (STACK, numbers(4, 3, 2)),
        ),
        "kron": (np.kron, torch.kron, (M, STACK)),
        "cross": (np.cross, torch.linalg.cross, (M, M[:, ::-1] + 1)),
        "cov": (np.cov, torch.cov, (N,)),
        "cov weights": (
            lambda m: np.cov(m, fweights=[1, 2, 1, 3], aweights=WEIGHTS),
            lambda m: torch.cov(m, fweights=torch.tensor([1, 2, 1, 3]), aweights=torch.tensor(WEIGHTS)),
            (N,),
        ),
        "corrcoef": (np.corrcoef, torch.corrcoef, (N,)),
        "vander": (lambda x: np.vander(x, 4, True), lambda x: torch.stack([x**i for i in range(4)], dim=1), (V,)),
        "convolve": (
            np.convolve,
            lambda a, v: torch.nn.functional.conv1d(a[None, None], v.flip(0)[None, None], padding=2)[0, 0],
            (W, V),
        ),
        "correlate": (
            np.correlate,
            lambda a, v: torch.nn.functional.conv1d(a[None, None], v[None, None])[0, 0],
            (W, V),
        ),
    }


PAIRS = _pairs()


@pytest.mark.parametrize("name", PAIRS)
def test_torch_agrees(name: str) -> None:
    ours, theirs, arrays = PAIRS[name]
    agrees_with_torch(ours, theirs, *arrays)


# Any shapes

seeds = st.integers(0, 10_000)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("function", [np.convolve, np.correlate])
def test_convolutions(function: Any, mode: Any) -> None:
    """Of all lengths: where the middle part begins depends on which is longer, and on what is odd."""
    for n in range(1, 7):
        for m in range(1, 7):
            agrees_with_numpy(lambda a, v: function(a, v, mode=mode), numbers(n), numbers(m, seed=1))


@some
@given(st.lists(st.integers(1, 3), max_size=3), st.lists(st.integers(1, 3), max_size=3), seeds)
def test_products_of_any_ranks(left: list[int], right: list[int], seed: int) -> None:
    a, b = numbers(*left, 2, seed=seed), numbers(*right, 2, seed=seed + 1)
    agrees_with_numpy(np.inner, a, b, order=1)
    agrees_with_numpy(np.kron, a, b, order=1)
    agrees_with_numpy(np.outer, a, b, order=1)
    agrees_with_numpy(lambda x, y: np.tensordot(x, y, axes=(-1, -1)), a, b, order=1)
    agrees_with_numpy(np.dot, a, np.swapaxes(b, -1, -2) if b.ndim > 1 else b, order=1)


@some
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=2), st.permutations([0, 1]), seeds)
def test_tensordot_over_any_axes(axes: list[tuple[int, int]], order: list[int], seed: int) -> None:
    """Axes counted from either end; the lengths are all equal, so that any pair fits."""
    over_a, over_b = [a - 2 for a, _ in axes], [b - 2 for _, b in axes]
    a, b = np.transpose(numbers(2, 2, seed=seed), order), numbers(2, 2, seed=seed + 1)
    try:
        np.tensordot(a, b, (over_a, over_b))
    except ValueError:
        with pytest.raises(ValueError, match="tensordot"):
            np.tensordot(leaf(a), leaf(b), (over_a, over_b))
        return
    agrees_with_numpy(lambda x, y: np.tensordot(x, y, (over_a, over_b)), a, b, order=1)


@some
@given(st.lists(st.integers(1, 4), min_size=3, max_size=6), seeds)
def test_chains_of_any_length(sizes: list[int], seed: int) -> None:
    chain = [numbers(m, n, seed=seed + m) for m, n in pairwise(sizes)]
    agrees_with_numpy(lambda *xs: np.linalg.multi_dot(xs), *chain, order=1)


def test_a_chain_is_multiplied_in_the_cheapest_order() -> None:
    column, row, end = leaf(numbers(9, 1)), numbers(1, 9), numbers(9, 1, seed=1)
    product = np.linalg.multi_dot([column, row, end])
    assert product.inputs[0] is column  # times the single number that the other two make
    assert np.linalg.multi_dot([row, end, column.T]).shape == (1, 9)


def test_a_chain_leaves_no_cycle() -> None:
    x = leaf(numbers(2, 2))
    gc.disable()
    try:
        product = np.linalg.multi_dot([x, x, x, x])
        gone = weakref.ref(product)
        del product
        assert gone() is None
    finally:
        gc.enable()


# Numpy's way of being called


def test_lists_and_numbers() -> None:
    x = leaf(V)
    for y in (
        np.inner([1.0, 2.0, 3.0], x),
        np.outer([1, x[0]], x),
        np.kron(x, 2),
        np.cross(x, (1, 2, 3)),
        np.tensordot(x, [1.0, 2.0, 3.0], 1),
        np.convolve(x, [1, 1]),
        np.vdot(x, [[1], [2], [3]]),
        np.polyval(x, 2),
        np.polyval([1, 2], x),
        np.cov(x, [1, 2, 4]),
        np.linalg.multi_dot([x, np.eye(3), [1, 2, 3]]),
        np.linalg.solve([[2, 0, 0], [0, 1, 0], [1, 1, 1]], x),
    ):
        assert isinstance(y, Tensor)
        assert y.requires_grad


def test_weights_of_a_covariance_have_gradients() -> None:
    agrees_with_numpy(lambda w: np.cov(N, aweights=w), WEIGHTS)


@pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional vectors:DeprecationWarning")
@pytest.mark.parametrize(("m", "n"), [(2, 2), (2, 3), (3, 2)])
def test_cross_of_two_components(m: int, n: int) -> None:
    """Numpy warns, and has stopped with 2.5."""
    a, b = numbers(4, m), numbers(4, n)
    try:
        np.cross(a, b)
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            np.cross(leaf(a), b)
    else:
        agrees_with_numpy(np.cross, a, b)


def test_covariance_without_freedom_warns_as_numpy_does() -> None:
    with pytest.warns(RuntimeWarning, match="Degrees of freedom"), np.errstate(all="ignore"):
        got = np.cov(leaf(numbers(2, 1)))
    assert np.isnan(got.data).all()


@pytest.mark.parametrize(
    ("call", "shapes"),
    [
        (np.inner, [(0,), (0,)]),
        (np.outer, [(0,), (2,)]),
        (np.kron, [(0, 2), (2, 2)]),
        (np.dot, [(2, 0), (0, 3)]),
        (np.matmul, [(0, 2), (2, 3)]),
        (np.vecdot, [(3, 0), (0,)]),
        (np.tensordot, [(2, 0, 3), (0, 3, 2)]),
        (np.vdot, [(0,), (0,)]),
        (np.cross, [(0, 3), (0, 3)]),
        (np.polyval, [(0,), (2,)]),
        (np.polyval, [(2,), (0,)]),
        (np.vander, [(0,)]),
        (np.cov, [(0, 3)]),
        (lambda a: np.linalg.matrix_power(a, 3), [(0, 2, 2)]),
        (lambda *xs: np.linalg.multi_dot(xs), [(2, 0), (0, 3), (3, 2)]),
    ],
)
def test_empty_operands(call: Any, shapes: list[tuple[int, ...]]) -> None:
    gives_numpys_values(call, *[np.zeros(shape) for shape in shapes])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: np.outer(x, x, out=np.zeros((6, 6))), TypeError, "out"),
        (lambda x: np.linalg.outer(x, x), ValueError, "two vectors"),
        (lambda x: np.linalg.multi_dot([x]), ValueError, "at least two"),
        (lambda x: np.linalg.multi_dot([x, x.T[0], x]), np.linalg.LinAlgError, "matrices"),
        (lambda x: np.linalg.multi_dot([x, x.T], out=np.zeros((2, 2))), TypeError, "out"),
        (lambda x: np.tensordot(x, x, 1), ValueError, r"\(2, 3\)"),
        (lambda x: np.tensordot(x, x, ([0, 0], [0, 0])), ValueError, "duplicate"),
        (lambda x: np.cross(x[0, 0], x), ValueError, "vectors"),
        (lambda x: np.cross(x.T[:1], np.ones(4)), ValueError, "dimension"),
        (lambda x: np.linalg.cross(x[:, :2], x[:, :2]), ValueError, "3 components"),
        (lambda x: np.matmul(x, x.T, axis=0), TypeError, "axes="),
        (lambda x: np.matmul(x, x.T, keepdims=True), TypeError, "axes="),
        (lambda x: np.matmul(x, x.T, axes=[(0, 1), (0, 1)]), ValueError, "axes="),
        (lambda x: np.matmul(x, x.T, dtype=np.float32), NotImplementedError, "astype"),
        (lambda x: np.convolve(x, x), ValueError, "sequences"),
        (lambda x: np.convolve(x[0], x[0, :0]), ValueError, "empty"),
        (lambda x: np.convolve(x[0], x[0], "other"), ValueError, "other"),
        (lambda x: np.correlate(x[0], x[0, 0]), ValueError, "sequences"),
        (lambda x: np.vander(x), ValueError, "vector"),
        (lambda x: np.cov(x[None]), ValueError, "two dimensions"),
        (lambda x: np.cov(x, ddof=0.5), ValueError, "ddof"),
        (lambda x: np.cov(x, fweights=[1, 2]), RuntimeError, "fweights"),
        (lambda x: np.cov(x, fweights=[1, 2, 0.5]), TypeError, "whole numbers"),
        (lambda x: np.cov(x, aweights=[1, 2, -1]), ValueError, "aweights"),
        (lambda x: np.polyval(x[0], np.poly1d([1, 2])), NotImplementedError, "poly1d"),
    ],
)
def test_refusals_say_why(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(leaf(M))
