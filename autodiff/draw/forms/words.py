"""A picture in words: every number that it shows, in reading order."""

from __future__ import annotations

from autodiff.draw.markup import plain
from autodiff.draw.model import Edge, Model, OpNode, TensorNode
from autodiff.draw.picture.cards import cards, spoken
from autodiff.draw.picture.geometry import edge_text
from autodiff.draw.picture.heading import heading, legend_entries, notes, ramp_in_words
from autodiff.draw.snapshot import number


def words(model: Model) -> str:
    """Return a picture as text: what stands above it, then line by line each op with what it takes and gives."""
    shown = cards(model)
    found = [text for _, text in heading(model)]
    findings: dict[str, list[str]] = {}
    for i, finding in enumerate(model.findings, 1):
        for key in finding.nodes:
            findings.setdefault(key, []).append(f"[{i}]")
    arriving: dict[str, list[Edge]] = {}
    for edge in model.edges:
        arriving.setdefault(edge.target, []).append(edge)
    repeats = {repeat.nodes[0]: repeat for repeat in model.repeats if repeat.nodes}
    scope: tuple[str, ...] = ()
    for key, node in model.nodes.items():
        if key in repeats:
            repeat = repeats[key]
            also = ", each feeds the next" if repeat.feeds_itself else ""
            listed = ", ".join(repeat.nodes)
            found += ["", f"× {repeat.times:,}{also}: {listed}"]
        if node.scope != scope and (node.scope or scope):
            scope = node.scope
            found += ["", " / ".join(plain(name or "layer", 60) for name in scope) if scope else "outside the layers"]
        kind = "op" if isinstance(node, OpNode) else node.kind
        if isinstance(node, TensorNode) and node.original is not None:
            kind = f"{node.original} again"
        mark = " ".join(["", *findings.get(key, [])])
        found.append(f"  {key}  {kind}: {spoken(shown[key])}{mark}")
        name = plain(node.name or "", 80)
        if len(name) > 26:
            found.append(f"      in full: {name}")
        found += [f"      {_edge(edge)}" for edge in arriving.get(key, [])]
    found += [
        "",
        *(f"{look}: {meaning}" for look, meaning in legend_entries(model)),
        *ramp_in_words(model),
        *notes(model),
    ]
    return "\n".join(found) + "\n"


def _edge(edge: Edge) -> str:
    text = f"from {edge.source}"
    if edge_text(edge):
        text += f" ({edge_text(edge)})"
    if not edge.carries_gradient:
        return f"{text}, no gradient flows back"
    return f"{text}, gradient back: rms {number(edge.flow)}" if edge.flow is not None else text
