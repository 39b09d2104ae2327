"""Numpy's linear algebra on Tensors: values as numpy's, derivatives as PyTorch's, degenerate matrices included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff import Tensor
from tests.autodiff.agreement import agrees_with_numpy, gives_numpys_values, leaf, numbers, parts, spd, square, sym
from tests.autodiff.numeric import plain

L = np.linalg
some = settings(max_examples=60, deadline=None, database=None, derandomize=True)


A, B = square(3, 3), square(2, 3, 3)
TALL, WIDE, STACK = numbers(4, 2), numbers(2, 4), numbers(2, 4, 3)

#: name: (function, operands). Derivatives are checked by differences, so the functions are smooth and single-valued.
CASES: dict[str, tuple[Any, tuple[np.ndarray, ...]]] = {
    "det": (L.det, (A,)),
    "det, stack": (L.det, (B,)),
    "det 1x1": (L.det, (numbers(1, 1),)),
    "slogdet": (L.slogdet, (A,)),
    "slogdet, stack": (L.slogdet, (B,)),
    "inv": (L.inv, (A,)),
    "inv, stack": (L.inv, (B,)),
    "pinv": (L.pinv, (TALL,)),
    "pinv, wide": (L.pinv, (WIDE,)),
    "pinv, stack": (L.pinv, (STACK,)),
    "pinv rcond": (lambda a: L.pinv(a, 1e-10), (TALL,)),
    "pinv rtol": (lambda a: L.pinv(a, rtol=1e-10), (WIDE,)),
    "pinv rtol None": (lambda a: L.pinv(a, rtol=None), (WIDE,)),
    "pinv hermitian": (lambda a: L.pinv(sym(a), hermitian=True), (A,)),
    "pinv hermitian, a triangle": (lambda a: L.pinv(a, hermitian=True), (A,)),
    "solve": (L.solve, (A, numbers(3, 2))),
    "solve for a vector": (L.solve, (A, numbers(3))),
    "solve, stack": (L.solve, (B, numbers(2, 3, 2))),
    "solve, stack for a vector": (L.solve, (B, numbers(3))),
    "solve, broadcast": (L.solve, (A, numbers(2, 3, 1))),
    "lstsq": (lambda a, b: L.lstsq(a, b, rcond=None)[::3], (TALL, numbers(4))),
    "lstsq residuals": (lambda a, b: L.lstsq(a, b)[1], (TALL, numbers(4, 3))),
    "lstsq, wide": (lambda a, b: L.lstsq(a, b, 1e-9)[0], (WIDE, numbers(2, 2))),
    "lstsq rcond -1": (lambda a, b: L.lstsq(a, b, -1)[0], (TALL, numbers(4, 2))),
    "eigvalsh": (lambda a: L.eigvalsh(sym(a)), (A,)),
    "eigvalsh, lower triangle": (L.eigvalsh, (A,)),
    "eigvalsh, upper triangle": (lambda a: L.eigvalsh(a, "U"), (A,)),
    "eigvalsh, stack": (lambda a: L.eigvalsh(a, UPLO="u"), (B,)),
    "eigh": (lambda a: L.eigh(sym(a)), (A,)),
    "eigh, upper triangle": (lambda a: L.eigh(a, UPLO="U"), (A,)),
    "eigh, stack": (L.eigh, (B,)),
    "svd": (lambda a: L.svd(a, full_matrices=False), (TALL,)),
    "svd, wide": (lambda a: L.svd(a, False), (WIDE,)),
    "svd, square": (L.svd, (A,)),
    "svd, stack": (lambda a: L.svd(a, full_matrices=False), (STACK,)),
    "svd, values only": (lambda a: L.svd(a, compute_uv=False), (TALL,)),
    "svd hermitian": (lambda a: L.svd(sym(a), hermitian=True), (A,)),
    "svd hermitian, stack": (lambda a: L.svd(a, hermitian=True), (B,)),
    "svd hermitian, values only": (lambda a: L.svd(a, compute_uv=False, hermitian=True), (A,)),
    "svd full, the further vectors": (
        lambda a: (lambda u: u @ np.swapaxes(u, -1, -2))(L.svd(a)[0][..., 2:]),
        (TALL,),
    ),
    "svd full, the first vectors": (lambda a: L.svd(a, full_matrices=True)[0][..., :2], (TALL,)),
    "svd full, wide": (lambda a: (lambda v: np.swapaxes(v, -1, -2) @ v)(L.svd(a)[2][..., 2:, :]), (WIDE,)),
    "svdvals": (L.svdvals, (TALL,)),
    "svdvals, stack": (L.svdvals, (STACK,)),
    "qr": (L.qr, (TALL,)),
    "qr, wide": (L.qr, (WIDE,)),
    "qr, square": (L.qr, (A,)),
    "qr, stack": (L.qr, (STACK,)),
    "qr r": (lambda a: L.qr(a, "r"), (TALL,)),
    "qr r, wide": (lambda a: L.qr(a, mode="r"), (WIDE,)),
    "qr complete, first columns": (lambda a: L.qr(a, "complete")[0][..., :2], (TALL,)),
    "qr complete, further columns": (lambda a: (lambda q: q @ q.T)(L.qr(a, "complete")[0][..., 2:]), (TALL,)),
    "qr complete, r": (lambda a: L.qr(a, mode="complete")[1], (TALL,)),
    "qr complete, wide": (lambda a: L.qr(a, "complete"), (WIDE,)),
    "cholesky": (lambda a: L.cholesky(spd(a)), (A,)),
    "cholesky, stack": (lambda a: L.cholesky(spd(a)), (B,)),
    "cholesky upper": (lambda a: L.cholesky(spd(a), upper=True), (A,)),
    "cholesky, lower triangle": (L.cholesky, (spd(A) + np.triu(A, 1),)),
    "cholesky, upper triangle": (lambda a: L.cholesky(a, upper=True), (spd(A) + np.tril(A, -1),)),
    "tensorsolve": (L.tensorsolve, (numbers(2, 3, 6), numbers(2, 3))),
    "tensorsolve axes": (lambda a, b: L.tensorsolve(a, b, axes=(0, 2)), (numbers(3, 2, 2, 3), numbers(2, 3))),
    "tensorsolve axes, not in order": (
        lambda a, b: L.tensorsolve(a, b, axes=(2, 0)),
        (numbers(2, 2, 3, 3), numbers(2, 3)),
    ),
    "tensorinv": (L.tensorinv, (numbers(2, 3, 6),)),
    "tensorinv ind": (lambda a: L.tensorinv(a, ind=1), (numbers(6, 2, 3),)),
    "trace": (L.trace, (STACK,)),
    "trace offset": (lambda a: L.trace(a, offset=-1), (STACK,)),
    "diagonal": (lambda a: L.diagonal(a, offset=1), (STACK,)),
    "matrix_transpose": (L.matrix_transpose, (STACK,)),
}
CASES |= {
    f"norm of a {kind}, ord={order}": (lambda x, order=order: L.norm(x, order), (array,))
    for kind, array, orders in [
        ("vector", numbers(4), (None, 1, 2, 3, 2.5, 0.5, -1, -2.5, np.inf, -np.inf)),
        ("matrix", numbers(4, 3), (None, "fro", "f", "nuc", 1, -1, 2, -2, np.inf, -np.inf)),
    ]
    for order in orders
}
CASES |= {
    f"norm over axis={axis}, ord={order}": (
        lambda x, order=order, axis=axis: L.norm(x, order, axis, keepdims=True),
        (numbers(2, 3, 4),),
    )
    for axis, orders in [
        (1, (None, 2, 1, np.inf, -np.inf, 3)),
        (-1, (2.0, -2)),
        ((2,), (1,)),
        ((0, 2), (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)),
        ((-1, 0), ("nuc", 1, 2, np.inf)),
    ]
    for order in orders
}
CASES |= {
    f"cond {p}": (lambda a, p=p: L.cond(a, p), (array,))
    for p, array in [(None, TALL), (2, B), (-2, WIDE), ("fro", A), ("nuc", A), (1, B), (np.inf, A), (-1, A)]
}
CASES |= {
    "norm of everything": (L.norm, (numbers(2, 3, 4),)),
    "norm without axes": (lambda x: L.norm(x, axis=(0, 2)), (numbers(2, 3, 4),)),
    "norm, keepdims": (lambda x: L.norm(x, keepdims=True), (numbers(2, 3, 4),)),
    "vector_norm": (L.vector_norm, (numbers(2, 3, 4),)),
    "vector_norm of one number": (lambda x: L.vector_norm(x, keepdims=True), (numbers(),)),
    "vector_norm, axes": (lambda x: L.vector_norm(x, axis=(0, -1), ord=3, keepdims=True), (numbers(2, 3, 4),)),
    "vector_norm, axis": (lambda x: L.vector_norm(x, axis=1, ord=np.inf), (numbers(2, 3, 4),)),
    "matrix_norm": (L.matrix_norm, (numbers(2, 3, 4),)),
    "matrix_norm nuc": (lambda x: L.matrix_norm(x, ord="nuc", keepdims=True), (numbers(2, 3, 4),)),
}


@pytest.mark.parametrize("name", CASES)
def test_values_are_numpys_and_derivatives_right(name: str) -> None:
    call, arrays = CASES[name]
    agrees_with_numpy(call, *arrays)


@pytest.mark.parametrize("name", CASES)
def test_layouts(name: str) -> None:
    """Transposed and reversed memory gives the same; so does float32, to its precision."""
    call, arrays = CASES[name]
    turned = [np.flip(np.flip(np.asfortranarray(x)).copy()) if x.ndim else x for x in arrays]
    gives_numpys_values(call, *turned)
    narrow = [x.astype(np.float32) for x in arrays]
    for ours, numpys in zip(parts(call(*map(leaf, narrow))), parts(call(*narrow)), strict=True):
        assert plain(ours).dtype == numpys.dtype


# Numpy's way of answering


def test_results_with_names() -> None:
    x = leaf(spd(A))
    for call, names in [
        (L.eigh, ("eigenvalues", "eigenvectors")),
        (L.svd, ("U", "S", "Vh")),
        (L.qr, ("Q", "R")),
        (L.slogdet, ("sign", "logabsdet")),
    ]:
        got, expected = call(x), call(x.data)
        assert type(got) is type(expected)
        for name in names:
            assert isinstance(getattr(got, name), Tensor)
            np.testing.assert_array_equal(getattr(got, name).data, getattr(expected, name))


def test_one_factorisation_serves_all_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    whole = L.svd
    monkeypatch.setattr(L, "svd", lambda *args, **options: calls.append(args) or whole(*args, **options))
    from autodiff.ops.linalg import decompositions

    x = leaf(TALL)
    u, s, vh = decompositions.svd(x)
    ((u**2).sum() + s.sum() + (vh**2).sum()).backward()
    assert len(calls) == 1


def test_a_factorisation_is_never_that_of_another_matrix() -> None:
    """The array may change in place, or the op be run again on another one."""
    from autodiff.ops.linalg.decompositions import Factorisation

    shared, a = Factorisation(L.eigh), spd(A)
    first = shared.of(a)
    assert shared.of(a.copy()) is first
    a[0, 0] += 1
    np.testing.assert_array_equal(shared.of(a)[0], L.eigh(a)[0])


def test_a_factor_changed_in_place_does_not_change_the_others() -> None:
    """They share one factorisation, but no memory."""
    gradients = []
    for change in (False, True):
        x = leaf(spd(A))
        w, v = L.eigh(x)
        if change:
            w.data[:] = 7
        (v * np.arange(3)).sum().backward()
        gradients.append(x.grad)
    np.testing.assert_array_equal(*gradients)


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 3), (3, 0), (0, 2, 2)], ids=str)
@pytest.mark.parametrize(
    "name", ["det", "slogdet", "inv", "pinv", "eigh", "eigvalsh", "svd", "svdvals", "qr", "cholesky"]
)
def test_empty_matrices(name: str, shape: tuple[int, ...]) -> None:
    function, a = getattr(L, name), np.zeros(shape)
    try:
        expected = function(a)
    except L.LinAlgError:
        with pytest.raises(L.LinAlgError):
            function(leaf(a))
        return
    x = leaf(a)
    for ours, numpys in zip(parts(function(x)), parts(expected), strict=True):
        np.testing.assert_array_equal(ours.data, numpys)
        if ours.requires_grad:
            ours.sum().backward()
    assert x.grad is None or x.grad.shape == shape


@pytest.mark.parametrize("order", [None, 1, 2, np.inf, "nuc", "fro"])
def test_norms_of_nothing_are_zero(order: Any) -> None:
    """As numpy says since 2.2."""
    x = leaf(np.zeros((0, 3)))
    for axis in ((0, 1), 0)[: 1 if order in ("nuc", "fro") else 2]:
        y = L.norm(x, order, axis)
        np.testing.assert_array_equal(y.data, 0)
        y.sum().backward()
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: L.eig(x), NotImplementedError, "np.linalg.eigh"),
        (lambda x: L.eigvals(x), NotImplementedError, "eigvalsh"),
        (lambda x: L.qr(x, "raw"), NotImplementedError, "reduced"),
        (lambda x: L.qr(x, "other"), ValueError, "mode"),
        (lambda x: L.eigh(x, "X"), ValueError, "UPLO"),
        (lambda x: L.norm(x, "nuc", axis=0), ValueError, "nuc"),
        (lambda x: L.norm(x, 7), ValueError, "7"),
        (lambda x: L.norm(x, axis=(0, 0)), ValueError, "twice"),
        (lambda x: L.norm(x, axis=(0, 1, 1)), ValueError, "one axis"),
        (lambda x: L.norm(x, axis="0"), TypeError, "axis"),
        (lambda x: L.pinv(x, 1e-3, rtol=1e-3), ValueError, "not both"),
        (lambda x: L.matrix_power(x, 1.5), TypeError, "1.5"),
        (lambda x: L.matrix_power(x[0], 2), L.LinAlgError, "square"),
        (lambda x: L.lstsq(x, np.ones(5)), L.LinAlgError, r"\(5,\)"),
        (lambda x: L.tensorinv(x, 0), ValueError, "ind"),
        (lambda x: L.tensorsolve(x[:2], np.ones(2)), L.LinAlgError, "equations"),
        (lambda x: L.inv(x[:2]), L.LinAlgError, "square"),
        (lambda x: L.cholesky(-x @ x.T), L.LinAlgError, "positive definite"),
        (lambda x: np.fft.fft(x), NotImplementedError, "np.fft"),
        (lambda x: np.fft.fftshift(x), NotImplementedError, "np.fft"),
    ],
)
def test_refusals_say_why(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(leaf(A))


def test_the_determinant_of_nan_is_nan() -> None:
    x = leaf(np.full((2, 2), np.nan))
    with np.errstate(invalid="ignore"):  # numpy's own warning
        L.det(x).backward()
    assert np.isnan(x.grad).all()


def test_rank_is_a_plain_number() -> None:
    assert L.matrix_rank(leaf(np.outer([1.0, 2.0], [3.0, 4.0]))) == 1


# Any shapes

stacks = st.lists(st.integers(1, 2), max_size=2).map(tuple)
seeds = st.integers(0, 10_000)


@some
@given(stacks, st.integers(1, 4), st.integers(1, 4), seeds)
def test_factors_multiply_back(stack: tuple[int, ...], m: int, n: int, seed: int) -> None:
    """U·S·Vᵀ and Q·R are A itself: their gradient is the identity, their second derivative 0."""
    a, g = numbers(*stack, m, n, seed=seed), numbers(*stack, m, n, seed=seed + 1)
    for product in (
        lambda x: (lambda u, s, vh: (u * s[..., None, :]) @ vh)(*L.svd(x, full_matrices=False)),
        lambda x: (lambda q, r: q @ r)(*L.qr(x)),
        lambda x: (lambda q, r: q @ r)(*L.qr(x, "complete")),
    ):
        if L.cond(a).max() > 50 or L.cond(a[..., : min(m, n)]).max() > 50 or _closest(L.svdvals(a)) < 0.05:
            return
        x = leaf(a)
        (product(x) * g).sum().backward()
        np.testing.assert_allclose(x.grad, g, rtol=1e-8, atol=1e-8)


def _closest(values: np.ndarray) -> float:
    return float(np.min(-np.diff(values, axis=-1), initial=1))


@some
@given(stacks, st.integers(1, 4), seeds)
def test_inverse_functions_undo_each_other(stack: tuple[int, ...], n: int, seed: int) -> None:
    a, g = numbers(*stack, n, n, seed=seed) / n / 2 + 2 * np.eye(n), numbers(*stack, n, n, seed=seed + 1)
    for identity in (
        lambda x: L.inv(L.inv(x)),
        lambda x: L.pinv(L.pinv(x)),
        lambda x: L.solve(L.inv(x), np.eye(n)),
        lambda x: (lambda c: c @ np.swapaxes(c, -1, -2))(L.cholesky(sym(x))) / 2 + (x - np.swapaxes(x, -1, -2)) / 2,
        lambda x: L.matrix_power(L.matrix_power(x, -1), -1),
    ):
        x = leaf(a)
        (identity(x) * g).sum().backward()
        np.testing.assert_allclose(x.grad, g, rtol=1e-9, atol=1e-9)
