"""What changes from one picture of a computation to the next: numbers, texts on cards, colours, widths."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autodiff.draw.facts.samples import Sample
from autodiff.draw.markup import plain
from autodiff.draw.model import Edge, Model, OpNode
from autodiff.draw.page.backward import Step, steps
from autodiff.draw.page.packing import changes, floats, is_wide, whole
from autodiff.draw.picture.cards import Card
from autodiff.draw.picture.heading import heading
from autodiff.draw.picture.svg import edge_width

#: Looks of a gradient that are no step of the ramp. Steps begin at `_RAMP` and have `_PARTS` lengths of the bar each.
_STATES = {"zero": 0, "none": 1, "bad": 2}
_RAMP, _PARTS = 3, 600


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for the numbers of one array in every frame.

    Attributes
    ----------
    kind : str
        "value", "grad", "incoming", "factor" or "returned".
    key : str or (str, int)
        Whose they are.
    like : Sample
        The first frame's, for shape, rows and columns.
    still : bool
        Whether its numbers are the same in every frame.
    """

    kind: str
    key: Any
    like: Sample
    still: bool = False


@dataclass(slots=True)
class Film:
    """Pictures of one computation, in the form that the page reads.

    Attributes
    ----------
    slots : list of Slot
    steps : list of dict
        The backward pass; its arrays are numbers of slots.
    wide : bool
        Whether numbers are packed for a wide range.
    still : str
        The numbers that stay as they are.
    frames : list of dict
        ``n`` the numbers of the other slots; ``t``, ``c`` and ``d`` the texts of the cards, the caption and the
        findings, by what is new in them; ``m`` the looks of gradients; ``w`` the widths of edges.
    """

    slots: list[Slot]
    steps: list[dict[str, Any]]
    wide: bool
    still: str
    frames: list[dict[str, Any]]


def film(models: list[Model], pictures: list[dict[str, Card]], edges: list[Edge]) -> Film:
    """Write down pictures that have the same nodes, each with its `aligned` cards; `edges` are those of the first, in
    the order of their lines."""
    slots = _slots(models)
    index = {(slot.kind, slot.key): i for i, slot in enumerate(slots)}
    places = {id(edge): i for i, edge in enumerate(models[0].edges)}
    wide = any(is_wide(_numbers(model, slot) for slot in slots) for model in models)
    order = [places[id(edge)] for edge in edges]
    frames: list[dict[str, Any]] = []
    before: dict[str, list[str]] = {"t": [], "c": [], "d": []}
    for model, shown in zip(models, pictures, strict=True):
        said = {
            "t": ["\n".join(line.text for line in card.lines) for card in shown.values()],
            "c": [text for role, text in heading(model) if role != "finding"],
            "d": [text for role, text in heading(model) if role == "finding"],
        }
        frames.append(
            {
                "n": floats([_numbers(model, slot) for slot in slots if not slot.still], wide),
                "m": whole((mark for key in shown for mark in _marks(shown[key])), 2),
                "w": whole(_width(model.edges[i], model) for i in order),
                **{key: changes(texts, before[key]) for key, texts in said.items()},
            }
        )
        before = said
    still = floats([_numbers(models[0], slot) for slot in slots if slot.still], wide)
    return Film(slots, [_step(step, index) for step in steps(models[0])], wide, still, frames)


def _slots(models: list[Model]) -> list[Slot]:
    first = models[0].samples
    found = [Slot("value", key, held) for key, held in first.values.items()]
    found += [Slot("grad", key, held) for key, held in first.grads.items()]
    found += [Slot("incoming", key, held) for key, held in first.incoming.items()]
    found += [Slot("returned", key, held) for key, held in first.returned.items()]
    found += [Slot("factor", key, held) for key, held in first.factors.items()]
    step_of = {step.op: step for step in steps(models[0])}
    kept = [slot for slot in found if not _is_double(slot, models, step_of)]
    return [replace(slot, still=_is_still(slot, models)) for slot in kept]


def _is_still(slot: Slot, models: list[Model]) -> bool:
    first = _numbers(models[0], slot)
    return len(models) > 1 and all(np.array_equal(first, _numbers(model, slot), equal_nan=True) for model in models[1:])


def _is_double(slot: Slot, models: list[Model], step_of: dict[str, Step]) -> bool:
    """Whether a gradient on its way is, in every picture, that on a card."""
    card = _card_of(slot.kind, slot.key, step_of)
    if card is None:
        return False
    return all(
        card in model.samples.grads
        and np.array_equal(model.samples.grads[card].values, _numbers(model, slot), equal_nan=True)
        for model in models
    )


def _card_of(kind: str, key: Any, step_of: dict[str, Step]) -> str | None:
    """The card whose gradient something on the way should be: the op's result, or its operand."""
    if kind == "incoming":
        return step_of[key].out if key in step_of else None
    if kind == "returned" and key[0] in step_of:
        return next((way.tensor for way in step_of[key[0]].ways if way.place == key[1]), None)
    return None


def _numbers(model: Model, slot: Slot) -> Any:
    samples = model.samples
    held = {
        "value": samples.values,
        "grad": samples.grads,
        "incoming": samples.incoming,
        "returned": samples.returned,
        "factor": samples.factors,
    }[slot.kind]
    found = held.get(slot.key)  # type: ignore[attr-defined]
    if found is None or found.values.shape != slot.like.values.shape:
        return np.full(slot.like.values.shape, np.nan)
    return found.values


def _step(step: Step, index: dict[tuple[str, Any], int]) -> dict[str, Any]:
    def place(kind: str, key: Any, card: str) -> int:
        return index.get((kind, key), index.get(("grad", card), -1))

    ways = [
        {
            "t": way.tensor,
            "at": way.shown,
            "operand": way.operand,
            "formula": way.formula,
            "f": index.get(("factor", (step.op, way.place)), -1),
            "b": place("returned", (step.op, way.place), way.tensor),
        }
        for way in step.ways
    ]
    return {"op": step.op, "out": step.out, "g": place("incoming", step.op, step.out), "to": ways}


def _marks(card: Card) -> list[int]:
    """Return the look of each gradient on a card."""
    return [
        _STATES.get(line.state, 1)
        if line.state or line.step is None
        else _RAMP + line.step * _PARTS + round(line.part * (_PARTS - 1))
        for line in card.lines
        if line.role == "gradient"
    ]


def _width(edge: Edge, model: Model) -> int:
    """Return the width of an edge in eighths of a pixel; 1 for a gradient of zero, 0 for none or an unknown one."""
    if not edge.carries_gradient or edge.flow is None:
        return 0
    return 1 if edge.flow == 0 else min(round(8 * edge_width(edge.flow, model)), 63)


def names(model: Model) -> dict[str, str]:
    """Return what to call each node in a sentence: its name with its layer, or what made it."""
    maker = {edge.target: model.nodes[edge.source] for edge in model.edges}
    found = {}
    for key, node in model.nodes.items():
        layer = ".".join(plain(name, 30) for name in node.scope)
        made = maker.get(key)
        if isinstance(node, OpNode):
            found[key] = plain(node.name, 60) + (f" in {layer}" if layer else "")
        elif node.name:
            name = plain(node.name, 60)
            owned = node.kind == "parameter" and layer and not name.startswith(layer)
            found[key] = f"{layer}.{name}" if owned else name
        elif isinstance(made, OpNode):
            found[key] = f"output of {plain(made.name, 40)}" + (f" in {layer}" if layer else "")
        else:
            found[key] = node.kind
    return found
