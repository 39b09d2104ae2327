"""While a tape runs, numpy's makers of new arrays give probes, so that what is built inside a step is seen too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from autodiff.doctor.calls import Vectorized
from autodiff.doctor.probe import Probe, call, plain, probe
from autodiff.doctor.tape import Line, running

_NEW = "zeros ones empty full eye identity linspace zeros_like ones_like empty_like full_like"
_CONVERTING = "array asarray asanyarray ascontiguousarray asfortranarray"
_DRAWN = "random normal uniform standard_normal"
_DRAWING = "rand randn random random_sample ranf sample normal uniform standard_normal"


@contextmanager
def patched(
    chosen: dict[int, Any] | None = None,
    made: list[int] | None = None,
    where: list[tuple[Line, ...]] | None = None,
    spaces: Iterable[dict[str, Any]] = (),
) -> Iterator[Callable[[Any], Any]]:
    """Let ``np.zeros``, ``np.array``, ``np.random.randn`` and the like give probes inside.

    Parameters
    ----------
    chosen : dict of int to array
        What to put into the array that is made as the so-many'th, in place of its own values.
    made : list
        The node of every new array is appended, and to `where` the lines that were running.
    spaces
        The names of modules which may have imported these functions by name.

    Yields
    ------
    function
        It makes of a source of random numbers one that draws the same numbers as probes.
    """
    made = [] if made is None else made
    where = [] if where is None else where
    kept: list[tuple[Any, str, Any]] = []

    instead: dict[int, tuple[Any, Any]] = {}

    def put(module: Any, name: str, function: Any) -> None:
        old = getattr(module, name)
        kept.append((module, name, old))
        instead[id(old)] = old, function
        setattr(module, name, function)

    busy: list[bool] = []

    def quietly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        busy.append(True)  # numpy's own code makes its arrays by the patched functions too
        try:
            return plain(function(*plain(args), **plain(kwargs)))
        finally:
            busy.pop()

    def new(array: Any) -> Any:
        if busy or not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or isinstance(array, Probe):
            return array
        value = (chosen or {}).get(len(made))
        if value is not None and value.shape == array.shape:
            array = value.copy()
        born = probe(array)
        made.append(born.node or 0)
        where.append(running())
        return born

    def creating(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: new(quietly(function, *args, **kwargs))

    generator, legacy, make_rng = np.random.Generator, np.random.RandomState, np.random.default_rng

    class Drawing(generator):  # type: ignore[misc, valid-type]
        """A generator whose floats are probes."""

        shuffle = _shuffling(generator.shuffle)

    class DrawingState(legacy):  # type: ignore[misc, valid-type]
        """The same of the older kind."""

        def __init__(self, seed: Any = None) -> None:
            super().__init__(0 if seed is None else seed)

        shuffle = _shuffling(legacy.shuffle)

    for kind, base, names in ((Drawing, generator, _DRAWN.split()), (DrawingState, legacy, _DRAWING.split())):
        for name in names:
            if hasattr(base, name):
                setattr(kind, name, _drawing(getattr(base, name), quietly, new))

    def drawing(rng: Any) -> Any:
        if type(rng) is generator:
            return Drawing(rng.bit_generator)
        if type(rng) is not legacy:
            return rng
        state = rng.get_state()
        twin = DrawingState(rng._bit_generator)
        twin.set_state(state)  # with the number that is left of a pair
        return twin

    whole = np.vectorize.__call__

    def vectorized(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not _holds_probes(args) and not _holds_probes(tuple(kwargs.values())):
            return whole(self, *args, **kwargs)
        return call(Vectorized(lambda *args, **kwargs: quietly(whole, self, *args, **kwargs)), args, kwargs)

    try:
        for name in _NEW.split():
            put(np, name, creating(getattr(np, name)))
        for name in _CONVERTING.split():
            put(np, name, _converting(getattr(np, name), quietly, new))
        for name in _DRAWING.split():
            put(np.random, name, creating(getattr(np.random, name)))
        put(np.random, "shuffle", _shuffling(np.random.shuffle, bound=True))
        # Without a seed no two runs would be alike.
        put(
            np.random,
            "default_rng",
            lambda seed=None: Drawing(quietly(make_rng, 0 if seed is None else seed).bit_generator),
        )
        put(np.random, "RandomState", DrawingState)
        put(np.vectorize, "__call__", vectorized)
        for space in spaces:
            for name, value in list(space.items()):
                if id(value) in instead and value is instead[id(value)][0]:
                    space[name] = instead[id(value)][1]  # who put these names there takes them back
        yield drawing
    finally:
        for module, name, function in reversed(kept):
            setattr(module, name, function)


def _drawing(drawn: Any, quietly: Callable[..., Any], new: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: new(quietly(drawn, self, *args, **kwargs))


def _shuffling(shuffle: Any, bound: bool = False) -> Callable[..., Any]:
    """Shuffle a probe in one step, not row by row."""

    def shuffled(*args: Any, **kwargs: Any) -> None:
        rng, x, rest = ((), args[0], args[1:]) if bound else ((args[0],), args[1], args[2:])
        if not isinstance(x, Probe) or rest or kwargs:
            shuffle(*args, **kwargs)
            return
        order = list(range(len(x)))
        shuffle(*rng, order)
        x[...] = x[order]

    return shuffled


def _converting(function: Any, quietly: Callable[..., Any], new: Callable[[Any], Any]) -> Callable[..., Any]:
    copies = function.__name__ == "array"

    def convert(x: Any, *args: Any, **kwargs: Any) -> Any:
        dtype = args[0] if args else kwargs.get("dtype")
        if isinstance(x, Probe):
            if dtype is not None and np.dtype(dtype) != x.dtype:
                return x.astype(dtype)
            x = x.copy() if copies and kwargs.get("copy", True) else x
            return x.reshape((1,) * (kwargs["ndmin"] - x.ndim) + x.shape) if kwargs.get("ndmin", 0) > x.ndim else x
        if type(x) in (list, tuple) and x and _holds_probes(x):
            stacked = _stacked(x)
            if stacked is not None:
                return stacked if dtype is None else stacked.astype(dtype)
        return new(quietly(function, x, *args, **kwargs))

    return convert


def _holds_probes(x: Any) -> bool:
    return any(isinstance(item, Probe) or (type(item) in (list, tuple) and _holds_probes(item)) for item in x)


def _stacked(x: Any) -> Any:
    items = [_stacked(item) if type(item) in (list, tuple) else item for item in x]
    shapes = {np.shape(item) for item in items}
    return call(np.stack, (items,), {}) if len(shapes) == 1 else None
