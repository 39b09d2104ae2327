"""What is wrong without any wrong gradient: labels unused or of another shape than the output, odd learning rates."""

from __future__ import annotations

import ast

from autodiff.doctor.case import Case
from autodiff.doctor.names import statement_at
from autodiff.doctor.report import Finding
from autodiff.doctor.scale import sizes
from autodiff.doctor.spell import name_for
from autodiff.doctor.tape import Line
from autodiff.doctor.trail import loads
from autodiff.doctor.updates import name_of, short

_PAIRS = ("subtract", "multiply", "divide", "add", "where", "power", "equal")


def labels_unused(case: Case) -> list[Finding]:
    """Find an argument that no update depends on, where another one does: the labels, very likely."""
    tape = case.tape
    updates = tape.ancestors([v for p in case.parameters for v in p.versions[1:]])
    given = {leaf for leaf in case.trial.given if tape[leaf].value.size > 0}
    last = max(given & updates, default=0)  # of samples in a list, those that had their turn
    unused = sorted(n for n in given - updates if n < last or "[" not in case.trial.leaves.get(n, ""))
    stop = {v for p in case.parameters for v in p.versions}
    # Where it meets the weights, it is a test set that is passed along.
    if not unused or not given & updates or any(case.depends[id] for id in tape.descendants(unused, stop=stop)):
        return []
    name = short(case.trial.leaves.get(unused[0], "an argument"))
    text = (
        f"no update depends on {name}, of shape {tape[unused[0]].value.shape}: the labels have no part in the gradients"
    )
    return [Finding("labels_missing", text, None, _first_backward(case), _all(case))]


def output_unused(case: Case) -> list[Finding]:
    """Find labels that never meet what is computed of all parameters, the output, but something else."""
    tape = case.tape
    _, updates = _towards_updates(case)
    every, end = _used_up(case)
    if end is None or len(case.versions) < 2:
        return []
    labels = case.trial.given & updates - tape.ancestors([end])
    plain, first, other = set(labels), None, -1
    for node in tape.nodes:
        if plain & set(node.inputs):
            beside = [i for i in node.inputs if i not in plain]
            if beside and node.id in updates and node.lines:
                first, other = node, beside[0]
                break
            plain |= set() if beside else {node.id}
    # Only of a difference one can say that it should be the output's: a margin is made of labels and inputs.
    if first is None or name_of(first) != "subtract" or case.depends[other] & every == every:
        return []
    said = name_for(case, other, first.lines[0]) or "something else"
    text = f"puts the labels together with {said}, and not with the output, for which all parameters are used"
    return [Finding("output_missing", text, None, first.lines[:2], _all(case))]


def reshaped(case: Case) -> list[Finding]:
    """Find parameters that have another shape after their update than before."""
    tape = case.tape
    found = []
    for parameter in case.parameters:
        old, new = parameter.versions[:2]
        before, after = tape[old].value.shape, tape[new].value.shape
        if before == after or parameter.made is not None or not tape[new].lines:
            continue
        way = tape.ancestors([i for i in tape[new].inputs if i != old])
        grown = [i for i in way if tape[i].value.shape == after and tape[i].lines]
        origin = [i for i in grown if all(tape[j].value.shape != after for j in tape[i].inputs)]
        lines = (*(line for i in sorted(origin)[-1:] for line in tape[i].lines[:1]), *tape[new].lines[:1])
        text = f"has shape {after}: {parameter.name}, of shape {before}, becomes as large by its update"
        found.append(Finding("shapes", text, None, tuple(dict.fromkeys(lines)), (parameter.name,)))
    return found


def rate_unused(case: Case) -> list[Finding]:
    """Find a number between 0 and 1 among the arguments that nothing reads, where updates have no learning rate."""
    counts = sizes(case)
    for claim in case.claims.values():
        plain = [abs(value) for id, value in claim.scalars if len(case.tape[id].inputs) == 1]
        if claim.state or any(value != 1 and value not in counts for value in (*plain, *claim.hidden)):
            return []
    said = {name for line, _ in case.trial.names.visited for name in loads(line)}
    unread: set[str] = set()
    for b in case.trial.names.bindings:
        head = statement_at(b.line)
        arguments = (*head.args.args, *head.args.kwonlyargs) if isinstance(head, ast.FunctionDef) else ()
        if type(b.value) is float and 0 < b.value < 1 and b.name in [a.arg for a in arguments] and b.name not in said:
            unread.add(b.name)
    if len(unread) != 1 or not case.claims:
        return []
    text = f"takes a step without {unread.pop()}, an argument that nothing reads: is it the learning rate?"
    lines = tuple(line for claim in case.claims.values() for line in case.tape[claim.update].lines[:1])
    return [Finding("rate_missing", text, None, tuple(dict.fromkeys(lines)), _all(case))]


def _towards_updates(case: Case) -> tuple[set[int], set[int]]:
    """Return the parameters, and all from which their updates are computed in one step."""
    stop = {v for p in case.parameters for v in p.versions}
    before = [i for p in case.parameters for v in p.versions[1:] for i in case.tape[v].inputs]
    return stop, case.tape.ancestors(before, stop=stop) - stop


def _used_up(case: Case) -> tuple[int, int | None]:
    """Return the bits of all parameters, and the first value for which all of them are used."""
    every = 0
    for v in case.versions.values():
        every |= case.depends[v]
    stop = {v for p in case.parameters for v in p.versions}
    return every, next(
        (n.id for n in case.tape.nodes if case.depends[n.id] & every == every and n.id not in stop), None
    )


def _first_backward(case: Case) -> tuple[Line, ...]:
    """The first line of the backward pass: of what the updates are made of, the first that is computed after all
    parameters were used, on a line that did not run before."""
    tape = case.tape
    _, updates = _towards_updates(case)
    _, end = _used_up(case)
    before = {line for n in tape.nodes[:end] for line in n.lines[:1]}
    for node in tape.nodes[end:] if end is not None else ():
        if node.id in updates and node.lines and node.lines[0] not in before:
            return node.lines[:1]
    return ()


def odd_rates(case: Case) -> list[Finding]:
    """Find updates whose step is as long as a parameter is large: it stands where the learning rate belongs."""
    tape = case.tape
    paths = {v: p.path for p in case.parameters for v in p.versions}
    found = []
    for path, claim in case.claims.items():
        for lines in [tape[id].lines[:1] for id, value in claim.scalars if not value][:1]:
            text = "multiplies the gradient by 0: the parameter stays as it is"
            found.append(Finding("factor", text, None, lines, (short(path),)))
        for id, _ in claim.scalars if claim.normalised else ():
            operands = [i for i in tape[id].inputs if tape[i].value.size == 1]
            turned = [
                j for i in operands if name_of(tape[i]) in ("divide", "negative", "multiply") for j in tape[i].inputs
            ]
            for i in (*operands, *turned):
                if i in paths and tape[id].value.size > 1:
                    text = f"multiplies the gradient by {short(paths[i])}, a parameter, where a learning rate belongs"
                    found.append(Finding("rate_is_parameter", text, None, tape[id].lines[:1], (short(path),)))
    return found


def labels_shape(case: Case) -> list[Finding]:
    """Find output and labels of shapes (n, 1) and (n,), from which numpy makes (n, n)."""
    tape = case.tape
    for node in tape.nodes:
        if name_of(node) not in _PAIRS or node.value.ndim != 2 or len(node.inputs) < 2 or not node.lines:
            continue
        n = node.value.shape[0]
        if n < 2 or node.value.shape != (n, n):
            continue
        shapes = {tape[i].value.shape: i for i in node.inputs}
        column, flat = shapes.get((n, 1)), shapes.get((n,))
        if column is None or flat is None or not _apart(case, column, flat):
            continue
        line = node.lines[0]
        labels = flat if not case.depends[flat] else column
        said = name_for(case, labels, line) or "the labels"
        other = column if labels == flat else flat
        output = name_for(case, other, line) or "the output"
        shape = (n, 1) if labels == flat else (n,)
        text = (
            f"combines {output}, of shape {tape[other].value.shape}, with {said}, of shape "
            f"{tape[labels].value.shape}: numpy makes {(n, n)} of them, every sample with every label"
        )
        fix = f"{said} = {said}.reshape({', '.join(map(str, shape)) if len(shape) > 1 else n})"
        lines = tuple(dict.fromkeys((line, *tape[flat].lines[:1])))
        return [Finding("label_broadcast", text, fix, lines, _all(case))]
    return []


def _all(case: Case) -> tuple[str, ...]:
    return tuple(short(p.path) for p in case.parameters)


def _apart(case: Case, one: int, other: int) -> bool:
    """Whether one of two values comes from the parameters and the other does not."""
    return bool(case.depends[one]) != bool(case.depends[other])
