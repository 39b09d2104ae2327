"""Use a model for experiments, and leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from autodiff.op import strip
from autodiff.state import no_grad
from autodiff.tensor import Tensor
from nn.module import Module


@contextmanager
def kept(model: Any, parameters: list[Tensor]) -> Iterator[None]:
    """Put back parameters, gradients, buffers, modes and random generators, each the same object as before."""
    tensors = [(p, p.data, p.data.copy(), p.grad, p.requires_grad) for p in parameters]
    grads = [None if p.grad is None else p.grad.copy() for p in parameters]
    modules = list(model.modules()) if isinstance(model, Module) else [model]
    modes = [(m, m.training) for m in modules if hasattr(m, "training")]
    buffers = [(m, name, array, array.copy()) for m in modules for name, array in _buffers(m)]
    generators = [
        (g, g.bit_generator.state)
        for m in modules
        for g in getattr(m, "__dict__", {}).values()
        if isinstance(g, np.random.Generator)
    ]
    try:
        yield
    finally:
        for (p, array, before, grad, wanted), old in zip(tensors, grads, strict=True):
            array[...] = before
            p.data = array
            if grad is not None:
                grad[...] = old
            p.grad = grad
            p.requires_grad = wanted
        for m, mode in modes:
            m.training = mode
        for m, name, array, before in buffers:
            array[...] = before
            setattr(m, name, array)
        for g, state in generators:
            g.bit_generator.state = state


def reset_buffers(model: Any) -> None:
    """Let running statistics begin anew."""
    for m in model.modules() if isinstance(model, Module) else ():
        for name, array in _buffers(m):
            if name.startswith("running_") or name.startswith("num_batches"):
                array[...] = 1 if name.endswith("var") else 0


def _buffers(module: Any) -> list[tuple[str, Any]]:
    return list(module._own_buffers()) if isinstance(module, Module) else []


def set_mode(model: Any, training: bool) -> None:
    """Put a model into training or evaluation mode, if it has them."""
    if isinstance(model, Module):
        model.train(training)
    elif hasattr(model, "training"):
        model.training = training


def modes_on(model: Any) -> bool:
    """Whether some part of a model is in training mode."""
    modules = list(model.modules()) if isinstance(model, Module) else [model]
    return any(getattr(m, "training", False) for m in modules)


def noisy(model: Any, X: Any) -> bool:
    """Whether a model says something else each time it is asked."""
    with no_grad():
        return not np.array_equal(strip(model(X)), strip(model(X)), equal_nan=True)
