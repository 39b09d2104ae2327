"""The backward pass: collect the graph, walk it by falling creation number, hand out gradients."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import numpy as np

from autodiff.changes import observe
from autodiff.op import Op, registry, strip, unbroadcast
from autodiff.state import watchers, watching
from autodiff.tensor import Tensor

_by_number = attrgetter("number")


def backward(root: Tensor, gradient: Any = None, *, retain_grads: bool = False, free_graph: bool = False) -> None:
    """Add the gradient of this tensor to the ``.grad`` of every leaf that it depends on.

    Parameters
    ----------
    gradient : array_like, optional
        The gradient to start from, of this tensor's shape. A tensor with one element needs none: it starts from 1.
    retain_grads : bool
        Set ``.grad`` on intermediate results too.
    free_graph : bool
        Let go of the graph while walking it, so that memory falls as the pass proceeds.

    Raises
    ------
    RuntimeError
        Nothing here requires a gradient; the graph was freed; data was changed in place since forward.
    ValueError
        This tensor has several elements and no `gradient` was given, or one of another shape.
    """
    retain: list[tuple[Tensor, Any]] | None = [] if retain_grads else None
    leaves = _pull(root, _seed(root, gradient), None, retain=retain, free_graph=free_graph)
    for tensor, g in [*leaves.items(), *(retain or ())]:
        tensor.grad = g if tensor.grad is None else _as_array(tensor.grad + g)


def gradient(root: Tensor, *inputs: Tensor, create_graph: bool = False) -> Any:
    """Return the gradient of this scalar tensor by each of `inputs`; nothing is written to ``.grad``.

    Parameters
    ----------
    *inputs : Tensor
        Leaves or intermediate results.
    create_graph : bool
        Return Tensors that can be differentiated again, instead of arrays.

    Returns
    -------
    array or Tensor, or a tuple of them
        One for one input, a tuple for several. Zeros for an input that only decides, as the condition of ``np.where``.

    Raises
    ------
    TypeError
        An input is not a Tensor.
    ValueError
        This tensor is not a scalar, or does not depend on one of the inputs.
    """
    for position, x in enumerate(inputs):
        if not isinstance(x, Tensor):
            raise TypeError(f"gradient() takes Tensors; argument {position} is a {type(x).__name__}")
    if not inputs:
        raise TypeError("gradient() needs the tensors to differentiate by: loss.gradient(w, b)")
    seed = _seed(root, None)
    if create_graph:
        seed = Tensor(seed)
    found = _pull(root, seed, set(inputs), create_graph=create_graph)
    missing = [(position, x) for position, x in enumerate(inputs) if x not in found]
    reached = _operands(root) if missing else set()
    for position, x in missing:
        if not x.requires_grad or x not in reached:
            raise ValueError(
                f"{_describe(root)} does not depend on argument {position}, {_describe(x)}: "
                "was it made after it, under no_grad, or detached?"
            )
        zeros = np.zeros_like(x._data)
        found[x] = Tensor(zeros) if create_graph else zeros
    gradients = tuple(found[x] for x in inputs)
    return gradients[0] if len(gradients) == 1 else gradients


def first_nonfinite(root: Tensor) -> Tensor | None:
    """Return the first tensor in `root`'s graph, by creation, that holds NaN or Inf; `None` when all are finite.

    It is a leaf that was given such a value, or the first op that made one out of finite operands.
    """
    graph: dict[Tensor, None] = {root: None}
    stack = [root]
    while stack:
        for x in stack.pop().inputs or ():
            if isinstance(x, Tensor) and x not in graph:
                graph[x] = None
                stack.append(x)
    for tensor in sorted(graph, key=_by_number):
        if tensor.dtype.kind in "fc" and not np.isfinite(tensor._data).all():
            return tensor
    return None


def _seed(root: Tensor, gradient: Any) -> Any:
    if not root.requires_grad:
        raise RuntimeError(
            f"{_describe(root)} does not require a gradient: no tensor with requires_grad=True leads to it, "
            "or it was computed under no_grad() or detached"
        )
    data = root._data
    if gradient is None:
        if data.size != 1:
            raise ValueError(
                f"backward from a tensor of shape {data.shape} needs a scalar: reduce it with .sum() or "
                f".mean(), or pass gradient= of that shape"
            )
        # For a plain 0-d array numpy's own scalar will do, and takes a tenth of the time to make.
        return data.dtype.type(1) if type(data) is np.ndarray and not data.ndim else np.ones_like(data)
    if isinstance(gradient, Tensor):
        gradient = gradient._data
    if isinstance(gradient, np.ndarray) or not hasattr(gradient, "__array_function__"):
        gradient = np.asarray(gradient, like=data)
    if gradient.dtype.kind not in "biuf":
        raise TypeError(f"gradient= holds {gradient.dtype}; a gradient of {_describe(root)} is real numbers")
    if gradient.shape != data.shape:
        raise ValueError(f"gradient= has shape {gradient.shape}, the tensor has shape {data.shape}")
    return gradient.astype(data.dtype)


def _collect(root: Tensor) -> tuple[list[Tensor], bool]:
    """Return the op results below `root` by rising creation number, and whether an operand has changed since."""
    if root._print is not None:
        observe(root)
    if root.changed > root.number and root.op is not None:
        root = root.as_of(root.number)
    seen = {root}
    order = [root]
    changed = False
    for node in order:  # grows while it is walked
        if node.inputs is None:
            raise RuntimeError(
                f"the graph of {_describe(node)} was freed by backward(free_graph=True): "
                "run the forward computation again, or leave free_graph out the first time"
            )
        for x in node.inputs:
            if isinstance(x, Tensor):
                if x._print is not None:
                    observe(x)
                if x.changed > node.number:
                    changed = True
                    x = x.as_of(node.number)
                if x.op is not None and x not in seen:
                    seen.add(x)
                    order.append(x)
    order.sort(key=_by_number)
    return order, changed


def _pull(
    root: Tensor,
    seed: Any,
    wanted: set[Tensor] | None,
    *,
    create_graph: bool = False,
    free_graph: bool = False,
    retain: list[tuple[Tensor, Any]] | None = None,
) -> dict[Tensor, Any]:
    """Walk the graph backwards and return the gradients of all leaves, or of the tensors `wanted`."""
    order, changed = _collect(root)
    path = None if wanted is None else _leading_to(wanted, order)
    grads: dict[Tensor, Any] = {root: seed}
    looking = watchers.get() if watching else ()
    kept: dict[Tensor, Any] = {}
    while order:
        node = order.pop()
        if node.op is None or node not in grads:
            continue
        g = grads.pop(node)
        if node._hooks:
            g = _run_hooks(node, g)
        if retain is not None:
            retain.append((node, _as_array(g.copy())))
        if wanted is not None and node in wanted:
            kept[node] = g if create_graph else _as_array(g.copy())
        op: Op = node.op
        inputs: Any = _inputs(node) if changed else node.inputs
        y: Any = node
        operands: Any = inputs
        if not create_graph:
            y = node._data
            operands = [x._data if isinstance(x, Tensor) else x for x in inputs]
        rules = op.rules_of(inputs) if op.variadic else op.rules
        for x, rule in zip(inputs, rules):  # noqa: B905 - there is a rule per operand, and this is the hot loop
            if not isinstance(x, Tensor) or not x.requires_grad or rule is None or not (path is None or x in path):
                continue
            gx = rule(g, y, *operands, **node.params)
            data = x._data
            if gx.shape != data.shape or gx.dtype != data.dtype:
                gx = _fit(gx, x, op)
            if looking:
                for watcher in looking:
                    watcher.pulled(node, x, g, gx)
            if x in grads:
                grads[x] = grads[x] + gx
            elif x.op is None and not create_graph:
                grads[x] = _own(gx, g, y, operands)
            else:
                grads[x] = gx
        if free_graph:
            node.inputs = None
    for leaf, g in grads.items():
        if leaf._hooks:
            g = _run_hooks(leaf, g)
        kept[leaf] = np.asarray(g) if isinstance(g, np.generic) else g
    return kept


def _operands(root: Tensor) -> set[Tensor]:
    """All tensors in the graph of `root` that went into an operation."""
    order, _ = _collect(root)
    return {x for node in order for x in _inputs(node) if isinstance(x, Tensor)}


def _inputs(node: Tensor) -> tuple[Any, ...]:
    """Return a node's operands as they were when it was computed."""
    return tuple([x.as_of(node.number) if isinstance(x, Tensor) else x for x in node.inputs or ()])


def _leading_to(wanted: set[Tensor], order: list[Tensor]) -> set[Tensor]:
    """The tensors in `order` through which a gradient reaches one of `wanted`, and `wanted` themselves."""
    path = set(wanted)
    for node in order:
        if any(isinstance(x, Tensor) and x in path for x in _inputs(node)):
            path.add(node)
    return path


def _fit(g: Any, x: Tensor, op: Op) -> Any:
    """Bring what a rule returned to the shape and dtype of the operand that it belongs to."""
    data = x._data
    if g.shape != data.shape:
        if g.ndim < data.ndim:
            raise _misshapen(g, x, op)
        g = unbroadcast(g, data.shape)
        if g.shape != data.shape:
            raise _misshapen(g, x, op)
    if g.dtype != data.dtype:
        if g.dtype.kind == "c":
            raise NotImplementedError(f"{op.name} gave a complex gradient for {_describe(x)}, which is real")
        g = registry["astype"](g, dtype=data.dtype)
    return g


def _misshapen(g: Any, x: Tensor, op: Op) -> ValueError:
    return ValueError(f"the rule of {op.name} returned a gradient of shape {g.shape} for an operand of shape {x.shape}")


def _own(g: Any, upstream: Any, y: Any, operands: list[Any]) -> Any:
    """Return `g`, or a copy of it where somebody else may hold the same memory: ``.grad`` is the leaf's alone."""
    if g is upstream or g is y or getattr(g, "base", None) is not None:
        return g.copy()
    for x in operands:
        if g is x:
            return g.copy()
    return g


def _run_hooks(tensor: Tensor, g: Any) -> Any:
    for hook in list(tensor._hooks.values()):  # type: ignore[union-attr]
        replaced = hook(g)
        if replaced is None:
            continue
        if np.shape(replaced) != g.shape:
            raise ValueError(
                f"a hook on {_describe(tensor)} returned shape {np.shape(replaced)} for a gradient of shape {g.shape}"
            )
        if not isinstance(g, Tensor):
            # A copy, for the hook may have returned an array that lives on elsewhere.
            replaced = np.array(strip(replaced), dtype=g.dtype, like=None if isinstance(g, np.generic) else g)
        g = replaced
    return g


def _as_array(g: Any) -> Any:
    """Return a gradient as an array: numpy makes scalars of 0-d results."""
    return np.asarray(g) if isinstance(g, np.generic) else g


def _describe(tensor: Tensor) -> str:
    what = f"tensor {tensor.name!r}" if tensor.name else "the tensor"
    return f"{what} of shape {tensor.shape}" + (f" made by {tensor.op.name}" if tensor.op else "")


# A Tensor's own methods that need the engine are given to it here, so that tensor.py imports nothing above it.
Tensor.backward = backward  # type: ignore[method-assign, assignment]
Tensor.gradient = gradient  # type: ignore[method-assign, assignment]
