"""The gradient that an update claims: what is left of it without the learning rate, momentum and other state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.doctor.tape import Node, Tape
from autodiff.doctor.trial import Trial
from autodiff.doctor.updates import LINEAR, SCALING, Parameter, name_of


@dataclass
class Claim:
    """The gradient that one update takes a parameter to have.

    ``new = old + sign * prod(scalars) * gradient`` for plain gradient descent; with momentum or the like, `state` is
    set and only the gradient that goes into it is known.
    """

    parameter: Parameter
    step: int
    node: int  # the gradient, before any scalar factor
    moved: int  # the same after all of them
    scalars: list[tuple[int, float]]
    sign: float
    update: int  # the node of the new version
    state: bool = False
    normalised: bool = False

    @property
    def factor(self) -> float:
        """The product of the scalars."""
        return float(np.prod([value for _, value in self.scalars]))


def claims(trial: Trial, found: list[Parameter], depends: list[int]) -> list[Claim]:
    """Return the claimed gradient of every update."""
    tape = trial.tape
    made = []
    stop = {v for p in found for v in p.versions}
    states = _states(trial, found)
    tainted = _Taint(tape.descendants(states, stop=stop), _linear_descendants(tape, states, stop))
    for parameter in found:
        for step, way in enumerate(parameter.paths):
            # What was updated earlier in the same step is no state, even where it is used by mistake.
            now = mask_of(found, step, depends)
            for other in found:
                if step < len(other.paths):
                    now |= depends[other.versions[step + 1]]
            claim = _claim(tape, parameter, step, way, now, depends, tainted)
            if claim is not None:
                made.append(claim)
    return made


def mask_of(found: list[Parameter], step: int, depends: list[int]) -> int:
    """Return the bits of the versions that a step uses; of a parameter without that many updates, all."""
    mask = 0
    for parameter in found:
        for version in parameter.versions[step : step + 1] if step < len(parameter.paths) else parameter.versions:
            mask |= depends[version]
    return mask


def _states(trial: Trial, found: list[Parameter]) -> list[int]:
    """The leaves that an optimizer keeps from step to step: of a parameter's shape, and changed."""
    shapes = {trial.tape[p.leaf].value.shape for p in found}
    own = {p.leaf for p in found}
    kept = []
    for leaf, path in trial.leaves.items():
        value = trial.tape[leaf].value
        if leaf in trial.given or leaf in own:
            continue
        if value.shape in shapes and trial.finals.get(path, leaf) != leaf and value.dtype.kind == "f":
            kept.append(leaf)
    return kept + [n for n in trial.made if n not in own and trial.tape[n].value.shape in shapes]


@dataclass
class _Taint:
    """What an optimizer's state has touched: in any way, and by sums and multiples of it only."""

    any: set[int]
    linear: set[int]


def _linear_descendants(tape: Tape, ids: list[int], stop: set[int]) -> set[int]:
    found = set(ids)
    for node in tape.nodes:
        name = name_of(node)
        if name in LINEAR or name in ("put", "added_at"):
            touched = [i for i in node.inputs if i in found and i not in stop]
            product = (
                name in ("multiply", "divide") and sum(tape[i].func is not None or i in found for i in node.inputs) > 1
            )
            if touched and not product:
                found.add(node.id)
    return found


def _claim(
    tape: Tape, parameter: Parameter, step: int, way: list[int], mask: int, depends: list[int], tainted: _Taint
) -> Claim | None:
    old = parameter.versions[step]
    on = {old, *way}
    sides: list[tuple[int, float]] = []
    sign = 1.0
    for here in reversed(way):
        node = tape[here]
        name = name_of(node)
        previous = next((i for i in node.inputs if i in on and i != here), None)
        aside = [i for i in node.inputs if i not in on]
        if name == "subtract":
            first = _first_ref(node)
            sides += [(i, -sign if first == previous else sign) for i in aside if tape[i].value.size]
            if first != previous:
                sign = -sign
        elif name in ("add", "put"):
            sides += [(i, sign) for i in aside]
        elif name == "negative":
            sign = -sign
    sides = [(i, s) for i, s in sides if i in tainted.any or depends[i]] or sides
    if not sides:
        return None
    moved, sign = sides[0]
    if len(sides) > 1:
        closer = [pair for pair in sides if depends[pair[0]] & mask]
        moved, sign = closer[0] if closer else sides[0]
    moved = _past_zeros(tape, moved, tainted)
    inner = _stripped(tape, moved, depends, tainted)[0]
    # A state that is zero and only added to changes nothing.
    still = tainted.linear - {n for n in tainted.linear if depends[n] & ~mask}
    foreign: Callable[[int], bool] = lambda i: (i in tainted.any and i not in still) or bool(depends[i] & ~mask)
    state = foreign(inner)
    if state:
        foreign = lambda i: i in tainted.any or bool(depends[i] & ~mask)
        free = _state_free(tape, moved, foreign, depends, mask) or _stateless(tape, moved, tainted)
        if not free:
            return None
        moved = _common(tape, free)
        sign = _turned(tape, moved, way[-1]) or sign
    bare, scalars, normalised = _stripped(tape, moved, depends, tainted)
    return Claim(parameter, step, bare, moved, scalars, sign, way[-1], state, normalised)


def _turned(tape: Tape, moved: int, update: int) -> float:
    """Which way an update goes with a gradient, whatever an optimizer makes of it: turn the gradient round and see."""
    value = tape[moved].value
    with np.errstate(all="ignore"):
        try:
            new = tape.replay({moved: -value}, [update])[update]
        except (KeyError, ValueError, TypeError):
            return 0.0
        change = tape[update].value - new
        return float(np.sign(np.nansum(change * value))) if change.shape == value.shape else 0.0


def _first_ref(node: Node) -> int | None:
    first = node.args[0] if node.args else None
    return getattr(first, "id", None)


def _state_free(tape: Tape, top: int, foreign: Any, depends: list[int], mask: int) -> list[int]:
    """The last values on the way to an update that an optimizer's state has not touched yet."""
    found: list[int] = []
    seen = {top}
    stack = [top]
    while stack:
        here = stack.pop()
        for id in tape[here].inputs:
            if id in seen or not depends[id] & mask:
                continue
            seen.add(id)
            if foreign(id):
                stack.append(id)
            else:
                found.append(id)
    return found


def _stateless(tape: Tape, top: int, tainted: _Taint) -> list[int]:
    """The same for what does not depend on any parameter, and should."""
    clean = [i for i in tape.ancestors([top]) if i not in tainted.any and tape[i].func is not None]
    return [max(clean)] if clean else []


def _common(tape: Tape, nodes: list[int]) -> int:
    """The last value from which all of `nodes` are computed."""
    shared = set.intersection(*(tape.ancestors([n]) for n in nodes))
    same = [n for n in shared if tape[n].value.shape == tape[nodes[0]].value.shape]
    return max(same or shared or nodes)


def _past_zeros(tape: Tape, node: int, tainted: _Taint) -> int:
    """Return what is added to an optimizer's state of zeros, where `node` is such a sum."""
    while name_of(tape[node]) in ("add", "subtract") and node in tainted.linear:
        zero = [i for i in tape[node].inputs if i in tainted.linear and not np.any(tape[i].value)]
        rest = [i for i in tape[node].inputs if i not in zero]
        if not zero or len(rest) != 1 or (name_of(tape[node]) == "subtract" and _first_ref(tape[node]) != rest[0]):
            return node
        node = rest[0]
    return node


def _stripped(tape: Tape, node: int, depends: list[int], tainted: _Taint) -> tuple[int, list[tuple[int, float]], bool]:
    """Take the scalar factors off a value: the learning rate, 1/m, the sign."""
    scalars: list[tuple[int, float]] = []
    normalised = False
    while True:
        node = _past_zeros(tape, node, tainted)
        here = tape[node]
        name = name_of(here)
        if name == "subtract" and node in tainted.linear and len(here.inputs) == 2:
            first, second = here.inputs
            if first in tainted.linear and not np.any(tape[first].value) and _first_ref(here) == first:
                scalars.append((node, -1.0))
                node = second
                continue
        inner = [i for i in here.inputs if depends[i]]
        if name == "clip" and inner:
            node = here.inputs[0]
            normalised = True
            continue
        if name not in SCALING or not inner or not here.args:
            return node, scalars, normalised
        if name in ("negative", "positive", "astype", "copy", "copied", "fitted", "array"):
            if name == "negative":
                scalars.append((here.id, -1.0))
            node = inner[0]
            continue
        operands = [tape[a.id] if hasattr(a, "id") else a for a in here.args[:2]]
        values = [o.value if isinstance(o, Node) else o for o in operands]
        live = [isinstance(o, Node) and bool(depends[o.id]) for o in operands]
        if all(live) and here.value.size > 1:
            small = [np.size(v) == 1 for v in values]
            if small[0] == small[1]:
                return node, scalars, normalised
            live = [not s for s in small]
            normalised = True
        if live.count(True) != 1:
            return node, scalars, normalised
        i = live.index(True)
        other = values[1 - i]
        if np.size(other) != 1 or isinstance(other, (tuple, list)) or (name == "divide" and i == 1):
            return node, scalars, normalised
        value = float(np.reshape(other, ()))
        scalars.append((here.id, 1 / value if name == "divide" and value else value))
        node = operands[i].id
