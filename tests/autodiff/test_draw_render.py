"""Every way to a picture, and every way in which Graphviz fails where it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from autodiff.draw import Graph, RenderError, graph, render
from autodiff.tensor import Tensor

posix = pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for dot")

OWN = {
    ".svg": b"<svg",
    ".html": b"<!doctype html>",
    ".dot": b"digraph",
    ".gv": b"digraph",
    ".SVG": b"<svg",
    ".txt": b"loss 5: ",
    ".mmd": b"---",
}
GRAPHVIZ = {".png": b"\x89PNG", ".pdf": b"%PDF"}


@pytest.fixture
def picture() -> Graph:
    w = Tensor([1.0, 2.0], requires_grad=True, name="w")
    return graph((w * w).sum())


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")


@pytest.fixture
def fake_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a shell script called dot before everything else on PATH."""

    def install(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "dot").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "dot").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return install


@pytest.mark.usefixtures("no_dot", "no_wheel")
@pytest.mark.parametrize("suffix", OWN)
def test_these_formats_need_no_graphviz(picture: Graph, tmp_path: Path, suffix: str) -> None:
    written = picture.save(tmp_path / f"graph{suffix}")
    assert written == tmp_path / f"graph{suffix}"
    assert written.read_bytes().startswith(OWN[suffix])
    assert os.listdir(tmp_path) == [written.name]


@pytest.mark.usefixtures("no_dot")
@pytest.mark.parametrize("suffix", GRAPHVIZ)
def test_these_are_drawn_without_a_dot_program(picture: Graph, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("pygraphviz", reason="comes with the `draw` extra")
    assert picture.save(tmp_path / f"graph{suffix}").read_bytes().startswith(GRAPHVIZ[suffix])


def test_it_is_drawn_in_an_empty_environment(tmp_path: Path) -> None:
    code = (
        "from autodiff.draw import graph; from autodiff.tensor import Tensor; import sys; "
        "graph(Tensor(2.0, requires_grad=True) * 3).save(sys.argv[1])"
    )
    root = Path(__file__).parents[2]
    target = tmp_path / "graph.svg"
    subprocess.run([sys.executable, "-c", code, target], env={"PATH": "/nonexistent"}, cwd=root, check=True)
    assert ET.parse(target).getroot().tag.endswith("svg")


def test_another_suffix_is_refused_by_name(picture: Graph, tmp_path: Path) -> None:
    for name in ("graph.jpeg", "graph"):
        with pytest.raises(ValueError, match=r"\.svg, \.html, \.txt, \.mmd, \.dot, \.gv, \.png, \.pdf"):
            picture.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_dot", "no_wheel")
def test_without_graphviz_an_svg_is_saved_and_one_line_says_so(
    picture: Graph, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = picture.save(tmp_path / "graph.png")
    assert written == tmp_path / "graph.svg"
    assert written.read_text(encoding="utf-8") == picture.svg()
    (line,) = capsys.readouterr().err.splitlines()
    assert "nablagraph[draw]" in line
    assert str(written) in line


@pytest.mark.parametrize("include", [None, {"image/svg+xml"}])
def test_a_notebook_shows_the_picture_and_its_text(picture: Graph, include: set[str] | None) -> None:
    shown = picture._repr_mimebundle_(include=include, exclude=set())
    assert shown["image/svg+xml"] == picture.svg()
    assert shown.get("text/plain") == (None if include else picture.text())


def test_the_notebook_never_sees_an_exception(picture: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Graph) -> str:
        raise MemoryError("<b>&")

    monkeypatch.setattr(Graph, "svg", broken)
    shown = picture._repr_mimebundle_()
    assert "<b>&" in shown["text/plain"]
    assert "<b>&" in "".join(ET.fromstring(shown["image/svg+xml"]).itertext())


@posix
@pytest.mark.usefixtures("no_wheel")
def test_a_dot_that_hangs_is_stopped(
    picture: Graph, fake_dot: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autodiff.draw.render.TIME_LIMIT", 0.3)
    fake_dot("sleep 60")
    start = time.monotonic()
    with pytest.raises(RenderError, match=r"dot took longer than 0\.3 s"):
        render.render(picture.dot, "png")
    assert time.monotonic() - start < 20


@posix
@pytest.mark.usefixtures("no_wheel")
def test_the_persons_own_dot_comes_first(picture: Graph, fake_dot: Callable[[str], None]) -> None:
    fake_dot('cat > /dev/null; echo "own $1"')
    assert render.render(picture.dot, "png") == b"own -Tpng\n"


@posix
@pytest.mark.parametrize("script", ["echo broken >&2; exit 3", "exit 0", "kill -SEGV $$"])
def test_a_dot_that_fails_gives_way_to_the_wheel(picture: Graph, fake_dot: Callable[[str], None], script: str) -> None:
    pytest.importorskip("pygraphviz", reason="comes with the `draw` extra")
    fake_dot(script)
    assert render.render(picture.dot, "png").startswith(b"\x89PNG")


@posix
@pytest.mark.usefixtures("no_wheel")
def test_a_dot_that_fails_is_quoted(picture: Graph, fake_dot: Callable[[str], None]) -> None:
    fake_dot("echo first >&2; echo no such plugin >&2; exit 3")
    with pytest.raises(RenderError, match=r"^dot failed \(no such plugin\)$"):
        render.render(picture.dot, "pdf")


def test_a_module_in_the_working_directory_is_not_run(
    picture: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pygraphviz", reason="comes with the `draw` extra")
    (tmp_path / "pygraphviz.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert render.render(picture.dot, "png").startswith(b"\x89PNG")


def test_other_formats_are_refused() -> None:
    with pytest.raises(ValueError, match="png, pdf, got 'ps'"):
        render.render("digraph {}", "ps")


def test_a_failed_save_leaves_the_old_file(picture: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "graph.dot"
    target.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        picture.save(target)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["graph.dot"]


def test_repr_is_short(picture: Graph) -> None:
    assert repr(picture) == "<Graph of 3 tensors and 2 ops: .save('graph.svg') to see it>"


def test_importing_it_loads_neither_graphviz_nor_the_wheel() -> None:
    code = "import sys, autodiff.draw; sys.exit(bool({'graphviz', 'pygraphviz'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
