"""The bare command and the help: what a person sees and gets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import nn
from nn.__main__ import main

ROOT = Path(nn.__file__).parents[1]


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "nn", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def files(directory: str = ".") -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in Path(directory).rglob("*") if p.is_file())


class TestXor:
    def test_the_whole_job(self) -> None:
        process = start()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert err == ""
        assert 10 <= sum(line.startswith("epoch") for line in out.splitlines()) <= 12
        rows = re.findall(r"^  ([01]) ([01])    ([01])       (0\.\d+|1\.0+)$", out, re.MULTILINE)
        assert [(a, b, t) for a, b, t, _ in rows] == [
            ("0", "0", "0"),
            ("0", "1", "1"),
            ("1", "0", "1"),
            ("1", "1", "0"),
        ]
        assert all(abs(float(p) - float(t)) < 0.1 for _, _, t, p in rows)
        before, after = map(float, re.findall(r"loss (\S+) before, (\S+) after 5,000 epochs", out)[0])
        assert after < 0.01 < 0.5 < before
        names = ["xor-boundary.svg", "xor-graph.dot", "xor-graph.svg", "xor-history.json", "xor-loss.svg"]
        assert files("xor") == names
        assert all(f"xor{os.sep}{name}" in out for name in names)
        for name in names:
            if name.endswith(".svg"):
                assert ElementTree.parse(f"xor/{name}").getroot().tag.endswith("svg")
        history = json.loads(Path("xor/xor-history.json").read_text())
        assert len(history["loss"]) == len(history["accuracy"]) == 5000
        assert history["accuracy"][-1] == 1.0
        for word in ("sigmoid", "weight", "target", "x"):
            assert word in Path("xor/xor-graph.svg").read_text()

    def test_the_readmes_picture_is_the_one_that_it_writes(self) -> None:
        assert main(["--epochs", "1"]) == 0
        assert Path("xor/xor-graph.svg").read_text(encoding="utf-8") == (ROOT / "docs/xor-graph.svg").read_text(
            encoding="utf-8"
        ), "copy xor/xor-graph.svg, which `python -m nn` writes, to docs/"

    def test_options(self, capsys: Any) -> None:
        assert main(["--out", "a/b", "--seed", "3", "--epochs", "2", "--lr", "0.5"]) == 0
        out, err = capsys.readouterr()
        assert "seed 3, lr 0.5" in out
        assert "after 2 epochs" in out
        assert "not learnt yet" in out
        assert err == ""
        assert json.loads(Path("a/b/xor-history.json").read_text())["lr"] == [0.5, 0.5]

    def test_the_page(self, capsys: Any) -> None:
        assert main(["--html", "--epochs", "250", "--out", "a"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert f"a{os.sep}xor-page.html" in out
        assert "the graph at 126 moments of the training" in out
        assert Path("a/xor-page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
        assert main(["--epochs", "250", "--out", "b"]) == 0
        assert {*files("a")} - {*files("b")} == {"xor-page.html"}
        losses = [json.loads(Path(out, "xor-history.json").read_text())["loss"] for out in ("a", "b")]
        assert losses[0] == losses[1]

    def test_a_page_goes_without_a_command(self, capsys: Any) -> None:
        for command in (["fit", "data.csv", "--target", "y"], ["draw", "model.npz", "--out", "g.svg"]):
            assert main(["--html", *command]) == 2
            out, err = capsys.readouterr()
            assert (out, err.count("\n")) == ("", 1)
            assert "python -m nn draw MODEL --html FILE" in err

    def test_the_same_seed_gives_the_same_files(self, capsys: Any) -> None:
        for out in ("a", "b"):
            assert main(["--out", out, "--epochs", "50"]) == 0
        for name in files("a"):
            if not name.endswith(".json"):  # which holds seconds
                assert Path("a", name).read_bytes() == Path("b", name).read_bytes()
        assert main(["--out", "c", "--epochs", "50", "--seed", "1"]) == 0
        assert Path("a/xor-graph.dot").read_text() != Path("c/xor-graph.dot").read_text()

    def test_without_the_draw_extra(self, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"] + ["matplotlib"]:
            monkeypatch.setitem(sys.modules, module, None)
        assert main(["--epochs", "10"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert files("xor") == ["xor-graph.dot", "xor-graph.svg", "xor-history.json"]
        for name in ("xor-loss.svg", "xor-boundary.svg"):
            assert re.search(rf"{name} was not drawn: .*pip install 'nablagraph\[draw\]'", out)

    @pytest.mark.skipif(sys.platform == "win32", reason="there is no pseudo-terminal on Windows")
    def test_a_live_bar_on_a_terminal(self) -> None:
        import pty

        leader, follower = pty.openpty()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
        process = subprocess.Popen(
            [sys.executable, "-m", "nn", "--epochs", "1500"],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env=environment,
        )
        os.close(follower)
        shown = b""
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:  # the other end was closed
                break
            if not chunk:
                break
            shown += chunk
        os.close(leader)
        assert process.wait(30) == 0
        text = shown.decode()
        assert re.search(r"\repoch 1500/1500 \|█+\| +\S+k steps/s, 00:00 left, loss=0\.\d+  accuracy=1\.0", text)
        assert "input  target  predicted probability" in text

    def test_ctrl_c(self) -> None:
        # A shell may have started the tests with interrupts ignored, which children inherit.
        heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        process = start("--epochs", "100000000", start_new_session=True, preexec_fn=heed)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch"):
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert err == "python -m nn: stopped by Ctrl-C\n"
        assert files() == []
        assert not Path("xor").exists()

    @pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently on Windows")
    def test_a_reader_that_goes_away(self) -> None:
        process = start("--epochs", "100000")
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 141
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stderr.close()


class TestHelp:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ([], ["XOR", "--out DIR", "--seed N", "--epochs N", "--lr F", "--html", "fit", "predict", "draw"]),
            (["fit"], ["FILE.csv", "--target COLUMN", "--hidden", "--validation", "default: 0.2", "adam"]),
            (["predict"], ["DIR/model.npz", "FILE.csv", "predictions.csv"]),
            (["draw"], ["DIR/model.npz", "graph.svg", "--html FILE"]),
        ],
    )
    def test_help(self, arguments: list[str], words: list[str], capsys: Any) -> None:
        with pytest.raises(SystemExit) as caught:
            main([*arguments, "--help"])
        assert caught.value.code == 0
        out = capsys.readouterr().out
        assert out.startswith("usage: python -m nn")
        for word in words:
            assert word in out

    def test_names_that_the_terminal_cannot_spell(self) -> None:
        Path("größe.csv").write_text("größe,b\n1,x\n2,y\n1,x\n2,y\n", encoding="utf-8")
        for target, status in (("b", 0), ("c", 2)):
            process = start("fit", "größe.csv", "--target", target, "--epochs", "1", env={"PYTHONIOENCODING": "ascii"})
            out, err = process.communicate(timeout=30)
            assert process.returncode == status, err
            assert "gr\\xf6\\xdfe" in (err or out)

    def test_starting_takes_no_pictures_along(self) -> None:
        code = "import sys, nn.__main__; print(sorted({'matplotlib', 'graphviz', 'tqdm'} & set(sys.modules)))"
        begun = time.perf_counter()
        out = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
        ).stdout
        assert out == "[]\n"
        assert time.perf_counter() - begun < 30
