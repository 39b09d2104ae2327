"""The program that the docs print is the one that the code next to it makes. Run this file to print it anew."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "compile.md"
SHOWN = re.compile(r"(<!-- print\(step\.program\) -->\n```text\n)(.*?)(^```)", re.MULTILINE | re.DOTALL)
# Blank lines in front make line numbers those of the page, in which the program looks up its sources.
SCRIPT = r"""
above, _, rest = open({page!r}, encoding="utf-8").read().partition("```python\n")
code = "\n" * (above.count("\n") + 1) + rest.partition("```")[0].replace("print(", "str(")
exec(compile(code, {page!r}, "exec"))
print(step.program)
"""


def printed() -> str:
    """Run the first block of the page in a process of its own, and return what its program looks like."""
    script = SCRIPT.format(page=str(PAGE))
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", script], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() + "\n"


def test_the_program_on_the_page() -> None:
    shown = SHOWN.search(PAGE.read_text(encoding="utf-8"))
    assert shown is not None
    assert shown[2] == printed(), "run `python tests/test_compile_page.py` to print the program anew"


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(SHOWN.sub(lambda found: found[1] + printed() + found[3], page), encoding="utf-8")
