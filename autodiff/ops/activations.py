"""Activation functions, each stable over the whole range of floating-point numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import op, strip
from autodiff.ops.normal import normal_cdf, normal_pdf
from autodiff.sample import real, sample

# Beyond this the tails of sigmoid and of the normal distribution are 0 in every dtype.
_FAR = 1e4


def _sigmoid(x: Any) -> Any:
    # exp(−x) may overflow to infinity, and 1/(1 + ∞) = 0 is then the right answer.
    with np.errstate(over="ignore"):
        return np.reciprocal(1 + np.exp(-x))


sigmoid = op(
    _sigmoid,
    lambda g, y, x: g * (y * (1 - y)),
    name="sigmoid",
    symbol="σ",
    formula="a(1 − a)",
    samples=[real(2, 3)],
)
relu = op(
    lambda x: np.maximum(x, 0),
    lambda g, y, x: g * (strip(x) > 0),
    name="relu",
    formula="[x > 0]",
    samples=[real(2, 3)],
)
leaky_relu = op(
    lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
    lambda g, y, x, negative_slope=0.01: np.where(strip(x) > 0, g, negative_slope * g),
    name="leaky_relu",
    formula="1 or slope",
    samples=[real(2, 3), sample(real(2, 3), negative_slope=0.2)],
)
elu = op(
    lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    lambda g, y, x, alpha=1.0: np.where(strip(x) > 0, g, g * (alpha * np.exp(np.minimum(x, 0)))),
    name="elu",
    formula="1 or α·eˣ",
    samples=[real(2, 3), sample(real(2, 3), alpha=0.5)],
)
softplus = op(
    lambda x: np.logaddexp(x, 0),
    lambda g, y, x: g * sigmoid(x),
    name="softplus",
    formula="σ(x)",
    samples=[real(2, 3)],
)
gelu = op(
    # Far out one factor is 0: the other is kept from becoming infinite.
    lambda x: np.maximum(x, -_FAR) * normal_cdf(x),
    lambda g, y, x: g * (normal_cdf(x) + np.clip(x, -_FAR, _FAR) * normal_pdf(x)),
    name="gelu",
    formula="Φ(x) + x·φ(x)",
    samples=[real(2, 3)],
)


def _silu_rule(g: Any, y: Any, x: Any) -> Any:
    s = sigmoid(x)
    return g * (s * (1 + np.clip(x, -_FAR, _FAR) * (1 - s)))


silu = op(
    lambda x: np.maximum(x, -_FAR) * sigmoid(x),
    _silu_rule,
    name="silu",
    formula="σ(x)(1 + x(1 − σ(x)))",
    samples=[real(2, 3)],
)


def _shifted_exp(x: Any, axis: Any) -> tuple[Any, Any]:
    """The maximum m of `x` and exp(x − m), whose sum can neither overflow nor vanish."""
    # What an empty axis needs, not every array type takes.
    of_nothing: dict[str, Any] = {} if x.size else {"initial": -np.inf}
    m = np.max(x, axis=axis, keepdims=True, **of_nothing)
    m = np.where(np.isfinite(m), m, 0)
    # The difference of two huge numbers may overflow to −∞, and exp(−∞) = 0 is then the right answer.
    with np.errstate(over="ignore"):
        return m, np.exp(x - m)


def _softmax(x: Any, axis: Any = -1) -> Any:
    _, e = _shifted_exp(x, axis)
    return e / e.sum(axis=axis, keepdims=True)


def _logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    m, e = _shifted_exp(x, axis)
    with np.errstate(divide="ignore"):  # the logarithm of an empty sum is −∞
        result = m + np.log(e.sum(axis=axis, keepdims=True))
    return result if keepdims else np.squeeze(result, axis)


def _log_softmax(x: Any, axis: Any = -1) -> Any:
    m, e = _shifted_exp(x, axis)
    with np.errstate(over="ignore"):
        return (x - m) - np.log(e.sum(axis=axis, keepdims=True))


def _logsumexp_rule(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    if axis is None:
        return g * np.reshape(softmax(np.reshape(x, (-1,))), x.shape)
    return (g if keepdims else np.expand_dims(g, axis)) * softmax(x, axis=axis)


softmax = op(
    _softmax,
    lambda g, y, x, axis=-1: y * (g - (g * y).sum(axis=axis, keepdims=True)),
    name="softmax",
    formula="a·(g − Σ g·a)",
    samples=[real(2, 3), sample(real(2, 3), axis=0)],
)
log_softmax = op(
    _log_softmax,
    lambda g, y, x, axis=-1: g - np.exp(y) * g.sum(axis=axis, keepdims=True),
    name="log_softmax",
    formula="g − softmax·Σ g",
    samples=[real(2, 3), sample(real(2, 3), axis=0)],
)
logsumexp = op(
    _logsumexp,
    _logsumexp_rule,
    name="logsumexp",
    formula="softmax",
    samples=[real(2, 3), sample(real(2, 3), axis=1, keepdims=True), sample(real(2, 3), axis=0)],
)
