"""Activations as modules, and what an activation may be given as: a name, a callable or a module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.ops import activations
from nn.module import Module


def as_module(what: Any) -> Module:
    """Make a module of an activation's name or of a callable."""
    if isinstance(what, Module):
        return what
    if isinstance(what, type):
        raise TypeError(f"{what.__name__} is a class; write {what.__name__}() for the module")
    if isinstance(what, str):
        if what not in _NAMED:
            raise ValueError(f"unknown activation {what!r}; choose from {', '.join(_NAMED)}, or pass a callable")
        return _NAMED[what]()
    if not callable(what):
        raise TypeError(f"a layer is a Module or a callable, got {what!r}")
    return Activation(what)


def name_of(function: Any) -> str:
    return str(getattr(function, "name", None) or getattr(function, "__name__", ""))


class Activation(Module):
    """A function of the input as a module: ``Activation(np.sin)``."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def forward(self, x: Any) -> Any:
        """Apply the function."""
        return self.function(x)

    def extra_repr(self) -> str:
        """Return the function's name where the class does not tell it."""
        return name_of(self.function) if type(self) is Activation else ""


class Sigmoid(Activation):
    """σ(x) = 1 / (1 + e⁻ˣ)."""

    def __init__(self) -> None:
        super().__init__(activations.sigmoid)


class Tanh(Activation):
    """The hyperbolic tangent."""

    def __init__(self) -> None:
        super().__init__(np.tanh)


class ReLU(Activation):
    """max(x, 0)."""

    def __init__(self) -> None:
        super().__init__(activations.relu)


class LeakyReLU(Activation):
    """x where positive, else ``negative_slope``·x."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__(activations.leaky_relu)
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Any:
        """Apply the function."""
        return self.function(x, negative_slope=self.negative_slope)  # type: ignore[call-arg]

    def extra_repr(self) -> str:
        """Return the slope."""
        return f"{self.negative_slope}"


class ELU(Activation):
    """x where positive, else ``alpha``·(eˣ − 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(activations.elu)
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        """Apply the function."""
        return self.function(x, alpha=self.alpha)  # type: ignore[call-arg]

    def extra_repr(self) -> str:
        """Return alpha."""
        return f"{self.alpha}"


class Softplus(Activation):
    """log(1 + eˣ)."""

    def __init__(self) -> None:
        super().__init__(activations.softplus)


class GELU(Activation):
    """x·Φ(x), with the normal distribution's Φ itself, not an approximation."""

    def __init__(self) -> None:
        super().__init__(activations.gelu)


class SiLU(Activation):
    """x·σ(x)."""

    def __init__(self) -> None:
        super().__init__(activations.silu)


class Softmax(Activation):
    """Probabilities eˣ / Σ eˣ along ``axis``."""

    def __init__(self, axis: int = -1) -> None:
        super().__init__(activations.softmax)
        self.axis = axis

    def forward(self, x: Any) -> Any:
        """Apply the function."""
        return self.function(x, axis=self.axis)  # type: ignore[call-arg]

    def extra_repr(self) -> str:
        """Return the axis."""
        return f"axis={self.axis}"


class LogSoftmax(Softmax):
    """Logarithms of the probabilities that `Softmax` gives."""

    def __init__(self, axis: int = -1) -> None:
        super().__init__(axis)
        self.function = activations.log_softmax


class Identity(Module):
    """The input as it is."""

    def forward(self, x: Any) -> Any:
        """Return `x`."""
        return x


_NAMED: dict[str, Callable[[], Module]] = {
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "softplus": Softplus,
    "gelu": GELU,
    "silu": SiLU,
    "softmax": Softmax,
    "log_softmax": LogSoftmax,
    "identity": Identity,
}
