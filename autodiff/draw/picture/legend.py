"""The legend below a picture."""

from __future__ import annotations

from autodiff.draw.model import Model, TensorNode
from autodiff.draw.picture.cards import columns, wrapped
from autodiff.draw.picture.geometry import Rect
from autodiff.draw.picture.heading import legend_entries, notes, ramp
from autodiff.draw.picture.layout import MARGIN
from autodiff.draw.picture.look import CHARACTER, LINE
from autodiff.draw.picture.shapes import box, text_at


def legend(model: Model, y: float, width: float) -> tuple[list[str], float]:
    """Return the legend and where it ends."""
    found = ['<g role="note" aria-label="legend">']
    x = float(MARGIN)
    for kind, meaning in legend_entries(model):
        word = "op" if kind == "op" else kind
        w, full = columns(word) * CHARACTER + 12, (columns(word) + columns(meaning)) * CHARACTER + 36
        if x + full > width - MARGIN and x > MARGIN:
            x, y = float(MARGIN), y + 26
        stroke = 2.5 if kind in ("parameter", "loss", "output") else None
        found.append(box(Rect(x, y - 9, w, 19), kind, 9 if kind == "op" else 4, stroke))
        found.append(text_at(x + 6, y + 4, word, "opt" if kind == "op" else ""))
        found.append(text_at(x + w + 6, y + 4, meaning, "muted"))
        x += full
    y += 28
    if model.has_gradients:
        x = float(MARGIN)
        swatches: list[tuple[str, int | None]] = [("∂ rms", None), *ramp(model), ("exactly 0", -1)]
        if any(isinstance(node, TensorNode) and node.awaits for node in model.nodes.values()):
            swatches.append(("no gradient yet", -2))
        for words, step in swatches:
            w = columns(words) * CHARACTER + 12
            if x + w > width - MARGIN:
                x, y = float(MARGIN), y + 24
            rect = Rect(x, y - 9, w, 18)
            if step is None:
                found.append(text_at(x, y + 4, words, "muted"))
            elif step == -1:
                found += [box(rect, "", 2, None, ' fill="url(#ngz)"'), text_at(x + 6, y + 4, words)]
            elif step == -2:
                found += [box(rect, "none dash", 2), text_at(x + 6, y + 4, words, "muted")]
            else:
                found += [box(rect, f"g{step}", 2), text_at(x + 6, y + 4, words, f"i{step}")]
            x += w + 4
        y += 26
    for note in notes(model):
        for line in wrapped(note, int((width - 2 * MARGIN) / CHARACTER)):
            found.append(text_at(MARGIN, y, line, "muted"))
            y += LINE + 2
    return [*found, "</g>"], y - LINE
