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
