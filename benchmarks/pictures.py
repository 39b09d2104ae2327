"""What pictures of graphs cost: nodes, kilobytes, pixels and milliseconds.

    python benchmarks/pictures.py [--rounds 5] [--write FOLDER]

The time is that of `loss.graph().svg()`, which reads the graph, measures what flows through it, lays it out and writes
it; "first" is that of the first picture in the process. With --write the pictures
are kept.
"""

from __future__ import annotations

import one_core  # isort: skip

import argparse
import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from machine import describe

import nn
from autodiff import Tensor

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = np.array([[0.0], [1.0], [1.0], [0.0]])


def main() -> None:
    parser = argparse.ArgumentParser(description="Nodes, size and time of pictures of graphs.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    where = one_core.pin()
    print(f"{'':42} {'ops':>9} {'nodes':>5} {'kB':>6} {'pixels':>11} {'first':>9} {'then':>9}")
    for name, make in CASES.items():
        loss = make()
        times = []
        for _ in range(options.rounds + 1):
            start = time.perf_counter()
            picture = loss.graph()
            svg = picture.svg()
            times.append(1000 * (time.perf_counter() - start))
        size = re.search(r'width="(\d+)" height="(\d+)"', svg)
        assert size is not None
        model, kilobytes = picture.model, len(svg.encode()) / 1000
        print(
            f"{name:42} {model.op_count:9,} {model.drawn:5} {kilobytes:6.1f} {f'{size[1]} × {size[2]}':>11} "
            f"{times[0]:6.0f} ms {median(times[1:]):6.0f} ms"
        )
        if options.write:
            options.write.mkdir(parents=True, exist_ok=True)
            picture.save(options.write / f"{name.split(',')[0].replace(' ', '-').replace('+', 'plus')}.svg")
    print(f"\n{describe()}; {where}")


def xor() -> Tensor:
    model = nn.MLP([2, 5, 5, 1], activation="sigmoid", output="sigmoid", seed=0)
    return trained(nn.BCELoss()(model(Tensor(X, name="x")), Tensor(Y, name="target")))


def mlp(ops: int) -> Tensor:
    model = nn.MLP([4] * (ops // 2 + 1), activation="tanh", seed=0)
    return trained(model(np.ones((2, 4))).mean())


def rnn(steps: int) -> Tensor:
    rng = np.random.default_rng(0)
    wx, wh = (Tensor(rng.normal(size=(n, 8)) / 3, requires_grad=True, name=f"W{n}") for n in (3, 8))
    h = Tensor(np.zeros((5, 8)), name="h0")
    for x in rng.normal(size=(steps, 5, 3)):
        h = np.tanh(x @ wx + h @ wh)
    return trained((h**2).mean())


def chain(ops: int) -> Tensor:
    z = Tensor(1.0, requires_grad=True, name="z")
    for _ in range(ops):
        z = z * 1.00001
    return trained(z)


def doubling(ops: int) -> Tensor:
    z = Tensor(1e-300, requires_grad=True, name="z")
    for _ in range(ops):
        z = z + z
    return trained(z)


def irregular(ops: int) -> Tensor:
    rng = np.random.default_rng(0)
    functions = (np.tanh, np.sin, np.cos, np.negative)
    made = [Tensor(rng.normal(size=3), requires_grad=True, name="w")]
    for _ in range(ops // 2):
        made.append(functions[rng.integers(4)](made[-1]) * made[-rng.integers(1, min(len(made), 9) + 1)])
    return trained(made[-1].sum())


def trained(loss: Tensor) -> Tensor:
    loss.backward()
    return loss


CASES: dict[str, Callable[[], Tensor]] = {
    "2-5-5-1, BCE, 4 samples": xor,
    "MLP of 10,000 ops": lambda: mlp(10_000),
    "RNN unrolled 1,000 steps, shared weights": lambda: rnn(1000),
    "chain of 100,000 ops": lambda: chain(100_000),
    "z = z + z, 1,000 deep": lambda: doubling(1000),
    "10,000 ops without any pattern": lambda: irregular(10_000),
}

if __name__ == "__main__":
    main()
