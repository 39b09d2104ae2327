"""Parameters that a training call leaves as they are."""

from __future__ import annotations

import ast
from typing import Any

from autodiff.doctor.case import Case
from autodiff.doctor.names import statement_at
from autodiff.doctor.report import Finding
from autodiff.doctor.tape import Ref
from autodiff.doctor.trail import loads, origin
from autodiff.doctor.trial import Trial
from autodiff.doctor.unmoved import unmoved
from autodiff.doctor.updates import Parameter, name_of, short

_PRODUCTS = ("dot", "matmul")


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
                or _is_read_by_element(case, node, leaf, forward)
            )
            if not role and not (replaced and case.depends[final]):
                continue
            text = f"uses {short(path)}, of shape {value.shape}, which the training step never updates"
            lines = node.lines[:1]
            if elsewhere := unmoved(case, path):
                text = f"leaves {short(path)}, of shape {value.shape}, as it is: the training step never updates it"
                lines = elsewhere
            if replaced:
                text = f"puts into {short(path)} what is not itself plus or minus a step"
                lines = tape[final].lines[:1]
                lines += tuple(made for line in lines for made in origin(case, line, final) if made != line)
            found.append(Finding("never_updated", text, None, lines, (short(path),)))
            break
    return found + _idle_numbers(case, forward)


def lost_updates(trial: Trial, found: list[Parameter]) -> list[Finding]:
    """Find arguments that get a new name only: updated inside the call, and neither returned nor put anywhere."""
    held = trial.tape.ancestors({*trial.finals.values(), *(node for _, node in trial.ends)})
    made = []
    for parameter in found:
        last = parameter.versions[-1]
        if trial.full or parameter.leaf not in trial.given or last in held or not trial.tape[last].lines:
            continue
        update = trial.tape[last].lines[0]
        leaves = [
            line
            for line, at in trial.names.visited
            if at > last and line.function == update.function and isinstance(statement_at(line), ast.Return)
        ]
        name = short(parameter.path)
        text = (
            f"{name} is updated inside {update.function}(), and what it becomes is neither returned nor stored: "
            f"whoever called it keeps the old one. Return it, or change it in place with {name}[...] = or {name} -="
        )
        made.append(Finding("never_updated", text, None, tuple(leaves[-1:]) or (update,), (name,)))
    return made


def _idle_numbers(case: Case, forward: set[int]) -> list[Finding]:
    """Find attributes that are plain numbers and stand where a bias stands: added to a product with weights."""
    found: dict[str, Finding] = {}
    for id in sorted(forward):
        node = case.tape[id]
        # A tiny number keeps a root or a quotient finite.
        plain = [arg for arg in node.args[:2] if isinstance(arg, (int, float)) and not 0 < abs(arg) < 1e-3]
        if name_of(node) != "add" or not plain or not node.lines or not _is_weighted(case, node.inputs[:1]):
            continue
        said = loads(node.lines[0])
        for b in case.trial.names.bindings:
            if b.name in said and "." in b.name and b.node is None and b.value is plain[0]:
                lines = unmoved(case, b.name) or node.lines[:1]
                text = f"leaves {short(b.name)} without an update that depends on the loss"
                found.setdefault(b.name, Finding("never_updated", text, None, lines, (short(b.name),)))
    return list(found.values())


def _is_weighted(case: Case, inputs: tuple[int, ...]) -> bool:
    """Whether a value is a product of a parameter with something, or a sum of such."""
    for id in inputs:
        source = case.tape[id]
        while name_of(source) == "add" and source.inputs:
            source = case.tape[source.inputs[-1]]
        if name_of(source) == "sum":  # of products, element by element
            source = case.tape[source.inputs[0]]
        live = [bool(case.depends[i]) for i in source.inputs]
        if name_of(source) in (*_PRODUCTS, "einsum") and any(live):
            return True
        if name_of(source) == "multiply" and len(set(live)) == 2:
            return True
    return False


def _is_read_by_element(case: Case, node: Any, leaf: int, forward: set[int]) -> bool:
    """Whether single elements of an array are added up, or multiplied and then added, where those of parameters are."""
    uses = case.tape.consumers()
    if not _is_element(node) or leaf in case.trial.given:
        return False
    if not any(_is_element(case.tape[i]) for v in case.versions.values() for i in uses.get(v, ())):
        return False
    users = [case.tape[i] for i in uses.get(node.id, ()) if i in forward]
    products = [case.tape[i] for user in users if name_of(user) == "multiply" for i in uses.get(user.id, ())]
    return any(name_of(one) == "add" for one in (*users, *products))


def _is_element(node: Any) -> bool:
    return name_of(node) == "getitem" and node.value.size == 1


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
