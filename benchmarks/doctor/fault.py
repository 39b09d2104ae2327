"""A patient's code with something wrong in it, and the proof that it is wrong."""

from __future__ import annotations

import re
import traceback
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from case import PATIENTS, Array, Case, load, source

#: What is asked of an update before it counts as changed.
CHANGED = 1e-6
PROBES = (11, 12)
#: A statement that moves a parameter (or its velocity) names the step size.
UPDATE = re.compile(r"\blr\b|learning_rate|\beta\b|\brate\b|ALPHA|1 / epoch|velocity|self\.v\w|0\.05 \*|syn\d \+=")


@dataclass(frozen=True)
class Fault:
    """A patient with a fault.

    Attributes
    ----------
    patient, kind : str
        Whose code, and what was done to it: a catalogue code or a kind of mutation.
    text : str
        The whole file with the fault; its lines have kept their numbers.
    culprits : tuple of frozenset of int
        For each thing that is wrong, the lines that name it.
    codes : tuple of str
        The catalogue's names for it, one for each thing that is wrong; empty for a mutant.
    was, now : str
        The line before and after.
    """

    patient: str
    kind: str
    text: str
    culprits: tuple[frozenset[int], ...]
    codes: tuple[str, ...] = ()
    was: str = ""
    now: str = ""

    @property
    def name(self) -> str:
        lines = "+".join(str(min(lines)) for lines in self.culprits)
        return f"{self.patient}:{lines}:{self.kind}"


def effect(fault: Fault, folder: Path) -> str:
    """Say what the fault does to the updates: ``silent``, ``shape``, or why it is not one (starts with ``no:``).

    ``shape`` fails where a parameter is updated. A fault that takes another positive number for the learning rate is
    none, nor is one that scales every update alike, in the update or when the loss is known by name only.
    """
    path = folder / f"{fault.patient}-trial.py"
    path.write_text(fault.text, encoding="utf-8")
    verdicts = [_compare(fault, path, seed) for seed in PROBES]
    if all(verdict == "no: equivalent" for verdict in verdicts):
        return "no: equivalent"
    others = [verdict for verdict in verdicts if verdict != "no: equivalent"]
    if all(verdict == "no: a learning rate" for verdict in others):
        return others[0]
    others = [verdict for verdict in others if verdict != "no: a learning rate"]
    return next((verdict for verdict in others if verdict.startswith("no:")), others[0])


def _compare(fault: Fault, path: Path, seed: int) -> str:
    healthy = load(PATIENTS / f"{fault.patient}.py", seed, exact=True)
    healthy.randomise(seed)
    before = healthy.read()
    right = [healthy.after(single=True)]
    healthy.write(before)
    right.append(healthy.after())
    try:
        case = load(path, seed, exact=True)
        case.randomise(seed)
        got = [case.after(single=True)]
        case.write(before)
        got.append(case.after())
    except Exception as error:
        return "shape" if _is_update(error, path) else f"no: {type(error).__name__}"
    if not all(np.isfinite(value).all() for values in got for value in values):
        return "no: not finite"
    if not any(_differ(r, g, before) for r, g in zip(right, got, strict=True)):
        return "no: equivalent"
    if any(r.shape != g.shape for r, g in zip(right[0], got[0], strict=True)):
        return "silent"
    moves = [[np.ravel(a - b) for a, b in zip(after, before, strict=True)] for after in (right[0], got[0])]
    in_update = UPDATE.search(fault.was) is not None and len(fault.culprits) == 1
    if (in_update or case.loss is not None) and _is_scale(*map(np.concatenate, moves)):
        return "no: a learning rate"
    fewer = len(UPDATE.findall(fault.now)) < len(UPDATE.findall(fault.was))
    if in_update and fewer and all(map(_is_scale, *moves)):
        return "no: a learning rate"
    return "silent"


def differ(one: Fault, other: Fault, folder: Path) -> bool:
    """Whether two faults of one patient lead to different updates, or to different failures."""
    outcomes: list[list[Array] | str] = []
    before: list[Array] = []
    for fault in (one, other):
        case = case_of(fault, folder, PROBES[0])
        case.randomise(PROBES[0])
        before = case.read()
        try:
            outcomes.append(case.after())
        except Exception as error:
            outcomes.append(f"{error!r} after {[v.tobytes() for v in case.read()]}")
    a, b = outcomes
    return a != b if isinstance(a, str) or isinstance(b, str) else _differ(a, b, before)


def _differ(right: list[Array], got: list[Array], before: list[Array]) -> bool:
    """Whether some parameter moves differently; a changed shape is a difference."""
    for r, g, b in zip(right, got, before, strict=True):
        if r.shape != g.shape:
            return True
        if np.linalg.norm(g - r) > CHANGED * max(float(np.linalg.norm(r - b)), 1e-9):
            return True
    return False


def _is_scale(want: Array, move: Array) -> bool:
    """Whether a move is the right one times a positive number."""
    factor = float(want @ move / max(float(want @ want), 1e-300))
    return factor > 0 and bool(np.linalg.norm(move - factor * want) < 1e-9 * np.linalg.norm(move))


def _is_update(error: Exception, path: Path) -> bool:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if not isinstance(error, ValueError) or not frames:
        return False
    line = frames[-1].line or ""
    return bool(UPDATE.search(line)) and ("-=" in line or "+=" in line or "[...] =" in line)


def replaced(patient: str, kind: str, code: str, edits: list[tuple[str, str]]) -> Fault:
    """Return the fault that replaces texts of a patient's file, each of which must occur exactly once in it."""
    text = source(patient)
    was, now, lines = [], [], []
    for old, new in edits:
        if text.count(old) != 1:
            raise ValueError(f"{patient}: {old!r} occurs {text.count(old)} times; the edit needs exactly one")
        if old.count("\n") != new.count("\n"):
            raise ValueError(f"{patient}: {old!r} and {new!r} differ in their number of lines")
        first = text[: text.index(old)].count("\n") + 1
        changed = zip(old.split("\n"), new.split("\n"), strict=True)
        lines += [first + i for i, (a, b) in enumerate(changed) if a != b]
        was.append(text.splitlines()[first - 1].strip())
        text = text.replace(old, new)
        now.append(text.splitlines()[first - 1].strip())
    return Fault(patient, kind, text, (frozenset(lines),), (code,), "; ".join(was), "; ".join(now))


def both(one: Fault, other: Fault, edits: list[tuple[str, str]]) -> Fault:
    """Return `one` with the edits of `other` made as well."""
    text = one.text
    for old, new in edits:
        if text.count(old) != 1:
            raise ValueError(f"{one.name} and {other.name} touch the same text")
        text = text.replace(old, new)
    return Fault(
        one.patient, f"{one.kind}+{other.kind}", text, one.culprits + other.culprits, one.codes + other.codes,
        f"{one.was}; {other.was}", f"{one.now}; {other.now}",
    )  # fmt: skip


def case_of(fault: Fault, folder: Path, seed: int, *, exact: bool = False) -> Case:
    """Write the faulty file into `folder` and make the patient from it."""
    path = folder / f"{fault.patient}-{zlib.crc32(fault.text.encode()):08x}.py"
    path.write_text(fault.text, encoding="utf-8")
    return load(path, seed, exact=exact)
