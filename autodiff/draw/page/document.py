"""The page as text: the picture, its numbers as JSON, our style and script, and a policy that lets in nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from autodiff.draw.facts.scale import steps_of_ten
from autodiff.draw.markup import plain
from autodiff.draw.model import Model, OpNode, TensorNode
from autodiff.draw.page.alignment import aligned
from autodiff.draw.page.film import Slot, film, names
from autodiff.draw.page.packing import whole
from autodiff.draw.page.recording import Moment, Recording
from autodiff.draw.picture.cards import cards
from autodiff.draw.picture.heading import title
from autodiff.draw.picture.look import variables
from autodiff.draw.picture.svg import drawn

#: In the order in which they need each other.
_SCRIPTS = ("numbers", "matrix", "picture", "inspector", "player", "charts", "training", "main")


def graph_page(model: Model, rankdir: str = "auto") -> str:
    """Return the page of one picture."""
    return _page(title(model), [model], rankdir, {})


def training_page(recording: Recording) -> str:
    """Return the page of a recording."""
    moments = recording.moments
    models = _on_one_scale([moment.model for moment in moments])
    heading = plain(recording.title, 200) or f"{len(moments)} pictures of a training"
    return _page(heading, models, "auto", {"training": _training(recording)})


def _page(heading: str, models: list[Model], rankdir: str, more: dict[str, Any]) -> str:
    # What is found changes from picture to picture: only where there is one do cards bear its numbers.
    base = models[0] if len(models) == 1 else replace(models[0], findings=[])
    shown = aligned([cards(model) for model in models])
    picture, edges = drawn(base, shown[0], rankdir, headed=False)
    shot = film(models, shown, edges)
    data = {
        "nodes": _nodes(models[0]),
        "slots": [_slot(slot) for slot in shot.slots],
        "steps": shot.steps,
        "wide": shot.wide,
        "still": shot.still,
        "frames": shot.frames,
        **more,
    }
    style = variables() + _asset("page.css")
    script = "(function () {\n'use strict';\n" + "".join(_asset(f"{name}.js") for name in _SCRIPTS) + "}());\n"
    inner = re.search(r"<style>(.*?)</style>", picture, re.DOTALL)
    styles = " ".join(_hash(text) for text in (style, inner.group(1) if inner else ""))
    policy = f"default-src 'none'; style-src {styles}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    return (
        _asset("page.html")
        .replace("{{policy}}", policy)
        .replace("{{style}}", style)
        .replace("{{script}}", script)
        .replace("{{title}}", escape(heading))
        # Last: a name in the picture or in the data may read like a place in the page.
        .replace("{{data}}", _json(data))
        .replace("{{picture}}", picture)
    )


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(data: Any) -> str:
    """Write JSON that no HTML parser takes for the end of its element, nor for a place to fill in."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("{{", "{ {")


def _on_one_scale(models: list[Model]) -> list[Model]:
    """Return the models with one scale of colours for all, so that a colour means the same in each."""
    known = [model.reference for model in models if model.reference]
    sizes = [
        node.grad.rms
        for model in models
        for node in model.nodes.values()
        if isinstance(node, TensorNode) and node is not model.root and node.grad is not None and node.grad.rms
    ]
    if not known:
        return models
    decades = steps_of_ten([size for size in sizes if math.isfinite(size)])
    return [replace(model, reference=max(known), decades=decades) for model in models]


def _nodes(model: Model) -> dict[str, dict[str, Any]]:
    called = names(model)
    found: dict[str, dict[str, Any]] = {}
    for key, node in model.nodes.items():
        entry: dict[str, Any] = {"name": called[key], "kind": "op" if isinstance(node, OpNode) else node.kind}
        if isinstance(node, OpNode):
            if node.members > 1:
                entry["members"] = node.members
            if key in model.samples.sources:
                entry["source"] = plain(model.samples.sources[key], 300)
        else:
            entry["shape"] = list(node.value.shape) if node.value is not None else []
            entry["dtype"] = node.value.dtype if node.value is not None else ""
            if node.original is not None:
                entry["original"] = node.original
        found[key] = entry
    return found


def _slot(slot: Slot) -> dict[str, Any]:
    rows, columns = slot.like.values.shape
    entry: dict[str, Any] = {"k": slot.kind, "r": rows, "c": columns}
    entry["of"] = slot.key if isinstance(slot.key, str) else slot.key[0]
    if slot.like.rows:
        entry["rows"], entry["columns"] = list(slot.like.rows), list(slot.like.columns)
    entry["shape"] = list(slot.like.shape)
    if slot.still:
        entry["still"] = True
    return entry


def _training(recording: Recording) -> dict[str, Any]:
    moments = recording.moments
    found: dict[str, Any] = {
        "epochs": [moment.epoch for moment in moments],
        "figures": _figures(moments),
        "layers": _layers(moments),
    }
    if moments[0].model.entropy is not None:
        found["base"] = _finite(moments[0].model.entropy)
    if recording.extent is not None and any(moment.probabilities is not None for moment in moments):
        found["extent"] = list(recording.extent)
        found["grids"] = [_grid(moment.probabilities) for moment in moments]
        found["grid"] = max(len(m.probabilities) for m in moments if m.probabilities is not None)
        if recording.points is not None and recording.labels is not None:
            found["points"] = [[_finite(x) for x in row] for row in recording.points[:500].tolist()]
            found["labels"] = [_finite(y) for y in recording.labels[:500].tolist()]
    return found


def _figures(moments: list[Moment]) -> dict[str, list[float | None]]:
    keys = list(dict.fromkeys(key for moment in moments for key in moment.figures if key not in ("epoch", "seconds")))
    return {plain(key, 40): [_finite(moment.figures.get(key, math.nan)) for moment in moments] for key in keys}


def _layers(moments: list[Moment]) -> list[dict[str, Any]]:
    """The size of the activations of each layer, and of the gradients of its weights, in every picture."""
    first = moments[0].model
    called = names(first)
    found = []
    for key, node in first.nodes.items():
        if not isinstance(node, TensorNode) or node is first.root or node.original is not None:
            continue
        if node.kind not in ("result", "parameter") or not node.scope:
            continue
        learnt = node.kind == "parameter"
        values = [_rms(moment.model.nodes[key], learnt) for moment in moments]
        found.append({"name": called[key].removeprefix("output of "), "learnt": learnt, "rms": values})
    return found


def _rms(node: Any, learnt: bool) -> float | None:
    held = node.grad if learnt else node.value
    if held is None:
        return None
    if held.rms is None and held.values is not None:
        return _finite(float(np.sqrt(np.mean(np.square(held.values.astype(float))))))
    return None if held.rms is None else _finite(held.rms)


def _grid(probabilities: Any) -> str:
    if probabilities is None:
        return ""
    with np.errstate(all="ignore"):
        return whole(np.clip(np.nan_to_num(np.rint(probabilities * 63)), 0, 63).astype(int).reshape(-1).tolist())


def _finite(x: float) -> float | None:
    return float(f"{x:.4g}") if math.isfinite(x) else None
