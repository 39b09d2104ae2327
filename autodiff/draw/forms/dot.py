"""A model as DOT source, the language of Graphviz, for those who want to change the picture or need PNG or PDF."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from autodiff.draw.markup import plain
from autodiff.draw.model import Model
from autodiff.draw.picture.cards import Card, Line, cards, columns, wrapped
from autodiff.draw.picture.geometry import edge_text
from autodiff.draw.picture.heading import heading, legend_entries, notes, ramp_in_words
from autodiff.draw.picture.look import CHARACTER, FONT, FONT_SIZE, LIGHT
from autodiff.draw.picture.scopes import Cluster, clusters
from autodiff.draw.picture.svg import edge_width

if TYPE_CHECKING:
    from graphviz import Digraph

_COLOURS = {"muted": LIGHT.muted, "formula": LIGHT.formula, "finding": LIGHT.alarm_ink}


def digraph(model: Model, rankdir: str = "TB") -> Digraph:
    """Return the picture of a model as a `graphviz.Digraph`; the same model gives the same source, byte for byte."""
    from graphviz import Digraph

    shown = cards(model)
    above = [_shown(text, role) for role, whole in heading(model) for text in wrapped(whole, 110)]
    below = [f"{look}: {meaning}" for look, meaning in legend_entries(model)] + ramp_in_words(model) + notes(model)
    above += [_shown(text, "muted") for whole in below for text in wrapped(whole, 110)]
    size = str(FONT_SIZE)
    picture = Digraph(
        "nablagraph",
        graph_attr={
            "rankdir": rankdir,
            "bgcolor": LIGHT.page,
            "charset": "UTF-8",
            "fontname": FONT,
            "fontsize": size,
            "fontcolor": LIGHT.ink,
            "label": _label(above),
            "labelloc": "t",
            "labeljust": "l",
            "nodesep": "0.25",
            "ranksep": "0.3",
        },
        node_attr={"shape": "plain", "fontname": FONT, "fontsize": size, "fontcolor": LIGHT.ink},
        edge_attr={"color": LIGHT.line, "arrowsize": "0.6", "fontname": FONT, "fontsize": size},
    )
    _fill(picture, clusters(model), shown)
    for edge in model.edges:
        style = {} if edge.carries_gradient else {"style": "dotted"}
        if edge.carries_gradient and edge.flow:
            style = {"color": LIGHT.flow, "penwidth": f"{edge_width(edge.flow, model):g}"}
        elif edge.flow == 0:
            style = {"style": "dashed"}
        if edge_text(edge):
            style["label"] = f"<{_shown(edge_text(edge), 'muted')}>"
        picture.edge(edge.source, edge.target, **style)
    return picture


def _label(lines: list[str]) -> str:
    end = '<BR ALIGN="LEFT"/>'
    return f"<{end.join(lines)}{end}>"


def _fill(picture: Digraph, root: Cluster, shown: dict[str, Card]) -> None:
    """Write the nodes into nested clusters, without recursion: layers may nest as deep as they like."""
    from graphviz import Digraph

    number = 0
    # A cluster is entered once to be opened and once, with its subgraph, to be put into the one around it.
    stack: list[tuple[Cluster, Digraph, Digraph | None]] = [(root, picture, None)]
    while stack:
        cluster, graph, around = stack.pop()
        if around is not None:
            around.subgraph(graph)
            continue
        for key in cluster.nodes:
            graph.node(key, f"<{_table(shown[key])}>")
        for name, child in reversed(cluster.children.items()):
            number += 1
            look = {"style": "rounded,filled", "color": LIGHT.line, "fillcolor": LIGHT.panel, "labeljust": "l"}
            title = _shown(plain(name or "layer", 60), "title")
            inner = Digraph(f"cluster{number}", graph_attr={"label": f"<{title}>", **look})
            stack.append((child, inner, graph))
            stack.append((child, inner, None))


def _table(card: Card) -> str:
    """Return the card of a node as one of Graphviz's HTML-like tables."""
    ground, border = (LIGHT.op, LIGHT.op) if card.kind == "op" else LIGHT.kinds[card.kind]
    width = 2 if card.kind in ("parameter", "loss", "output") else 1
    rows = "".join(_row(line, card.kind) for line in card.lines)
    look = f'BORDER="{width}" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2" COLOR="{border}" BGCOLOR="{ground}"'
    return f"<TABLE {look}>{rows}</TABLE>"


def _row(line: Line, kind: str) -> str:
    # As wide as its text by our own measure: a machine that draws may have another font, or none.
    width = round(columns(line.text) * CHARACTER + 10)
    colour, ground = "", ""
    if line.role == "gradient":
        step = line.step
        ground, colour = LIGHT.ramp[step] if step is not None else (LIGHT.hatch[0], LIGHT.ink)
    elif kind == "op":
        colour = LIGHT.op_formula if line.role == "formula" else LIGHT.op_ink
    look = f' BGCOLOR="{ground}"' if ground else ""
    return f'<TR><TD ALIGN="LEFT" WIDTH="{width}"{look}>{_shown(line.text, line.role, colour)}</TD></TR>'


def _shown(text: str, role: str, colour: str = "") -> str:
    # Graphviz expands \N, \G and the like inside HTML-like labels too: a backslash has to be doubled.
    markup = escape(text).replace("\\", "\\\\").replace("  ", "&#160;&#160;") or "&#160;"
    markup = f"<B>{markup}</B>" if role == "title" else markup
    colour = colour or _COLOURS.get(role, "")
    return f'<FONT COLOR="{colour}">{markup}</FONT>' if colour else markup
