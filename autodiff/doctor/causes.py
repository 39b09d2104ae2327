"""Name the cause of a fault: what the wrong value is, compared with the right one that belongs in its place."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

import numpy as np

from autodiff.doctor import products, slopes, tops
from autodiff.doctor.case import Case, proportion
from autodiff.doctor.known import Known
from autodiff.doctor.scale import sizes
from autodiff.doctor.search import Fault
from autodiff.doctor.spell import (
    activation_name,
    bracketed,
    count_name,
    name_for,
    rewritten,
    slope_text,
    statement,
    with_part,
)
from autodiff.doctor.tape import Line
from autodiff.doctor.updates import short
from autodiff.doctor.where import lines_of, own_lines


@dataclass(frozen=True)
class Cause:
    """Why a value is wrong.

    Attributes
    ----------
    code : str
        The entry of the catalogue, as ``"bias_unsummed"``.
    text : str
        The end of a sentence that begins with the wrong line.
    fix : str or None
        The line that would be right.
    lines : tuple of Line
        The lines to blame, the likeliest first.
    """

    code: str
    text: str
    fix: str | None
    lines: tuple[Line, ...]


def cause_of(case: Case, known: Known, fault: Fault) -> Cause:
    """Return the cause of a fault, in the words of the catalogue where it is there."""
    lines = lines_of(case, fault, known)
    line = lines[0] if lines else None
    if fault.kind in ("factor", "update"):
        return _factor(case, fault, line, lines)
    if fault.kind == "late" and fault.entry is not None:
        path = next(p for p, v in case.versions.items() if v == fault.entry.node)
        name = short(path)
        text = f"uses {name} after its update; the backward pass needs it as it was: update it afterwards"
        return Cause("updated_weights", text, None, lines)
    if fault.spare is not None:
        spare: Cause = products.spare(case, known, fault, lines, Cause)
        return spare
    if fault.kind == "use":
        misused: Cause = products.misused(case, known, fault, lines, Cause)
        return misused
    if fault.kind == "unknown" or fault.right is None:
        unknown: Cause = products.unexplained(case, known, fault, lines, Cause)
        return unknown
    value, right = np.asarray(fault.value), np.asarray(fault.right)
    if value.shape == right.shape:
        found = _elementwise(case, known, fault, value, right, line, lines)
        if found is not None:
            return found
    explained: Cause = products.explained(case, known, fault, lines, Cause)
    return explained


def _elementwise(
    case: Case, known: Known, fault: Fault, value: Any, right: Any, line: Line | None, lines: tuple[Line, ...]
) -> Cause | None:
    """A slope, or a delta that is made with one, or the derivative of the loss."""
    entry = fault.entry
    assert entry is not None
    assert case.truth is not None
    if entry.kind == "slope":
        z, a, f = entry.node, entry.to, np.asarray(entry.value)
        assert a is not None
        return _slope(case, known, z, a, f, value, line, lines, fault)
    if entry.kind == "value":
        return _bent(value, right, lines)
    k, rest = proportion(value, right)
    if rest < 1e-6 and k < 0:
        return Cause("sign_layer", "has the wrong sign", rewritten(line, lambda e: f"-{bracketed(e)}"), lines)
    layer = _layer(case, known, entry.value)
    for_output = case.output is not None and np.shape(entry.value) == case.tape[case.output].value.shape
    if for_output and (layer is None or layer[1] == case.output or _is_last(case, layer[0])):
        found = _top(case, entry.value, value, layer, line, lines, right)
        if found is not None:
            return found
    if layer is not None:
        z, a, f = layer
        by_a = case.truth.adjoint.get(a)
        if by_a is not None:
            scale = proportion(right, entry.value)[0] or 1.0
            with np.errstate(all="ignore"):
                used = np.where(by_a == 0, np.nan, value / (scale * by_a))
            found = _slope(case, known, z, a, f, used, line, _with_source(case, fault, used, lines), fault)
            if found is not None:
                return found
    return _bent(value, right, lines)


def _bent(value: Any, right: Any, lines: tuple[Line, ...]) -> Cause | None:
    """The right value without its sign, or squared."""
    for code, words, option in (
        ("error_abs", "has lost its sign: it is the absolute value of what belongs there", np.abs(right)),
        ("error_squared", "is the square of what belongs there", right * right),
    ):
        if value.size > 1 and not _alike(value, right) and _alike(value, option):
            return Cause(code, words, None, lines)
    return None


def _with_source(case: Case, fault: Fault, used: Any, lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """Add the line of a helper function that computed the slope that was used."""
    for id in case.tape[fault.node].inputs:
        made = case.tape[id]
        if not made.lines or made.func is None or made.value.shape != np.shape(used):
            continue
        own = own_lines(case, id)
        if own and own[0].function != lines[0].function and _same(used, made.value.astype(float)):
            return (own[0], *lines[:1])
    return lines


def _layer(case: Case, known: Known, adjoint: Any) -> tuple[int, int, Any] | None:
    """The activation whose input has this derivative."""
    assert case.truth is not None
    for z, (a, f) in known.activations.items():
        mine = case.truth.adjoint.get(z)
        if mine is not None and mine.shape == np.shape(adjoint) and np.allclose(mine, adjoint, rtol=1e-9, atol=1e-300):
            return z, a, f
    return None


def _slope(
    case: Case,
    known: Known,
    z: int,
    a: int,
    f: Any,
    used: Any,
    line: Line | None,
    lines: tuple[Line, ...],
    fault: Fault,
) -> Cause | None:
    kind = activation_name(case, z, a, f)
    at, out = case.tape[z].value, case.tape[a].value
    with np.errstate(all="ignore"):
        options = list(slopes.candidates(at, out, f, kind))
    for other, (other_a, other_f) in known.activations.items():
        if other != z and np.shape(other_f) == np.shape(f):
            options.append(("derivative_of_other_layer", "takes the slope at another layer's values", other_f))
            del other_a
    for code, words, value in options:
        if _same(used, value):
            return _slope_cause(case, code, words.format(kind=kind), (z, a, f), line, lines, fault)
    if fault.entry is not None and fault.entry.kind == "slope":
        return _slope_cause(case, "derivative_wrong", f"is not the slope of the {kind}", (z, a, f), line, lines, fault)
    return None


def _slope_cause(
    case: Case,
    code: str,
    words: str,
    layer: tuple[int, int, Any],
    line: Line | None,
    lines: tuple[Line, ...],
    fault: Fault,
) -> Cause:
    z, a, f = layer
    if code in ("derivative_at_activation", "derivative_at_preactivation") and len(lines) > 1:
        lines = lines[::-1]  # the call, with its argument, before the function that it calls
        line = lines[0]
    text = slope_text(case, z, a, f, line)
    fix = None
    if code == "derivative_missing" and text is not None:
        fix = rewritten(line, lambda e: f"{bracketed(e)} * {text}")
    elif text is not None and fault.entry is not None and fault.entry.kind == "slope":
        users = [case.tape[i].lines[:1] for i in case.tape.consumers().get(fault.node, ())]
        whole = line is not None and case.tape[fault.node].lines[:1] == (line,) and (line,) not in users
        fix = with_part(case, line, fault.value, text) or (rewritten(line, lambda e: text) if whole else None)
        fix = fix or f"the slope is {text}"
    elif text is not None:
        fix = f"the slope is {text}"
    names = name_for(case, z, line), name_for(case, a, line)
    if code == "derivative_at_activation" and all(names) and names[0] != names[1]:
        words = f"{words}: it is given {names[1]} for {names[0]}"
    if code == "derivative_at_preactivation" and all(names) and names[0] != names[1]:
        words = f"{words}: it is given {names[0]} for {names[1]}"
    return Cause(code, words, fix, lines)


def _top(
    case: Case,
    true: Any,
    value: Any,
    layer: tuple[int, int, Any] | None,
    line: Line | None,
    lines: tuple[Line, ...],
    right: Any,
) -> Cause | None:
    assert case.output is not None
    assert case.truth is not None
    if case.labels is None:
        return None
    a, y = case.tape[case.output].value, case.tape[case.labels].value
    if y.size != a.size:
        return None
    y = y.reshape(a.shape)
    f = layer[2] if layer is not None else np.ones_like(a)
    by_output = case.truth.adjoint.get(case.output)
    if by_output is None:
        return None
    if layer is None:
        own = next((f for z, (out, f) in known_outputs(case) if out == case.output), None)
        f = own if own is not None else f
    with np.errstate(all="ignore"):
        e = a - y
        bce = proportion(by_output, e)[1] > 1e-6
        for code, words, option in tops.candidates(a, y, f, np.asarray(true), by_output, bce):
            if np.any(option) and _alike(value, option):
                return Cause(code, words, _top_fix(case, line, bool(layer), bce, true, right), lines)
    return None


def _is_last(case: Case, z: int) -> bool:
    """Whether no parameter comes between a value and the output: it is a step on the way through a softmax."""
    assert case.output is not None
    way = case.tape.descendants([z]) & case.tape.ancestors([case.output]) - {z}
    versions = set(case.versions.values())
    return case.output in way and not any(versions & set(case.tape[i].inputs) for i in way)


def known_outputs(case: Case) -> list[tuple[int, tuple[int, Any]]]:
    """The activations of a case, where they have been looked for."""
    found: dict[int, tuple[int, Any]] = case.memo.get("activations", {})
    return list(found.items())


def _top_fix(case: Case, line: Line | None, by_z: bool, bce: bool, true: Any, right: Any) -> str | None:
    assert case.output is not None
    assert case.labels is not None
    a, y = name_for(case, case.output, line), name_for(case, case.labels, line)
    if a is None or y is None:
        return None
    e = case.tape[case.output].value - case.tape[case.labels].value.reshape(case.tape[case.output].value.shape)
    if _alike(np.asarray(true), e):
        share = proportion(right, e)[0]
        count = next((n for n in _counts(case) if abs(share * n - 1) < 1e-6), None)
        if count is not None:
            return rewritten(line, lambda _: f"({a} - {y}) / {count_name(case, count, line)}")
        return rewritten(line, lambda _: f"{a} - {y}") if abs(share - 1) < 1e-6 else None
    if bce and not by_z:
        return rewritten(line, lambda _: f"({a} - {y}) / ({a} * (1 - {a}))")
    if not bce and by_z:
        return rewritten(line, lambda _: f"({a} - {y}) * {a} * (1 - {a})")
    return None


def _factor(case: Case, fault: Fault, line: Line | None, lines: tuple[Line, ...]) -> Cause:
    off = fault.factor
    counts = _counts(case)
    whole = "every gradient" if fault.everywhere else "it"
    if fault.kind == "update" and off > 0:
        text = f"takes a step {off:.6g} times as large as the other parameters take"
        return Cause("factor", text, None, lines)
    if abs(off + 1) < 1e-4:
        if fault.kind == "update":
            fix = rewritten(line, lambda e: e)
            fix = fix.replace(" += ", " -= ") if fix and " += " in fix else fix.replace(" -= ", " += ") if fix else None
            code = "sign_all" if fault.everywhere else "sign_layer"
            return Cause(code, "goes up the gradient: the update has the wrong sign", fix, lines)
        code = "sign_all" if fault.everywhere else "sign_layer"
        return Cause(code, "has the wrong sign", rewritten(line, lambda e: f"-{bracketed(e)}"), lines)
    sign = "; the sign is wrong too" if off < 0 else ""
    size = abs(off)
    for n in counts:
        name = count_name(case, n, line)
        told = name if name == f"{n:g}" else f"{name} = {n:g}"
        if abs(size - n) < 1e-4 * n:
            text = f"{whole} is {n:g} times that of the loss, which divides by {told} and this does not{sign}"
            if fault.everywhere:
                lines = _with_shared(case, lines)
            return Cause("mean_missing", text, rewritten(line, lambda e, name=name: f"{bracketed(e)} / {name}"), lines)
        if abs(size * n - 1) < 1e-4:
            text = f"{whole} is divided by {told} once too often{sign}"
            return Cause("mean_twice", text, rewritten(line, lambda e, name=name: f"{bracketed(e)} * {name}"), lines)
    if abs(size - 0.5) < 1e-4 or abs(size - 2) < 1e-4:
        words = "half" if size < 1 else "twice"
        text = f"{whole} is {words} that of the loss: the 2 of the square{sign}"
        change = (lambda e: f"2 * {bracketed(e)}") if size < 1 else (lambda e: f"{bracketed(e)} / 2")
        return Cause("factor_two", text, rewritten(line, change), lines)
    miscounted = _miscounted(case, size, counts, line)
    if miscounted is not None:
        name, value, n, bound = miscounted
        text = f"makes {name} = {value}, and not {n:g}, the number of samples: {whole} is {size:.6g} times too large"
        return Cause("wrong_count", text + sign, None, (bound, *lines[:1]))
    text = f"{whole} is {size:.6g} times that of the loss{sign}"
    return Cause("factor", text, rewritten(line, lambda e: f"{bracketed(e)} / {off:.6g}"), lines)


def _with_shared(case: Case, lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """Add the one line that computes the weights' gradients of all layers: 1/m may belong there too."""
    made = [case.tape[c.node].lines[:1] for p, c in case.claims.items() if case.tape[case.versions[p]].value.ndim == 2]
    shared = [line for line in dict.fromkeys(made) if made.count(line) > 1 and line]
    return tuple(dict.fromkeys((*lines, *shared[0]))) if shared else lines


def _miscounted(case: Case, size: float, counts: list[float], line: Line | None) -> tuple[str, Any, float, Line] | None:
    """See whether a name on the line stands for a number that is off by this factor."""
    if line is None:
        return None
    for binding in reversed(case.trial.names.bindings):
        value = binding.value
        if type(value) not in (int, float) or not value or binding.name not in line.text or binding.line == line:
            continue
        found = statement(binding.line)
        if binding.line.function != line.function or not isinstance(found, ast.Assign):
            continue
        for n in counts:
            if abs(n / value - size) < 1e-4 * size or abs(value / n - size) < 1e-4 * size:
                return binding.name, value, n, binding.line
    return None


def _counts(case: Case) -> list[float]:
    counts: list[float] = []
    for id in (case.labels, case.output):
        if id is not None:
            counts += [float(n) for n in case.tape[id].value.shape if n > 1]
            counts.append(float(case.tape[id].value.size))
    if case.output is None:
        counts = sorted(n for n in sizes(case) if n > 2)  # of no known output: a 2 is rather that of a square
    return [n for n in dict.fromkeys(counts) if n > 1]


def _same(used: Any, value: Any) -> bool:
    """Whether two arrays agree, up to sign, wherever the first is known."""
    with np.errstate(all="ignore"):
        seen = np.isfinite(used)
        if not seen.any() or np.shape(used) != np.shape(value):
            return False
        u, v = used[seen], np.broadcast_to(value, np.shape(used))[seen]
    if not np.all(np.isfinite(v)):
        return False
    k, rest = proportion(u, v)
    return bool(rest < 1e-6 and k and (u.size > 1 or abs(abs(k) - 1) < 1e-6))


def _alike(value: Any, option: Any) -> bool:
    if not np.all(np.isfinite(option)):
        return False
    k, rest = proportion(value, np.broadcast_to(option, value.shape))
    return bool(rest < 1e-6 and k and value.size > 1)
