"""What stands in the picture: the card of a tensor and the box of an op."""

from __future__ import annotations

import re

from autodiff.draw.markup import Text, cell, row, table, text
from autodiff.draw.model import Model, OpNode, TensorNode
from autodiff.draw.snapshot import Snapshot, lines, number

# Dark on light, each pair of text and ground at 7:1 or more. Kinds differ in hue, in border and in the word on the
# card, so that the picture is read in grey too. Hues after Okabe and Ito, who chose them for colour-blind eyes.
INK = "#1B1F24"
MUTED = "#414A55"
GRADIENT = "#7F2704"
PAPER = "#FFFFFF"
OP = "#24324A"
OP_TINT = "#E8ECF4"
#: Ground, border and width of the border, by kind of tensor.
LOOKS = {
    "parameter": ("#FFE9C2", "#8F5300", 2),
    "input": ("#D5EBFA", "#00578A", 1),
    "constant": ("#ECEEF0", "#5A6570", 1),
    "result": (PAPER, "#5A6570", 1),
    "loss": ("#F8DCEB", "#8E2565", 3),
    "output": ("#F8DCEB", "#8E2565", 3),
}

#: The port of the operands that have no cell of their own.
MORE = "more"
# Matrix products cannot be written as a factor after g: their formulas hold the g themselves.
_HAS_G = re.compile(r"(?<!\w)g(?![a-z])")
_ONE_FACTOR = re.compile(r"\w+|\[[^\[\]]*\]|\w+\([^()]*\)")
_LONGEST_NAME = 40
_MOST_OPERANDS = 8


def tensor_card(node: TensorNode, model: Model) -> str:
    """Return the card of a tensor: what it is, its values, and its gradient where it has one."""
    ground, border, width = LOOKS[node.kind]
    if node.kind == "constant":
        return table([row(cell([text(only(node.value), bold=True)], ground))], border=width, colour=border)
    title = node.name or node.kind
    facts = [str(node.value.shape)] if node.value.shape else []
    facts += [node.kind] if node.name else []
    facts += [node.value.dtype] if node.value.dtype != "float64" else []
    head = [text(title, bold=True, longest=_LONGEST_NAME)]
    if facts:
        head.append(text(" · ".join(facts), colour=MUTED))
    if node.made_by is not None:
        head.append(text(f"made by {node.made_by}, which is not drawn", colour=MUTED))
    blocks = [_block("value", node.value, INK)]
    if node.grad is not None:
        blocks.append(_block("gradient", node.grad, GRADIENT))
    elif node.kind == "parameter" or (node.requires_grad and not model.has_gradients):
        blocks.append((["gradient"], [text("none" if model.has_gradients else "none yet", colour=MUTED)], MUTED))
    return table([row(cell(head, ground, columns=2)), *_arranged(blocks)], border=width, colour=border, ground=PAPER)


def op_box(node: OpNode) -> str:
    """Return the box of an op: a cell for each operand with the derivative by it, and below them the op."""
    operands = list(zip(node.operands, node.formulas, strict=True))
    shown = operands if len(operands) <= _MOST_OPERANDS else operands[: _MOST_OPERANDS - 1]
    cells = []
    for i, (name, formula) in enumerate(shown):
        content = [text(f"{name}: no derivative", colour=MUTED)]
        if formula is not None:
            content = [text(backward(name, formula), colour=GRADIENT, bold=True, longest=80)]
        cells.append(cell(content, OP_TINT, sides="R" if i + 1 < len(shown) else "", port=f"i{i}"))
    beyond = len(operands) - len(shown) + node.hidden
    if beyond:
        cells.append(cell([text(f"… {beyond:,} more")], OP_TINT, port=MORE))
    title = node.name if node.symbol == node.name else f"{node.symbol}  {node.name}"
    lower = [text(title, colour=PAPER, bold=True, longest=_LONGEST_NAME)]
    if node.params:
        lower.append(text(", ".join(f"{key}={value}" for key, value in node.params.items()), colour=PAPER))
    body = row(cell(lower, OP, columns=len(cells), port="out"))
    return table([row(*cells), body] if cells else [body], border=2, colour=OP)


def backward(operand: str, formula: str) -> str:
    """Write what an op gives back to an operand: the gradient g of its result times the derivative.

    Examples
    --------
    >>> backward("b", "−a/b²"), backward("x", "cos x"), backward("weight", "gᵀ·x")
    ('∂b = g × (−a/b²)', '∂x = g × (cos x)', '∂weight = gᵀ·x')
    """
    if not formula:
        return f"∂{operand}"
    if _HAS_G.search(formula):
        return f"∂{operand} = {formula}"
    return f"∂{operand} = g × {formula if _ONE_FACTOR.fullmatch(formula) else f'({formula})'}"


def port(node: OpNode, operand: int) -> str:
    """Return the port of an op's box at which the edge of an operand arrives."""
    crowded = len(node.operands) > _MOST_OPERANDS and operand >= _MOST_OPERANDS - 1
    return MORE if crowded else f"i{operand}"


def only(value: Snapshot) -> str:
    """Return the text of an array of one value."""
    return lines(value)[0].strip()


#: What the lines are, the lines, and the colour of both.
_Block = tuple[list[str], list[Text], str]


def _block(word: str, snapshot: Snapshot, colour: str) -> _Block:
    """Return an array as it stands on a card; a gradient with its size, for comparison across layers."""
    words = [word]
    if word == "gradient" and snapshot.rms is not None and snapshot.size > 1:
        words.append(f"rms {number(snapshot.rms)}")
    return words, [text(line, colour=colour, longest=120) for line in lines(snapshot)], colour


def _arranged(blocks: list[_Block]) -> list[str]:
    """Set matrices side by side, so that their rows face each other, and single lines one above the other."""
    if all(len(shown) == 1 for _, shown, _ in blocks):
        return [
            row(
                cell([text(word, colour=colour) for word in words], sides="T", align="LEFT"),
                cell(shown, sides="T", align="RIGHT"),
            )
            for words, shown, colour in blocks
        ]
    span = 3 - len(blocks)
    inner = ["", "L"]
    heads = [
        cell([text(", ".join(words), colour=colour)], sides="T" + side, columns=span)
        for (words, _, colour), side in zip(blocks, inner, strict=False)
    ]
    bodies = [cell(shown, sides=side, columns=span) for (_, shown, _), side in zip(blocks, inner, strict=False)]
    return [row(*heads), row(*bodies)]
