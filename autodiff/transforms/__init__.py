"""Functions of functions: derivatives, and the saving of memory."""

from autodiff.transforms.derivatives import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from autodiff.transforms.recompute import checkpoint, stop_gradient

__all__ = ["checkpoint", "grad", "hessian", "hvp", "jacobian", "jvp", "stop_gradient", "value_and_grad", "vjp"]
