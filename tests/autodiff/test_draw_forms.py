"""Text, Mermaid and DOT say what the picture says, and no name ends its label in any of them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autodiff.draw import draw, graph
from autodiff.draw.graph import Graph
from autodiff.draw.markup import plain
from autodiff.ops.activations import sigmoid
from autodiff.state import scope
from autodiff.tensor import Tensor
from tests.autodiff.drawn import texts

HOSTILE = '<b>"{|}\\N]]></script>\n\u202e`#;%%{init}%% click x href'


def picture(name: str = "w", layer: str = "net") -> Graph:
    w = Tensor([[1.0, -2.0]], requires_grad=True, name=name)
    with scope(layer), scope("inner"):
        h = sigmoid(w @ np.array([[3.0], [0.5]]))
    loss = (h + h).sum()
    loss.backward()
    return graph(loss, level="op")


def test_text_carries_every_number_that_the_picture_shows() -> None:
    shown = picture()
    said = shown.text()
    numbers = {number for text in texts(shown.svg()) for number in re.findall(r"[\d.,e-]*\d", text)}
    assert len(numbers) > 15
    assert {number for number in numbers if number not in said} == set()


def test_text_is_in_reading_order_and_names_layers_operands_and_gradients() -> None:
    lines = picture().text().splitlines()
    at = {
        word: next(i for i, line in enumerate(lines) if word in line) for word in ("parameter: w", "matmul", "sigmoid")
    }
    assert at["parameter: w"] < at["matmul"] < at["sigmoid"]
    assert "net / inner" in lines
    assert lines.count("      from t3, gradient back: rms 1") == 2
    assert any("no gradient flows back" in line for line in lines)
    assert any("mean 0.105 of at most 0.25" in line for line in lines)


def test_mermaid_has_every_node_every_edge_and_nested_layers() -> None:
    shown = picture()
    source = shown.mermaid
    assert source.startswith('---\ntitle: "loss 1.76: ')
    assert source.splitlines()[3] == "flowchart LR"
    assert all(re.search(rf"^ +{key}[\[(]", source, re.MULTILINE) for key in shown.model.nodes)
    assert len(re.findall(r"^ +\w+ -\.?->", source, re.MULTILINE)) == len(shown.model.edges)
    assert [line.strip() for line in source.splitlines() if "subgraph" in line] == [
        'subgraph s1["net"]',
        'subgraph s2["inner"]',
    ]
    assert source.count("\n  end\n") == 1
    assert source.count("\n    end\n") == 1
    widths = dict(re.findall(r"linkStyle (\d+) .*stroke-width:([\d.]+)px", source))
    assert max(map(float, widths.values())) == 7


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
@example(HOSTILE, HOSTILE)
def test_no_name_ends_its_label(name: str, layer: str) -> None:
    shown, harmless = picture(name, layer), picture("w", "net")
    label = re.compile(r'"[^"]*"')
    structure = label.sub('""', shown.mermaid)
    assert structure == label.sub('""', harmless.mermaid)
    inside = "".join(label.findall(shown.mermaid.split("---", 2)[2]))
    assert not re.search(r"[<>`{}\[\]|\\](?!br/>)", inside.replace("<br/>", ""))
    source = re.sub(r"<(?:[^<>]|<[^<>]*>)*>", "", shown.dot)
    assert not re.search(r"URL|href", source, re.IGNORECASE)
    assert plain(name, 80) in shown.text()


def test_dot_shows_the_same_and_runs_as_asked() -> None:
    shown = picture()
    for line in texts(shown.svg()):
        if "rms" in line and len(line) < 30 and not line.startswith(("≥", "∂ rms ≥")) and line != "∂ rms":
            assert line in shown.dot
    assert "rankdir=TB" in shown.dot
    assert "rankdir=LR" in graph(Tensor(1.0, requires_grad=True) * 2, rankdir="LR").dot
    assert shown.dot.count("->") == len(shown.model.edges)
    assert "subgraph cluster" in shown.dot


def test_dot_source_is_what_graphviz_accepts() -> None:
    pytest.importorskip("pygraphviz", reason="comes with the `draw` extra")
    from autodiff.draw.render import render

    assert render(picture(HOSTILE, HOSTILE).dot, "png").startswith(b"\x89PNG")


def test_draw_gives_a_digraph_to_build_on() -> None:
    loss = Tensor(2.0, requires_grad=True) * 3
    digraph = draw(loss)
    digraph.node("mine")
    assert "mine" in digraph.source
    assert "mine" not in graph(loss).dot
