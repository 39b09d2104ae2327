"""What is wrong with a picture as one sees it: cards that overlap, text that sticks out, anything that is active."""

from __future__ import annotations

import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterator

SVG = "{http://www.w3.org/2000/svg}"
#: Width of a character of DejaVu Sans Mono, Menlo or Consolas at 11 pixels; the widest of them.
CHARACTER = 0.6021 * 11
HARMLESS = {"svg", "g", "title", "style", "defs", "pattern", "rect", "path", "circle", "text"}

Box = tuple[float, float, float, float]


def texts(svg: str) -> list[str]:
    """Return the lines of text in a picture."""
    return ["".join(e.itertext()).replace("\xa0", " ") for e in ET.fromstring(svg).iter(f"{SVG}text")]


def nodes(svg: str) -> dict[str, ET.Element]:
    """Return the group of every node, by id."""
    return {e.attrib["id"]: e for e in ET.fromstring(svg).iter(f"{SVG}g") if "id" in e.attrib}


def active(svg: str) -> Iterator[str]:
    """Yield whatever in a picture could do more than be looked at."""
    for element in ET.fromstring(svg).iter():
        yield from (key for key in element.attrib if "href" in key.lower() or key.lower().startswith("on"))
        if element.tag.removeprefix(SVG) not in HARMLESS:
            yield element.tag


def faults(svg: str) -> Iterator[str]:
    """Yield a sentence for every two cards that overlap and every text that is not inside what it belongs to."""
    root = ET.fromstring(svg)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    groups = nodes(svg)
    boxes = {key: _box(next(group.iter(f"{SVG}rect"))) for key, group in groups.items()}
    keys = list(boxes)
    for i, a in enumerate(keys):
        for b in keys[i + 1 :]:
            if _meet(boxes[a], boxes[b]):
                yield f"{a} overlaps {b}"
    for key, group in groups.items():
        left, top, right, bottom = boxes[key]
        for text in group.iter(f"{SVG}text"):
            x0, y0, x1, y1 = _extent(text)
            badge = "alarmt" in text.attrib.get("class", "") and len("".join(text.itertext())) < 3
            if not badge and (x0 < left or x1 > right or y0 < top or y1 > bottom):
                yield f"{''.join(text.itertext())!r} sticks out of {key}"
    dx, dy = 0.0, 0.0
    for group in root.findall(f"{SVG}g"):
        if moved := re.fullmatch(r"translate\((\S+) (\S+)\)", group.attrib.get("transform", "")):
            dx, dy = float(moved[1]), float(moved[2])
            labels = [_extent(text) for text in group.findall(f"{SVG}text")]
            for label in labels:
                yield from (f"a label at {label} runs into {key}" for key, box in boxes.items() if _meet(label, box))
            for i, label in enumerate(labels):
                yield from (f"labels overlap at {label}" for other in labels[i + 1 :] if _meet(label, other))
            inside = [*boxes.values(), *labels]
            if any(x0 + dx < 0 or y0 + dy < 0 or x1 + dx > width or y1 + dy > height for x0, y0, x1, y1 in inside):
                yield "something of the graph is outside the picture"
        else:
            extents = [_extent(text) for text in group.iter(f"{SVG}text")]
            if any(x1 > width or y1 > height for _, _, x1, y1 in extents):
                yield "a text is outside the picture"
    for text in root.findall(f"{SVG}text"):
        if _extent(text)[2] > width:
            yield f"{''.join(text.itertext())!r} is outside the picture"


def _box(rect: ET.Element) -> Box:
    x, y, w, h = (float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
    return x, y, x + w, y + h


def _extent(text: ET.Element) -> Box:
    content = "".join(text.itertext())
    columns = sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in content
    )
    x, y = float(text.attrib["x"]), float(text.attrib["y"])
    return x, y - 9, x + columns * CHARACTER, y + 2


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
