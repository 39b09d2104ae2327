"""Colours and type, light and dark, shared by everything that shows a graph.

Kinds differ in hue, in border and in the word on the card, gradients in lightness and in the length of a bar: the
picture is read in grey too. Hues are after Okabe and Ito, who chose theirs for colour-blind eyes. Every pair of text
and ground has a contrast of 4.5 : 1 or more.
"""

from __future__ import annotations

from dataclasses import dataclass

#: What the fonts of all platforms have in common: every character is as wide as the next.
FONT = "DejaVu Sans Mono,Menlo,Consolas,monospace"
FONT_SIZE = 11
#: Width of a character and height of a line, in pixels. Boxes are as wide as their text by this measure, with room to
#: spare for fonts that are a little wider.
CHARACTER = 0.615 * FONT_SIZE
LINE = 15
#: How many steps of ten the colours of gradients tell apart.
STEPS = 6


@dataclass(frozen=True)
class Palette:
    """The colours of one scheme; `kinds` and `ramp` are pairs of (ground, border) and (ground, ink)."""

    page: str
    panel: str
    ink: str
    muted: str
    formula: str
    op: str
    op_ink: str
    op_formula: str
    line: str
    flow: str
    alarm: str
    alarm_ink: str
    hatch: tuple[str, str]
    kinds: dict[str, tuple[str, str]]
    ramp: tuple[tuple[str, str], ...]


LIGHT = Palette(
    page="#FFFFFF",
    panel="#F4F5F7",
    ink="#1B1F24",
    muted="#4A5460",
    formula="#7F2704",
    op="#24324A",
    op_ink="#FFFFFF",
    op_formula="#FFD9A8",
    line="#6B7682",
    flow="#B5520A",
    alarm="#FFF0CC",
    alarm_ink="#9C1C1C",
    hatch=("#E4E7EA", "#F7F8F9"),
    kinds={
        "parameter": ("#FFF6E5", "#8F5300"),
        "input": ("#DDF0FC", "#00578A"),
        "result": ("#FFFFFF", "#6B7682"),
        "loss": ("#FBE3F0", "#8E2565"),
        "output": ("#FBE3F0", "#8E2565"),
    },
    ramp=(
        ("#7F2704", "#FFFFFF"),
        ("#A63A05", "#FFFFFF"),
        ("#F28C3A", "#1B1F24"),
        ("#F9B77E", "#1B1F24"),
        ("#FCD9B8", "#1B1F24"),
        ("#FDEEDF", "#1B1F24"),
    ),
)
DARK = Palette(
    page="#14171C",
    panel="#1D2229",
    ink="#E8EBEF",
    muted="#A9B3BF",
    formula="#FFC48A",
    op="#33456B",
    op_ink="#FFFFFF",
    op_formula="#FFD9A8",
    line="#8390A0",
    flow="#F0944D",
    alarm="#3A2F14",
    alarm_ink="#FF9C8F",
    hatch=("#2B313A", "#20252C"),
    kinds={
        "parameter": ("#2E2413", "#E0A23C"),
        "input": ("#102A3B", "#5CB8EE"),
        "result": ("#1D2229", "#8390A0"),
        "loss": ("#371A2B", "#E984BD"),
        "output": ("#371A2B", "#E984BD"),
    },
    ramp=(
        ("#FFE3C2", "#14171C"),
        ("#FFB36B", "#14171C"),
        ("#E07B2A", "#14171C"),
        ("#8A4A17", "#FFFFFF"),
        ("#5E3413", "#FFFFFF"),
        ("#3B2413", "#FFFFFF"),
    ),
)


def css() -> str:
    """Return the style of a picture, for light and for dark surroundings."""
    base = f".ng text{{font:{FONT_SIZE}px {FONT};white-space:pre}}.ng .b{{font-weight:bold}}.ng path.e{{fill:none}}"
    base += ".ng .dash{stroke-dasharray:4 3}.ng .dots{stroke-dasharray:1 4;stroke-linecap:round}"
    return f"{base}{_rules(LIGHT)}@media(prefers-color-scheme:dark){{{_rules(DARK)}}}"


def variables(of: str = ":root") -> str:
    """Return the colours as variables of a style, for light and for dark surroundings."""
    light = f"{of}{{color-scheme:light dark;{_named(LIGHT)}}}"
    return f"{light}@media(prefers-color-scheme:dark){{{of}{{{_named(DARK)}}}}}"


def _named(palette: Palette) -> str:
    names = ("page", "panel", "ink", "muted", "formula", "op", "op_ink", "line", "flow", "alarm", "alarm_ink")
    found = {name.replace("_", "-"): getattr(palette, name) for name in names}
    found["data"] = palette.kinds["input"][1]
    found["learnt"] = palette.kinds["parameter"][1]
    return ";".join(f"--{name}:{colour}" for name, colour in found.items())


def _rules(palette: Palette) -> str:
    rules = {
        ".page": f"fill:{palette.page}",
        ".panel": f"fill:{palette.panel};stroke:{palette.line}",
        ".repeat": f"fill:none;stroke:{palette.kinds['parameter'][1]};stroke-width:1.5;stroke-dasharray:7 4",
        "text": f"fill:{palette.ink}",
        ".muted": f"fill:{palette.muted}",
        ".formula": f"fill:{palette.formula}",
        ".op": f"fill:{palette.op};stroke:{palette.op}",
        ".opt": f"fill:{palette.op_ink}",
        ".opf": f"fill:{palette.op_formula}",
        ".line": f"stroke:{palette.line}",
        ".flow": f"stroke:{palette.flow}",
        ".lineh": f"fill:{palette.line}",
        ".flowh": f"fill:{palette.flow}",
        ".alarm": f"fill:{palette.alarm};stroke:{palette.alarm_ink}",
        ".alarmt": f"fill:{palette.alarm_ink}",
        ".none": f"fill:none;stroke:{palette.muted}",
        ".h0": f"fill:{palette.hatch[1]}",
        ".h1": f"stroke:{palette.hatch[0]};stroke-width:4",
    }
    for kind, (ground, border) in palette.kinds.items():
        rules[f".{kind}"] = f"fill:{ground};stroke:{border}"
    for step, (ground, ink) in enumerate(palette.ramp):
        rules[f".g{step}"] = f"fill:{ground}"
        rules[f".i{step}"] = f"fill:{ink}"
    return "".join(f".ng {name}{{{rule}}}" for name, rule in rules.items())
