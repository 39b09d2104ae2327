"""How a value came to where it is used: the lines that made it, named it and passed it on."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import lru_cache

from autodiff.doctor.case import Case
from autodiff.doctor.claims import Claim
from autodiff.doctor.names import Binding, statement_at, tree_of
from autodiff.doctor.tape import Line


def carried(case: Case, node: int, claim: Claim) -> tuple[Line, ...]:
    """Return the lines to blame where a right value is used as the gradient of a parameter that it is not of.

    It is the update where that says the value's own name; else where it was given the name that the update says.
    """
    update = case.tape[claim.update].lines[:1]
    if not update:
        return ()
    said = loads(update[0])
    own = [b for b in case.trial.names.bound(node) if b.name != "return"]
    if own and own[0].name in said and own[0].line.function == update[0].function:
        return update
    way = case.tape.ancestors([claim.update]) & case.tape.descendants([node])
    shared = case.tape.ancestors(c.update for c in case.claims.values() if c is not claim)
    picked = (b for i in sorted(way & shared) for b in case.trial.names.bound(i) if b.line != update[0])
    if any(b.name in said and not b.name.isidentifier() and "." in b.name for b in picked):
        return update
    passing = [line for line in mentions(case, node, claim.update) if line not in (update[0], *case.tape[node].lines)]
    chosen = any(b.name in said and not b.name.isidentifier() for b in own)  # an item or attribute, picked there
    lines = [*update, *passing[-1:]] if chosen or not passing else [passing[-1], passing[0]]
    return tuple(dict.fromkeys(lines))


def mentions(case: Case, node: int, until: int) -> list[Line]:
    """Return the lines that say a name of `node` after it was made and before `until` was, in the order of the run."""
    names: dict[str, set[str]] = {}
    for b in case.trial.names.bound(node):
        names.setdefault(b.line.function, set()).add(b.name)
    return [
        line
        for line, at in case.trial.names.visited
        if node < at <= until and names.get(line.function, set()) & loads(line)
    ]


def origin(case: Case, line: Line, until: int) -> tuple[Line, ...]:
    """Return the line that gave the youngest of the names on a line its meaning, beside the loops around it."""
    bindings = [b for b in case.trial.names.bindings if b.at <= until + 1]
    said = loads(line)
    young: Binding | None = None
    for name in said:
        latest = next((b for b in reversed(bindings) if b.name == name and b.line.function == line.function), None)
        if latest is None or isinstance(statement_at(latest.line), ast.For):
            continue
        first = _first(bindings, latest)
        if isinstance(statement_at(first.line), ast.FunctionDef):
            continue
        if first.name not in targets(first.line):
            continue  # it was only read there
        if first.line != line and (young is None or bindings.index(young) < bindings.index(first)):
            young = first
    return (young.line,) if young is not None else ()


def _first(bindings: list[Binding], latest: Binding) -> Binding:
    """The first name of what a name means: the same node, or the very same number."""
    if type(latest.value) is int:  # small ones are the same everywhere
        return latest
    for b in bindings:
        same = b.node == latest.node if latest.node is not None else b.node is None and b.value is latest.value
        if same and not isinstance(statement_at(b.line), ast.FunctionDef):
            return b
    return latest


def renamed(case: Case, line: Line, node: int) -> tuple[Line, ...]:
    """Return the line of the backward pass that gave a name on `line` to a number, or to a value made before it."""
    assert case.truth is not None
    said = loads(line)
    for b in reversed([b for b in case.trial.names.bindings if judged_from(case) < b.at <= node]):
        if b.name not in said or b.line == line or b.line.function != line.function:
            continue
        before = b.node is None or b.node in case.truth.forward or case.tape[b.node].func is None
        if before and isinstance(statement_at(b.line), ast.Assign):
            return (b.line,)
    return ()


def named(case: Case, line: Line, nodes: Iterable[int], until: int) -> tuple[Line, ...]:
    """Return the line that last gave one of `nodes`, which the backward pass made, the name that `line` says."""
    assert case.truth is not None
    said, wanted = loads(line), {i for i in nodes if i not in case.truth.forward}
    for b in reversed([b for b in case.trial.names.bindings if judged_from(case) < b.at <= until]):
        if b.node in wanted and b.name in said and b.line.function == line.function and b.line != line:
            return (b.line,)
    return ()


def silent(case: Case, line: Line, node: int) -> tuple[Line, ...]:
    """Return a line of a function that `line` called on the way to `node`, and that computed nothing on the tape."""
    visited = case.trial.names.visited
    start = next((i for i in range(len(visited) - 1, -1, -1) if visited[i][0] == line and visited[i][1] <= node), None)
    if start is None:
        return ()
    made = {one for n in case.tape.nodes for one in n.lines}
    for other, at in visited[start + 1 :]:
        if other.function == line.function or at > node:
            break
        if other not in made and isinstance(statement_at(other), ast.Return):
            return (other,)
    return ()


def judged_from(case: Case) -> int:
    """Where on the tape the forward pass ends, of the first sample where each has a pass of its own."""
    ends = [output for output, _ in case.pairs]
    ends += [id for id in (case.output, case.truth.loss if case.truth is not None else None) if id is not None]
    return min(ends, default=0)


def counted(case: Case, line: Line) -> tuple[Line, float] | None:
    """Return the line that made a number which a line counts with, as in ``m = X.shape[0]``, and the number."""
    said = loads(line)
    for b in reversed(case.trial.names.bindings):
        mine = b.name in said and b.line.function == line.function and b.line != line
        if mine and type(b.value) in (int, float) and isinstance(statement_at(b.line), ast.Assign):
            return b.line, float(b.value)
    return None


@lru_cache(maxsize=4096)
def loads(line: Line) -> frozenset[str]:
    """Return the names, attributes and items that a line reads; of a loop or branch, those of its head."""
    return frozenset(
        ast.unparse(node)
        for part in _head(statement_at(line))
        for node in ast.walk(part)
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Load)
    )


@lru_cache(maxsize=4096)
def targets(line: Line) -> tuple[str, ...]:
    """Return what a line assigns to."""
    found = statement_at(line)
    roots = (
        found.targets if isinstance(found, ast.Assign) else [found.target] if isinstance(found, ast.AugAssign) else []
    )
    flat: list[ast.expr] = []
    for root in roots:
        flat += root.elts if isinstance(root, (ast.Tuple, ast.List)) else [root]
    return tuple(ast.unparse(target) for target in flat)


def loops(line: Line) -> list[Line]:
    """Return the heads of the loops around a line that choose what it works on, outermost first."""
    tree = tree_of(line.file)
    said = {node.id for node in ast.walk(statement_at(line) or ast.Pass()) if isinstance(node, ast.Name)}
    found = [
        node.lineno
        for node in (ast.walk(tree) if tree is not None else ())
        if isinstance(node, ast.For)
        and node.lineno < line.number <= (node.end_lineno or node.lineno)
        and said & {name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)}
    ]
    return [Line(line.file, number, line.function) for number in sorted(found)]


def _head(found: ast.stmt | None) -> Iterable[ast.AST]:
    if isinstance(found, ast.For):
        return [found.iter]
    if isinstance(found, (ast.If, ast.While)):
        return [found.test]
    if isinstance(found, (ast.FunctionDef, ast.ClassDef, ast.With)) or found is None:
        return []
    return [found]
