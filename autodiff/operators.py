"""What a Tensor does like a numpy array: operators, comparisons, elements, methods."""

from __future__ import annotations

import inspect
import math
import operator
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from autodiff.op import apply, handlers, registry, strip
from autodiff.state import grad_mode

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


def _as_numpy(name: str) -> Callable[..., Any]:
    """Return a method that does what the numpy function of that name does."""
    function = getattr(np, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return handlers[function](self, *args, **kwargs)

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

    # Elements

    def __getitem__(self, index: Any) -> Tensor:
        return apply(registry["getitem"], (self,), {"index": settled(index)})  # type: ignore[no-any-return]

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
        return float(_read_out(self))

    def __int__(self) -> int:
        return int(_read_out(self))

    def __complex__(self) -> complex:
        return complex(_read_out(self))

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
        return apply(registry["transpose"], (self,), {})  # type: ignore[no-any-return]

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped."""
        return apply(registry["swapaxes"], (self,), {"axis1": -1, "axis2": -2})  # type: ignore[no-any-return]

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

    def reshape(self, *shape: Any, order: str = "C") -> Tensor:
        """Return the same elements in another shape, as ``np.reshape``."""
        wanted = shape[0] if len(shape) == 1 else shape
        return apply(registry["reshape"], (self,), {"shape": wanted, "order": order})  # type: ignore[no-any-return]

    def transpose(self, *axes: Any) -> Tensor:
        """Permute the axes, as ``ndarray.transpose``: reversed when none are given."""
        order = None if not axes else axes[0] if len(axes) == 1 else axes
        return apply(registry["transpose"], (self,), {"axes": order})  # type: ignore[no-any-return]

    def flatten(self, order: str = "C") -> Tensor:
        """Return a flat copy, as ``ndarray.flatten``."""
        return self.ravel(order).copy()  # type: ignore[no-any-return]

    def compress(self, condition: Any, axis: Any = None, out: Any = None) -> Tensor:
        """Return the slices where a condition holds, as ``np.compress``."""
        return handlers[np.compress](condition, self, axis, out)  # type: ignore[no-any-return]

    def fill(self, value: Any) -> None:
        """Assign one value to all elements: ``t[...] = value``."""
        self[...] = value


# Numbers read out of a tensor. Python's protocol does not say who asks: `float(t)`, which is a read-out and said so,
# `math.sin(t)`, which would compute on without a gradient, and `array[0] = t` all call `__float__`. The caller's
# bytecode tells.


def _read_out(tensor: Any) -> Any:
    """Return the only element as a Python number; raise where whoever asks would lose the gradient unsaid."""
    if tensor.requires_grad and grad_mode.get():
        _refuse_loss(tensor, sys._getframe(2))
    return tensor.item() if tensor._data.size == 1 else tensor._data


#: What an instruction does with a number: assign it (``["="]``) or call with it what these names lead to.
_routes: dict[tuple[int, int], tuple[CodeType, list[str]]] = {}

#: Modules whose compiled functions compute with the numbers that they take.
_COMPUTING = {"math", "cmath", "numpy", "scipy"}
_FACTS = {math.isnan, math.isinf, math.isfinite, math.isclose, math.floor, math.ceil}


def _refuse_loss(tensor: Any, frame: FrameType) -> None:
    key = id(frame.f_code), frame.f_lasti
    if key not in _routes:
        if len(_routes) > 1000:
            _routes.clear()
        # The code object is kept, so that no other can take its id.
        _routes[key] = frame.f_code, _route(frame.f_code, frame.f_lasti)
    route = _routes[key][1]
    what = f"the tensor{f' {tensor.name!r}' if tensor.name else ''} of shape {tensor.shape}"
    if route == ["="]:
        raise TypeError(
            f"writing {what} into an array would lose its gradient; make the array a tensor first, `x = Tensor(x)`, "
            "build it with np.stack([...]), or write `t.data` when no gradient is wanted"
        )
    if route and _computes(_resolved(route, frame)):
        name = ".".join(route)
        raise TypeError(
            f"{name}(...) takes a plain number, so {what} would lose its gradient; call numpy's function for arrays "
            f"instead, as np.sin for math.sin, or write {name}(float(t)) when no gradient is wanted"
        )


def _route(code: CodeType, offset: int) -> list[str]:
    """Say what the instruction at `offset` does with a number that it converts; ``[]`` where that cannot be told."""
    import dis  # no cost to those who never read a tensor out

    steps = [i for i in dis.get_instructions(code) if i.offset <= offset and i.opname not in _NO_STEP]
    now = steps.pop()
    if now.opname in ("STORE_SUBSCR", "STORE_SLICE"):
        return ["="]
    at = now.positions
    if not now.opname.startswith("CALL") or at is None or at.col_offset is None:
        return []
    # A call and the expression of what is called begin at the same place in the source, unless that breaks a line.
    last = len(steps) - 1
    while last >= 0 and not _begins(steps[last].positions, at):
        last -= 1
    while last + 1 < len(steps) and steps[last + 1].opname in _ATTRIBUTE:
        last += 1
    names: list[str] = []
    for step in steps[last::-1] if last >= 0 else ():
        if step.opname == "PUSH_NULL":
            continue
        if step.opname in _ATTRIBUTE:
            names.append(step.argval)
        elif "LOAD_" in step.opname and step.opname != "LOAD_CONST" and isinstance(step.argval, (str, tuple)):
            names.append(step.argval if isinstance(step.argval, str) else step.argval[-1])
            return names[::-1]
        else:
            break
    return []


_NO_STEP = {"EXTENDED_ARG", "PRECALL", "NOP", "CACHE"}
_ATTRIBUTE = {"LOAD_ATTR", "LOAD_METHOD"}


def _begins(part: Any, whole: Any) -> bool:
    """Whether a range of source code (line, last line, column, last column) begins where a longer one begins."""
    return part is not None and part[::2] == whole[::2] and part[1::2] != whole[1::2]


def _resolved(route: list[str], frame: FrameType) -> Any:
    """Return what a chain of names leads to in a frame, without running any code for it; `None` if unknown."""
    name, *attributes = route
    found = None
    for names in (frame.f_locals, frame.f_globals, frame.f_builtins):
        if name in names:
            found = names[name]
            break
    for attribute in attributes:
        look = getattr if isinstance(found, np.ndarray) else inspect.getattr_static
        found = look(found, attribute, None)
    if isinstance(found, (partial, staticmethod)):
        return found.func if isinstance(found, partial) else found.__func__
    return found


def _computes(function: Any) -> bool:
    if not inspect.isroutine(function) and not inspect.isclass(function):
        return False
    owner = getattr(function, "__objclass__", None)  # of a method; a bound one has an object that is no module
    bound = getattr(function, "__self__", None)
    if owner is None and bound is not None and not inspect.ismodule(bound):
        owner = type(bound)
    module = getattr(owner or function, "__module__", None) or ""
    return function is operator.setitem or (module.split(".")[0] in _COMPUTING and function not in _FACTS)
