"""A model of the graph as DOT source, the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from autodiff.draw.card import INK, MORE, MUTED, OP, op_box, port, tensor_card
from autodiff.draw.legend import heading
from autodiff.draw.markup import FONT, FONT_SIZE, Text, cell, row, table, text
from autodiff.draw.model import Cluster, Edge, Model, OpNode, TensorNode

if TYPE_CHECKING:
    from graphviz import Digraph


def digraph(model: Model) -> Digraph:
    """Return the picture of a model as a `graphviz.Digraph`.

    It runs from top to bottom: a training step is a long chain of wide cards, which would not fit across a screen.
    The same model gives the same source, byte for byte.
    """
    from graphviz import Digraph

    size = str(FONT_SIZE)
    picture = Digraph(
        "nablagraph",
        graph_attr={
            "rankdir": "TB",
            "bgcolor": "white",
            "charset": "UTF-8",
            "fontname": FONT,
            "fontsize": size,
            "fontcolor": INK,
            "label": f"<{heading(model)}>",
            "labelloc": "t",
            "nodesep": "0.25",
            "ranksep": "0.35",
        },
        node_attr={"shape": "plain", "fontname": FONT, "fontsize": size, "fontcolor": INK},
        edge_attr={"color": OP, "arrowsize": "0.7", "penwidth": "1.2"},
    )
    _fill(picture, model)
    layered = _with_own_parameters(model)
    for edge, head in _arrows(model):
        style = {} if edge.carries_gradient else {"style": "dashed", "color": MUTED}
        if edge.operand is None:
            picture.edge(f"{edge.source}:out:s", head, **style)
        else:
            if edge.target in layered and _goes_between_layers(edge, model):
                # On the height of the layer's parameters it would push the layers into a staircase, and so would
                # an arrow that asks to be straight: it has to go round these parameters.
                style.update(minlen="2", weight="0")
            picture.edge(edge.source, head, **style)
    return picture


def layout_effort(model: Model) -> int:
    """Return over how many ranks the edges of a model run in all, which is what Graphviz's time grows with.

    Measured: 0.2 s at 1,200, 0.9 s at 3,700, 4 s at 5,000 and over 10 s at 20,000, where a parameter shared by 130
    steps of a loop got there with 400 nodes; a chain of as many nodes has 400 and takes 0.1 s.
    """
    rank: dict[str, int] = {}
    edges = [edge for edge, _ in _arrows(model)]
    for edge in edges:
        rank[edge.target] = max(rank.get(edge.target, 0), rank.get(edge.source, 0) + 1)
    # A leaf stands just above the first op that uses it.
    top: dict[str, int] = {}
    for edge in edges:
        top[edge.source] = min(top.get(edge.source, rank[edge.target]), rank[edge.target])
    return sum(rank[edge.target] - top[edge.source] + 1 for edge in edges)


def _arrows(model: Model) -> Iterator[tuple[Edge, str]]:
    """Yield the edges that are drawn, and where each arrives; a tensor among many operands arrives once."""
    crowd = set()
    for edge in model.edges:
        target = model.nodes[edge.target]
        if edge.operand is None or not isinstance(target, OpNode):
            yield edge, edge.target
            continue
        place = port(target, edge.operand)
        if place != MORE or (edge.source, edge.target) not in crowd:
            yield edge, f"{edge.target}:{place}:n"
        if place == MORE:
            crowd.add((edge.source, edge.target))


def _with_own_parameters(model: Model) -> set[str]:
    """Return the ops that stand in one layer with parameters of theirs."""
    edges = [edge for edge in model.edges if edge.operand is not None]
    sources = [(model.nodes[edge.source], edge.target) for edge in edges]
    return {
        target
        for source, target in sources
        if isinstance(source, TensorNode) and source.kind == "parameter" and source.scope
    }


def _goes_between_layers(edge: Edge, model: Model) -> bool:
    """Say whether an edge takes a result from one layer into another."""
    source = model.nodes[edge.source]
    return isinstance(source, TensorNode) and source.kind == "result" and source.scope != model.nodes[edge.target].scope


def _fill(picture: Digraph, model: Model) -> None:
    """Write the nodes into nested clusters, without recursion: layers may nest as deep as they like."""
    numbers = iter(range(len(model.nodes)))
    # A cluster is entered once to be opened and once, with its subgraph, to be put into the one around it.
    stack: list[tuple[Cluster, Digraph, Digraph | None]] = [(model.clusters(), picture, None)]
    while stack:
        cluster, graph, around = stack.pop()
        if around is not None:
            around.subgraph(graph)
            continue
        for node in cluster.nodes:
            graph.node(node.id, f"<{op_box(node) if isinstance(node, OpNode) else tensor_card(node, model)}>")
        for name, child in reversed(cluster.children.items()):
            inner = _layer(f"cluster{next(numbers)}", name)
            stack.append((child, inner, graph))
            stack.append((child, inner, None))


def _layer(key: str, name: str) -> Digraph:
    """Return the empty frame of a layer."""
    from graphviz import Digraph

    title = text(name or "layer", bold=True, longest=40)
    # Four times as wide as its text, so that arrows, which come in about the middle, pass beside the text.
    label = table([row(cell([title], align="LEFT"), cell([Text(" ", 3 * title.columns)]))])
    return Digraph(
        key,
        graph_attr={"label": f"<{label}>", "labeljust": "l", "style": "rounded", "color": MUTED, "bgcolor": "#F6F7F9"},
    )
