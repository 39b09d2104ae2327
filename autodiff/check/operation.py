"""What every op promises, and the checks of it. They need nothing but the op's own declaration."""

from __future__ import annotations

import functools
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.check.gradient import GradientError, gradcheck
from autodiff.op import Op, registry, strip
from autodiff.sample import Sample
from autodiff.tensor import Tensor, as_tensor

#: A check of an op on one of its samples; it raises AssertionError.
Check = Callable[[Op, Sample], None]


class OpError(AssertionError):
    """An op breaks a promise. The message has a line for each."""


def check_op(op: Op) -> bool:
    """Check all that an op promises, on every sample that it declares.

    The declaration is complete; forward gives the same on arrays and on Tensors; the gradient is right to second order,
    also where operands are broadcast; float32 and float16 are kept; memory layout makes no difference; empty and 0-d
    operands work where forward takes them; nothing is changed or shared.

    Parameters
    ----------
    op : Op
        As `autodiff.op` returns it.

    Returns
    -------
    bool
        True.

    Raises
    ------
    OpError
        A promise is broken. It is an `AssertionError` whose message names every check that failed, with the sample.
    """
    if not isinstance(op, Op):
        raise TypeError(f"check_op takes an op, as autodiff.op(...) returns it; got {op!r}")
    failures = []
    runs: list[tuple[str, Callable[[], None]]] = [("declaration", functools.partial(check_declaration, op))]
    for number, sample in enumerate(op.samples):
        runs += [
            (f"{name}, sample {number} {_describe(op, sample)}", functools.partial(check, op, sample))
            for name, check in CHECKS.items()
        ]
    for what, run in runs:
        try:
            run()
        except Exception as error:  # whatever a person's rules raise
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            failures.append(f"{what}: {kind}{error}")
    if failures:
        raise OpError(
            f"the op {op.name} fails {len(failures)} check{'s' * (len(failures) > 1)}:\n" + "\n".join(failures)
        )
    return True


def check_declaration(op: Op) -> None:
    """Samples, a symbol, a formula for each operand that has a derivative or one for all; every rule is reached."""
    if registry.get(op.name) is not op:
        raise AssertionError(f"another op is registered as {op.name!r}: give this one a name of its own")
    if not op.symbol.strip():
        raise AssertionError("the symbol is empty")
    if not op.samples:
        raise AssertionError("it has no samples, so nothing about it can be checked: samples=[real(2, 3)]")
    count = sum(rule is not None for rule in op.rules)
    if not (len(op.formula) in {1, count} and all(line.strip() for line in op.formula)):
        raise AssertionError(
            f"it has {len(op.formula)} formulas for {count} operands with a derivative: write one for each"
        )
    moved: set[int] = set()
    for sample in op.samples:
        operands = draw(op, sample)
        _, gradients = pull(op, operands, sample.params)
        where = differentiable(op, operands)
        moved |= {0 if op.variadic else i for i, g in zip(where, gradients, strict=True) if np.any(g)}
    missing = sorted({i for i, rule in enumerate(op.rules) if rule is not None} - moved)
    if missing:
        raise AssertionError(f"in no sample has operand {missing} a gradient that is not zero")


def check_forward(op: Op, sample: Sample) -> None:
    """On arrays it gives an array, twice the same, and on Tensors what it gives on arrays."""
    operands = draw(op, sample)
    expected = call(op, operands, sample.params)
    if isinstance(expected, Tensor):
        raise AssertionError("forward made a Tensor of arrays: use numpy functions in it")
    tracked = call(op, track(op, operands), sample.params)
    if tracked.op is not op:
        raise AssertionError(f"on Tensors another op was recorded, {tracked.op}")
    for got in (call(op, operands, sample.params), tracked.data):
        _same(got, expected, "the same call gives another value")


def check_gradient(op: Op, sample: Sample) -> None:
    """The rules agree with differences, to second order."""
    _judge(op, sample, list, order=2)


def check_broadcasting(op: Op, sample: Sample) -> None:
    """Where forward works element by element and broadcasts an operand of length 1, the gradient is right for it."""
    operands = draw(op, sample)
    where = differentiable(op, operands)
    shape = np.shape(op.forward(*operands, **sample.params))
    if op.variadic or len(where) < 2 or not _is_elementwise(operands, shape):
        return
    for i in where:
        for axis in range(operands[i].ndim):

            def narrow(xs: list[Any], i: int = i, axis: int = axis) -> list[Any]:
                return [np.take(x, [0], axis=axis) if position == i else x for position, x in enumerate(xs)]

            if _forward(op, narrow(operands), sample.params, shape):
                _judge(op, sample, narrow, order=1)


def check_dtypes(op: Op, sample: Sample) -> None:
    """Narrow floats are kept, in the value as forward has it and in the gradients always, and are right."""
    wide = draw(op, sample)
    where = differentiable(op, wide)
    for dtype in (np.float32, np.float16):
        narrow = [x.astype(dtype) if i in where else x for i, x in enumerate(wide)]
        if not _forward(op, narrow, sample.params):
            continue
        value, gradients = pull(op, narrow, sample.params)
        exact = pull(op, [x.astype(float) if i in where else x for i, x in enumerate(narrow)], sample.params)
        plain = np.asarray(op.forward(*narrow, **sample.params)).dtype
        if value.dtype != plain:
            raise AssertionError(f"of {np.dtype(dtype)} the value is {value.dtype}, forward alone gives {plain}")
        limit = 30 * float(np.finfo(dtype).eps)
        for got, right in [(value, exact[0]), *zip(gradients, exact[1], strict=True)]:
            _close(got, right, limit, f"in {np.dtype(dtype)} the result is off")
        if {g.dtype for g in gradients} != {np.dtype(dtype)}:
            raise AssertionError(f"a gradient by {np.dtype(dtype)} is not kept so")


def check_layout(op: Op, sample: Sample) -> None:
    """Fortran order, gaps, negative and zero strides and read-only memory make no difference."""
    operands = draw(op, sample)
    for layout, arrange in LAYOUTS.items():
        arranged = [arrange(x) if isinstance(x, np.ndarray) and x.ndim else x for x in operands]
        packed = [np.array(x, order="C") if isinstance(x, np.ndarray) else x for x in arranged]
        try:
            plain = pull(op, packed, sample.params)
        except np.linalg.LinAlgError:
            continue  # the same row repeated makes a matrix singular
        value, gradients = pull(op, arranged, sample.params)
        for got, expected in [(value, plain[0]), *zip(gradients, plain[1], strict=True)]:
            _close(got, expected, 1e-13, f"with {layout} operands the result is another")


def check_sharing(op: Op, sample: Sample) -> None:
    """Operands and upstream gradient stay as they were; every gradient is its tensor's alone, and writable."""
    _rules_change_nothing(op, sample)
    tracked = track(op, draw(op, sample))
    y = call(op, tracked, sample.params)
    z = y * 1.0
    seed = np.full(z.shape, 2.0, dtype=z.dtype)
    held = [strip(x) for x in tracked if isinstance(strip(x), np.ndarray)] + [y.data, z.data, seed]
    z.backward(seed, retain_grads=True)
    gradients = [x.grad for x in [*tracked, y, z] if isinstance(x, Tensor) and x.requires_grad]
    for position, g in enumerate(gradients):
        if not (isinstance(g, np.ndarray) and g.flags.writeable):
            raise AssertionError("a gradient cannot be written to")
        for other in [*held, *gradients[:position]]:
            if np.shares_memory(g, other):
                raise AssertionError("a gradient shares memory with another array")


def _rules_change_nothing(op: Op, sample: Sample) -> None:
    operands = draw(op, sample)
    y = np.asarray(call(op, operands, sample.params))
    given = [np.ones_like(y), y, *operands]
    before = [np.copy(x) for x in given]
    for i in differentiable(op, operands):
        op.rules_of(tuple(operands))[i](*given, **sample.params)  # type: ignore[misc]
        for x, old in zip(given, before, strict=True):
            if isinstance(x, np.ndarray) and x.tobytes() != old.tobytes():
                raise AssertionError(f"rule {i} changed an operand or the gradient that it was given")


def check_empty(op: Op, sample: Sample) -> None:
    """With an axis of length 0, where forward takes that, the gradient has its operand's shape."""
    operands = draw(op, sample)
    for length in sorted({n for x in operands if isinstance(x, np.ndarray) for n in x.shape}):
        empty = [
            np.zeros([0 if n == length else n for n in x.shape], x.dtype) if isinstance(x, np.ndarray) else x
            for x in operands
        ]
        _pulls(op, empty, sample.params)


def check_scalars(op: Op, sample: Sample) -> None:
    """With 0-d operands, where forward takes them, the gradients are right, and 0-d arrays."""
    if _pulls(op, _scalars(draw(op, sample)), sample.params):
        _judge(op, sample, _scalars, order=2)


CHECKS: dict[str, Check] = {
    "forward": check_forward,
    "gradient": check_gradient,
    "broadcasting": check_broadcasting,
    "dtypes": check_dtypes,
    "layout": check_layout,
    "sharing": check_sharing,
    "empty": check_empty,
    "scalars": check_scalars,
}


def _read_only(x: Any) -> Any:
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "Fortran-ordered": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: np.flip(np.flip(x).copy()),
    "read-only": _read_only,
    "zero-stride": lambda x: np.broadcast_to(x[:1], x.shape),
}


def draw(op: Op, sample: Sample, attempt: int = 0) -> list[Any]:
    """Return the sample's operands, the same each time for the same op and attempt."""
    return list(sample.draw(np.random.default_rng([zlib.crc32(op.name.encode()), attempt])))


def call(op: Op, operands: Any, params: dict[str, Any]) -> Any:
    """Call an op on its operands; a variadic one takes them as one sequence."""
    return op(list(operands), **params) if op.variadic else op(*operands, **params)


def differentiable(op: Op, operands: list[Any]) -> list[int]:
    """Return the positions of the operands by which this call has a derivative."""
    rules = op.rules * len(operands) if op.variadic else op.rules
    return [i for i, x in enumerate(operands) if rules[i] and isinstance(x, np.ndarray) and x.dtype.kind == "f"]


def track(op: Op, operands: list[Any]) -> list[Any]:
    """Return the operands with leaves in place of the differentiable ones, on the very memory that was given."""
    tracked = list(operands)
    for i in differentiable(op, operands):
        tracked[i] = as_tensor(operands[i])
        tracked[i].requires_grad = True
    return tracked


def pull(op: Op, operands: list[Any], params: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Run an op forward and back; return its value and the gradients of the differentiable operands."""
    tracked = track(op, operands)
    y = call(op, tracked, params)
    y.backward(np.linspace(1, 2, y.size).reshape(y.shape).astype(y.dtype))
    return y.data, [tracked[i].grad for i in differentiable(op, operands)]


def _judge(op: Op, sample: Sample, change: Callable[[list[Any]], list[Any]], order: int) -> None:
    """Check the gradients on the sample's operands, changed; beside a kink, on others."""
    for attempt in range(4):
        operands = change(draw(op, sample, attempt))
        where = differentiable(op, operands)

        def function(*xs: Any, operands: list[Any] = operands, where: list[int] = where) -> Any:
            together = list(operands)
            for i, x in zip(where, xs, strict=True):
                together[i] = x
            return call(op, together, sample.params)

        try:
            gradcheck(function, *(operands[i] for i in where), order=order)
            return
        except GradientError as error:
            if not error.kink:
                raise
    raise AssertionError("four draws of its operands all fell beside a kink: choose the sample otherwise")


def _forward(op: Op, operands: list[Any], params: dict[str, Any], shape: tuple[int, ...] | None = None) -> bool:
    """Say whether forward takes these operands, and gives a result of that shape."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            result = op.forward(*operands, **params)
        except (ValueError, IndexError, TypeError, np.linalg.LinAlgError):
            return False
    return shape is None or np.shape(result) == shape


def _is_elementwise(operands: list[Any], shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(*(np.shape(x) for x in operands)) == shape
    except ValueError:
        return False


def _pulls(op: Op, operands: list[Any], params: dict[str, Any]) -> bool:
    """Check dtype and shape of the gradients by unusual operands; say whether forward took them."""
    if not _forward(op, operands, params):
        return False
    shapes = [np.shape(x) for x in operands]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the mean of nothing warns, in numpy as here
        try:
            _, gradients = pull(op, operands, params)
        except Exception as error:
            raise AssertionError(f"forward takes shapes {shapes}, the rules do not: {error}") from error
    for i, g in zip(differentiable(op, operands), gradients, strict=True):
        if not (isinstance(g, np.ndarray) and (g.shape, g.dtype) == (operands[i].shape, operands[i].dtype)):
            raise AssertionError(f"with operands of shapes {shapes} the gradient by operand {i} is {g!r}")
    return True


def _scalars(operands: list[Any]) -> list[Any]:
    return [np.asarray(x.flat[0]) if isinstance(x, np.ndarray) else x for x in operands]


def _same(got: Any, expected: Any, problem: str) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    if not (got.dtype == expected.dtype and np.array_equal(got, expected, equal_nan=got.dtype.kind in "fc")):
        raise AssertionError(f"{problem}: {got!r} instead of {expected!r}")


def _close(got: Any, expected: Any, limit: float, problem: str) -> None:
    if not (got.shape == expected.shape and np.allclose(got, expected, rtol=limit, atol=limit, equal_nan=True)):
        raise AssertionError(f"{problem}: {got!r} instead of {expected!r}")


def _describe(op: Op, sample: Sample) -> str:
    shown = [f"of shape {np.shape(x)}" if isinstance(x, np.ndarray) else repr(x) for x in draw(op, sample)]
    shown += [f"{key}={value!r}" for key, value in sample.params.items()]
    return f"({', '.join(shown)})"
