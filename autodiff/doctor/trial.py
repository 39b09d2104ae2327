"""One run of a person's training call on probes, with everything put back afterwards."""

from __future__ import annotations

import contextlib
import io
import traceback
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.doctor.creators import patched
from autodiff.doctor.names import Names, naming
from autodiff.doctor.patient import Patient, Place, exchange
from autodiff.doctor.probe import Probe, node_of, probe, recording
from autodiff.doctor.tape import Enough, Line, Tape


@dataclass
class Trial:
    """What one run wrote down.

    Attributes
    ----------
    leaves : dict of int to str
        The nodes of the arrays that were there before, with the path where each lives; `made` those of arrays
        that the call built itself, with their number; `made_at` tells on which lines.
    finals : dict of str to int
        The node that each path holds at the end.
    ends : list of (str, int)
        Other values that are left at the end: what was returned, and the last meaning of local names.
    error : Exception or None
        What their code raised, `where` on which line.
    full : bool
        Whether the run was ended because the tape was full.
    point : tuple
        The values and made arrays that the run was given; `length` is that of the tape when it ended.
    """

    tape: Tape
    names: Names
    leaves: dict[int, str] = field(default_factory=dict)
    given: set[int] = field(default_factory=set)
    made: dict[int, int] = field(default_factory=dict)
    made_at: dict[int, tuple[Line, ...]] = field(default_factory=dict)
    finals: dict[str, int] = field(default_factory=dict)
    ends: list[tuple[str, int]] = field(default_factory=list)
    error: BaseException | None = None
    where: Line | None = None
    locals: dict[str, Any] = field(default_factory=dict)
    full: bool = False
    point: tuple[dict[str, Any], dict[int, Any]] = field(default_factory=lambda: ({}, {}))
    tape_limit: int = 0
    length: int = 0

    def sources(self) -> list[int]:
        """All arrays that were not computed on the tape."""
        return [node.id for node in self.tape.nodes if node.func is None and node.value.size > 1]


def run(patient: Patient, values: dict[str, Any], made: dict[int, Any], limit: int, *, name: bool = True) -> Trial:
    """Run the call once on probes.

    Parameters
    ----------
    values : dict of str to array
        What to put at these paths in place of their own numbers.
    made : dict of int to array
        The same for arrays that the call makes itself, by their number.
    limit : int
        How many nodes to record at most; the call is ended there.
    """
    tape = Tape(limit, room=600_000_000 if limit > 10_000 else 200_000_000)
    tape.literals |= {place.array for place in patient.numbers.values() if type(place.array) is float}
    trial = Trial(tape, Names(), point=(values, made), tape_limit=limit)
    with patient.restored(), recording(tape):
        given = {id(a) for a in _inside([*patient.args, *patient.kwargs.values()])}
        owners: dict[int, tuple[Any, dict[int, Any]]] = {}

        def instead(place: Place) -> Probe:
            part = patient.cut.get(id(place.array))
            twin = _twin(place.array, owners) if part is None else _wide(place.array[part])
            value = values.get(place.path)
            if value is not None:
                twin[...] = value
            made_probe = probe(twin)
            assert made_probe.node is not None
            trial.leaves[made_probe.node] = place.path
            if id(place.array) in given:
                trial.given.add(made_probe.node)
            return made_probe

        exchange(patient.places, instead)
        built: list[int] = []
        where: list[tuple[Line, ...]] = []
        trial.names.trained = dict(patient.locals)
        trial.names.values = dict(values)
        with silence(), patched(made, built, where, patient.spaces) as drawing:
            for place in patient.sources:
                place.put(drawing(place.array))
            returned = None
            try:
                with naming(trial.names, tape) if name else contextlib.nullcontext():
                    returned = patient.function(*patient.args, **patient.kwargs)
            except Enough:
                trial.full = True
            except (Exception, SystemExit) as error:
                trial.error = error
                trial.where, trial.locals = where_raised(error)
        trial.made = {node: i for i, node in enumerate(built)}
        trial.made_at = dict(zip(built, where, strict=True))
        trial.leaves.update(trial.names.grown)
        for path, array in patient.current().items():
            node = node_of(array)
            if node is not None:
                trial.finals[path] = node
        if isinstance(returned, float) and tape.find_number(returned) is not None:
            trial.ends.append(("returned", tape.find_number(returned) or 0))
        for path, array in _returned(returned, "returned"):
            node = node_of(array)
            if node is not None:
                trial.ends.append((path, node))
        tape.limit = 10**9  # what is written from here on is ours
        trial.length = len(tape)
    return trial


def _wide(array: Any) -> Any:
    return array.astype(np.float64 if array.dtype.kind == "f" else array.dtype)  # a copy in any case


def _twin(array: Any, owners: dict[int, tuple[Any, dict[int, Any]]]) -> Any:
    """Return a float64 copy; views of one array become views of one copy."""
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    wide = np.float64 if array.dtype.kind == "f" else array.dtype
    other = base.dtype != array.dtype or array.dtype != wide
    if base is array or other or (base.size != array.size and base.size > 1e7):
        if base is array and array.dtype == wide and array.flags.c_contiguous:
            owners.setdefault(id(base), (base, {}))
            if 0 not in owners[id(base)][1]:
                owners[id(base)][1][0] = base.copy()
            return owners[id(base)][1][0]
        return array.astype(wide)
    owners.setdefault(id(base), (base, {}))
    held = owners[id(base)][1]
    if 0 not in held:
        held[0] = base.copy(order="K")
    offset = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    if held[0].strides != base.strides or not held[0].flags.contiguous:
        return array.copy()
    return np.ndarray(array.shape, array.dtype, held[0].data, offset, array.strides)


@contextlib.contextmanager
def silence() -> Any:
    """Hold back what their code prints, and warnings about its numbers."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
    ):
        warnings.simplefilter("ignore")
        yield


def _inside(value: Any, depth: int = 0) -> Any:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (list, tuple)) and depth < 4:
        for item in value:
            yield from _inside(item, depth + 1)


def _returned(value: Any, path: str, depth: int = 0) -> Any:
    if isinstance(value, np.ndarray):
        yield path, value
    elif isinstance(value, dict) and depth < 4:
        for key, item in value.items():
            yield from _returned(item, f"{path}[{key!r}]", depth + 1)
    elif isinstance(value, (list, tuple)) and depth < 4:
        for i, item in enumerate(value):
            yield from _returned(item, f"{path}[{i}]", depth + 1)
    elif hasattr(value, "__dict__") and depth < 2:
        yield from _returned(vars(value), path, depth + 1)


def where_raised(error: BaseException) -> tuple[Line | None, dict[str, Any]]:
    """Return the innermost line of a person's code that an error came from, and what its names meant."""
    from autodiff.doctor.tape import _OURS

    found: tuple[Line | None, dict[str, Any]] = None, {}
    for frame, number in traceback.walk_tb(error.__traceback__):
        if not frame.f_code.co_filename.startswith(_OURS):
            found = Line(frame.f_code.co_filename, number, frame.f_code.co_name), dict(frame.f_locals)
    return found
