"""Is the gradient of a function right? Compared with its numeric derivative, and what is wrong is shown."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.check.differences import Slope, has_kink, slope
from autodiff.op import strip
from autodiff.state import enable_grad, no_grad
from autodiff.tensor import Tensor
from autodiff.transforms.boundary import enter, through
from autodiff.transforms.derivatives import jacobian, vjp
from autodiff.transforms.tree import leaves, rebuild

Function = Callable[..., Any]

#: Of a Jacobian with more elements than this only a weighted sum of its rows is compared,
_LARGE = 10**6
#: and of an argument with more elements than this only as many, chosen at random.
_MANY = 2000
#: The relative errors that are allowed: where differences settle, and at most.
_TIGHT, _LOOSE = 1e-8, 1e-6
#: A derivative below this fraction of the value itself is as good as zero: differences cannot tell.
_FLOOR = 1e-5


class GradientError(AssertionError):
    """A gradient differs from the numeric derivative.

    Attributes
    ----------
    order : int
        1, or 2 for the derivative of the gradient.
    argument : str
        Which argument: ``"argument 0['w']"``.
    index, output_index : tuple of int
        The element of the argument, and that of the result.
    analytic, numeric, relative_error : float
        What the rules gave, what differences gave, and how far they are apart.
    kink : bool
        Whether the function has a kink or a jump so near that the differences may be what is wrong.
    """

    def __init__(
        self,
        message: str,
        order: int,
        argument: str,
        index: tuple[int, ...],
        output_index: tuple[int, ...],
        analytic: float,
        numeric: float,
        kink: bool,
    ) -> None:
        super().__init__(message)
        self.order = order
        self.argument = argument
        self.index = index
        self.output_index = output_index
        self.analytic = analytic
        self.numeric = numeric
        self.relative_error = abs(analytic - numeric) / max(abs(analytic), abs(numeric), 1e-300)
        self.kink = kink


def gradcheck(
    function: Callable[..., Any], *args: Any, order: int = 1, tolerance: float | None = None, seed: int = 0
) -> bool:
    """Check the gradients of `function` by its arguments, in double precision.

    Each argument is checked along one random direction, against a random gradient by the result. Only where that fails
    are all elements of the Jacobian compared.

    Parameters
    ----------
    function : callable
        Takes `args` and returns an array or number, or several in lists, tuples and dicts. It must be deterministic.
    *args
        Arrays and numbers, or lists, tuples and dicts of them. Floating-point ones are differentiated by, after
        conversion to float64; all else is handed on as it is.
    order : 1 or 2
        With 2 the derivative of the gradient is checked too.
    tolerance : float, optional
        The relative error that is allowed. Unless given, it is as small as the differences can judge: 1e-8 where they
        settle, 1e-6 at most.
    seed : int
        Decides the directions.

    Returns
    -------
    bool
        True.

    Raises
    ------
    GradientError
        A gradient is wrong, with a report of the worst element. It is an `AssertionError`.
    TypeError
        No argument holds floating-point numbers, or the result is not float64.

    Examples
    --------
    >>> gradcheck(lambda x, y: np.sin(x) * y, np.array([0.1, 0.2]), 2.0, order=2)
    True
    """
    if order not in (1, 2):
        raise ValueError(f"order is 1 or 2, got {order!r}")
    flat, xs, names = _flatten(function, args)
    check = _Check(flat, xs, names, np.random.default_rng(seed), tolerance)
    check.compare(1)
    if order == 2:
        check.derivative().compare(2)
    return True


class _Check:
    """A function of a list of float64 arrays that returns a list of them, and what its gradient is compared with."""

    def __init__(
        self, flat: Function, xs: list[Any], names: list[str], rng: np.random.Generator, tolerance: float | None
    ):
        self.flat, self.xs, self.names, self.rng, self.tolerance = flat, xs, names, rng, tolerance
        self.limit = _LOOSE if tolerance is None else tolerance
        ys, self.pull = vjp(flat, *xs)
        self.ys = [np.asarray(strip(y)) for y in ys]
        self.weights = [_random(y.shape, rng) for y in self.ys]

    def compare(self, order: int) -> None:
        """Raise `GradientError` unless each gradient is right along a random direction."""
        gradients = [strip(g) for g in self.pull(self.weights)]
        for position, (x, g) in enumerate(zip(self.xs, gradients, strict=True)):
            v = _random(x.shape, self.rng)
            numeric = self.slope(_weighted(self.flat, self.weights), position, v)
            analytic = np.sum(g * v)
            size = np.abs(numeric.value) + np.sum(np.abs(g * v))
            values = sum(np.sum(np.abs(y * w)) for y, w in zip(self.ys, self.weights, strict=True))
            limit = near = self.limit * (size + _FLOOR * values)
            if self.tolerance is None:
                near = np.minimum(limit, _TIGHT * size + 100 * numeric.error + _LOOSE * _FLOOR * values)
            if not (np.all(np.abs(analytic - numeric.value) <= near) and np.all(numeric.error <= limit)):
                raise self.report(order, position)

    def derivative(self) -> _Check:
        """Return the check of the gradient, as a function of the arguments and of the gradient by the result."""
        count = len(self.xs)
        check = _Check(
            lambda *xs: list(vjp(self.flat, *xs[:count])[1](list(xs[count:]))),
            [*self.xs, *self.weights],
            [*self.names, *["the upstream gradient"] * len(self.weights)],
            self.rng,
            self.tolerance,
        )
        for name, once, recorded in zip(self.names, self.pull(self.weights), check.ys, strict=True):
            apart = np.abs(once - recorded)
            if (apart > 1e-9 * (np.abs(once) + np.max(np.abs(once), initial=0.0))).any():
                at = tuple(int(i) for i in np.unravel_index(int(np.argmax(apart)), apart.shape))
                message = (
                    f"a rule gives other values on Tensors than on arrays: the gradient by {name} at {at} is "
                    f"{recorded[at]:.10g} on Tensors and {once[at]:.10g} on arrays"
                )
                raise GradientError(message, 2, name, at, (), float(recorded[at]), float(once[at]), False)
        return check

    def slope(self, function: Function, position: int, v: Any) -> Slope:
        """Return the numeric derivative of all results of `function` along `v` in one argument."""
        return slope(*[functools.partial(self.joined, function, position, v) for _ in range(2)])

    def joined(self, function: Function, position: int, v: Any, t: Any) -> Any:
        moved = list(self.xs)
        moved[position] = self.xs[position] + t * v
        with no_grad():
            return np.concatenate([np.ravel(strip(y)) for y in function(*moved)])

    @np.errstate(all="ignore")
    def report(self, order: int, position: int) -> GradientError:
        """Compare the elements of the Jacobian by one argument and describe the worst."""
        x, name = self.xs[position], self.names[position]
        function, outputs = self.flat, self.ys
        if sum(y.size for y in self.ys) * x.size > _LARGE:
            function, outputs = _weighted(self.flat, self.weights), [np.zeros(())]
        elements = range(x.size) if x.size <= _MANY else np.sort(self.rng.choice(x.size, _MANY, replace=False))
        slopes = [self.slope(function, position, _unit(x.shape, i)) for i in elements]
        blocks = jacobian(function, position)(*self.xs)
        numeric = np.stack([s.value for s in slopes], axis=1)
        analytic = np.concatenate([np.reshape(block, (-1, x.size))[:, list(elements)] for block in blocks])
        size = np.maximum(np.abs(numeric), np.abs(analytic))
        values = np.abs(self.joined(function, position, x, 0.0))[:, None]
        relative = np.abs(analytic - numeric) / (size + 1e-6 * np.max(size, initial=0.0) + _FLOOR * values + 1e-300)
        relative = np.where(np.isfinite(relative), relative, np.inf)
        row, column = (int(i) for i in np.unravel_index(int(np.argmax(relative)), relative.shape))
        index = tuple(int(i) for i in np.unravel_index(elements[column], x.shape))
        unit = _unit(x.shape, elements[column])
        settled = slopes[column].error[row] <= self.limit * (size[row, column] + _FLOOR * values[row, 0])
        kink = not settled or has_kink(lambda t: float(self.joined(function, position, unit, t)[row]))
        output, output_index = _locate(row, [y.shape for y in outputs])
        found = GradientError(
            "", order, name, index, output_index, float(analytic[row, column]), float(numeric[row, column]), kink
        )
        result = "its sum" if function is not self.flat else f"result {output}" if len(outputs) > 1 else "the result"
        found.args = (
            "\n  ".join(
                [
                    f"the {'gradient' if order == 1 else 'derivative of the gradient'} by {name} is wrong: "
                    f"{int((relative > self.limit).sum())} of {relative.size} elements differ",
                    f"worst element: {index} of {name}, of shape {x.shape}; {output_index} of {result}, of shape "
                    f"{outputs[output].shape}",
                    f"analytic {found.analytic:.10g}, numeric {found.numeric:.10g} ({slopes[column].method}), relative "
                    f"error {found.relative_error:.3g}",
                    *_verdict(kink, analytic[relative > self.limit], numeric[relative > self.limit]),
                ]
            ),
        )
        return found


def _verdict(kink: bool, analytic: Any, numeric: Any) -> list[str]:
    """Say what the elements that differ have in common, and where the fault lies."""
    if kink:
        return ["a kink or jump is near, where differences prove nothing: check at another point"]
    if not analytic.size:
        return ["no element alone differs: do the rules change what they are given, or remember something?"]
    ratio = analytic / numeric
    verdict = ["no kink is near: the derivative rule is at fault"]
    if len(ratio) > 1 and np.isfinite(ratio).all() and np.ptp(ratio) < 1e-6 * abs(ratio[0]):
        verdict.insert(0, f"each of them is {ratio[0]:.6g} times what it should be")
    return verdict


def _flatten(function: Function, args: Sequence[Any]) -> tuple[Function, list[Any], list[str]]:
    """Return `function` as one of a flat list of arrays, those arrays in float64, and their names."""
    tree = list(args)
    constants = [(f"argument {i}{path}", x) for i, arg in enumerate(args) for path, x in leaves(arg)]
    places = [place for place, (_, x) in enumerate(constants) if _is_real(x)]
    if not places:
        raise TypeError(
            "gradcheck needs an argument of floating-point numbers to differentiate by: 2.0 or x.astype(float)"
        )

    def flat(*xs: Any) -> list[Any]:
        filled = [x for _, x in constants]
        with enable_grad():
            for place, x in zip(places, xs, strict=True):
                # Complex arrays are no business of Tensors; all else the function sees as in a forward pass.
                filled[place] = x if np.iscomplexobj(x) or isinstance(x, Tensor) else through(enter(x, "x"))
            results = [y for _, y in leaves(function(*rebuild(tree, iter(filled)))) if _is_real(y, "fc")]
        for y in results:
            if np.result_type(strip(y)) not in (np.float64, np.complex128):
                raise TypeError(
                    f"with float64 arguments the function returned {np.result_type(strip(y))}, too coarse for "
                    "differences: let all that it uses be float64, or leave this result out"
                )
        return results

    return flat, [np.array(strip(constants[i][1]), dtype=np.float64) for i in places], [constants[i][0] for i in places]


def _weighted(function: Function, weights: list[Any]) -> Function:
    """Return the sum of all results of `function`, weighted."""

    def total(*xs: Any) -> list[Any]:
        return [functools.reduce(np.add, [np.sum(y * w) for y, w in zip(function(*xs), weights, strict=True)])]

    return total


def _random(shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    # No component is near zero, so that an error in any one element shows.
    return rng.uniform(0.5, 1.0, shape) * rng.choice([-1.0, 1.0], shape)


def _unit(shape: tuple[int, ...], position: int) -> Any:
    unit = np.zeros(shape)
    unit.flat[position] = 1
    return unit


def _locate(row: int, shapes: list[tuple[int, ...]]) -> tuple[int, tuple[int, ...]]:
    """Return which output an element of all outputs in a row belongs to, and its index there."""
    for output, shape in enumerate(shapes):
        size = int(np.prod(shape, dtype=int))
        if row < size:
            return output, tuple(int(i) for i in np.unravel_index(row, shape))
        row -= size
    raise IndexError(row)


def _is_real(x: Any, kinds: str = "f") -> bool:
    return isinstance(x, float) or (hasattr(x, "dtype") and x.dtype.kind in kinds)
