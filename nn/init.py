"""Initial values of weights: each function returns a fresh array, drawn from an explicit generator or seed.

Weights are laid out ``(out, in)``, with any further axes those of a convolution's kernel, as in PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

#: A seed, a generator to draw from, or None for fresh entropy.
Seed = int | np.random.Generator | None
Array = np.ndarray[Any, Any]
#: What layers take as ``init=``: ``init(shape, seed=..., dtype=...) -> array``.
Initialiser = Callable[..., Array]

_GAINS = {
    "linear": 1.0,
    "identity": 1.0,
    "sigmoid": 1.0,
    "softmax": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "elu": math.sqrt(2),
    "softplus": math.sqrt(2),
    "gelu": math.sqrt(2),
    "silu": math.sqrt(2),
}
_RELU_FAMILY = frozenset({"relu", "leaky_relu", "elu", "softplus", "gelu", "silu"})


def xavier_uniform(shape: Sequence[int], gain: float = 1.0, *, seed: Seed = None, dtype: Any = np.float64) -> Array:
    """Draw from U(−a, a) with a = gain·√(6 / (fan_in + fan_out)).

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010).
    """
    fan_in, fan_out = _fans(shape)
    return _uniform(shape, gain * math.sqrt(6 / (fan_in + fan_out)), seed, dtype)


def xavier_normal(shape: Sequence[int], gain: float = 1.0, *, seed: Seed = None, dtype: Any = np.float64) -> Array:
    """Draw from N(0, σ²) with σ = gain·√(2 / (fan_in + fan_out)); source as `xavier_uniform`."""
    fan_in, fan_out = _fans(shape)
    return _normal(shape, gain * math.sqrt(2 / (fan_in + fan_out)), seed, dtype)


def kaiming_uniform(
    shape: Sequence[int],
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    seed: Seed = None,
    dtype: Any = np.float64,
) -> Array:
    """Draw from U(−b, b) with b = gain·√(3 / fan).

    Parameters
    ----------
    shape : sequence of int
        ``(out, in, ...)``.
    a : float
        Negative slope of the leaky ReLU that follows; 0 for ReLU itself.
    mode : {"fan_in", "fan_out"}
        Keep the variance of the forward or of the backward pass.
    nonlinearity : str
        What follows, as in `calculate_gain`.

    Notes
    -----
    Source: He et al., "Delving deep into rectifiers" (2015).
    """
    gain = calculate_gain(nonlinearity, a)
    return _uniform(shape, gain * math.sqrt(3 / _fan(shape, mode)), seed, dtype)


def kaiming_normal(
    shape: Sequence[int],
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    seed: Seed = None,
    dtype: Any = np.float64,
) -> Array:
    """Draw from N(0, σ²) with σ = gain / √fan; parameters and source as `kaiming_uniform`."""
    return _normal(shape, calculate_gain(nonlinearity, a) / math.sqrt(_fan(shape, mode)), seed, dtype)


def orthogonal(shape: Sequence[int], gain: float = 1.0, *, seed: Seed = None, dtype: Any = np.float64) -> Array:
    """Draw a matrix with orthonormal rows or columns (whichever are fewer), times `gain`.

    Axes after the first are taken as one. Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear
    dynamics of learning in deep linear neural networks" (2013).
    """
    _fans(shape)
    rows, columns = shape[0], math.prod(shape[1:])
    draws = np.random.default_rng(seed).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(draws)
    # The signs make the distribution uniform over all orthogonal matrices (Mezzadri 2007).
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return np.asarray(gain * (q if rows >= columns else q.T), dtype=dtype).reshape(shape)


def zeros(shape: Sequence[int], *, seed: Seed = None, dtype: Any = np.float64) -> Array:
    """Return zeros. `seed` is not used; it is there so that ``init=zeros`` fits where other functions do."""
    return np.zeros(shape, dtype=dtype)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor by which weights make up for what `nonlinearity` does to the variance.

    Parameters
    ----------
    nonlinearity : str
        ``"sigmoid"``, ``"tanh"``, ``"relu"``, ``"leaky_relu"``…; ELU, softplus, GELU and SiLU count as ReLU.
    param : float, optional
        The negative slope of a leaky ReLU, 0.01 unless given.

    Raises
    ------
    ValueError
        Unknown nonlinearity.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2 / (1 + slope * slope))
    try:
        return _GAINS[nonlinearity]
    except KeyError:
        known = ", ".join(sorted([*_GAINS, "leaky_relu"]))
        raise ValueError(f"no gain is known for {nonlinearity!r}; choose from {known}, or pass gain=") from None


def fitting(activation: str) -> Initialiser:
    """Return the initialiser that suits a layer followed by `activation`: He for the ReLU family, else Xavier."""
    return _he if activation in _RELU_FAMILY else xavier_uniform


def _he(shape: Sequence[int], *, seed: Seed = None, dtype: Any = np.float64) -> Array:
    return kaiming_uniform(shape, seed=seed, dtype=dtype)


def _uniform(shape: Sequence[int], bound: float, seed: Seed, dtype: Any) -> Array:
    return np.random.default_rng(seed).uniform(-bound, bound, tuple(shape)).astype(dtype)


def _normal(shape: Sequence[int], deviation: float, seed: Seed, dtype: Any) -> Array:
    return (deviation * np.random.default_rng(seed).standard_normal(tuple(shape))).astype(dtype)


def _fans(shape: Sequence[int]) -> tuple[int, int]:
    """The number of inputs that one output sees, and of outputs that one input reaches."""
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(
            f"weights need a shape (out, in, ...) with at least two axes, none empty; got {tuple(shape)}. "
            "Biases are usually nn.init.zeros(shape)"
        )
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _fan(shape: Sequence[int], mode: str) -> int:
    fan_in, fan_out = _fans(shape)
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f'mode must be "fan_in" or "fan_out", got {mode!r}')
    return fan_in if mode == "fan_in" else fan_out
