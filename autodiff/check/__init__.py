"""Checks: is a gradient right, does an op keep its promises."""

from autodiff.check.gradient import GradientError, gradcheck
from autodiff.check.operation import OpError, check_op

__all__ = ["GradientError", "OpError", "check_op", "gradcheck"]
