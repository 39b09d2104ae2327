"""What the README, the docs and the examples show is run as it stands."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))] if path.exists()]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

BLOCK = re.compile(r"^( *)```python *\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[int, str]]:
    """Return the Python blocks of a page, each with the line on which its code begins."""
    found = []
    for match in BLOCK.finditer(page):
        indent, code = match.groups()
        lines = [line.removeprefix(indent) for line in code.splitlines()]
        found.append((page.count("\n", 0, match.start(2)) + 1, "\n".join(lines) + "\n"))
    return found


def run_page(text: str, path: str) -> int:
    """Run a page's blocks one after the other, as one program; return how many there were."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line, code in blocks(text):
        if code.lstrip().startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(code, namespace, path, path, line - 1)
            report: list[str] = []
            outcome = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
                test, out=report.append, clear_globs=False
            )
            namespace.update(test.globs)
            assert not outcome.failed, "".join(report)
        else:
            # Blank lines in front make line numbers in a traceback those of the page.
            exec(compile("\n" * (line - 1) + code, path, "exec"), namespace)
    return len(blocks(text))


@pytest.mark.usefixtures("own_ops")
@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(page.read_text(encoding="utf-8"), str(page))


def test_the_readme_shows_code() -> None:
    assert blocks((ROOT / "README.md").read_text(encoding="utf-8"))


def test_a_block_that_fails_is_found_with_its_line() -> None:
    page = "# Title\n\n```python\nx = 1\n```\n\nNot run:\n\n```\n1 / 0\n```\n\n```python\ny = x\nz = y / 0\n```\n"
    assert [line for line, _ in blocks(page)] == [4, 14]
    with pytest.raises(ZeroDivisionError) as caught:
        run_page(page, "page.md")
    assert caught.traceback[-1].lineno + 1 == 15


def test_a_session_that_shows_a_wrong_result_is_found() -> None:
    assert run_page("```python\n>>> x = 2\n>>> x + 1\n3\n```\n```python\ny = x\n```\n", "page.md") == 2
    with pytest.raises(AssertionError, match="Expected"):
        run_page("```python\n>>> 1 + 1\n3\n```\n", "page.md")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_run(example: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example), "--quick"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, f"{example.name} failed\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert done.stdout.strip(), "an example says what it has done"


def test_there_are_examples() -> None:
    assert EXAMPLES
