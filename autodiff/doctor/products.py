"""Causes in products and sums: a wrong operand, a wrong axis, a missing sum, a transposed matrix, one sample only."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.doctor.case import Case, aligned, proportion, reduction
from autodiff.doctor.known import Entry, Known
from autodiff.doctor.search import Fault
from autodiff.doctor.slopes import candidates
from autodiff.doctor.spell import activation_name, bracketed, name_for, rewritten, with_operand
from autodiff.doctor.tape import Line, Ref, swapped
from autodiff.doctor.updates import name_of, short
from autodiff.doctor.where import alias


def misused(case: Case, known: Known, fault: Fault, lines: tuple[Line, ...], cause: Any) -> Any:
    """A right value is taken for the gradient of a parameter that it does not belong to."""
    line = lines[0] if lines else None
    value, target = np.asarray(fault.value), np.asarray(fault.right)
    reduced = reduction(value, target)
    if reduced is not None:
        axes, _ = reduced
        shape = f"shape {value.shape}"
        axis = axes[0] if len(axes) == 1 else None
        keep = target.ndim == value.ndim
        what = "is one gradient per sample" if target.size > 1 or value.size > 1 else "is not summed"
        call = lambda e: (
            f"np.sum({e}, axis={axis}{', keepdims=True' if keep else ''})" if axis is not None else f"np.sum({e})"
        )
        text = f"{what}, {shape}; the parameter needs their sum over the batch, shape {target.shape}"
        return cause("bias_unsummed", text, rewritten(line, call), lines)
    for match in known.find(value, "adjoint"):
        path = next((p for p, v in case.versions.items() if v == match.entry.node), None)
        if path is not None and path not in fault.parameters:
            text = f"is the gradient of {short(path)}, not of {', '.join(map(short, fault.parameters))}"
            return cause("other_gradient", text, None, lines)
    return explained(case, known, fault, lines, cause)


def spare(case: Case, known: Known, fault: Fault, lines: tuple[Line, ...], cause: Any) -> Any:
    """A value is passed on where another one belongs that is there as well, and stays unused."""
    assert fault.spare is not None
    line = lines[0] if lines else None
    said, belongs = name_for(case, fault.node, line) or "a value", name_for(case, fault.spare, line)
    others = [m.entry.node for m in known.find(np.asarray(fault.value), "adjoint")]
    other = any(v in others for v in case.versions.values()) and fault.entry is not None
    code = "other_gradient" if other else "upstream_raw_error"
    made = case.tape[fault.spare].lines
    where = f", of line {made[0].number}," if made else ""
    return cause(code, f"passes on {said} where {belongs}{where} belongs, which stays unused", None, lines)


def explained(case: Case, known: Known, fault: Fault, lines: tuple[Line, ...], cause: Any) -> Any:
    """Compare a wrong value with the right one as a product or a sum."""
    line = lines[0] if lines else None
    value, right = np.asarray(fault.value), np.asarray(fault.right)
    if value.ndim == 2 and value.T.shape == right.shape and _like(value.T, right):
        return cause("dw_transposed", "is transposed", rewritten(line, lambda e: f"{bracketed(e)}.T"), lines)
    found = _reduced(case, fault, value, right, line, lines, cause)
    if found is not None:
        return found
    for version in case.versions.values():
        weight = case.tape[version].value
        if weight.shape == right.shape == value.shape and value.size > 3:
            columns = np.stack([right.reshape(-1), weight.reshape(-1)], axis=1)
            fit, *_ = np.linalg.lstsq(columns, value.reshape(-1), rcond=None)
            left = np.linalg.norm(columns @ fit - value.reshape(-1))
            share = np.linalg.norm(fit[0] * right) / np.linalg.norm(value)
            if left < 1e-8 * np.linalg.norm(value) and share > 1e-6 and abs(fit[1]) > 1e-9:
                text = f"differs from the true gradient by {-fit[1] / fit[0]:.4g} times the weights, as of a penalty"
                return cause("penalty_missing", text, None, lines)
    found = _operand(case, known, fault, right, line, lines, cause)
    if found is not None:
        return found
    found = _samples(case, fault, value, right, line, lines, cause)
    if found is not None:
        return found
    k, rest = proportion(value, right) if value.shape == right.shape else (0.0, 1.0)
    if rest < 1e-6:
        return cause("factor", f"is {k:.4g} times what belongs there", None, lines)
    return unexplained(case, known, fault, lines, cause)


def unexplained(case: Case, known: Known, fault: Fault, lines: tuple[Line, ...], cause: Any) -> Any:
    """Say what is known: where right turns into wrong, and what should stand there."""
    line = lines[0] if lines else None
    if fault.kind == "unknown":
        found = _claimed(case, known, fault, lines, cause)
        if found is not None:
            return found
    what = describe(case, fault.entry, line) if fault.entry is not None else None
    text = "is not the derivative of anything in the forward pass" + (f"; here belongs {what}" if what else "")
    shapes = np.shape(fault.value)
    if not what and shapes:
        text += f": it is the first value, of shape {shapes}, from which nothing right is computed"
    return cause("unexplained", text, None, lines)


def describe(case: Case, entry: Entry, line: Line | None) -> str:
    """Say in words what a right value is."""
    name = name_for(case, entry.node, line)
    path = next((p for p, v in case.versions.items() if v == entry.node), None)
    if path is not None:
        name = short(path)
    if entry.kind == "slope":
        return f"the slope of the activation at {name}" if name else "the slope of the activation"
    if entry.kind == "value":
        return name or "a value of the forward pass"
    return f"the derivative of the loss by {name}" if name else "a derivative of the loss"


def _reduced(
    case: Case, fault: Fault, value: Any, right: Any, line: Line | None, lines: tuple[Line, ...], cause: Any
) -> Any:
    """A sum or mean over the wrong axis, or over too much."""
    node = case.tape[fault.node]
    source = node.inputs[0] if name_of(node) in ("sum", "mean", "max", "min", "prod") and node.inputs else None
    if source is None:
        turned = reduction(value, right)
        if turned is not None:
            axis = turned[0][0] if len(turned[0]) == 1 else None
            text = f"has shape {value.shape}: it is not summed over the batch, which gives {right.shape}"
            return cause("bias_unsummed", text, rewritten(line, lambda e: f"np.sum({e}, axis={axis})"), lines)
        return None
    inner = np.asarray(fault.values.get(source, case.tape[source].value))
    reduced = reduction(inner, right)
    if reduced is None:
        return None
    name = name_for(case, source, line) or "delta"
    axis = reduced[0][0] if len(reduced[0]) == 1 else None
    keep = ", keepdims=True" if right.ndim == inner.ndim else ""
    call = f"np.sum({name}, axis={axis}{keep})" if axis is not None else f"np.sum({name})"
    mean = abs(abs(reduced[1]) - 1) > 1e-6
    if mean and name_of(node) == "mean":
        call = call.replace("np.sum", "np.mean")
    over = node.kwargs.get("axis", node.args[1] if len(node.args) > 1 else None)
    if name_of(node) not in ("sum", "mean"):
        return cause(
            "bias_unsummed", f"takes the {name_of(node)} where a sum belongs", rewritten(line, lambda e: call), lines
        )
    if over is None:
        text = "is summed over everything, units too; only the samples are to be summed"
        return cause("bias_over_units", text, rewritten(line, lambda e: call), lines)
    text = f"is summed over axis {over}, the units; the samples lie along axis {axis}"
    return cause("bias_wrong_axis", text, rewritten(line, lambda e: call), lines)


def _operand(
    case: Case, known: Known, fault: Fault, right: Any, line: Line | None, lines: tuple[Line, ...], cause: Any
) -> Any:
    """Try right values in place of each operand of the wrong value's operation."""
    node = case.tape[fault.node]
    if node.func is None:
        return None
    assert case.truth is not None
    later = {v: p.path for p in case.parameters for v in p.versions[case.step + 1 :]}
    multiplies = name_of(node) == "multiply"

    def worth(id: int) -> Any:
        return np.asarray(fault.values.get(id, case.tape[id].value))

    for slot in node.inputs:
        held = worth(slot)
        others = [i for i in node.inputs if i != slot]
        filled = multiplies and any(known.find(worth(i), "adjoint") for i in others)
        for entry in [e for e in known.entries if e.kind != "part"]:
            for turned in (False, True) if entry.value.ndim == 2 else (False,):
                instead = entry.value.T if turned else entry.value
                if filled and entry.kind == "adjoint":
                    continue  # the other factor is a derivative already
                if instead.shape != held.shape and fault.value.shape == np.shape(right) and entry.kind != "adjoint":
                    continue
                if instead.shape == held.shape and np.array_equal(instead, held):
                    continue
                take = lambda ref, slot=slot, instead=instead: instead if ref.id == slot else worth(ref.id)
                try:
                    with np.errstate(all="ignore"):
                        got = np.asarray(node.func(*swapped(node.args, take), **swapped(node.kwargs, take)))
                except Exception:
                    continue
                g = aligned(got, np.shape(right))
                if g is None or not np.all(np.isfinite(g)) or not _like(g, right):
                    continue
                return _swap(case, known, node.id, slot, entry, turned, line, lines, cause, later)
    return None


def _swap(
    case: Case,
    known: Known,
    user: int,
    slot: int,
    entry: Entry,
    turned: bool,
    line: Line | None,
    lines: tuple[Line, ...],
    cause: Any,
    later: dict[int, str],
) -> Any:
    held = case.tape[slot].value
    second = alias(case, slot, user)
    if second is not None and entry.kind != "value":
        lines = (second,)
    said = name_for(case, slot, line) or "an operand"
    belongs = name_for(case, entry.node, line) if entry.kind == "value" else _name_of_value(case, known, entry, line)
    wanted = describe(case, entry, line) if belongs is None else belongs + (".T" if turned else "")
    fix = with_operand(case, line, slot, wanted) if belongs is not None else None
    source = case.tape.ancestors([slot], stop=set(later))
    new = next((later[i] for i in sorted(source, reverse=True) if i in later), None)
    if new is not None and entry.kind == "value":
        text = f"uses {short(new)} after its update; the backward pass needs it as the forward pass used it"
        return cause("updated_weights", text, None, lines)
    if (held.ndim == 2 and entry.value.shape == held.T.shape and np.array_equal(entry.value.T, held)) or (
        entry.value.shape == held.shape and turned and np.array_equal(entry.value, held)
    ):
        return cause("w_not_transposed", f"has {said} where {wanted} belongs", fix, lines)
    if entry.kind == "value":
        code = "wrong_cached_input"
        return cause(code, f"uses {said} where {wanted} belongs", fix, lines)
    if entry.kind == "adjoint":
        found = _as_slope(case, known, held.T if turned else held, entry)
        if found is not None and found[0] == "derivative_missing" and second is None and belongs is not None:
            # The delta is there under its own name, and this product takes the error instead.
            return cause("upstream_raw_error", f"uses {said} where {wanted} belongs", fix, lines)
        if found is not None:
            return cause(found[0], f"{said} {found[1]}", fix, lines)
    if entry.kind == "slope":
        return cause("derivative_wrong", f"uses {said} where {wanted} belongs", fix, lines)
    return cause("upstream_raw_error", f"uses {said} where {wanted} belongs", fix, lines)


def _as_slope(case: Case, known: Known, held: Any, entry: Entry) -> tuple[str, str] | None:
    """See whether a delta differs from the right one by what stands for the activation's slope."""
    assert case.truth is not None
    for z, (a, f) in known.activations.items():
        by_z, by_a = case.truth.adjoint.get(z), case.truth.adjoint.get(a)
        if by_z is None or by_a is None or by_z.shape != entry.value.shape or held.shape != by_a.shape:
            continue
        if not np.allclose(by_z, entry.value, rtol=1e-9, atol=1e-300):
            continue
        kind = activation_name(case, z, a, f)
        with np.errstate(all="ignore"):
            used = np.where(by_a == 0, np.nan, held / by_a)
            seen = np.isfinite(used)
            for code, words, value in candidates(case.tape[z].value, case.tape[a].value, f, kind):
                if seen.sum() > 1 and np.all(np.isfinite(value[seen])) and _like(used[seen], value[seen]):
                    return code, words.format(kind=kind)
    return None


def _name_of_value(case: Case, known: Known, entry: Entry, line: Line | None) -> str | None:
    """A person's name for a value that is not on the forward tape."""
    for binding in case.trial.names.bindings:
        if binding.node is None or line is None or binding.line.function != line.function or binding.name == "return":
            continue
        value = case.tape[binding.node].value
        if value.shape == entry.value.shape and value.dtype.kind == "f" and _like(value, entry.value):
            return binding.name
    return None


def _samples(
    case: Case, fault: Fault, value: Any, right: Any, line: Line | None, lines: tuple[Line, ...], cause: Any
) -> Any:
    """Whether a gradient is made of some of the samples, or moments, only."""
    if value.shape != right.shape or value.size < 2:
        return None
    parts, what = _per_sample(case, fault), "sample"
    if parts is None or len(parts) < 2:
        assert case.truth is not None
        node = fault.entry.node if fault.entry is not None else -1
        flows = [part for id, part in case.truth.parts if id == node]
        users = [i for i in case.tape.consumers().get(node, ()) if name_of(case.tape[i]) == "add"]
        flows = flows if len(flows) > 1 else [case.truth.adjoint[i] for i in users if i in case.truth.adjoint]
        parts, what = [part for part in flows if part.shape == right.shape], "use"
    if len(parts) < 2:
        return None
    columns = np.stack([p.reshape(-1) for p in parts], axis=1)
    fit, *_ = np.linalg.lstsq(columns, value.reshape(-1), rcond=None)
    alone = next((i for i, p in enumerate(parts) if _like(value, p)), None)
    if alone is not None:  # of more parts than numbers many sums are the same
        fit = np.eye(len(parts))[alone]
        columns = columns * proportion(value, parts[alone])[0]
    if np.linalg.norm(columns @ fit - value.reshape(-1)) > 1e-8 * np.linalg.norm(value):
        return None
    own = [bool(np.any(p)) for p in parts]
    used = [i for i, w in enumerate(fit) if abs(w) > 1e-9 and own[i]]
    if 0 < len(used) < sum(own) and np.allclose([fit[i] for i in used], fit[used[0]], rtol=1e-6):
        which = f"{what} {used[0]}" if len(used) == 1 else f"{what}s {', '.join(map(str, used))}"
        text = f"is made from {which} of {len(parts)} alone; the gradient is the sum over all of them"
        return cause("one_sample", text, None, lines)
    return None


def _per_sample(case: Case, fault: Fault) -> list[Any] | None:
    """The true gradient, sample by sample: products of a layer's delta and its input."""
    entry = fault.entry
    version = entry.node if entry is not None else None
    if version not in case.versions.values():
        return None
    assert case.truth is not None
    assert version is not None
    user = next(
        (
            case.tape[i]
            for i in case.tape.consumers().get(version, ())
            if i in case.truth.forward and name_of(case.tape[i]) in ("dot", "matmul")
        ),
        None,
    )
    if user is None or len(user.args) != 2:
        return None
    weights_first = user.args[0] == Ref(version)
    other = user.args[1 if weights_first else 0]
    if not isinstance(other, Ref) or user.id not in case.truth.adjoint:
        return None
    x, delta = case.tape[other.id].value, case.truth.adjoint[user.id]
    if x.ndim != 2 or delta.ndim != 2:
        return None
    if weights_first:
        return [np.outer(delta[:, i], x[:, i]) for i in range(x.shape[1])]
    return [np.outer(x[i], delta[i]) for i in range(x.shape[0])]


def _claimed(case: Case, known: Known, fault: Fault, lines: tuple[Line, ...], cause: Any) -> Any:
    """For a fault without a repair: try the first value as the gradient of each parameter that it spoils."""
    for path in fault.parameters:
        claim = case.claims[path]
        if claim.node != fault.node:
            continue
        target = case.true_gradient(path)
        entry = Entry("adjoint", case.versions[path], target)
        twin = Fault("value", fault.node, fault.first, fault.value, target, entry, fault.parameters)
        found = explained(case, known, twin, lines, cause)
        if found.code != "unexplained":
            return found
    return None


def _like(value: Any, right: Any) -> bool:
    k, rest = proportion(value, right)
    return bool(rest < 1e-6 and k)
