"""Time one training step on a GPU, compiled against eager, on CuPy's arrays.

    python benchmarks/gpu.py [--sizes 2-5-5-1,784-256-128-1] [--rounds 30]

Both make the same steps from the same weights, which is checked. They take turns; each turn is as many steps as fill
some hundredths of a second, and ends when the GPU has done them. Where there is no GPU, it says so.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import describe

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout, where nothing is installed

import autodiff
import nn

#: Rows of a batch, and its dtype, by the widths of a network.
SIZES = {"2-5-5-1": (4, "float64"), "784-256-128-1": (128, "float32")}
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda params: nn.optim.SGD(params, lr=0.01),
    "Adam": lambda params: nn.optim.Adam(params, lr=1e-4),
}
#: Seconds of a turn.
TURN = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description="A training step on a GPU, compiled against eager.")
    parser.add_argument("--sizes", default=",".join(SIZES), help=", ".join(SIZES))
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    try:
        import cupy

        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    except Exception as error:  # there is none, or no driver, or no CuPy: each has a word of its own
        print(f"there is no GPU that CuPy could use: {error}")
        return
    print("| step | eager | compiled | compiled ÷ eager | numpy calls |\n|---|---:|---:|---:|---:|")
    for size in options.sizes.split(","):
        for optimizer in OPTIMIZERS:
            report(cupy, size, optimizer, options.rounds)
    print(f"{name}; {describe(['cupy-cuda12x', 'cupy-cuda13x', 'cupy-cuda11x'])}; medians of {options.rounds} turns")


def report(cupy: Any, size: str, optimizer: str, rounds: int) -> None:
    """Print the row of one network and optimizer."""
    steps = {"eager": Step(cupy, size, optimizer), "compiled": Step(cupy, size, optimizer)}
    compiled = autodiff.compile(steps["compiled"].run)
    runs: dict[str, Callable[[], Any]] = {"eager": steps["eager"].run, "compiled": compiled}
    for _ in range(20):  # kernels are made at their first call
        losses = [float(run()) for run in runs.values()]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    per_step = timed(cupy, runs["eager"], 10)
    count = max(1, round(TURN / per_step))
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(timed(cupy, run, count))
    eager, quick = median(times["eager"]), median(times["compiled"])
    ratio = median(b / a for a, b in zip(times["eager"], times["compiled"], strict=True))
    calls = compiled.program.stats["calls"]["run"]
    print(
        f"| {size}, {optimizer} | {eager * 1e6:,.0f} µs | {quick * 1e6:,.0f} µs | {ratio:.2f} | {calls} |", flush=True
    )


def timed(cupy: Any, run: Callable[[], Any], count: int) -> float:
    """Seconds that a step takes, of `count` in a row that the GPU has done."""
    cupy.cuda.runtime.deviceSynchronize()
    start = time.perf_counter()
    for _ in range(count):
        run()
    cupy.cuda.runtime.deviceSynchronize()
    return (time.perf_counter() - start) / count


class Step:
    """A network on the GPU with its optimizer, and a batch."""

    def __init__(self, cupy: Any, size: str, optimizer: str) -> None:
        batch, dtype = SIZES[size]
        widths = [int(width) for width in size.split("-")]
        rng = np.random.default_rng(0)
        self._x = cupy.asarray(rng.normal(size=(batch, widths[0])).astype(dtype))
        self._y = cupy.asarray((rng.random((batch, 1)) > 0.5).astype(dtype))
        self._model = nn.MLP(widths, activation="sigmoid", seed=0, dtype=np.dtype(dtype))
        for p in self._model.parameters():
            p.data = cupy.asarray(p.data)
        self._criterion = nn.BCEWithLogitsLoss()
        self._optimizer = OPTIMIZERS[optimizer](self._model.parameters())

    def run(self) -> Any:
        """Make one step, and return its loss."""
        self._optimizer.zero_grad()
        loss = self._criterion(self._model(self._x), self._y)
        loss.backward()
        self._optimizer.step()
        return loss


if __name__ == "__main__":
    main()
