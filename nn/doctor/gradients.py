"""What is to be seen of gradients: those that are missing, those that add up, and where they leave finite numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from autodiff.op import strip
from autodiff.state import no_grad
from autodiff.tensor import Tensor
from nn.optim.algorithms import SGD, Adam
from nn.optim.optimizer import Optimizer

#: Parameters with more numbers have no derivative by differences.
MOST = 200
#: Gradients so many times longer than a step can leave them are sums of several; so are those that lie so far aside.
_LONG, _ASIDE = 2.0, 1e-2
#: How many samples are looked at one by one.
_SAMPLES = 64


def accumulates(step: Callable[[], Any] | None, parameters: list[Tensor], optimizer: Any) -> bool:
    """Take a step with gradients already there, and see whether they are still in the sum afterwards. Under `kept`."""
    if step is None:
        return False
    held = [one for one in (optimizer if isinstance(optimizer, (list, tuple)) else [optimizer]) if one is not None]
    states = [(one, one.state_dict()) for one in held if isinstance(one, Optimizer)]
    before = [(p, p.data.copy()) for p in parameters]
    size = 1e6
    for p in parameters:
        p.grad = np.full(p.shape, size, p.dtype)
    with np.errstate(all="ignore"):
        step()
    left = [p.grad is not None and float(np.median(np.abs(p.grad))) > 0.5 * size for p in parameters]
    for p, data in before:
        p.data[...] = data
        p.data = p.data
    for one, state in states:
        one.load_state_dict(state)
    return any(left)


def piled_up(
    loss: Callable[[Any, Any], Any], parameters: list[Tensor], grads: list[Any], optimizer: Any, X: Any, y: Any
) -> str:
    """Say why the gradients on the parameters cannot be those of one step; empty where they may be.

    The step is undone for that. Then the gradient of any batch is made of those of its samples: it is no longer than
    the longest of them, and lies in the space that they span. Under `kept`.
    """
    if not isinstance(optimizer, (SGD, Adam)) or any(g is None for g in grads) or not len(X):
        return ""
    steps = {id(slot.param): (slot, group) for group, slots in _slots(optimizer) for slot in slots}
    now = [p.data.copy() for p in parameters]
    for p, g in zip(parameters, grads, strict=True):
        if id(p) in steps:
            p.data[...] += _last_move(optimizer, *steps[id(p)], g)
            p.data = p.data
    each = []
    for i in np.linspace(0, len(X) - 1, min(len(X), _SAMPLES)).astype(int):
        for p in parameters:
            p.grad = None
        loss(X[i : i + 1], y[i : i + 1]).backward(free_graph=True)
        each.append(_flat([p.grad for p in parameters], parameters))
    for p, data in zip(parameters, now, strict=True):
        p.data[...] = data
        p.data = p.data
    held, samples = _flat(grads, parameters), np.stack(each, axis=1)
    size, longest = float(np.linalg.norm(held)), float(np.linalg.norm(samples, axis=0).max())
    if not np.isfinite(samples).all() or not np.isfinite(size) or not longest:
        return ""
    if size > _LONG * longest:
        return f"the gradients on the parameters are {size / longest:.3g} times as long as one step can leave them"
    if len(X) <= _SAMPLES and len(held) > samples.shape[1]:
        parts, *_ = np.linalg.lstsq(samples, held, rcond=None)
        if np.linalg.norm(samples @ parts - held) > _ASIDE * size:
            return "the gradients on the parameters are those of no batch of these samples: they are sums over steps"
    return ""


def _flat(grads: list[Any], parameters: list[Tensor]) -> Any:
    held = [np.zeros(p.shape) if g is None else g for p, g in zip(parameters, grads, strict=True)]
    return np.concatenate([np.asarray(g, dtype=float).reshape(-1) for g in held])


def unreached(
    loss: Callable[[Any, Any], Any], model: Any, parameters: dict[str, Tensor], X: Any, y: Any
) -> tuple[list[str], list[str]]:
    """Return the parameters that have no gradient, although the loss depends on them; and those that it does not."""
    for p in parameters.values():
        p.grad = None
    value = loss(model(X), y)
    if value.requires_grad:
        value.backward(free_graph=True)
    cut: list[str] = []
    unused: list[str] = []
    for name, p in parameters.items():
        if p.grad is None:
            (cut if _counts(model, p, X) else unused).append(name)
    return cut, unused


def _counts(model: Any, p: Tensor, X: Any) -> bool:
    old = p.data.copy()
    with no_grad():
        here = strip(model(X)).copy()
        p.data[...] = old + np.random.default_rng(0).normal(size=p.shape)
        p.data = p.data
        there = strip(model(X))
    p.data[...] = old
    p.data = p.data
    return not np.array_equal(here, there, equal_nan=True)


def listed(names: Iterable[str]) -> str:
    """Return names as a sentence has them."""
    names = list(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def origin(value: Tensor, X: Any, y: Any) -> str:
    """Say where a loss that is not finite leaves the finite numbers."""
    for name, array in (("X", X), ("y", y)):
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            count = int((~np.isfinite(array)).sum())
            return f"{name}[{', '.join(map(str, at))}] is {array[at]}, one of {count} such numbers in the data"
    bad = value
    while (above := next((x for x in bad.inputs or () if isinstance(x, Tensor) and not _finite(x)), None)) is not None:
        bad = above  # an infinity that does no harm further on is none of its operands
    if bad.op is None or _finite(bad):
        return "a parameter is not finite: an update went too far"
    operands = [x.data if isinstance(x, Tensor) else np.asarray(x) for x in bad.inputs or () if np.size(strip(x))]
    given = ", ".join(f"{np.min(x):.4g} to {np.max(x):.4g}" for x in operands if x.dtype.kind in "biuf")
    return f"the first result that is not finite is that of {bad.op.name}, of operands from {given}"


def _finite(x: Tensor) -> bool:
    return bool(np.isfinite(x.data).all())


def _slots(optimizer: Optimizer) -> Iterable[tuple[Any, Any]]:
    return zip(optimizer.param_groups, optimizer._slots, strict=True)


def _last_move(optimizer: Optimizer, slot: Any, group: Any, g: Any) -> Any:
    if isinstance(optimizer, Adam):
        if not slot.steps:
            return 0.0
        one, two = group["betas"]
        mean, square = slot.buffers["exp_avg"], slot.buffers["exp_avg_sq"]
        return group["lr"] * (mean / (1 - one**slot.steps)) / (np.sqrt(square / (1 - two**slot.steps)) + group["eps"])
    return group["lr"] * (slot.buffers["momentum_buffer"] if slot.buffers else g)
