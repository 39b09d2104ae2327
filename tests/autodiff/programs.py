"""Random numpy code: a step over arrays in closures, attributes, lists and dicts, as somebody might write it."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np

N = 3
#: Expressions by rank of their value; the letters M, V and S stand for others of that rank.
EXPRESSIONS = {
    "M": (
        "(M + M)", "(M - V)", "(M * M)", "(M * S)", "(S - M)", "(V[:, None] * V)", "(M / (1.5 + M * M))", "(-M)",
        "np.tanh(M)", "np.sin(M)", "np.exp(-abs(M))", "np.sqrt(1 + M**2)", "np.maximum(M, V)", "np.minimum(M, 0.25)",
        "np.where(M > V, M, M)", "np.where(M > 0, S, M)", "np.clip(M, -0.5, 0.5)", "(M @ M)", "np.dot(M, M.T)",
        "np.outer(V, V)", "np.einsum('ij,jk->ki', M, M)", "M.T", "M[::-1]", "M[:, ::-1]", "M.reshape(9).reshape(3, 3)",
        "np.swapaxes(M, 0, 1)", "np.roll(M, 1, axis=0)", "np.concatenate([M[:1], M[1:]])", "np.stack([V, V, V])",
        "np.concatenate([M, M])[1:4]", "np.broadcast_to(V, (3, 3))", "M[[2, 0, 1]]", "np.sort(M, axis=1)", "M.copy()",
        "np.cumsum(M, axis=0)", "(M - M.mean(axis=0))", "(M - M.max(axis=1, keepdims=True))", "(np.ones((3, 3)) * S)",
        "(np.zeros_like(M) + V)", "np.full((3, 3), 0.5)", "np.tril(M)", "M.astype(np.float32).astype(float)",
        "((M > 0) * M)",
    ),
    "V": (
        "(V + V)", "(V * S)", "(V - V)", "np.tanh(V)", "np.cos(V)", "(V / 2)", "M.sum(axis=0)", "M.mean(axis=1)",
        "M.max(axis=0)", "M[I]", "M[:, I]", "np.diag(M)", "(M @ V)", "(V @ M)", "V[::-1]", "M.ravel()[1:4]",
        "M.reshape(-1)[::4]", "np.concatenate([V[:1], V[1:]])", "np.where(V > S, V, 0.0)", "M.std(axis=0)", "V.copy()",
        "np.argsort(V).astype(float)", "(np.arange(3) * S)", "np.linspace(0, 1, 3)", "(np.zeros(3) + S)", "M[I, :]",
    ),
    "S": (
        "M.sum()", "M.mean()", "(V @ V)", "M[I, I]", "V[I]", "(0.75 * S)", "np.trace(M)", "np.linalg.norm(V)",
        "V.max()", "np.tanh(S)",
        "(S * S)", "(S + 0.5)", "M.min()", "M.ptp()" if hasattr(np.ndarray, "ptp") else "np.ptp(M)", "S", "V.prod()",
    ),
}  # fmt: skip
#: Where arrays are kept between calls: attributes, a list, a dict, a closure.
PLACES = {"M": ["o.a", "o.b", "l[0]", "d['m']", "c", "o.inner.w"], "V": ["o.v", "l[1]", "d['v']"], "S": ["d['s']"]}
ASSIGNMENTS = ("{t} = {e}",) * 4 + (
    "{t} += {h}", "{t} -= {h}", "{t} *= {h}", "{t}[...] = {e}", "np.add({t}, {h}, out={t})", "np.copyto({t}, {e})",
)  # fmt: skip
PARTS = {
    "M": ("{t}[I] = V", "{t}[:, I] = V", "{t}[I, I] = S", "{t}[1:] += V", "{t}[I] *= 0.5", "{t}[{t} > 0.5] = 0.0",
          "{t}.T[I] = V", "{t}[[0, 2]] = V", "{t}[:2, 1:] = S"),
    "V": ("{t}[I] = S", "{t}[1:] -= 0.125", "{t}[::2] = V[I]", "{t}[I] += S"),
}  # fmt: skip


class Author:
    """Writes one program; `random` makes all choices."""

    def __init__(self, random: random.Random) -> None:
        self.random = random
        self.names: dict[str, list[str]] = {rank: [*places] for rank, places in PLACES.items()}
        self.names["M"] += ["x", "y", "K"]
        self.names["V"] += ["z", "k"]
        self.names["S"] += ["s", "s"]
        self.targets: dict[str, list[str]] = {rank: [*places] for rank, places in PLACES.items()}

    def filled(self, text: str, depth: int) -> str:
        """Put expressions for the letters M, V, S and I."""
        out = []
        for i, letter in enumerate(text):
            alone = not (text[i - 1 : i].isalnum() or text[i + 1 : i + 2].isalnum())
            if letter in "MVS" and alone:
                out.append(self.expression(letter, depth - 1))
            elif letter == "I" and alone:
                out.append(str(self.random.randrange(N)))
            else:
                out.append(letter)
        return "".join(out)

    def expression(self, rank: str, depth: int) -> str:
        if depth <= 0 or self.random.random() < 0.2:
            return self.random.choice(self.names[rank])
        return self.filled(self.random.choice(EXPRESSIONS[rank]), depth)

    def statement(self, i: int) -> str:
        choice = self.random.randrange(10)
        rank = self.random.choice("MMMVVS")
        if choice < 3:
            name = f"t{i}"
            line = f"{name} = {self.expression(rank, 2)}"
            self.names[rank].append(name)
            if self.random.random() < 0.3:
                self.targets[rank].append(name)
            return line
        if choice == 3:
            return self.random.choice(
                [
                    "o.b = o.a; o.a = {e}",
                    "o.a, o.b = o.b, o.a",
                    "l[0], c = c, l[0]",
                    "o.b = o.a",
                    "d['m'] = {e}; l[0] = d['m']",
                ]
            ).format(e=self.bounded("M"))
        target = self.random.choice(self.targets[rank])
        if choice < 6 and rank in PARTS:
            return self.filled(self.random.choice(PARTS[rank]).format(t=target), 1)
        half = f"0.25 * {self.bounded(rank)}"
        line = self.random.choice(ASSIGNMENTS[: 7 if rank == "S" else None])
        return line.format(t=target, e=self.bounded(rank), h=half)

    def bounded(self, rank: str) -> str:
        """An expression that stays small however often the state goes through it; at times a bare name."""
        text = self.expression(rank, 2)
        if self.random.random() < 0.15 and rank != "S":
            return text
        return f"np.tanh({text})"

    def step(self) -> str:
        """The source of ``make(o, l, d, c, K, k)``, which returns the step and a function that reads `c`."""
        lines = [self.statement(i) for i in range(self.random.randint(2, 9))]
        results = [self.expression(self.random.choice("MVS"), self.random.choice([0, 0, 1, 2])) for _ in range(3)]
        body = ["nonlocal c", "s = x.mean() * 0.5", *lines, f"return {', '.join(results)}"]
        return "\n".join(
            ["def make(o, l, d, c, K, k):", "    def step(x, y, z):", *(f"        {line}" for line in body),
             "    return step, lambda: c"]
        )  # fmt: skip


def surroundings(seed: int) -> dict[str, Any]:
    """The state that a step starts from. Some of it may be one array in two places, or look at one memory."""
    rng = np.random.default_rng(seed)

    def m() -> Any:
        return rng.uniform(-1, 1, (N, N))

    def v() -> Any:
        return rng.uniform(-1, 1, N)

    inner = SimpleNamespace(w=m())
    o, d = SimpleNamespace(a=m(), b=m(), v=v(), inner=inner), {"m": m(), "v": v(), "s": np.array(0.5)}
    items, c = [m(), v()], m()
    if seed % 4 == 1:
        items[0] = o.a
    if seed % 4 == 2:
        d["m"], c = c, o.b
        d["v"] = items[1]
    return {"o": o, "l": items, "d": d, "c": c, "K": m(), "k": v()}


def together(seed: int) -> dict[str, Any]:
    """As `surroundings`, with several places that look at one memory."""
    found = surroundings(seed)
    flat = np.random.default_rng(seed + 1).uniform(-1, 1, 2 * N * N)
    found["o"].a, found["o"].b = flat[: N * N].reshape(N, N), flat[N * N :].reshape(N, N)
    found["d"]["v"] = flat[1 : 1 + N]
    found["l"][0] = found["o"].inner.w.T
    return found
