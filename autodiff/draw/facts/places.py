"""Where in the picture a tensor or an op of the graph is seen, and what parameters there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from autodiff.draw.facts.flow import Flow, size
from autodiff.draw.markup import plain
from autodiff.draw.outline.choice import Key, Outline
from autodiff.draw.outline.reading import Reading
from autodiff.tensor import Tensor

#: Affine maps beyond so many are not looked into.
_MOST_AFFINE = 60


@dataclass(frozen=True, slots=True)
class Use:
    """A parameter, and where the forward computation first uses it: op number `op` of the reading, at `position`."""

    tensor: Tensor
    op: int
    position: int
    label: str

    @property
    def rms(self) -> float | None:
        """Size of the gradient that it holds; None where it holds none."""
        return None if self.tensor.grad is None else _size(self.tensor.grad)


class Places:
    """The way from the graph to the picture.

    Attributes
    ----------
    reading : Reading
    flow : Flow or None
    """

    def __init__(
        self, reading: Reading, outlined: Outline, op_ids: dict[int, str], ids: dict[Key, str], flow: Flow | None
    ) -> None:
        self.reading = reading
        self.flow = flow
        self._outline = outlined
        self._op_ids = op_ids
        self._ids = ids

    def op(self, i: int) -> tuple[str, ...]:
        """Return the node of op number `i` of the reading, in a tuple; an empty one where there is none."""
        return self._op_nodes[i : i + 1]

    def leaf(self, x: Any) -> tuple[str, ...]:
        """Return the card of a leaf, in a tuple; an empty one where there is none."""
        return self._leaf_nodes.get(id(x), ())

    @cached_property
    def _op_nodes(self) -> tuple[str, ...]:
        found = [""] * len(self.reading.made)
        for shown, members in self._outline.stands_for.items():
            for b in members:
                box = self._outline.boxes[b]
                found[box.start : box.stop] = [self._op_ids[shown]] * (box.stop - box.start)
        return tuple(found)

    @cached_property
    def _leaf_nodes(self) -> dict[int, tuple[str, ...]]:
        return {key_id: (self._ids[key],) for key in self._outline.leaves if key in self._ids for key_id in key[1:]}

    @cached_property
    def parameters(self) -> list[Use]:
        """Every parameter in the graph, in the order of first use."""
        found: dict[int, Use] = {}
        for i, made in enumerate(self.reading.made):
            for position, x in enumerate(made.inputs or ()):
                if isinstance(x, Tensor) and x.requires_grad and x.op is None and id(x) not in found:
                    found[id(x)] = Use(x, i, position, self._label(x, made, len(found)))
        return list(found.values())

    @cached_property
    def weights(self) -> list[Use]:
        """The parameters that data is multiplied with: of two axes or more, and not only added; or else all."""
        matrices = [use for use in self.parameters if use.tensor.ndim >= 2]
        multiplied = [use for use in matrices if not _elementwise(self.reading.made[use.op])]
        return multiplied or matrices or self.parameters

    @cached_property
    def users(self) -> dict[int, list[tuple[int, int]]]:
        """For each tensor, by id, the ops and positions that it is an operand of."""
        found: dict[int, list[tuple[int, int]]] = {}
        for i, made in enumerate(self.reading.made):
            for position, x in enumerate(made.inputs or ()):
                if isinstance(x, Tensor):
                    found.setdefault(id(x), []).append((i, position))
        return found

    def way_to_the_root(self, i: int) -> Iterator[tuple[int, int]]:
        """Yield the ops, and at which operand they are entered, along which most gradient comes back to op `i`."""
        along = self.flow.along if self.flow else {}
        here = self.reading.made[i]
        while here is not self.reading.root:
            users = self.users.get(id(here))
            if not users:
                return
            step = max(users, key=lambda use: (along.get(use, -1.0), -use[0]))
            yield step
            here = self.reading.made[step[0]]

    def _label(self, x: Tensor, made: Tensor, count: int) -> str:
        name = self.reading.name(x)
        if not name:
            return f"parameter {count} {x.shape}"
        name, layer = plain(name, 60), ".".join(plain(part, 30) for part in made.scope)
        whole = not layer or x.name is None or name.startswith((layer, plain(made.scope[-1], 30)))
        return name if whole else f"{layer}.{name}"


def _elementwise(made: Tensor) -> bool:
    forward = made.op.forward if made.op is not None else None
    return isinstance(forward, np.ufunc) and forward.signature is None


def affine(reading: Reading) -> list[int]:
    """Return the ops, by number in the reading, that multiply data with a matrix of parameters."""
    found = []
    for i, made in enumerate(reading.made):
        if made.op is not None and made.op.name in ("linear", "matmul", "dot"):
            matrices = [x for x in made.inputs or () if isinstance(x, Tensor) and x.op is None and x.requires_grad]
            if any(x.ndim == 2 for x in matrices):
                found.append(i)
        if len(found) > _MOST_AFFINE:
            return []
    return found


def _size(grad: Any) -> float | None:
    try:
        return size(grad)
    except Exception:  # an array that is not here
        return None
