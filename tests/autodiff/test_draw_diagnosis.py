"""The sentences of the diagnosis: each is said where a fault was planted, and not where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import nn
from autodiff.draw import graph
from autodiff.draw.facts import diagnosis
from autodiff.draw.model import Finding
from autodiff.ops.activations import relu, sigmoid
from autodiff.ops.linalg.matmul import linear
from autodiff.tensor import Tensor

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = np.array([[0.0], [1.0], [1.0], [0.0]])


def found(loss: Tensor, kind: str, **options: object) -> list[Finding]:
    return [f for f in graph(loss, **options).model.findings if f.kind == kind]  # type: ignore[arg-type]


def the(loss: Tensor, kind: str, **options: object) -> Finding:
    (finding,) = found(loss, kind, **options)
    assert finding.sentence.split()[0] in graph(loss, **options).svg().replace("&amp;", "&")  # type: ignore[arg-type]
    assert all(node in graph(loss, **options).model.nodes for node in finding.nodes)  # type: ignore[arg-type]
    return finding


def healthy() -> Tensor:
    """Return the loss of a net that tells its samples apart."""
    rng = np.random.default_rng(3)
    model = nn.MLP([4, 16, 1], activation="tanh", seed=0)
    x = rng.normal(size=(40, 4))
    loss = nn.BCEWithLogitsLoss()(model(x), (x[:, :1] > 0.3) * 1.0)
    loss.backward()
    return loss


def test_nothing_is_said_of_a_healthy_net() -> None:
    assert graph(healthy()).model.findings == []


@pytest.mark.parametrize("criterion", [nn.BCEWithLogitsLoss(), nn.BCELoss()])
def test_predicting_the_base_rate(criterion: Callable[..., Tensor]) -> None:
    logits = Tensor(np.full((4, 1), np.log(3.0)), requires_grad=True)
    y = np.array([[1.0], [1.0], [0.0], [1.0]])
    p = logits if isinstance(criterion, nn.BCEWithLogitsLoss) else sigmoid(logits)
    assert "every prediction is within 0 of 0.75" in the(criterion(p, y), "base rate").sentence


def test_predicting_the_base_rate_of_classes() -> None:
    y = np.array([0, 1, 2, 2])
    logits = Tensor(np.tile(np.log([0.25, 0.25, 0.5]), (4, 1)), requires_grad=True)
    assert "the classes' frequencies" in the(nn.CrossEntropyLoss()(logits, y), "base rate").sentence
    assert found(nn.CrossEntropyLoss()(Tensor(np.eye(3)[y] * 3, requires_grad=True), y), "base rate") == []


def test_a_cross_entropy_written_by_hand_is_recognised() -> None:
    p = sigmoid(Tensor(np.zeros((1, 4)), requires_grad=True))
    y = Y.T
    for cost in (
        np.mean(-(y * np.log(p) + (1 - y) * np.log(1 - p))),
        -np.sum(np.multiply(np.log(p), y) + np.multiply(np.log(1 - p), 1 - y)) / 4,
        -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(),
    ):
        assert "base rate" in the(cost, "base rate").sentence
        assert any("entropy of the labels" in text for text in graph(cost).model.caption)
    other = np.mean(-(y * np.log(p)) + p)
    assert not any("entropy" in text for text in graph(other).model.caption)


def test_nearly_the_same_prediction_for_every_sample() -> None:
    logits = Tensor([[2.0], [2.01], [1.99], [2.0]], requires_grad=True)
    assert "nearly the same for every sample" in the(nn.BCEWithLogitsLoss()(logits, Y), "base rate").sentence


def deep(layers: int, function: Callable[[Tensor], Tensor]) -> Tensor:
    rng = np.random.default_rng(0)
    h = rng.normal(size=(32, 6))
    for i in range(layers):
        h = function(linear(h, Tensor(rng.normal(size=(6, 6)) / 6**0.5, requires_grad=True, name=f"W{i}"), None))
    loss = (h**2).mean()
    loss.backward()
    return loss


def test_vanishing_gradients_name_the_layer_and_the_factor() -> None:
    finding = the(deep(6, sigmoid), "vanishing")
    assert finding.sentence.startswith("W0 learns least")
    assert "To blame: sigmoid, which multiplies by a(1 − a) (mean 0." in finding.sentence
    assert "of at most 0.25) 5 times" in finding.sentence
    assert found(deep(6, np.tanh), "vanishing") == []


def test_small_weights_are_to_blame_where_they_are() -> None:
    values = {"a": 1.0, "b": 1e-3, "c": 1.0}
    w0, w1, w2 = (Tensor(np.full((3, 3), v), requires_grad=True, name=n) for n, v in values.items())
    loss = linear(linear(linear(np.ones((2, 3)), w0, None), w1, None) + 1.0, w2, None).sum()
    loss.backward()
    sentence = the(loss, "vanishing").sentence
    assert sentence.startswith("a learns least")
    assert "linear, which multiplies by its weights" in sentence


def test_dead_units() -> None:
    w = Tensor(np.eye(3), requires_grad=True)
    bias = Tensor([0.0, -9.0, 0.0], requires_grad=True)
    loss = relu(linear(np.abs(np.random.default_rng(0).normal(size=(5, 3))), w, bias)).sum()
    loss.backward()
    assert "1 of 3 units of relu is dead" in the(loss, "dead").sentence
    everything = relu(linear(np.ones((5, 3)), Tensor(-np.eye(3), requires_grad=True), None)).sum()
    everything.backward()
    assert "All 3 units of relu are dead" in the(everything, "dead").sentence


def test_dead_units_where_samples_are_columns() -> None:
    w = Tensor(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]), requires_grad=True)
    loss = np.maximum(w @ np.abs(np.random.default_rng(0).normal(size=(2, 7))), 0).sum()
    assert "1 of 3 units of maximum is dead" in the(loss, "dead").sentence


@pytest.mark.parametrize("samples", ["rows", "columns"])
def test_twins(samples: str) -> None:
    w1, w2 = np.random.default_rng(0).normal(size=(4, 2)), np.random.default_rng(1).normal(size=(1, 4))
    w1[2], w2[:, 2] = w1[0], w2[:, 0]

    def loss() -> Tensor:
        a, b = Tensor(w1, requires_grad=True, name="W1"), Tensor(w2, requires_grad=True, name="W2")
        out = linear(np.tanh(linear(X, a, None)), b, None) if samples == "rows" else (b @ np.tanh(a @ X.T)).T
        result = ((out - Y) ** 2).mean()
        result.backward()
        return result

    assert the(loss(), "twins").sentence.startswith("Units 0, 2 of W1 are twins")
    w2[:, 2] += 0.1  # equal weights, but they will learn different things
    assert found(loss(), "twins") == []


def test_samples_that_cancel() -> None:
    w = Tensor([[1.0]], requires_grad=True, name="w")
    loss = ((linear(np.array([[1.0], [1.0]]), w, None) - np.array([[0.0], [2.001]])) ** 2).mean()
    loss.backward()
    assert "only 0.05 % is left in w" in the(loss, "cancels").sentence
    assert "samples cancel to 0.05 %" in graph(loss).text()


def test_a_broadcast_in_the_loss() -> None:
    w = Tensor([[1.0], [2.0]], requires_grad=True)
    loss = ((X @ w - Y[:, 0]) ** 2).mean()
    loss.backward()
    assert "spreads (4, 1) and (4,) to (4, 4)" in the(loss, "broadcast").sentence
    right = ((X @ w - Y) ** 2).mean()
    assert found(right, "broadcast") == []


def test_parameters_that_the_loss_does_not_reach() -> None:
    used, unused = (Tensor([1.0], requires_grad=True, name=name) for name in ("used", "unused"))
    model = nn.Linear(2, 2)
    loss = (used * 2).sum() + np.where(unused.data > 0, 1.0, 0.0).sum()
    loss.backward()
    sentence = the(loss, "unreached", names={"a": used, "b": unused, "net": model, "list": [unused]}).sentence
    assert sentence.startswith("The loss does not reach b, net.weight, net.bias:")
    assert found(loss, "unreached", names={"used": used}) == []


def test_gradients_of_several_passes() -> None:
    w = Tensor([1.0, 2.0], requires_grad=True)
    for _ in range(3):
        loss = (w * w).sum()
        loss.backward()
    assert "3 times the gradient of this loss" in the(loss, "accumulated").sentence
    assert found(healthy(), "accumulated") == []


def test_the_first_nan() -> None:
    w = Tensor([1.0, -1.0], requires_grad=True)
    with np.errstate(invalid="ignore"):
        loss = (np.sqrt(w) * 2).sum()
    loss.backward()
    assert the(loss, "nonfinite").sentence == "sqrt made the first NaN, out of finite numbers."
    given = (Tensor([1.0, np.inf], requires_grad=True, name="w") * 2).sum()
    assert "starts with infinity in w" in the(given, "nonfinite").sentence
    zero = Tensor([0.0, 1.0], requires_grad=True, name="z")
    finite = np.sqrt(zero).sum()
    with np.errstate(divide="ignore"):
        finite.backward()
    assert "the gradient of z is not" in the(finite, "nonfinite").sentence


@pytest.mark.parametrize(("scale", "kind"), [(0.3, "vanishing"), (2.0, "exploding")])
def test_a_loop_through_which_the_gradient_dies_or_explodes(scale: float, kind: str) -> None:
    w = Tensor(np.eye(2) * scale, requires_grad=True)
    h = Tensor(np.ones((1, 2)))
    for _ in range(30):
        h = h @ w
    loss = h.sum()
    loss.backward()
    assert f"× {scale:g} each" in the(loss, kind, fold=True).sentence


def test_the_caption_has_entropy_range_and_the_chain_of_gradients() -> None:
    model = nn.MLP([2, 5, 5, 1], activation="sigmoid", output="sigmoid", seed=0)
    loss = nn.BCELoss()(model(X), Y)
    loss.backward()
    caption = " | ".join(graph(loss).model.caption)
    assert "beside 0.693, the entropy of the labels" in caption
    p = model(X).data
    assert f"p from {p.min():.3g} to {p.max():.3g} over 4 samples" in caption
    parts = [f"layers.{i}.weight {np.sqrt(np.mean(model.layers[i].weight.grad ** 2)):.3g}" for i in (4, 2, 0)]
    assert " → ".join(parts) in caption


def losses() -> Iterator[Tensor]:
    """Yield losses of many kinds, with and without gradients."""
    yield from (healthy(), deep(3, sigmoid), deep(3, relu))
    w = Tensor([[1.0, -2.0, np.nan]], requires_grad=True)
    yield from (w, w * 2, (w * 2).sum(), Tensor(1.0), np.concatenate([w, w]).mean())
    empty = (Tensor(np.ones((0, 3)), requires_grad=True) @ np.ones((3, 2))).sum()
    empty.backward()
    yield empty
    small = Tensor(np.ones((2, 2), np.float32), requires_grad=True)
    for loss in (
        np.einsum("ij,jk,kl->", small, small, small),
        np.maximum(small, small.T).max(),
        np.linalg.det(small + np.eye(2, dtype=np.float32)),
        np.log(np.exp(small)).sum() * np.array([1, 0])[0],
        nn.CrossEntropyLoss()(small, np.array([0, 1]), np.array([0.5, 1.0])),
        nn.BCELoss()(sigmoid(small), np.full((2, 2), 0.3)),
        nn.MSELoss()(small[0], np.array([1.0, 2.0])),
    ):
        loss.backward()
        yield loss


@pytest.mark.parametrize("check", diagnosis.CHECKS, ids=lambda check: check.__name__)
def test_no_check_fails_unseen(check: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Exception] = []

    def watched(*arguments: object) -> list[Finding]:
        try:
            return list(check(*arguments))
        except Exception as error:
            seen.append(error)
            raise

    monkeypatch.setattr(diagnosis, "CHECKS", (watched,))
    for loss in losses():
        graph(loss, fold=True)
    assert seen == []


def test_a_namespace_that_hurts_is_survived() -> None:
    class Hurts:
        def named_parameters(self) -> None:
            raise RuntimeError

    loss = (Tensor([1.0], requires_grad=True) * 2).sum()
    assert "<svg" in graph(loss, names={"x": Hurts(), "_": 1, "y": object()}).svg()
