"""What does not fit is refused with both shapes, and the cure that the message names works when it is followed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodiff import Tensor

SECOND, FIRST = (
    r"transpose the second, `np\.swapaxes\(b, -1, -2\)`",
    r"transpose the first, `np\.swapaxes\(a, -1, -2\)`",
)


def by_method(a: Any, b: Any) -> Any:
    return a.dot(b)


PRODUCTS: list[tuple[str, Any, tuple[int, ...], tuple[int, ...], str]] = [
    ("matmul", lambda a, b: a @ b, (2, 3), (4, 3), SECOND),
    ("matmul", np.matmul, (2, 3), (2, 5), FIRST),
    ("matmul", np.matmul, (5, 2, 3), (5, 7, 8), "axis 2 of the first has length 3, axis 1 of the second 7"),
    ("matmul", np.matmul, (2, 3), (2,), FIRST),
    ("matmul", np.matmul, (3,), (4, 3), SECOND),
    ("matmul", np.matmul, (3,), (2,), "transpose or reshape"),
    ("matmul", np.matmul, (), (2,), r"no single numbers; write `a \* b`"),
    ("matmul", np.matmul, (2, 3, 4), (3, 4, 5), "axes in front.*do not broadcast; insert axes of length 1"),
    ("dot", np.dot, (2, 3), (4, 3), SECOND),
    ("dot", by_method, (2, 3), (2,), FIRST),
    ("inner", np.inner, (2, 3), (3, 2), SECOND),
    ("inner", np.inner, (2, 3), (2, 4), "transpose or reshape"),
    ("vecdot", np.vecdot, (2, 3), (3, 2), SECOND),
    ("vecdot", np.vecdot, (2, 3), (4, 3), "do not broadcast"),
    ("vdot", np.vdot, (2, 3), (5,), r"6 and 5; write `np\.dot\(a, b\)`"),
    ("tensordot", np.tensordot, (2, 3), (3, 2), r"lengths \[2, 3\] and \[3, 2\] should be equal.*axes=\("),
    ("tensordot", lambda a, b: np.tensordot(a, b, ([5], [0])), (2, 3), (3, 2), "do not all exist"),
    ("einsum", lambda a, b: np.einsum("ij,jk", a, b), (2, 3), (4, 5), r"'j' stands for the lengths \[3, 4\]"),
    ("einsum", lambda a, b: np.einsum("ij,jk", a, b), (2, 3), (3,), "'jk' names 2 axes of an operand that has 1"),
    ("einsum", lambda a, b: np.einsum("ij", a, b), (2, 3), (3,), "names 1 operands, got 2"),
]


@pytest.mark.parametrize(
    ("name", "product", "a", "b", "says"), PRODUCTS, ids=[f"{p[0]} {p[2]} {p[3]}" for p in PRODUCTS]
)
def test_a_product_names_both_shapes(name: str, product: Any, a: Any, b: Any, says: str) -> None:
    for first in (True, False):  # the Tensor, the other is an array
        if not first and product is by_method:
            continue  # the array's own
        x, y = np.ones(a), np.ones(b)
        with pytest.raises((ValueError, IndexError)) as caught:
            product(Tensor(x, requires_grad=True) if first else x, y if first else Tensor(y, requires_grad=True))
        message = str(caught.value)
        assert message.startswith(name)
        assert str(a) in message
        assert str(b) in message
        assert re.search(says, message), message


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    other=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    product=st.sampled_from([np.matmul, np.dot, np.inner, np.vecdot]),
)
def test_what_the_message_says_to_write_works(shape: Any, other: Any, product: Any) -> None:
    a, b = Tensor(np.ones(shape), requires_grad=True), Tensor(np.ones(other), requires_grad=True)
    try:
        product(a, b)
    except ValueError as error:
        said = str(error)
    else:
        return
    if "np.swapaxes(b" in said:
        b = np.swapaxes(b, -1, -2)
    elif "np.swapaxes(a" in said:
        a = np.swapaxes(a, -1, -2)
    else:
        return
    if product is np.vecdot and a.shape[0] != b.shape[0] and 1 not in (a.shape[0], b.shape[0]):
        return  # the other axes still differ
    product(a, b).sum().backward()


LINALG: list[tuple[Any, tuple[tuple[int, ...], ...], str]] = [
    (
        np.linalg.solve,
        ((2, 3), (2,)),
        r"solve of shapes \(2, 3\) and \(2,\): .*square.*lengths 2 and 3; .*lstsq\(a, b\)\[0\]",
    ),
    (
        np.linalg.solve,
        ((3, 3), (4,)),
        r"solve of shapes \(3, 3\) and \(4,\): there are 3 unknowns, .*has 4 along axis 0",
    ),
    (np.linalg.solve, ((2, 3, 3), (2, 3)), r"has 2 along axis 0; .*write `b\[\.\.\., None\]` for a stack of vectors"),
    (np.linalg.solve, ((2, 3, 3), (4, 3, 1)), r"\(2, 3, 3\) and \(4, 3, 1\): their axes in front do not broadcast"),
    (np.linalg.solve, ((3,), (3,)), r"it takes matrices, in the last two axes"),
    (np.linalg.inv, ((2, 3),), r"inv of shape \(2, 3\): it takes square matrices, .* np\.linalg\.pinv takes any"),
    (np.linalg.det, ((4, 2, 3),), r"det of shape \(4, 2, 3\): it takes square matrices, .* lengths 2 and 3"),
    (np.linalg.slogdet, ((2, 3),), r"slogdet of shape \(2, 3\): it takes square matrices"),
    (np.linalg.cholesky, ((2, 3),), r"cholesky of shape \(2, 3\): it takes square matrices, .*`a\.T @ a`"),
    (np.linalg.eigh, ((2, 3),), r"eigh of shape \(2, 3\): it takes square matrices"),
    (np.linalg.eigvalsh, ((2, 3),), r"eigh of shape \(2, 3\): it takes square matrices"),
    (np.linalg.pinv, ((3,),), r"pinv of shape \(3,\): it takes matrices.*`x\[:, None\]` for a column"),
    (np.linalg.svd, ((3,),), r"svd of shape \(3,\): it takes matrices"),
    (np.linalg.svdvals, ((),), r"svd of shape \(\): it takes matrices"),
    (np.linalg.qr, ((3,),), r"qr of shape \(3,\): it takes matrices"),
]


@pytest.mark.parametrize(("function", "shapes", "says"), LINALG, ids=[f"{f.__name__} {s}" for f, s, _ in LINALG])
def test_linear_algebra_names_the_shapes(function: Any, shapes: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:  # numpy's LinAlgError is one
        function(*[Tensor(np.ones(shape), requires_grad=True) for shape in shapes])
    assert type(caught.value) is type(caught.value.__cause__)


def test_what_numpy_says_of_the_numbers_stays() -> None:
    for function in (np.linalg.inv, np.linalg.cholesky):
        with pytest.raises(np.linalg.LinAlgError) as caught:
            function(Tensor(-np.zeros((2, 2)), requires_grad=True))
        assert "of shape" not in str(caught.value)


def test_the_cure_for_a_mask_works() -> None:
    a, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 0.0, 4.0])
    x, y, m = Tensor(a, requires_grad=True), Tensor(b, requires_grad=True), b != 0
    said = r"`np\.where\(m, np\.divide\(a, np\.where\(m, b, 1\)\), 0\)`"
    with pytest.raises(TypeError, match=said):
        np.divide(x, y, out=np.zeros_like(a), where=m)
    with pytest.raises(NotImplementedError, match=said):
        np.divide(x, y, where=m)
    with pytest.raises(NotImplementedError, match=r"np\.where\(m, np\.log\(np\.where\(m, x, 1\)\), 0\)"):
        np.log(x, where=m)
    cured = np.where(m, np.divide(x, np.where(m, y, 1)), 0)
    np.testing.assert_array_equal(cured.data, np.divide(a, b, out=np.zeros_like(a), where=m))
    cured.sum().backward()
    np.testing.assert_array_equal(x.grad, [0.5, 0.0, 0.25])
    np.testing.assert_array_equal(y.grad, [-0.25, 0.0, -3 / 16])


def test_arguments_that_are_refused_are_shown_as_they_are() -> None:
    t = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(NotImplementedError, match=r"dtype=<class 'numpy\.float32'>; write `\.astype\(dtype\)`"):
        np.add(t, 1, dtype=np.float32)
    with pytest.raises(NotImplementedError, match=r"dtype=dtype\('float32'\)"):
        np.add(t, 1, dtype=np.dtype("f4"))
    for attempt in (lambda: np.add(t, 1, casting="unsafe"), lambda: np.concatenate([t, t], casting="unsafe")):
        with pytest.raises(NotImplementedError, match=r"casting='unsafe'; leave it out, and write `\.astype\(dtype\)`"):
            attempt()
    for idle in (np.float64, np.dtype(float), "f8", np.dtypes.Float64DType):  # these ask for nothing
        np.testing.assert_array_equal(np.add(t, [1, 2], dtype=idle).data, [2.0, 4.0])


def test_the_range_of_a_histogram_of_an_array() -> None:
    array, ends = np.array([0.7, 1.0, 2.0, 3.0]), Tensor([0.5, 3.5], requires_grad=True)
    counts, edges = np.histogram(array, range=ends)
    np.testing.assert_array_equal(counts, np.histogram(array, range=(0.5, 3.5))[0])
    np.testing.assert_allclose(edges.sum().gradient(ends), [5.5, 5.5])
    with pytest.raises(TypeError, match="lose its gradient"):
        np.histogram(array, range=ends, density=True)


ATTRIBUTES = {
    "flat": r"t\.ravel\(\).*t\[index\] = value.*t\.data\.flat",
    "strides": r"sliding_window_view\(t, window_shape\).*t\.data\.strides",
    "nbytes": r"t\.data\.nbytes",
    "view": r"t\.data\.view",
    "shapee": "has no attribute 'shapee'",
    "__array_interface__": "has no attribute",
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_that_only_arrays_have(name: str) -> None:
    t = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(AttributeError, match=ATTRIBUTES[name]):
        getattr(t, name)
    assert not hasattr(t, name)
