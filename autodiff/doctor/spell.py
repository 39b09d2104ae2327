"""Values in a person's own words: the names they have for them, and lines of numpy with those names."""

from __future__ import annotations

import ast
import operator
from typing import Any

import numpy as np

from autodiff.doctor.case import Case
from autodiff.doctor.names import Binding, statement_at
from autodiff.doctor.tape import Line
from autodiff.doctor.updates import name_of

_ARITHMETIC: dict[type[ast.operator], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def name_for(case: Case, node: int, line: Line | None) -> str | None:
    """Return what a value is called in the function of a line, best where the line itself says it."""
    found = [b for b in case.trial.names.bound(node) if b.name != "return"]
    here = [b for b in found if line is not None and b.line.function == line.function and b.line.file == line.file]
    if here and line is not None:
        said = [b for b in here if b.name in line.text]
        return min(said or here, key=_plainness).name
    turned = [i for i in case.tape[node].inputs if name_of(case.tape[node]) == "transpose"]
    if turned:
        inner = name_for(case, turned[0], line)
        return f"{inner}.T" if inner else None
    for other in _same(case, node):
        here = [
            b
            for b in case.trial.names.bound(other)
            if line is not None and b.line.function == line.function and b.name != "return"
        ]
        if here:
            return min(here, key=_plainness).name
    return min(found, key=_plainness).name if found else None


def _plainness(binding: Binding) -> tuple[int, int]:
    return binding.name.count("[") + binding.name.count("."), len(binding.name)


def _same(case: Case, node: int) -> list[int]:
    """Other nodes with the same numbers."""
    value = case.tape[node].value
    key = f"same {value.shape}"
    if key not in case.memo:
        case.memo[key] = [n.id for n in case.tape.nodes if n.value.shape == value.shape and n.value.dtype.kind == "f"]
    return [i for i in case.memo[key] if i != node and np.array_equal(case.tape[i].value, value)]


def count_name(case: Case, count: float, line: Line | None) -> str:
    """Return a person's name for a whole number, as `m`, else an expression for it."""
    for binding in case.trial.names.bindings:
        counts = type(binding.value) is int and binding.value == count and binding.name.isidentifier()
        here = line is not None and binding.line.function == line.function
        if counts and here and binding.name not in ("i", "j", "k", "t", "step", "epoch", "epochs"):
            return binding.name
    for id in (case.labels, case.output):
        if id is None:
            continue
        name = name_for(case, id, line)
        shape = case.tape[id].value.shape
        if name is not None and count in shape:
            return f"{name}.shape[{shape.index(int(count))}]"
    return f"{count:g}"


def statement(line: Line | None) -> ast.stmt | None:
    """Return the statement that a line belongs to."""
    return statement_at(line) if line is not None else None


def parts_of(line: Line | None) -> tuple[str, str] | None:
    """Return what a line assigns to, with its operator, and the expression: ``("db1 =", "delta1")``."""
    found = statement(line)
    if isinstance(found, ast.Assign) and len(found.targets) == 1 and not isinstance(found.targets[0], ast.Tuple):
        return f"{ast.unparse(found.targets[0])} =", ast.unparse(found.value)
    if isinstance(found, ast.AugAssign):
        sign = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}.get(type(found.op))
        return (f"{ast.unparse(found.target)} {sign}=", ast.unparse(found.value)) if sign else None
    if isinstance(found, ast.Return) and found.value is not None and not isinstance(found.value, ast.Tuple):
        return "return", ast.unparse(found.value)
    return None


def rewritten(line: Line | None, change: Any) -> str | None:
    """Return a line with its expression changed by ``change(expression)``."""
    parts = parts_of(line)
    return f"{parts[0]} {change(parts[1])}" if parts is not None else None


def bracketed(expression: str) -> str:
    """Put brackets around a sum, so that it can be multiplied."""
    tree = ast.parse(expression, mode="eval").body
    loose = isinstance(tree, (ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Compare, ast.BoolOp, ast.Lambda))
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, (ast.Mult, ast.MatMult, ast.Pow)):
        loose = isinstance(tree.op, ast.MatMult)
    return f"({expression})" if loose else expression


def with_operand(case: Case, line: Line | None, node: int, text: str) -> str | None:
    """Return a line with `text` in place of the operand that holds the node."""
    found = statement(line)
    if found is None or line is None:
        return None
    names = {b.name for b in case.trial.names.bound(node)}
    turned = case.tape[node].inputs if name_of(case.tape[node]) == "transpose" else ()
    inner = {b.name for i in turned for b in case.trial.names.bound(i)}
    done: list[bool] = []

    class Swap(ast.NodeTransformer):
        def visit(self, here: ast.AST) -> Any:
            if isinstance(here, ast.expr) and isinstance(getattr(here, "ctx", None), ast.Load) and not done:
                said = ast.unparse(here)
                if said in names or (said.endswith(".T") and said[:-2] in inner):
                    done.append(True)
                    return ast.parse(text, mode="eval").body
            return super().visit(here)

    source = ast.unparse(found)
    tree = ast.parse(source).body[0]
    if isinstance(tree, ast.AugAssign):
        tree.value = Swap().visit(tree.value)
    else:
        tree = Swap().visit(tree)
    return ast.unparse(ast.fix_missing_locations(tree)) if done else None


def with_part(case: Case, line: Line | None, value: Any, text: str) -> str | None:
    """Return a line with `text` in place of the part of its expression that has this value; None where none has.

    Only arithmetic on names is looked into: nothing of a person's is called.
    """
    found = statement(line)
    if line is None or not isinstance(found, (ast.Assign, ast.AugAssign, ast.Return)) or found.value is None:
        return None
    known: dict[str, Any] = {}
    for binding in case.trial.names.bindings:
        if binding.line.function == line.function:
            known[binding.name] = case.tape[binding.node].value if binding.node is not None else binding.value

    def worth(part: ast.expr) -> Any:
        if isinstance(part, ast.Constant):
            return part.value
        if isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.USub):
            return -worth(part.operand)
        if isinstance(part, ast.BinOp) and type(part.op) in _ARITHMETIC:
            return _ARITHMETIC[type(part.op)](worth(part.left), worth(part.right))
        return known[ast.unparse(part)]

    class Swap(ast.NodeTransformer):
        done = False

        def visit(self, part: ast.AST) -> Any:
            if isinstance(part, ast.BinOp) and not self.done:
                try:
                    with np.errstate(all="ignore"):
                        same = np.array_equal(worth(part), value)
                except (KeyError, TypeError, ValueError, ArithmeticError):
                    same = False
                if same:
                    self.done = True
                    return ast.parse(text, mode="eval").body
            return super().visit(part)

    swap = Swap()
    tree = ast.fix_missing_locations(swap.visit(ast.parse(ast.unparse(found)).body[0]))
    return ast.unparse(tree) if swap.done else None


def slope_text(case: Case, z: int, a: int, slope: Any, line: Line | None) -> str | None:
    """Return an expression for an activation's slope in a person's names."""
    value, out = case.tape[z].value, case.tape[a].value
    z_name, a_name = name_for(case, z, line), name_for(case, a, line)
    if np.allclose(slope, out * (1 - out), atol=1e-8) and a_name:
        return f"{a_name} * (1 - {a_name})"
    if np.allclose(slope, 1 - out**2, atol=1e-8) and a_name:
        return f"(1 - {a_name} ** 2)"
    if np.array_equal(slope, value > 0):
        return f"({z_name} > 0)" if z_name else f"({a_name} > 0)" if a_name else None
    return None


def activation_name(case: Case, z: int, a: int, slope: Any) -> str:
    """Name an activation by its numbers."""
    value, out = case.tape[z].value, case.tape[a].value
    with np.errstate(all="ignore"):
        if np.allclose(out, 1 / (1 + np.exp(-value)), atol=1e-10):
            return "sigmoid"
        if np.allclose(out, np.tanh(value), atol=1e-10):
            return "tanh"
    if np.array_equal(out, np.maximum(value, 0)):
        return "ReLU"
    return "activation"
