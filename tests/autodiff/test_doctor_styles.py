"""Ways to write a training that the doctor must follow: functions, scripts, momentum, mini-batches, given gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiff import doctor
from autodiff.doctor.__main__ import main
from tests.autodiff.doctor_nets import HEALTHY

RNG = np.random.default_rng(1)
X = RNG.normal(size=(12, 3))
LABELS = RNG.integers(0, 3, 12)
ONE_HOT = np.eye(3)[LABELS]


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def momentum(p: dict[str, Any], x: Any, y: Any, batch: int, slip: float = 1.0) -> None:
    """Mini-batches, one-hot softmax, einsum, momentum, a dictionary of parameters that is rebound."""
    velocity = {key: np.zeros_like(value) for key, value in p.items()}
    order = np.random.permutation(len(x))
    for s in range(0, len(x), batch):
        xb, yb = x[order[s : s + batch]], y[order[s : s + batch]]
        h = np.maximum(np.einsum("ni,ij->nj", xb, p["W"]) + p["b"], 0)
        out = softmax(h @ p["V"] + p["c"])
        loss = -np.sum(yb * np.log(out)) / len(xb)
        assert loss > 0
        d = (out - yb) / len(xb)
        grads = {"V": h.T @ d, "c": d.sum(axis=0)}
        d = (d @ p["V"].T) * (h > 0) * slip
        grads["W"], grads["b"] = xb.T @ d, d.sum(axis=0)
        for key in p:
            velocity[key] = 0.9 * velocity[key] - 0.1 * grads[key]
            p[key] = p[key] + velocity[key]


def parameters() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    return {"W": rng.normal(size=(3, 4)), "b": np.zeros(4), "V": rng.normal(size=(4, 3)), "c": np.zeros(3)}


def test_momentum_in_mini_batches() -> None:
    assert doctor.examine(momentum, parameters(), X, ONE_HOT, 4).ok


def test_a_factor_in_one_layer_of_it() -> None:
    report = doctor.examine(momentum, parameters(), X, ONE_HOT, 4, 2.0)
    assert {v.name for v in report.parameters if v.verdict == "wrong"} == {"p['W']", "p['b']"}


def loss_fn(p: dict[str, Any]) -> Any:
    return np.mean((X @ p["W"] + p["b"] - 1) ** 2)


def gradients(p: dict[str, Any]) -> dict[str, Any]:
    d = 2 * (X @ p["W"] + p["b"] - 1) / 48
    return {"W": X.T @ d, "b": d.sum(axis=0)}


def test_given_gradients() -> None:
    p = {"W": RNG.normal(size=(3, 4)), "b": RNG.normal(size=4)}
    right = gradients(p)
    assert doctor.check_gradients(loss_fn, p, right).ok
    assert doctor.check_gradients(loss_fn, p, gradients).ok
    report = doctor.check_gradients(loss_fn, p, {"W": right["W"] * 2, "b": -right["b"]})
    assert [f.code for f in report.findings] == ["factor", "sign"]
    w, b = p["W"], p["b"]
    bare = lambda: np.mean((X @ w + b - 1) ** 2)
    assert doctor.check_gradients(bare, [w, b], [right["W"], right["b"]]).ok
    assert not doctor.check_gradients(bare, [w, b], [right["W"].T, right["b"]]).ok


def test_a_step_is_watched() -> None:
    w, b = RNG.normal(size=(3, 4)), np.zeros(4)
    old = w.copy()
    with doctor.watch(params=[w, b], lr=0.1) as seen:
        e = X @ w + b - 1
        loss = np.mean(e**2)
        d = 2 * e / e.size
        w -= 0.1 * (X.T @ d)
        b -= 0.1 * d.sum(axis=1)[:4]
    assert loss > 0
    assert type(w) is np.ndarray
    assert not np.array_equal(w, old), "the step is a real one"
    assert [v.verdict for v in seen.report.parameters] == ["exact", "wrong"]


SCRIPT = """
rng = np.random.default_rng(0)
x = rng.normal(size=(3, 7))
y = (rng.random((2, 7)) > 0.5).astype(int)
net = Net(rng)
"""


@pytest.mark.parametrize(("edit", "code"), [(("", ""), 0), (("(1 - a1 ** 2)", "(1 - a1)"), 1)])
def test_the_command(edit: tuple[str, str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEALTHY.replace(*edit) + SCRIPT)
    assert main([str(path), "--call", "net.train(x, y, epochs=1)"]) == code
    assert ("right" if code == 0 else "tanh") in capsys.readouterr().out
    path.write_text(HEALTHY.replace(*edit) + SCRIPT + "net.train(x, y, 2)\n")
    assert main([str(path), "--json"]) == code
    assert '"suspects"' in capsys.readouterr().out


def test_the_command_says_what_it_cannot_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    assert main([str(path)]) == 2
    path.write_text("x = 1\n")
    assert main([str(path), "--call", "net.train()"]) == 2
    assert "'net' is not defined" in capsys.readouterr().err
