"""Time an op in chains of 1,000 to 1,000,000 ops: forward, backward, and freeing the graph.

    python benchmarks/chain.py [--lengths 1000,10000,100000,1000000] [--rounds 5] [--only nablagraph,torch]

Each op multiplies four numbers by a constant. Short chains are repeated so that every length does comparable
work; lengths and frameworks are interleaved, the figures are medians. The gradients are checked.
"""

from __future__ import annotations

import one_core  # isort: skip

import argparse
import gc
import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from machine import describe

FACTOR = 1.0000001
START = (0.5, 1.0, 1.5, 2.0)
PHASES = ("forward", "backward", "freeing")
FEWEST_OPS = 200_000


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost per op over chains of ops.")
    parser.add_argument("--lengths", default="1000,10000,100000,1000000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(LEAVES), help=", ".join(LEAVES))
    options = parser.parse_args()
    where = one_core.pin()
    lengths = [int(length) for length in options.lengths.split(",")]
    leaves = {}
    for name in options.only.split(","):
        try:
            leaves[name] = LEAVES[name]()
        except ImportError as error:
            print(f"{name}: not installed ({error})")
    for leaf in leaves.values():
        for length in lengths:
            _check(leaf, length)
    gc.collect()
    gc.freeze()
    print(_table(_measure(leaves, lengths, options.rounds), list(leaves), lengths))
    print("\n" + describe(["nablagraph", "torch"]) + f"; {where}")


def _nablagraph() -> Callable[[], Any]:
    from autodiff import Tensor

    return lambda: Tensor(START, requires_grad=True)


def _torch() -> Callable[[], Any]:
    import torch

    torch.set_num_threads(1)
    return lambda: torch.tensor(START, dtype=torch.float64, requires_grad=True)


LEAVES: dict[str, Callable[[], Callable[[], Any]]] = {"nablagraph": _nablagraph, "torch": _torch}


def _check(leaf: Callable[[], Any], length: int) -> None:
    x = leaf()
    _forward(x, length).sum().backward()
    np.testing.assert_allclose(np.asarray(x.grad), np.full(4, FACTOR**length), rtol=1e-9)


def _forward(x: Any, length: int) -> Any:
    y = x
    for _ in range(length):
        y = y * FACTOR
    return y


def _measure(
    leaves: dict[str, Callable[[], Any]], lengths: list[int], rounds: int
) -> dict[tuple[str, int, str], float]:
    """Nanoseconds per op for each framework, length and phase."""
    times: dict[tuple[str, int, str], list[float]] = {}
    runs = [(name, length) for name in leaves for length in lengths]
    for _ in range(rounds):
        random.shuffle(runs)
        for name, length in runs:
            for phase, seconds in zip(PHASES, _run(leaves[name], length), strict=True):
                times.setdefault((name, length, phase), []).append(seconds * 1e9 / length)
    return {key: median(values) for key, values in times.items()}


def _run(leaf: Callable[[], Any], length: int) -> tuple[float, float, float]:
    """Mean seconds of one chain's forward, backward and freeing."""
    clock = time.perf_counter
    forward = backward = freeing = 0.0
    repeats = max(1, FEWEST_OPS // length)
    for _ in range(repeats):
        x = leaf()
        begin = clock()
        loss = _forward(x, length).sum()
        built = clock()
        loss.backward()
        done = clock()
        del loss
        freed = clock()
        forward, backward, freeing = forward + built - begin, backward + done - built, freeing + freed - done
    return forward / repeats, backward / repeats, freeing / repeats


def _table(times: dict[tuple[str, int, str], float], names: list[str], lengths: list[int]) -> str:
    head = [f"{length:,} ops" for length in lengths]
    lines = ["| ns per op | " + " | ".join(head) + " | last ÷ first |", "|---|" + "---:|" * (len(head) + 1)]
    for name in names:
        for phase in PHASES:
            row = [times[name, length, phase] for length in lengths]
            cells = [f"{value:,.0f}" for value in row] + [f"{row[-1] / row[0]:.2f}"]
            lines.append(f"| {name} {phase} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
