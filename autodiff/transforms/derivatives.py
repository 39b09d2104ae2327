"""Transforms: functions that make derivatives of functions. Plain arrays in, plain arrays out; they nest."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from autodiff.op import registry, strip
from autodiff.state import grad_mode
from autodiff.tensor import Tensor
from autodiff.transforms.boundary import escapes
from autodiff.transforms.run import Function, Run, as_float, name_of, pull_back, require_callable
from autodiff.transforms.tree import fit, leaves, rebuild


def grad(function: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """Return the function that computes the gradient of a scalar `function`.

    Parameters
    ----------
    function : callable
        Returns a scalar, or with `has_aux` a pair of a scalar and anything else.
    argnums : int or sequence of int
        The positions of the arguments to differentiate by. Each is an array, a number, or lists, tuples and dicts of
        them.
    has_aux : bool
        Return a pair of the gradient and what else `function` returned.

    Returns
    -------
    callable
        Takes the arguments of `function`. Its result is nested as the argument is; a tuple for several `argnums`. An
        argument on which the result does not depend has gradient zero. The result holds arrays, or Tensors where an
        outer transform, or a tensor that requires a gradient, takes part (outside `no_grad`).

    Raises
    ------
    TypeError
        `function` is not one; an argument holds integers; the result is not a scalar number.
    ValueError
        There is no argument at `argnums`; the result has several elements.

    Examples
    --------
    >>> float(grad(lambda x: x**3)(2.0))
    12.0
    >>> float(grad(grad(lambda x: x**3))(2.0))
    12.0
    """
    evaluate = value_and_grad(function, argnums, has_aux)

    @functools.wraps(function)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, g = evaluate(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return gradient


def value_and_grad(function: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """Return the function that computes the value of a scalar `function` and its gradient, as a pair.

    With `has_aux` the result is ``((value, aux), gradient)``. For all else see `grad`.
    """
    require_callable(function, "value_and_grad")
    wanted = _positions(argnums)

    @functools.wraps(function)
    def evaluate(*args: Any, **kwargs: Any) -> Any:
        run = Run(function, args, kwargs, wanted, has_aux)
        y = _scalar(run.value, function)
        g = run.gradients([np.ones_like(strip(y))], run.escapes)
        value = run.leave(run.value)
        return (value, run.leave(run.aux)) if has_aux else value, run.as_arguments(g, argnums)

    return evaluate


def vjp(function: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Run `function` and return its value, and the function from its result's gradient to its arguments' gradients.

    Parameters
    ----------
    function : callable
        Returns an array, or arrays in lists, tuples and dicts; with `has_aux` a pair of that and anything else.
    *primals
        All its arguments.

    Returns
    -------
    value
        What it returned.
    vjp_fn : callable
        Takes the gradient by the result, nested and shaped as that, and returns a tuple with one gradient for each of
        `primals`. It may be called again.
    aux
        With `has_aux`, what else `function` returned.

    Raises
    ------
    TypeError, ValueError
        `vjp_fn` was given something of another structure or shape; see `grad` for the rest.
    """
    require_callable(function, "vjp")
    run = Run(function, primals, {}, tuple(range(len(primals))), has_aux)

    def vjp_fn(cotangent: Any) -> tuple[Any, ...]:
        given = _match(cotangent, run.value, "the gradient", "the result")
        recorded = any(isinstance(u, Tensor) and u.requires_grad for u in given)
        return run.as_arguments(run.gradients(given, grad_mode.get() and (run.escapes or recorded)), run.argnums)  # type: ignore[no-any-return]

    value = run.leave(run.value)
    return (value, vjp_fn, run.leave(run.aux)) if has_aux else (value, vjp_fn)


def jvp(function: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> tuple[Any, ...]:
    """Return the value of `function` at `primals` and its derivative along `tangents`.

    The derivative comes from two backward passes: the first is linear in the gradient that it starts from, and the
    second differentiates it by that.

    Parameters
    ----------
    function : callable
        As for `vjp`.
    primals, tangents : tuple or list
        All arguments of `function`, and the direction, of the same structure and shapes.

    Returns
    -------
    value, tangent
        What `function` returned, and the derivative, nested and shaped as that; with `has_aux` also `aux`.

    Raises
    ------
    TypeError, ValueError
        `tangents` differ from `primals` in structure or shape; see `grad` for the rest.
    """
    run, directions = _along(function, primals, tangents, has_aux, "jvp")
    starts, transposed = run.transposed()
    keep = grad_mode.get() and (run.escapes or escapes(directions, run.born))
    rates = iter(pull_back(transposed, directions, starts, keep))
    value, tangent = run.leave(run.value), rebuild(run.value, rates)
    return (value, tangent, run.leave(run.aux)) if has_aux else (value, tangent)


def hvp(function: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """Return the Hessian of a scalar `function` at `primals`, times `tangents`, without forming it.

    Parameters
    ----------
    function : callable
        As for `grad`.
    primals, tangents : tuple or list
        All arguments of `function`, and the vector, of the same structure and shapes.

    Returns
    -------
    product
        Nested as the argument where there is one, a tuple where there are several; with `has_aux` a pair of it and
        `aux`.

    Raises
    ------
    TypeError, ValueError
        As `grad` and `jvp`.
    """
    run, directions = _along(function, primals, tangents, has_aux, "hvp")
    y = _scalar(run.value, function)
    slopes = run.gradients([np.ones_like(strip(y))], True)
    keep = grad_mode.get() and (run.escapes or escapes(directions, run.born))
    product = run.as_arguments(
        pull_back(slopes, directions, run.entries, keep), 0 if len(primals) == 1 else run.argnums
    )
    return (product, run.leave(run.aux)) if has_aux else product


def jacobian(function: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """Return the function that computes the derivative of every element of the result by every element of an argument.

    It makes one backward pass for each element of the result, or of the arguments where these are fewer.

    Parameters
    ----------
    function : callable
        As for `vjp`.
    argnums, has_aux
        As for `grad`.

    Returns
    -------
    callable
        Takes the arguments of `function`. Its result has shape ``result.shape + argument.shape``. Where the result or
        the argument is nested, so is the Jacobian: as the result, and inside that as the argument.
    """
    require_callable(function, "jacobian")
    wanted = _positions(argnums)

    @functools.wraps(function)
    def evaluate(*args: Any, **kwargs: Any) -> Any:
        run = Run(function, args, kwargs, wanted, has_aux)
        height = sum(np.size(strip(y)) for y in run.outputs)
        width = sum(x.size for x in run.entries)
        blocks = _by_rows(run) if height <= width else _by_columns(run)
        result = rebuild(run.value, iter([run.as_arguments(row, argnums) for row in blocks]))
        return (result, run.leave(run.aux)) if has_aux else result

    return evaluate


def hessian(function: Function, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Function:
    """Return the function that computes the second derivatives of a scalar `function`.

    For an argument of shape ``s`` the Hessian has shape ``s + s``; for several `argnums` it is a tuple of tuples. For
    all else see `grad` and `jacobian`.
    """
    return jacobian(grad(function, argnums, has_aux), argnums, has_aux)


def _by_rows(run: Run) -> list[list[Any]]:
    """The blocks of the Jacobian by output and argument, one backward pass for each element of the outputs."""
    blocks = []
    for y in run.outputs:
        rows = [pull_back([y], [unit], run.entries, run.escapes) for unit in _units(y)]
        blocks.append([_block([row[i] for row in rows], 0, y, x) for i, x in enumerate(run.entries)])
    return blocks


def _by_columns(run: Run) -> list[list[Any]]:
    """The same, one backward pass for each element of the arguments."""
    starts, transposed = run.transposed()
    columns: list[list[list[Any]]] = [[[] for _ in run.entries] for _ in starts]
    for i, (x, g) in enumerate(zip(run.entries, transposed, strict=True)):
        for unit in _units(x):
            for j, column in enumerate(pull_back([g], [unit], starts, run.escapes)):
                columns[j][i].append(column)
    return [[_block(columns[j][i], -1, y, x) for i, x in enumerate(run.entries)] for j, y in enumerate(run.outputs)]


def _block(parts: list[Any], axis: int, y: Any, x: Tensor) -> Any:
    shape = (*np.shape(strip(y)), *x.shape)
    if not parts:
        return np.zeros(shape, dtype=x.dtype)
    return np.reshape(np.stack(parts, axis=axis), shape)


def _units(y: Any) -> Iterable[Any]:
    """Yield the arrays of `y`'s shape that are 1 at one element and 0 elsewhere."""
    array = as_float(y)
    for index in np.ndindex(*array.shape):
        unit = np.zeros_like(array)
        unit[index] = 1
        yield unit


def _along(
    function: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool, what: str
) -> tuple[Run, list[Any]]:
    """Run `function` at `primals`, and return `tangents` made to fit its arguments."""
    require_callable(function, what)
    for argument, name in ((primals, "primals"), (tangents, "tangents")):
        if not isinstance(argument, (tuple, list)):
            raise TypeError(
                f"{what}(f, primals, tangents) takes tuples, one entry per argument of f; {name} is a "
                f"{type(argument).__name__}: for a single argument write {what}(f, (x,), (v,))"
            )
    if len(primals) != len(tangents):
        raise TypeError(f"{what} got {len(primals)} primals and {len(tangents)} tangents; there is one for each")
    directions = _match(list(tangents), list(primals), "tangents", "primals")
    return Run(function, primals, {}, tuple(range(len(primals))), has_aux), directions


def _match(tree: Any, pattern: Any, what: str, whose: str) -> list[Any]:
    """Return the leaves of `tree`, checked against those of `pattern` and converted to their dtypes."""
    matched = []
    for value, (where, like) in zip(fit(tree, pattern, what, whose), leaves(pattern), strict=True):
        like = as_float(like)
        if not hasattr(value, "dtype"):
            value = np.asarray(value)
        if value.dtype.kind not in "biuf":
            raise TypeError(f"{what}{where} holds {value.dtype}; real numbers are expected")
        if value.shape != like.shape:
            raise ValueError(f"{what}{where} has shape {value.shape}, but {whose}{where} has shape {like.shape}")
        if value.dtype != like.dtype:
            value = registry["astype"](value, dtype=like.dtype)
        matched.append(value)
    return matched


def _scalar(value: Any, function: Function) -> Any:
    """Return the result of a function whose gradient is asked for, which is one number."""
    if value is None or isinstance(value, (tuple, list, dict)):
        hint = "; with has_aux=True a pair (value, anything)" if isinstance(value, tuple) else ""
        raise TypeError(
            f"{name_of(function)} returned {'None' if value is None else f'a {type(value).__name__}'}; a gradient "
            f"is taken of one number: return the loss{hint}"
        )
    shape = np.shape(strip(value))
    if np.size(strip(value)) != 1:
        raise ValueError(
            f"{name_of(function)} returned an array of shape {shape}; a gradient is taken of one number: reduce it "
            "with .sum() or .mean(), or use jacobian"
        )
    return value


def _positions(argnums: int | Sequence[int]) -> tuple[int, ...]:
    several = argnums if isinstance(argnums, (tuple, list)) else (argnums,)
    if not several or not all(isinstance(i, (int, np.integer)) and not isinstance(i, bool) for i in several):
        raise TypeError(f"argnums is the position of an argument or a tuple of positions; got {argnums!r}")
    return tuple(int(i) for i in several)
