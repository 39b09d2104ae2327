"""A small reverse-mode tensor autograd over numpy arrays."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from autodiff import assignment, check, draw, engine, ops
from autodiff.anomaly import AnomalyError, detect_anomaly
from autodiff.check import GradientError, OpError, check_op, gradcheck
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
from autodiff.sources import Source, record_sources
from autodiff.state import enable_grad, fresh, is_grad_enabled, no_grad, scope
from autodiff.tensor import Tensor, as_tensor
from autodiff.transforms import (
    checkpoint,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    stop_gradient,
    value_and_grad,
    vjp,
)

if TYPE_CHECKING:
    from autodiff import compile, doctor
    from autodiff.compile import CompileError

__all__ = [
    "AnomalyError",
    "CompileError",
    "GradientError",
    "Op",
    "OpError",
    "Source",
    "Tensor",
    "as_tensor",
    "assignment",
    "check",
    "check_op",
    "checkpoint",
    "compile",
    "detect_anomaly",
    "doctor",
    "draw",
    "elu",
    "enable_grad",
    "engine",
    "fresh",
    "gelu",
    "grad",
    "gradcheck",
    "hessian",
    "hvp",
    "is_grad_enabled",
    "jacobian",
    "jvp",
    "leaky_relu",
    "log_softmax",
    "logsumexp",
    "no_grad",
    "op",
    "ops",
    "record_sources",
    "relu",
    "scope",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]


def __getattr__(name: str) -> Any:
    # What few programs need is imported when it is first asked for.
    if name in ("compile", "doctor"):
        return import_module(f"autodiff.{name}")
    if name == "CompileError":
        return import_module("autodiff.compile").CompileError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
