"""Check gradients that somebody has already, against the numpy code of their loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.doctor import truth
from autodiff.doctor.case import EXACT, NOISE, aligned, proportion, reduction
from autodiff.doctor.examine import examine
from autodiff.doctor.patient import Patient
from autodiff.doctor.report import Finding, Report, Verdict
from autodiff.doctor.sentences import summary
from autodiff.doctor.trial import Trial, run, silence
from autodiff.doctor.truth import Untraceable
from autodiff.doctor.updates import Parameter, dependence


def check_gradients(loss_fn: Callable[..., Any], params: Any, grads: Any) -> Report:
    """Compare gradients with those of a loss, and say how they differ.

    Parameters
    ----------
    loss_fn : callable
        Their numpy forward code, which returns the loss. It is called with `params`, or with as many arrays as it takes
        arguments, or with nothing where it finds the arrays by itself.
    params : dict or list of array
        The parameters at which `grads` were computed.
    grads : dict or list of array, or callable
        Their gradients, in the same order or under the same keys. A function that computes them, called as `loss_fn`
        is, is better: then its lines can be searched.

    Returns
    -------
    Report

    Raises
    ------
    TypeError, ValueError
        No callable, no arrays, or parameters and gradients that do not correspond.
    """
    if not callable(loss_fn):
        raise TypeError(f"check_gradients() takes the function that computes the loss, got {type(loss_fn).__name__}")
    arrays = _named(params, "params")
    if callable(grads):
        return _both(loss_fn, params, grads)
    given = _named(grads, "grads")
    if set(given) != set(arrays):
        raise ValueError(f"params are {', '.join(arrays)} and grads are {', '.join(given)}: they must correspond")
    for name, array in arrays.items():
        if np.asarray(array).dtype.kind != "f":
            kind = np.asarray(array).dtype
            raise TypeError(f"{name} is of dtype {kind}: only floats have gradients, as those of {name}.astype(float)")
    trial, leaves, loss = _forward(loss_fn, params, arrays)
    if isinstance(loss, str) and not (trial.error is None and leaves and _is_number(loss_fn, params, arrays)):
        return Report(loss)
    if isinstance(loss, str):
        return _by_calls_alone(loss_fn, params, arrays, given)
    found = [Parameter(name, leaf, [leaf]) for name, leaf in leaves.items()]
    depends = dependence(trial.tape, found)
    versions = set(leaves.values())
    notes = []
    try:
        true = truth.differentiate(trial.tape, loss, versions, depends)
    except Untraceable as error:
        true = truth.by_differences(trial.tape, loss, versions)
        notes.append(f"{error}; the true gradients are by differences")
    report = Report("", notes=notes)
    for name in arrays:
        target = true.adjoint.get(leaves.get(name, -1))
        if target is None:  # the loss reads it as a plain number, or not at all
            target = _by_calls(loss_fn, params, arrays, name)
            report.notes.append(
                f"the gradient by {name} is by differences, as the loss does not compute with the array itself"
            )
        _judge(report, name, np.asarray(given[name], dtype=float), target)
    report.summary = summary(report)
    return report


def _is_number(loss_fn: Callable[..., Any], params: Any, arrays: dict[str, Any]) -> bool:
    with silence():
        value = loss_fn(*_arguments(loss_fn, params, arrays))
    return isinstance(value, (float, np.floating)) and bool(np.isfinite(value))


def _by_calls_alone(loss_fn: Callable[..., Any], params: Any, arrays: dict[str, Any], given: dict[str, Any]) -> Report:
    """Judge by differences of a loss that is no number of numpy's, as one from ``math.exp``."""
    report = Report("", notes=["the loss is not computed by numpy to the end: the true gradients are by differences"])
    for name in arrays:
        target = _by_calls(loss_fn, params, arrays, name)
        _judge(report, name, np.asarray(given[name], dtype=float), target)
    report.summary = summary(report)
    return report


def _by_calls(loss_fn: Callable[..., Any], params: Any, arrays: dict[str, Any], name: str) -> Any:
    """Return a derivative from calls with every element moved, and moved back, one after the other."""
    array = arrays[name]
    found = np.zeros(np.shape(array))
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or not array.flags.writeable:
        return found

    def at(index: tuple[int, ...], moved: float) -> float:
        kept = array[index]
        array[index] = kept + moved
        try:
            return float(np.sum(loss_fn(*_arguments(loss_fn, params, arrays))))
        finally:
            array[index] = kept

    h = 1e-4
    with silence():
        for i in np.ndindex(found.shape):
            found[i] = (8 * (at(i, h) - at(i, -h)) - (at(i, 2 * h) - at(i, -2 * h))) / (12 * h)
    return found


def _judge(report: Report, name: str, value: Any, target: Any) -> None:
    g = aligned(value, target.shape)
    k, rest = proportion(g, target) if g is not None else (0.0, 1.0)
    error = None
    if g is not None:
        error = float(np.linalg.norm(g - target) / max(float(np.linalg.norm(g)), float(np.linalg.norm(target)), 1e-300))
        if error <= NOISE or (not np.any(g) and not np.any(target)):
            report.parameters.append(Verdict(name, target.shape, "exact" if error <= EXACT else "noise", error))
            return
    report.parameters.append(Verdict(name, target.shape, "wrong", error))
    code, text, fix = _relation(name, value, target, k, rest)
    report.findings.append(Finding(code, text, fix, (), (name,)))


def _relation(name: str, value: Any, target: Any, k: float, rest: float) -> tuple[str, str, str | None]:
    """Name the difference from the numbers alone."""
    if rest <= NOISE and k:
        if abs(k + 1) <= NOISE:
            return "sign", "has the wrong sign", None
        return "factor", f"is {k:.6g} times the true gradient", None
    reduced = reduction(value, target)
    if reduced is not None:
        axis = reduced[0][0] if len(reduced[0]) == 1 else None
        text = f"is one gradient per sample, shape {value.shape}; the parameter needs their sum, shape {target.shape}"
        keep = ", keepdims=True" if target.ndim == value.ndim else ""
        return "bias_unsummed", text, f"np.sum(..., axis={axis}{keep})"
    if value.ndim == 2 and value.T.shape == target.shape and proportion(value.T, target)[1] <= NOISE:
        return "dw_transposed", "is transposed", f"grads[{name!r}].T"
    if value.shape != target.shape:
        return "shapes", f"has shape {value.shape}; the parameter has {target.shape}", None
    return (
        "unexplained",
        "differs from the true gradient; give the function that computes it, to have its lines searched",
        None,
    )


def _forward(
    loss_fn: Callable[..., Any], params: Any, arrays: dict[str, Any]
) -> tuple[Trial, dict[str, int], int | str]:
    patient = Patient(loss_fn, _arguments(loss_fn, params, arrays), {})
    trial = run(patient, {}, {}, 50_000, name=False)
    if trial.error is not None:
        line = f" on line {trial.where.number}" if trial.where else ""
        return trial, {}, f"loss_fn itself raises {type(trial.error).__name__}: {trial.error}{line}"
    at = {place.path: place.array for place in patient.places}
    leaves: dict[str, int] = {}
    for name, array in arrays.items():
        for node, path in trial.leaves.items():
            if at.get(path) is array:
                leaves[name] = node
    numbers = [node for path, node in trial.ends if trial.tape[node].value.size == 1]
    if not leaves:
        return trial, {}, "loss_fn was not seen to use any of the params: it must compute with these very arrays."
    if not numbers:
        return trial, leaves, "loss_fn returned no single number that numpy computed."
    return trial, leaves, numbers[0]


def _arguments(function: Callable[..., Any], params: Any, arrays: dict[str, Any]) -> tuple[Any, ...]:
    try:
        taken = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return (params,)
    kinds = inspect.Parameter
    needed = [
        p for p in taken if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD) and p.default is kinds.empty
    ]
    if any(p.kind == kinds.VAR_POSITIONAL for p in taken) or (len(needed) == len(arrays) > 1):
        return tuple(arrays.values())
    return () if not needed else (params,)


def _both(loss_fn: Callable[..., Any], params: Any, grads: Callable[..., Any]) -> Report:
    """Make a training step of the two functions, and examine that."""
    arrays = _named(params, "params")

    def step(held: Any) -> Any:
        present = _named(held, "params")
        loss = loss_fn(*_arguments(loss_fn, held, present))
        found = _named(grads(*_arguments(grads, held, present)), "grads")
        if set(found) != set(arrays):
            raise ValueError(f"params are {', '.join(arrays)} and grads are {', '.join(found)}: they must correspond")
        for name, array in present.items():
            array -= found[name]
        return loss

    return examine(step, params, lr=1.0)


def _named(value: Any, what: str) -> dict[str, Any]:
    """Return all arrays in nested dicts and lists by name; those of a list go by the names of the parameters."""
    if isinstance(value, np.ndarray):
        value = [value]
    if not isinstance(value, (dict, list, tuple)):
        raise TypeError(f"{what} is a dict or a list of numpy arrays, got {type(value).__name__}")
    found: dict[str, Any] = {}

    def walk(item: Any, name: str) -> None:
        if isinstance(item, dict):
            for key, inner in item.items():
                walk(inner, f"{name}[{key!r}]" if name else str(key))
        elif isinstance(item, (list, tuple)) and not _is_numbers(item):
            for i, inner in enumerate(item):
                walk(inner, f"{name or 'params'}[{i}]")
        elif isinstance(item, (list, tuple)):
            found[name] = np.asarray(item, dtype=float)
        elif isinstance(item, (np.ndarray, np.generic, float)):
            found[name] = item
        else:
            raise TypeError(f"{what} must hold numpy arrays alone; {name} is a {type(item).__name__}")

    walk(value, "")
    if not found:
        raise TypeError(f"{what} holds no numpy arrays")
    return found


def _is_numbers(item: Any) -> bool:
    """Whether a list is an array written as one."""
    if isinstance(item, (list, tuple)):
        return bool(item) and all(_is_numbers(inner) for inner in item)
    return isinstance(item, (int, float)) and not isinstance(item, (bool, np.ndarray))
