"""What stands on the card of a tensor and in the box of an op, line by line; every form of the picture shows these."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from unicodedata import east_asian_width

from autodiff.draw.facts.flow import HAS_G
from autodiff.draw.markup import plain
from autodiff.draw.model import Model, OpNode, TensorNode
from autodiff.draw.picture.look import CHARACTER, LINE, STEPS
from autodiff.draw.snapshot import Snapshot, lines, number

PADDING = 8
_LONGEST_NAME = 26
_WIDEST = 34
_ONE_FACTOR = re.compile(r"\w+|\[[^\[\]]*\]|\w+\([^()]*\)")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text.

    Attributes
    ----------
    text : str
        Safe to look at, not yet escaped.
    role : str
        "title", "plain", "muted", "formula" or "gradient".
    step : int or None
        Of a gradient: 0 for the largest in the picture, one more for each power of ten less.
    state : str
        Of a gradient: "", "zero", "none" (not yet computed) or "bad" (NaN or infinite).
    part : float
        Of a gradient: its size on a logarithmic scale from 0 to 1.
    """

    text: str
    role: str = "plain"
    step: int | None = None
    state: str = ""
    part: float = 0.0


@dataclass(frozen=True, slots=True)
class Card:
    """A card or box: its lines, and how large they make it, in pixels."""

    kind: str
    lines: tuple[Line, ...]
    width: int
    height: int


def cards(model: Model) -> dict[str, Card]:
    """Return the card or box of every node."""
    marks = Counter(key for finding in model.findings for key in finding.nodes)
    found = {}
    for key, node in model.nodes.items():
        content = op_lines(node) if isinstance(node, OpNode) else tensor_lines(node, model)
        found[key] = _card("op" if isinstance(node, OpNode) else node.kind, content, marks[key])
    return found


def columns(text: str) -> int:
    """Return how many characters wide a text is shown."""
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    """Break a text into lines of at most so many characters, at spaces where there are any."""
    found = []
    while columns(text) > width:
        fits = width
        while columns(text[:fits]) > width:
            fits -= 1
        at = text.rfind(" ", len(indent) + 1, fits + 1)
        if text[:at].endswith("×"):  # a number stays with its sign
            at = text.rfind(" ", len(indent) + 1, at - 1)
        at = fits if at <= len(indent) else at
        found.append(text[:at].rstrip())
        text = indent + text[at:].lstrip()
    return [*found, text]


def tensor_lines(node: TensorNode, model: Model) -> list[Line]:
    """Return the lines of a card: what it is, its values, its gradient."""
    value = node.value
    title = plain(_title(node, model), _LONGEST_NAME)
    shape = f" {value.shape}".replace(",)", ",)") if value is not None and value.shape else ""
    facts = [value.dtype] if value is not None and value.dtype != "float64" else []
    if node.members > 1:
        facts.append(f"× {node.members:,}")
    found = [Line(title + (shape if columns(title + shape) <= _WIDEST else ""), "title")]
    if shape and found[0].text == title:
        facts.insert(0, shape.strip())
    if node.original is not None:
        return [*found, Line(f"shared, used {node.uses:,} times", "muted")]
    if facts:
        found.append(Line(plain(" · ".join(facts), _WIDEST), "muted"))
    if node.made_by is not None:
        found += [Line(text, "muted") for text in wrapped(f"made by {plain(node.made_by, 40)}, freed", _WIDEST)]
    if value is not None and _has_numbers(value):
        found += [Line(text) for text in _values(value, node.last_value if node.members > 1 else None)]
    found += _gradient(node, model)
    return found + [Line(text, "muted") for note in node.notes for text in wrapped(note, _WIDEST)]


def op_lines(node: OpNode) -> list[Line]:
    """Return the lines of an op's box: what it is, and for each operand what goes back to it and how much that is."""
    name, symbol = plain(node.name, 40), plain(node.symbol, _LONGEST_NAME)
    title = name if symbol == name else f"{symbol}  {name}"
    found = [Line(text, "title") for text in wrapped(title, _WIDEST)]
    details = [f"{key} = {value}" for key, value in {**node.constants, **node.params}.items() if value != "None"]
    if node.inside:
        details = [", ".join(op if count == 1 else f"{op} × {count:,}" for op, count in node.inside[:12])]
        details += ["…"] if len(node.inside) > 12 else []
        if node.factors and node.factors[0] and node.factors[0].gain is not None:
            details.append(f"gradient: size × {number(node.factors[0].gain)}")
    if node.members > 1:
        details.append(f"× {node.members:,}")
    if node.hidden:
        details.append(f"{node.hidden:,} {'operand' if node.hidden == 1 else 'operands'} more")
    found += [Line(text, "muted") for detail in details for text in wrapped(plain(detail, 90), _WIDEST)]
    learnt = [i for i, formula in enumerate(node.formulas) if formula]
    if len(learnt) > 3 and len({node.formulas[i] for i in learnt}) == 1:
        formula = plain(node.formulas[learnt[0]], 120)
        found += [Line(text, "formula") for text in wrapped(backward(" of each", formula), _WIDEST)]
        return found
    for i in learnt:
        formula = plain(node.formulas[i], 120)
        alone = len(node.operands) == 1 or (len(learnt) == 1 and not HAS_G.search(formula))
        text = f"·{_factor(formula)}" if alone and not HAS_G.search(formula) else backward(node.operands[i], formula)
        measured = node.factors[i] if i < len(node.factors) else None
        after = ""
        if measured is not None and measured.mean is not None and formula not in ("1", "−1"):
            limit = f" of at most {number(measured.most)}" if measured.most is not None else ""
            after = f"mean {number(measured.mean)}{limit}"
        elif (
            measured is not None
            and measured.gain is not None
            and not (formula in ("1", "−1") and abs(measured.gain - 1) < 0.005)
        ):
            after = f"size × {number(measured.gain)}"
        both = f"{text}, {after}" if after else text
        texts = [both] if columns(both) <= _WIDEST - 6 else [text, *([f"  {after}"] if after else [])]
        found += [Line(part, "formula") for line in texts for part in wrapped(line, _WIDEST)]
    return found


def backward(operand: str, formula: str) -> str:
    """Write what an op gives back to an operand: the gradient g of its result times the derivative.

    Examples
    --------
    >>> backward("b", "−a/b²"), backward("x", "cos x"), backward("weight", "gᵀ·x")
    ('∂b = g·(−a/b²)', '∂x = g·(cos x)', '∂weight = gᵀ·x')
    """
    if HAS_G.search(formula):
        return f"∂{operand} = {formula}"
    return f"∂{operand} = g" if formula == "1" else f"∂{operand} = g·{_factor(formula)}"


def spoken(card: Card) -> str:
    """Return a card as one line of text, for screen readers and the text form."""
    return ", ".join(line.text if line.role == "title" else line.text.strip() for line in card.lines)


def step_of(rms: float, model: Model) -> int | None:
    """Return the step on the ramp of colours: 0 for the largest gradients, at most ``STEPS - 1``."""
    if not model.reference or not rms > 0 or not math.isfinite(rms):
        return None
    below = math.log10(model.reference) - math.log10(rms)
    return min(max(int(below / model.decades + 1e-9), 0), STEPS - 1)


def part_of(rms: float, model: Model) -> float:
    """Return the size of a gradient between 0 and 1, on the logarithmic scale of the colours."""
    if not model.reference or not rms > 0 or not math.isfinite(rms):
        return 0.0
    below = math.log10(model.reference) - math.log10(rms)
    return min(max(1 - below / (model.decades * STEPS), 0.03), 1.0)


def _card(kind: str, content: list[Line], marks: int) -> Card:
    # The numbers of findings stand at the upper right corner, beside the title.
    widest = max(columns(content[0].text) + 3 * marks, *(columns(line.text) for line in content))
    width = math.ceil(widest * CHARACTER) + 2 * PADDING + (2 if kind == "parameter" else 0)
    return Card(kind, tuple(content), max(width, 84), len(content) * LINE + 10)


def _factor(formula: str) -> str:
    plain_product = _ONE_FACTOR.fullmatch(formula) or re.fullmatch(r"\S+\(.*\)|\(.*\)/\(.*\)|\(.*\)/\w+", formula)
    return formula if plain_product else f"({formula})"


def _title(node: TensorNode, model: Model) -> str:
    if node.kind == "loss":
        return node.name or "loss"
    if node.name is None:
        return {"result": "output"}.get(node.kind, node.kind)
    for layer in (".".join(node.scope), *node.scope[-1:]):
        if layer and node.name.startswith(f"{layer}."):
            return node.name[len(layer) + 1 :]
    return node.name


def _has_numbers(value: Snapshot) -> bool:
    return (
        value.values is not None
        or value.low is not None
        or value.rms is not None
        or value.nans + value.infs > 0
        or (value.size == 0)
    )


def _values(value: Snapshot, last: Snapshot | None) -> list[str]:
    # The shape stands in the title: a few numbers need no lines of their own.
    few = value.values is not None and value.size <= 4
    first = ["  ".join(text.strip() for text in lines(value))] if few else lines(value)
    if few and value.size > 1 and value.low is not None and value.low == value.high and not value.nans + value.infs:
        first = [f"all {number(value.low)}"]
    if last is None:
        return [text for line in first for text in wrapped(line, _WIDEST)]
    return [f"first {text}" for text in first[:1]] + [f"last  {text}" for text in lines(last)[:1]]


def _gradient(node: TensorNode, model: Model) -> list[Line]:
    """Return the lines that tell of the gradient."""
    if node.awaits:
        return [
            Line(
                "∂ not kept" if model.has_gradients and node.kind != "parameter" else "no gradient yet",
                "gradient",
                state="none",
            )
        ]
    if node.grad is None:
        return []
    if node.members > 1 and node.last_grad is not None:
        return [_strip("first ∂", node.grad, model), _strip("last  ∂", node.last_grad, model)]
    found = [_strip("∂", node.grad, model)]
    full = node.grad.values is not None and node.grad.size > 4
    return found + ([Line(text, "formula") for text in lines(node.grad)] if full else [])


def _strip(word: str, grad: Snapshot, model: Model) -> Line:
    """Return the coloured line of a gradient."""
    if grad.nans or grad.infs:
        counts = [f"{n} {what}" for n, what in ((grad.nans, "NaN"), (grad.infs, "Inf")) if n]
        return Line(f"{word} {', '.join(counts)} of {grad.size:,}", "gradient", state="bad")
    if grad.size == 0:
        return Line(f"{word} empty", "gradient", state="zero")
    if grad.rms is None:
        return Line(f"{word} not shown", "gradient", state="none")
    if grad.rms == 0:
        return Line(f"{word} exactly 0", "gradient", state="zero")
    text = f"{word} {number(grad.low)}" if grad.size == 1 and grad.low is not None else f"{word} rms {number(grad.rms)}"
    if not model.reference:  # of a loss alone
        return Line(text, "gradient", 0, "", 1.0)
    return Line(text, "gradient", step_of(grad.rms, model), "", part_of(grad.rms, model))
