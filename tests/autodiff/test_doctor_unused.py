"""The doctor where what was computed is right and passed on wrongly, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiff import doctor

NET = """
import numpy as np

def linear(x, w, b):
    return x @ w + b, (x, w)

def back(g, cache):
    x, w = cache
    dx = g @ w.T
    dw = x.T @ g
    db = g.sum(axis=0)
    return dx, dw, db

def gradients(p, x, y):
    z, first = linear(x, p["w1"], p["b1"])
    h = np.tanh(z)
    out, second = linear(h, p["w2"], p["b2"])
    loss = ((out - y) ** 2).mean()
    found = {}
    g = 2 * (out - y) / y.size
    g, found["w2"], found["b2"] = back(g, second)
    g = g * (1 - h**2)
    _, found["w1"], found["b1"] = back(g, first)
    return loss, found

def train(p, x, y, rate=0.1):
    loss, found = gradients(p, x, y)
    for key in p:
        p[key] = p[key] - rate * found[key]
    return loss
"""


def examined(tmp_path: Path, was: str = "", now: str = "") -> Any:
    assert was in NET
    text = NET.replace(was, now) if was else NET
    path = tmp_path / "net.py"
    path.write_text(text)
    names: dict[str, Any] = {"__name__": "net"}
    exec(compile(text, str(path), "exec"), names)
    rng = np.random.default_rng(0)
    p = {
        "w1": rng.normal(size=(3, 4)),
        "b1": rng.normal(size=4),
        "w2": rng.normal(size=(4, 2)),
        "b2": rng.normal(size=2),
    }
    return doctor.examine(names["train"], p, rng.normal(size=(7, 3)), rng.normal(size=(7, 2)))


def line_of(text: str) -> int:
    return next(i for i, line in enumerate(NET.splitlines(), 1) if text in line)


def test_the_net_is_right(tmp_path: Path) -> None:
    assert not examined(tmp_path).findings


@pytest.mark.parametrize(
    "now",
    [
        "return dx, db, db",  # the gradient of another parameter
        "return dx, dw, g",  # one gradient per sample
        "return dx, dw, w",  # a parameter
        "return dx, dw, x.shape[0]",  # a number
    ],
)
def test_a_right_value_that_stays_unused_shows_where_another_was_returned(tmp_path: Path, now: str) -> None:
    report = examined(tmp_path, "return dx, dw, db", now)
    assert list(report.lines) == [line_of("return dx, dw, db")]


@pytest.mark.parametrize("now", ["p[key] = p[key]", "p[key] = rate * found[key]", "p[key] = loss - rate * found[key]"])
def test_where_nothing_moves_the_assignment_is_named(tmp_path: Path, now: str) -> None:
    report = examined(tmp_path, "p[key] = p[key] - rate * found[key]", now)
    assert [f.code for f in report.findings] == ["never_updated"]
    assert list(report.lines) == [line_of("p[key] = p[key]")]


def test_a_loop_that_never_runs_is_named(tmp_path: Path) -> None:
    report = examined(tmp_path, "for key in p:", "for key in []:")
    assert list(report.lines) == [line_of("for key in p:")]


def test_an_update_with_the_weights_themselves_is_no_decay(tmp_path: Path) -> None:
    report = examined(tmp_path, "return loss, found", 'return loss, {**found, "w2": p["w2"]}')
    assert any(v.verdict == "wrong" for v in report.parameters)
    assert report.lines
