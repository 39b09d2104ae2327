"""Right values that a person's code computes and leaves unused: another one was passed on in their place."""

from __future__ import annotations

import ast
import re
from typing import Any

from autodiff.doctor.case import Case, aligned, proportion
from autodiff.doctor.claims import Claim
from autodiff.doctor.known import Known
from autodiff.doctor.names import statement_at
from autodiff.doctor.tape import Line
from autodiff.doctor.trail import judged_from, loads, loops, origin
from autodiff.doctor.updates import SCALING, name_of


def spares(case: Case, known: Known) -> list[int]:
    """Return the named derivatives, right ones, that the backward pass made and no update is computed from,
    the last one first."""
    if "spares" not in case.memo:
        used = case.tape.ancestors([c.update for c in case.claims.values()])
        end = max(p.versions[case.step + 1] for p in case.parameters if p.path in case.versions)
        named = dict.fromkeys(b.node for b in case.trial.names.bindings if b.node is not None and b.name != "return")
        case.memo["spares"] = [
            id
            for id in sorted(named, reverse=True)
            if judged_from(case) < id < end and id not in used and _is_derivative(case, known, id)
        ]
    found: list[int] = case.memo["spares"]
    return found


def _is_derivative(case: Case, known: Known, id: int) -> bool:
    assert case.truth is not None
    live = case.depends[id] and id not in case.truth.forward and case.tape[id].func is not None
    return bool(live and known.find(case.tape[id].value, "adjoint"))


def spare_for(case: Case, known: Known, path: str) -> int | None:
    """Return the unused value that is the gradient of a parameter, but for a factor."""
    target = case.true_gradient(path)
    for id in spares(case, known):
        g = aligned(case.tape[id].value, target.shape)
        if g is not None and proportion(g, target)[1] <= 1e-9:
            return id
    return None


def passed_instead(case: Case, spare: int | None, nodes: set[int], until: int) -> tuple[Line, ...]:
    """Return the last line, before `until` was made, that passed on one of `nodes` and had better at hand.

    That is the spare value, or other gradients beside it. Without nodes it is a plain number that was passed on.
    """
    uses = case.tape.consumers()
    users = {line for node in nodes for i in uses.get(node, ()) for line in case.tape[i].lines[:1]}
    nodes = nodes.union(*(p.versions for p in case.parameters if nodes & set(p.versions)))  # updated in place
    own, other = _names(case, {spare} if spare is not None else set()), _names(case, nodes)
    gradients = _names(case, {i for c in case.claims.values() for i in way_of(case, c)} - nodes)
    found: Line | None = None
    for line, at in reversed(case.trial.names.visited):
        here = own.get(line.function, set())
        if not (spare or judged_from(case)) < at <= until or here & loads(line):
            continue
        said, passes = other.get(line.function, set()) - _varying(line), _passed(statement_at(line))
        if said & (passes | loads(line) if line in users and here else passes) and here:
            return (line,)
        beside = len(passes) > 1 and passes & gradients.get(line.function, set())
        if beside and (said & passes or (not nodes and isinstance(statement_at(line), ast.Return))):
            found = found or line
    return (found,) if found is not None else ()


def way_of(case: Case, claim: Claim) -> set[int]:
    """Return what a claim takes for the gradient, before and after its factors and what an optimizer adds."""
    tape, node = case.tape, case.tape[claim.node]
    way = tape.ancestors([claim.update]) & tape.descendants([claim.node]) - {claim.update}
    found = {i for i in way if tape[i].value.shape == node.value.shape and _alike(tape[i].value, node.value)}
    found |= {claim.node, claim.moved}
    while name_of(node) in SCALING and len(node.inputs) == 1:  # of what depends on no parameter
        node = tape[node.inputs[0]]
        found.add(node.id)
    return found


def _alike(one: Any, other: Any) -> bool:
    return proportion(one, other)[1] <= 1e-9


def is_sound(case: Case, known: Known, node: int, lines: tuple[Line, ...]) -> bool:
    """Whether a value is right as something, if not as what it is taken for, or is handed out as it is."""
    versions = {v for p in case.parameters for v in p.versions}
    before = node <= judged_from(case) or node in versions or case.tape[node].func is None
    out = bool(lines) and isinstance(statement_at(lines[0]), ast.Return)
    return before or out or bool(known.find(case.tape[node].value))


def idle_lines(case: Case, known: Known, path: str, update: int) -> tuple[Line, ...]:
    """Return the line that passed on what moves a parameter and has nothing to do with the loss."""
    way = case.tape.ancestors([update], stop=set(case.versions.values())) - {update, case.versions[path]}
    spare = spare_for(case, known, path)
    lines = case.tape[update].lines[:1]
    made = tuple(one for line in lines for one in origin(case, line, update))
    passed = passed_instead(case, spare, way, update) if spare is not None or not made else ()
    return passed or (*lines, *made)


def passed_by(case: Case, claim: Claim, lines: tuple[Line, ...]) -> tuple[int, float]:
    """Return which of the values on the way to an update a line passed on, and the claim as a multiple of that."""
    said, way = loads(lines[0]), way_of(case, claim)
    named = [b.node for b in case.trial.names.bindings if b.node in way and b.name in said]
    node = max((n for n in named if n is not None), default=claim.node)
    value, passed = case.tape[claim.node].value, case.tape[node].value
    return node, proportion(value, passed)[0] or 1.0 if value.shape == passed.shape else 1.0


def _varying(line: Line) -> set[str]:
    """The names on a line that mean another value in each round of a loop: such a line is right for the others."""
    heads = [found.target for head in loops(line) if isinstance(found := statement_at(head), ast.For)]
    varying = {node.id for target in heads for node in ast.walk(target) if isinstance(node, ast.Name)}
    return {name for name in loads(line) if varying & set(re.findall(r"\w+", name))}


def _names(case: Case, nodes: set[int]) -> dict[str, set[str]]:
    """What values are called, by function."""
    names: dict[str, set[str]] = {}
    for b in case.trial.names.bindings:
        if b.node in nodes:
            names.setdefault(b.line.function, set()).add(b.name)
    return names


def _passed(found: ast.stmt | None) -> set[str]:
    """The expressions that a statement passes on as they are: ``dW`` and ``db`` of ``return dW, db``."""
    stack: list[ast.expr | None] = [getattr(found, "iter" if isinstance(found, ast.For) else "value", None)]
    passed: set[str] = set()
    while stack:
        here = stack.pop()
        if isinstance(here, (ast.Tuple, ast.List)):
            stack += here.elts
        elif isinstance(here, ast.Dict):
            stack += here.values
        elif isinstance(here, ast.Call):
            stack += [*here.args, *(k.value for k in here.keywords)]
        elif isinstance(here, ast.IfExp):
            stack += [here.body, here.orelse]
        elif here is not None:
            passed.add(ast.unparse(here))
    return passed
