"""A line that is run at each moment: wrong in the same way every time, it is named, and not what follows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodiff import doctor

RNG = np.random.default_rng(3)
XS = RNG.normal(size=(4, 2, 1))
TS = RNG.normal(size=(4, 1, 1))
WEIGHTS = {
    "U": RNG.normal(size=(3, 2)), "R": RNG.normal(size=(3, 3)), "a": RNG.normal(size=(3, 1)),
    "V": RNG.normal(size=(1, 3)), "c": RNG.normal(size=(1, 1)),
}  # fmt: skip


def unrolled(p: dict[str, Any], fault: str) -> None:
    """One step of a recurrent net, with what came back from the next moment left out or turned round."""
    states, outs, loss = [np.zeros((3, 1))], [], 0.0
    for x, t in zip(XS, TS, strict=True):
        states.append(np.tanh(p["U"] @ x + p["R"] @ states[-1] + p["a"]))
        outs.append(p["V"] @ states[-1] + p["c"])
        loss += 0.5 * np.sum((outs[-1] - t) ** 2)
    g = {key: np.zeros_like(value) for key, value in p.items()}
    back = np.zeros((3, 1))
    for k in reversed(range(len(XS))):
        e = outs[k] - TS[k]
        g["V"] += e @ states[k + 1].T
        g["c"] += e
        up = p["V"].T @ e
        if fault != "dropped":
            up = up + back
        if fault == "turned":
            up = -up  # turned
        d = up * (1 - states[k + 1] ** 2)
        g["U"] += d @ XS[k].T
        g["R"] += d @ states[k].T
        g["a"] += d
        back = p["R"].T @ d
        if fault == "back":
            back = -back  # back
    for key in p:
        p[key] = p[key] - 0.1 * g[key]


def said(fault: str) -> list[str]:
    report = doctor.examine(unrolled, {key: value.copy() for key, value in WEIGHTS.items()}, fault)
    return [line.text for finding in report.findings for line in finding.lines]


@pytest.mark.parametrize(("fault", "text"), [("turned", "# turned"), ("back", "# back"), ("dropped", 'p["V"].T @ e')])
def test_a_line_wrong_at_each_moment_is_named(fault: str, text: str) -> None:
    """Its first run looks right, as nothing comes back from beyond the end."""
    assert any(text in line for line in said(fault))


def test_the_healthy_net_has_no_finding() -> None:
    assert said("") == []
