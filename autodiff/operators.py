"""What a Tensor does like a numpy array: operators, comparisons, elements, methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from autodiff.op import apply, handlers, registry, strip
from autodiff.readout import read_out
from autodiff.sharing import follow

if TYPE_CHECKING:
    from autodiff.tensor import Tensor


def _unary(name: str) -> Callable[[Any], Tensor]:
    def method(self: Any) -> Tensor:
        return apply(registry[name], (self,), {})  # type: ignore[no-any-return]

    return method


def _binary(name: str) -> tuple[Callable[[Any, Any], Tensor], Callable[[Any, Any], Tensor]]:
    """Return the operator and its reflected form."""

    def method(self: Any, other: Any) -> Tensor:
        return apply(registry[name], (self, other), {})  # type: ignore[no-any-return]

    def reflected(self: Any, other: Any) -> Tensor:
        return apply(registry[name], (other, self), {})  # type: ignore[no-any-return]

    return method, reflected


def _view(name: str, x: Any, params: dict[str, Any]) -> Tensor:
    declared = registry[name]
    return follow(apply(declared, (x,), params), declared, x, params)


def _as_numpy(name: str) -> Callable[..., Any]:
    """Return a method that does what the numpy function of that name does."""
    function = getattr(np, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        handler = handlers[function] if kwargs.get("out") is None else function
        return handler(self, *args, **kwargs)

    method.__name__, method.__doc__ = name, f"As ``np.{name}``."
    return method


def _not_in_place(name: str) -> Callable[..., Any]:
    """Return a method that refuses what numpy's does in place."""

    def method(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"t.{name}(...) would change the tensor of shape {self.shape} in place, as numpy's method does; write "
            f"`t = np.{name}(t, ...)` for a new one"
        )

    method.__name__, method.__doc__ = name, f"Refuse: ``np.{name}`` returns a new tensor."
    return method


def settled(index: Any) -> Any:
    """Return an index without Tensors in it, and with arrays that nobody can change before the backward pass."""
    if isinstance(index, (int, slice)):
        return index
    if isinstance(index, tuple):
        return tuple([settled(part) for part in index])
    index = strip(index)
    return index.copy() if hasattr(index, "__array_function__") else index


#: What to write instead of an attribute that only arrays have.
_INSTEAD = {
    "flat": "`t.ravel()` to read the elements in a row, `t[index] = value` to write one",
    "strides": "`np.lib.stride_tricks.sliding_window_view(t, window_shape)` for windows",
}


class Operators:
    """The part of a Tensor's face that it shares with ``np.ndarray``. Every method is an op, or a plain fact."""

    __slots__ = ()

    _data: Any

    # Arithmetic

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("subtract")
    __mul__, __rmul__ = _binary("multiply")
    __truediv__, __rtruediv__ = _binary("divide")
    __pow__, __rpow__ = _binary("power")
    __matmul__, __rmatmul__ = _binary("matmul")
    __mod__, __rmod__ = _binary("remainder")
    __neg__ = _unary("negative")
    __pos__ = _unary("positive")
    __abs__ = _unary("absolute")

    def __floordiv__(self, other: Any) -> Any:
        return self._data // strip(other)

    def __rfloordiv__(self, other: Any) -> Any:
        return strip(other) // self._data

    def __round__(self, digits: int | None = None) -> Any:
        return handlers[np.round](self, digits or 0)

    def __divmod__(self, other: Any) -> tuple[Any, Tensor]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Tensor]:
        return other // self, other % self

    if TYPE_CHECKING:  # attached by assignment.py, which needs the Tensor

        def __iadd__(self, other: Any) -> Tensor: ...
        def __isub__(self, other: Any) -> Tensor: ...
        def __imul__(self, other: Any) -> Tensor: ...
        def __itruediv__(self, other: Any) -> Tensor: ...
        def __ipow__(self, other: Any) -> Tensor: ...
        def __imod__(self, other: Any) -> Tensor: ...
        def __ifloordiv__(self, other: Any) -> Tensor: ...
        def __imatmul__(self, other: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...

    # Comparisons are facts about values, outside the graph

    def __eq__(self, other: object) -> Any:
        return self._data == strip(other)

    def __ne__(self, other: object) -> Any:
        return self._data != strip(other)

    def __lt__(self, other: Any) -> Any:
        return self._data < strip(other)

    def __le__(self, other: Any) -> Any:
        return self._data <= strip(other)

    def __gt__(self, other: Any) -> Any:
        return self._data > strip(other)

    def __ge__(self, other: Any) -> Any:
        return self._data >= strip(other)

    __hash__ = object.__hash__

    if not TYPE_CHECKING:  # it would take every name for an attribute

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_") or not hasattr(np.ndarray, name):
                raise AttributeError(f"a {type(self).__name__} has no attribute {name!r}")
            cure = f"{_INSTEAD[name]}, or " if name in _INSTEAD else ""
            raise AttributeError(
                f"a Tensor has no {name!r}; write {cure}`t.data.{name}`, the array's own, outside the graph"
            )

    # Elements

    def __getitem__(self, index: Any) -> Tensor:
        return _view("getitem", self, {"index": settled(index)})

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        if not self._data.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return bool(strip(value) in self._data)

    def __bool__(self) -> bool:
        return bool(self._data)

    def __float__(self) -> float:
        return float(read_out(self))

    def __int__(self) -> int:
        return int(read_out(self))

    def __complex__(self) -> complex:
        return complex(read_out(self))

    def __index__(self) -> int:
        return self._data.__index__()  # type: ignore[no-any-return]

    def __format__(self, spec: str) -> str:
        return format(self.item() if self._data.size == 1 else self._data, spec) if spec else repr(self)

    def item(self, *index: Any) -> Any:
        """Return one element as a Python number."""
        data = self._data if hasattr(self._data, "item") else np.asarray(self._data)  # Dask's arrays have none
        return data.item(*index)

    def tolist(self) -> Any:
        """Return the data as nested Python lists."""
        return self._data.tolist()

    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return _view("transpose", self, {})

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped."""
        return _view("swapaxes", self, {"axis1": -1, "axis2": -2})

    @property
    def real(self) -> Any:
        """The tensor itself, which is real."""
        return handlers[np.real](self)

    @property
    def imag(self) -> Any:
        """Zeros, a plain array."""
        return handlers[np.imag](self)

    # numpy's methods

    sum = _as_numpy("sum")
    mean = _as_numpy("mean")
    max = _as_numpy("max")
    min = _as_numpy("min")
    prod = _as_numpy("prod")
    var = _as_numpy("var")
    std = _as_numpy("std")
    clip = _as_numpy("clip")
    ptp = _as_numpy("ptp")
    cumsum = _as_numpy("cumsum")
    cumprod = _as_numpy("cumprod")
    round = _as_numpy("round")
    conj = conjugate = _as_numpy("conjugate")
    dot = _as_numpy("dot")
    squeeze = _as_numpy("squeeze")
    swapaxes = _as_numpy("swapaxes")
    ravel = _as_numpy("ravel")
    copy = _as_numpy("copy")
    astype = _as_numpy("astype")
    argmax = _as_numpy("argmax")
    argmin = _as_numpy("argmin")
    argsort = _as_numpy("argsort")
    any = _as_numpy("any")
    all = _as_numpy("all")
    nonzero = _as_numpy("nonzero")
    take = _as_numpy("take")
    put = _as_numpy("put")
    repeat = _as_numpy("repeat")
    choose = _as_numpy("choose")
    diagonal = _as_numpy("diagonal")
    trace = _as_numpy("trace")
    argpartition = _as_numpy("argpartition")
    searchsorted = _as_numpy("searchsorted")
    sort = _not_in_place("sort")
    partition = _not_in_place("partition")
    resize = _not_in_place("resize")

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Tensor:
        """Return the same elements in another shape, as ``np.reshape``."""
        wanted = shape[0] if len(shape) == 1 else shape
        if copy is not None or order == "A":
            return handlers[np.reshape](self, wanted, order, copy=copy)  # type: ignore[no-any-return]
        return _view("reshape", self, {"shape": wanted, "order": order})

    def transpose(self, *axes: Any) -> Tensor:
        """Permute the axes, as ``ndarray.transpose``: reversed when none are given."""
        order = None if not axes else axes[0] if len(axes) == 1 else axes
        return _view("transpose", self, {"axes": order})

    def flatten(self, order: str = "C") -> Tensor:
        """Return a flat copy, as ``ndarray.flatten``."""
        return self.ravel(order).copy()  # type: ignore[no-any-return]

    def compress(self, condition: Any, axis: Any = None, out: Any = None) -> Tensor:
        """Return the slices where a condition holds, as ``np.compress``."""
        return handlers[np.compress](condition, self, axis, out)  # type: ignore[no-any-return]

    def fill(self, value: Any) -> None:
        """Assign one value to all elements: ``t[...] = value``."""
        self[...] = value
