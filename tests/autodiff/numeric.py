"""An independent judge of derivatives: central differences, extrapolated, along random directions.

It knows nothing of ops or rules. It sees a function and the gradient that the engine claims for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff import Tensor

Function = Callable[..., Any]


def check_gradient(
    function: Function, *xs: np.ndarray, rng: np.random.Generator, order: int = 2, tolerance: float = 1e-7
) -> None:
    """Raise AssertionError unless the gradients of `function` by the arrays `xs` are right up to `order`.

    The function's result is weighted by a random cotangent, which is differentiated by as well: a rule that
    loses track of the upstream gradient is then caught at second order.
    """
    weight = rng.uniform(0.5, 1.5, np.shape(plain(function(*map(Tensor, xs))))) * rng.choice([-1, 1])

    def weighted(u: Any, *xs: Any) -> Any:
        return (function(*xs) * u).sum()

    _check_scalar(weighted, [weight, *xs], rng, tolerance, "first")
    if order > 1:
        _check_scalar(_slope_of(weighted, [weight, *xs], rng), [weight, *xs], rng, tolerance, "second")


class KinkError(Exception):
    """The function has a kink or a jump so near that differences cannot judge; try other operands."""


def slope(f: Callable[[float], float], step: float = 4e-3) -> float:
    """Return the derivative of `f` at 0, to about 1e-11: three central differences, extrapolated twice."""
    d = [(f(h) - f(-h)) / (2 * h) for h in (step, step / 2, step / 4)]
    once = [(4 * d[1] - d[0]) / 3, (4 * d[2] - d[1]) / 3]
    # For a smooth function these agree to about 1e-9; across a kink they differ in the first digits.
    if abs(once[1] - once[0]) > 1e-4 * (1 + abs(once[0])):
        raise KinkError(f"differences of decreasing step do not settle: {d}")
    return (16 * once[1] - once[0]) / 15


def plain(x: Any) -> Any:
    """Return the array that a Tensor holds, or the array itself."""
    return x.data if isinstance(x, Tensor) else x


def gradients(function: Function, xs: list[Any], **options: Any) -> list[np.ndarray]:
    """Return what the engine says: the gradient of the scalar `function` by each of `xs`; zero if none."""
    leaves = [Tensor(x, requires_grad=True) for x in xs]
    loss = function(*leaves)
    if loss.requires_grad:
        loss.backward(**options)
    return [np.zeros_like(x.data) if x.grad is None else x.grad for x in leaves]


def _check_scalar(function: Function, xs: list[Any], rng: np.random.Generator, tolerance: float, order: str) -> None:
    for position, (x, claimed) in enumerate(zip(xs, gradients(function, xs), strict=True)):
        assert claimed.shape == x.shape, f"gradient of shape {claimed.shape} for an operand of shape {x.shape}"
        v = _direction(x.shape, rng)

        def along(t: float, position: int = position, x: Any = x, v: Any = v) -> float:
            moved = [Tensor(x + t * v if i == position else other) for i, other in enumerate(xs)]
            for tensor in moved:
                tensor.requires_grad = True
            return float(function(*moved))

        expected, got = slope(along), float(np.sum(claimed * v))
        scale = abs(expected) + float(np.sum(np.abs(claimed * v))) + 1e-3
        assert abs(got - expected) <= tolerance * scale, (
            f"{order}-order gradient by operand {position} (0 is the upstream gradient): "
            f"along a random direction {got!r}, by central differences {expected!r}"
        )


def _slope_of(function: Function, xs: list[Any], rng: np.random.Generator) -> Function:
    """Return the function whose value is the recorded gradient of `function` along a fixed direction."""
    directions = [_direction(x.shape, rng) for x in xs]

    def derivative(*leaves: Tensor) -> Tensor:
        loss = function(*leaves)
        total = Tensor(0.0)
        for leaf, v in zip(leaves, directions, strict=True):
            if depends(loss, leaf):
                total = total + (loss.gradient(leaf, create_graph=True) * v).sum()
        return total

    recorded = float(derivative(*(Tensor(x, requires_grad=True) for x in xs)))
    computed = sum(float(np.sum(g * v)) for g, v in zip(gradients(function, xs), directions, strict=True))
    assert np.isclose(recorded, computed, rtol=1e-10, atol=1e-10), (
        f"a rule gives {computed} on arrays and {recorded} on Tensors"
    )
    return derivative


def depends(loss: Tensor, x: Tensor) -> bool:
    """Say whether `x` is among the tensors that `loss` was computed from."""
    stack, seen = [loss], {loss}
    while stack:
        node = stack.pop()
        if node is x:
            return True
        new = {i for i in node.inputs or () if isinstance(i, Tensor)} - seen
        seen |= new
        stack.extend(new)
    return False


def _direction(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    # No component is near zero, so that an error in any one element shows.
    return np.asarray(rng.uniform(0.5, 1.0, shape) * rng.choice([-1.0, 1.0], shape))
