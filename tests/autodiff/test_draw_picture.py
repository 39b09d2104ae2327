"""What the picture shows, and that no name can make it show or do anything else."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autodiff.draw import card, draw, graph
from autodiff.draw.dot import layout_effort
from autodiff.draw.markup import plain
from autodiff.draw.model import OpNode
from autodiff.op import Op, registry
from autodiff.ops.activations import sigmoid
from autodiff.ops.linalg.matmul import linear
from autodiff.state import scope
from autodiff.tensor import Tensor

pytest.importorskip("pygraphviz", reason="pictures need the `draw` extra")

SVG = "{http://www.w3.org/2000/svg}"


def step() -> Tensor:
    """Return the loss of a 2-3-1 network on XOR, after backward()."""
    x = Tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], name="X")
    with scope("net"):
        with scope("net.0"):
            w = Tensor(np.linspace(-1, 1, 6).reshape(3, 2), requires_grad=True, name="net.0.weight")
            h = sigmoid(linear(x, w, Tensor(np.zeros(3), requires_grad=True, name="net.0.bias")))
        with scope("net.1"):
            out = linear(h, Tensor([[0.5, -2.0, 1e-4]], requires_grad=True, name="net.1.weight"), None)
    loss = ((out - np.array([[0.0], [1.0], [1.0], [0.0]])) ** 2).mean()
    loss.backward(retain_grads=True)
    return loss


def texts(svg: str) -> list[str]:
    return ["".join(e.itertext()).replace("\xa0", " ") for e in ET.fromstring(svg).iter(f"{SVG}text")]


def test_it_shows_names_shapes_values_gradients_ops_formulas_layers_and_legend() -> None:
    loss = step()
    shown = texts(graph(loss).svg())
    for text in (
        *("X", "(4, 2) · input", "net.0.weight", "(3, 2) · parameter", "2"),
        *("  -1  -0.6", "0.5  -2  0.0001", "x·Wᵀ + b  linear", "∂weight = gᵀ·x", "∂x = g × a(1 − a)"),
        *("net", "net.0", "net.1", "parameter", "where backward() starts", "gradient"),
    ):
        assert text in shown, text
    assert f"loss {loss.item():.3g}" in shown
    assert any(text.startswith("gradient, rms ") for text in shown)
    assert "none yet" not in shown


def test_before_backward_it_says_that_there_is_no_gradient_yet() -> None:
    w = Tensor([1.0, 2.0], requires_grad=True, name="w")
    assert "none yet" in texts(graph((w * w).sum()).svg())


def test_gradients_that_were_not_kept_are_mentioned_in_the_legend() -> None:
    w = Tensor([1.0, 2.0], requires_grad=True, name="w")
    loss = (w * w).sum()
    loss.backward()
    assert any("retain_grads=True" in text for text in texts(graph(loss).svg()))
    assert not any("retain_grads=True" in text for text in texts(graph(step()).svg()))


@pytest.mark.parametrize("declared", registry.values(), ids=lambda declared: declared.name)
def test_every_op_is_shown_with_its_symbol_and_formulas(declared: Op) -> None:
    names = tuple(f"x{i}" for i in range(len(declared.formula)))
    box = card.op_box(OpNode("o1", declared.name, declared.symbol, names, declared.formula, {}, ()))
    shown = "".join(ET.fromstring(box).itertext())
    assert declared.symbol in shown
    assert all(formula in shown for formula in declared.formula)


def test_the_arrows_arrive_at_their_operands() -> None:
    a, b = Tensor(2.0, requires_grad=True, name="a"), Tensor(3.0, requires_grad=True, name="b")
    source = draw(b - a).source
    assert "t1 -> o2:i0:n" in source
    assert "t0 -> o2:i1:n" in source
    assert draw(a + a).source.count("t0 -> o1:") == 2


def test_the_same_graph_gives_the_same_bytes() -> None:
    first, second = graph(step()), graph(step())
    assert first.dot == second.dot
    assert first.svg() == second.svg()


def test_nodes_have_titles_that_a_person_understands() -> None:
    titles = {e.text for e in ET.fromstring(graph(step()).svg()).iter(f"{SVG}title")}
    assert {"computation graph", "net.0.weight parameter (3, 2)", "X input (4, 2) → linear"} <= titles


def test_a_graph_too_large_says_what_was_left_out() -> None:
    z = Tensor(1.0, requires_grad=True)
    for _ in range(3_000):
        z = z * 1.001
    picture = graph(z, max_nodes=30)
    shown = texts(picture.svg())
    assert "Too large to draw whole." in shown
    assert f"Left out are the {picture.model.omitted:,} before them." in shown
    assert "made by multiply, which is not drawn" in shown


def test_a_parameter_shared_by_many_steps_does_not_stall_the_layout() -> None:
    w = Tensor(np.eye(3), requires_grad=True)
    h = Tensor(np.ones((1, 3)))
    for _ in range(200):
        h = np.tanh(h @ w)
    picture = graph(h.sum(), max_nodes=600)
    assert layout_effort(picture.model) <= 3_000
    assert picture.model.omitted > 0


def test_many_operands_share_one_cell() -> None:
    parts = [Tensor([float(i)], requires_grad=True) for i in range(30)]
    picture = graph(np.concatenate([*parts, *parts]))
    assert "… 53 more" in texts(picture.svg())
    assert picture.dot.count("o30:more:n") == 30
    assert graph(np.concatenate([parts[0]] * 10_000)).dot.count("->") == 9


ODD = (
    "<b>&\"'",
    "{|}",
    "\\N\\G\\",
    "]]>",
    "-->",
    "a\nb",
    "\u202eevil",
    "&lt;&#60;&alpha;",
    "\ud800",
    "x" * 10_000,
    "  ",
)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=8))
@example(list(ODD))
@example(["<TABLE><TR><TD HREF='x'>", '" URL="javascript:1', "</script><script>", "\x00\x1b\x7f", "<!--", "<![CDATA["])
def test_hostile_names_are_shown_as_text(names: list[str]) -> None:
    svg = stacked(names)
    shown = texts(svg)
    for name in names:
        assert plain(name, 40).replace("\xa0", " ") in shown
    assert svg.count("<g ") == stacked(["w"] * len(names)).count("<g ")
    assert not list(active(svg))


@settings(max_examples=10, deadline=None)
@given(st.text(min_size=1, max_size=30))
@example("<b>\\N\"{|}' ]]>")
def test_hostile_ops_are_shown_as_text(text: str) -> None:
    declared = Op(np.negative, (lambda g, y, x: -g,), "hostile", text, (text,), (), False)
    svg = graph(declared(Tensor(1.0, requires_grad=True))).svg()
    assert plain(f"{text}  hostile", 40).replace("\xa0", " ") in texts(svg)
    assert not list(active(svg))


def stacked(names: list[str]) -> str:
    """Return the picture of a sum over tensors of these names, in a layer of one of these names."""
    leaves = [Tensor(1.0, requires_grad=True, name=name) for name in names]
    with scope(names[0]):
        loss = np.stack(leaves).sum()
    loss.name = names[-1]
    return graph(loss).svg()


def active(svg: str) -> Iterator[str]:
    """Yield whatever in a picture could do more than be looked at."""
    for element in ET.fromstring(svg).iter():
        yield from (key for key in element.attrib if "href" in key.lower() or key.lower().startswith("on"))
        if element.tag.removeprefix(SVG) not in {"svg", "g", "title", "text", "polygon", "polyline", "path", "ellipse"}:
            yield element.tag


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear_parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear_parts))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_stands_out_from_its_ground() -> None:
    grounds = [ground for ground, _, _ in card.LOOKS.values()] + [card.OP_TINT, card.PAPER, "#F6F7F9"]
    for ink, ground in itertools.product((card.INK, card.MUTED, card.GRADIENT), grounds):
        assert contrast(ink, ground) >= 7
    assert contrast(card.PAPER, card.OP) >= 7
    assert all(contrast(border, ground) >= 4.5 for ground, border, _ in card.LOOKS.values())
