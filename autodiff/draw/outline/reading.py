"""The graph behind a tensor as a list: every op result once, operands before results, without recursion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any

import numpy as np

from autodiff.tensor import Tensor

#: Of a list in a namespace, so many items are named.
MOST_ITEMS = 1000


class Reading:
    """What leads to one tensor.

    Attributes
    ----------
    root : Tensor
    made : list of Tensor
        The results of ops whose operands are known, by rising creation number.
    index : dict of int to int
        Where the tensor with that ``id`` stands in `made`.
    leaves : list of Tensor
        All others, by rising creation number.
    constants : int
        How many plain operands there are: an array counts once, a number each time.
    names : dict of int to str
        What the person calls the object with that ``id``.
    """

    def __init__(self, root: Tensor, names: Mapping[str, Any] | None = None) -> None:
        self.root = root
        tensors = sorted(_reachable(root), key=attrgetter("number"))
        self.made = [tensor for tensor in tensors if tensor.op is not None and tensor.inputs is not None]
        self.index = {id(tensor): i for i, tensor in enumerate(self.made)}
        self.leaves = [tensor for tensor in tensors if id(tensor) not in self.index]
        arrays = set()
        numbers = 0
        for result in self.made:
            for x in result.inputs or ():
                if x is not None and not isinstance(x, Tensor):
                    if np.ndim(x):
                        arrays.add(id(x))
                    else:
                        numbers += 1
        self.constants = len(arrays) + numbers
        self.names = dict(_named(names or {}))

    def name(self, x: Any) -> str | None:
        """Return what a person calls an operand: the tensor's own name, or that of the variable."""
        return getattr(x, "name", None) or self.names.get(id(x))


def read(root: Tensor, names: Mapping[str, Any] | None = None) -> Reading:
    """Read the graph behind `root`.

    Raises
    ------
    TypeError
        `root` is not a Tensor, or `names` is no mapping.
    ValueError
        Its graph was freed by ``backward(free_graph=True)``.
    """
    if not isinstance(root, Tensor):
        raise TypeError(f"the graph starts from a Tensor, usually the loss; got {type(root).__name__}")
    if names is not None and not isinstance(names, Mapping):
        raise TypeError(f"names takes a mapping from names to tensors, as locals(); got {type(names).__name__}")
    if root.op is not None and root.inputs is None:
        raise ValueError(
            "this graph was freed by backward(free_graph=True): draw it before that call, or leave free_graph out"
        )
    return Reading(root, names)


def _reachable(root: Tensor) -> list[Tensor]:
    """Return every tensor that `root` was computed from, and `root`, each once."""
    seen = {id(root)}
    found = [root]
    for tensor in found:  # grows while it is walked
        for x in tensor.inputs or ():
            if isinstance(x, Tensor) and id(x) not in seen:
                seen.add(id(x))
                found.append(x)
    return found


def _named(names: Mapping[str, Any]) -> Iterable[tuple[int, str]]:
    """Yield id and name of every tensor and array in a namespace, and in its lists and dicts; the first name wins."""
    found: dict[int, str] = {}
    for name, value in names.items():
        if str(name).startswith("_"):
            continue
        inside: Iterable[tuple[str, Any]] = ()
        if isinstance(value, Mapping):
            inside = ((f"{name}[{key!r}]", item) for key, item in value.items())
        elif isinstance(value, (list, tuple)):
            inside = ((f"{name}[{i}]", item) for i, item in enumerate(value[:MOST_ITEMS]))
        for label, item in [(str(name), value), *inside]:
            if isinstance(item, Tensor) or (isinstance(item, np.ndarray) and item.ndim):
                found.setdefault(id(item), label)
    return found.items()
