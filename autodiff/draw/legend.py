"""The title and the legend above the picture."""

from __future__ import annotations

from autodiff.draw.card import LOOKS, MUTED, only, op_box
from autodiff.draw.markup import cell, nested, row, table, text
from autodiff.draw.model import Model, OpNode, TensorNode

_MEANINGS = {
    "parameter": "learned: backward() gives it a gradient",
    "input": "data: needs no gradient",
    "constant": "a plain number",
    "result": "computed by an op",
    "loss": "where backward() starts",
    "output": "where backward() starts",
}
_ABREAST = 3


def heading(model: Model) -> str:
    """Return the title, what was left out, and the legend of what is in the picture."""
    root = model.root
    what = f"loss {only(root.value)}" if root.kind == "loss" else f"output {root.value.shape}"
    counts = f"{_count(model.tensor_count, 'tensor')}, {_count(model.op_count, 'op')}"
    rows = [row(cell([text(what, bold=True), text(counts, colour=MUTED)]))]
    if model.omitted:
        rows.append(
            row(
                cell(
                    [
                        text("Too large to draw whole.", bold=True),
                        text(f"Shown are the {len(model.nodes)} tensors and ops nearest to the end.", longest=99),
                        text(f"Left out are the {model.omitted:,} before them.", longest=99),
                    ]
                )
            )
        )
    keys = _keys(model)
    lines = [row(*(part for key in keys[i : i + _ABREAST] for part in key)) for i in range(0, len(keys), _ABREAST)]
    rows.append(row(nested(table(lines, spacing=4))))
    notes = ["Arrows run forward, gradients back along them; along a dashed arrow no gradient flows."]
    if model.has_gradients and any(_dropped(node) for node in model.nodes.values()):
        notes.append("Gradients of results were not kept: backward(retain_grads=True) keeps them.")
    rows.append(row(cell([text(note, colour=MUTED, longest=120) for note in notes])))
    return table(rows)


def _keys(model: Model) -> list[tuple[str, str]]:
    """Return two cells for each look that the picture has: a sample and what it means."""
    kinds = {node.kind for node in model.nodes.values() if isinstance(node, TensorNode)}
    keys = []
    for kind, (ground, border, width) in LOOKS.items():
        if kind in kinds:
            sample = table([row(cell([text(kind, bold=True)], ground))], border=width, colour=border)
            keys.append((nested(sample), _meaning(_MEANINGS[kind])))
    if any(isinstance(node, OpNode) for node in model.nodes.values()):
        sample = op_box(OpNode("", "op", "op", ("x",), ("derivative",), {}, ()))
        keys.append((nested(sample), _meaning("∂x goes back to operand x;", "g is the gradient of the result")))
    return keys


def _meaning(*lines: str) -> str:
    return cell([text(line, colour=MUTED) for line in lines], align="LEFT")


def _dropped(node: TensorNode | OpNode) -> bool:
    return isinstance(node, TensorNode) and node.kind == "result" and node.grad is None


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
