"""The model of the picture: every tensor once, every use of it, the numbers of the moment."""

from __future__ import annotations

import numpy as np
import pytest

from autodiff.draw.build import build
from autodiff.draw.model import Edge, Model, OpNode, TensorNode
from autodiff.draw.snapshot import lines, number, take
from autodiff.ops.activations import sigmoid
from autodiff.ops.linalg.matmul import linear
from autodiff.state import scope
from autodiff.tensor import Tensor


def leaf(*shape: int, name: str | None = None) -> Tensor:
    return Tensor(np.arange(np.prod(shape, dtype=int)).reshape(shape) / 7, requires_grad=True, name=name)


def tensor(model: Model, name: str) -> TensorNode:
    (found,) = (n for n in tensors(model) if n.name == name)
    return found


def tensors(model: Model) -> list[TensorNode]:
    return [node for node in model.nodes.values() if isinstance(node, TensorNode)]


def ops(model: Model) -> list[OpNode]:
    return [node for node in model.nodes.values() if isinstance(node, OpNode)]


def operands(model: Model, op: OpNode) -> list[str]:
    return [e.source for e in sorted(model.edges, key=lambda e: e.operand or 0) if e.target == op.id]


def test_operands_keep_their_order() -> None:
    a, b = leaf(2, name="a"), leaf(2, name="b")
    model = build(b - a)
    assert operands(model, ops(model)[0]) == [tensor(model, "b").id, tensor(model, "a").id]


def test_an_operand_used_twice_has_two_edges_and_one_node() -> None:
    a = leaf(2, name="a")
    model = build(a + a)
    assert operands(model, ops(model)[0]) == [tensor(model, "a").id] * 2
    assert (model.tensor_count, model.op_count, len(model.nodes)) == (2, 1, 3)


def test_a_parameter_used_twice_is_one_node_and_one_used_often_has_a_copy_at_each_place() -> None:
    w = leaf(3, name="w")
    twice = build((w * 2.0).sum() + (w * 3.0).sum())
    assert len([edge for edge in twice.edges if edge.source == tensor(twice, "w").id]) == 2
    often = build(sum(((w * i).sum() for i in range(5)), start=Tensor(0.0)))
    copies = [node for node in tensors(often) if node.name == "w"]
    assert [node.original for node in copies] == [None, *[copies[0].id] * 4]
    assert {node.uses for node in copies} == {5}
    assert often.tensor_count == len({id(w)}) + 5 + 5 + 5 + 1 + 5


def test_kinds() -> None:
    w, x = leaf(2, name="w"), Tensor([1.0, 2.0], name="x")
    array = np.array([3.0, 4.0])
    loss = ((w * x + array) * array * 2).sum()
    kinds = [node.kind for node in tensors(build(loss))]
    assert sorted(kinds) == ["input", "input", "loss", "parameter", *["result"] * 4]
    assert build(w * 2).root.kind == "output"


def test_a_leaf_and_a_tensor_without_gradient_are_graphs_of_one_node() -> None:
    assert list(build(leaf(2)).nodes) == ["t0"]
    assert list(build(Tensor(1.0) + 1).nodes) == ["t0"]


def test_an_array_used_twice_is_one_node_and_numbers_stand_in_their_op() -> None:
    w, y = leaf(2), np.array([0.0, 1.0])
    model = build(1.0 + y * (0.5 + y * w))
    assert [node.value.shape for node in tensors(model) if node.kind == "input" and node.value] == [(2,)]
    assert [op.constants for op in ops(model)] == [{}, {"a": "0.5"}, {}, {"a": "1"}]


def test_operands_that_were_not_given_are_no_operands() -> None:
    model = build(linear(leaf(4, 3), leaf(2, 3), None))
    (op,) = ops(model)
    assert op.operands == ("x", "weight")
    assert op.formulas == ("g·W", "gᵀ·x")


def test_formulas_are_those_of_the_operands_that_have_a_derivative() -> None:
    (op,) = ops(build(np.where(np.array([True, False]), leaf(2), 0.0)))
    assert [formula is None for formula in op.formulas] == [True, False, True]


def test_params_are_texts() -> None:
    (op,) = ops(build(leaf(3, 4, 5)[1, None, ..., 2:5, [0, 1]]))
    assert op.params == {"index": "(1, None, ..., 2:5, list(2,))"}


def test_factors_are_measured() -> None:
    z = Tensor([0.0, 1.0, -3.0], requires_grad=True)
    (factor,) = ops(build(sigmoid(z).sum()))[0].factors
    assert factor is not None
    a = 1 / (1 + np.exp([0.0, -1.0, 3.0]))
    assert factor.mean == pytest.approx((a * (1 - a)).mean())
    assert factor.most == 0.25


def test_gains_are_measured_where_a_gradient_flowed() -> None:
    h = np.tanh(leaf(4, 3))
    loss = linear(h, Tensor(np.full((2, 3), 0.5), requires_grad=True), None).sum()
    assert ops(build(loss))[1].factors[0].gain is None  # type: ignore[union-attr]
    loss.backward()
    assert ops(build(loss))[1].factors[0].gain == pytest.approx(1.0)  # type: ignore[union-attr]  # 2 × 0.5


def test_layers_nest_and_take_in_their_own_parameters_but_not_the_data() -> None:
    x, w = Tensor(np.ones((4, 2)), name="x"), leaf(3, 2, name="w")
    with scope("net"):
        with scope("0"):
            h = sigmoid(linear(x, w, None) * 2.0)
        with scope("1"):
            h = h * 0.5 + np.ones(3)
    model = build(h.sum(), level="op")
    assert tensor(model, "w").scope == ("net", "0")
    assert tensor(model, "x").scope == ()
    assert [op.scope for op in ops(model)] == [("net", "0")] * 3 + [("net", "1")] * 2 + [()]


def test_values_and_gradients_are_those_of_the_moment() -> None:
    w = leaf(2, name="w")
    loss = (w * w).sum()
    loss.backward()
    model = build(loss)
    assert model.has_gradients
    w.data = w.data * 0 - 1
    w.grad[:] = 9
    node = tensor(model, "w")
    assert node.value is not None
    assert lines(node.value) == ["0  0.143"]
    assert node.grad is not None
    assert lines(node.grad) == ["0  0.286"]


def test_after_an_optimizers_step_the_gradients_that_were_kept_are_drawn() -> None:
    w = leaf(2, name="w")
    loss = (np.exp(w) * 2.0).sum()
    loss.backward()
    w.data = w.data - 0.1 * w.grad
    model = build(loss)
    grad = tensor(model, "w").grad
    assert grad is not None
    assert grad.rms == pytest.approx(np.sqrt(np.mean(w.grad**2)))
    assert all(edge.flow is None for edge in model.edges)
    assert any("data changed" in text for text in model.caption)
    assert [node.awaits for node in tensors(model)] == [False, True, True, True]


def test_flows_are_the_gradients_along_each_edge() -> None:
    a = Tensor([1.0, -2.0], requires_grad=True, name="a")
    loss = (a * a * a).sum()
    loss.backward()
    model = build(loss)
    flows = {(e.source, e.target, e.operand): e.flow for e in model.edges}
    root_mean_square = np.sqrt(np.mean((a.data * a.data) ** 2))
    assert flows["t0", "o0", 0] == flows["t0", "o0", 1] == pytest.approx(root_mean_square)
    assert flows["o2", "t3", None] == 1


def test_values_and_gradients_can_be_left_out() -> None:
    loss = (leaf(5, name="w") * 2).sum()
    loss.backward()
    bare = build(loss, values=None, grads=False)
    assert all(node.value is None or node.value.low is None for node in tensors(bare))
    assert all(node.grad is None and not node.awaits for node in tensors(bare))
    full = tensor(build(loss, values="full"), "w").value
    stats = tensor(build(loss), "w").value
    assert full is not None
    assert full.values.shape == (5,)
    assert stats is not None
    assert stats.values is None


def test_names_are_the_tensors_own_or_those_of_the_variables() -> None:
    w, x = leaf(2), np.ones(2)
    params = {"b": leaf(2)}
    more = [leaf(2, name="own")]
    loss = (w * x + params["b"] * more[0]).sum()
    found = {node.name for node in tensors(build(loss, names=locals()))}
    assert found == {"w", "x", "params['b']", "own", "loss", None}


def test_the_same_graph_gives_the_same_model() -> None:
    def once() -> tuple[list[str], list[Edge]]:
        model = build((leaf(3, name="a") * 2 + sigmoid(leaf(3, name="b"))).sum())
        return list(model.nodes), model.edges

    assert once() == once()


def test_errors_say_what_to_do() -> None:
    with pytest.raises(TypeError, match=r"starts from a Tensor.*got ndarray"):
        build(np.ones(2))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"locals\(\)"):
        build(leaf(2), names=["w"])  # type: ignore[arg-type]
    for wrong in ({"max_nodes": 2}, {"level": "module"}, {"values": "all"}, {"fold": "no"}, {"depth": -1}):
        with pytest.raises(ValueError, match="must be"):
            build(leaf(2), **wrong)  # type: ignore[arg-type]
    loss = (leaf(2) * 2).sum()
    loss.backward(free_graph=True)
    with pytest.raises(ValueError, match="free_graph"):
        build(loss)


def test_a_graph_freed_behind_a_result_is_drawn_up_to_it() -> None:
    h = leaf(2) * 2
    (h * 3).sum().backward(free_graph=True)
    model = build((h * 5).sum())
    assert [n.made_by for n in tensors(model) if n.made_by] == ["multiply"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (1.5, ["1.5"]),
        (np.array(3), ["3"]),
        (np.zeros((0, 3)), ["empty"]),
        (np.array([1.0, np.nan, -np.inf]), ["1  NaN  -Inf"]),
        (np.array([[1, -20], [300, 4]]), ["  1  -20", "300    4"]),
        (np.array([True, False]), ["True  False"]),
        (np.array([1 + 2j]), ["1+2j"]),
        (np.linspace(-1, 2, 100), ["-1 … 2"]),
        (np.zeros(100), ["all 0"]),
        (np.array([np.nan] * 30 + [np.inf] * 2), ["30 NaN, 2 Inf"]),
        (np.array([np.nan] + [2.0] * 30), ["all 2, 1 NaN"]),
        (np.full(30, 1e200), ["all 1e200"]),
        (np.array(["a", None], dtype=object), ["not shown"]),
    ],
)
def test_values_as_text(data: object, expected: list[str]) -> None:
    assert lines(take(data)) == expected


def test_rms_neither_overflows_nor_counts_nan() -> None:
    assert take(np.full(30, 1e300)).rms == pytest.approx(1e300)
    assert take(np.array([3.0, np.nan, 4.0])).rms == pytest.approx(np.sqrt(12.5))
    assert take(np.full(9, 6e4, dtype=np.float16)).rms == pytest.approx(6e4, rel=1e-3)


def test_an_array_that_cannot_be_brought_here_keeps_its_shape() -> None:
    class Elsewhere:
        shape, dtype, ndim = (2, 3), "float64", 2

        def __array__(self, *args: object, **kwargs: object) -> np.ndarray:
            raise TypeError("implicit copy refused")

    snapshot = take(Elsewhere())
    assert (snapshot.shape, snapshot.dtype, lines(snapshot)) == ((2, 3), "float64", ["not shown"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.00012345, "0.000123"), (1e-5, "1e-5"), (999.9, "1000"), (123456.7, "123457"), (2.5e7, "2.5e7"), (-0.0, "0")],
)
def test_numbers_have_three_significant_digits(value: float, expected: str) -> None:
    assert number(value) == expected
