"""Which ops are drawn as one box: by layer, by depth of nesting, or because there are too many to draw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autodiff.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Box:
    """Ops that are drawn as one: those at positions `start` to `stop` of the reading, the layer they are, or None."""

    start: int
    stop: int
    scope: tuple[str, ...]
    #: Whether these are no layer but all that came before what fits into the picture.
    earlier: bool = False

    @property
    def single(self) -> bool:
        """Whether this is one op, drawn as itself."""
        return self.stop - self.start == 1


def boxes(made: list[Tensor], level: str, depth: int | None) -> list[Box]:
    """Divide the ops into boxes.

    Parameters
    ----------
    made : list of Tensor
        The results of the ops.
    level : {"op", "layer"}
        Whether the ops of a layer that has no layers inside are drawn each, or as one box.
    depth : int or None
        Layers nested deeper than in so many others are drawn as one box each.
    """
    inner = _with_layers_inside(made)
    found: list[Box] = []
    start = 0
    open_key: tuple[str, ...] | None = None
    learnt: dict[object, int] = {}
    for i, result in enumerate(made):
        key: tuple[str, ...] | None = None
        scope = result.scope
        if depth is not None and len(scope) > depth:
            key = scope[: depth + 1]
        elif level == "layer" and scope and scope not in inner:
            key = scope
        if i > start and (key is None or key != open_key):
            found.append(_box(made, start, i, open_key))
            start = i
        if i == start:
            open_key = key
            learnt.clear()
        if key is not None and (mark := (result.op, _parameters(result)))[1]:
            # The same op on the same parameters again: a second call of the layer, which began as much earlier as
            # this op comes after the beginning of the first.
            begin = i - learnt.get(mark, i)
            if mark in learnt and begin > start:
                found.append(_box(made, start, begin, open_key))
                start = begin
                learnt.clear()
            learnt.setdefault(mark, i - start)
    if made:
        found.append(_box(made, start, len(made), open_key))
    return found


def rising(made: list[Tensor], level: str, depth: int | None) -> Iterator[list[Box]]:
    """Yield divisions into fewer and fewer boxes, from the one that was asked for to one box per outermost layer."""
    yield boxes(made, level, depth)
    deepest = max((len(result.scope) for result in made), default=0)
    if level == "op":
        yield boxes(made, "layer", depth)
    top = deepest if depth is None else min(depth, deepest)
    for shallower in range(min(top, 8) - 1, -1, -1):
        yield boxes(made, "layer", shallower)


def cut(divided: list[Box], keep: int) -> list[Box]:
    """Make all boxes but the last `keep` one box of what came earlier."""
    if len(divided) - keep < 2:
        return divided
    return [Box(0, divided[-keep - 1].stop, (), earlier=True), *divided[len(divided) - keep :]]


def _box(made: list[Tensor], start: int, stop: int, key: tuple[str, ...] | None) -> Box:
    if stop - start == 1 or key is None:
        return Box(start, stop, made[start].scope)
    return Box(start, stop, key)


def _with_layers_inside(made: list[Tensor]) -> set[tuple[str, ...]]:
    """Return the layers that have others inside."""
    found: set[tuple[str, ...]] = set()
    for scope in {result.scope for result in made}:
        found.update(scope[:i] for i in range(len(scope)))
    return found


def _parameters(result: Tensor) -> tuple[int, ...]:
    return tuple(id(x) for x in result.inputs or () if isinstance(x, Tensor) and x.op is None and x.requires_grad)
