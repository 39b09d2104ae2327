"""Which number on the tape is the loss; and the usual losses, for code that never computes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.doctor.tape import Ref
from autodiff.doctor.trial import Trial
from autodiff.doctor.updates import Parameter, name_of


def _bce(p: Any, y: Any) -> Any:
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def _cross_entropy(p: Any, y: Any) -> Any:
    if y.ndim == p.ndim - 1 or y.shape != p.shape:  # class numbers
        y = np.asarray(np.eye(p.shape[-1])[np.asarray(y).reshape(-1).astype(int)])
    return -(y * np.log(p))


def _square(p: Any, y: Any) -> Any:
    return np.square(p - y)


def _total(each: Callable[[Any, Any], Any], scale: Callable[[Any], float], name: str) -> Callable[[Any, Any], Any]:
    def loss(p: Any, y: Any) -> Any:
        return np.sum(each(p, y)) * scale(p)

    loss.__name__ = name
    return loss


_one: Callable[[Any], float] = lambda p: 1.0
_per_element: Callable[[Any], float] = lambda p: 1.0 / p.size
_per_row: Callable[[Any], float] = lambda p: 1.0 / (p.shape[0] if p.ndim else 1)
_per_column: Callable[[Any], float] = lambda p: 1.0 / (p.shape[-1] if p.ndim else 1)

#: What `loss="..."` may be, and the versions of each: summed, averaged.
NAMED: dict[str, list[Callable[[Any, Any], Any]]] = {
    "bce": [
        _total(_bce, _per_element, "mean binary cross entropy"),
        _total(_bce, _one, "summed binary cross entropy"),
        _total(_bce, _per_row, "binary cross entropy divided by the number of rows"),
        _total(_bce, _per_column, "binary cross entropy divided by the number of columns"),
    ],
    "cross_entropy": [
        _total(_cross_entropy, _per_row, "mean cross entropy"),
        _total(_cross_entropy, _one, "summed cross entropy"),
        _total(_cross_entropy, _per_column, "cross entropy divided by the number of columns"),
    ],
    "half_mse": [
        _total(_square, lambda p: 0.5, "half the summed squared error"),
        _total(_square, lambda p: 0.5 / p.size, "half the mean squared error"),
        _total(_square, lambda p: 0.5 * _per_row(p), "half the squared error divided by the number of rows"),
        _total(_square, lambda p: 0.5 * _per_column(p), "half the squared error divided by the number of columns"),
    ],
    "mse": [
        _total(_square, _per_element, "mean squared error"),
        _total(_square, _one, "summed squared error"),
        _total(_square, _per_row, "squared error divided by the number of rows"),
        _total(_square, _per_column, "squared error divided by the number of columns"),
    ],
}


def on_tape(trial: Trial, mask: int, depends: list[int], used: set[int], versions: set[int]) -> list[int]:
    """Return the numbers that may be the loss of one step, best first.

    Parameters
    ----------
    mask : int
        The bits of that step's versions.
    used : set of int
        The nodes from which the step's updates are computed: the loss is none of them, as a rule.
    versions : set of int
        The parameters, which may be single numbers too.
    """
    top = tops(trial, mask, depends, used | versions) or tops(trial, mask, depends, versions)
    found: list[int] = []
    for id in sorted(top, key=lambda id: (-(depends[id] & mask).bit_count(), id)):
        found += [id, *_below_the_top(trial, id, mask, depends)]
    return list(dict.fromkeys(found))


_COMPARISONS = ("greater", "less", "equal", "greater_equal", "less_equal", "not_equal")


def tops(trial: Trial, mask: int, depends: list[int], used: set[int]) -> list[int]:
    """Return the numbers from which no other number of that step is computed."""
    tape = trial.tape
    fits = [
        node.id
        for node in tape.nodes
        if node.value.size == 1
        and node.value.dtype.kind == "f"
        and node.func is not None
        and depends[node.id] & mask
        and not depends[node.id] & ~mask
        and node.id not in used
        and np.isfinite(node.value).all()
    ]
    below: set[int] = set()
    top = set(fits)
    for node in reversed(tape.nodes):
        if node.id in top or node.id in below:
            below.update(node.inputs)
    uses = tape.consumers()
    return [id for id in fits if id not in below and not _is_condition(trial, id, uses.get(id, []))]


def _is_condition(trial: Trial, id: int, users: list[int]) -> bool:
    """Whether a number has no name and is only compared: the margin in ``if y * (x @ w - b) >= 1``."""
    compared = bool(users) and all(name_of(trial.tape[u]) in _COMPARISONS for u in users)
    return compared and not trial.names.bound(id)


def is_likelihood(trial: Trial, id: int) -> bool:
    """Whether a number is the sum of logarithms of probabilities, which is to grow."""
    tape = trial.tape
    inside = [tape[i] for i in tape.ancestors([id])]
    logs = [node for node in inside if name_of(node) == "log"]
    chances = [tape[i].value for node in logs for i in node.inputs]
    squares = {"square", "power"} & {name_of(node) for node in inside}
    below = all(bool(np.all((p > 0) & (p < 1))) for p in chances)
    return float(np.sum(tape[id].value)) < 0 and bool(chances) and below and not squares


def turned(trial: Trial, options: list[int]) -> list[int]:
    """Write down the negatives of numbers that are made to grow, as a log-likelihood is."""
    tape = trial.tape
    made = []
    for id in options:
        value = float(np.sum(tape[id].value))
        if value < 0:
            node = tape.record(_signed_sum, (-1.0, Ref(id)), {}, -value)
            node.lines = tape[id].lines
            made.append(node.id)
    return made


def summed(trial: Trial, options: list[int]) -> list[tuple[int, str]]:
    """Where several numbers come from one line, as in a loop over samples, write their sum on the tape."""
    tape = trial.tape
    lines: dict[Any, list[int]] = {}
    for id in options:
        lines.setdefault(tape[id].lines[:1], []).append(id)
    made = []
    for found in lines.values():
        if len(found) < 2:
            continue
        parts = tuple(Ref(id) for id in sorted(found))
        for sign, word in ((1.0, "sum"), (-1.0, "negative sum")):
            value = sum(float(np.sum(tape[id].value)) for id in found) * sign
            made.append((tape.record(_signed_sum, (sign, *parts), {}, value).id, f"{word} of the numbers of one line"))
    return made


def _signed_sum(sign: float, *parts: Any) -> Any:
    return sign * sum(np.sum(part) for part in parts)


def _below_the_top(trial: Trial, id: int, mask: int, depends: list[int]) -> list[int]:
    """The loss inside a running total, inside that weighted by the batch's length, or inside a root."""
    tape = trial.tape
    found: list[int] = []
    weighted = name_of(tape[id]) == "multiply" and any(_is_count(arg) for arg in tape[id].args)
    if weighted and any(id in node.inputs and name_of(node) == "add" for node in tape.nodes[id:]):
        found += [i for i in tape[id].inputs if depends[i] & mask]
    while True:
        node = tape[id]
        name = name_of(node)
        own = [i for i in node.inputs if depends[i] & mask]
        if name == "sqrt" or (name == "add" and len(own) == 1 and len(node.args) == 2 and _is_start(node.args, tape)):
            id = own[0]
            found.append(id)
            product = tape[id]
            if name_of(product) == "multiply" and any(_is_count(arg) for arg in product.args):
                id = next(i for i in product.inputs if depends[i] & mask)
                found.append(id)
        elif name in ("squeeze", "item", "reshape", "getitem", "astype", "asarray") and len(own) == 1:
            id = own[0]
        else:
            return found


def misused(
    trial: Trial, mask: int, depends: list[int], used: set[int], output: int | None, versions: set[int]
) -> list[int]:
    """Return the number with a name, made of logarithms or squares of the output, that the updates are made of."""
    tape = trial.tape
    within = tape.ancestors([output]) if output is not None else set[int]()
    fits: dict[tuple[str, str], list[int]] = {}
    for b in trial.names.bindings:
        id = b.node if b.node is not None and b.node in used and b.name != "return" else None
        if id is None or id in within or id in versions or tape[id].value.size != 1 or depends[id] & ~mask:
            continue
        after = [i for i in tape.ancestors([id]) - within if depends[i] & mask]
        if {name_of(tape[i]) for i in after} & {"log", "square", "power"}:
            fits.setdefault((b.line.function, b.name), []).append(id)
    full = max((depends[i].bit_count() for ids in fits.values() for i in ids), default=0)
    whole = [ids for ids in fits.values() if depends[ids[-1]].bit_count() == full]
    return whole[0][-1:] if whole else []


def _is_start(args: tuple[Any, ...], tape: Any) -> bool:
    numbers = [tape[a.id].value if isinstance(a, Ref) else a for a in args]
    return any(bool(np.size(n) == 1) and not isinstance(n, (str, tuple)) for n in numbers)


def _is_count(arg: Any) -> bool:
    return isinstance(arg, (int, np.integer)) and int(arg) > 1


def is_measure(trial: Trial, loss: int, mask: int, depends: list[int]) -> bool:
    """Whether a number only measures the error, as the mean of |e| does: nobody's gradient is meant to be of it."""
    tape = trial.tape
    inside = [name_of(tape[i]) for i in tape.ancestors([loss]) if depends[i] & mask]
    return bool({"absolute", "fabs"} & set(inside)) and "log" not in inside and "square" not in inside


def outputs_and_labels(
    trial: Trial, found: list[Parameter], mask: int, depends: list[int], used: set[int]
) -> list[tuple[int, int]]:
    """Return the nodes of the network's outputs and of their labels, from where the two first meet; one pair per sample
    where samples are taken one by one. Outputs of which the updates are made come before those of a test set."""
    tape = trial.tape
    full = 0
    for node in tape.nodes:
        if not depends[node.id] & ~mask and (depends[node.id] & mask).bit_count() > full.bit_count():
            full = depends[node.id] & mask
    versions = {v for p in found for v in p.versions}
    data = [n for n in trial.sources() if n not in versions and tape[n].value.dtype.kind in "biuf"]
    data = [n for n in data if n not in trial.made or np.any(tape[n].value)]  # sums begin with zeros of their own
    given = {id: leaf for leaf in data for id in tape.descendants([leaf], stop=versions) if not depends[id]}
    numbers = [n.id for n in tape.nodes if n.func is None and n.value.size == 1 and n.id not in given]
    given.update((n, n) for n in numbers if not depends[n] and tape[n].value.dtype.kind in "biuf")
    groups: dict[int, list[int]] = {}
    for node in tape.nodes:
        if node.id in versions or name_of(node) in _COMPARISONS:
            continue
        a = [i for i in node.inputs if depends[i] == full and i not in versions]
        if a and len(tape[a[0]].inputs) == 1 and tape[a[0]].inputs[0] in versions:
            continue  # a weight, transposed
        b = [i for i in node.inputs if i in given]
        if a and b and _meet(tape[a[0]].value, tape[b[0]].value, name_of(node)):
            groups.setdefault(_chosen(tape, b[0], given), []).append(a[0])
    pairs = []
    for labels, met in groups.items():
        shared = set.intersection(*(tape.ancestors([a]) for a in met[:4]))
        outputs = [i for i in shared if depends[i] == full and i not in versions]
        output = max(outputs, default=met[0])  # computed anew for each use, perhaps
        if labels not in tape.ancestors([output], stop=versions):  # as inputs are that meet an error
            pairs.append((output, labels))
    pairs = [pair for pair in pairs if pair[0] in used] or pairs
    if not pairs:
        return []
    pairs.sort()
    shape = tape[pairs[0][1]].value.shape
    # Inputs meet the deltas in the backward pass, but outputs are computed from them and not from labels.
    inputs = tape.ancestors([output for output, _ in pairs], stop=versions) - {pairs[0][1]}
    kept = {output: labels for output, labels in pairs if labels not in inputs and tape[labels].value.shape == shape}
    return sorted(kept.items())


def _chosen(tape: Any, id: int, given: dict[int, int]) -> int:
    """Follow what was made of labels, as 1 − y, back to the labels of this batch or sample."""
    while tape[id].func is not None and name_of(tape[id]) not in ("getitem", "take"):
        held = [i for i in tape[id].inputs if i in given]
        if not held:
            return id
        id = held[0]
    return id


def _meet(a: Any, b: Any, name: str) -> bool:
    if name in ("getitem", "put", "added_at", "take_along_axis"):
        return True
    if name in ("dot", "matmul", "einsum", "vdot", "inner"):
        return bool(a.size == b.size)
    return bool(not b.ndim or (a.ndim and (a.size == b.size or a.shape == b.shape or set(a.shape) & set(b.shape))))


def implied(trial: Trial, pairs: list[tuple[int, int]], kinds: list[str]) -> list[tuple[int, str]]:
    """Write the usual losses on the tape, as if their code had computed them; return their nodes and names."""
    made = []
    for kind in kinds:
        for loss in NAMED[kind]:
            parts = [_implied(trial, output, labels, kind, loss) for output, labels in pairs]
            if not parts or any(part is None for part in parts):
                continue
            ids = [part for part in parts if part is not None]
            if len(ids) > 1:
                value = sum(float(trial.tape[id].value) for id in ids)
                ids = [trial.tape.record(_signed_sum, (1.0, *(Ref(id) for id in ids)), {}, value).id]
            made.append((ids[0], loss.__name__))
    return made


def _implied(trial: Trial, output: int, labels: int, kind: str, loss: Callable[[Any, Any], Any]) -> int | None:
    tape = trial.tape
    p, y = tape[output].value, tape[labels].value
    if kind == "bce" and not (p.size and p.min() > 0 and p.max() < 1):
        return None
    if kind == "cross_entropy" and not (p.ndim and p.size and p.min() > 0 and p.shape[-1] > 1):
        return None
    target: Any = Ref(labels)
    held = y
    if kind != "cross_entropy" or y.size == p.size:
        if y.size != p.size:
            return None
        held = y.reshape(p.shape)
        target = Ref(labels) if y.shape == p.shape else held
    with np.errstate(all="ignore"):
        try:
            value = loss(p, held)
        except (ValueError, IndexError):
            return None
    return tape.record(loss, (Ref(output), target), {}, value).id if np.isfinite(value) else None
