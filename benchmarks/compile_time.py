"""What it costs to record and plan a step, in eager steps.

    python benchmarks/compile_time.py [--sizes 2-5-5-1] [--rounds 15]

Each round makes a model and its compiled step anew, calls the step until there is a program, and times these calls.
They train as well: what they cost beyond the eager steps that they replace is the second figure. The first of them
records and plans nothing: no way of planning could make the whole cheaper than that, and two have to agree. The last
figure is after how many calls the program has earned back what it cost.
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
    print(
        "| | eager step, µs | calls that record | their time, eager steps | beyond their steps | first | earned back |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for size in options.sizes.split(","):
        _round(size)  # imports, fills caches
        rounds = [_round(size) for _ in range(options.rounds)]
        calls = len(rounds[0][1])
        eager = median(seconds for seconds, _, _ in rounds)
        ratio = median(sum(spent) / seconds for seconds, spent, _ in rounds)
        first = median(spent[0] / seconds for seconds, spent, _ in rounds)
        gain = median(1 - run / seconds for seconds, _, run in rounds)
        back = f"after {(ratio - calls) / gain:,.0f} steps" if gain > 0.01 else "never"
        figures = f"{calls} | {ratio:.1f} | {ratio - calls:.1f} | {first:.1f} | {back}"
        print(f"| {size} | {eager * 1e6:,.0f} | {figures} |", flush=True)
    print(f"\n{describe()}; {where}; median of {options.rounds} rounds")


def _round(size: str) -> tuple[float, list[float], float]:
    """Seconds of an eager step, of each call until there is a program, and of a run of the program."""
    eager = nablagraph(problem(size, 0.01))
    eager.steps(3)
    repeats = 200 if size == "2-5-5-1" else 5
    gc.collect()
    begin = time.perf_counter()
    eager.steps(repeats)
    of_a_step = (time.perf_counter() - begin) / repeats
    contender = compiled(problem(size, 0.01))
    gc.collect()
    calls = []
    while not contender.made.programs:
        begin = time.perf_counter()
        contender.step()
        calls.append(time.perf_counter() - begin)
    contender.steps(3)
    begin = time.perf_counter()
    contender.steps(repeats)
    return of_a_step, calls, (time.perf_counter() - begin) / repeats


if __name__ == "__main__":
    main()
