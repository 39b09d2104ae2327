"""`fit`, `predict` and `draw`: what they write, and the one sentence for each thing they refuse."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nn
from nn.__main__ import main
from nn.command.classifier import Classifier
from nn.data import Standardizer

ROOT = Path(nn.__file__).parents[1]


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table(rows: int = 80, seed: int = 0) -> list[list[str]]:
    """A header and rows: two classes told apart by the first two of three features."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 3)) * [1, 100, 0.01] + [5, -300, 0]
    positive = (X[:, 0] - 5) + (X[:, 1] + 300) / 100 > 0
    return [
        ["width", "depth", "noise", "kind"],
        *([*map(repr, x.tolist()), "good" if p else "bad"] for x, p in zip(X, positive, strict=True)),
    ]


def write(cells: list[list[str]], name: str = "data.csv") -> str:
    with open(name, "w", newline="") as file:
        csv.writer(file).writerows(cells)
    return name


def files(directory: str = ".") -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in Path(directory).rglob("*") if p.is_file())


def refused(capsys: Any, *arguments: str) -> str:
    """Run a command that must fail with status 2 and one line on stderr; return that line."""
    capsys.readouterr()
    assert main(arguments) == 2
    err: str = capsys.readouterr().err
    assert err.startswith("python -m nn: ")
    assert err.count("\n") == 1
    return err


def trained(capsys: Any, *more: str) -> str:
    assert main(["fit", write(table()), "--target", "kind", "--epochs", "30", "--out", "run", *more]) == 0
    return str(capsys.readouterr().out)


class TestFit:
    def test_report_and_files(self, capsys: Any) -> None:
        out = trained(capsys)
        assert "data.csv: 80 rows, 3 features; kind is 'bad' (0) or 'good' (1)" in out
        assert re.search(r"rows +64 +16\n", out)
        found = re.search(r"accuracy +(\S+)% +(\S+)%\nROC AUC +(\S+) +(\S+)\nalways '\w+' +(\S+)% +(\S+)%", out)
        assert found is not None
        figures = [float(figure) for figure in found.groups()]
        assert figures[0] > 90
        assert figures[2] > 0.95
        assert 45 < figures[4] < 65
        assert files("run") == ["history.json", "loss.svg", "model.npz"]
        history = json.loads(Path("run/history.json").read_text())
        assert list(history) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"]
        assert len(history["epoch"]) == 30

    def test_statistics_are_those_of_the_training_part(self, capsys: Any) -> None:
        trained(capsys, "--validation", "0.5")
        classifier = Classifier.load("run/model.npz")
        X = np.array([[float(cell) for cell in row[:3]] for row in table()[1:]])
        whole = Standardizer().fit(X)
        assert not np.allclose(classifier.standardizer.mean, whole.mean, rtol=1e-6)
        np.testing.assert_allclose(classifier.standardizer.scale, whole.scale, rtol=0.3)

    def test_the_best_weights_are_saved(self, capsys: Any) -> None:
        cells = table(40)
        for row in cells[1::3]:  # noise that can only be learnt by heart
            row[3] = "good" if row[3] == "bad" else "bad"
        assert main(["fit", write(cells), "--target", "kind", "--lr", "0.05", "--out", "run"]) == 0
        out = capsys.readouterr().out
        history = json.loads(Path("run/history.json").read_text())
        best = min(history["val_loss"])
        assert best < 0.8 * history["val_loss"][-1]
        assert f"after epoch {history['val_loss'].index(best) + 1}, which" in out
        assert re.search(rf"loss +\S+ +{best:.4f}\n", out)

    def test_options(self, capsys: Any) -> None:
        for number, more in enumerate(
            [
                ["--hidden", "7,3", "--activation", "relu", "--optimizer", "sgd", "--lr", "0.05"],
                ["--hidden", "none", "--optimizer", "rmsprop", "--batch-size", "1000"],
                ["--hidden", "4", "--activation", "leaky_relu", "--optimizer", "adamw", "--validation", "0.3"],
            ]
        ):
            arguments = ["fit", write(table()), "--target", "kind", "--epochs", "2", "--out", str(number), *more]
            assert main(arguments) == 0
            assert main(["predict", f"{number}/model.npz", "data.csv", "--out", "p.csv"]) == 0
        assert Classifier.load("0/model.npz").hidden == (7, 3)
        assert Classifier.load("1/model.npz").hidden == ()

    def test_the_seed_decides(self, capsys: Any) -> None:
        results = []
        for seed in ("1", "1", "2"):
            trained(capsys, "--seed", seed)
            results.append(Path("run/model.npz").read_bytes())
        assert results[0] == results[1] != results[2]

    def test_the_default_directory(self, capsys: Any) -> None:
        Path("deep").mkdir()
        assert main(["fit", write(table(), "deep/cells.csv"), "--target", "kind", "--epochs", "1"]) == 0
        assert files("cells") == ["history.json", "loss.svg", "model.npz"]

    def test_a_numeric_target(self, capsys: Any) -> None:
        cells = table()
        for row in cells[1:]:
            row[3] = "2" if row[3] == "good" else "1"
        assert main(["fit", write(cells), "--target", "kind", "--epochs", "20", "--out", "run"]) == 0
        assert main(["predict", "run/model.npz", "data.csv"]) == 0
        with open("predictions.csv", newline="") as file:
            predicted = [row["predicted"] for row in csv.DictReader(file)]
        assert set(predicted) == {"1", "2"}
        assert np.mean([p == row[3] for p, row in zip(predicted, cells[1:], strict=True)]) > 0.85

    def test_without_matplotlib(self, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"] + ["matplotlib"]:
            monkeypatch.setitem(sys.modules, module, None)
        out = trained(capsys)
        assert re.search(r"loss.svg was not drawn: .*pip install 'nablagraph\[draw\]'", out)
        assert files("run") == ["history.json", "model.npz"]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda c: c[6].__setitem__(1, ""), ["data.csv", "line 7", "'depth'", "missing"]),
            (lambda c: c[6].__setitem__(0, "wide"), ["data.csv", "line 7", "'width'", "number", "'wide'"]),
            (lambda c: c[6].__setitem__(0, "inf"), ["data.csv", "line 7", "'width'", "finite"]),
            (lambda c: c[6].__setitem__(3, ""), ["data.csv", "line 7", "'kind'", "missing"]),
            (lambda c: c[6].__setitem__(3, "ugly"), ["data.csv", "line 7", "'kind'", "third value"]),
            (lambda c: c[6].append("1"), ["data.csv", "line 7", "5 values"]),
            (lambda c: c[6].pop(), ["data.csv", "line 7"]),
            (lambda c: [row.__setitem__(3, "good") for row in c[1:]], ["data.csv", "'kind'", "every row"]),
            (
                lambda c: [row.__setitem__(3, "good" if i else "bad") for i, row in enumerate(c[1:])],
                ["data.csv", "'kind'", "'bad' comes only once"],
            ),
            (lambda c: c[0].__setitem__(3, "sort"), ["data.csv", "line 1", "'kind'", "'sort'"]),
            (lambda c: c.__delitem__(slice(1, None)), ["data.csv", "no row"]),
            (lambda c: c.clear(), ["data.csv", "empty"]),
            (lambda c: [row.__delitem__(slice(0, 3)) for row in c], ["data.csv", "feature"]),
            (lambda c: c[0].__setitem__(0, "depth"), ["data.csv", "line 1", "'depth'", "same name"]),
        ],
    )
    def test_tables_that_are_refused(self, change: Any, words: list[str], capsys: Any) -> None:
        cells = table(20)
        change(cells)
        sentence = refused(capsys, "fit", write(cells), "--target", "kind", "--out", "run")
        for word in words:
            assert word in sentence
        assert files() == ["data.csv"]
        assert not Path("run").exists()

    def test_a_number_too_far_away(self, capsys: Any) -> None:
        cells = table(20)
        for row in cells[1:]:
            row[1] = "1e-300"
        cells[5][1] = "2e-300"
        cells[9][1] = "1e300"
        sentence = ""
        for seed in range(20):  # until the split puts that row into the validation part
            arguments = ["fit", write(cells), "--target", "kind", "--out", "run", "--epochs", "1"]
            if main([*arguments, "--seed", str(seed)]) == 2:
                sentence = capsys.readouterr().err
                break
        assert "data.csv, line 10, column 'depth': 1e+300 is too far from the mean" in sentence

    def test_no_such_file(self, capsys: Any) -> None:
        sentence = refused(capsys, "fit", "nothing.csv", "--target", "kind")
        assert "nothing.csv" in sentence
        assert "No such file" in sentence

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--hidden", "16,x"], "--hidden: expected the widths of the hidden layers"),
            (["--hidden", "0"], "--hidden"),
            (["--hidden", "10000000"], "each from 1 to 1000000"),
            (["--hidden", "5,-1"], "--hidden"),
            (["--activation", "step"], "--activation: invalid choice: 'step'"),
            (["--optimizer", "lbfgs"], "--optimizer: invalid choice"),
            (["--epochs", "0"], "--epochs: expected a whole number of at least 1, got '0'"),
            (["--epochs", "1e3"], "--epochs"),
            (["--batch-size", "-4"], "--batch-size"),
            (["--lr", "-0.1"], "--lr: expected a number greater than 0, got '-0.1'"),
            (["--lr", "nan"], "--lr"),
            (["--lr", "inf"], "--lr"),
            (["--validation", "1"], "--validation: expected a fraction"),
            (["--validation", "0"], "--validation"),
            (["--seed", "-1"], "--seed"),
            (["--out"], "--out: expected one argument"),
            (["--rate", "1"], "unrecognized arguments: --rate 1"),
        ],
    )
    def test_options_that_are_refused(self, arguments: list[str], words: str, capsys: Any) -> None:
        assert words in refused(capsys, "fit", write(table()), "--target", "kind", *arguments)
        assert files() == ["data.csv"]

    def test_options_that_are_missing_or_misplaced(self, capsys: Any) -> None:
        assert "--target" in refused(capsys, "fit", write(table()))
        assert "FILE.csv" in refused(capsys, "fit", "--target", "kind")
        assert "invalid choice: 'fti'" in refused(capsys, "fti", "data.csv")
        sentence = refused(capsys, "--epochs", "3", "fit", "data.csv", "--target", "kind")
        assert "write --epochs 3 after the word fit" in sentence
        assert "--lr: expected a number greater than 0" in refused(capsys, "--lr", "0")
        assert "--seed" in refused(capsys, "--seed", "one")

    def test_divergence(self, capsys: Any) -> None:
        sentence = refused(
            capsys, "fit", write(table()), "--target", "kind", "--out", "run", "--activation", "relu",
            "--optimizer", "sgd", "--lr", "1e160", "--epochs", "50",
        )  # fmt: skip
        assert re.search(r"loss became (NaN|infinite) in epoch \d+ of 50, batch \d of 2", sentence)
        assert "smaller learning rate than 1e+160" in sentence
        assert files() == ["data.csv"]
        assert not Path("run").exists()

    def test_directories_that_cannot_be_written(self, capsys: Any) -> None:
        name = write(table())
        Path("file").write_text("")
        for out in ("file", "file/below", "/proc/nowhere"):
            sentence = refused(capsys, "fit", name, "--target", "kind", "--epochs", "1", "--out", out)
            assert out in sentence
        Path("run/model.npz").mkdir(parents=True)
        sentence = refused(capsys, "fit", name, "--target", "kind", "--epochs", "1", "--out", "run")
        assert "model.npz cannot be written: is a directory" in sentence
        assert files() == ["data.csv", "file"]

    def test_a_full_disk_leaves_the_old_model(self, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        trained(capsys)
        old = Path("run/model.npz").read_bytes()

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        sentence = refused(capsys, "fit", "data.csv", "--target", "kind", "--epochs", "1", "--out", "run")
        assert "model.npz cannot be written: No space left on device" in sentence
        assert Path("run/model.npz").read_bytes() == old
        assert files("run") == ["history.json", "loss.svg", "model.npz"]

    def test_more_than_the_memory_holds(self, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def draw(*_: Any, **__: Any) -> None:
            raise MemoryError("Unable to allocate 7.28 TiB")

        monkeypatch.setattr("nn.command.fit.MLP", draw)
        sentence = refused(capsys, "fit", write(table()), "--target", "kind", "--hidden", "1000000,1000000")
        assert "not enough memory for this: Unable to allocate 7.28 TiB" in sentence
        assert files() == ["data.csv"]


class TestPredict:
    def read(self, name: str = "predictions.csv") -> list[dict[str, str]]:
        with open(name, newline="") as file:
            return list(csv.DictReader(file))

    def test_rows_probabilities_and_labels(self, capsys: Any) -> None:
        trained(capsys)
        cells = table(50, seed=1)
        assert main(["predict", "run/model.npz", write(cells, "new.csv")]) == 0
        assert "wrote predictions.csv: 50 rows" in capsys.readouterr().out
        rows = self.read()
        assert list(rows[0]) == ["row", "probability", "predicted"]
        assert [row["row"] for row in rows] == [str(i) for i in range(1, 51)]
        for row in rows:
            assert (float(row["probability"]) >= 0.5) == (row["predicted"] == "good")
        right = [row["predicted"] == cell[3] for row, cell in zip(rows, cells[1:], strict=True)]
        assert np.mean(right) > 0.9

    def test_columns_go_by_their_names(self, capsys: Any) -> None:
        trained(capsys)
        assert main(["predict", "run/model.npz", "data.csv", "--out", "a.csv"]) == 0
        cells = table()
        other = [[row[2], "id" if i == 0 else f"no {i}", row[1], row[0]] for i, row in enumerate(cells)]
        assert main(["predict", "run/model.npz", write(other, "other.csv"), "--out", "b.csv"]) == 0
        assert self.read("a.csv") == self.read("b.csv")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda c: c[0].__setitem__(1, "dept"), ["new.csv", "line 1", "'depth'", "'dept'"]),
            (lambda c: c[3].__setitem__(1, "?"), ["new.csv", "line 4", "'depth'", "missing"]),
            (lambda c: c[3].__setitem__(1, "1e308"), []),
            (lambda c: c[3].__setitem__(2, "1.7e308"), ["new.csv", "line 4", "'noise'", "too far"]),
        ],
    )
    def test_tables(self, change: Any, words: list[str], capsys: Any) -> None:
        trained(capsys)
        cells = table(10)
        change(cells)
        write(cells, "new.csv")
        if words:
            sentence = refused(capsys, "predict", "run/model.npz", "new.csv")
            assert all(word in sentence for word in words)
            assert not Path("predictions.csv").exists()
        else:
            assert main(["predict", "run/model.npz", "new.csv"]) == 0

    def test_numbers_under_which_the_network_overflows(self, capsys: Any) -> None:
        trained(capsys, "--activation", "relu")
        cells = table(10)
        cells[4][:3] = ["1e305", "-1e305", "1.5e305"]
        state = nn.load("run/model.npz")
        for name, weight in state["model"].items():
            if name.endswith("weight"):
                weight[:] = 1e3 * np.sign(weight)
        nn.save(state, "large.npz")
        sentence = refused(capsys, "predict", "large.npz", write(cells, "new.csv"))
        assert "new.csv, line 5: the numbers are so large that the network overflows" in sentence

    def test_files_that_are_no_classifier(self, capsys: Any) -> None:
        trained(capsys)
        whole = Path("run/model.npz").read_bytes()
        Path("text.npz").write_text("hello")
        Path("cut.npz").write_bytes(whole[: len(whole) // 2])
        np.savez("numpy.npz", weight=np.ones(3))
        nn.save({"weight": np.ones(3)}, "state.npz")
        for name, words in {
            "text.npz": "not a whole file",
            "cut.npz": "not a whole file",
            "numpy.npz": "not a whole file",
            "state.npz": "not a classifier",
            "missing.npz": "No such file",
            "run": "directory",
        }.items():
            sentence = refused(capsys, "predict", name, "data.csv")
            assert name in sentence
            assert words in sentence
            assert name in refused(capsys, "draw", name, "--out", "g.svg")
        assert not Path("predictions.csv").exists()

    @pytest.mark.parametrize(
        "damage",
        [
            lambda s: s.pop("features"),
            lambda s: s["features"].append("more"),
            lambda s: s.update(features=3),
            lambda s: s["features"].__setitem__(0, 7),
            lambda s: s.update(labels=["one"]),
            lambda s: s.update(target=None),
            lambda s: s.update(activation="step"),
            lambda s: s.update(hidden=[10**12]),
            lambda s: s.update(hidden=[-16, 16]),
            lambda s: s.update(hidden="16"),
            lambda s: s.update(model={}),
            lambda s: s["model"].pop("layers.0.bias"),
            lambda s: s["model"].update({"layers.0.bias": np.zeros(3)}),
            lambda s: s["model"].update({"layers.0.weight": "w"}),
            lambda s: s["standardizer"].update(scale=np.zeros(3)),
            lambda s: s["standardizer"].update(mean=np.zeros(2), scale=np.ones(2)),
        ],
    )
    def test_damaged_classifiers(self, damage: Any, capsys: Any) -> None:
        trained(capsys, "--epochs", "1")
        state = nn.load("run/model.npz")
        damage(state)
        nn.save(state, "bad.npz")
        assert "the classifier in bad.npz is damaged" in refused(capsys, "predict", "bad.npz", "data.csv")

    def test_where_it_cannot_write(self, capsys: Any) -> None:
        trained(capsys, "--epochs", "1")
        for out, words in {"no/p.csv": "the directory no does not exist", "run": "directory"}.items():
            sentence = refused(capsys, "predict", "run/model.npz", "data.csv", "--out", out)
            assert f"{out} cannot be written" in sentence
            assert words in sentence


class TestDraw:
    @pytest.mark.parametrize("suffix", ["svg", "dot", "png", "pdf"])
    def test_formats(self, suffix: str, capsys: Any) -> None:
        trained(capsys, "--epochs", "1")
        assert main(["draw", "run/model.npz", "--out", f"graph.{suffix}"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert f"wrote graph.{suffix}" in out
        content = Path(f"graph.{suffix}").read_bytes()
        assert {"svg": b"tanh", "dot": b"tanh", "png": b"PNG", "pdf": b"%PDF"}[suffix] in content

    def test_without_graphviz(self, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        trained(capsys, "--epochs", "1")
        monkeypatch.setattr("autodiff.draw.render._renderers", lambda format: iter(()))
        assert main(["draw", "run/model.npz", "--out", "graph.png"]) == 0
        assert "saved graph.svg instead" in capsys.readouterr().err
        assert "tanh" in Path("graph.svg").read_text(encoding="utf-8")

    def test_refused(self, capsys: Any) -> None:
        trained(capsys, "--epochs", "1")
        assert "end the name with" in refused(capsys, "draw", "run/model.npz", "--out", "graph.gif")
        assert "no does not exist" in refused(capsys, "draw", "run/model.npz", "--out", "no/graph.svg")
        assert "--out graph.svg, --html page.html, or both" in refused(capsys, "draw", "run/model.npz")
        assert "no does not exist" in refused(capsys, "draw", "run/model.npz", "--html", "no/page.html")
        assert "nowhere.npz cannot be read" in refused(capsys, "draw", "nowhere.npz", "--html", "page.html")
        assert not Path("page.html").exists()

    @pytest.mark.parametrize("also", [[], ["--out", "graph.svg"]])
    def test_a_page(self, also: list[str], capsys: Any) -> None:
        trained(capsys, "--epochs", "1")
        assert main(["draw", "run/model.npz", "--html", "page.html", *also]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert "wrote page.html" in out
        assert Path("page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
        assert Path("graph.svg").exists() == bool(also)
