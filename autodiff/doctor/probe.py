"""The recording array: a numpy array that computes as ever and writes each call on a tape."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy import asarray  # bound here: while a tape runs, np.array is another

from autodiff.doctor.calls import Item, Named, Part, Unfit, added_at, fitted, is_whole, put
from autodiff.doctor.tape import Ref, Tape, same

#: The tapes that are running, the innermost last.
_tapes: list[Tape] = []


class Probe(np.ndarray[Any, Any]):
    """An array whose use is written on the running tape.

    A subclass of numpy's own array, so that a person's code finds nothing missing. Each probe knows the node that it
    holds; its
    data are compared with that node at every use, so that changes in place, through views too, are never lost.
    """

    node: int | None
    via: tuple[Any, Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None
    scalar: bool  # it stands for one of numpy's numbers, which nothing changes in place

    def __array_finalize__(self, obj: Any) -> None:
        self.node = None
        self.via = None
        self.scalar = False

    # numpy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.pop("out", None)
        if not _tapes:
            if out is not None:
                kwargs["out"] = plain(out)
            done = getattr(ufunc, method)(*plain(inputs), **plain(kwargs))
            return out[0] if out is not None and len(out) == 1 else done
        if method == "at":
            return _at(ufunc, *inputs)
        func = ufunc if method == "__call__" else Part(ufunc, method)
        if out is None or all(target is None or getattr(target, "scalar", False) for target in out):
            return call(func, inputs, kwargs)  # `s += x` makes a new number of a number s
        targets = tuple(out)
        noted = _noted((inputs, kwargs))
        try:
            value = func(*plain(inputs), **plain(kwargs))
        except ValueError:
            if len(inputs) != 2 or inputs[0] is not targets[0] or not isinstance(targets[0], Probe):
                raise
            # `w -= g` where g has a shape that cannot be: noted, and w stays as it is.
            node = _tapes[-1].record(Unfit(func), noted[0], noted[1], plain(inputs[1]))
            node.misfit = node_of(targets[0])
            return targets[0]
        for target, part in zip(targets, value if len(targets) > 1 else (value,), strict=True):
            _write(target, part, func, *noted)
        return targets[0] if len(targets) == 1 else targets

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return call(func, args, kwargs)

    # What numpy does without asking

    def __getitem__(self, index: Any) -> Any:
        return call(operator.getitem, (self, index), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        if not _tapes:
            self.view(np.ndarray)[plain(index)] = plain(value)
            return
        way = value.via if isinstance(value, Probe) else None
        if way is not None and way[0] is self and way[1] is operator.getitem and way[2][0] is index:
            return  # the second half of `x[i] += y`, which has changed x through the view x[i] already
        noted = _noted(((self, index, value), {}), stale=self)
        self.view(np.ndarray)[plain(index)] = plain(value)
        data = self.view(np.ndarray)
        before = _tapes[-1].find(data) if self.size > 1 else None
        if before is not None and before in _tapes[-1].kept(self.node):
            _became(self, before)  # an element was changed to try something, and is put back
            return
        if is_whole(index) and isinstance(noted[0][2], Ref):
            node = _tapes[-1].record(fitted, (noted[0][2], self.shape, self.dtype), {}, data)
        elif is_whole(index):
            node = _tapes[-1].leaf(data)  # whatever it held is gone
        else:
            node = _tapes[-1].record(put, noted[0], noted[1], data)
        _became(self, node.id)

    def __iter__(self) -> Iterator[Any]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __hash__(self) -> int:  # type: ignore[override]
        if self.ndim:
            raise TypeError("unhashable type: 'numpy.ndarray'")
        return hash(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item() if not self.ndim else self.view(np.ndarray), spec)

    def __repr__(self) -> str:
        return repr(self.view(np.ndarray) if self.ndim else self.view(np.ndarray)[()])

    def __str__(self) -> str:
        return str(self.view(np.ndarray))

    def __round__(self, digits: int | None = None) -> Any:
        return round(self.item()) if digits is None else call(np.round, (self, digits), {})

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    def __reduce__(self) -> Any:
        return self.view(np.ndarray).__reduce__()

    def fill(self, value: Any) -> None:
        """Assign one value to all elements."""
        self[...] = value

    @property
    def T(self) -> Any:
        """The axes in reverse order."""
        return call(np.transpose, (self,), {})

    @property
    def mT(self) -> Any:
        """The last two axes swapped."""
        return call(np.swapaxes, (self, -1, -2), {})


def _method(name: str) -> Callable[..., Any]:
    named = Named(name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return call(named, (self, *args), kwargs)

    method.__name__ = name
    return method


for _name in [
    "all",
    "any",
    "argmax",
    "argmin",
    "argsort",
    "astype",
    "clip",
    "compress",
    "conj",
    "conjugate",
    "copy",
    "cumprod",
    "cumsum",
    "diagonal",
    "dot",
    "flatten",
    "max",
    "mean",
    "min",
    "nonzero",
    "prod",
    "ravel",
    "repeat",
    "reshape",
    "round",
    "squeeze",
    "std",
    "sum",
    "swapaxes",
    "take",
    "trace",
    "transpose",
    "var",
]:
    setattr(Probe, _name, _method(_name))


@contextmanager
def recording(tape: Tape) -> Iterator[Tape]:
    """Write on `tape` what probes compute inside."""
    _tapes.append(tape)
    try:
        yield tape
    finally:
        _tapes.remove(tape)


def probe(data: Any, node: int | None = None) -> Probe:
    """Return a probe on the memory of `data`; a leaf of the running tape unless it is a `node` already."""
    made = asarray(data).view(Probe)
    made.node = node if node is not None or not _tapes else _tapes[-1].leaf(data).id
    return made


def plain(value: Any) -> Any:
    """Return nested arguments with plain arrays, on the same memory, in place of probes."""
    if isinstance(value, Probe):
        return value.view(np.ndarray)
    if type(value) in (tuple, list):
        return type(value)(plain(item) for item in value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call `func` on plain arrays and write it on the tape."""
    if not _tapes:
        return func(*plain(args), **plain(kwargs))
    if kwargs.get("out") is not None:
        rest = {key: item for key, item in kwargs.items() if key != "out"}
        noted = _noted((args, rest))
        target = kwargs["out"][0] if isinstance(kwargs["out"], tuple) else kwargs["out"]
        _write(target, func(*plain(args), **plain(rest)), func, *noted)
        return target
    noted = _noted((args, kwargs))
    value = func(*plain(args), **plain(kwargs))
    if isinstance(value, (tuple, list)):
        kind = type(value)
        items = [
            _wrap(item, Item(func, i), noted) if isinstance(item, (np.ndarray, np.generic)) else item
            for i, item in enumerate(value)
        ]
        return kind(items) if kind in (tuple, list) else kind(*items)
    result = _wrap(value, func, noted)
    if not (isinstance(result, Probe) and args and isinstance(args[0], Probe)):
        return result
    if result.ndim and result.base is not None and np.may_share_memory(result, args[0]):
        result.via = (args[0], func, args[1:], kwargs)
    return result


def node_of(array: Any) -> int | None:
    """Return the node on the running tape that an array holds now."""
    if not isinstance(array, Probe):
        return _tapes[-1].find(array) if _tapes and isinstance(array, np.ndarray) else None
    tape = _tapes[-1]
    data = array.view(np.ndarray)
    if array.node is not None and array.node < len(tape):
        held = tape[array.node].value
        if held.shape == data.shape and held.dtype == data.dtype and same(held, data):
            return array.node
    if array.via is not None:
        source, func, args, kwargs = array.via
        node_of(source)
        noted = _noted(((source, *args), kwargs))
        value = func(*plain((source, *args)), **plain(kwargs))
        if value.shape == data.shape and value.tobytes() == data.tobytes():
            array.node = tape.record(func, noted[0], noted[1], value).id
            return array.node
    found = tape.find(data)
    if found is None and array.node is not None and tape[array.node].value.tobytes() == data.tobytes():
        found = tape.record(np.reshape, (Ref(array.node), data.shape), {}, data).id
    # Numbers that came from no recorded call. Round ones are constants; others were computed out of sight.
    array.node = (
        found if found is not None else tape.leaf(data, opaque=array.node is None and data.dtype.kind == "f").id
    )
    return array.node


def _wrap(value: Any, func: Callable[..., Any], noted: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
    if not isinstance(value, (np.ndarray, np.generic)) or value.dtype.kind not in "biuf":
        return value
    data = asarray(value)
    made = probe(data, _tapes[-1].record(func, noted[0], noted[1], data).id)
    made.scalar = isinstance(value, np.generic)
    return made


def _noted(call: tuple[tuple[Any, ...], dict[str, Any]], stale: Probe | None = None) -> Any:
    """Return arguments as the tape keeps them: nodes as `Ref`, arrays copied."""
    tape = _tapes[-1]

    def note(value: Any) -> Any:
        if isinstance(value, Probe):
            if value is stale and value.node is not None:
                return Ref(value.node)
            return Ref(node_of(value))  # type: ignore[arg-type]
        if isinstance(value, np.ndarray):
            found = tape.find(value)
            if found is None and value.dtype.kind in "biuf":
                found = tape.constant(value)
            return value.copy() if found is None else Ref(found)
        if isinstance(value, float) and abs(value) * 1024 % 1:
            found = tape.find_number(value) if value not in tape.literals else None
            if found is None:
                tape.literals.add(value)
            return value if found is None else Ref(found)
        if type(value) in (tuple, list):
            return type(value)(note(item) for item in value)
        if isinstance(value, dict):
            return {key: note(item) for key, item in value.items()}
        return value

    return note(call)


def _write(target: Any, value: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Put a result into an existing array: ``x -= y``, ``out=x``. What does not fit is noted, not written."""
    tape = _tapes[-1]
    node = tape.record(func, args, kwargs, value)
    data = plain(target)
    fits = np.broadcast_shapes(np.shape(value), data.shape) == data.shape if _broadcast(value, data) else False
    if not fits:
        node.misfit = node_of(target)
        return
    if not np.can_cast(asarray(value).dtype, data.dtype, "same_kind"):
        raise TypeError(
            f"Cannot cast ufunc {func.__name__!r} output from dtype({str(asarray(value).dtype)!r}) to "
            f"dtype({str(data.dtype)!r}) with casting rule 'same_kind'"
        )
    if np.shape(value) != data.shape or asarray(value).dtype != data.dtype:
        node = tape.record(fitted, (Ref(node.id), data.shape, data.dtype), {}, fitted(value, data.shape, data.dtype))
    data[...] = value
    if isinstance(target, Probe):
        _became(target, node.id)


def _broadcast(value: Any, data: Any) -> bool:
    try:
        np.broadcast_shapes(np.shape(value), data.shape)
    except ValueError:
        return False
    return True


def _at(ufunc: np.ufunc, array: Any, index: Any, *value: Any) -> None:
    noted = _noted(((ufunc, array, index, *value), {}))
    ufunc.at(plain(array), plain(index), *plain(value))
    node = _tapes[-1].record(added_at, noted[0], noted[1], plain(array))
    if isinstance(array, Probe):
        _became(array, node.id)


def _became(array: Probe, node: int) -> None:
    """Note that a probe now holds another node, and what that makes of the probe that it is a view of."""
    array.node = node
    if array.via is None:
        return
    source, func, args, _kwargs = array.via
    if not isinstance(source, Probe) or source.node is None:
        return
    tape = _tapes[-1]
    data = source.view(np.ndarray)
    if func is operator.getitem:
        noted = _noted(((args[0],), {}))[0]
        new = tape.record(put, (Ref(source.node), noted[0], Ref(node)), {}, data)
    elif func is np.transpose and not args:
        new = tape.record(np.transpose, (Ref(node),), {}, data)
    elif getattr(func, "__name__", "") in ("reshape", "ravel"):
        new = tape.record(np.reshape, (Ref(node), data.shape), {}, data)
    else:
        return
    _became(source, new.id)
