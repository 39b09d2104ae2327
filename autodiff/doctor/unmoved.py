"""Which line leaves a parameter as it is: its assignment, or the loop in which that is never reached."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from difflib import SequenceMatcher

from autodiff.doctor.case import Case
from autodiff.doctor.names import tree_of
from autodiff.doctor.tape import Line
from autodiff.doctor.trail import judged_from, loops, origin, targets
from autodiff.doctor.trial import Trial


def unmoved(case: Case, path: str) -> tuple[Line, ...]:
    """Return the lines to blame where a parameter stays as it is: its assignment, or where its likes are updated."""
    assigned = assignment(case.trial, [path], judged_from(case))
    if assigned is not None:
        line, at = assigned
        return tuple(dict.fromkeys((line, *origin(case, line, at))))
    like = max(case.claims, key=lambda other: SequenceMatcher(None, path, other).ratio(), default=None)
    if like is None:
        return ()
    update = case.tape[case.claims[like].update].lines[:1]
    return tuple(dict.fromkeys((*update, *(loop for line in update for loop in loops(line)[-1:]))))


def nothing_moved(trial: Trial) -> tuple[Line, ...]:
    """Return the line to blame where no parameter is updated at all."""
    paths = [path for leaf, path in trial.leaves.items() if trial.tape[leaf].value.dtype.kind == "f"]
    found = unreached(trial, paths)
    if found is None:
        assigned = assignment(trial, paths, -1)
        found = assigned[0] if assigned is not None else None
    return (found,) if found is not None else ()


def assignment(trial: Trial, paths: Iterable[str], after: int) -> tuple[Line, int] | None:
    """Return the last line that was run and assigned to one of some paths, with the length of the tape then."""
    tails = [_tail(path) for path in paths]
    for line, at in reversed(trial.names.visited):
        if at > after and any(_says(target, tail) for target in targets(line) for tail in tails):
            return line, at
    return None


def unreached(trial: Trial, paths: Iterable[str]) -> Line | None:
    """Return the loop or branch that was run without its body, where that assigns to one of some paths."""
    tails = [_tail(path) for path in paths]
    visited = list(dict.fromkeys(line for line, _ in trial.names.visited))
    run = {(line.file, line.number) for line in visited}
    for line in reversed(visited):
        for head in _heads(line):
            inside = [Line(line.file, s.lineno, line.function) for s in ast.walk(head) if isinstance(s, ast.stmt)]
            body = [one for one in inside if one.number != line.number]
            skipped = [target for one in body for target in targets(one)]
            if any((one.file, one.number) in run for one in body):
                continue
            if any(_says(target, tail) for target in skipped for tail in tails):
                return line
    return None


def _heads(line: Line) -> list[ast.stmt]:
    tree = tree_of(line.file)
    kinds = (ast.For, ast.While, ast.If)
    return [s for s in ast.walk(tree or ast.Module([], [])) if isinstance(s, kinds) and s.lineno == line.number]


def _tail(path: str) -> str:
    return path.replace("'", '"').rsplit(".", 1)[-1].rsplit("::", 1)[-1]


def _says(target: str, tail: str) -> bool:
    """Whether an assignment to `target` may be one to the parameter whose path ends on `tail`."""
    target = target.replace("'", '"')
    holder, item, key = target.rpartition("[")
    of = tail.rpartition("[")
    quoted = key.split('"')[1::2]
    if item and of[1] and key[:-1] != of[2][:-1] and (key[:-1].isidentifier() or "+" in key or "{" in key):
        if not all(part.split("{")[0] in of[2] for part in quoted):  # parameters[key], parameters["W" + str(i)]
            return False
        return holder.rsplit(".", 1)[-1] == of[0]
    return target in (tail, f"self.{tail}") or target.endswith((f".{tail}", of[1] + of[2] if of[1] else f".{tail}"))
