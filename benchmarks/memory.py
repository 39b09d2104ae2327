"""Measure the peak memory of one training step, each framework in a process of its own.

    python benchmarks/memory.py [--sizes 784-256-128-1,1024-1024-1024-1] [--only nablagraph,torch]
                                [--repeats 5] [--live]

The figure is what the resident size rises by during ten steps, over what it was after import, model, data
and two warm-up steps (gradients dropped and free pages returned first). It includes the holes that the C
allocator leaves between blocks; --live gives every block of 16 KiB and more its own pages, so that only what
is in use counts. Linux with glibc only: it resets the peak in /proc.
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
from pathlib import Path
from statistics import median

from contenders import ROWS, SIZES, make
from machine import describe

DEFAULT_ROWS = ("numpy", "nablagraph", "torch")
DEFAULT_SIZES = ("784-256-128-1", "1024-1024-1024-1")


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of one training step across frameworks.")
    parser.add_argument("--sizes", default=",".join(DEFAULT_SIZES), help=", ".join(SIZES))
    parser.add_argument("--only", default=",".join(DEFAULT_ROWS), help=", ".join(ROWS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--live", action="store_true", help="count live blocks only, no holes")
    parser.add_argument("--child", nargs=2, metavar=("ROW", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(*options.child)
        return
    rows, sizes = options.only.split(","), options.sizes.split(",")
    print("| peak of a step, MiB | " + " | ".join(sizes) + " |\n|---|" + "---:|" * len(sizes))
    for row in rows:
        cells = [_peak(row, size, options.repeats, options.live) for size in sizes]
        print(f"| {ROWS[row][0]} | " + " | ".join(cells) + " |", flush=True)
    print("\n" + describe(package for row in rows if (package := ROWS[row][1])))


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
