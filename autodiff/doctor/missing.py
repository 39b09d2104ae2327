"""What is wrong without any wrong gradient: weights that are never updated, labels of another shape than the output."""

from __future__ import annotations

from typing import Any

from autodiff.doctor.case import Case
from autodiff.doctor.report import Finding
from autodiff.doctor.spell import name_for
from autodiff.doctor.tape import Ref
from autodiff.doctor.trail import origin
from autodiff.doctor.unmoved import unmoved
from autodiff.doctor.updates import name_of

_PRODUCTS = ("dot", "matmul")
_PAIRS = ("subtract", "multiply", "divide", "add", "where", "power", "equal")


def never_updated(case: Case) -> list[Finding]:
    """Find arrays that stand where a weight or a bias stands and that the training call leaves as they are."""
    tape, truth = case.tape, case.truth
    if truth is None:
        return []
    everything = {v for p in case.parameters for v in p.versions}
    forward = tape.ancestors([truth.loss], stop=everything)
    first = _weights_first(case, forward)
    data = tape.descendants(case.trial.given, stop=everything)
    found = []
    for leaf, path in case.trial.leaves.items():
        value = tape[leaf].value
        if leaf in everything or leaf not in forward or value.dtype.kind != "f" or not value.size or not value.ndim:
            continue
        final = case.trial.finals.get(path, leaf)
        replaced = final != leaf and leaf not in case.trial.given and bool(tape[final].lines)
        for id in tape.consumers().get(leaf, []):
            node = tape[id]
            role = id in forward and (
                _returned_unmoved(case, leaf)
                or _is_bias(case, node, leaf)
                or _is_weight(case, node, leaf, first, path)
                or _meets_data(case, node, leaf, data)
                or _is_table(case, node, leaf)
            )
            if not role and not (replaced and case.depends[final]):
                continue
            text = f"uses {_short(path)}, of shape {value.shape}, which the training step never updates"
            lines = node.lines[:1]
            if elsewhere := unmoved(case, path):
                text = f"leaves {_short(path)}, of shape {value.shape}, as it is: the training step never updates it"
                lines = elsewhere
            if replaced:
                text = f"puts into {_short(path)} what is not itself plus or minus a step"
                lines = tape[final].lines[:1]
                lines += tuple(made for line in lines for made in origin(case, line, final) if made != line)
            found.append(Finding("never_updated", text, None, lines, (_short(path),)))
            break
    return found


def _returned_unmoved(case: Case, leaf: int) -> bool:
    """Whether an argument comes back, at the place where others come back updated, as what is no update of it."""
    given = sorted(case.trial.given)
    if leaf not in given:
        return False
    returned = {node: _place(end) for end, node in case.trial.ends}
    moved = [p for p in case.parameters if p.leaf in given and p.versions[-1] in returned]
    shifts = {returned[p.versions[-1]] - given.index(p.leaf) for p in moved}
    if len(shifts) != 1:
        return False
    wanted = given.index(leaf) + min(shifts)
    back = next((node for node, place in returned.items() if place == wanted), None)
    return back is not None and case.tape[back].value.shape == case.tape[leaf].value.shape


def _place(end: str) -> int:
    """The number of what was returned: 1 of ``returned[1]``."""
    digits = end.rpartition("[")[2].rstrip("]")
    return int(digits) if digits.isdigit() else -1


def _meets_data(case: Case, node: Any, leaf: int, data: set[int]) -> bool:
    """Whether an array of their object's own is multiplied with the samples, or with what is computed of them."""
    if name_of(node) not in (*_PRODUCTS, "einsum") or leaf in case.trial.given:
        return False
    others = [i for i in node.inputs if i != leaf]
    if len(others) != 1 or _weight_side(case, Ref(others[0]), {v for p in case.parameters for v in p.versions}):
        return False  # what is multiplied with a weight is no weight itself
    return others[0] in data or bool(case.depends[others[0]])


def _weights_first(case: Case, forward: set[int]) -> bool | None:
    """Whether their layers are written W·x (True) or x·W (False)."""
    everything = set(case.versions.values())
    for id in sorted(forward):
        node = case.tape[id]
        if name_of(node) in _PRODUCTS and len(node.args) == 2:
            sides = [_weight_side(case, arg, everything) for arg in node.args]
            if sides[0] != sides[1]:
                return sides[0]
    return None


def _weight_side(case: Case, arg: Any, versions: set[int]) -> bool:
    if not isinstance(arg, Ref):
        return False
    if arg.id in versions:
        return True
    node = case.tape[arg.id]
    return name_of(node) == "transpose" and node.inputs[0] in versions


def _is_table(case: Case, node: Any, leaf: int) -> bool:
    """Whether parts of an array, of the shape of a parameter, are picked and multiplied with what depends on others."""
    shapes = {case.tape[p.leaf].value.shape for p in case.parameters}
    value = case.tape[leaf].value
    if name_of(node) != "getitem" or leaf in case.trial.given or value.ndim > 2 or value.shape not in shapes:
        return False
    for id in case.tape.consumers().get(node.id, ()):
        user = case.tape[id]
        others = [i for i in user.inputs if i != node.id]
        products = (*_PRODUCTS, "multiply", "einsum") if value.ndim == 2 else ("add",)
        single = user.value.size == 1 or value.ndim == 2
        if name_of(user) in products and single and any(case.depends[i] for i in others):
            return True
    return False


def _is_bias(case: Case, node: Any, leaf: int) -> bool:
    if name_of(node) != "add" or len(node.inputs) != 2:
        return False
    other = next(i for i in node.inputs if i != leaf)
    source = case.tape[other]
    while name_of(source) == "add" and len(source.inputs) == 2:  # of several products
        source = case.tape[source.inputs[-1]]
    held = [i for i in source.inputs if case.depends[i]]
    spread = case.tape[leaf].value.size < source.value.size or 1 in source.value.shape
    return name_of(source) in (*_PRODUCTS, "einsum") and bool(held) and (spread or source.value.size == 1)


def _is_weight(case: Case, node: Any, leaf: int, first: bool | None, path: str) -> bool:
    if name_of(node) not in _PRODUCTS or len(node.args) != 2 or first is None:
        return False
    if leaf in case.trial.given and not _beside_parameters(case, path):
        return False
    mine = 0 if node.args[0] == Ref(leaf) else 1
    return case.tape[leaf].value.ndim == 2 and (mine == 0) == first


def _beside_parameters(case: Case, path: str) -> bool:
    """Whether an argument lies in the same list or dict as a parameter."""
    holder = path.rsplit("[", 1)[0]
    return holder != path and any(p.path.rsplit("[", 1)[0] == holder for p in case.parameters)


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
