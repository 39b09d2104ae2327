"""What is wrong without any wrong gradient: labels unused or of another shape than the output, odd learning rates."""

from __future__ import annotations

from autodiff.doctor.case import Case
from autodiff.doctor.report import Finding
from autodiff.doctor.spell import name_for
from autodiff.doctor.updates import name_of

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
    name = _short(case.trial.leaves.get(unused[0], "an argument"))
    text = (
        f"no update depends on {name}, of shape {tape[unused[0]].value.shape}: the labels have no part in the gradients"
    )
    return [Finding("labels_missing", text, None, (), tuple(_short(p.path) for p in case.parameters))]


def odd_rates(case: Case) -> list[Finding]:
    """Find updates whose step is as long as a parameter is large: it stands where the learning rate belongs."""
    tape = case.tape
    paths = {v: p.path for p in case.parameters for v in p.versions}
    found = []
    for path, claim in case.claims.items():
        for lines in [tape[id].lines[:1] for id, value in claim.scalars if not value][:1]:
            text = "multiplies the gradient by 0: the parameter stays as it is"
            found.append(Finding("factor", text, None, lines, (_short(path),)))
        for id, _ in claim.scalars if claim.normalised else ():
            operands = [i for i in tape[id].inputs if tape[i].value.size == 1]
            turned = [
                j for i in operands if name_of(tape[i]) in ("divide", "negative", "multiply") for j in tape[i].inputs
            ]
            for i in (*operands, *turned):
                if i in paths and tape[id].value.size > 1:
                    text = f"multiplies the gradient by {_short(paths[i])}, a parameter, where a learning rate belongs"
                    found.append(Finding("rate_is_parameter", text, None, tape[id].lines[:1], (_short(path),)))
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
        return [Finding("label_broadcast", text, fix, lines, tuple(_short(p.path) for p in case.parameters))]
    return []


def _apart(case: Case, one: int, other: int) -> bool:
    """Whether one of two values comes from the parameters and the other does not."""
    return bool(case.depends[one]) != bool(case.depends[other])


def _short(path: str) -> str:
    return path.removeprefix("self.").removeprefix("::")
