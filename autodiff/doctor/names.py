"""What a person calls their values: which name was bound to which node, on which line."""

from __future__ import annotations

import ast
import linecache
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

from autodiff.doctor.probe import Probe, probe
from autodiff.doctor.tape import Line

_PLAIN = (int, float, tuple, bool, np.int64, np.float64)
_SKIP = (
    f"{Path(__file__).parent}{os.sep}",
    f"{Path(np.__file__).parent}{os.sep}",
    "<frozen ",
    f"{os.sep}lib{os.sep}python",
)


class Binding(NamedTuple):
    """`name` came to mean `node` (or the plain number `value`) on a line, when the tape had `at` nodes."""

    name: str
    node: int | None
    value: Any
    line: Line
    at: int


class Names:
    """Every binding, in order, and every line that was run, with the number of nodes on the tape before it."""

    def __init__(self) -> None:
        self.bindings: list[Binding] = []
        self.visited: list[tuple[Line, int]] = []
        self.budget = 50_000
        self.trained: dict[tuple[str, str, str], str] = {}  # local numbers to be followed, by file, function and name
        self.values: dict[str, Any] = {}  # other values for these
        self.grown: dict[int, str] = {}  # their nodes
        self.lost: list[str] = []

    def of(self, node: int, function: str | None = None) -> str | None:
        """Return a person's shortest name for a node, in that function where there is one."""
        found = [
            b
            for b in self.bindings
            if b.node == node and b.name != "return" and (function is None or b.line.function == function)
        ]
        return min((b.name for b in found), key=lambda name: (len(name.split("[")), len(name)), default=None)

    def bound(self, node: int) -> list[Binding]:
        """Return all bindings of a node, in order."""
        return [b for b in self.bindings if b.node == node]


@contextmanager
def naming(names: Names, tape: Any, running: FrameType | None = None) -> Iterator[None]:
    """Follow the person's code line by line, also in a frame that runs already, and note what its names mean."""
    seen: dict[int, dict[str, tuple[int, int | None]]] = {}
    last: dict[int, int] = {}

    def follow(value: Any, path: str) -> Probe:
        made = probe(np.float64(names.values.pop(path, value)))
        made.scalar = True
        assert made.node is not None
        names.grown.setdefault(made.node, path)
        return made

    def look(frame: FrameType) -> None:
        key = id(frame)
        line = Line(frame.f_code.co_filename, last[key], frame.f_code.co_name)
        for name, value in list(frame.f_locals.items()):
            if type(value) in (int, float) and (line.file, line.function, name) in names.trained:
                frame.f_locals[name] = value = follow(value, names.trained[line.file, line.function, name])
            note(frame, line, name, value)
        for target in _targets(frame.f_code.co_filename).get(last[key], ()):
            value = _evaluated(target, frame)
            slot = line.file, line.function, target
            if note(frame, line, target, value) and type(value) in (int, float) and slot in names.trained:
                made = follow(value, names.trained[slot])
                _assign(target, made, frame)
                names.bindings.append(Binding(target, made.node, None, line, len(tape)))

    def note(frame: FrameType, line: Line, name: str, value: Any) -> bool:
        node = value.node if isinstance(value, Probe) else None
        mark = id(value), node  # a binding keeps its number, so that no other has that id
        if (node is None and type(value) not in _PLAIN) or seen[id(frame)].get(name) == mark:
            return False
        seen[id(frame)][name] = mark
        names.bindings.append(Binding(name, node, value if node is None else None, line, len(tape)))
        return True

    def local(frame: FrameType, event: str, arg: Any) -> Any:
        if names.budget <= 0:
            return None
        names.budget -= 1
        key = id(frame)
        if key in last:
            look(frame)
        if event == "return":
            if isinstance(arg, Probe):
                line = Line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
                names.bindings.append(Binding("return", arg.node, None, line, len(tape)))
            seen.pop(key, None)
            last.pop(key, None)
            return None
        last[key] = frame.f_lineno
        names.visited.append((Line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name), len(tape)))
        return local

    def begin(frame: FrameType, event: str, arg: Any) -> Any:
        file = frame.f_code.co_filename
        ours = str(frame.f_globals.get("__name__", "")).startswith(("autodiff.", "namedtuple_", "numpy."))
        if ours or file.startswith((*_SKIP[:3], "<__array_function__")) or _SKIP[3] in file or names.budget <= 0:
            return None
        seen[id(frame)] = {}
        last[id(frame)] = frame.f_lineno
        return local

    before = sys.gettrace()
    sys.settrace(begin)
    if running is not None:
        seen[id(running)] = {}
        running.f_trace = local
    try:
        yield
    finally:
        sys.settrace(before)
        if running is not None:
            if id(running) in last:
                look(running)
            running.f_trace = None


@lru_cache(maxsize=64)
def tree_of(file: str) -> ast.Module | None:
    """Return the parsed source of a file; None where it cannot be read."""
    text = "".join(linecache.getlines(file))
    try:
        return ast.parse(text) if text else None
    except SyntaxError:
        return None


@lru_cache(maxsize=64)
def _targets(file: str) -> dict[int, list[str]]:
    """The attributes and items that each line assigns, and those that it reads: names a value can go by."""
    found: dict[int, list[str]] = {}
    tree = tree_of(file)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, (ast.Attribute, ast.Subscript)) and _simple(node):
            found.setdefault(node.lineno, []).append(ast.unparse(node))
    return {line: list(dict.fromkeys(names)) for line, names in found.items()}


def _simple(node: ast.AST) -> bool:
    """Whether reading an expression can have no effect: names, attributes, constant or named indices."""
    if isinstance(node, ast.Attribute):
        return node.attr not in ("T", "shape", "mT", "flat") and _simple(node.value)
    if isinstance(node, ast.Subscript):
        index = node.slice.operand if isinstance(node.slice, ast.UnaryOp) else node.slice
        whole = isinstance(index, (ast.Constant, ast.Name, ast.BinOp, ast.JoinedStr))
        return whole and _simple(node.value)
    return isinstance(node, ast.Name)


_compiled: dict[str, CodeType] = {}


def _evaluated(text: str, frame: FrameType) -> Any:
    if text not in _compiled:
        _compiled[text] = compile(text, "<name>", "eval")
    try:
        holder = text.rsplit("[", 1)[0] if text.endswith("]") else None
        if holder is not None and isinstance(_evaluated(holder, frame), np.ndarray):
            return None  # an element of an array is computed, not named
        return eval(_compiled[text], frame.f_globals, frame.f_locals)
    except Exception:
        return None


def _assign(target: str, value: Any, frame: FrameType) -> None:
    """Set an attribute or an item that a person's code has just set."""
    exec(compile(f"{target} = __value", "<name>", "exec"), frame.f_globals, {**frame.f_locals, "__value": value})


def statement_at(line: Line) -> ast.stmt | None:
    """Return the innermost simple statement that a line belongs to."""
    tree = tree_of(line.file)
    best: ast.stmt | None = None
    for node in ast.walk(tree) if tree is not None else ():
        holds = isinstance(node, ast.stmt) and node.lineno <= line.number <= (node.end_lineno or node.lineno)
        if holds and isinstance(node, ast.stmt) and (best is None or node.lineno >= best.lineno):
            best = node
    return best
