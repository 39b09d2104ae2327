"""Measure the peak memory of one training step, each framework in a process of its own.

    python benchmarks/memory.py [--sizes 784-256-128-1,1024-1024-1024-1] [--only nablagraph,torch]
                                [--repeats 5] [--live]
    python benchmarks/memory.py --program [--sizes 2-5-5-1]

The figure is what the resident size rises by during ten steps, over what it was after import, model, data
and two warm-up steps (gradients dropped and free pages returned first). It includes the holes that the C
allocator leaves between blocks; --live gives every block of 16 KiB and more its own pages, so that only what
is in use counts. Linux with glibc only: it resets the peak in /proc.

With --program: what a compiled step holds, against what an eager one has at its peak over model and data, both counted
by Python's tracemalloc. The arrays of the program are those that it made: what it computes in. All that it holds has
its code, its tables and what numpy keeps of an array besides the numbers, which do not grow with the network.
"""

from __future__ import annotations

import one_core  # isort: skip

import argparse
import ctypes
import gc
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from contenders import ROWS, SIZES, Contender, make
from machine import describe

DEFAULT_ROWS = ("numpy", "nablagraph", "compiled", "torch")
DEFAULT_SIZES = ("784-256-128-1", "1024-1024-1024-1")


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of one training step across frameworks.")
    parser.add_argument("--sizes", help=", ".join(SIZES))
    parser.add_argument("--only", default=",".join(DEFAULT_ROWS), help=", ".join(ROWS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--live", action="store_true", help="count live blocks only, no holes")
    parser.add_argument("--program", action="store_true", help="what a compiled step holds")
    parser.add_argument("--child", nargs=2, metavar=("ROW", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(*options.child)
        return
    if options.program:
        _programs(options.sizes.split(",") if options.sizes else list(SIZES))
        return
    rows, sizes = options.only.split(","), options.sizes.split(",") if options.sizes else DEFAULT_SIZES
    print("| peak of a step, MiB | " + " | ".join(sizes) + " |\n|---|" + "---:|" * len(sizes))
    for row in rows:
        cells = [_peak(row, size, options.repeats, options.live) for size in sizes]
        print(f"| {ROWS[row][0]} | " + " | ".join(cells) + " |", flush=True)
    print("\n" + describe(package for row in rows if (package := ROWS[row][1])))


def _programs(sizes: list[str]) -> None:
    """Print a table of what programs hold."""
    print("| | eager's peak, KiB | arrays of the program | × eager's peak | all that it holds | during a call |")
    print("|---|---:|---:|---:|---:|---:|")
    for size in sizes:
        eager = make("nablagraph", size, lr=0.01)
        eager.steps(2)
        eager.forget()
        peak, _ = _traced(partial(eager.steps, 3))
        arrays = 0.0

        def use(size: str = size) -> Contender:
            nonlocal arrays
            compiled = make("compiled", size, lr=0.01)
            compiled.steps(6)
            arrays = compiled.made.program.stats["bytes"] / 1024
            return compiled

        use()  # what is imported and kept once is not counted
        _, alone = _traced(partial(make, "nablagraph", size, 0.01))
        _, held = _traced(use)
        compiled = use()
        during, _ = _traced(partial(compiled.steps, 3))
        figures = f"{peak:,.1f} | {arrays:,.1f} | {arrays / peak:.2f} | {held - alone:,.1f} | {during:,.1f}"
        print(f"| {size} | {figures} |", flush=True)
    print("\n" + describe())


def _traced(work: Callable[[], object]) -> tuple[float, float]:
    """KiB that `work` takes at its peak, and that its result takes in the end."""
    gc.collect()
    tracemalloc.start()
    result = work()
    peak = tracemalloc.get_traced_memory()[1]
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del result
    return peak / 1024, held / 1024


def _peak(row: str, size: str, repeats: int, live: bool) -> str:
    command = [sys.executable, __file__, "--child", row, size]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "16384"} if live else None
    figures = []
    for _ in range(repeats):
        result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if result.returncode:
            return result.stderr.strip().splitlines()[-1]
        figures.append(float(result.stdout))
    return f"{median(figures):.1f}"


def _child(row: str, size: str) -> None:
    one_core.pin()
    try:
        contender = make(row, size, lr=0.01)
    except ImportError as error:
        sys.exit(f"not installed ({error})")
    for _ in range(2):
        contender.read(contender.step())
    contender.forget()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    for _ in range(10):
        contender.read(contender.step())
    print(_status("VmHWM") - before)


def _status(field: str) -> float:
    """A field of /proc/self/status, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise OSError(f"/proc/self/status has no {field}; this benchmark needs Linux")
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
