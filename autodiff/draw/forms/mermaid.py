"""A model as a Mermaid flowchart, which GitHub and GitLab draw inside Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from autodiff.draw.markup import plain
from autodiff.draw.model import Model, OpNode
from autodiff.draw.picture.cards import Card, cards
from autodiff.draw.picture.geometry import edge_text
from autodiff.draw.picture.heading import title
from autodiff.draw.picture.look import LIGHT
from autodiff.draw.picture.scopes import Cluster, clusters
from autodiff.draw.picture.svg import edge_width

#: Written as they are: all others become the entity codes of Mermaid, so that no text ends its label or starts markup.
_SAFE = frozenset(" .,:/()")


def mermaid(model: Model) -> str:
    """Return the flowchart; the same model gives the same text."""
    shown = cards(model)
    found = ["---", f"title: {_front(title(model))}", "---", "flowchart LR"]
    found += _nodes(clusters(model), shown, model)
    styles = []
    for i, edge in enumerate(model.edges):
        label = edge_text(edge)
        arrow = "-->" if edge.carries_gradient else "-.->"
        found.append(f"  {edge.source} {arrow}{f'|{chr(34)}{_safe(label)}{chr(34)}|' if label else ''} {edge.target}")
        if edge.carries_gradient and edge.flow:
            styles.append(f"  linkStyle {i} stroke:{LIGHT.flow},stroke-width:{edge_width(edge.flow, model):g}px")
    for kind, (ground, border) in LIGHT.kinds.items():
        width = 1 if kind in ("input", "result") else 3
        found.append(f"  classDef {kind} fill:{ground},stroke:{border},color:{LIGHT.ink},stroke-width:{width}px")
    found.append(f"  classDef op fill:{LIGHT.op},stroke:{LIGHT.op},color:{LIGHT.op_ink}")
    return "\n".join([*found, *styles]) + "\n"


def _nodes(root: Cluster, shown: dict[str, Card], model: Model) -> Iterator[str]:
    """Yield the nodes in nested subgraphs, without recursion."""
    stack: list[tuple[Cluster, int] | str] = [(root, 1)]
    number = 0
    while stack:
        top = stack.pop()
        if isinstance(top, str):
            yield top
            continue
        cluster, depth = top
        space = "  " * depth
        for key in cluster.nodes:
            label = "<br/>".join(_safe(line.text) for line in shown[key].lines)
            op = isinstance(model.nodes[key], OpNode)
            yield f'{space}{key}{"(" if op else "["}"{label}"{")" if op else "]"}:::{shown[key].kind}'
        for name, child in reversed(cluster.children.items()):
            number += 1
            stack += [
                f"{space}end",
                (child, depth + 1),
                f'{space}subgraph s{number}["{_safe(plain(name or "layer", 60))}"]',
            ]


def _safe(text: str) -> str:
    return "".join(c if c.isalnum() or c in _SAFE else f"#{ord(c)};" for c in text)


def _front(text: str) -> str:
    """Quote a text for the front matter, which is YAML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
