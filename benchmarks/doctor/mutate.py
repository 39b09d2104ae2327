"""All first-order mutants of a patient's backward pass: one small change of the syntax tree each.

The file's text changes only at the node that was mutated, so every line keeps its number and the rest its form.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from case import SCRIPT, source
from fault import UPDATE, Fault, effect
from swaps import candidates, swaps

MARK = "# backward"
OPPOSITE: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip
COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Gt: ast.Lt, ast.Lt: ast.Gt, ast.GtE: ast.Lt, ast.LtE: ast.Gt, ast.Eq: ast.NotEq,
}  # fmt: skip
DROPPED = "update dropped"
TOTALS = {"sum": "mean", "mean": "sum"}

Change = tuple[str, ast.AST]


def mutants(patient: str, folder: Path) -> tuple[list[Fault], dict[str, int]]:
    """Return the mutants that change an update, and how many were left out for which reason."""
    kept: list[Fault] = []
    left_out: dict[str, int] = {}
    for fault in raw(patient):
        verdict = effect(fault, folder)
        if verdict.startswith("no: "):
            left_out[verdict[4:]] = left_out.get(verdict[4:], 0) + 1
        else:
            kept.append(fault)
    return kept, left_out


def raw(patient: str) -> Iterator[Fault]:
    """Yield every mutant, whether it runs or not, each text once."""
    text = source(patient)
    seen = {text}
    count: Counter[str] = Counter()
    for statement, names in statements(patient, text):
        for node, kind, new in changes(statement, names):
            mutated = splice(text, node, new)
            if mutated in seen:
                continue
            seen.add(mutated)
            line = statement.lineno
            was, now = (code.splitlines()[line - 1].strip() for code in (text, mutated))
            count[f"{line}:{kind}"] += 1
            number = count[f"{line}:{kind}"]
            yield Fault(
                patient, f"{kind}#{number}" if number > 1 else kind, mutated, (frozenset([line]),), (), was, now
            )


def statements(patient: str, text: str) -> Iterator[tuple[ast.stmt, list[ast.expr]]]:
    """Yield the statements of the backward pass with the variables within their reach.

    They are those of the functions that the file's BACKWARD lists: all of them, or those below a `# backward`.
    """
    tree = ast.parse(text)
    lines = text.splitlines()
    functions: dict[str, ast.FunctionDef | ast.Module] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            functions[node.name] = node
        if isinstance(node, ast.ClassDef):
            functions |= {f"{node.name}.{f.name}": f for f in node.body if isinstance(f, ast.FunctionDef)}
    wanted: list[str] = next((ast.literal_eval(n.value) for n in tree.body if _assigns(n, "BACKWARD")), [])  # type: ignore[attr-defined]
    chosen = [functions[name] for name in wanted] if patient != SCRIPT else [tree]
    for function in chosen:
        nodes = [n for n in ast.walk(function) if isinstance(n, ast.stmt) and n is not function]
        last = max(n.end_lineno or 0 for n in nodes)
        marks = [i for i in range(nodes[0].lineno - 1, last) if lines[i].strip() == MARK]
        start = marks[0] if marks else 0
        names = candidates(function)
        for node in sorted(nodes, key=lambda n: n.lineno):
            if node.lineno > start and not isinstance(node, ast.FunctionDef | ast.If):
                yield node, names


def _assigns(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name


def changes(statement: ast.stmt, names: list[ast.expr]) -> Iterator[tuple[ast.AST, str, ast.AST]]:
    """Yield (node, kind, what to put there) for one statement; a loop gives its header only."""
    if isinstance(statement, ast.For):
        roots: list[ast.AST] = [statement.iter]
    elif isinstance(statement, ast.Assign | ast.AugAssign | ast.Return) and statement.value is not None:
        roots = [statement.value]
        if isinstance(statement, ast.AugAssign):
            other = copy.deepcopy(statement)
            other.op = OPPOSITE.get(type(statement.op), ast.Add)()
            yield statement, "update sign", other
            if UPDATE.search(ast.unparse(statement)):
                yield statement, DROPPED, ast.Pass()
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Subscript):
            roots.append(statement.targets[0].slice)
        if not isinstance(statement.value, ast.Tuple | ast.Dict | ast.Name):
            yield statement.value, "sign", ast.UnaryOp(ast.USub(), statement.value)
    else:
        return
    for root in roots:
        for node in ast.walk(root):
            if isinstance(node, ast.expr):
                yield from ((node, kind, new) for kind, new in _expression(node))
        yield from swaps(root, names)


def _expression(node: ast.expr) -> Iterator[Change]:
    if isinstance(node, ast.BinOp):
        yield from _binary(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        if not isinstance(node.operand, ast.Constant):
            yield "sign", node.operand
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        yield "comparison", ast.Compare(node.left, [COMPARED[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield "transpose dropped", node.value
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value is not True:
        yield "constant", ast.Constant(node.value + 1)
        if type(node.value) is int:
            yield "constant", ast.Constant(node.value - 1)
    elif isinstance(node, ast.Call):
        yield from _call(node)
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Name | ast.BinOp | ast.UnaryOp):
        for step in (ast.Add(), ast.Sub()):
            yield "off by one", ast.Subscript(node.value, ast.BinOp(node.slice, step, ast.Constant(1)), node.ctx)


def _binary(node: ast.BinOp) -> Iterator[Change]:
    left, op, right = node.left, node.op, node.right
    if type(op) in OPPOSITE:
        yield "operator", ast.BinOp(left, OPPOSITE[type(op)](), right)
    if isinstance(op, ast.Mult):
        yield "factor dropped", left
        yield "factor dropped", right
        yield "operator", ast.BinOp(left, ast.Add(), right)
    elif isinstance(op, ast.Div):
        yield "factor dropped", left
    elif isinstance(op, ast.Add | ast.Sub):
        yield "term dropped", left
        yield "term dropped", right
        if isinstance(op, ast.Sub):
            yield "operands swapped", ast.BinOp(right, op, left)
    elif isinstance(op, ast.MatMult):
        yield from _product(left, right, lambda a, b: ast.BinOp(a, ast.MatMult(), b))
    elif isinstance(op, ast.Pow):
        yield "power", left
        yield "power", ast.BinOp(left, op, ast.Constant(3))


def _call(node: ast.Call) -> Iterator[Change]:
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    of_numpy = isinstance(function, ast.Attribute) and ast.unparse(function.value) == "np"
    if name in ("dot", "multiply", "outer", "divide") and of_numpy and len(node.args) == 2:
        a, b = node.args
        if name == "multiply":
            yield "factor dropped", a
            yield "factor dropped", b
        else:
            yield from _product(a, b, lambda a, b: ast.Call(function, [a, b], []))
    elif name == "dot" and isinstance(function, ast.Attribute):
        yield from _product(
            function.value, node.args[0], lambda a, b: ast.Call(ast.Attribute(a, "dot", ast.Load()), [b], [])
        )
    elif name in TOTALS and isinstance(function, ast.Attribute):
        other = ast.Attribute(function.value, TOTALS[name], ast.Load())
        yield "mean for sum", ast.Call(other, node.args, node.keywords)
        yield "sum dropped", node.args[0] if of_numpy else function.value
        for i, keyword in enumerate(node.keywords):
            others = [k for j, k in enumerate(node.keywords) if j != i]
            yield f"{keyword.arg} dropped", ast.Call(function, node.args, others)
            if keyword.arg == "axis":
                both = [ast.keyword("axis", ast.Constant(1 - ast.literal_eval(keyword.value))), *others]
                yield "axis", ast.Call(function, node.args, both)
    elif name == "where" and len(node.args) == 3:
        yield "where swapped", ast.Call(function, [node.args[0], node.args[2], node.args[1]], [])
    elif name == "einsum" and isinstance(node.args[0], ast.Constant):
        yield from _einsum(node)
    elif len(node.args) == 1 and not node.keywords and name not in ("zeros", "zeros_like", "len", "range", "str"):
        yield "call dropped", node.args[0]


def _product(a: ast.expr, b: ast.expr, make: object) -> Iterator[Change]:
    assert callable(make)
    yield "operands swapped", make(b, a)
    yield "transpose added", make(ast.Attribute(a, "T", ast.Load()), b)
    yield "transpose added", make(a, ast.Attribute(b, "T", ast.Load()))
    yield "transposed", ast.Attribute(make(a, b), "T", ast.Load())


def _einsum(node: ast.Call) -> Iterator[Change]:
    """Exchange two neighbouring letters of one of the subscripts."""
    spec = node.args[0]
    assert isinstance(spec, ast.Constant)
    assert isinstance(spec.value, str)
    for i, (a, b) in enumerate(pairwise(spec.value)):
        if a.isalpha() and b.isalpha():
            other = spec.value[:i] + b + a + spec.value[i + 2 :]
            yield "einsum letters", ast.Call(node.func, [ast.Constant(other), *node.args[1:]], [])


def splice(text: str, node: ast.AST, new: ast.AST) -> str:
    """Return `text` with `new` at the place of `node`."""
    code = ast.unparse(ast.fix_missing_locations(new))
    if isinstance(new, ast.BinOp | ast.UnaryOp | ast.Compare | ast.IfExp):
        code = f"({code})"
    lines = text.splitlines(keepends=True)
    first, last = node.lineno - 1, node.end_lineno - 1  # type: ignore[attr-defined]
    head, tail = lines[first][: node.col_offset], lines[last][node.end_col_offset :]  # type: ignore[attr-defined]
    return "".join([*lines[:first], head + code + "\n" * (last - first) + tail, *lines[last + 1 :]])
