"""The gradient that an update claims: what is left of it without the learning rate, momentum and other state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.doctor.calls import scattered
from autodiff.doctor.losses import tops
from autodiff.doctor.tape import Node, Ref, Tape, swapped
from autodiff.doctor.trial import Trial
from autodiff.doctor.updates import LINEAR, SCALING, Parameter, Piece, dependence, name_of, pieces


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
    hidden: tuple[float, ...] = ()  # scalars inside the product: the rate in ``rate * X.T @ delta``

    @property
    def factor(self) -> float:
        """The product of the scalars."""
        return float(np.prod([value for _, value in self.scalars]))


def claims(trial: Trial, found: list[Parameter], depends: list[int]) -> list[Claim]:
    """Return the claimed gradient of every update; `depends` grows with the tape."""
    tape, smooth = trial.tape, depends
    depends = dependence(tape, found, smooth=False)
    made = []
    stop = {v for p in found for v in p.versions}
    states = _states(trial, found, depends)
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
    for node in tape.nodes[len(smooth) :]:
        smooth.append(_all(smooth, node.inputs))
    return made


def mask_of(found: list[Parameter], step: int, depends: list[int]) -> int:
    """Return the bits of the versions that a step uses; of a parameter without that many updates, all."""
    mask = 0
    for parameter in found:
        for version in parameter.versions[step : step + 1] if step < len(parameter.paths) else parameter.versions:
            mask |= depends[version]
    return mask


def _states(trial: Trial, found: list[Parameter], depends: list[int]) -> list[int]:
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
    made = [n for n in trial.made if n not in own and trial.tape[n].value.shape in shapes]
    return kept + _remembered(trial, found, depends, made)


def _remembered(trial: Trial, found: list[Parameter], depends: list[int], made: list[int]) -> list[int]:
    """Of the arrays that the call makes, those that have a part in the first updates and none in the first loss: a
    velocity, and neither a row of a one-hot code nor an array that is filled before it is read."""
    tape = trial.tape
    updates = [p.versions[1] for p in found if len(p.versions) > 1]
    begin = next((node.id for node in tape.nodes if depends[node.id] and node.func is not None), len(tape))
    again = {trial.made_at[n] for n in made if updates and n > max(updates) and n in trial.made_at}
    # What is made in the midst of a step, or once more in the next, is not kept from one to the other.
    several = any(len(p.versions) > 2 for p in found)
    held = set(trial.finals.values())
    made = [n for n in made if updates and n < max(updates) and trial.made_at.get(n) not in again]
    made = [n for n in made if n < begin or several or held & _linear_descendants(tape, [n], set())]
    mask = mask_of(found, 0, depends)
    loss = [id for id in tops(trial, mask, depends, set()) if id not in updates]
    rng = np.random.default_rng(0)
    changed: dict[int, Any] = {n: rng.normal(size=tape[n].value.shape) for n in made}

    def moved(ids: list[int], of: dict[int, Any]) -> bool:
        new = tape.replay(of, ids)
        return any(id in new and not np.array_equal(new[id], tape[id].value, equal_nan=True) for id in ids)

    with np.errstate(all="ignore"):
        try:
            if not made or not moved(updates, changed):
                return []
            ways = [{n: changed[n]} for n in made[:100]]
            return [n for way in ways for n in way if moved(updates, way) and not moved(loss, way)] + made[100:]
        except Exception:  # a call that does not take other numbers
            return made


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
    if any(name_of(tape[here]) in ("put", "added_at") for here in way):
        return _gathered(tape, parameter, step, way, mask, depends, tainted)
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
    return Claim(parameter, step, bare, moved, scalars, sign, way[-1], state, normalised, _inside(tape, bare))


def _inside(tape: Tape, node: int) -> tuple[float, ...]:
    """The plain numbers with which the operands of a product are multiplied, on the product's own line."""
    here = tape[node]
    if name_of(here) not in ("dot", "matmul", "multiply", "outer"):
        return ()
    found: list[float] = []
    stack = [arg.id for arg in here.args[:2] if isinstance(arg, Ref)]
    while stack and len(found) < 3:
        inner = tape[stack.pop()]
        name = name_of(inner)
        if inner.lines[:1] != here.lines[:1]:
            continue
        if name in ("multiply", "divide"):
            plain = [arg for arg in inner.args[:2] if isinstance(arg, (float, np.floating)) and arg]
            found += [float(1 / arg if name == "divide" and arg is inner.args[1] else arg) for arg in plain]
        if name in ("multiply", "divide", "negative", "transpose"):
            stack += [arg.id for arg in inner.args[:1] if isinstance(arg, Ref)]
    return tuple(found)


def _gathered(
    tape: Tape, parameter: Parameter, step: int, way: list[int], mask: int, depends: list[int], tainted: _Taint
) -> Claim | None:
    """Put together what was written into a parameter part by part, as in a loop over its elements."""
    old = parameter.versions[step]
    on = {old, *way}
    found: list[Piece] = []
    for here in way:
        node = tape[here]
        name = name_of(node)
        if name in ("put", "added_at"):
            parts = pieces(tape, node, on)
            if parts is None:
                return None
            found += [part for part in parts if part.side >= 0]
        elif name in ("add", "subtract"):
            aside = [i for i in node.inputs if i not in on]
            turned = name == "subtract" and _first_ref(node) not in aside
            found += [Piece(None, i, -1.0 if turned else 1.0, []) for i in aside]
        elif name not in ("copied", "copy", "fitted", "astype", "positive"):
            return None
    found = [part for part in found if depends[part.side] & mask]
    if not found or any(part.side in tainted.any and part.side not in tainted.linear for part in found):
        return None
    bare = [_stripped(tape, part.side, depends, tainted, literal=True) for part in found]
    base = float(np.prod([value for _, value in bare[0][1]])) * found[0].sign
    if not base:
        return None
    args: list[Any] = [tape[old].value.shape]
    for part, (inner, scalars, _) in zip(found, bare, strict=True):
        factor = float(np.prod([value for _, value in scalars])) * part.sign / base
        args += [part.index, round(factor, 12), Ref(inner), part.adds]
    try:
        value = scattered(*swapped(args, _known(tape)))
    except (IndexError, ValueError):
        return None
    node = tape.record(scattered, tuple(args), {}, value)
    node.lines = tape[way[-1]].lines
    depends += [mask & _all(depends, node.inputs)] * (len(tape) - len(depends))
    normalised = any(n for _, _, n in bare)
    hidden = {_inside(tape, inner) for inner, _, _ in bare}
    shown = hidden.pop() if len(hidden) == 1 else ()
    return Claim(parameter, step, node.id, node.id, bare[0][1], found[0].sign, way[-1], False, normalised, shown)


def _known(tape: Tape) -> Callable[[Ref], Any]:
    return lambda ref: tape[ref.id].value


def _all(depends: list[int], ids: tuple[int, ...]) -> int:
    found = 0
    for id in ids:
        found |= depends[id]
    return found


def _is_norm(tape: Tape, node: int) -> bool:
    """Whether a number is a square root, with a small number added perhaps."""
    here = tape[node]
    while name_of(here) in ("add", "multiply", "maximum", "divide") and len(here.inputs) == 1:
        here = tape[here.inputs[0]]
    return name_of(here) in ("sqrt", "power", "norm")


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


def _stripped(
    tape: Tape, node: int, depends: list[int], tainted: _Taint, literal: bool = False
) -> tuple[int, list[tuple[int, float]], bool]:
    """Take the scalar factors off a value: the learning rate, 1/m, the sign; if `literal`, none that was computed, as
    one element of the input."""
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
        elif all(live) and name == "divide" and _is_norm(tape, operands[1].id):
            node, normalised = operands[0].id, True  # a single parameter, divided by the root of its squared gradients
            continue
        if live.count(True) != 1:
            return node, scalars, normalised
        i = live.index(True)
        other = values[1 - i]
        computed = literal and isinstance(operands[1 - i], Node)
        if np.size(other) != 1 or isinstance(other, (tuple, list)) or (name == "divide" and i == 1) or computed:
            return node, scalars, normalised
        value = float(np.reshape(other, ()))
        scalars.append((here.id, 1 / value if name == "divide" and value else value))
        node = operands[i].id
