"""What is drawn of a large graph: blocks that repeat, higher levels, and last a cut."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodiff.draw import graph
from autodiff.draw.build import build
from autodiff.draw.model import Model, OpNode, TensorNode
from autodiff.ops.linalg.matmul import linear
from autodiff.state import scope
from autodiff.tensor import Tensor
from tests.autodiff.drawn import faults


def leaf(*shape: int, name: str | None = None, seed: int = 0) -> Tensor:
    data = np.random.default_rng(seed).normal(size=shape) / max(shape[-1:] or (1,)) ** 0.5
    return Tensor(data, requires_grad=True, name=name)


def ops(model: Model) -> list[OpNode]:
    return [node for node in model.nodes.values() if isinstance(node, OpNode)]


def mlp(layers: int, width: int = 4) -> Tensor:
    h = Tensor(np.ones((2, 3)))
    for i in range(layers):
        with scope(f"layers.{i}"):
            h = np.tanh(linear(h, leaf(width, h.shape[1], seed=i), None))
    return h.mean()


def rnn(steps: int) -> tuple[Tensor, Tensor]:
    wx, wh = leaf(3, 4, name="Wx"), leaf(4, 4, name="Wh")
    xs = np.random.default_rng(0).normal(size=(steps, 5, 3))
    h = Tensor(np.zeros((5, 4)), name="h0")
    for t in range(steps):
        h = np.tanh(xs[t] @ wx + h @ wh)
    return h.sum(), wh


def test_an_unrolled_loop_is_drawn_once_and_says_how_often() -> None:
    loss, wh = rnn(50)
    loss.backward()
    model = build(loss, fold=True)
    (repeat,) = model.repeats
    assert repeat.times == 50
    assert repeat.feeds_itself
    assert [(op.name, op.members) for op in ops(model)] == [
        *((name, 50) for name in ("matmul", "matmul", "add", "tanh")),
        ("sum", 1),
    ]
    by_name = {node.name: node for node in model.nodes.values() if isinstance(node, TensorNode)}
    assert by_name["Wh"].members == 1
    assert by_name["h0"].members == 1
    assert by_name[None].members in (1, 50)
    (x,) = (
        node for node in model.nodes.values() if isinstance(node, TensorNode) and node.kind == "input" and not node.name
    )
    assert x.members == 50
    edges = {(by_name["h0"].id, edge.target) for edge in model.edges if edge.source == by_name["h0"].id}
    assert len(edges) == 1
    assert wh.grad is not None
    assert "each feeds the next" in graph(loss, fold=True).svg()


def test_equal_layers_are_drawn_once_with_the_first_and_the_last_of_their_numbers() -> None:
    loss = mlp(12)
    loss.backward()
    model = build(loss, fold=True, level="op")
    (repeat,) = model.repeats
    assert repeat.times == 11
    (weight,) = (
        node
        for node in model.nodes.values()
        if isinstance(node, TensorNode) and node.kind == "parameter" and node.members == 11
    )
    assert weight.scope == ("layers.1 … layers.11",)
    assert weight.last_grad is not None
    assert weight.grad is not None
    assert weight.grad.rms != weight.last_grad.rms
    text = graph(loss, fold=True).text()
    assert "× 11" in text
    assert "first ∂ rms" in text


def test_layers_of_different_shape_are_not_folded() -> None:
    h = Tensor(np.ones((2, 3)))
    for width in (4, 5, 6, 7):
        h = np.tanh(linear(h, leaf(width, h.shape[1]), None))
    assert build(h.sum(), fold=True).repeats == []


def test_what_is_wired_differently_is_not_folded() -> None:
    alike, different = [leaf(3)], [leaf(3)]
    for back in (1, 2, 1, 3, 1, 4):
        alike.append(np.sin(alike[-1]) * alike[-1])
        different.append(np.sin(different[-1]) * different[-min(back, len(different))])
    assert [repeat.times for repeat in build(alike[-1].sum(), fold=True).repeats] == [6]
    assert all(repeat.times == 2 for repeat in build(different[-1].sum(), fold=True).repeats)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_a_fold_accounts_for_every_op(kinds: list[int]) -> None:
    kept = leaf(3, name="kept")
    h = kept
    for kind in kinds:
        h = np.sin(h) * [h, kept, leaf(3)][kind]
    loss = h.sum()
    model = build(loss, fold=True)
    assert sum(op.members for op in ops(model)) == model.op_count == 2 * len(kinds) + 1
    whole = build(loss, fold=False)
    assert whole.op_count == len(ops(whole))
    assert len(model.nodes) <= len(whole.nodes)
    assert not list(faults(graph(loss, fold=True).svg()))


def test_small_pictures_are_not_folded_unless_asked() -> None:
    loss = mlp(6)
    assert build(loss).repeats == []
    assert build(loss, fold=True).repeats[0].times == 5
    assert build(mlp(40)).repeats[0].times == 39
    assert build(mlp(40), fold=False).repeats == []


@pytest.mark.parametrize("width", [1, 2])
def test_a_deep_chain_does_not_recurse(width: int) -> None:
    z = Tensor(1e-300, requires_grad=True, name="z")
    for _ in range(1000 if width == 2 else 20_000):
        z = z + (z if width == 2 else 1e-9)
    model = build(z)
    assert len(model.nodes) <= 5
    assert model.root.value is not None
    assert model.root.value.values == pytest.approx(float(z.data))
    block = model.repeats[0].nodes[0]
    assert len([edge for edge in model.edges if edge.target == block]) == width


def test_every_tensor_once_and_both_edges_of_z_plus_z() -> None:
    z = Tensor(1e-300, requires_grad=True)
    for _ in range(1000):
        z = z + z
    model = build(z, fold=False, max_nodes=5000)
    assert len(model.nodes) == 2001
    assert len(model.edges) == 3000


def nested() -> Tensor:
    h = Tensor(np.ones((2, 4)))
    for i in range(3):
        with scope(f"blocks.{i}"):
            with scope("norm"):
                n = (h - h.mean()) * leaf(4, name="gain", seed=i)
            with scope("map"):
                h = h + np.tanh(linear(n, leaf(4, 4, name="weight", seed=i), None))
    return h.sum()


@pytest.mark.parametrize(
    ("options", "boxes"),
    [
        ({"level": "op"}, 17),
        ({"level": "layer"}, 7),
        ({"level": "op", "depth": 1}, 7),
        ({"depth": 0}, 4),
        ({"level": "op", "depth": 5}, 17),
    ],
)
def test_levels(options: dict[str, object], boxes: int) -> None:
    assert len(ops(build(nested(), **options))) == boxes  # type: ignore[arg-type]


def test_a_layer_drawn_as_one_box_names_its_parameters_by_their_way() -> None:
    loss = nested()
    loss.backward()
    model = build(loss, depth=0)
    (first, *_) = ops(model)
    assert first.name == "blocks.0"
    assert dict(first.inside)["tanh"] == 1
    names = {node.name for node in model.nodes.values() if isinstance(node, TensorNode) and node.kind == "parameter"}
    assert names == {"norm.gain", "map.weight"}
    assert ops(model)[1].factors[0] is not None


def test_a_layer_called_again_is_another_box() -> None:
    w = leaf(4, 4)
    h = Tensor(np.ones((2, 4)))
    for _ in range(3):
        with scope("cell"):
            h = np.tanh((h - h.mean()) @ w)
    assert [op.name for op in ops(build(h.sum()))] == ["cell"] * 3 + ["sum"]


def irregular(count: int) -> Tensor:
    rng = np.random.default_rng(0)
    made = [leaf(3, name="w")]
    functions = [np.tanh, np.sin, np.exp, np.negative, np.cos]
    for _ in range(count):
        made.append(functions[rng.integers(5)](made[-1]) * made[-rng.integers(1, min(len(made), 9) + 1)])
    return made[-1].sum()


@pytest.mark.parametrize("max_nodes", [3, 10, 60, 200])
def test_levels_rise_until_it_fits_and_then_the_earliest_are_one_box(max_nodes: int) -> None:
    picture = graph(irregular(400), max_nodes=max_nodes)
    model = picture.model
    assert len(model.nodes) <= max_nodes
    assert model.op_count == 801
    assert sum(sum(count for _, count in op.inside) or 1 for op in ops(model)) == 801
    assert not list(faults(picture.svg()))


def test_higher_levels_come_before_a_cut() -> None:
    names = [op.name for op in ops(build(nested(), level="op", max_nodes=18))]
    assert names == ["blocks.0", "blocks.1", "blocks.2", "sum"]


def test_an_op_of_very_many_operands_is_drawn() -> None:
    picture = graph(np.concatenate([leaf(1) for _ in range(500)]))
    assert len(picture.model.nodes) <= 12
    (op,) = ops(picture.model)
    assert op.hidden == 493
    assert "493 operands more" in picture.text()
    shared = leaf(1)
    assert len(graph(np.concatenate([shared] * 10_000)).model.nodes) == 3


@pytest.mark.parametrize("make", [lambda: mlp(5000), lambda: rnn(1000)[0]], ids=["10,000 ops", "1,000 steps"])
def test_large_graphs_are_drawn_at_all(make: object) -> None:
    loss = make()  # type: ignore[operator]
    loss.backward()
    started = time.monotonic()
    picture = graph(loss)
    assert len(picture.model.nodes) <= 200
    assert len(picture.svg()) < 40_000
    assert time.monotonic() - started < 30  # measured in benchmarks/pictures.py; here only that it is not minutes
