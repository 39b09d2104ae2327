"""The first operation that makes NaN or infinity out of finite numbers, caught where it happens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from autodiff.engine import _pull
from autodiff.op import Op, strip
from autodiff.sources import Source, record_sources
from autodiff.state import current_scope, watch
from autodiff.tensor import Tensor


class AnomalyError(FloatingPointError):
    """An operation made NaN or infinity out of finite numbers.

    Attributes
    ----------
    op : Op
        The operation.
    tensor : Tensor
        Its result.
    backward : bool
        Whether its derivative rule made them, rather than its forward computation.
    source : Source or None
        The line of code that called it.
    """

    def __init__(self, message: str, op: Op, tensor: Tensor, backward: bool) -> None:
        super().__init__(message)
        self.op = op
        self.tensor = tensor
        self.backward = backward

    @property
    def source(self) -> Source | None:
        """The line of code that called the operation; `None` where it was called before `detect_anomaly`."""
        return self.tensor.source


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Raise in the first operation inside that makes NaN or infinity out of finite numbers.

    Forward computations and derivative rules are watched; put both inside, so that an error in the backward pass can
    say which line computed what it differentiates. Numpy's own warnings about floating-point errors are off inside.
    Every result is looked at, which takes a multiple of the time. Like the grad mode it belongs to the thread or
    asyncio task. It is also a decorator.

    Raises
    ------
    AnomalyError
        It names the operation, its layer, the line that called it, and the shapes and ranges of its operands. It is a
        `FloatingPointError`.

    Examples
    --------
    >>> with detect_anomaly():
    ...     loss = np.sqrt(Tensor([0.0, 1.0], requires_grad=True)).sum()
    ...     loss.backward()
    Traceback (most recent call last):
    autodiff.anomaly.AnomalyError: the derivative of sqrt by operand 0 is infinite in 1 of 2 elements, ...
    """
    with record_sources(), watch(_Detector()), np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        yield


class _Detector:
    """Looks at every result and every gradient."""

    def made(self, result: Tensor, op: Op, inputs: tuple[Any, ...]) -> None:
        if _is_finite(result) or not all(_is_finite(x) for x in inputs):
            return
        lines = [f"{op.name} made {_describe(result)}, from finite numbers", *_operands(inputs)]
        node = _differentiated()
        if node is not None and node.op is not None:
            lines.append(f"while the derivative of {node.op.name} was computed, {_where(node)}")
        raise AnomalyError("\n  ".join([*lines, _where(result, current_scope())]), op, result, node is not None)

    def pulled(self, node: Tensor, x: Tensor, g: Any, gx: Any) -> None:
        op, inputs = node.op, node.inputs or ()
        assert op is not None
        if _is_finite(gx) or not all(_is_finite(value) for value in (g, *inputs)):
            return
        position = next((i for i, operand in enumerate(inputs) if operand is x), 0)
        lines = [
            f"the derivative of {op.name} by operand {position} is {_describe(gx)}, from finite numbers",
            f"upstream gradient of shape {np.shape(strip(g))}, {_range(g)}",
            *_operands(inputs),
            _where(node),
        ]
        raise AnomalyError("\n  ".join(lines), op, node, True)


def _is_finite(x: Any) -> bool:
    x = strip(x)
    kind = x.dtype.kind if hasattr(x, "dtype") else "f" if isinstance(x, (float, complex)) else ""
    return kind not in ("f", "c") or bool(np.isfinite(x).all())


def _describe(x: Any) -> str:
    array = np.asarray(strip(x))
    count = f" in {np.count_nonzero(~np.isfinite(array))} of {array.size} elements" if array.size > 1 else ""
    return ("NaN" if np.isnan(array).any() else "infinite") + count


def _operands(inputs: tuple[Any, ...]) -> list[str]:
    return [f"operand {i} of shape {np.shape(strip(x))}, {_range(x)}" for i, x in enumerate(inputs) if x is not None]


def _range(x: Any) -> str:
    array = np.asarray(strip(x))
    if not array.size or array.dtype.kind not in "biuf":
        return f"{array.dtype}"
    if array.size == 1:
        return f"value {array.item():.6g}"
    return f"values from {array.min():.6g} to {array.max():.6g}"


def _where(tensor: Tensor, scope: tuple[str, ...] | None = None) -> str:
    scope = tensor.scope if scope is None else scope
    layer = f"in layer {scope[-1]}, " if scope else ""
    return layer + (
        f"called at {tensor.source}"
        if tensor.source
        else "called before detect_anomaly(): put the forward computation inside"
    )


def _differentiated() -> Tensor | None:
    """Return the tensor whose derivative rule is running: with ``create_graph`` a rule's own operations are watched."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code is not _pull.__code__:
        frame = frame.f_back  # type: ignore[assignment]
    return None if frame is None else frame.f_locals["node"]  # type: ignore[no-any-return]
