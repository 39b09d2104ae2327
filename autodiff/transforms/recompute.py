"""Trading time for memory: compute again in the backward pass what was not stored in the forward pass."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autodiff.changes import tick
from autodiff.op import Op, registry, strip
from autodiff.state import enable_grad, grad_mode, no_grad, scope_path
from autodiff.tensor import Tensor, as_tensor, brief
from autodiff.transforms.boundary import outside, through
from autodiff.transforms.run import name_of, pull_back, require_callable
from autodiff.transforms.tree import leaves, rebuild


def checkpoint(function: Callable[..., Any], rng: np.random.Generator | None = None) -> Callable[..., Any]:
    """Return `function` with its intermediate results forgotten: the backward pass computes them again.

    What stays in memory is its arguments and its result. Gradients reach its arguments, and everything else that it
    uses: the parameters of a model, variables around it.

    Parameters
    ----------
    function : callable
        Must compute the same when called again. Its arguments and its result may be nested in lists, tuples and dicts.
    rng : numpy.random.Generator, optional
        The generator that it draws from; it draws the same numbers again.

    Raises
    ------
    RuntimeError
        In the backward pass: the second computation gave another result.

    Examples
    --------
    >>> block = checkpoint(lambda x: np.sin(np.exp(x)).sum())
    >>> x = Tensor([0.0, 1.0], requires_grad=True)
    >>> block(x).backward()
    """
    require_callable(function, "checkpoint")

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        if not grad_mode.get():
            return function(*args, **kwargs)
        call = _Call(function, args, kwargs, rng)
        given = [x for _, x in leaves((args, kwargs)) if _is_tracked(x)]
        entries = [through(x) for x in given]
        result = call([through(x) for x in entries])
        outputs = [y for _, y in leaves(result) if _is_tracked(y)]
        if not outputs:
            return result
        call.captured = list(outside(outputs, call.number, stop=entries))
        packed = _leaf(_pack(outputs))
        packed.op = _Recompute(call)
        packed.inputs = (*given, *call.captured)
        packed.scope = scope_path.get()
        parts = iter(_unpack(packed, outputs))
        return rebuild(result, iter([next(parts) if _is_tracked(y) else y for _, y in leaves(result)]))

    return called


def stop_gradient(x: Any) -> Any:
    """Return `x` as a constant: no gradient flows through what is computed from the result.

    Parameters
    ----------
    x : Tensor, array or number, or lists, tuples and dicts of them
        Tensors inside become Tensors without history that share their memory; all else stays as it is.
    """
    return rebuild(x, iter([leaf.detach() if isinstance(leaf, Tensor) else leaf for _, leaf in leaves(x)]))


#: Stands in a call's arguments for a tensor that is handed in anew each time.
_GIVEN = object()


class _Recompute(Op):
    """The operation whose rule makes a call again. Its operands are what the call was given, and what it captured."""

    def __init__(self, call: _Call) -> None:
        super().__init__(
            call.forward, (call.gradients,), f"checkpoint({name_of(call.function)})", "↻", ("computed again",), (), True
        )

    def rules_of(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return one rule per operand; the first that is asked computes the gradients by all."""
        found: list[Any] = []
        (again,) = self.rules

        def rule(position: int, *args: Any) -> Any:
            if not found:
                found.extend(again(*args))  # type: ignore[misc]
            return found[position]

        return tuple(functools.partial(rule, i) for i in range(len(inputs)))


class _Call:
    """A call of a function that can be made again, with other tensors in place of those it was given.

    It knows nothing of the operation that holds it: that would be a cycle, and keep memory that is to be freed.
    """

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any, rng: np.random.Generator | None) -> None:
        found = [x for _, x in leaves((args, kwargs))]
        self.function = function
        self.arguments = rebuild((args, kwargs), iter([_GIVEN if _is_tracked(x) else x for x in found]))
        self.captured: list[Tensor] = []
        self.number = tick()
        self.scope = scope_path.get()
        self.rng = rng
        self.before: Any = None if rng is None else copy.deepcopy(rng.bit_generator.state)

    def __call__(self, entries: Sequence[Any]) -> Any:
        new = iter(entries)
        filled = [next(new) if x is _GIVEN else x for _, x in leaves(self.arguments)]
        args, kwargs = rebuild(self.arguments, iter(filled))
        return self.function(*args, **kwargs)

    def again(self, entries: Sequence[Any]) -> list[Tensor]:
        """Call once more, under the same layers and with the same random numbers, and return the tracked results."""
        now: Any = None if self.rng is None else self.rng.bit_generator.state
        token = scope_path.set(self.scope)
        try:
            if self.rng is not None:
                self.rng.bit_generator.state = self.before
            return [y for _, y in leaves(self(entries)) if isinstance(y, Tensor)]
        finally:
            scope_path.reset(token)
            if self.rng is not None:
                self.rng.bit_generator.state = now

    def forward(self, *operands: Any) -> Any:
        """Compute the result from arrays in place of the tensors that were given."""
        with no_grad():
            return _pack(self.again([as_tensor(x) for x in operands[: len(operands) - len(self.captured)]]))

    def gradients(self, g: Any, y: Any, *operands: Any) -> list[Any]:
        """Return the gradients by all operands."""
        with enable_grad():
            for x in self.captured:
                if x._past and x._past.states and x.changed > self.number:
                    raise RuntimeError(
                        f"{brief(x)} was assigned to (`x[i] = v`) after a checkpointed function used it, which would "
                        "use the new one now: pass it to the function as an argument"
                    )
            entries = [_entry(x) for x in operands]
            count = len(entries) - len(self.captured)
            born = tick()
            outputs = [x for x in self.again([through(x) for x in entries[:count]]) if x.requires_grad]
            outputs = _redirect(outputs, dict(zip(self.captured, entries[count:], strict=True)), entries, born)
            _compare(_pack(outputs) if outputs else None, strip(y))
            return pull_back(outputs, _unpack(g, outputs), entries, isinstance(g, Tensor))


def _is_tracked(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _entry(x: Any) -> Tensor:
    """Return a new tensor to differentiate by: connected to `x` if that is a Tensor, which asks for a record."""
    if _is_tracked(x):
        return through(x)
    return _leaf(strip(x))


def _leaf(array: Any) -> Tensor:
    """Return a leaf that requires a gradient, for an array that nobody else holds or whose owner is watched."""
    leaf = as_tensor(array)
    leaf.requires_grad = True
    leaf._print = None
    return leaf


def _redirect(outputs: list[Tensor], twins: dict[Tensor, Tensor], entries: list[Tensor], born: int) -> list[Tensor]:
    """Let the graph of `outputs`, nobody else's, refer to the twins of captured tensors: gradients stop there."""
    outputs = [twins.get(x, x) for x in outputs]
    seen = set(entries)
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node in seen or not node.requires_grad:
            continue
        if node.number < born:
            raise RuntimeError(
                f"a checkpointed function used {node!r} the second time and not the first: it must compute the same "
                "from the same; what changes between its calls is passed to it as an argument"
            )
        seen.add(node)
        node.inputs = tuple([twins.get(x, x) if isinstance(x, Tensor) else x for x in node.inputs or ()])
        stack.extend(x for x in node.inputs if isinstance(x, Tensor))
    return outputs


def _compare(again: Any, before: Any) -> None:
    """Raise unless the second result is the first, but for the rounding that another memory layout may bring."""
    if again is not None and again.shape == before.shape:
        if np.array_equal(again, before, equal_nan=True):
            return
        tolerance = float(np.finfo(before.dtype).eps) ** 0.5
        if np.allclose(again, before, rtol=tolerance, atol=tolerance * float(np.max(np.abs(before)))):
            return
    raise RuntimeError(
        "a checkpointed function gave another result when it was computed again, so its gradient would be wrong: if it "
        "draws random numbers, as Dropout does, pass their generator, checkpoint(f, rng=generator); what else changes "
        "between its calls is passed to it as an argument"
    )


def _pack(outputs: list[Tensor]) -> Any:
    """Make one array of several."""
    return strip(outputs[0]) if len(outputs) == 1 else np.concatenate([np.ravel(strip(y)) for y in outputs])


def _unpack(packed: Any, outputs: list[Tensor]) -> list[Any]:
    """Return the parts of `packed`, an array or a Tensor, that stand for each of `outputs`."""
    if len(outputs) == 1:
        return [packed]
    ends = np.cumsum([y.size for y in outputs])
    flat = [packed[end - y.size : end] for y, end in zip(outputs, ends, strict=True)]
    return [registry["astype"](np.reshape(x, y.shape), dtype=y.dtype) for x, y in zip(flat, outputs, strict=True)]
