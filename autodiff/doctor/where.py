"""Which line to blame for a wrong value."""

from __future__ import annotations

import ast

from autodiff.doctor.case import NOISE, Case, aligned, proportion, reduction
from autodiff.doctor.claims import Claim
from autodiff.doctor.known import Known
from autodiff.doctor.names import tree_of
from autodiff.doctor.scale import sizes
from autodiff.doctor.search import Fault
from autodiff.doctor.spare import passed_instead
from autodiff.doctor.spell import statement
from autodiff.doctor.tape import Line
from autodiff.doctor.trail import carried, counted, loops, named, renamed, silent


def lines_of(case: Case, fault: Fault, known: Known | None = None) -> tuple[Line, ...]:
    """Return the lines to blame for a fault, the likeliest first: few, and more only where one cannot tell."""
    tape = case.tape
    if fault.spare is not None:
        return passed_instead(case, fault.spare, {fault.node}, fault.first)
    if fault.kind == "use":
        claim = case.claims[fault.parameters[0]]
        if _of_another(case, fault.node, claim) or _is_forward(case, fault.node):
            return carried(case, fault.node, claim)
        bound = _bound(case, fault)
        if bound is not None:
            return (bound,)
        assert case.truth is not None
        shared = any(not _on_way(case, i, claim) for i in tape.consumers().get(fault.node, ()))
        if not shared and fault.node not in case.truth.forward and tape[fault.node].func is not None:
            return tape[fault.node].lines[:1]
        way = tape.ancestors([claim.update])
        users = [i for i in tape.consumers().get(fault.node, ()) if i in way]
        users = [i for i in users if not _leads_elsewhere(case, i, claim)]
        return tape[min(users, default=claim.update)].lines[:1]
    if fault.kind == "value" and fault.node == fault.first and known is not None:
        other = known.find(case.tape[fault.node].value, "adjoint")
        if other:
            # The value is right as it was made; it is wrong where it passes for something else.
            user = min((i for i in tape.consumers().get(fault.node, ())), default=len(tape))
            last = max((case.claims[p].update for p in fault.parameters), default=user)
            second = alias(case, fault.node, last)
            if second is not None:
                first = [b.line for b in case.trial.names.bound(fault.node) if b.name != "return"]
                return tuple(dict.fromkeys((second, *first[:1])))
            made = tape[fault.node].lines
            if len(made) > 1 and made[0].function != made[1].function and tape[user].lines[:1] == made[1:2]:
                return made[1:2]
            if len(made) > 1 and isinstance(statement(made[0]), ast.Return) and _named_there(case, fault.node, made[1]):
                return made[1:2]
    claimed = [case.claims[p] for p in fault.parameters if p in case.claims and case.claims[p].node == fault.first]
    if fault.kind in ("value", "unknown") and claimed and _is_forward(case, fault.first):
        return carried(case, fault.first, claimed[0])
    stack = tape[fault.first].lines
    if not stack:
        return ()
    if fault.kind in ("factor", "update"):
        return _of_factor(case, fault, known, stack)
    # A line that computes right values elsewhere is not to blame: who called it is.
    found = own_lines(case, fault.first)
    if not found:
        return stack[:1]
    best = found[:1]
    if len(found) > 1 and _is_helper(found[0]):
        others = _other_calls(case, known, stack, found[0]) if known is not None else []
        best = found[:2] if not others else found[1:2] if any(others) else found[:1]
    return _with_doubtful(case, known, fault.first, tuple(best))


def _of_factor(case: Case, fault: Fault, known: Known | None, stack: tuple[Line, ...]) -> tuple[Line, ...]:
    """A constant factor stands on the line where it shows first, or on one beside that."""
    lines = stack[:1]
    tape = case.tape
    assert case.truth is not None
    if tape[fault.node].value.size == 1:  # of single numbers each is a multiple of the other
        nodes = [case.claims[p].node for p in fault.parameters if p in case.claims]
        # What depends on no parameter is not taken apart any further: it was made where its operands were.
        bare = [i for node in nodes if not case.depends[node] for i in _operands(case, node)]
        return tuple(dict.fromkeys((*lines, *(line for i in (*nodes, *bare) for line in tape[i].lines[:1]))))
    if fault.factor < 0 and fault.kind == "factor":
        doubtful = _with_doubtful(case, known, fault.node, lines)
        if known is not None and doubtful == lines:  # turned round between the derivative before, or after, and this
            errors = [i for i in _operands(case, fault.node) if known.find(tape[i].value, "adjoint")]
            users = [i for i in tape.consumers().get(fault.node, ()) if i not in case.truth.forward]
            beside = max(errors, default=None) if errors else min(users, default=None)
            doubtful = (*lines, *(tape[beside].lines[:1] if beside is not None else ()))
        lines = tuple(dict.fromkeys(doubtful))
    if fault.kind == "update" and fault.factor > 0 and fault.parameters[0] in case.claims:
        steps = [round(claim.factor, 12) for claim in case.claims.values()]
        mine = round(case.claims[fault.parameters[0]].factor, 12)
        if 2 * steps.count(mine) == len(steps):  # half take one step, half another: whose is the right one?
            other = next(c for c in case.claims.values() if round(c.factor, 12) != mine)
            lines = (*lines, *tape[other.update].lines[:1])
    miscounts, odd = _miscounts(case, fault, stack[0])
    return miscounts[:1] if odd else tuple(dict.fromkeys((*lines, *miscounts)))[:2]


def _miscounts(case: Case, fault: Fault, line: Line) -> tuple[tuple[Line, ...], bool]:
    """Where the number of samples was made, if that would explain a factor; and whether it is one that no count has."""
    own = [case.claims[p] for p in fault.parameters if p in case.claims] if fault.everywhere else []
    used = [case.tape[i].lines[:1] for claim in own for i in (claim.node, *(id for id, _ in claim.scalars))]
    right, doubtful = sizes(case), list[Line]()
    for one in dict.fromkeys((line, *(made[0] for made in used if made))):
        made, number = counted(case, one) or (None, 0.0)
        if made is None or not number:
            continue
        other = {abs(number * fault.factor), abs(number / fault.factor)} & right - {1.0}
        if (number < 0 and fault.factor < 0) or (abs(number) not in right and other):
            return (made,), True
        if other and abs(fault.factor) != 1:
            doubtful.append(made)
    return tuple(doubtful[:1]), False


def _with_doubtful(case: Case, known: Known | None, node: int, lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """Add the line of what a value was made from, where that may be wrong as well."""
    if known is None or not lines:
        return lines
    operand = _doubtful(case, known, node)
    if operand is None:
        return tuple(dict.fromkeys((*lines, *silent(case, lines[0], node))))
    made = own_lines(case, operand)[:2]
    if len(made) > 1 and _is_helper(made[0]) and any(_other_calls(case, known, case.tape[operand].lines, made[0])):
        made = made[1:] if made[1] not in lines else made
    return tuple(dict.fromkeys((*lines, *made[:1])))


def _doubtful(case: Case, known: Known, node: int) -> int | None:
    """The operand of a value, made on another line of the backward pass, that is nothing right itself."""
    tape = case.tape
    found = _operands(case, node)
    derived = [i for i in found if any(m.entry.kind in ("adjoint", "part") for m in known.find(tape[i].value))]
    worst: tuple[int, int] | None = None
    for i in sorted(found, reverse=True):
        matches = known.find(tape[i].value)
        sound = any(m.factor > 0 and (m.entry.kind != "value" or abs(m.factor - 1) < NOISE) for m in matches)
        top = case.output is not None and tape[i].value.shape == tape[case.output].value.shape
        stray = not derived and case.depends[i]
        if not sound or (top and i in known.judged and not any(m.entry.kind == "adjoint" for m in matches)):
            return i
        # Where no operand is a derivative, one should be: rather what is no slope of an activation.
        plain = int(not any(known.is_slope(m) for m in matches))
        if stray and (worst is None or plain > worst[0]):
            worst = plain, i
    return worst[1] if worst is not None else None


def _operands(case: Case, node: int) -> list[int]:
    """The values of the backward pass, made on other lines, that the line of a value takes."""
    tape = case.tape
    assert case.truth is not None
    here = tape[node].lines[:1]
    stack, seen, found = [node], {node}, list[int]()
    while stack:
        for i in tape[stack.pop()].inputs:
            if i in seen or i in case.truth.forward or tape[i].func is None:
                continue
            seen.add(i)
            if tape[i].lines[:1] == here:
                stack.append(i)
            else:
                found.append(i)
    return found


def at_top(case: Case, known: Known, fault: Fault, lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """Add the line of the derivative by the output, where that is multiplied with the slope on another line."""
    made = [i for i in _operands(case, fault.first) if i in known.judged]
    return tuple(dict.fromkeys((*lines, *(line for i in made for line in case.tape[i].lines[:1]))))[: len(lines) + 1]


def widened(case: Case, fault: Fault, lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """Add where the operands of a value, right but out of place, were given the names under which they are used."""
    if not lines or fault.kind not in ("value", "unknown"):
        return lines
    backward = [i for i in (fault.first, *case.tape[fault.first].inputs) if case.tape[i].func is not None]
    more = (*named(case, lines[0], backward, fault.first), *renamed(case, lines[0], fault.first))
    return tuple(dict.fromkeys((*lines, *more)))[:3]


def listed(case: Case, fault: Fault, lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """Put the head of a loop before a line in it that is right for other parameters, where the head lists by name what
    it goes through: one of the names is wrong."""
    if not lines or fault.kind == "factor":
        return lines
    heads = [head for head in loops(lines[0]) if _lists_names(head)]
    if not heads:
        return lines
    made = {n.id for n in case.tape.nodes if n.lines[:1] == lines[:1]}
    right = [p for p in case.claims if p not in fault.parameters]
    passing = case.tape.ancestors([case.claims[p].update for p in right], stop=set(case.versions.values()))
    return (heads[-1], *lines[:1]) if made & passing else lines


def _lists_names(head: Line) -> bool:
    found = statement(head)
    rows = (
        [n for n in ast.walk(found.iter) if isinstance(n, (ast.Tuple, ast.List))] if isinstance(found, ast.For) else []
    )
    return any(len([e for e in row.elts if not isinstance(e, ast.Constant)]) > 1 for row in rows)


def _is_helper(line: Line) -> bool:
    """Whether a line stands in a short function, whose argument may be wrong as well as its formula."""
    tree = tree_of(line.file)
    for found in ast.walk(tree) if tree is not None else ():
        if isinstance(found, ast.FunctionDef) and found.lineno <= line.number <= (found.end_lineno or 0):
            body = [s for s in found.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
            if found.name == line.function:
                return sum(isinstance(s, ast.stmt) for part in body for s in ast.walk(part)) <= 3
    return isinstance(statement(line), ast.Return) and line.function == "<lambda>"


def _other_calls(case: Case, known: Known, stack: tuple[Line, ...], line: Line) -> list[bool]:
    """For each other call of the function that a line is in: whether the line gives something right there."""
    mine = stack[stack.index(line) + 1 :][:1]
    found: dict[tuple[Line, ...], bool] = {}
    for node in case.tape.nodes:
        if node.lines[:1] == (line,) and node.lines[1:2] != mine and case.depends[node.id]:
            found[node.lines[1:2]] = known.right(node.id, {})  # the last one on the line is what it gives
    return [*found.values()]


def _is_forward(case: Case, node: int) -> bool:
    """Whether a value is one of the forward pass, a parameter or a sample."""
    assert case.truth is not None
    versions = {v for p in case.parameters for v in p.versions}
    return node in case.truth.forward or node in versions or case.tape[node].func is None


def _of_another(case: Case, node: int, claim: Claim) -> bool:
    """Whether a value is taken for the gradient of several parameters, and is that of another one."""
    stop = set(case.versions.values())
    return any(
        path != claim.parameter.path
        and _is_multiple(case, node, path)
        and node in case.tape.ancestors([other.update], stop=stop)
        for path, other in case.claims.items()
    )


def _is_multiple(case: Case, node: int, path: str) -> bool:
    """Whether a value is the true gradient of a parameter, but for a factor."""
    g = aligned(case.tape[node].value, case.tape[case.versions[path]].value.shape)
    return g is not None and proportion(g, case.true_gradient(path))[1] <= NOISE


def own_lines(case: Case, node: int) -> tuple[Line, ...]:
    """Return the lines that computed a value, innermost first, but for those that also compute forward values."""
    return tuple(line for line in case.tape[node].lines if not _right_elsewhere(case, line))


def _right_elsewhere(case: Case, line: Line) -> bool:
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
    if aliases:
        return aliases[-1]
    inner = [case.tape[id].lines[:1] for id, _ in claim.scalars]
    if fault.right is not None and reduction(fault.value, fault.right) is not None:  # a sum is missing
        return next((made[0] for made in inner if made and made != update[:1]), None)
    return None


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
    plain = (ast.Name, ast.Attribute, ast.Subscript)
    value = found.value if isinstance(found, ast.Assign) else None
    return (
        isinstance(found, ast.Assign)
        and (isinstance(value, plain) or (isinstance(value, ast.IfExp) and isinstance(value.body, plain)))
        and any(ast.unparse(target) == name for target in found.targets)
    )
