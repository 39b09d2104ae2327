"""A small reverse-mode tensor autograd over numpy arrays."""

from autodiff import assignment, draw, engine, ops
from autodiff.op import Op, op
from autodiff.ops.activations import (
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    logsumexp,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
)
from autodiff.state import enable_grad, is_grad_enabled, no_grad, scope
from autodiff.tensor import Tensor, as_tensor

__all__ = [
    "Op",
    "Tensor",
    "as_tensor",
    "assignment",
    "draw",
    "elu",
    "enable_grad",
    "engine",
    "gelu",
    "is_grad_enabled",
    "leaky_relu",
    "log_softmax",
    "logsumexp",
    "no_grad",
    "op",
    "ops",
    "relu",
    "scope",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
]
