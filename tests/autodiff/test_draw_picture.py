"""What the picture shows, that nothing in it is cut or covered, and that no name can make it do anything else."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autodiff.draw import graph
from autodiff.draw.facts.flow import largest
from autodiff.draw.formulas import derivatives
from autodiff.draw.graph import Graph
from autodiff.draw.markup import plain
from autodiff.draw.model import OpNode
from autodiff.draw.picture.cards import op_lines
from autodiff.draw.picture.look import DARK, LIGHT, STEPS, Palette, css
from autodiff.op import Op, registry
from autodiff.ops.activations import sigmoid
from autodiff.ops.linalg.matmul import linear
from autodiff.state import scope
from autodiff.tensor import Tensor
from tests.autodiff.drawn import SVG, active, faults, nodes, texts

INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def step(retain: bool = False) -> Tensor:
    """Return the loss of a 2-3-1 network on XOR, after backward()."""
    with scope("net"):
        with scope("net.0"):
            w = Tensor(np.linspace(-1, 1, 6).reshape(3, 2), requires_grad=True, name="net.0.weight")
            h = sigmoid(linear(Tensor(INPUTS, name="X"), w, Tensor(np.zeros(3), requires_grad=True, name="bias")))
        with scope("net.1"):
            out = linear(h, Tensor([[0.5, -2.0, 1e-4]], requires_grad=True, name="net.1.weight"), None)
    loss = ((out - np.array([[0.0], [1.0], [1.0], [0.0]])) ** 2).mean()
    loss.backward(retain_grads=retain)
    return loss


def line(svg: str, start: str) -> str:
    (found,) = (text for text in texts(svg) if text.startswith(start))
    return found


def test_it_shows_names_shapes_ranges_gradients_ops_factors_layers_and_a_legend() -> None:
    loss = step()
    shown = texts(graph(loss, level="op").svg())
    a = sigmoid(INPUTS @ np.linspace(-1, 1, 6).reshape(3, 2).T)
    for text in (
        *("X (4, 2)", "0 … 1", "net.0.weight (3, 2)", "-1 … 1", "bias (3,)", "all 0", "0.5  -2  0.0001"),
        *("x·Wᵀ + b  linear", "∂weight = gᵀ·x", "σ  sigmoid", "·a(1 − a)", "net", "net.0", "net.1"),
        *("parameter", "learnt", "data, labels", "backward() starts here", "exactly 0"),
        f"mean {(a * (1 - a)).mean():.3g} of at most 0.25",
        f"loss {loss.item():.3g}: 12 tensors, 6 ops",
    ):
        assert text in [t.strip() for t in shown] or text.removeprefix("net.0.") in shown, text


def test_the_ramp_is_logarithmic_and_relative_to_the_largest_gradient() -> None:
    def card(ratio: float) -> str:
        w = Tensor([1.0, 1.0], requires_grad=True, name="small")
        v = Tensor([1.0, 1.0], requires_grad=True, name="large")
        loss = ratio * w.sum() + v.sum()
        loss.backward()
        svg = graph(loss).svg()
        (found,) = (g for g in nodes(svg).values() if "small" in g.attrib["aria-label"])
        return next(e.attrib["class"] for e in list(found.iter(f"{SVG}rect"))[1:])

    # Two decades of span: half a decade a step. Beyond, each step is as many powers of ten as the picture needs.
    assert [card(r) for r in (0.99, 0.2, 0.05, 0.002)] == ["g0", "g1", "g2", "g5"]
    assert [card(r) for r in (1e-5, 1e-11, 1e-59)] == ["g5", "g5", "g5"]


def test_exactly_zero_no_gradient_yet_and_nan_look_different() -> None:
    w = Tensor([1.0, 2.0], requires_grad=True, name="w")
    before = graph((w * w).sum()).svg()
    assert "no gradient yet" in texts(before)
    assert "none dash" in before
    assert 'fill="url(#ngz)"' not in nodes(before)["t0"]
    loss = (w * 0.0).sum()
    loss.backward()
    after = graph(loss).svg()
    assert "∂ exactly 0" in texts(after)
    assert "no gradient yet" not in texts(after)
    w.grad = np.array([np.nan, 1.0])
    assert "∂ 1 NaN of 2" in texts(graph(loss).svg())


def test_gradients_of_results_are_measured_without_retain_grads() -> None:
    hooked = []
    loss = step()
    loss.inputs[0].register_hook(hooked.append)  # type: ignore[index]
    measured, kept = graph(loss), graph(step(retain=True))
    assert [t for t in texts(measured.svg()) if "∂" in t] == [t for t in texts(kept.svg()) if "∂" in t]
    assert hooked == []
    assert loss.inputs is not None
    assert loss.inputs[0].grad is None


def test_edges_are_as_wide_as_the_gradient_and_dotted_where_none_can_flow() -> None:
    small, large = (Tensor([1.0, 1.0], requires_grad=True, name=name) for name in ("small", "large"))
    loss = (1e-3 * small).sum() + large.sum() + Tensor([3.0, 4.0], name="data").sum() * small.sum() * 0.0
    loss.backward()
    picture = graph(loss)
    flows = {}
    for edge in picture.model.edges:
        source = picture.model.nodes[edge.source]
        flows[source.name, edge.carries_gradient] = edge.flow
    assert flows["large", True] == pytest.approx(1.0)
    widths = [float(w) for w in re.findall(r'class="e flow" [^>]*stroke-width="([\d.]+)"', picture.svg())]
    assert max(widths) == 7
    assert min(widths) < 4


def test_broadcasting_edges_are_labelled() -> None:
    p = Tensor(np.ones((4, 1)), requires_grad=True)
    assert "(4,1) − (4,) → (4,4)" in texts(graph((p - np.ones(4)).sum()).svg())
    assert "(4,) → (3,4)" in texts(graph((np.ones((3, 4)) * Tensor(np.ones(4), requires_grad=True)).sum()).svg())
    assert not any("→" in text for text in texts(graph((p - np.ones((4, 1))).sum()).svg()))
    assert not any("→" in text for text in texts(graph((p @ np.ones((1, 4))).sum()).svg()))


@pytest.mark.parametrize("declared", registry.values(), ids=lambda declared: declared.name)
def test_every_op_is_shown_with_its_symbol_and_formulas(declared: Op) -> None:
    names, formulas = derivatives(declared, len(declared.rules))
    box = op_lines(OpNode("o1", declared.name, declared.symbol, tuple(names), tuple(formulas), {}, ()))
    shown = re.sub(r"\s", "", "".join(part.text for part in box))
    assert re.sub(r"\s", "", declared.symbol) in shown
    assert all(formula == "1" or re.sub(r"\s", "", formula) in shown for formula in declared.formula)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        *(("sigmoid", 0.25), ("tanh", 1), ("relu", 1), ("sin", 1), ("gelu", 1.1289), ("exp", None)),
        *(("reciprocal", None), ("sqrt", None), ("square", None), ("log", None), ("sum", None)),
    ],
)
def test_the_largest_factor_comes_from_the_rule_itself(name: str, most: float | None) -> None:
    assert largest(registry[name], {}) == most


def test_the_same_graph_gives_the_same_bytes() -> None:
    first, second = graph(step()), graph(step())
    assert first.svg() == second.svg()
    assert (first.dot, first.mermaid, first.text()) == (second.dot, second.mermaid, second.text())


def test_nodes_have_title_role_and_label() -> None:
    svg = graph(step(), level="op").svg()
    root = ET.fromstring(svg)
    assert root.attrib["role"] == "graphics-document"
    assert root.attrib["aria-label"].startswith("loss 2.05: ")
    groups = nodes(svg)
    assert len(groups) == len(graph(step(), level="op").model.nodes)
    for group in groups.values():
        assert group.attrib["role"] == "img"
        assert group.findtext(f"{SVG}title")
    assert {"parameter net.0.weight", "op sigmoid", "input X"} <= {g.findtext(f"{SVG}title") for g in groups.values()}
    assert any("mean" in group.attrib["aria-label"] for group in groups.values())


ODD = [
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
    "界" * 40,
]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=7))
@example(ODD[:6])
@example(ODD[6:])
@example(["\x00", "\x000", "\x007"])
@example(["0", "5 ", " 5"])
@example(["<TABLE><TR><TD HREF='x'>", '" URL="javascript:1', "</script><script>", "\x00\x1b\x7f", "<!--", "<![CDATA["])
def test_hostile_names_are_shown_as_text(names: list[str]) -> None:
    picture = stacked(names)
    svg = picture.svg()
    shown = " ".join(texts(svg))
    for name in names:
        assert plain(name, 26)[:20].replace("\xa0", " ").strip() in shown
        assert plain(name, 80) in picture.text()
    assert len(nodes(svg)) == len(nodes(stacked(["w"] * len(names)).svg()))
    assert not list(active(svg))
    assert not list(faults(svg))


@settings(max_examples=10, deadline=None)
@given(st.text(min_size=1, max_size=30))
@example("<b>\\N\"{|}' ]]>")
def test_hostile_ops_are_shown_as_text(text: str) -> None:
    declared = Op(np.negative, (lambda g, y, x: -g,), "hostile", text, (text,), (), False)
    svg = graph(declared(Tensor(1.0, requires_grad=True))).svg()
    assert plain(text, 26)[:20].replace("\xa0", " ").strip() in " ".join(texts(svg))
    assert not list(active(svg))
    assert not list(faults(svg))


def stacked(names: list[str]) -> Graph:
    """Return the picture of a sum over tensors of these names, in a layer of one of these names."""
    leaves = [Tensor(1.0, requires_grad=True, name=name) for name in names]
    with scope(names[0]):
        loss = np.stack(leaves).sum()
    loss.name = names[-1]
    return graph(loss, level="op")


@st.composite
def programs(draw: st.DrawFn) -> Tensor:
    """Draw a loss behind some twenty ops: chains, branches that join, shared operands, layers within layers."""
    made = [Tensor(np.full((3, 3), 0.1 * (i + 1)), requires_grad=i != 1, name=f"leaf{i}") for i in range(4)]
    for _ in range(draw(st.integers(1, 22))):
        a = made[draw(st.integers(max(len(made) - 6, 0), len(made) - 1))]
        b = made[draw(st.integers(0, len(made) - 1))]
        layers = draw(st.sampled_from([("one",), ("two",), ("two", "inner"), ("two", "other")]))
        with scope(layers[0]), scope(layers[-1]):
            made.append(draw(st.sampled_from([a + b, a * b, a @ b, np.tanh(a), a - b.sum(axis=0), a.mean() + b, a.T])))
    return sum((m.sum() for m in made[-3:]), start=Tensor(0.0))


@settings(max_examples=40, deadline=None)
@given(programs(), st.sampled_from(["auto", "LR", "TB"]), st.sampled_from(["op", "layer"]), st.booleans())
def test_nothing_is_cut_or_covered(loss: Tensor, rankdir: str, level: str, backward: bool) -> None:
    if backward and loss.requires_grad:
        loss.backward()
    picture = graph(loss, rankdir=rankdir, level=level, values="full" if backward else "stats")
    svg = picture.svg()
    assert list(faults(svg)) == []
    said = picture.text()
    missing = {number for text in texts(svg) for number in re.findall(r"\d[\d.,e-]*\d", text) if number not in said}
    assert missing == set()


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (1000, 1000)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_any_array_is_drawn(shape: tuple[int, ...], dtype: str) -> None:
    data = Tensor(np.ones(shape, dtype), name="data")
    w = Tensor(np.ones(shape), requires_grad=True, name="w")
    loss = (data * w).sum()
    loss.backward()
    svg = graph(loss).svg()
    assert not list(faults(svg))
    assert ("empty" in texts(svg)) == (0 in shape)
    assert (dtype in " ".join(texts(svg))) == (dtype != "float64")


def test_the_checker_of_pictures_finds_planted_faults() -> None:
    svg = graph(step()).svg()
    rect = next(nodes(svg)["t1"].iter(f"{SVG}rect"))
    narrower = svg.replace(f'width="{rect.attrib["width"]}"', 'width="20"')
    assert any("sticks out" in fault for fault in faults(narrower))
    moved = re.sub(
        r'(id="o0".*?<rect[^>]*?) x="[^"]*" y="[^"]*"', rf'\1 x="{rect.attrib["x"]}" y="{rect.attrib["y"]}"', svg
    )
    assert any("overlaps" in fault for fault in faults(moved))
    assert set(active(svg.replace("<title>", '<a href="x"/><title>', 1))) == {"href", f"{SVG}a"}
    assert list(active(svg.replace("<title>", '<g onclick="x"/><title>', 1))) == ["onclick"]


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear_parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear_parts))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(palette: Palette) -> None:
    grounds = [*(ground for ground, _ in palette.kinds.values()), palette.page, palette.panel]
    for ink, ground in itertools.product((palette.ink, palette.muted, palette.formula), grounds):
        assert contrast(ink, ground) >= 4.5
    assert all(contrast(palette.ink, ground) >= 4.5 for ground in palette.hatch)
    assert all(contrast(ink, ground) >= 4.5 for ground, ink in palette.ramp)
    assert contrast(palette.op_ink, palette.op) >= 4.5
    assert contrast(palette.op_formula, palette.op) >= 4.5
    assert contrast(palette.alarm_ink, palette.alarm) >= 4.5
    assert all(contrast(border, palette.page) >= 3 for _, border in palette.kinds.values())
    assert all(contrast(edge, ground) >= 3 for edge in (palette.line, palette.flow) for ground in grounds[-2:])


def test_the_ramp_is_read_in_grey() -> None:
    for palette, sign in ((LIGHT, 1), (DARK, -1)):
        steps = [sign * luminance(ground) for ground, _ in palette.ramp]
        assert len(steps) == STEPS
        assert steps == sorted(steps)
        assert all(math.log((abs(b) + 0.05) / (abs(a) + 0.05)) * sign > 0.09 for a, b in itertools.pairwise(steps))


def test_dark_surroundings_are_honoured() -> None:
    light, dark = css().split("@media(prefers-color-scheme:dark)")
    assert LIGHT.page in light
    assert DARK.page in dark
    assert light.count("fill:") <= dark.count("fill:") + 2
