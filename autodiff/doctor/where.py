"""Which line to blame for a wrong value."""

from __future__ import annotations

import ast

from autodiff.doctor.case import Case
from autodiff.doctor.claims import Claim
from autodiff.doctor.known import Known
from autodiff.doctor.search import Fault
from autodiff.doctor.spell import statement
from autodiff.doctor.tape import Line


def lines_of(case: Case, fault: Fault, known: Known | None = None) -> tuple[Line, ...]:
    """Return the lines to blame for a fault, the likeliest first; two at most."""
    tape = case.tape
    if fault.kind == "use":
        bound = _bound(case, fault)
        if bound is not None:
            return (bound,)
        assert case.truth is not None
        claim = case.claims[fault.parameters[0]]
        shared = any(not _on_way(case, i, claim) for i in tape.consumers().get(fault.node, ()))
        if not shared and fault.node not in case.truth.forward and tape[fault.node].func is not None:
            return tape[fault.node].lines[:1]
        way = tape.ancestors([claim.update])
        users = [i for i in tape.consumers().get(fault.node, ()) if i in way]
        users = [i for i in users if not _leads_elsewhere(case, i, claim)]
        return tape[min(users, default=claim.update)].lines[:1]
    if fault.kind == "value" and fault.node == fault.first and known is not None:
        other = known.find(case.tape[fault.node].value, "adjoint")
        if other and fault.node not in case.memo.get("blamed", ()):
            # The value is right as it was made; it is wrong where it passes for something else.
            user = min((i for i in tape.consumers().get(fault.node, ())), default=len(tape))
            last = max((case.claims[p].update for p in fault.parameters), default=user)
            second = alias(case, fault.node, last)
            if second is not None:
                return (second,)
            made = tape[fault.node].lines
            if len(made) > 1 and made[0].function != made[1].function and tape[user].lines[:1] == made[1:2]:
                return made[1:2]
            if len(made) > 1 and isinstance(statement(made[0]), ast.Return) and _named_there(case, fault.node, made[1]):
                return made[1:2]
    stack = tape[fault.first].lines
    if not stack:
        return ()
    if fault.kind in ("factor", "update"):
        return stack[:1]
    # A line that computes right values elsewhere is not to blame: who called it is.
    found = [line for line in stack if not _right_elsewhere(case, fault, line)]
    if not found:
        return stack[:1]
    best = [found[0]]
    if len(found) > 1 and fault.kind == "unknown" and found[0].function != found[1].function:
        return tuple(found[:2])
    if (
        len(found) > 1
        and fault.entry is not None
        and fault.entry.kind == "slope"
        and found[0].function != found[1].function
    ):
        best = [found[1]] if known is not None and _right_in_another_call(case, known, found[0]) else found[:2]
    return tuple(best)


def _right_in_another_call(case: Case, known: Known, line: Line) -> bool:
    """Whether a line gives a right slope elsewhere in the backward pass: then it is the call that is wrong."""
    for node in case.tape.nodes:
        last = node.id + 1 >= len(case.tape) or case.tape[node.id + 1].lines[:1] != (line,)
        if node.lines[:1] == (line,) and last and case.depends[node.id] and node.value.size > 1:
            for match in known.find(node.value, "slope"):
                if (
                    abs(match.factor - 1) < 1e-6
                    and known.activations.get(match.entry.node, (None,))[0] == match.entry.to
                ):
                    return True
    return False


def _right_elsewhere(case: Case, fault: Fault, line: Line) -> bool:
    """Whether a line also computes values of the forward pass."""
    assert case.truth is not None
    return any(case.tape[i].lines[:1] == (line,) for i in case.truth.forward)


def _bound(case: Case, fault: Fault) -> Line | None:
    """The line that gives a value the name under which it is used as a gradient: ``db1 = delta1``."""
    claim = case.claims[fault.parameters[0]]
    update = case.tape[claim.update].lines
    said = update[0].text if update else ""
    way = {fault.node, claim.moved, *(id for id, _ in claim.scalars)}
    bindings = [b for b in case.trial.names.bindings if b.node in way and b.at <= claim.update + 1]
    for binding in reversed(bindings):
        found = statement(binding.line)
        if binding.name in said and _is_alias(found, binding.name):
            line: Line = binding.line
            return line
    aliases: list[Line] = [b.line for b in bindings if _is_alias(statement(b.line), b.name)]
    return aliases[-1] if aliases else None


def _named_there(case: Case, node: int, line: Line) -> bool:
    return any(b.line == line for b in case.trial.names.bound(node))


def _leads_elsewhere(case: Case, node: int, claim: Claim) -> bool:
    """Whether the gradient of another parameter is computed from a node."""
    others = [c.node for p, c in case.claims.items() if p != claim.parameter.path]
    return node in case.tape.ancestors(others, stop=set(case.versions.values()))


def _on_way(case: Case, node: int, claim: Claim) -> bool:
    return node == claim.update or node == claim.moved or node in {i for i, _ in claim.scalars}


def alias(case: Case, node: int, user: int) -> Line | None:
    """The line that gave a value a second name, or returned it, before the node `user` was computed from it."""
    for binding in case.trial.names.bound(node):
        found = statement(binding.line)
        if binding.at > user:
            return None
        if _is_alias(found, binding.name) or (isinstance(found, ast.Return) and isinstance(found.value, ast.Name)):
            made = case.tape[node].lines
            if binding.line not in made[:1]:
                return binding.line
    return None


def _is_alias(found: ast.AST | None, name: str) -> bool:
    return (
        isinstance(found, ast.Assign)
        and isinstance(found.value, (ast.Name, ast.Attribute, ast.Subscript, ast.IfExp))
        and any(ast.unparse(target) == name for target in found.targets)
    )
