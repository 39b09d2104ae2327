"""Steps of experiments: as programs where they can be, and what may be done to gradients between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import autodiff.compile as compilation


def compiled(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return a step that runs as a program where it can be one, and as it is where not."""
    program = compilation.compile(step)
    refused = False

    def run(*args: Any) -> Any:
        nonlocal refused
        if not refused:
            try:
                return program(*args)
            except compilation.CompileError:
                refused = True
        return step(*args)

    return run


class Hidden:
    """A function of its arguments alone: a compiled step calls it, and need not look at what it reaches."""

    not_recorded = True

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        """Call the function."""
        return self._function(*args)


def levelled(slopes: list[Any], level: str) -> list[Any]:
    """Return gradients of one size where `level` is "layers", of length 1 in all at most where it is "clip"."""
    if not level:
        return slopes
    if level == "clip":
        length = np.sqrt(sum(np.sum(np.square(g)) for g in slopes)) + 1e-30
        return [g / np.maximum(length, 1.0) for g in slopes]
    sizes = [np.sqrt(np.mean(np.square(g))) + 1e-30 for g in slopes]
    largest = sizes[0]
    for size in sizes[1:]:
        largest = np.maximum(largest, size)
    return [g * (largest / size) for g, size in zip(slopes, sizes, strict=True)]
