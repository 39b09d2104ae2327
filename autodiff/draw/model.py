"""The graph behind a tensor as plain records: what a picture says, before any way of drawing it."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.draw.snapshot import Snapshot, take
from autodiff.op import Op
from autodiff.tensor import Tensor


@dataclass(slots=True)
class TensorNode:
    """A tensor or a constant.

    Attributes
    ----------
    id : str
        ``t0, t1, ...`` in order of creation; ``c0, c1, ...`` for arrays and scalars that are not tensors.
    kind : str
        "parameter" (a leaf that requires a gradient), "input" (a leaf that does not, or a plain array), "constant" (a
        plain number), "result" (of an op), "loss" (what the graph was built from, one number) or "output" (the same,
        more numbers).
    name : str or None
        As the person or the module gave it, unescaped.
    value, grad : Snapshot, Snapshot or None
    scope : tuple of str
        The layers it is drawn in, outermost first.
    made_by : str or None
        Name of the op that made it where that op itself is not in the model: left out, or freed.
    """

    id: str
    kind: str
    name: str | None
    value: Snapshot
    grad: Snapshot | None
    requires_grad: bool
    scope: tuple[str, ...] = ()
    made_by: str | None = None


@dataclass(slots=True)
class OpNode:
    """One application of an op.

    Attributes
    ----------
    id : str
        ``o7`` makes ``t7``.
    operands : tuple of str
        What the op's own rules call its operands, in order.
    formulas : tuple of (str or None)
        The derivative by each operand; None where there is none, "" where no formula was declared.
    params : dict of str to str
        The arguments that are no operands, as text.
    hidden : int
        How many operands were left out, after those in `operands`.
    """

    id: str
    name: str
    symbol: str
    operands: tuple[str, ...]
    formulas: tuple[str | None, ...]
    params: dict[str, str]
    scope: tuple[str, ...]
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class Edge:
    """From an operand to its op (`operand` is its position) or from an op to its result (`operand` is None)."""

    source: str
    target: str
    operand: int | None
    carries_gradient: bool


@dataclass(slots=True)
class Cluster:
    """The nodes of one layer, in order of creation, and the layers inside it."""

    path: tuple[str, ...]
    nodes: list[TensorNode | OpNode] = field(default_factory=list)
    children: dict[str, Cluster] = field(default_factory=dict)


@dataclass(slots=True)
class Model:
    """The graph behind one tensor.

    Attributes
    ----------
    nodes : dict of str to TensorNode or OpNode
        By id, in the order of the forward computation.
    edges : list of Edge
        An operand used twice has two.
    root : TensorNode
        The tensor that the graph was built from.
    tensor_count, op_count : int
        How many there are, drawn or not (constants count as tensors).
    """

    nodes: dict[str, TensorNode | OpNode]
    edges: list[Edge]
    root: TensorNode
    tensor_count: int
    op_count: int

    @property
    def omitted(self) -> int:
        """How many tensors and ops were left out because there were too many."""
        return self.tensor_count + self.op_count - len(self.nodes)

    @property
    def has_gradients(self) -> bool:
        """Say whether a backward pass has left a gradient anywhere."""
        return any(isinstance(node, TensorNode) and node.grad is not None for node in self.nodes.values())

    def clusters(self) -> Cluster:
        """Sort the nodes into their nested layers; the root cluster holds those outside all layers."""
        root = Cluster(())
        for node in self.nodes.values():
            cluster = root
            for depth, name in enumerate(node.scope, 1):
                cluster = cluster.children.setdefault(name, Cluster(node.scope[:depth]))
            cluster.nodes.append(node)
        return root


def build(root: Tensor, max_nodes: int) -> Model:
    """Read the graph behind `root` into a model of at most `max_nodes` nodes, those made last.

    Parameters
    ----------
    root : Tensor
        Usually the loss.
    max_nodes : int
        At least 3: an op, one operand and its result.

    Raises
    ------
    TypeError
        `root` is not a Tensor.
    ValueError
        Its graph was freed by ``backward(free_graph=True)``, or `max_nodes` is below 3.
    """
    if not isinstance(root, Tensor):
        raise TypeError(f"the graph starts from a Tensor, usually the loss; got {type(root).__name__}")
    if max_nodes < 3:
        raise ValueError(f"max_nodes must be at least 3 (an operand, an op and its result), got {max_nodes}")
    if root.op is not None and root.inputs is None:
        raise ValueError(
            "this graph was freed by backward(free_graph=True): draw it before that call, or leave free_graph out"
        )
    return _Builder(root, max_nodes).model()


class _Builder:
    """One reading of a graph. Nothing here recurses: graphs are deeper than Python's stack."""

    def __init__(self, root: Tensor, max_nodes: int) -> None:
        self.root = root
        self.room = max_nodes
        tensors = sorted(_reachable(root), key=lambda tensor: tensor.number)
        self.rank = {id(tensor): i for i, tensor in enumerate(tensors)}
        self.made = [tensor for tensor in tensors if tensor.op is not None and tensor.inputs is not None]
        self.constants: dict[Any, str] = {}
        self.tensor_count = len(tensors) + self._name_constants()
        self.kept: dict[str, Any] = {}
        self.shown: dict[str, int] = {}

    def model(self) -> Model:
        """Choose what to keep from the loss backwards, then write it down in forward order."""
        self._keep(self._id(self.root), self.root)
        for result in reversed(self.made):
            self._keep_op(result)
        nodes: dict[str, TensorNode | OpNode] = {}
        edges: list[Edge] = []
        scopes = self._leaf_scopes()
        for result in self.made:
            key = self._id(result)
            if key not in self.shown:
                continue
            op_node = _op_node(result, "o" + key[1:], self.shown[key])
            for position, (source, operand) in enumerate(self._operands(result)[: self.shown[key]]):
                if source not in nodes:
                    nodes[source] = self._tensor_node(source, operand, scopes)
                carries = getattr(operand, "requires_grad", False) and op_node.formulas[position] is not None
                edges.append(Edge(source, op_node.id, position, carries))
            nodes[op_node.id] = op_node
            nodes[key] = self._tensor_node(key, result, scopes)
            edges.append(Edge(op_node.id, key, None, True))
        root_key = self._id(self.root)
        if root_key not in nodes:
            nodes[root_key] = self._tensor_node(root_key, self.root, scopes)
        root_node = nodes[root_key]
        assert isinstance(root_node, TensorNode)
        return Model(nodes, edges, root_node, self.tensor_count, len(self.made))

    def _operands(self, result: Tensor) -> list[tuple[str, Any]]:
        """Return id and object of each operand, in order; an optional operand that was not given is no operand."""
        found = []
        for position, x in enumerate(result.inputs or ()):
            if x is not None:
                found.append((self._id(x) or self.constants[_slot(result, position, x)], x))
        return found

    def _id(self, x: Any) -> str:
        return f"t{self.rank[id(x)]}" if isinstance(x, Tensor) else ""

    def _name_constants(self) -> int:
        """Number the plain operands: an array once, however often it is used; a scalar once per use."""
        for result in self.made:
            for position, x in enumerate(result.inputs or ()):
                if x is not None and not isinstance(x, Tensor):
                    self.constants.setdefault(_slot(result, position, x), f"c{len(self.constants)}")
        return len(self.constants)

    def _keep(self, key: str, x: Any) -> None:
        if key not in self.kept:
            self.kept[key] = x
            self.room -= 1

    def _keep_op(self, result: Tensor) -> None:
        """Keep an op with its operands while there is room, and only where its result was kept."""
        key = self._id(result)
        if key not in self.kept or self.room < 2:
            return
        self.room -= 1
        shown = 0
        for source, operand in self._operands(result):
            if source not in self.kept and self.room < 1:
                break
            self._keep(source, operand)
            shown += 1
        self.shown[key] = shown

    def _leaf_scopes(self) -> dict[str, tuple[str, ...]]:
        """Put a leaf into the layer that all of its uses share."""
        uses: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
        for result in self.made:
            key = self._id(result)
            for source, _ in self._operands(result)[: self.shown.get(key, 0)]:
                uses[source].append(result.scope)
        return {key: _common(scopes) for key, scopes in uses.items()}

    def _tensor_node(self, key: str, x: Any, scopes: dict[str, tuple[str, ...]]) -> TensorNode:
        if not isinstance(x, Tensor):
            # A number is part of the formula that it stands in; an array comes from outside, as data does.
            number = np.size(x) == 1
            kind = "constant" if number else "input"
            return TensorNode(key, kind, None, take(x), None, False, scopes[key] if number else ())
        grad = None if x.grad is None else take(x.grad)
        node = TensorNode(key, "result", x.name, take(x.data), grad, x.requires_grad, x.scope)
        if x.op is None:
            node.kind = "parameter" if x.requires_grad else "input"
            node.scope = scopes.get(key, ()) if x.requires_grad else ()
        elif key not in self.shown:
            node.made_by = x.op.name
        if x is self.root:
            node.kind = "loss" if x.size == 1 else "output"
        return node


def _reachable(root: Tensor) -> Iterator[Tensor]:
    """Yield every tensor that `root` was computed from, and `root`, each once."""
    seen = {id(root)}
    stack = [root]
    while stack:
        tensor = stack.pop()
        yield tensor
        for x in tensor.inputs or ():
            if isinstance(x, Tensor) and id(x) not in seen:
                seen.add(id(x))
                stack.append(x)


def _slot(result: Tensor, position: int, x: Any) -> Any:
    """Return what tells one constant from another."""
    # Python shares small numbers between unrelated places, so for them the place counts.
    return id(x) if np.ndim(x) else (result.number, position)


def _common(scopes: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the longest path that all scopes begin with."""
    first, last = min(scopes), max(scopes)
    shared = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        shared += 1
    return first[:shared]


def _op_node(result: Tensor, key: str, shown: int) -> OpNode:
    op = result.op
    assert op is not None
    inputs = result.inputs or ()
    names, formulas = _derivatives(op, len(inputs))
    given = [i for i, x in enumerate(inputs) if x is not None]
    return OpNode(
        id=key,
        name=op.name,
        symbol=op.symbol,
        operands=tuple(names[i] for i in given[:shown]),
        formulas=tuple(formulas[i] for i in given[:shown]),
        params={str(name): _brief(value) for name, value in result.params.items()},
        scope=result.scope,
        hidden=len(given) - shown,
    )


def _derivatives(op: Op, count: int) -> tuple[list[str], list[str | None]]:
    """Return the name of every operand and the formula of the derivative by it."""
    if op.variadic:
        return [str(i) for i in range(count)], [op.formula[0] if op.formula else ""] * count
    written = iter(op.formula)
    formulas = [None if rule is None else next(written, "") for rule in op.rules]
    rule = next(rule for rule in op.rules if rule is not None)
    try:
        names = list(inspect.signature(rule).parameters)[2 : 2 + count]
    except (TypeError, ValueError):
        names = []
    return (names if len(names) == count else ["abcdefghijklmnopqrstuvwxyz"[i] for i in range(count)]), formulas


def _brief(value: Any) -> str:
    """Write a parameter of an op; an array by its shape only."""
    if isinstance(value, slice):
        ends = ("" if end is None else _brief(end) for end in (value.start, value.stop))
        return ":".join(ends) + ("" if value.step is None else f":{_brief(value.step)}")
    if isinstance(value, tuple):
        return "(" + ", ".join(_brief(item) for item in value[:6]) + (", …)" if len(value) > 6 else ")")
    if value is Ellipsis:
        return "..."
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return str(value)
    shape = getattr(value, "shape", None) or (len(value),) if hasattr(value, "__len__") else ()
    return f"{type(value).__name__}{shape}" if shape else str(getattr(value, "__name__", type(value).__name__))
