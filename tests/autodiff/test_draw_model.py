"""The model of the graph: every tensor once, every use of it, whatever the size."""

from __future__ import annotations

import numpy as np
import pytest

from autodiff.draw.model import Model, OpNode, TensorNode, build
from autodiff.draw.snapshot import lines, number, take
from autodiff.ops.activations import sigmoid
from autodiff.ops.linalg.matmul import linear
from autodiff.state import scope
from autodiff.tensor import Tensor


def leaf(*shape: int, name: str | None = None) -> Tensor:
    return Tensor(np.arange(np.prod(shape, dtype=int)).reshape(shape) / 7, requires_grad=True, name=name)


def tensor(model: Model, name: str) -> TensorNode:
    (found,) = (n for n in model.nodes.values() if isinstance(n, TensorNode) and n.name == name)
    return found


def ops(model: Model) -> list[OpNode]:
    return [node for node in model.nodes.values() if isinstance(node, OpNode)]


def operands(model: Model, op: OpNode) -> list[str]:
    return [e.source for e in sorted(model.edges, key=lambda e: e.operand or 0) if e.target == op.id]


def test_operands_keep_their_order() -> None:
    a, b = leaf(2, name="a"), leaf(2, name="b")
    model = build(b - a, 200)
    assert operands(model, ops(model)[0]) == [tensor(model, "b").id, tensor(model, "a").id]


def test_an_operand_used_twice_has_two_edges_and_one_node() -> None:
    a = leaf(2, name="a")
    model = build(a + a, 200)
    assert operands(model, ops(model)[0]) == [tensor(model, "a").id] * 2
    assert (model.tensor_count, model.op_count, len(model.nodes)) == (2, 1, 3)


def test_a_shared_parameter_is_one_node() -> None:
    w = leaf(3, name="w")
    model = build((w * 2.0).sum() + (w * w).sum(), 200)
    uses = [edge for edge in model.edges if edge.source == tensor(model, "w").id]
    assert len(uses) == 3


def test_kinds() -> None:
    w, x = leaf(2, name="w"), Tensor([1.0, 2.0], name="x")
    array = np.array([3.0, 4.0])
    loss = ((w * x + array) * array * 2).sum()
    kinds = [node.kind for node in build(loss, 200).nodes.values() if isinstance(node, TensorNode)]
    assert sorted(kinds) == sorted(
        ["parameter", "input", "input", "constant", "result", "result", "result", "result", "loss"]
    )
    assert build(w * 2, 200).root.kind == "output"


def test_a_leaf_and_a_tensor_without_gradient_are_graphs_of_one_node() -> None:
    assert list(build(leaf(2), 200).nodes) == ["t0"]
    assert list(build(Tensor(1.0) + 1, 200).nodes) == ["t0"]


def test_an_array_used_twice_is_one_node_and_a_scalar_one_per_use() -> None:
    w, y = leaf(2), np.array([0.0, 1.0])
    model = build(1.0 + y * (1.0 + y * w), 200)
    plain = [n for n in model.nodes.values() if n.id.startswith("c") and isinstance(n, TensorNode)]
    assert sorted(c.value.shape for c in plain) == [(), (), (2,)]


def test_operands_that_were_not_given_are_no_operands() -> None:
    model = build(linear(leaf(4, 3), leaf(2, 3), None), 200)
    (op,) = ops(model)
    assert op.operands == ("x", "weight")
    assert op.formulas == ("g·W", "gᵀ·x")


def test_formulas_skip_the_operand_without_derivative() -> None:
    (op,) = ops(build(np.where(np.array([True, False]), leaf(2), 0.0), 200))
    assert op.formulas[0] is None
    assert None not in op.formulas[1:]


def test_params_are_texts() -> None:
    (op,) = ops(build(leaf(3, 4, 5)[1, None, ..., 2:5, [0, 1]], 200))
    assert op.params == {"index": "(1, None, ..., 2:5, list(2,))"}


def test_layers_nest_and_take_in_their_own_parameters_but_not_the_data() -> None:
    x, w, shared = Tensor(np.ones((4, 2)), name="x"), leaf(3, 2, name="w"), leaf(name="shared")
    with scope("net"):
        with scope("net.0"):
            h = sigmoid(linear(x, w, None) * shared)
        with scope("net.1"):
            h = h * shared * 0.5 + np.ones(3)
    model = build(h.sum(), 200)
    assert tensor(model, "w").scope == ("net", "net.0")
    assert tensor(model, "shared").scope == ("net",)
    assert tensor(model, "x").scope == ()
    plain = [n for n in model.nodes.values() if n.id.startswith("c") and isinstance(n, TensorNode)]
    assert [(c.value.shape, c.scope) for c in plain] == [((), ("net", "net.1")), ((3,), ())]
    net = model.clusters().children["net"]
    assert list(net.children) == ["net.0", "net.1"]
    assert net.nodes == [tensor(model, "shared")]
    assert [n.name for n in net.children["net.0"].nodes if isinstance(n, OpNode)] == ["linear", "multiply", "sigmoid"]


def test_values_are_those_of_the_moment() -> None:
    w = leaf(2, name="w")
    loss = (w * w).sum()
    loss.backward()
    model = build(loss, 200)
    assert model.has_gradients
    w.data = w.data * 0 - 1
    w.grad[:] = 9
    node = tensor(model, "w")
    assert lines(node.value) == ["0  0.143"]
    assert node.grad is not None
    assert lines(node.grad) == ["0  0.286"]


def test_the_same_graph_gives_the_same_model() -> None:
    def once() -> Model:
        return build((leaf(3, name="a") * 2 + sigmoid(leaf(3, name="b"))).sum(), 200)

    first, second = once(), once()
    assert list(first.nodes) == list(second.nodes)
    assert first.edges == second.edges


@pytest.mark.parametrize("width", [1, 2])
def test_a_deep_chain_does_not_recurse_and_is_cut(width: int) -> None:
    z = leaf(name="z")
    for _ in range(20_000):
        z = z + (z if width == 2 else 1e-9)
    model = build(z, 50)
    assert len(model.nodes) <= 50
    assert model.op_count == 20_000
    assert model.omitted == model.tensor_count + model.op_count - len(model.nodes)
    assert model.root.id in model.nodes
    assert [n.made_by for n in model.nodes.values() if isinstance(n, TensorNode) and n.made_by] == ["add"]
    assert all(edge.source in model.nodes and edge.target in model.nodes for edge in model.edges)


def test_an_op_of_too_many_operands_is_cut() -> None:
    model = build(np.concatenate([leaf(1) for _ in range(500)]), 20)
    assert len(model.nodes) == 20
    (op,) = ops(model)
    assert (len(op.operands), op.hidden) == (18, 482)


def test_errors_say_what_to_do() -> None:
    with pytest.raises(TypeError, match=r"starts from a Tensor.*got ndarray"):
        build(np.ones(2), 200)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 3"):
        build(leaf(2), 2)
    loss = (leaf(2) * 2).sum()
    loss.backward(free_graph=True)
    with pytest.raises(ValueError, match="free_graph"):
        build(loss, 200)


def test_a_graph_freed_behind_a_result_is_drawn_up_to_it() -> None:
    h = leaf(2) * 2
    (h * 3).sum().backward(free_graph=True)
    model = build((h * 5).sum(), 200)
    assert [n.made_by for n in model.nodes.values() if isinstance(n, TensorNode) and n.made_by] == ["multiply"]


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
