"""Mutants that take another variable than the right one."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator

#: The most other variables that are tried in one place.
MOST = 3
NOT_VALUES = {"np", "self", "range", "len", "reversed", "zip", "str", "print", "Y", "enumerate"}


def candidates(function: ast.AST) -> list[ast.expr]:
    """Return the distinct variables that a function reads: names, attributes, items under a fixed key."""
    called = {id(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}
    inside: set[int] = set()
    found: dict[str, ast.expr] = {}
    for node in ast.walk(function):
        if id(node) in called or id(node) in inside:
            inside.update(id(child) for child in ast.iter_child_nodes(node))
            continue
        if is_variable(node):
            inside.update(id(child) for child in ast.iter_child_nodes(node))
            assert isinstance(node, ast.expr)
            found.setdefault(ast.unparse(node), node)
    return list(found.values())


def is_variable(node: ast.AST) -> bool:
    """Whether a node reads something that has a name: `a`, `self.layer1.weights`, `cache["A1"]`."""
    if not isinstance(getattr(node, "ctx", None), ast.Load):
        return False
    if isinstance(node, ast.Name):
        return node.id not in NOT_VALUES
    if isinstance(node, ast.Attribute):
        return node.attr not in ("T", "shape", "size") and ast.unparse(node.value).split(".")[0] != "np"
    return isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)


def swaps(root: ast.AST, names: list[ast.expr]) -> Iterator[tuple[ast.AST, str, ast.AST]]:
    """Yield up to `MOST` other variables for each that is read below `root`, always the same ones."""
    called = {id(node.func) for node in ast.walk(root) if isinstance(node, ast.Call)}
    inside: set[int] = set()
    for node in ast.walk(root):
        if id(node) in inside or id(node) in called or not is_variable(node):
            if id(node) in called or id(node) in inside:
                inside.update(id(child) for child in ast.iter_child_nodes(node))
            continue
        inside.update(id(child) for child in ast.iter_child_nodes(node))
        here = ast.unparse(node)
        others = [name for name in names if ast.unparse(name) != here]
        others.sort(key=lambda name: hashlib.sha256(f"{here}|{ast.unparse(name)}".encode()).digest())
        for other in others[:MOST]:
            yield node, "variable", other
