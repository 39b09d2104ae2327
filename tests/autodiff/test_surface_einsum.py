"""Einsum: every way of writing it, any number of operands, random subscripts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff import Tensor
from tests.autodiff.agreement import agrees_with_numpy, agrees_with_torch, gives_numpys_values, leaf, numbers

M, N = numbers(2, 3), numbers(3, 4)
Q, C = numbers(3, 3), numbers(2, 2, 2)
STACK, OTHER = numbers(2, 3, 4), numbers(2, 4, 2)

CASES: dict[str, tuple[tuple[Any, ...], tuple[np.ndarray, ...]]] = {
    "product": (("ij,jk->ik",), (M, N)),
    "implicit output": (("ij,jk",), (M, N)),
    "implicit output, in alphabetical order": (("ba",), (M,)),
    "implicit output, capitals first": (("aB",), (M,)),
    "implicit sum": (("ij,ij",), (M, M[::-1])),
    "spaces": ((" i j , j k -> k i ",), (M, N)),
    "trace": (("ii",), (Q,)),
    "trace of three": (("iii",), (C,)),
    "diagonal": (("ii->i",), (Q,)),
    "diagonal of three": (("iii->i",), (C,)),
    "diagonal of two": (("iji->ij",), (C,)),
    "two diagonals": (("ii,ii->i",), (Q, Q.T)),
    "two pairs": (("iijj->ij",), (numbers(2, 2, 3, 3),)),
    "sum of all": (("ij->",), (M,)),
    "sum by rows": (("ij->i",), (M,)),
    "summed out of one operand": (("ij,k->k",), (M, numbers(2))),
    "summed out diagonal": (("ii,k->k",), (Q, numbers(2))),
    "transpose": (("ijk->kij",), (STACK,)),
    "outer": (("i,j->ij",), (numbers(2), numbers(3))),
    "one number": ((",ij->ij",), (numbers(), M)),
    "only numbers": ((",->",), (numbers(), numbers(seed=1))),
    "ellipsis": (("...ij,...jk->...ik",), (STACK, OTHER)),
    "ellipsis, implicit": (("...ij,...jk",), (STACK, OTHER)),
    "ellipsis of different width": (("...ij,...jk->...ik",), (STACK, numbers(4, 2))),
    "ellipsis in the middle": (("i...j,j->...i",), (STACK, numbers(4))),
    "ellipsis alone": (("...->...",), (M,)),
    "ellipsis of nothing": (("...ij->...ji",), (M,)),
    "ellipsis in one operand": (("...i,i->...",), (STACK, numbers(4))),
    "ellipsis, diagonal": (("...ii->...i",), (numbers(2, 3, 3),)),
    "ellipsis broadcast": (("...i,...i->...",), (numbers(2, 1, 4), numbers(3, 4))),
    "broadcast": (("ij,ij->ij",), (numbers(2, 1), M)),
    "broadcast and summed": (("i,i->",), (numbers(3), numbers(1))),
    "broadcast away": (("ij,jk->ik",), (numbers(2, 1), numbers(3, 2))),
    "three operands": (("ij,jk,kl->il",), (M, N, numbers(4, 2))),
    "four operands": (("i,ij,jk,k->",), (numbers(2), M, N, numbers(4))),
    "an operand twice": (("ij,ij,kj->ik",), (M, M + 1, M)),
}


@pytest.mark.parametrize("optimize", [False, True, "optimal", "greedy"])
@pytest.mark.parametrize("name", CASES)
def test_derivatives(name: str, optimize: Any) -> None:
    texts, arrays = CASES[name]
    agrees_with_numpy(lambda *xs: np.einsum(*texts, *xs, optimize=optimize), *arrays, order=2 if not optimize else 1)


def test_given_path() -> None:
    path, _ = np.einsum_path("ij,jk,kl->il", M, N, numbers(4, 2), optimize="optimal")
    agrees_with_numpy(lambda *xs: np.einsum("ij,jk,kl->il", *xs, optimize=path), M, N, numbers(4, 2))


SUBLISTS: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "product": (lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [0, 2]), (M, N)),
    "implicit output": (lambda a, b: np.einsum(a, [0, 1], b, [1, 2]), (M, N)),
    "implicit output, in rising order": (lambda a: np.einsum(a, [30, 2]), (M,)),
    "ellipsis": (lambda a, b: np.einsum(a, [..., 0, 1], b, [..., 1, 2], [..., 0, 2]), (STACK, OTHER)),
    "trace": (lambda a: np.einsum(a, [5, 5]), (Q,)),
    "no output": (lambda a: np.einsum(a, [0, 1], []), (M,)),
    "tuples, optimize": (lambda a, b: np.einsum(a, (0, 1), b, (1, 2), (2, 0), optimize=True), (M, N)),
}


@pytest.mark.parametrize("name", SUBLISTS)
def test_sublists(name: str) -> None:
    call, arrays = SUBLISTS[name]
    agrees_with_numpy(call, *arrays)


def test_more_labels_than_an_alphabet_has() -> None:
    x = numbers(*[1] * 26, 2, 3)
    gives_numpys_values(lambda a: np.einsum(a, range(28)), x)
    gives_numpys_values(lambda a: np.einsum(a, list(range(28))[::-1]), x)


@pytest.mark.parametrize(
    ("ours", "arrays"),
    [("ij,jk->ik", (M, N)), ("ii->i", (Q,)), ("...ij,...jk->...ik", (STACK, OTHER)), ("ij,jk,kl->il", (M, N, N.T)),
     ("i,j->ij", (M[0], N[0])), ("ij,ij->", (M, M)), ("bij,j->bi", (STACK, N[0]))],
)  # fmt: skip
def test_torch_agrees(ours: str, arrays: tuple[np.ndarray, ...]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    agrees_with_torch(lambda *xs: np.einsum(ours, *xs), lambda *xs: torch.einsum(ours, *xs), *arrays)


@st.composite
def products(draw: Any) -> tuple[str, list[np.ndarray]]:
    """Subscripts with repeats, sums, broadcasting and ellipses, and operands that fit them."""
    sizes = dict(zip("abcd", draw(st.lists(st.integers(1, 3), min_size=4, max_size=4)), strict=True))
    wide = draw(st.lists(st.integers(1, 3), max_size=2))
    texts, arrays = [], []
    for seed in range(draw(st.integers(1, 3))):
        labels = draw(st.text("abcd", max_size=3))
        # An axis of length 1 stretches, unless its label comes twice in the same operand.
        shape = [1 if labels.count(c) == 1 and draw(st.integers(0, 4)) == 0 else sizes[c] for c in labels]
        if wide and draw(st.booleans()):
            place, hidden = draw(st.integers(0, len(labels))), wide[draw(st.integers(0, len(wide))) :]
            labels = labels[:place] + "..." + labels[place:]
            shape[place:place] = hidden
        texts.append(labels)
        arrays.append(numbers(*shape, seed=seed))
    text = ",".join(texts)
    if draw(st.booleans()):
        known = sorted({c for c in text if c in "abcd"})
        text += (
            "->" + ("..." if "..." in text else "") + "".join(draw(st.permutations(known)))[: draw(st.integers(0, 4))]
        )
    return text, arrays


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(products(), st.booleans())
def test_any_subscripts(product: tuple[str, list[np.ndarray]], optimize: bool) -> None:
    text, arrays = product
    agrees_with_numpy(lambda *xs: np.einsum(text, *xs, optimize=optimize), *arrays, order=1)


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(products())
def test_any_subscripts_to_second_order(product: tuple[str, list[np.ndarray]]) -> None:
    text, arrays = product
    agrees_with_numpy(lambda *xs: np.einsum(text, *xs), *arrays)


def test_operands_of_all_kinds() -> None:
    x = leaf(numbers(2))
    for y in (
        np.einsum("i,i->", x, [1.0, 2.0]),
        np.einsum("i,->i", x, 2),
        np.einsum("i,ij->j", x, [[x[0], 1.0], [2.0, x[1]]]),
    ):
        assert isinstance(y, Tensor)
        assert y.requires_grad
    np.testing.assert_array_equal(np.einsum(",i->", x[1], x).gradient(x), [x.data[1], x.data.sum() + x.data[1]])


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_empty_operands(shape: tuple[int, int]) -> None:
    for text in ("ij->i", "ij->j", "ij->", "ij,ij->ij", "ij,kj->ik"):
        gives_numpys_values(lambda *xs, text=text: np.einsum(text, *xs), *[np.zeros(shape)] * (1 + text.count(",")))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_narrow_floats(dtype: Any) -> None:
    for text, x in (("ii->i", Q), ("ij->", M), ("ij->j", M)):
        leaf_x = leaf(x.astype(dtype))
        y = np.einsum(text, leaf_x)
        y.sum().backward()
        assert y.dtype == leaf_x.grad.dtype == dtype


def test_path_is_plain() -> None:
    path, text = np.einsum_path("ij,jk->ik", leaf(M), leaf(N))
    assert path == ["einsum_path", (0, 1)]
    assert isinstance(text, str)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: np.einsum("ij,jk->ik", x), ValueError, "names 2 operands, got 1"),
        (lambda x: np.einsum("i->i", x), ValueError, "names 1 axes of an operand that has 2"),
        (lambda x: np.einsum("ijk->i", x), ValueError, "names 3 axes"),
        (lambda x: np.einsum("...ijk->i", x), ValueError, "names 3 axes"),
        (lambda x: np.einsum("...j->j", x), ValueError, "ellipsis"),
        (lambda x: np.einsum("ij->k", x), ValueError, "k"),
        (lambda x: np.einsum("ij->ii", x), ValueError, "i"),
        (lambda x: np.einsum("ii", x), ValueError, r"shapes \[\(2, 3\)\].*lengths \[2, 3\]"),
        (lambda x: np.einsum("ij->i", x, out=np.zeros(2)), TypeError, "out"),
        (lambda x: np.einsum("ij->i", x, dtype=np.float32), NotImplementedError, "astype"),
    ],
)
def test_refusals_say_why(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(leaf(M))
