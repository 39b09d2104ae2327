"""Measure what `import autodiff` adds to `import numpy`, in fresh processes, interleaved.

python benchmarks/import_time.py [--rounds 21]
"""

from __future__ import annotations

import one_core  # isort: skip

import argparse
import random
import subprocess
import sys
from statistics import median

from machine import describe

# The clock starts once the interpreter is up; "numpy" alone comes first in every process.
CHILD = """
import time
begin = time.perf_counter()
import {modules}
print(time.perf_counter() - begin)
"""
SETS = ("numpy", "numpy, autodiff", "numpy, autodiff, nn")


def main() -> None:
    parser = argparse.ArgumentParser(description="Import time over numpy's.")
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    one_core.pin()  # the children inherit it
    sets = [modules for modules in SETS if _seconds(modules) is not None]  # also writes the .pyc files
    times: dict[str, list[float]] = {modules: [] for modules in sets}
    order = list(sets)
    for _ in range(options.rounds):
        random.shuffle(order)
        for modules in order:
            seconds = _seconds(modules)
            assert seconds is not None
            times[modules].append(seconds)
    print("| import | ms | over numpy alone, ms |\n|---|---:|---:|")
    for modules in sets:
        added = median(own - base for own, base in zip(times[modules], times["numpy"], strict=True))
        print(f"| {modules} | {median(times[modules]) * 1e3:.1f} | {added * 1e3:.1f} |")
    for modules in sorted(set(SETS) - set(sets)):
        print(f"| {modules} | does not import | |")
    print("\n" + describe())


def _seconds(modules: str) -> float | None:
    command = [sys.executable, "-c", CHILD.format(modules=modules)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(result.stdout) if result.returncode == 0 else None


if __name__ == "__main__":
    main()
