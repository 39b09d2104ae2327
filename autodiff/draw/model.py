"""What a picture says, as plain records, before any way of drawing it."""

from __future__ import annotations

from dataclasses import dataclass, field

from autodiff.draw.facts.flow import Factor
from autodiff.draw.facts.samples import Samples
from autodiff.draw.snapshot import Snapshot


@dataclass(slots=True)
class TensorNode:
    """A tensor or an array.

    Attributes
    ----------
    id : str
        ``t0, t1, ...`` in reading order.
    kind : str
        "parameter" (a leaf that requires a gradient), "input" (a leaf that does not, or a plain array), "result" (of
        an op), "loss" (what the graph was built from, one number) or "output" (the same, more numbers).
    name : str or None
        As the person or the module gave it, unescaped.
    value : Snapshot or None
        None where values are not shown.
    grad : Snapshot or None
    requires_grad : bool
    awaits : bool
        Whether it could have a gradient but there is none yet.
    scope : tuple of str
        The layers it is drawn in, outermost first.
    members : int
        How many tensors it stands for, where a block is drawn once for several.
    last_value, last_grad : Snapshot or None
        Those of the last of several; `value` and `grad` are the first one's.
    original : str or None
        Where this is only one more place at which a shared tensor is used: the id of its card.
    uses : int
        How many places in the picture use it, where it has copies.
    notes : list of str
        What else there is to say on its card.
    made_by : str or None
        Name of the op that made it where that op is not in the graph any more.
    """

    id: str
    kind: str
    name: str | None
    value: Snapshot | None = None
    grad: Snapshot | None = None
    requires_grad: bool = False
    awaits: bool = False
    scope: tuple[str, ...] = ()
    members: int = 1
    last_value: Snapshot | None = None
    last_grad: Snapshot | None = None
    original: str | None = None
    uses: int = 1
    notes: list[str] = field(default_factory=list)
    made_by: str | None = None


@dataclass(slots=True)
class OpNode:
    """One application of an op; or a layer, or all that came earlier, drawn as one.

    Attributes
    ----------
    id : str
        ``o0, o1, ...`` in reading order.
    name, symbol : str
        Of the op; of the layer.
    operands : tuple of str
        What the op's own rules call its operands, in order.
    formulas : tuple of (str or None)
        The derivative by each operand; None where there is none or none is asked for, "" where none was declared.
    factors : tuple of (Factor or None)
        What was measured of each derivative.
    constants : dict of str to str
        The operands that are plain numbers.
    params : dict of str to str
        The arguments that are no operands, as text.
    scope : tuple of str
    inside : tuple of (str, int)
        For a layer: the ops in it, and how many of each. Empty for a single op.
    hidden : int
        How many operands have no edge of their own.
    members : int
        How many applications it stands for.
    """

    id: str
    name: str
    symbol: str
    operands: tuple[str, ...]
    formulas: tuple[str | None, ...]
    params: dict[str, str]
    scope: tuple[str, ...]
    factors: tuple[Factor | None, ...] = ()
    constants: dict[str, str] = field(default_factory=dict)
    inside: tuple[tuple[str, int], ...] = ()
    hidden: int = 0
    members: int = 1


@dataclass(slots=True)
class Edge:
    """From an operand to its op (`operand` is its position) or from an op to its result (`operand` is None).

    Attributes
    ----------
    carries_gradient : bool
        Whether a gradient can flow back along it.
    flow : float or None
        Root mean square of the gradient that did; None where it was not measured.
    label : str or None
        The shapes, where the operand is broadcast.
    count : int
        How many edges of the graph it stands for.
    """

    source: str
    target: str
    operand: int | None
    carries_gradient: bool
    flow: float | None = None
    label: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Repeat:
    """Nodes that are drawn once and stand for several repetitions.

    Attributes
    ----------
    nodes : tuple of str
    times : int
    feeds_itself : bool
        Whether each repetition goes on from the one before.
    """

    nodes: tuple[str, ...]
    times: int
    feeds_itself: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """A diagnosis: something that is true of this graph and worth knowing.

    Attributes
    ----------
    kind : str
        "base rate", "twins", "vanishing", "dead", "cancels", "broadcast", "unreached", "accumulated", "nonfinite".
    sentence : str
    nodes : tuple of str
        Where in the picture it is seen.
    """

    kind: str
    sentence: str
    nodes: tuple[str, ...] = ()


@dataclass(slots=True)
class Model:
    """The graph behind one tensor.

    Attributes
    ----------
    nodes : dict of str to TensorNode or OpNode
        By id, in the order of the forward computation.
    edges : list of Edge
        An operand used twice by one op has two.
    root : TensorNode
        The tensor that the graph was built from.
    tensor_count, op_count : int
        How many there are, drawn or not (constants count as tensors).
    repeats : list of Repeat
    caption : list of str
        The facts about the whole, one a line.
    findings : list of Finding
    has_gradients : bool
        Whether a backward pass has left a gradient anywhere.
    reference : float or None
        The largest rms of a gradient in the picture, which the colours are relative to.
    decades : float
        How many powers of ten one step of the colours stands for: a half, or as many as the picture needs.
    level : str
        What one box stands for: "op", "layer", or how deep layers are opened.
    entropy : float or None
        Of the labels, in nats, where the loss is a cross entropy.
    samples : Samples
        The numbers behind cards and boxes.
    """

    nodes: dict[str, TensorNode | OpNode]
    edges: list[Edge]
    root: TensorNode
    tensor_count: int
    op_count: int
    repeats: list[Repeat] = field(default_factory=list)
    caption: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    has_gradients: bool = False
    reference: float | None = None
    decades: float = 1.0
    level: str = "op"
    entropy: float | None = None
    samples: Samples = field(default_factory=Samples)

    @property
    def drawn(self) -> int:
        """The number of tensors and ops that have a card or box of their own."""
        return len(self.nodes)
