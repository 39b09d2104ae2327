"""The backward pass as steps to be played: op by op, from the loss on."""

from __future__ import annotations

from dataclasses import dataclass, field

from autodiff.draw.markup import plain
from autodiff.draw.model import Edge, Model, OpNode, TensorNode
from autodiff.draw.picture.cards import backward
from autodiff.draw.snapshot import number


@dataclass(frozen=True, slots=True)
class Way:
    """What goes back from an op to one operand.

    Attributes
    ----------
    tensor : str
        The id of the operand's card; `shown` that of the copy beside the op, where it has copies.
    place : int
        Which operand it is.
    operand, formula : str
        What the op's rules call it, and its derivative.
    """

    tensor: str
    shown: str
    place: int
    operand: str
    formula: str


@dataclass(slots=True)
class Step:
    """One op of the backward pass: the gradient of its result `out` comes in, and goes on along `ways`."""

    op: str
    out: str
    ways: list[Way] = field(default_factory=list)


def steps(model: Model) -> list[Step]:
    """Return the backward pass of a picture, in the order in which it runs."""
    into: dict[str, list[Edge]] = {}
    out: dict[str, str] = {}
    for edge in model.edges:
        into.setdefault(edge.target, []).append(edge)
        if isinstance(model.nodes[edge.source], OpNode):
            out.setdefault(edge.source, edge.target)
    found = []
    for key, node in reversed(model.nodes.items()):
        if isinstance(node, OpNode) and key in out:
            ways = [_way(edge, node, model) for edge in into.get(key, ()) if edge.carries_gradient]
            found.append(Step(key, out[key], ways))
    return [step for step in found if step.ways]


def uses(steps: list[Step]) -> dict[str, int]:
    """Return how many gradients each tensor receives in the course of the steps."""
    found: dict[str, int] = {}
    for step in steps:
        for way in step.ways:
            found[way.tensor] = found.get(way.tensor, 0) + 1
    return found


def _way(edge: Edge, op: OpNode, model: Model) -> Way:
    card = model.nodes[edge.source]
    assert isinstance(card, TensorNode)
    place = -1 if edge.operand is None else edge.operand
    formula = op.formulas[place] if 0 <= place < len(op.formulas) else None
    operand = op.operands[place] if 0 <= place < len(op.operands) else ""
    if op.inside:
        gain = op.factors[0].gain if op.factors and op.factors[0] is not None else None
        said = f"through {len(op.inside)} kinds of op; size × {number(gain)}" if gain is not None else "through a layer"
    else:
        said = backward(operand, formula) if formula else "its own rule"
    return Way(card.original or edge.source, edge.source, place, plain(operand, 40), plain(said, 160))
