"""Progress: a live bar on a terminal, about ten lines elsewhere."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from nn import BCEWithLogitsLoss
from nn.layers import MLP
from nn.metrics import accuracy
from nn.optim import SGD
from nn.train import fit
from nn.train.progress import Bar, Lines, Progress, progress


def data(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, 3))
    return X, (X[:, :1] * X[:, 1:2] > 0).astype(float)


def network(seed: int = 0, dtype: Any = np.float64) -> MLP:
    return MLP([3, 6, 1], activation="tanh", seed=seed, dtype=dtype)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestProgress:
    def run(self, epochs: int, show: Any) -> None:
        model = network()
        X, y = data()
        fit(
            model,
            BCEWithLogitsLoss(),
            SGD(model.parameters(), lr=0.1),
            X,
            y,
            epochs=epochs,
            metrics={"accuracy": lambda p, t: accuracy(p, t, threshold=0.0)},
            progress=show,
        )

    def test_nothing(self, capsys: Any) -> None:
        self.run(5, False)
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize(("epochs", "expected"), [(1, 1), (4, 4), (100, 11), (1003, 11)])
    def test_about_ten_lines_when_piped(self, epochs: int, expected: int, capsys: Any) -> None:
        self.run(epochs, "auto")
        out, err = capsys.readouterr()
        lines = out.splitlines()
        assert err == ""
        assert len(lines) == expected
        assert lines[-1].startswith(f"epoch {epochs}/{epochs}  loss 0.")
        for word in ("accuracy", "steps/s", "left"):
            assert all(word in line for line in lines)

    def test_a_bar_on_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        out, err = Terminal(), Terminal()
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", err)
        self.run(50, "auto")
        assert out.getvalue() == ""
        last = err.getvalue().rstrip("\n").split("\r")[-1]
        assert len(last) <= 80
        for word in ("epoch 50/50 |", "steps/s, 00:00 left, loss=0.", "accuracy=0."):
            assert word in last

    def test_lines_when_only_one_stream_is_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        out, err = io.StringIO(), Terminal()
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", err)
        self.run(3, "auto")
        assert err.getvalue() == ""
        assert out.getvalue().startswith("epoch 1/3")

    def test_the_choice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert type(progress(False, 3, 2)) is Progress
        assert type(progress("auto", 3, 2, done=3)) is Progress
        monkeypatch.setattr("sys.stdout", None)
        assert type(progress("auto", 3, 2)) is Lines

    def test_an_early_end_has_its_line(self, capsys: Any) -> None:
        lines = Lines(100, 1)
        for epoch in range(1, 14):
            lines.epoch({"epoch": epoch, "loss": 0.5, "lr": 1, "seconds": 0.1})
        lines.close({"epoch": 13, "loss": 0.25, "lr": 1, "seconds": 0.1})
        out = capsys.readouterr().out.splitlines()
        assert [line[:9] for line in out] == ["epoch   1", "epoch  10", "epoch  13"]
        assert "loss 0.2500" in out[-1]

    def test_a_resumed_bar_begins_where_it_was(self) -> None:
        err = Terminal()
        bar = Bar(10, 4, done=5, file=err)
        for _ in range(4):
            bar.step()
        bar.epoch({"epoch": 6, "loss": 0.5})
        bar.close({"epoch": 6, "loss": 0.5})
        last = err.getvalue().rstrip("\n").split("\r")[-1]
        assert last.startswith("epoch 6/10 |")
        shown = last[last.index("|") + 1 : last.rindex("|")]
        assert 0.5 < shown.count("#") / len(shown) < 0.7
