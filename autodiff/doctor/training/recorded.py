"""A recorded step, to be taken again from other parameters, on other samples, with something changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autodiff.doctor.case import Case
from autodiff.doctor.tape import Node
from autodiff.doctor.training.compiled import Hidden, compiled, levelled
from autodiff.doctor.training.feeds import Feeds
from autodiff.doctor.training.plan import Plan
from autodiff.doctor.training.starts import Values, fresh, like
from autodiff.tensor import Tensor


@dataclass(frozen=True)
class Setting:
    """How it is trained: all that an experiment may change.

    Attributes
    ----------
    true : bool
        By the true gradient in place of theirs.
    start : {"theirs", "fresh", "own"}
        Weights drawn as theirs were, around zero, or those that are there.
    rate, steady
        A factor of the learning rate; whether it is held at its first value.
    biased, bounded, scaled, balanced, reshaped : bool
        A bias in every layer; probabilities kept off 0 and 1; inputs of mean 0 and variance 1; classes equally
        frequent; labels of the output's shape.
    level : {"", "layers", "clip"}
        Bring the gradients of all parameters to one size, or limit them.
    """

    true: bool = False
    start: str = "theirs"
    rate: float = 1.0
    steady: bool = False
    biased: bool = False
    bounded: bool = False
    scaled: bool = False
    balanced: bool = False
    reshaped: bool = False
    level: str = ""


class Recorded:
    """One step of somebody's training as a function of its parameters and samples.

    Parameters
    ----------
    case : Case
        The step, with its loss found.
    rates : list of float
        The learning rates of the first epochs.
    feeds : Feeds or None
        Where samples enter; None for those that were recorded, always.
    bare : dict of int to shape
        The products without a bias, and the shape that it would have.
    """

    def __init__(self, case: Case, rates: list[float], feeds: Feeds | None, bare: dict[int, tuple[int, ...]]) -> None:
        assert case.truth is not None
        self.case, self.rates, self.feeds, self.bare = case, rates, feeds, bare
        self._harmonic = harmonic(rates)
        self._ratio = rates[1] / rates[0] if falling(rates) else 1.0
        self.loss_node = case.truth.loss
        self.versions = case.versions
        self.present: Values = {p: case.tape[v].value.copy() for p, v in case.versions.items()}
        self.weights: set[str] = set()
        self.gain = 1.0
        self.goal = self.even_goal = 0.0
        self.even: Any = None
        self.epochs = 1000
        self._steps: dict[Setting, Callable[..., Any]] = {}
        self._losses: dict[Setting, Callable[..., Any]] = {}

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, going on as the first ones went."""
        if self._harmonic:
            return self.rates[0] / (epoch + 1)
        return self.rates[0] * self._ratio**epoch

    def loss_of(self, values: Values, setting: Setting = Setting()) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss as a Tensor with its graph, and the parameters as Tensors."""
        tensors = {p: Tensor(v, requires_grad=True) for p, v in values.items()}
        rows = self._rows(setting, np.arange(self._count), 0)
        return self._plan(setting, [self.loss_node])(tensors, rows)[self.loss_node], tensors

    def learns(self, setting: Setting, seed: int, end: float) -> bool | None:
        """Train once; None where the time was up at `end`."""
        try:
            values = self.trained(setting, seed, end)
            return None if values is None else self.has_learned(values, setting)
        except (ValueError, IndexError, TypeError):  # as written, it may not even run
            return False

    def trained(self, setting: Setting, seed: int, end: float) -> Values | None:
        """Return the parameters after training; None where the time was up."""
        rng = np.random.default_rng(seed)
        values = self._start(setting, rng)
        step = self._step(setting)
        names = list(values)
        arrays = [np.asarray(values[n], dtype=float) for n in names]
        steps = 1 if self.feeds is None else self.feeds.steps
        for epoch in range(self.epochs):
            rate = np.array(setting.rate * (self.rates[0] if setting.steady else self.rate(epoch)))
            order = None if steps == 1 and self._whole else rng.permutation(self._count)
            for i in range(steps):
                _, *arrays = step(rate, *arrays, *self._rows(setting, order, i))
            if epoch % 16 == 15:
                if time.monotonic() > end:
                    return None
                if not np.isfinite(arrays[0]).all():
                    break
        return dict(zip(names, arrays, strict=True))

    def loss(self, values: Values, setting: Setting) -> float:
        """Return the loss over all samples."""
        key = replace(setting, start="", rate=1.0, steady=False, true=False, level="")
        if key not in self._losses:
            plan = self._plan(setting, [self.loss_node])
            names = list(values)

            def value(*given: Any) -> Any:
                return plan(dict(zip(names, given, strict=False)), given[len(names) :])[self.loss_node]

            self._losses[key] = value
        steps = 1 if self.feeds is None else self.feeds.steps
        order = np.arange(self._count)
        parts = [
            float(np.sum(self._losses[key](*values.values(), *self._rows(setting, order, i)))) for i in range(steps)
        ]
        return float(np.mean(parts))

    def has_learned(self, values: Values, setting: Setting) -> bool:
        """Whether parameters are better than half a constant answer's loss."""
        if not all(np.isfinite(v).all() for v in values.values()):
            return False
        # A logarithm of 0 in the loss alone stops nobody from learning.
        judged = replace(setting, bounded=True, balanced=False)
        if self.loss(values, judged) < self.goal:
            return True
        return self.even is not None and self.loss(values, replace(judged, balanced=True)) < self.even_goal

    def first_bad(self, values: Values) -> Node | None:
        """Return where the loss, or else a gradient, leaves the finite numbers, with the operands there as `args`."""
        tape = self.case.tape
        wanted = [self.loss_node, *(c.node for c in self.case.claims.values())]
        found = self._plan(Setting(), wanted)(values, self._rows(Setting(), np.arange(self._count), 0))
        bad = {id for id, value in found.items() if not np.isfinite(np.asarray(value)).all()}
        here = next((id for id in wanted if id in bad), None)
        while here is not None:  # an infinity that does no harm further on is none of its operands
            operands = [i for i in tape[here].inputs if i in found]
            above = next((i for i in operands if i in bad), None)
            if above is None:
                node = tape[here]
                args = tuple(np.asarray(found[i]) for i in operands)
                return Node(node.id, found[here], node.func, args, {}, node.inputs, node.lines)
            here = above
        return None

    @property
    def _count(self) -> int:
        return 1 if self.feeds is None else self.feeds.count

    @property
    def _whole(self) -> bool:
        return self.feeds is None or self.feeds.size == self.feeds.count

    def _rows(self, setting: Setting, order: Any, step: int) -> tuple[Any, ...]:
        if self.feeds is None:
            return ()
        return self.feeds.rows(self.samples(setting), order, step)

    def samples(self, setting: Setting) -> tuple[Any, ...]:
        """Return all samples as a setting has them."""
        assert self.feeds is not None
        found = []
        for feed in self.feeds.feeds:
            full = feed.full
            if feed.node == self.case.labels:
                if setting.reshaped and self.case.output is not None and self._whole:
                    full = full.reshape(self.case.tape[self.case.output].value.shape)
            elif setting.scaled and full.ndim > 1:
                spread = full.std(axis=feed.axis, keepdims=True)
                full = (full - full.mean(axis=feed.axis, keepdims=True)) / np.where(spread == 0, 1, spread)
            if setting.balanced and self.even is not None:
                full = np.take(full, self.even, feed.axis if full.ndim > 1 else 0)
            found.append(full)
        return tuple(found)

    def _start(self, setting: Setting, rng: np.random.Generator) -> Values:
        if setting.start == "own":
            values = {p: v.copy() for p, v in self.present.items()}
        elif setting.start == "theirs":
            values = like(self.present, rng)
        else:
            values = fresh({p: v.shape for p, v in self.present.items()}, self.weights, self.gain, rng)
        if setting.biased:
            values |= {f"bias {id}": np.zeros(shape) for id, shape in self.bare.items()}
        return values

    def _step(self, setting: Setting) -> Callable[..., Any]:
        key = replace(setting, start="", rate=1.0, steady=False, scaled=False, balanced=False)
        if key not in self._steps:
            self._steps[key] = self._made(key)
        return self._steps[key]

    def _made(self, setting: Setting) -> Callable[..., Any]:
        names = [*self.present, *(f"bias {id}" for id in self.bare if setting.biased)]
        claims = self.case.claims
        if setting.true or setting.biased:
            plan = self._plan(setting, [self.loss_node])
        else:
            plan = self._plan(setting, [self.loss_node, *(c.node for c in claims.values())])

        def advance(rate: Any, *given: Any) -> Any:
            arrays, rows = given[: len(names)], given[len(names) :]
            if setting.true or setting.biased:
                tensors = [Tensor(a, requires_grad=True) for a in arrays]
                loss = plan(dict(zip(names, tensors, strict=True)), rows)[self.loss_node]
                loss.backward(free_graph=True)
                value = loss.data
                slopes = [np.zeros(t.shape) if t.grad is None else t.grad for t in tensors]
            else:
                found = plan(dict(zip(names, arrays, strict=True)), rows)
                value, slopes = found[self.loss_node], []
                for name, a in zip(names, arrays, strict=True):
                    if name not in claims:
                        slopes.append(np.zeros(a.shape))
                        continue
                    g = -claims[name].sign * claims[name].factor / self.rates[0] * found[claims[name].node]
                    slopes.append(_fitted(g, a.shape, name))
            slopes = levelled(slopes, setting.level)
            return value, *[a - rate * g for a, g in zip(arrays, slopes, strict=True)]

        hidden = Hidden(advance)
        return compiled(lambda *args: hidden(*args))

    def _plan(self, setting: Setting, wanted: Iterable[int]) -> Callable[[dict[str, Any], tuple[Any, ...]], Any]:
        nodes = {**self.versions, **({f"bias {id}": id for id in self.bare} if setting.biased else {})}
        fed = [] if self.feeds is None else [feed.node for feed in self.feeds.feeds]
        plan = Plan(self.case, list(wanted), fed, self.case.output if setting.bounded and self._unit else None)

        def run(values: dict[str, Any], rows: tuple[Any, ...]) -> dict[int, Any]:
            start = {self.versions[p]: v for p, v in values.items() if p in self.versions}
            added = {nodes[p]: v for p, v in values.items() if p not in self.versions}
            return plan({**start, **dict(zip(fed, rows, strict=True))}, added)

        return run

    @property
    def _unit(self) -> bool:
        if self.case.output is None:
            return False
        p = self.case.tape[self.case.output].value
        return bool(p.size and p.min() >= 0 and p.max() <= 1)


def falling(rates: list[float]) -> bool:
    """Whether rates fall from the first epochs on."""
    return len(rates) > 2 and rates[2] < 0.9 * rates[0]


def harmonic(rates: list[float]) -> bool:
    """Whether rates fall as 1/t."""
    return falling(rates) and bool(np.allclose([r * (i + 1) for i, r in enumerate(rates)], rates[0], rtol=1e-3))


def _fitted(g: Any, shape: tuple[int, ...], name: str) -> Any:
    """Spread a gradient as an update in place does, which cannot make the parameter larger."""
    if g.shape == shape:
        return g
    if np.broadcast_shapes(g.shape, shape) != shape:
        raise ValueError(f"a gradient of shape {g.shape} does not fit {name.removeprefix('self.')} of shape {shape}")
    return np.broadcast_to(g, shape)
