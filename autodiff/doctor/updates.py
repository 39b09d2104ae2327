"""How a parameter was updated: its versions from step to step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.doctor.calls import is_element
from autodiff.doctor.tape import Node, Ref, Tape
from autodiff.doctor.trial import Trial

LINEAR = {
    "add",
    "subtract",
    "multiply",
    "divide",
    "copied",
    "copy",
    "astype",
    "fitted",
    "reshape",
    "negative",
    "positive",
}
SCALING = {"multiply", "divide", "negative", "positive", "astype", "copy", "copied", "fitted", "array"}


@dataclass
class Parameter:
    """An array that training changes: its path, and the node of each version."""

    path: str
    leaf: int
    versions: list[int]
    paths: list[list[int]] = field(default_factory=list)  # from each version, the nodes that lead to the next
    made: int | None = None

    @property
    def name(self) -> str:
        """The path as a person reads it."""
        return short(self.path)


def short(path: str) -> str:
    """Return a path as a person reads it, without ``self.``."""
    return path.removeprefix("self.").removeprefix("::")


def name_of(node: Node) -> str:
    """Return the name of what computed a node."""
    return getattr(node.func, "__name__", "") if node.func is not None else ""


def parameters(trial: Trial) -> list[Parameter]:
    """Find every array that is replaced by itself plus something, in place or by rebinding."""
    tape = trial.tape
    ends: dict[int, list[int]] = {}
    uses = tape.consumers()
    leaves = {**{leaf: path for leaf, path in trial.leaves.items()}}
    slots: dict[tuple[str, str], list[int]] = {}
    for binding in trial.names.bindings:
        if binding.node is not None:
            slots.setdefault((binding.line.function, binding.name), []).append(binding.node)
    born: dict[int, int] = {}
    for raw, number in trial.made.items():
        leaf = _scaled(tape, raw, uses)
        named = [slot[1] for slot, nodes in slots.items() if leaf in nodes]
        if named:
            leaves[leaf] = _unique(min(named, key=_vagueness), leaves.values())
            born[leaf] = number
    for leaf, path in leaves.items():
        if tape[leaf].value.dtype.kind != "f":
            continue
        found = ends.setdefault(leaf, [])
        if path in trial.finals and leaf not in born:
            found.append(trial.finals[path])
        for nodes in slots.values():
            if leaf in nodes:
                found += nodes[nodes.index(leaf) + 1 :]
    returned = [node for _, node in trial.ends if tape[node].value.dtype.kind == "f"]
    known: list[Parameter] = []
    for leaf, found in ends.items():
        chain = _longest(tape, leaf, [end for end in found if end != leaf], loose=True)
        if chain is None and leaf not in born:
            same = [n for n in returned if tape[n].value.shape == tape[leaf].value.shape]
            chain = _longest(tape, leaf, same)
            if chain is None and same != returned:
                # One that has grown by broadcasting: `b - lr * d` where d is not summed.
                own = [n for n in returned if name_of(tape[n]) == "subtract" and tape[n].inputs[:1] == (leaf,)]
                chain = _longest(tape, leaf, own, loose=True)
        last = chain[-1] if chain else leaf
        misfit = next((n for n in tape.nodes if n.misfit in (leaf, last)), None)
        if misfit is not None:
            chain = [*(chain or [leaf]), misfit.id]
        elif chain is not None and not any(_grows(tape, tape[n], set(chain)) for n in chain[1:]):
            continue  # a buffer that is filled, a copy
        if chain is None or len(chain) < 2:
            continue
        known.append(_versions(tape, leaf, leaves[leaf], chain, uses, born.get(leaf)))
    return known


def _vagueness(name: str) -> tuple[bool, bool, int]:
    """Prefer ``params['W1']`` to the ``v`` or the ``params[k]`` of some loop."""
    varies = "[" in name and not name.endswith(("']", '"]')) and not name[-2].isdigit()
    return varies or "{" in name, len(name) == 1 and name.islower() and name not in "wb", len(name)


def _unique(name: str, taken: Any) -> str:
    while name in taken:
        name += "′"
    return name


def _scaled(tape: Tape, leaf: int, uses: dict[int, list[int]]) -> int:
    """Follow an array that the call made through ``randn(...) * 0.01`` to what it was made for."""
    while True:
        users = uses.get(leaf, [])
        if len(users) != 1 or name_of(tape[users[0]]) not in SCALING or len(tape[users[0]].inputs) != 1:
            return leaf
        leaf = users[0]


def trained(trial: Trial) -> list[Parameter]:
    """Return the parameters: arrays that change and that enter a computation together with data.

    What an optimizer keeps from step to step, velocities or sums of gradients, changes too but meets no data.
    """
    tape = trial.tape
    found = _moved_by_others(trial, parameters(trial))
    depends = dependence(tape, found)
    versions = {v for p in found for v in p.versions}
    own = own_nodes(tape, found)
    leaves = {p.leaf for p in found}
    data = [n for n in trial.sources() if n not in leaves]
    with_data = tape.descendants(data, stop=versions)
    meets = 0
    for node in tape.nodes:
        if node.id in with_data and node.id not in own:
            meets |= depends[node.id]
    return [p for p in found if meets & depends[p.leaf]]


def own_nodes(tape: Tape, found: list[Parameter]) -> set[int]:
    """Return the versions of parameters and all that lies between one and the next."""
    own = {v for p in found for v in p.versions} | {n for p in found for way in p.paths for n in way}
    return own | {n for id in own for piece in pieces(tape, tape[id], own) or [] for n in piece.through}


def local_numbers(trial: Trial) -> dict[tuple[str, str, str], str]:
    """Find plain numbers of a function that become themselves plus something: ``b = 0.0`` and then ``b -= lr * db``.

    Returns
    -------
    dict
        Their names, by file, function and name.
    """
    tape = trial.tape
    held: dict[tuple[str, str, str], Any] = {}
    found: dict[tuple[str, str, str], str] = {}
    for binding in trial.names.bindings:
        key = binding.line.file, binding.line.function, binding.name
        if binding.node is None and type(binding.value) in (int, float):
            held[key] = binding.value
        elif binding.node is not None and key in held:
            node, value = tape[binding.node], held.pop(key)
            literal = any(type(arg) in (int, float) and arg == value for arg in node.args[:2])
            if name_of(node) in ("add", "subtract") and literal and node.value.size == 1:
                found[key] = binding.name
    return found


def _moved_by_others(trial: Trial, found: list[Parameter]) -> list[Parameter]:
    """Leave out data that are only prepared, as by ``X = X - X.mean(axis=0)``: nothing else has a part in that."""
    tape = trial.tape
    depends = dependence(tape, found)
    kept = []
    for p in found:
        own = 0
        for version in p.versions:
            own |= depends[version]
        on = {*p.versions, *(n for way in p.paths for n in way)}
        aside = {i for n in on - {p.leaf} for i in tape[n].inputs if i not in on}
        # Weights meet other weights before they are updated; data do not before they are ready.
        users = tape.descendants([p.leaf], stop=on - {p.leaf}) - on
        meets = any(depends[i] & ~own for i in users)
        if any(depends[i] & ~own for i in aside) or meets or _is_misfit(tape, p):
            kept.append(p)
    holders = {p.path.rsplit("[", 1)[0] for p in kept if p.path.endswith("]")}
    beside = [p for p in found if p not in kept and p.path.endswith("]") and p.path.rsplit("[", 1)[0] in holders]
    return [p for p in found if p in kept or p in beside or not kept]


def _is_misfit(tape: Tape, p: Parameter) -> bool:
    return tape[p.versions[-1]].misfit is not None


def _grows(tape: Tape, node: Node, on: set[int]) -> bool:
    """Whether a node is what the array held before plus or minus something."""
    if name_of(node) in ("put", "added_at"):
        return bool(pieces(tape, node, on))
    return name_of(node) in ("add", "subtract", "multiply", "divide", "negative")


def _longest(tape: Tape, leaf: int, ends: list[int], loose: bool = False) -> list[int] | None:
    for end in sorted(set(ends), reverse=True):
        chain = _chain(tape, end, leaf, loose)
        if chain is not None:
            return chain
    return None


def _chain(tape: Tape, end: int, leaf: int, loose: bool) -> list[int] | None:
    """Return the shortest way from `leaf` to `end` by additions and multiplications with numbers."""
    before: dict[int, int] = {end: -1}
    queue = [end]
    shape = tape[leaf].value.shape
    for here in queue:
        if here == leaf:
            way = [here]
            while before[way[-1]] != -1:
                way.append(before[way[-1]])
            return way
        node = tape[here]
        name = name_of(node)
        for id in node.inputs:
            indexed = (name == "put" and id == node.inputs[0]) or (name == "added_at" and node.args[1] == Ref(id))
            if id in before or id < leaf or not (name in LINEAR or indexed):
                continue
            fits = tape[id].value.shape == shape or (loose and tape[id].value.size == tape[leaf].value.size)
            if not fits and not (loose and here == end and id == leaf):
                continue
            if name in ("multiply", "divide") and any(tape[i].value.size > 1 for i in node.inputs if i != id):
                continue
            before[id] = here
            queue.append(id)
    return None


def _versions(
    tape: Tape, leaf: int, path: str, chain: list[int], uses: dict[int, list[int]], made: int | None
) -> Parameter:
    """Cut the chain of updates where a value on it is used to compute something else than its own next value."""
    on = set(chain)
    versions, paths, run = [leaf], [], []
    own = tape.ancestors([chain[-1]])
    leads: set[int] = set()  # what the last version is not computed from, and what leads to such a value
    for node in reversed(tape.nodes[leaf:]):
        if node.id not in on and (node.id not in own or any(n in leads for n in uses.get(node.id, ()))):
            leads.add(node.id)
    for here in chain[1:]:
        run.append(here)
        others = [n for n in uses.get(here, []) if n not in on and not _reads_unwritten(tape, tape[n], here, run)]
        free = any(n in leads for n in others)
        if here == chain[-1] or (others and (free or _mixes(tape, others))):
            versions.append(here)
            paths.append(run)
            run = []
    return Parameter(path, leaf, versions, paths, made)


def _reads_unwritten(tape: Tape, user: Node, here: int, run: list[int]) -> bool:
    """Whether a use reads one element, and one that this step has not written yet."""
    if name_of(user) != "getitem" or user.args[0] != Ref(here) or not is_element(user.args[1], tape[here].value.ndim):
        return False
    written = [tape[n].args[1] for n in run if name_of(tape[n]) == "put"]
    return len(written) == len(run) and all(index != user.args[1] for index in written if not isinstance(index, Ref))


def _mixes(tape: Tape, nodes: list[int]) -> bool:
    return any(name_of(tape[n]) in ("dot", "matmul", "einsum", "tensordot", "inner") for n in nodes)


@dataclass
class Piece:
    """A part of an array that grew by `side`, times `sign`; `index` is None for all of it. `through` are the nodes
    between, and `adds` says that equal indices add up."""

    index: Any
    side: int
    sign: float
    through: list[int]
    adds: bool = False


def pieces(tape: Tape, node: Node, on: set[int]) -> list[Piece] | None:
    """Take one write into a part of an array apart: ``w[i] -= step``, ``np.add.at(w, i, step)``.

    Parameters
    ----------
    on : set of int
        The nodes that the array holds one after the other.

    Returns
    -------
    list of Piece, or None where the part is replaced by something else than itself plus something.
    """
    name = name_of(node)
    if name == "added_at" and node.args[0] in (np.add, np.subtract) and isinstance(node.args[-1], Ref):
        return [Piece(node.args[2], node.args[-1].id, 1.0 if node.args[0] is np.add else -1.0, [], True)]
    if name != "put" or not isinstance(node.args[2], Ref):
        return None
    index = node.args[1]

    def grown(id: int, sign: float) -> list[Piece] | None:
        here = tape[id]
        kind = name_of(here)
        if kind == "getitem":
            same = isinstance(here.args[0], Ref) and here.args[0].id in on and here.args[1] == index
            return [Piece(index, -1, sign, [id])] if same and sign > 0 else None
        if kind in ("copy", "copied", "fitted", "astype", "positive") and here.inputs:
            inner = grown(here.inputs[0], sign)
            return None if inner is None else [*inner, Piece(index, -1, sign, [id])]
        if kind not in ("add", "subtract"):
            return None
        for place, arg in enumerate(here.args[:2]):
            turned = -sign if kind == "subtract" and place else sign
            inner = grown(arg.id, turned) if isinstance(arg, Ref) else None
            other = here.args[1 - place]
            if inner is not None:
                step = other.id if isinstance(other, Ref) else -1
                way = -sign if kind == "subtract" and not place else sign
                return [*inner, Piece(index, step, way, [id])]
        return None

    return grown(node.args[2].id, 1.0)


def dependence(tape: Tape, found: list[Parameter], *, smooth: bool = True) -> list[int]:
    """Return for each node, as bits, the versions that it depends on; an update ends dependence.

    Only by a derivative if `smooth`; else through comparisons and indices too, as the slope of a hinge does.
    """
    bit: dict[int, int] = {}
    for parameter in found:
        for version in parameter.versions:
            bit.setdefault(version, len(bit))
    depends = [0] * len(tape)
    for node in tape.nodes:
        if node.id in bit:
            depends[node.id] = 1 << bit[node.id]
        elif node.value.dtype.kind == "f" or not smooth:
            for id in node.inputs:
                depends[node.id] |= depends[id]
    return depends
