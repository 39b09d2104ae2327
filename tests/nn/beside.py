"""Training twice: the same steps, compiled and not, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from autodiff import Tensor
from autodiff.compile import compile
from nn import MLP, MSELoss
from nn.optim import SGD, Adam, AdamW, RMSprop

Batch = tuple[Any, ...]
STEPS = 100
#: After 100 steps, relative to the largest number: rounding adds up.
TOLERANCE = {np.dtype(np.float32): 1e-3, np.dtype(np.float64): 1e-9}


class Training:
    """A model, its optimizer and a step; what a test is about is done by subclasses and `between`."""

    def __init__(self, model: Any = None, criterion: Any = None, optimizer: Any = None) -> None:
        self.model = model or MLP([3, 5, 2], seed=0)
        self.criterion = criterion or MSELoss()
        self.optimizer = (optimizer or (lambda parameters: SGD(parameters, lr=0.1)))(list(self.model.parameters()))
        self.scheduler: Any = None

    def step(self, x: Any, *target: Any) -> Any:
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(x), *target)
        loss.backward()
        self.after_backward()
        self.optimizer.step()
        return loss

    def after_backward(self) -> None:
        """Clip."""

    def state(self) -> dict[str, Any]:
        found = {**self.model.state_dict(), **{f"grad of {k}": p.grad for k, p in self.model.named_parameters()}}
        for i, slot in enumerate(self.optimizer.state_dict()["state"]):
            found |= {f"{name} {i}": buffer for name, buffer in slot.items()}
        return found


def alike(got: Any, wanted: Any, note: str) -> None:
    if wanted is None or got is None:
        assert got is wanted, note
        return
    got, wanted = (np.asarray(x.data if isinstance(x, Tensor) else x) for x in (got, wanted))
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype), note
    limit = TOLERANCE.get(wanted.dtype, 0)
    scale = np.max(np.abs(wanted), initial=1)  # a bias before a BatchNorm has gradients that are rounding alone
    np.testing.assert_allclose(got, wanted, rtol=limit, atol=limit * scale, err_msg=note)


def beside(
    make: Callable[[], Any],
    batches: Iterable[Batch],
    between: Callable[[Any, int, Any], Any] | None = None,
    *,
    verify: int = 0,
    recordings: int = 3,
) -> Any:
    """Train two of the same, one compiled; after each step losses agree, and so does all that ``state()`` names.

    `between` is done to both after each step. Return the compiled step. At most `recordings` programs are made.
    """
    theirs, mine = make(), make()
    compiled = compile(mine.step, verify=verify)
    for number, batch in enumerate(batches):
        wanted, got = theirs.step(*batch), compiled(*batch)
        alike(got, wanted, f"loss {number}")
        if number < 6 or number % 10 == 0:
            same_state(mine, theirs, number)
        if between:
            between(theirs, number, wanted)
            between(mine, number, got)
    same_state(mine, theirs, number)
    assert 1 <= len(compiled.programs) <= recordings, "it is recorded again and again"
    return compiled


def same_state(mine: Any, theirs: Any, number: int) -> None:
    wanted, got = theirs.state(), mine.state()
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        alike(got[name], value, f"{name} after step {number}")


def regression(dtype: Any = np.float64, n: int = 4, steps: int = STEPS) -> list[Batch]:
    rng = np.random.default_rng(1)
    return [(rng.normal(size=(n, 3)).astype(dtype), rng.normal(size=(n, 2)).astype(dtype)) for _ in range(steps)]


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: SGD(p, lr=0.1),
    "SGD decay": lambda p: SGD(p, lr=0.1, weight_decay=0.01),
    "SGD momentum": lambda p: SGD(p, lr=0.05, momentum=0.9),
    "SGD dampening": lambda p: SGD(p, lr=0.05, momentum=0.9, dampening=0.3, weight_decay=0.01),
    "SGD Nesterov": lambda p: SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda p: Adam(p, lr=0.01),
    "Adam betas": lambda p: Adam(p, lr=0.01, betas=(0.5, 0.9), eps=1e-4, weight_decay=0.01),
    "Adam amsgrad": lambda p: Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p: AdamW(p, lr=0.01),
    "AdamW amsgrad": lambda p: AdamW(p, lr=0.01, weight_decay=0.1, amsgrad=True),
    "RMSprop": lambda p: RMSprop(p, lr=0.01),
    "RMSprop centered": lambda p: RMSprop(p, lr=0.01, alpha=0.9, centered=True, weight_decay=0.01),
    "RMSprop momentum": lambda p: RMSprop(p, lr=0.01, momentum=0.9),
    "RMSprop all": lambda p: RMSprop(p, lr=0.01, momentum=0.9, centered=True, weight_decay=0.01),
    "groups": lambda p: Adam([{"params": p[:1], "lr": 0.1}, {"params": p[1:], "betas": (0.8, 0.9)}], lr=0.01),
    "groups, a frozen one": lambda p: SGD([{"params": p[:2], "lr": 0.0}, {"params": p[2:], "momentum": 0.9}], lr=0.1),
}
