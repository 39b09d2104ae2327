"""Matrices that are singular, zero, or have equal eigenvalues: finite derivatives wherever there are any."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.autodiff.agreement import agrees_with_numpy, leaf, numbers, spd, square

L = np.linalg
A = square(3, 3)
TALL = numbers(4, 2)
SINGULAR = np.array([[1.0, 2.0, 0.5], [2.0, 4.0, 1.0], [0.3, -1.0, 2.0]])


@pytest.mark.parametrize("a", [SINGULAR, np.outer([1.0, 2, 3], [1.0, -1, 2]), np.zeros((3, 3)), np.eye(3)])
def test_the_determinant_of_a_singular_matrix_is_smooth(a: np.ndarray) -> None:
    """It is a polynomial: two exact derivatives, whatever the rank."""
    agrees_with_numpy(L.det, a)
    agrees_with_numpy(L.det, np.stack([a, A]))


def test_a_singular_matrix_has_no_logarithm_of_its_determinant() -> None:
    x = leaf(np.stack([np.ones((2, 2)), np.diag([2.0, 4.0])]))
    sign, log = L.slogdet(x)
    log.backward([1.0, 1.0])
    assert log.data[0] == -np.inf
    assert np.isnan(x.grad[0]).all()
    np.testing.assert_allclose(x.grad[1], np.diag([0.5, 0.25]))
    assert not sign.requires_grad
    np.testing.assert_array_equal(sign.data, [0, 1])


@pytest.mark.parametrize("a", [np.eye(3), np.zeros((3, 3)), np.ones((3, 3)), np.diag([1.0, 1.0, 2.0])], ids=repr)
def test_values_have_gradients_where_they_are_equal(a: np.ndarray) -> None:
    """Of the vectors, any in the common space will do; for a sum of the values it makes no difference."""
    for values in (L.eigvalsh, L.svdvals, lambda x: L.eigh(x)[0], lambda x: L.svd(x, hermitian=True)[1]):
        x = leaf(a)
        (values(x) ** 2).sum().backward()  # the sum of the squares of all elements, by its other name
        np.testing.assert_allclose(x.grad, 2 * a, atol=1e-14)


def test_vectors_have_none_where_values_are_equal() -> None:
    for vectors in (lambda x: L.eigh(x)[1], lambda x: L.svd(x)[0], lambda x: L.svd(x)[2]):
        x = leaf(np.eye(2))
        (vectors(x) * [[1.0, 2.0], [3.0, 4.0]]).sum().backward()
        assert not np.isfinite(x.grad).any()


def test_qr_of_dependent_columns() -> None:
    x = leaf(np.ones((2, 2)) * [1, 0])
    q, _ = L.qr(x)
    with pytest.raises(L.LinAlgError, match=r"[Ss]ingular"):
        q.sum().backward()


@pytest.mark.parametrize("order", [None, 2, 1, 3, 1.5, 0.5, -1, np.inf, -np.inf])
def test_norms_at_the_origin_have_gradient_zero(order: Any) -> None:
    for axis, x in ((None, leaf(np.zeros(3))), (0, leaf(np.zeros((3, 2))))):
        y = L.norm(x, order, axis) if order != -1 else L.norm(x, 1, axis)
        y.sum().backward()
        np.testing.assert_array_equal(x.grad, 0)


@pytest.mark.parametrize("order", ["fro", "nuc", 2, 1, np.inf])
def test_matrix_norms_of_zero_have_finite_gradients(order: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    x, t = leaf(np.zeros((2, 3))), torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    L.norm(x, order).backward()
    torch.linalg.matrix_norm(t, order).backward()
    np.testing.assert_array_equal(x.grad, t.grad.numpy())


@pytest.mark.parametrize("order", [0.5, 1, 1.5, 2, 3, 4, -1, np.inf, -np.inf])
@pytest.mark.parametrize("x", [[0.0, 1.0, -2.0], [1.0, 1.0, -1.0], [0.0, 0.0, 3.0]], ids=str)
def test_norms_beside_zeros_and_ties(order: Any, x: list[float]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    ours, theirs = leaf(np.array(x)), torch.tensor(x, dtype=torch.float64, requires_grad=True)
    with np.errstate(divide="ignore"):  # numpy divides by the zeros when the order is negative
        L.norm(ours, order).backward()
    torch.linalg.vector_norm(theirs, order).backward()
    np.testing.assert_allclose(ours.grad, theirs.grad.numpy(), rtol=1e-12)


def test_norm_of_order_zero_counts() -> None:
    assert L.norm(leaf([1.0, 0.0, 2.0]), 0) == 2
    np.testing.assert_array_equal(L.norm(leaf(np.eye(2)), 0, axis=1, keepdims=True), [[1], [1]])


def test_condition_of_a_singular_matrix_is_infinite() -> None:
    for a in (np.zeros((2, 2)), np.stack([np.zeros((2, 2)), np.eye(2)])):
        for p in (None, 2, 1, "fro", np.inf):
            np.testing.assert_array_equal(L.cond(leaf(a), p).data, L.cond(a, p))


def test_pinv_of_a_lower_rank() -> None:
    """Its derivative is that along changes that keep the rank, and finite."""
    left, right = numbers(4, 2), numbers(2, 3, seed=1)
    agrees_with_numpy(lambda u, v: L.pinv(u @ v, rcond=1e-9), left, right)
    x = leaf(np.zeros((2, 3)))
    L.pinv(x).sum().backward()
    np.testing.assert_array_equal(x.grad, 0)


def test_lstsq_of_a_lower_rank() -> None:
    a, b = np.outer([1.0, 2, 3], [1.0, -1.0]), numbers(3)
    x, residuals, rank, s = L.lstsq(leaf(a), leaf(b), rcond=None)
    expected = L.lstsq(a, b, rcond=None)
    np.testing.assert_allclose(x.data, expected[0], atol=1e-14)
    assert residuals.shape == (0,)
    assert rank == expected[2] == 1
    np.testing.assert_allclose(s.data, expected[3], atol=1e-14)


@pytest.mark.parametrize("smallest", [1e-6, 1e-17])
@pytest.mark.parametrize("rcond", [None, -1, 1e-3])
def test_lstsq_decides_the_rank_as_numpy_does(smallest: float, rcond: float | None) -> None:
    a = L.qr(TALL)[0] * [1.0, smallest]
    _, residuals, rank, _ = L.lstsq(leaf(a), leaf(np.ones(4)), rcond)
    expected = L.lstsq(a, np.ones(4), rcond)
    assert (residuals.shape, rank) == (expected[1].shape, expected[2])


def test_functions_of_a_symmetric_matrix() -> None:
    """Composed by eigenvalues and eigenvectors, where only their combination means something."""
    agrees_with_numpy(lambda x: (lambda w, v: (v * np.sqrt(w)) @ v.T)(*L.eigh(spd(x))), A)
    agrees_with_numpy(lambda x: (lambda u, s, v: (u * np.log(s)) @ v)(*L.svd(x, full_matrices=False)), TALL)


def test_a_symmetric_leaf_gets_a_symmetric_gradient() -> None:
    for call in (L.eigvalsh, lambda a: L.eigh(a)[1] ** 2, L.cholesky):
        x = leaf(spd(A))
        (call(x) * np.arange(3)).sum().backward()
        np.testing.assert_allclose(x.grad, x.grad.T, atol=1e-14)


@pytest.mark.parametrize(("triangle", "keep"), [("L", np.tril), ("U", np.triu)])
def test_of_another_matrix_only_the_triangle_counts(triangle: str, keep: Any) -> None:
    x = leaf(A)
    (L.eigvalsh(x, triangle) ** 2).sum().backward()
    np.testing.assert_array_equal(x.grad, keep(x.grad))
    assert np.abs(keep(x.grad)).sum() > 1
