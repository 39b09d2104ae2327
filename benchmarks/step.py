"""Time one training step in every framework that is installed: same work, one process, interleaved.

    python benchmarks/step.py [--sizes 2-5-5-1,784-256-128-1] [--rounds 30] [--only compiled,torch]
                              [--kinds sgd,adam] [--json FILE]

Before any timing, every contender must reach the same loss and the same weight updates from the same weights.
In each round the rows run in a new random order, each for long enough to be timed. A row's figure is the
median over the rounds, its ratios the medians of the rounds' ratios to hand-written numpy, to PyTorch and to the bare
matrix products. Other load on the machine moves the times but hardly the ratios. A second table has the same for
momentum, Adam and dropout.
"""

from __future__ import annotations

import one_core  # isort: skip

import argparse
import gc
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from contenders import BASE, FLOOR, PEER, ROWS, SIZES, Contender, available, make, problem
from machine import describe
from variants import KINDS, RATES, ROUGHER, VARIANT_ROWS, comparable, make_variant

CHECK_LR, TIMING_LR = 1.0, 0.01
TOLERANCE = {"float64": 1e-9, "float32": 1e-3}
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def main() -> None:
    options = _options()
    where = one_core.pin(options.core)
    if options.clock == "cpu":  # which counts this process alone
        options.only = [row for row in options.only if row != "jax_default"]
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for size in options.sizes:
        if "sgd" in options.kinds:
            rows, missing = _set_up(size, options.only)
            results[size] = _measure(rows, options.rounds, CLOCKS[options.clock], options.slice)
            print(_table(size, results[size], missing), flush=True)
        kinds = [kind for kind in options.kinds if kind in KINDS]
        if kinds:
            rows = _set_up_variants(size, kinds, options.only)
            found = _measure(rows, options.rounds, CLOCKS[options.clock], options.slice)
            results[f"{size} variants"] = found
            print(_variants_table(size, kinds, found), flush=True)
    packages = dict.fromkeys(package for _, package, _ in ROWS.values() if package)
    footer = f"{describe(packages)}; {where}; {options.clock} time"
    print(footer)
    if options.json:
        report = {"machine": footer, "results": results}
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")


def _options() -> argparse.Namespace:
    def names(known: dict[str, object]) -> Callable[[str], list[str]]:
        def parse(text: str) -> list[str]:
            wanted = text.split(",")
            if unknown := [name for name in wanted if name not in known]:
                raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
            return wanted

        return parse

    parser = argparse.ArgumentParser(description="Time one training step across frameworks.")
    parser.add_argument("--sizes", type=names(dict(SIZES)), default=list(SIZES), help=", ".join(SIZES))
    parser.add_argument("--only", type=names(dict(ROWS)), default=list(ROWS), help=", ".join(ROWS))
    kinds = ["sgd", *KINDS]
    parser.add_argument("--kinds", type=names(dict.fromkeys(kinds)), default=kinds, help=", ".join(kinds))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--slice", type=float, default=0.02, help="seconds per row and round")
    parser.add_argument(
        "--clock", choices=list(CLOCKS), default="wall", help="cpu leaves out other load, and JAX's threads"
    )
    parser.add_argument("--core", type=int, help="core to run on (default: the last)")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    return parser.parse_args()


def _set_up(size: str, only: list[str]) -> tuple[dict[str, Contender], dict[str, str]]:
    """The contenders of this size, checked against hand-written numpy, and why the others are missing."""
    rows, missing, reference = {}, {}, make(BASE, size, CHECK_LR)
    start = _weights(make(BASE, size, CHECK_LR))
    loss = [reference.read(reference.step()) for _ in range(2)]
    expected = [after - before for after, before in zip(_weights(reference), start, strict=True)]
    for name in [BASE, *(row for row in only if row != BASE and available(row, size))]:
        try:
            contender = make(name, size, CHECK_LR)
        except ImportError as error:
            missing[name] = f"not installed ({error})"
            continue
        if contender.weights is not None:
            _same_work(name, contender, loss, start, expected, TOLERANCE[SIZES[size][1]])
        rows[name] = make(name, size, TIMING_LR)
    return rows, missing


def _set_up_variants(size: str, kinds: list[str], only: list[str]) -> dict[str, Contender]:
    """The contenders of the variants of the step, by "kind row", checked as in `_set_up`."""
    rows = {}
    for kind in kinds:
        lr, timing_lr = RATES[kind]
        tolerance = TOLERANCE[SIZES[size][1]] * ROUGHER.get(kind, 1.0)
        reference = make_variant(BASE, problem(size, lr, kind))
        start = _weights(reference)
        loss = [reference.read(reference.step()) for _ in range(2)]
        expected = [after - before for after, before in zip(_weights(reference), start, strict=True)]
        for row in VARIANT_ROWS:
            if row != BASE and row not in only:
                continue
            try:
                contender = make_variant(row, problem(size, lr, kind))
            except ImportError:
                continue
            if comparable(row, kind):
                _same_work(f"{kind}, {row}", contender, loss, start, expected, tolerance)
            rows[f"{kind} {row}"] = make_variant(row, problem(size, timing_lr, kind))
    return rows


def _weights(contender: Contender) -> list[np.ndarray]:
    assert contender.weights is not None
    return [np.array(array) for array in contender.weights()]


def _same_work(
    name: str,
    contender: Contender,
    loss: list[float],
    start: list[np.ndarray],
    expected: list[np.ndarray],
    tolerance: float,
) -> None:
    """Two steps must give the losses and, array by array, the updates of hand-written numpy."""
    for i, wanted in enumerate(loss):
        got = contender.read(contender.step())
        if not abs(got - wanted) <= tolerance * abs(wanted):
            raise AssertionError(f"{name}: loss {got!r} in step {i + 1}, hand-written numpy has {wanted!r}")
    for i, (after, before, update) in enumerate(zip(_weights(contender), start, expected, strict=True)):
        if after.shape != before.shape or after.dtype != before.dtype:
            raise AssertionError(
                f"{name}: parameter {i} is {after.dtype}{after.shape}, not {before.dtype}{before.shape}"
            )
        error = np.abs(after - before - update).max() / np.abs(update).max()
        if not error <= tolerance:
            raise AssertionError(f"{name}: update of parameter {i} is off by {error:.1e} of its largest")


def _measure(
    rows: dict[str, Contender], rounds: int, clock: Callable[[], float], slice_s: float
) -> dict[str, dict[str, Any]]:
    """Per row: seconds per step in each round, their median, and the medians of the ratios to other rows."""
    for row in rows.values():
        _seconds(row, 3, clock)  # compiles, fills caches
    repeats = {name: max(1, round(slice_s / _seconds(row, 3, clock))) for name, row in rows.items()}
    # What all the imports left behind must not be walked by the collector at the cost of one row.
    gc.collect()
    gc.freeze()
    times: dict[str, list[float]] = {name: [] for name in rows}
    order = list(rows)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            times[name].append(_seconds(rows[name], repeats[name], clock))
    return {
        name: {
            "median_s": median(seconds),
            "ratios": {
                other: median(own / base for own, base in zip(seconds, times[beside], strict=True))
                for other in (BASE, PEER, FLOOR)
                if (beside := name.rpartition(" ")[0] + " " * (" " in name) + other) in times
            },
            "steps_per_round": repeats[name],
            "rounds_s": seconds,
        }
        for name, seconds in times.items()
    }


def _seconds(row: Contender, repeats: int, clock: Callable[[], float]) -> float:
    begin = clock()
    row.read(row.steps(repeats))  # an asynchronous framework has to finish inside its own time
    return (clock() - begin) / repeats


def _table(size: str, results: dict[str, dict[str, Any]], missing: dict[str, str]) -> str:
    batch, dtype = SIZES[size]
    lines = [
        f"\n{size}, batch {batch}, {dtype}\n",
        "| | one step, µs | × hand-written | × PyTorch | × bare products |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, (label, _, _) in ROWS.items():
        if name in results:
            row = results[name]
            known = row["ratios"]
            ratios = [f"{known[other]:.2f}" if other in known else "" for other in (BASE, PEER, FLOOR)]
            lines.append(f"| {label} | {row['median_s'] * 1e6:,.1f} | {' | '.join(ratios)} |")
        elif name in missing:
            lines.append(f"| {label} | {missing[name]} | | | |")
    return "\n".join(lines) + "\n"


def _variants_table(size: str, kinds: list[str], results: dict[str, dict[str, Any]]) -> str:
    lines = [
        f"\n{size}: one step, µs (× hand-written numpy)\n",
        "| | " + " | ".join(KINDS[kind] for kind in kinds) + " |",
        "|---|" + "---:|" * len(kinds),
    ]
    for name in VARIANT_ROWS:
        found = [results.get(f"{kind} {name}") for kind in kinds]
        if any(found):
            cells = [f"{row['median_s'] * 1e6:,.1f} ({row['ratios'][BASE]:.2f})" if row else "" for row in found]
            lines.append(f"| {ROWS[name][0]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
