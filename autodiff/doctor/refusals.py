"""One clear sentence where there is nothing to examine."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import numpy as np

from autodiff.doctor.names import statement_at
from autodiff.doctor.patient import Patient
from autodiff.doctor.report import Finding, Report, Verdict
from autodiff.doctor.tape import Line
from autodiff.doctor.trial import Trial
from autodiff.doctor.unmoved import nothing_moved
from autodiff.doctor.updates import Parameter, short

#: Whose arrays these are, by the module of their type.
_OTHERS = {
    "torch": "PyTorch tensors: PyTorch computes their gradients, and torch.autograd.gradcheck checks those",
    "tensorflow": "TensorFlow tensors: tf.GradientTape computes their gradients",
    "keras": "Keras objects: Keras computes their gradients",
    "jax": "JAX arrays: jax.grad computes their gradients",
    "jaxlib": "JAX arrays: jax.grad computes their gradients",
    "cupy": "CuPy arrays: bring them to the host, as with cupy.asnumpy, for the examination",
    "autodiff": "Tensors of this library, whose gradients are exact: see doctor.diagnose",
    "nn": "modules of this library, whose gradients are exact: see doctor.diagnose",
}


def check(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], lr: Any = None) -> None:
    """Raise for what cannot be examined at all."""
    if lr is not None and (isinstance(lr, bool) or not isinstance(lr, (int, float, np.number))):
        raise TypeError(f"lr is the learning rate, a number, got {type(lr).__name__}")
    if lr is not None and not lr > 0:
        raise ValueError(f"lr is the learning rate and greater than 0, got {lr}")
    if not callable(function):
        called = " (was it called already? write examine(net.train, X, y), not examine(net.train(X, y)))"
        raise TypeError(
            f"examine() takes the training function or method itself, got {type(function).__name__}"
            f"{called if function is None or isinstance(function, np.ndarray) else ''}"
        )
    if isinstance(function, type):
        raise TypeError(
            f"examine() takes a training function or method, got the class {function.__name__}: make an object of it "
            "and give its method, as net.train"
        )
    inner = getattr(function, "__func__", function)
    if inspect.isgeneratorfunction(inner) or inspect.iscoroutinefunction(inner):
        raise TypeError(
            f"{inner.__name__} is a {'generator' if inspect.isgeneratorfunction(inner) else 'coroutine'}: calling it "
            "runs nothing yet; give a function that runs it to the end"
        )
    owner = getattr(function, "__self__", None)
    held = [*args, *kwargs.values(), *getattr(owner, "__dict__", {}).values(), owner]
    for x in held + [item for holder in held for item in _items(holder)]:
        kind = next((k for k in type(x).__mro__ if k.__module__.split(".")[0] in _OTHERS), None)
        if kind is not None:
            raise TypeError(
                f"examine() reads hand-written numpy, and these are {_OTHERS[kind.__module__.split('.')[0]]}"
            )


def _items(x: Any) -> list[Any]:
    if isinstance(x, dict):
        return list(x.values())[:50]
    return list(x[:50]) if isinstance(x, (list, tuple)) else []


def check_reach(patient: Patient) -> None:
    """Raise where a run would use up what cannot be put back, or computes by other rules than numpy's arrays."""
    for place in patient.places:
        if isinstance(place.array, np.matrix):
            name = short(place.path)
            raise TypeError(
                f"{name} is an np.matrix, whose * is a matrix product: give an np.array, and write @ for it"
            )
    if patient.spent:
        name = patient.spent[0].removeprefix("self.")
        raise TypeError(f"{name} is an iterator, which one run uses up for good: give a list, as list({name})")


def unchecked(found: list[Parameter], why: str) -> Report:
    """Report that nothing could be compared."""
    verdicts = [Verdict(p.name, (), "unchecked", None) for p in found]
    return Report(f"The gradients could not be checked: {why}.", verdicts)


def nothing_to_check(patient: Patient, trial: Trial, found: list[Parameter]) -> Report:
    """Report on a call that raised, or that trains nothing."""
    if trial.error is not None:
        return raised(trial)
    if not patient.places and not trial.made:
        return Report("No numpy arrays were found in the object, the arguments or the globals of the call.")
    if trial.full:
        return Report(f"No parameter was updated within {len(trial.tape)} numpy calls: give it fewer samples.")
    if not len(trial.tape) or all(node.func is None for node in trial.tape.nodes):
        return Report("The call computed nothing with numpy arrays: nothing to check.")
    held = [short(p.path) for p in patient.places if isinstance(p.array, np.ndarray)]
    text = "updated no array: none became itself plus or minus something"
    return Report(
        f"The call {text}. Is the update inside the call? Arrays were found in {', '.join(held[:8])}.",
        [],
        [Finding("never_updated", text, None, nothing_moved(trial), ())],
    )


def raised(trial: Trial) -> Report:
    """Report what their code raised, with the line and the shapes on it."""
    error, line = trial.error, trial.where
    assert error is not None
    told = f"{type(error).__name__}: {error}"
    known = _tuple_for_number(trial, line) or _misfit(trial, line)
    if known is None or line is None:
        where = f" on line {line.number}: {line.text}" if line is not None else ""
        finding = [Finding("raises", f"raises {told}", None, (line,), ())] if line is not None else []
        return Report(f"The code itself raises {told}{where}.", [], finding)
    return Report(f"The code itself raises {told} on line {line.number}.", [], [known])


def _tuple_for_number(trial: Trial, line: Line | None) -> Finding | None:
    """See whether a name stands for a whole shape where it should be one number of it."""
    if line is None or not isinstance(trial.error, (TypeError, ValueError)):
        return None
    words = {node.id for node in ast.walk(statement_at(line) or ast.Module([], [])) if isinstance(node, ast.Name)}
    for name, value in trial.locals.items():
        if name not in words:
            continue
        if isinstance(value, tuple) and value and all(isinstance(n, (int, np.integer)) for n in value):
            bound = [b for b in trial.names.bindings if b.name == name and b.line.function == line.function]
            where = bound[-1].line if bound else line
            sides = [i for i, n in enumerate(value) if n != 1] or [0]
            fix = f"{where.text}[{sides[-1]}]" if where.text.startswith(name) else f"{name}[{sides[-1]}]"
            text = f"makes {name} the whole shape {value}, a tuple; the number of samples is one entry of it"
            return Finding("m_is_shape", text, fix, tuple(dict.fromkeys((where, line))), ())
    return None


def _misfit(trial: Trial, line: Line | None) -> Finding | None:
    """Quote the shapes of the arrays on the line."""
    if line is None or not isinstance(trial.error, ValueError):
        return None
    shapes = {
        name: value.shape
        for name, value in trial.locals.items()
        if isinstance(value, np.ndarray) and name in line.text and value.ndim
    }
    if not shapes:
        return None
    told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    made = [b.line for b in trial.names.bindings if b.name in shapes and b.line.function == line.function]
    lines = tuple(dict.fromkeys((line, *(one for one in made[-1:] if one != line))))
    return Finding("shapes", f"raises {trial.error}; the shapes are {told}", None, lines, ())


__all__ = ["Verdict", "check", "nothing_to_check"]
