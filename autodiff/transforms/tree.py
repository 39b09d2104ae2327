"""Arguments and results nested in lists, tuples and dicts: their leaves, in order, and the way back."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf with where it stands, ``("['layers'][0]", array)``; `None` is an empty place.

    Parameters
    ----------
    tree : nested list, tuple or dict, or a leaf
        Anything that is not one of the three containers is a leaf.
    path : str
        What to write in front of the places.
    """
    if isinstance(tree, dict):
        for key, item in tree.items():
            yield from leaves(item, f"{path}[{key!r}]")
    elif isinstance(tree, (list, tuple)):
        for position, item in enumerate(tree):
            yield from leaves(item, f"{path}[{position}]")
    elif tree is not None:
        yield path, tree


def rebuild(tree: Any, values: Iterator[Any]) -> Any:
    """Return the containers of `tree` with the next of `values` in place of each leaf."""
    if isinstance(tree, dict):
        twin = copy.copy(tree)  # a subclass keeps what else it holds, a defaultdict its default
        for key, item in tree.items():
            twin[key] = rebuild(item, values)
        return twin
    if isinstance(tree, (list, tuple)):
        items = [rebuild(item, values) for item in tree]
        if isinstance(tree, list):
            return items
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    return None if tree is None else next(values)


def fit(tree: Any, pattern: Any, what: str, whose: str) -> list[Any]:
    """Return the leaves of `tree`, which must be nested as `pattern` is.

    Raises
    ------
    TypeError
        It is not; the message names the first difference.
    """
    got, wanted = [path for path, _ in leaves(tree)], [path for path, _ in leaves(pattern)]
    if got != wanted:
        odd = next((path for path in [*wanted, *got] if (path in wanted) != (path in got)), "")
        raise TypeError(
            f"{what} must be nested as {whose}: {'nothing' if odd in wanted else 'something'} stands at "
            f"{what}{odd}, where {whose} {'has' if odd in wanted else 'has no'} value"
            if odd
            else f"{what} must be nested as {whose}: places {', '.join(wanted)}; got {', '.join(got)}"
        )
    return [leaf for _, leaf in leaves(tree)]
