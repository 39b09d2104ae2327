"""Losses: PyTorch and mpmath as oracles, derivatives of both orders, one node each, errors that name the cure."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

import autodiff.engine  # noqa: F401
from autodiff.state import no_grad
from autodiff.tensor import Tensor
from nn import functional
from nn.losses import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, MSELoss

REDUCTIONS = ["mean", "sum", "none"]
SMALLEST = 2.3e-308  # below, float64 has fewer digits


def rng(seed=0):
    return np.random.default_rng(seed)


def unit(*shape, seed=0):
    return rng(seed).uniform(0.02, 0.98, shape)


def value_and_gradients(loss, *operands):
    """The loss and its gradient by each operand that is not None, an upstream gradient of ones apart."""
    tensors = [None if x is None else Tensor(x, requires_grad=True) for x in operands]
    result = loss(*tensors)
    result.backward(np.linspace(1, 2, result.size).reshape(result.shape))
    return [result.data, *(t.grad for t in tensors if t is not None)]


def torchs(loss, *operands):
    import torch

    tensors = [None if x is None else torch.tensor(x, requires_grad=True) for x in operands]
    result = loss(*tensors)
    result.backward(torch.linspace(1, 2, result.numel(), dtype=torch.float64).reshape(result.shape))
    return [result.detach().numpy(), *(t.grad.numpy() for t in tensors if t is not None)]


def agree(ours, theirs, rtol=1e-10):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-14)


# PyTorch as the oracle


@pytest.mark.parametrize("reduction", REDUCTIONS)
@settings(deadline=None, max_examples=20)
@given(shape=hnp.array_shapes(max_dims=3, max_side=4))
def test_mse_is_pytorchs(reduction, shape):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    p, y = rng(1).normal(size=shape), rng(2).normal(size=shape)
    agree(
        value_and_gradients(MSELoss(reduction), p, y),
        torchs(lambda p, y: torch.nn.functional.mse_loss(p, y, reduction=reduction), p, y),
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@settings(deadline=None, max_examples=20)
@given(shape=hnp.array_shapes(max_dims=3, max_side=4))
def test_bce_is_pytorchs(reduction, weighted, shape):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    p, y, w = unit(*shape), unit(*shape, seed=1), unit(*shape, seed=2) * 3 if weighted else None
    ours = value_and_gradients(BCELoss(reduction), p, y, w)
    constant = None if w is None else torch.from_numpy(w)
    theirs = torchs(lambda p, y: torch.nn.functional.binary_cross_entropy(p, y, constant, reduction=reduction), p, y)
    agree(ours[:3], theirs)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pos_weight", [None, 2.5, [0.5, 3.0]])
def test_bce_with_logits_is_pytorchs(reduction, weighted, pos_weight):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    z, y = 4 * rng().normal(size=(5, 2)), unit(5, 2)
    w = unit(5, 2, seed=2) * 3 if weighted else None
    ours = value_and_gradients(BCEWithLogitsLoss(pos_weight, reduction), z, y, w)
    factor = None if pos_weight is None else torch.tensor(pos_weight, dtype=torch.float64)
    constant = None if w is None else torch.from_numpy(w)
    theirs = torchs(
        lambda z, y: torch.nn.functional.binary_cross_entropy_with_logits(
            z, y, constant, reduction=reduction, pos_weight=factor
        ),
        z,
        y,
    )
    agree(ours[:3], theirs)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_is_pytorchs(reduction):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    z, k, y = 3 * rng().normal(size=(6, 4)), np.array([0, 3, 1, 1, 2, 0]), rng(1).dirichlet(np.ones(4), 6)
    loss, theirs = CrossEntropyLoss(reduction), torch.nn.CrossEntropyLoss(reduction=reduction)
    agree(
        value_and_gradients(lambda z: loss(z, k), z),
        torchs(lambda z: theirs(z, torch.from_numpy(k)), z),
    )
    agree(value_and_gradients(loss, z, y), torchs(theirs, z, y))
    agree(
        value_and_gradients(lambda z: loss(z, np.eye(4)[k]), z),
        value_and_gradients(lambda z: loss(z, k), z),
    )


def test_at_0_and_1_the_probabilities_loss_is_pytorchs_and_finite():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    tiny = np.nextafter(0, 1)
    p = np.array([0, 0, 1, 1, 0.0, 1.0, tiny, 1e-50, 1e-300, 1 - 1e-16])
    y = np.array([0, 1, 0, 1, 0.3, 0.3, 1, 1, 0.5, 0.5])
    ours = value_and_gradients(BCELoss("none"), p, y)
    theirs = torchs(lambda p, y: torch.nn.functional.binary_cross_entropy(p, y, reduction="none"), p, y)
    # Their 1e-12 is a float32, and their derivative by y does not stop at −100 as the loss does.
    agree(ours[:2], theirs[:2], rtol=1e-8)
    assert np.isfinite(np.concatenate(ours)).all()
    assert ours[0][1] == 100


# mpmath as the oracle

EXTREMES = [0.0, 5e-324, 1e-300, 1e-16, 1e-8, 0.1, 0.5, 1, 5, 20, 36, 37, 40, 100, 700, 709, 745, 746, 1e3, 1e4]


def exact(z, y, pos_weight=1):
    """The loss and its derivative at one logit, rounded once."""
    import mpmath

    with mpmath.workprec(300):
        z, y = mpmath.mpf(float(z)), mpmath.mpf(float(y))
        sigma, other = 1 / (1 + mpmath.exp(-z)), 1 / (1 + mpmath.exp(z))
        loss = pos_weight * y * mpmath.log1p(mpmath.exp(-z)) + (1 - y) * mpmath.log1p(mpmath.exp(z))
        return float(loss), float((1 - y) * sigma - pos_weight * y * other)


@pytest.mark.parametrize("y", [0.0, 1.0])
def test_logits_loss_and_gradient_are_right_to_two_units_in_the_last_place(y):
    pytest.importorskip("mpmath", reason="mpmath is the oracle")
    draws = rng(5)
    z = np.concatenate(
        [np.array(EXTREMES), -np.array(EXTREMES), draws.uniform(-50, 50, 60), draws.uniform(-800, 800, 40)]
    )
    loss, slope = exactly(z, np.full_like(z, y))
    t = Tensor(z, requires_grad=True)
    result = BCEWithLogitsLoss(reduction="none")(t, np.full_like(z, y))
    result.backward(np.ones_like(z))
    eps = 2 * np.finfo(float).eps
    np.testing.assert_allclose(result.data, loss, rtol=eps, atol=SMALLEST)
    np.testing.assert_allclose(t.grad, slope, rtol=eps, atol=SMALLEST)


def exactly(z, y, pos_weight=1):
    both = [exact(a, b, pos_weight) for a, b in zip(z, y, strict=True)]
    return np.array(both).T


@pytest.mark.parametrize("pos_weight", [None, 3.0])
def test_logits_loss_of_soft_labels_does_not_cancel(pos_weight):
    pytest.importorskip("mpmath", reason="mpmath is the oracle")
    z = np.array([-700, -30, -3, -0.5, 0, 0.5, 3, 30, 700, 5, -5, 5, -5.0])
    y = np.array([0.3, 0.3, 0.3, 0.9, 0.25, 0.1, 0.7, 0.7, 0.7, 1 - 1e-9, 1e-9, 1e-9, 1 - 1e-9])
    loss, slope = exactly(z, y, pos_weight or 1)
    ours = value_and_gradients(BCEWithLogitsLoss(pos_weight, "none"), z, y)
    np.testing.assert_allclose(ours[0], loss, rtol=4 * np.finfo(float).eps)
    np.testing.assert_allclose(ours[1] / np.linspace(1, 2, z.size), slope, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("pos_weight", [None, 3.0])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_huge_and_infinite_logits_are_quiet_and_finite_where_they_are_right(dtype, pos_weight, reduction):
    largest = np.finfo(dtype).max / 4
    z = Tensor(np.array([largest, -largest, largest, -largest, np.inf, -np.inf]), requires_grad=True, dtype=dtype)
    y = np.array([1, 0, 0, 1, 1, 0])
    result = BCEWithLogitsLoss(pos_weight, reduction)(z, y)
    result.backward(np.ones(result.shape))
    expected = np.array([0, 0, 1, pos_weight or 1, 0, 0]) * float(largest)
    slope = np.array([0, 0, 1, -(pos_weight or 1), 0, 0])
    if reduction == "mean":
        expected, slope = expected.mean(), slope / 6
    assert result.dtype == dtype
    np.testing.assert_allclose(result.data.astype(float), expected, rtol=1e-3)
    np.testing.assert_allclose(z.grad, slope, rtol=1e-3, atol=1e-4)


def test_an_infinitely_wrong_logit_costs_infinitely_with_a_finite_gradient():
    z = Tensor([np.inf, -np.inf], requires_grad=True)
    result = BCEWithLogitsLoss(reduction="none")(z, [0, 1])
    result.backward(np.ones(2))
    assert result.tolist() == [np.inf, np.inf]
    assert z.grad.tolist() == [1, -1]


def test_nan_stays_nan():
    for loss in (BCELoss(), BCEWithLogitsLoss(), MSELoss()):
        assert np.isnan(loss(Tensor([np.nan, 0.5]), [0.0, 1.0]).item())
    assert np.isnan(CrossEntropyLoss()(Tensor([[np.nan, 0.5]]), [0]).item())


# Derivatives of first and second order, by every operand

CASES = {
    "mse": (functional.mse_loss, [rng(1).normal(size=(3, 2)), rng(2).normal(size=(3, 2)), unit(3, 2)]),
    "bce": (functional.binary_cross_entropy, [unit(3, 2), unit(3, 2, seed=1), unit(3, 2, seed=2)]),
    "logits": (
        functional.binary_cross_entropy_with_logits,
        [rng(1).normal(size=(3, 2)), unit(3, 2), unit(3, 2, seed=1)],
    ),
    "logits, pos_weight": (
        lambda z, y, w, p, reduction: functional.binary_cross_entropy_with_logits(
            z, y, w, pos_weight=p, reduction=reduction
        ),
        [rng(1).normal(size=(3, 2)), unit(3, 2), unit(3, 2, seed=1), unit(2) * 3],
    ),
    "logits of zero": (functional.binary_cross_entropy_with_logits, [np.zeros((3, 2)), unit(3, 2)]),
    "classes": (functional.cross_entropy, [rng(1).normal(size=(3, 4)), unit(3, 4), unit(3)]),
    "class indices": (
        lambda z, w, reduction: functional.cross_entropy(z, [0, 3, 1], w, reduction=reduction),
        [rng(1).normal(size=(3, 4)), unit(3)],
    ),
}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", CASES)
def test_first_and_second_derivatives_by_all_operands(name, reduction):
    function, operands = CASES[name]
    directions = [rng(7 + i).normal(size=x.shape) for i, x in enumerate(operands)]

    def first(arrays):
        """The derivative along the directions, as a tensor that can be differentiated again."""
        tensors = [Tensor(x, requires_grad=True) for x in arrays]
        loss = function(*tensors, reduction=reduction)
        loss = (loss * np.cos(np.arange(loss.size)).reshape(loss.shape)).sum()
        return (
            loss,
            tensors,
            sum((g * d).sum() for g, d in zip(loss.gradient(*tensors, create_graph=True), directions, strict=True)),
        )

    _, tensors, slope = first(operands)
    curvature = sum((g * d).sum() for g, d in zip(slope.gradient(*tensors), directions, strict=True))
    h = 1e-5
    ahead, behind = ([x + s * h * d for x, d in zip(operands, directions, strict=True)] for s in (1, -1))
    assert slope.item() == pytest.approx((first(ahead)[0].item() - first(behind)[0].item()) / (2 * h), rel=1e-7)
    assert curvature == pytest.approx((first(ahead)[2].item() - first(behind)[2].item()) / (2 * h), rel=1e-6)


# Form

ALL = [MSELoss, BCELoss, BCEWithLogitsLoss]


@pytest.mark.parametrize("make", ALL)
def test_a_loss_is_one_node_with_a_formula(make):
    p, y = Tensor(unit(4, 1), requires_grad=True), unit(4, 1)
    loss = make()(p, y, np.ones(4))
    assert loss.shape == ()
    assert loss.inputs[0] is p
    assert loss.op.symbol
    assert "N" in loss.op.formula[0]
    assert loss.params == {"reduction": "mean"}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("make", [*ALL, CrossEntropyLoss])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_dtype_is_kept_whatever_the_targets_are(make, reduction, dtype):
    y = np.array([[1, 0], [0, 1], [1, 0]])
    for target in (y, y.astype(bool), y.astype(np.float64), y.tolist(), Tensor(y), Tensor(y.astype(np.float32))):
        p = Tensor(unit(3, 2), requires_grad=True, dtype=dtype)
        loss = make(reduction=reduction)(p, target, [1, 2, 3])
        loss.backward(np.ones(loss.shape))
        assert loss.dtype == dtype
        assert p.grad.dtype == dtype
        assert all(x.dtype == dtype for x in loss.inputs if x is not None)


def test_a_weight_per_sample_counts_for_its_row():
    p, y = unit(3, 2), unit(3, 2, seed=1)
    each = MSELoss("none")(p, y)
    np.testing.assert_allclose(MSELoss("none")(p, y, [1, 2, 3]), each * [[1], [2], [3]])
    np.testing.assert_allclose(MSELoss()(p, y, [1, 2, 3]), (each * [[1], [2], [3]]).sum() / 6)
    z = rng().normal(size=(3, 4))
    each = CrossEntropyLoss("none")(z, [0, 1, 2])
    assert each.shape == (3,)
    np.testing.assert_allclose(CrossEntropyLoss()(z, [0, 1, 2], [1, 2, 3]), (each * [1, 2, 3]).sum() / 3)


def test_plain_arrays_give_plain_numbers():
    loss = BCELoss()([0.5, 0.5], [1, 0])
    assert not isinstance(loss, Tensor)
    assert loss == pytest.approx(np.log(2))
    with no_grad():
        assert BCELoss()(Tensor([0.5], requires_grad=True), [1]).is_leaf


def test_integer_predictions_do_not_truncate_the_targets():
    assert MSELoss()(Tensor([1, 2]), [0.5, 2.5]).item() == 0.25
    assert MSELoss()(np.array([1, 2]), np.array([0.5, 2.5])) == 0.25


def test_pos_weight_is_saved_and_pickled():
    loss = BCEWithLogitsLoss(pos_weight=[1.0, 3.0])
    assert list(loss.state_dict()) == ["pos_weight"]
    twin = pickle.loads(pickle.dumps(loss))
    z, y = rng().normal(size=(3, 2)), unit(3, 2)
    assert twin(z, y) == loss(z, y)
    assert not list(BCEWithLogitsLoss().state_dict())


def test_excluded_classes_do_not_spoil_the_loss():
    z = Tensor([[0.0, 0.0, -np.inf]], requires_grad=True)
    for target in ([0], [[1.0, 0.0, 0.0]]):
        z.zero_grad()
        loss = CrossEntropyLoss()(z, target)
        loss.backward()
        assert loss.item() == pytest.approx(np.log(2))
        np.testing.assert_allclose(z.grad, [[-0.5, 0.5, 0]])


def test_class_indices_may_be_booleans_or_short_integers():
    z = rng().normal(size=(2, 2))
    expected = CrossEntropyLoss()(z, [1, 0])
    for target in (np.array([True, False]), np.array([1, 0], np.uint8), Tensor([1, 0])):
        assert CrossEntropyLoss()(z, target) == expected


# What is refused


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize(
    ("p", "y", "cure"),
    [
        ((4, 1), (4,), r"write target\[:, None\]"),
        ((4,), (4, 1), r"write target\[:, 0\]"),
        ((2, 3), (3, 2), r"write target\.T"),
        ((2, 3, 1), (2, 3), r"write target\[\.\.\., None\]"),
        ((4, 1), (1, 1), "one target for every prediction"),
        ((4, 1), (), "one target for every prediction"),
    ],
)
def test_shapes_must_agree_exactly(make, p, y, cure):
    with pytest.raises(ValueError, match=cure) as caught:
        make()(Tensor(np.full(p, 0.5), requires_grad=True), np.full(y, 0.5))
    assert f"the prediction has shape {p} and the target {y}" in str(caught.value)


@pytest.mark.parametrize("make", [BCELoss, BCEWithLogitsLoss])
@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([-1, 1], r"numbers from -1 to 1; for labels −1 and 1 pass \(y \+ 1\) / 2"),
        ([0, 2], "numbers from 0 to 2$"),
        ([0.5, np.nan], "the target holds NaN"),
        (Tensor([0.0, 1.5]), "numbers from 0 to 1.5$"),
    ],
)
def test_labels_lie_between_0_and_1(make, y, message):
    with pytest.raises(ValueError, match=message):
        make()(Tensor([0.5, 0.5], requires_grad=True), y)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("p", [[-0.1, 0.5], [0.5, 1.1], [3.0, -3.0]])
def test_logits_given_as_probabilities_are_refused(reduction, p):
    with pytest.raises(ValueError, match=r"probabilities within \[0, 1\], got .*BCEWithLogitsLoss"):
        BCELoss(reduction)(Tensor(p, requires_grad=True), [0, 1])


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ([0, 4], ValueError, r"class indices run from 0 to 2 .*; got 0 to 4$"),
        ([0, -1], ValueError, r"got -1 to 0"),
        ([1, 3], ValueError, r"classes numbered from 1 pass target - 1"),
        ([0.0, 1.0], TypeError, r"got dtype float64: pass target\.astype\(int\)"),
        ([[0], [1]], ValueError, r"got \(2, 1\); pass target\.ravel\(\)"),
        ([0, 1, 2], ValueError, r"class indices of shape \(2,\) or probabilities of shape \(2, 3\); got \(3,\)$"),
        ([[0, 0, 2.0], [0, 0, 1]], ValueError, r"within \[0, 1\]"),
    ],
)
def test_classes_must_exist(target, error, message):
    with pytest.raises(error, match=message):
        CrossEntropyLoss()(Tensor(rng().normal(size=(2, 3)), requires_grad=True), target)


def test_other_misuse_is_named():
    p = Tensor([[0.5], [0.5]], requires_grad=True)
    with pytest.raises(ValueError, match=r"weight needs one number per sample, shape \(2,\), .* got \(3,\)"):
        MSELoss()(p, [[0], [1]], [1, 2, 3])
    with pytest.raises(ValueError, match=r"weight needs one number per sample, shape \(2,\); got \(2, 1\)"):
        CrossEntropyLoss()(p, [0, 0], [[1], [2]])
    with pytest.raises(ValueError, match=r"pos_weight is a number or one per class.* got shape \(2,\)"):
        BCEWithLogitsLoss([1, 2])(p, [[0], [1]])
    with pytest.raises(TypeError, match=r"write loss\(pred, target\)"):
        MSELoss()(np.array([[0.0], [1.0]]), p)
    with pytest.raises(ValueError, match="a loss over no elements"):
        MSELoss()(Tensor(np.ones((0, 1))), np.ones((0, 1)))
    with pytest.raises(ValueError, match=r"\(samples, classes\), none empty; got \(0, 2\)"):
        CrossEntropyLoss()(np.ones((0, 2)), [])
    with pytest.raises(ValueError, match=r"\(samples, classes\), none empty; got \(3,\)"):
        CrossEntropyLoss()(np.ones(3), 1)
    with pytest.raises(TypeError, match="numbers, got an array of dtype <U1"):
        MSELoss()(p, [["a"], ["b"]])
    with pytest.raises(ValueError, match='reduction must be "mean", "sum" or "none", got \'max\''):
        MSELoss("max")
    with pytest.raises(ValueError, match='reduction must be "mean"'):
        functional.mse_loss(p, p, reduction="avg")


def test_losses_show_what_they_were_asked_for():
    assert [repr(MSELoss()), repr(BCELoss("sum"))] == ["MSELoss()", "BCELoss(reduction='sum')"]
