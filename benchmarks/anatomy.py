"""Take a compiled step apart: the time of each numpy call in it, and what bounds the whole.

    python benchmarks/anatomy.py [--sizes 2-5-5-1] [--rounds 40]

The program runs as it is, with a clock between its lines. Its matrix products are set beside the bare ones (the same
products in the layout that suits them best, alone), which no step of that network can do without, and beside JAX's
whole step. A figure that is asked for is out of reach where the calls that remain, each by itself at its quickest, take
longer than what is left for them. The last line is what Python takes to compile the text of the program: less than
that no recording can cost.
"""

from __future__ import annotations

import one_core  # isort: skip

import argparse
import re
import time
from collections import defaultdict
from statistics import median
from typing import Any

import numpy as np
from contenders import SIZES, Contender, make
from machine import describe

LR = 0.01
#: What the parts of a step are added up under.
KINDS = ("matrix products", "sums and vectors", "exp and log", "other elementwise", "update", "Python around them")


def main() -> None:
    parser = argparse.ArgumentParser(description="What the time of a compiled step is made of.")
    parser.add_argument("--sizes", default=",".join(SIZES), help=", ".join(SIZES))
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    where = one_core.pin()
    for size in options.sizes.split(","):
        _report(size, options.rounds)
    print(f"{describe(['jax'])}; {where}; medians of {options.rounds} rounds")


def _report(size: str, rounds: int) -> None:
    rows = {name: make(name, size, LR) for name in ("compiled", "products")}
    try:
        rows["jax"] = make("jax", size, LR)
    except ImportError:
        print("JAX is not installed")
    for row in rows.values():
        row.steps(6)
    program = rows["compiled"].made.program
    parts = _Parts(program)
    wholes: dict[str, list[float]] = defaultdict(list)
    repeats = max(1, round(2e-3 / _seconds(rows["products"], 3)))
    with parts:
        for _ in range(rounds):
            for _ in range(repeats):
                rows["compiled"].step()
            for name, row in rows.items():
                if name != "compiled":
                    wholes[name].append(_seconds(row, repeats))
    for _ in range(rounds):
        wholes["compiled"].append(_seconds(rows["compiled"], repeats))
    bare = median(wholes["products"])
    print(f"\n{size}: µs (× bare products)\n\n| | calls | µs | × bare products |\n|---|---:|---:|---:|")
    for kind in KINDS:
        count, seconds = parts.total(kind)
        print(f"| {kind} | {count} | {seconds * 1e6:,.1f} | {seconds / bare:.3f} |")
    for name, label in (
        ("compiled", "whole compiled step"),
        ("products", "bare products"),
        ("jax", "whole step of JAX"),
    ):
        if name in wholes:
            print(f"| {label} | | {median(wholes[name]) * 1e6:,.1f} | {median(wholes[name]) / bare:.3f} |")
    spent = [_compile_seconds(program.code) for _ in range(rounds)]
    print(f"| Python's compile of its text | | {median(spent) * 1e6:,.1f} | |\n", flush=True)


class _Parts:
    """While entered, the program's quick way in runs with a clock between its lines."""

    def __init__(self, program: Any) -> None:
        self._program = program
        self._plain = program.enter
        self._times: list[list[float]] = []
        self._kinds: list[str] = []
        namespace = dict(program.enter.__globals__)
        namespace["clock"] = time.perf_counter
        text = "\n".join(self._timed(program.code.splitlines(), namespace))
        namespace["times"] = self._times
        exec(compile(text, "<timed>", "exec"), namespace)
        self._entry = namespace["enter"]
        #: What reading the clock itself takes.
        self._clock = min(_clock_seconds() for _ in range(1000))

    def __enter__(self) -> None:
        self._program.enter = self._entry

    def __exit__(self, *error: object) -> None:
        self._program.enter = self._plain

    def total(self, kind: str) -> tuple[int, float]:
        """The number of calls of a kind, and the sum of their medians."""
        found = [median(t) - self._clock for k, t in zip(self._kinds, self._times, strict=True) if k == kind and t]
        return len(found), sum(found)

    def _timed(self, lines: list[str], names: dict[str, Any]) -> list[str]:
        """Put a clock behind each line, or loop, from the first numpy call to the result."""
        head, *rest = lines
        timed = [head, "    last = clock()"]
        inside = updating = False
        for line, following in zip(rest, [*rest[1:], ""], strict=True):
            text = line.strip()
            timed.append(line)
            if text.startswith("result ="):
                inside = False
                self._note(timed, "Python around them", "    ")
            elif inside and not following.startswith(" " * 12):
                updating |= bool(re.fullmatch(r"v\d+ = f\d+\(\)", text))  # the optimizer is asked for its factors
                kind = "update" if updating else self._kind(text, names, line.startswith(" " * 12))
                self._note(timed, kind, " " * 8)
            elif text.startswith("with errstate"):
                inside = True
                self._note(timed, "Python around them", " " * 8)
        return timed

    def _note(self, timed: list[str], kind: str, margin: str) -> None:
        number = len(self._times)
        self._times.append([])
        self._kinds.append(kind)
        timed.append(f"{margin}now = clock(); times[{number}].append(now - last); last = clock()")

    def _kind(self, text: str, names: dict[str, Any], looped: bool) -> str:
        found = re.match(r"(?:v\d+ = )?(\w+)(\.dot)?\((.*)\)$", text)
        if found is None:
            return "Python around them"
        function = names.get(found[1])
        if found[2] or getattr(function, "__name__", "") == "dot":
            arrays = [names.get(name.strip()) for name in found[3].split(",")]
            shapes = [a.shape for a in arrays if isinstance(a, np.ndarray)]
            owner = names.get(found[1]) if found[2] else getattr(function, "__self__", None)
            shapes += [owner.shape] if isinstance(owner, np.ndarray) else []
            return "matrix products" if all(len(s) == 2 for s in shapes) else "sums and vectors"
        if function in (np.exp, np.log1p, np.log, np.tanh):
            return "exp and log"
        return "other elementwise" if isinstance(function, np.ufunc) or looped else "sums and vectors"


def _clock_seconds() -> float:
    begin = time.perf_counter()
    return time.perf_counter() - begin


def _seconds(row: Contender, repeats: int) -> float:
    begin = time.perf_counter()
    row.read(row.steps(repeats))
    return (time.perf_counter() - begin) / repeats


def _compile_seconds(text: str) -> float:
    begin = time.perf_counter()
    compile(text, "<program>", "exec")
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
