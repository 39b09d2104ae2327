"""From a tensor to the model of a picture: the outline filled with the numbers of this moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from autodiff.draw.facts.caption import caption
from autodiff.draw.facts.diagnosis import diagnose
from autodiff.draw.facts.flow import HAS_G, Factor, Flow, factor, replay
from autodiff.draw.facts.places import Places, affine
from autodiff.draw.facts.predictions import prediction
from autodiff.draw.facts.samples import MOST, Samples
from autodiff.draw.facts.scale import scale
from autodiff.draw.formulas import brief_text, derivatives, given_formula
from autodiff.draw.model import Edge, Model, OpNode, Repeat, TensorNode
from autodiff.draw.outline.choice import MOST_OPERANDS, Key, Outline, Wire, outline
from autodiff.draw.outline.reading import Reading, read
from autodiff.draw.snapshot import brief, number, take
from autodiff.op import strip
from autodiff.tensor import Tensor

#: A leaf used in more places of the picture than this gets a small copy of its card at each.
_MOST_USES = 2
LEVELS = ("layer", "op")
VALUES = ("stats", "full", None)


def build(
    root: Tensor,
    *,
    level: str = "layer",
    depth: int | None = None,
    values: str | None = "stats",
    grads: bool = True,
    fold: bool | str | None = "auto",
    max_nodes: int = 200,
    names: Mapping[str, Any] | None = None,
    sampled: int = MOST,
) -> Model:
    """Read the graph behind `root` into a model.

    The arguments are those of `autodiff.draw.graph`, and how many rows and columns to keep of a large array.

    Raises
    ------
    TypeError
        `root` is not a Tensor, or `names` is no mapping.
    ValueError
        Its graph was freed by ``backward(free_graph=True)``, or an argument is not one of its values.
    """
    if level not in LEVELS:
        raise ValueError(f'level must be "layer" or "op", got {level!r}')
    if values not in VALUES:
        raise ValueError(f'values must be "stats", "full" or None, got {values!r}')
    if fold not in ("auto", True, False, None):
        raise ValueError(f'fold must be "auto", True or False, got {fold!r}')
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        raise ValueError(f"depth must be a number of levels from 0, or None for all, got {depth!r}")
    if max_nodes < 3:
        raise ValueError(f"max_nodes must be at least 3 (an operand, an op and its result), got {max_nodes}")
    reading = read(root, names)
    outlined = outline(reading, level, depth, fold or False, max_nodes)
    return _Builder(reading, outlined, values, grads, names or {}, Samples(most=sampled)).model()


class _Builder:
    def __init__(
        self,
        reading: Reading,
        outlined: Outline,
        values: str | None,
        grads: bool,
        names: Mapping[str, Any],
        samples: Samples,
    ) -> None:
        self.reading = reading
        self.outline = outlined
        self.values = values
        self.grads = grads
        self.names = names
        self.has_gradients = grads and any(leaf.grad is not None for leaf in reading.leaves if leaf.requires_grad)
        self.flow: Flow | None = None
        self.nodes: dict[str, TensorNode | OpNode] = {}
        self.edges: list[Edge] = []
        self.ids: dict[Key, str] = {}
        self.op_ids: dict[int, str] = {}
        self.counts: Counter[str] = Counter()
        self.samples = samples
        #: For a leaf that belongs to a layer inside one that is drawn as a box, the way to that layer.
        self.inner: dict[Key, tuple[str, ...]] = {}
        self.uses = Counter(
            source for source, _ in {(wire.source, wire.box) for wire in outlined.wires if wire.source[0] == "l"}
        )

    def model(self) -> Model:
        """Write down the nodes in reading order, the edges, and what is to be said about them."""
        reading, outlined = self.reading, self.outline
        if self.has_gradients:
            wanted = {id(reading.made[i]) for members in outlined.results.values() for i in (members[0], members[-1])}
            opened = frozenset(self._shown(b) for b in outlined.drawn if outlined.boxes[b].single)
            self.flow = replay(reading, wanted | {id(reading.made[i]) for i in affine(reading)}, opened)
        wires: dict[int, list[Wire]] = {}
        for wire in outlined.wires:
            wires.setdefault(wire.box, []).append(wire)
        for b in outlined.drawn:
            self._box(b, wires.get(b, []))
        root_key: Key = ("l", id(reading.root))
        if not outlined.results:
            self._leaf(root_key, [reading.root], ())
        else:
            last = outlined.drawn[-1]
            root_key = next(reversed([key for key in outlined.results if key[1] == last]))
        root = self.nodes[self.ids[root_key]]
        assert isinstance(root, TensorNode)
        root.kind = "loss" if reading.root.size == 1 else "output"
        root.name = root.name or (root.kind if root.kind == "loss" else None)
        model = Model(
            self.nodes,
            self.edges,
            root,
            len(reading.made) + len(reading.leaves) + reading.constants,
            len(reading.made),
            self._repeats(),
            has_gradients=self.has_gradients,
            level=outlined.level,
            samples=self.samples,
        )
        model.reference, model.decades = scale(model)
        places = Places(reading, outlined, self.op_ids, self.ids, self.flow)
        model.findings = diagnose(places, model, self.names)
        predicted = prediction(reading)
        model.entropy = None if predicted is None else predicted.entropy
        model.caption = caption(places, model, predicted)
        return model

    def _id(self, letter: str) -> str:
        self.counts[letter] += 1
        return f"{letter}{self.counts[letter] - 1}"

    def _box(self, b: int, wires: list[Wire]) -> None:
        box = self.outline.boxes[b]
        members = self.outline.stands_for[b]
        full = self._scope(b)
        frame = full if box.single else full[:-1]
        sources: list[str] = []
        here: dict[Key, str] = {}
        for wire in wires:
            key = wire.source
            if key in here:
                sources.append(here[key])
                continue
            if not box.single and key[0] == "l":
                self.inner[key] = self.reading.made[box.start + wire.place].scope[len(box.scope) :]
            if key[0] == "l" and (key not in self.ids or self.uses[key] > _MOST_USES):
                # Data comes from outside; what is learnt belongs to the layer that uses it.
                learnt = _learnt(self.outline.leaves[key])
                shared = 1 < self.uses[key] <= _MOST_USES
                sources.append(self._leaf(key, self.outline.leaves[key], () if shared or not learnt else frame))
            else:
                sources.append(self.ids[key])
            here[key] = sources[-1]
        node = self._op(b) if box.single else self._layer(b)
        node.id = self._id("o")
        node.scope = frame
        node.members = len(members)
        self.op_ids[b] = node.id
        self.nodes[node.id] = node
        if box.single and self.grads:
            made = self.reading.made[self._shown(b)]
            self.samples.op(node.id, made, self._shown(b), _shown_operands(made), self.flow)
        for source, wire in zip(sources, wires, strict=True):
            self._edge_in(source, node, wire, b)
        for key in sorted(key for key in self.outline.results if key[1] == b):
            self._result(key, node)

    def _scope(self, b: int) -> tuple[str, ...]:
        """Return the layers of a box; where it stands for those of several layers, the first and the last name."""
        members = self.outline.stands_for[b]
        first, last = self.outline.boxes[members[0]].scope, self.outline.boxes[members[-1]].scope
        pairs = zip(first, last, strict=True) if len(first) == len(last) else zip(first, first, strict=True)
        return tuple(one if one == other else f"{one} … {other}" for one, other in pairs)

    def _leaf(self, key: Key, objects: list[Any], scope: tuple[str, ...]) -> str:
        """Write down a leaf, or one more copy of a shared one; return its id."""
        x, last = objects[0], objects[-1]
        learnt = isinstance(x, Tensor) and x.requires_grad
        node = TensorNode(self._id("t"), "parameter" if learnt else "input", self.reading.name(x), scope=scope)
        node.members = len(objects)
        if node.name and self.inner.get(key):
            node.name = ".".join((*self.inner[key], node.name))
        node.requires_grad = learnt
        node.uses = self.uses[key] if self.uses[key] > _MOST_USES else 1
        if key in self.ids:
            node.original = self.ids[key]
        else:
            self.ids[key] = node.id
        if isinstance(x, Tensor) and x.op is not None:
            node.made_by = x.op.name
            node.kind = "result"
        self.nodes[node.id] = node
        self._fill(node, x, last)
        return node.id

    def _result(self, key: Key, op_node: OpNode) -> None:
        members = self.outline.results[key]
        first, last = self.reading.made[members[0]], self.reading.made[members[-1]]
        node = TensorNode(self._id("t"), "result", self.reading.name(first), requires_grad=True, scope=op_node.scope)
        node.members = len(members)
        self.ids[key] = node.id
        self.nodes[node.id] = node
        self._fill(node, first, last)
        flow = self.flow.at.get(members[-1]) if self.flow else None
        self.edges.append(Edge(op_node.id, node.id, None, True, _rms(node) if flow is None else flow))

    def _fill(self, node: TensorNode, first: Any, last: Any) -> None:
        """Put the numbers into a card."""
        most = 4 if self.values == "stats" else None
        if self.values is not None:
            node.value = take(strip(first), most)
        else:
            node.value = brief(strip(first))
        grad = self._grad(first)
        if node.original is None and self.values is not None:
            self.samples.card(node.id, strip(first), grad)
        node.awaits = self.grads and node.requires_grad and grad is None
        if grad is not None:
            node.grad = take(grad, most)
        if node.members > 1:
            node.last_value = take(strip(last), most) if self.values is not None else None
            last_grad = self._grad(last)
            node.last_grad = None if last_grad is None else take(last_grad, most)

    def _grad(self, x: Any) -> Any:
        if not self.grads or not isinstance(x, Tensor):
            return None
        if x.grad is not None:
            return x.grad
        return self.flow.kept.get(id(x)) if self.flow and x.op is not None else None

    def _shown(self, b: int) -> int:
        """Return the op whose numbers a box shows: of several the second, as the first may go on from data, to which no
        gradient flows."""
        return self.outline.boxes[self.outline.stands_for[b][:2][-1]].start

    def _op(self, b: int) -> OpNode:
        i = self._shown(b)
        made = self.reading.made[i]
        op, inputs = made.op, made.inputs or ()
        assert op is not None
        names, formulas = derivatives(op, len(inputs))
        given = [p for p, x in enumerate(inputs) if x is not None]
        shown = _shown_operands(made)
        wanted = {p for p in shown if getattr(inputs[p], "requires_grad", False)}
        return OpNode(
            id="",
            name=op.name,
            symbol=op.symbol,
            operands=tuple(names[p] for p in shown),
            formulas=tuple(given_formula(formulas[p], names, inputs) if p in wanted else None for p in shown),
            params={str(name): brief_text(value) for name, value in made.params.items()},
            scope=self.outline.boxes[b].scope,
            factors=tuple(self._factor(i, made, p, formulas[p]) if p in wanted else None for p in shown),
            constants={
                names[p]: number(np.asarray(x).item()) if np.asarray(x).dtype.kind in "biufc" else brief_text(x)
                for p in shown
                if not isinstance(x := inputs[p], Tensor) and not np.ndim(x)
            },
            hidden=len(given) - len(shown),
        )

    def _factor(self, i: int, made: Tensor, position: int, formula: str | None) -> Any:
        if formula is None or not self.grads:
            return None
        gain = None
        x = (made.inputs or ())[position]
        if self.flow and self.flow.at.get(i) and isinstance(x, Tensor) and x.op is not None:
            gain = self.flow.along.get((i, position), 0.0) / self.flow.at[i]
        trivial = formula in ("", "1", "−1")
        return factor(made, position, trivial or HAS_G.search(formula) is not None, gain)

    def _layer(self, b: int) -> OpNode:
        """Return the box of a layer, or of all that came before what fits."""
        box = self.outline.boxes[b]
        ops = Counter(str(made.op.name) for made in self.reading.made[box.start : box.stop] if made.op)
        title = self._scope(b)[-1] if box.scope else f"{box.stop - box.start:,} ops before"
        return OpNode(
            id="",
            name=title,
            symbol=title,
            operands=(),
            formulas=(),
            params={},
            scope=box.scope[:-1],
            inside=tuple(ops.items()),
            factors=(self._through(b),),
            hidden=self.outline.hidden.get(b, 0),
        )

    def _through(self, b: int) -> Factor | None:
        """Measure how the size of the gradient changes on its way back through a layer with one input."""
        box = self.outline.boxes[b]
        inputs = {
            i
            for made in self.reading.made[box.start : box.stop]
            for x in made.inputs or ()
            if (i := self.reading.index.get(id(x), box.start)) < box.start
        }
        before = self.flow.at.get(box.stop - 1) if self.flow else None
        if self.flow is None or len(inputs) != 1 or not before:
            return None
        return Factor(gain=self.flow.at.get(inputs.pop(), 0.0) / before)

    def _edge_in(self, source: str, node: OpNode, wire: Wire, b: int) -> None:
        box = self.outline.boxes[b]
        i = box.start + wire.place
        made = self.reading.made[i]
        inputs = made.inputs or ()
        x = inputs[wire.position]
        carries = getattr(x, "requires_grad", False) and (
            made.op is not None and made.op.rules_of(inputs)[wire.position] is not None
        )
        flow = None
        if carries and self.flow:
            flow = self.flow.along.get((i, wire.position), 0.0)
            # A gradient leaves a block by its first repetition; inside it is most in the last.
            if wire.source[0] == "l" or len(self.outline.stands_for[wire.source[1]]) > 1:
                last = self.outline.boxes[self.outline.stands_for[b][-1]].start + wire.place
                flow = max(flow, self.flow.along.get((last, wire.position), 0.0))
        operand = wire.position if box.single else None
        count = wire.count if box.single else 1
        given = [p for p, y in enumerate(inputs) if y is not None]
        place = given.index(wire.position) if operand is not None else 0
        self.edges.append(
            Edge(source, node.id, place, bool(carries), flow, _broadcast(made, x) if box.single else None, count)
        )

    def _repeats(self) -> list[Repeat]:
        found = []
        for number_, fold in enumerate(self.outline.folds):
            inside = range(fold.start, fold.start + fold.period)
            ids = [self.op_ids[b] for b in inside if b in self.op_ids]
            ids += [key_id for key, key_id in self.ids.items() if key[0] == "r" and key[1] in inside]
            leaves = [w.source for w in self.outline.wires if w.box in inside and w.source[0] == "l"]
            ids += [
                self.ids[key]
                for key in leaves
                if len(self.outline.leaves[key]) > 1 and _learnt(self.outline.leaves[key])
            ]
            ordered = tuple(node for node in self.nodes if node in set(ids))
            found.append(Repeat(ordered, fold.times, number_ in self.outline.carried))
        return found


def _shown_operands(made: Tensor) -> list[int]:
    given = [p for p, x in enumerate(made.inputs or ()) if x is not None]
    return given if len(given) <= MOST_OPERANDS else given[: MOST_OPERANDS - 1]


def _learnt(objects: list[Any]) -> bool:
    return any(isinstance(x, Tensor) and x.requires_grad for x in objects)


def _rms(node: TensorNode) -> float | None:
    return None if node.grad is None else node.grad.rms


def _broadcast(made: Tensor, x: Any) -> str | None:
    """Return the shapes where an operand is repeated to fit: all, ``(4,1) − (4,) → (4,4)``, where both operands are."""
    op = made.op
    forward = op.forward if op is not None else None
    shape = np.shape(strip(x))
    if op is None or not isinstance(forward, np.ufunc) or forward.signature is not None or shape in ((), made.shape):
        return None
    shapes = [np.shape(strip(y)) for y in made.inputs or ()]
    symbol = f" {op.symbol} " if len(op.symbol) == 1 else ", "
    mine = symbol.join(map(str, shapes)) if made.shape not in shapes else str(shape)
    return f"{mine} → {made.shape}".replace(", ", ",") if symbol != ", " else f"{mine} → {made.shape}"
