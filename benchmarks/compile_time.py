"""What it costs to record and plan a step, in eager steps.

    python benchmarks/compile_time.py [--sizes 2-5-5-1] [--rounds 15]

Each round makes a model and its compiled step anew, calls the step until there is a program, and times these calls.
They train as well: what they cost beyond the eager steps that they replace is the second figure.
"""

from __future__ import annotations

import one_core  # isort: skip

import argparse
import gc
import time
from statistics import median

from contenders import SIZES, compiled, nablagraph, problem
from machine import describe


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of recording and planning a step.")
    parser.add_argument("--sizes", default=",".join(SIZES), help=", ".join(SIZES))
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    where = one_core.pin()
    print("| | eager step, µs | calls that record | their time, eager steps | beyond the steps they make |")
    print("|---|---:|---:|---:|---:|")
    for size in options.sizes.split(","):
        _round(size)  # imports, fills caches
        rounds = [_round(size) for _ in range(options.rounds)]
        calls = rounds[0][1]
        eager = median(seconds for seconds, _, _ in rounds)
        ratio = median(spent / seconds for seconds, _, spent in rounds)
        print(f"| {size} | {eager * 1e6:,.0f} | {calls} | {ratio:.1f} | {ratio - calls:.1f} |", flush=True)
    print(f"\n{describe()}; {where}; median of {options.rounds} rounds")


def _round(size: str) -> tuple[float, int, float]:
    """Seconds of an eager step, calls until there is a program, and seconds that they take together."""
    eager = nablagraph(problem(size, 0.01))
    eager.steps(3)
    repeats = 200 if size == "2-5-5-1" else 5
    gc.collect()
    begin = time.perf_counter()
    eager.steps(repeats)
    of_a_step = (time.perf_counter() - begin) / repeats
    contender = compiled(problem(size, 0.01))
    gc.collect()
    calls = 0
    begin = time.perf_counter()
    while not contender.made.programs:
        contender.step()
        calls += 1
    return of_a_step, calls, time.perf_counter() - begin


if __name__ == "__main__":
    main()
