"""Names for what a program is about: its arguments, what it finds around the function, what it computes."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autodiff.compile.tape import Call, Value
from autodiff.tensor import Tensor

#: What the text of a program uses itself.
RESERVED = frozenset({"np", "rows", "i", "range", "slice", "bool", "int", "float", "complex"})
#: What networks are usually written with: z before the activation, a after it.
_LETTERS = {
    **dict.fromkeys(("linear", "matmul", "dot", "conv1d", "conv2d", "einsum", "bilinear"), "z"),
    **dict.fromkeys(
        ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "softmax", "maximum"), "a"
    ),
    "sum": "total",
}
#: Numbered from the first on.
_NUMBERED = frozenset("za")
_ASSIGNED = re.compile(r"([^\W\d]\w*)\s*(?::[^=]*)?(?:[-+*/@]|//|\*\*)?=(?!=)")


def identifier(text: str) -> str:
    """Return a name that Python accepts, as close to `text` as can be."""
    import unicodedata

    name = "_".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text)))
    if not name.isidentifier():
        name = "_" + re.sub(r"\W", "", name)
    if not name.isidentifier():
        name = "_" + re.sub(r"[^A-Za-z0-9_]", "", name)
    return name + "_" if keyword.iskeyword(name) else name


class Names:
    """Gives every name once.

    Attributes
    ----------
    taken : set of str
        Those that are given.
    """

    def __init__(self) -> None:
        self.taken: set[str] = set(RESERVED)

    def unique(self, text: str) -> str:
        """Return a name like `text` that is new, with a number behind it if need be."""
        stem = name = identifier(text)
        number = 1
        while name in self.taken:
            number += 1
            name = f"{stem}{'_' * stem[-1:].isdigit()}{number}"
        self.taken.add(name)
        return name


def argument_names(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """Name every array among the arguments, in the order of a recording: by the function's own parameters."""
    import inspect  # only where a program is made: it brings the tokenizer with it

    try:
        parameters = [*inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "x")
    stems = [named[i] if i < len(named) else f"{rest}_{i - len(named)}" for i in range(len(args))]
    trees = [*zip(stems, args, strict=True), *kwargs.items()]
    return [name for stem, tree in trees for name in _leaves(tree, str(stem))]


def _leaves(tree: Any, name: str) -> Iterator[str]:
    if isinstance(tree, (tuple, list)):
        keys = getattr(tree, "_fields", range(len(tree)))
        for key, item in zip(keys, tree, strict=True):
            yield from _leaves(item, f"{name}_{key}")
    elif isinstance(tree, dict):
        for key, item in tree.items():
            yield from _leaves(item, f"{name}_{key}")
    elif hasattr(tree, "__array_function__") and not isinstance(tree, np.generic):
        yield name


def tensor_paths(boxes: list[Any]) -> dict[int, str]:
    """Return how to write each Tensor that is held somewhere, by its number in memory: the way that reads best."""
    ways: dict[int, list[tuple[Any, str]]] = {}
    for box in boxes:
        for key, item in box.items.items():
            if isinstance(item, Tensor):
                ways.setdefault(id(item), []).append((_clumsiness(box.name(key), item.name or ""), box.name(key)))
    return {number: min(paths)[1] for number, paths in ways.items()}


def _clumsiness(path: str, name: str) -> tuple[bool, int, int, int]:
    parts = re.findall(r"\w+", path) or [""]
    hidden = sum(part.startswith("_") for part in parts)
    return parts[-1] not in name, parts[-1].isdigit() + ("params" in parts), hidden, len(path)


def state_names(paths: list[str]) -> dict[str, str]:
    """Shorten paths such as ``model.layers[0].weight`` to ``layers_0_weight``, as long as all stay different."""
    parts = {
        path: [part.strip("_") for part in re.findall(r"\w+", path) if part.strip("_")] or ["state"] for path in paths
    }
    short = dict(parts)
    while True:
        heads = Counter(part[0] for part in short.values() if len(part) > 1)
        alone = {
            head
            for head, count in heads.items()
            if all(p[1:] and not p[1].isdigit() for p in short.values() if p[0] == head)
        }
        shorter = {path: part[1:] if part[0] in alone else part for path, part in short.items()}
        if shorter == short or len({*map(tuple, shorter.values())}) < len(parts):
            break
        short = shorter
        if max(map(len, short.values())) < 2:
            break
    return {path: "_".join(part) for path, part in short.items()}


def common_name(paths: list[str], fallback: str) -> str:
    """Name several arrays in one memory: parameters, gradients, or by the last part of all their paths."""
    lasts = {(re.findall(r"[^\W\d]\w*", path) or [fallback])[-1] for path in paths}
    return "gradients" if lasts == {"grad"} else lasts.pop() if len(lasts) == 1 else fallback


def assigned_names(calls: list[Call]) -> dict[Value, str]:
    """Name results as a person did: what the last call of a line gave is what the line assigns."""
    found: dict[Value, str] = {}
    calls = [call for call in calls if call.line is not None]
    for call, after in zip(calls, [*calls[1:], None], strict=False):
        if not isinstance(call.result, Value) or (after is not None and after.line == call.line):
            continue
        match = _ASSIGNED.match(source(call.line))
        if match and not keyword.iskeyword(match[1]):
            found[call.result] = match[1]
    return found


def source(line: tuple[str, int] | None) -> str:
    """Return the text of a line of a person's code, without indentation."""
    import linecache

    return linecache.getline(*line).strip() if line else ""


class Titles:
    """What each value is to be called, before it is known which of these names are free.

    A title is a name, or a pair ``("d", x)``: the gradient of `x`. `about` says what the results of calls are.
    """

    def __init__(self, calls: list[Call], about: dict[Any, Any]) -> None:
        self._count: Counter[str] = Counter()
        self._titles: dict[Any, Any] = dict(assigned_names(calls))
        for value, subject in about.items():
            if value not in self._titles:
                self._titles[value] = self._of(subject)

    def __getitem__(self, value: Any) -> Any:
        """The title of a value, `None` if it is of passing interest."""
        if value not in self._titles and isinstance(value, Value) and isinstance(value.about, str):
            self._titles[value] = self._of(value.about)
        return self._titles.get(value)

    def __setitem__(self, value: Any, title: Any) -> None:
        self._titles[value] = title

    def written(self, title: Any, name_of: Callable[[Value], str | None]) -> str:
        """Spell a title; `name_of` knows how values are called by now."""
        depth = 0
        while isinstance(title, tuple):
            depth += 1
            of = title[1]
            title = name_of(of) or self[of] or (of.name and of.name.rpartition(".")[2]) or "value"
        return "d_" * depth + str(title)

    def _of(self, about: Any) -> Any:
        if isinstance(about, Value):
            return "d", about
        stem = _LETTERS.get(about, "loss" if _is_loss(about) else about.strip("_"))
        self._count[stem] += 1
        count = self._count[stem]
        return f"{stem}{count}" if stem in _NUMBERED or count > 1 else stem


def _is_loss(op: str) -> bool:
    return "loss" in op or "entropy" in op
