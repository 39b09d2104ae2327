"""An array that writes on a tape what numpy is asked to do with it.

It speaks numpy's own protocols, so that a Tensor can hold one: the operations and their rules run on it as they run on
any array, and so does plain numpy code, an optimizer's update for one. Each call is computed at once on the real
arrays; they are never changed in place, so that a recording can be given up without a trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from autodiff.compile.kinds import bringing, home
from autodiff.compile.tape import CompileError, Method, UfuncMethod, Value, put
from autodiff.sources import caller
from autodiff.tensor import Tensor

if TYPE_CHECKING:
    from autodiff.compile.record.recorder import Recorder

#: What depends on shapes and dtypes alone, and is therefore a plain fact of the plan.
_FACTS = {np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.min_scalar_type, np.iscomplexobj, np.isrealobj}
_FACTS |= {np.may_share_memory, np.shares_memory, np.common_type}
_CREATING = {np.asarray, np.array, np.arange, np.ones, np.zeros, np.empty, np.full, np.eye, np.identity, np.tri}


class Recorded(NDArrayOperatorsMixin):
    """An array under recording; see the module."""

    __slots__ = ("_index", "_parent", "_seen", "_version", "array", "first", "recorder", "scalar", "value")
    __array_priority__ = 900.0
    __hash__ = object.__hash__

    def __init__(self, recorder: Recorder, value: Value, array: Any) -> None:
        self.recorder = recorder
        self.value = self.first = value
        self.array = array
        if value.home is not None:
            recorder.abroad = True
        #: Whether numpy would give a scalar, which nothing can change in place.
        self.scalar = False
        self._version = 0
        self._parent: Recorded | None = None
        self._seen = 0
        self._index: Any = None

    def current(self) -> Value:
        """Return the value that this array has now; refuse a view of what has been changed since."""
        view = self
        while view._parent is not None:
            if view._parent._version != view._seen:
                refuse("reads a view of an array that was changed in place since", "take the view anew")
            view = view._parent
        return self.value

    def owner(self) -> Recorded:
        """Return the array that this one is a view of, or itself."""
        view = self
        while view._parent is not None:
            view = view._parent
        return view

    def look_at(self, parent: Recorded) -> None:
        """Be a view of `parent`."""
        self._parent, self._seen = parent, parent._version

    # numpy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented
        outs = kwargs.pop("out", None)
        function: Any = ufunc if method == "__call__" else UfuncMethod(ufunc, method)
        where = kwargs.get("where", True)
        if where is not True and method == "__call__" and outs is not None and isinstance(outs[0], Recorded):
            del kwargs["where"]  # elsewhere the old content stays
            outs[0].write(np.where(where, self.recorder.call(ufunc, inputs, kwargs), outs[0]))
            return outs[0]
        if method == "at":
            target = inputs[0]
            if not isinstance(target, Recorded):
                _refuse_target(target)
            target.write(self.recorder.call(_at, (ufunc, *inputs), {}))
            return None
        result = self.recorder.call(function, inputs, kwargs)
        if outs is None or all(out is None or (isinstance(out, Recorded) and out.scalar) for out in outs):
            return result
        results = result if isinstance(result, tuple) else (result,)
        written = tuple(r if out is None else _store(out, r) for out, r in zip(outs, results, strict=True))
        return written if isinstance(result, tuple) else written[0]

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if any(issubclass(kind, Tensor) for kind in types):
            return NotImplemented
        if function in _FACTS:
            return function(*concrete(args), **concrete(kwargs))
        if function is np.copyto:
            return _copyto(*args, **kwargs)
        out = kwargs.pop("out", None)
        if function in (np.array, np.asarray) and args and isinstance(args[0], Recorded):  # with like=self
            return self.recorder.call(bringing(self.array), args, kwargs)
        if function in _CREATING:  # it was called with like=, and depends on nothing in the program
            return self.recorder.constant(function(*args, **kwargs, like=self.array))
        result = self.recorder.call(function, args, kwargs)
        return result if out is None else _store(out, result)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if self.recorder.open and self.value.kind != "constant":
            refuse(
                "turns an array of the step into a plain one",
                "leave out np.asarray and float(), and fill `out = np.zeros(shape, like=x)`, not a plain np.zeros",
            )
        return np.array(self.array, dtype=dtype, copy=copy)

    # What is known without computing

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        return self.array.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        return self.array.size  # type: ignore[no-any-return]

    @property
    def base(self) -> Any:
        """Something, if this is a view."""
        return getattr(self.array, "base", None)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __len__(self) -> int:
        return len(self.array)

    def __repr__(self) -> str:
        return f"<recorded array of {self.dtype}, shape {self.shape}>"

    # What would end in Python

    def __bool__(self) -> bool:
        return self.recorder.decided(self)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        return self.item().__index__()  # type: ignore[no-any-return]

    def item(self, *index: Any) -> Any:
        if self.recorder.open and self.value.kind != "constant":
            refuse("takes a number out of an array", "return the array, and take the number from what is returned")
        return self.array.item(*index)

    def tolist(self) -> Any:
        return self.array.tolist() if not self.recorder.open else self.item()

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    # Elements

    def __getitem__(self, index: Any) -> Any:
        taken = self.recorder.call(_getitem, (self, index), {})
        if isinstance(taken, Recorded) and taken._parent is not None:
            taken._index = index
        return taken

    def __setitem__(self, index: Any, value: Any) -> None:
        mine = isinstance(value, Recorded) and value._parent is self and value._seen == self._version
        if mine and repr(value._index) == repr(index):  # the second half of `x[i] += v`, which has written already
            return
        self.write(self.recorder.call(put, (self, index, value), {}))

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __pow__(self, exponent: Any) -> Any:
        # As ndarray does: the operator is quicker than np.power for these.
        if type(exponent) in (int, float) and self.dtype.kind == "f" and exponent in _POWERS:
            return _POWERS[exponent](self)
        return np.power(self, exponent)

    def write(self, new: Any) -> None:
        """Become what `new` is: the meaning of every change in place."""
        if not self.recorder.open:
            self.array[...] = concrete(new)
            return
        new = new if isinstance(new, Recorded) else self.recorder.constant(np.asarray(new, like=self.array))
        if new.shape != self.shape or new.dtype != self.dtype or home(new.array) is not home(self.array):
            new = self.recorder.call(_like, (self, new), {})
        if self._parent is not None:
            parent = self._parent
            if self._index is not None:
                parent.write(self.recorder.call(put, (parent, self._index, new), {}))
            elif self.size == parent.size and self.value.call is not None and self.value.call.function in _RESHAPING:
                parent.write(self.recorder.call(np.reshape, (new, parent.shape), {}))
            elif self.value.call is not None and self.value.call.function is _transposed:
                parent.write(self.recorder.call(_transposed, (new,), {}))
            else:
                refuse("changes an array in place through a view of it", "change the array itself")
            self._seen = parent._version
        self.value = new.current()
        self.array = new.array
        self._version += 1

    def fill(self, value: Any) -> None:
        self[...] = value

    def sort(self, axis: int = -1, kind: Any = None, order: Any = None) -> None:
        self.write(self.recorder.call(np.sort, (self, axis), {}))

    def __getattr__(self, name: str) -> Any:
        if name in ("T", "mT", "real", "imag"):
            return self.recorder.call(_ATTRIBUTES[name], (self,), {})
        if name in ("itemsize", "nbytes", "strides", "flags"):
            return getattr(self.array, name)
        found = getattr(np.ndarray, name, None)
        if name.startswith("_") or found is None:
            raise AttributeError(f"a recorded array has no {name!r}")
        if not callable(found):
            refuse(f"uses .{name} of an array", "write it with indices and numpy's functions")
        if name in _IN_PLACE:
            refuse(f"calls .{name}(), which changes an array in place", f"write np.{name}(...), or assign to x[...]")

        def method(*args: Any, out: Any = None, **kwargs: Any) -> Any:
            result = self.recorder.call(Method(name), (self, *args), kwargs)
            return result if out is None else _store(out, result)

        return method


_IN_PLACE = {"partition", "resize", "put", "setfield", "setflags", "byteswap"}
_POWERS = {2: np.square, 0.5: np.sqrt, -1: np.reciprocal, 1: np.positive}


def refuse(what: str, cure: str) -> NoReturn:
    """Raise for something in a person's code that a program cannot do."""
    line = caller()
    raise CompileError(f"the step {what}, so a program of it would go wrong; {cure}{f' ({line})' if line else ''}")


_RESHAPING = {np.reshape, np.ravel, Method("reshape"), Method("ravel"), Method("squeeze"), np.squeeze, np.expand_dims}


def _getitem(array: Any, index: Any) -> Any:
    return array[index]


def _transposed(array: Any) -> Any:
    return array.T


_ATTRIBUTES: dict[str, Callable[[Any], Any]] = {
    "T": _transposed,
    "mT": lambda array: np.swapaxes(array, -1, -2),
    "real": np.real,
    "imag": np.imag,
}


def _like(target: Any, value: Any) -> Any:
    """What ``target[...] = value`` leaves in `target`."""
    result = np.empty_like(target)
    result[...] = value
    return result


def _at(ufunc: np.ufunc, target: Any, *args: Any) -> Any:
    """What ``ufunc.at(target, ...)`` leaves in `target`."""
    result = target.copy()
    ufunc.at(result, *args)
    return result


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    if not isinstance(dst, Recorded):
        _refuse_target(dst)
    dst.write(src if where is True else np.where(where, src, dst))


def _store(out: Any, result: Any) -> Any:
    """Put a result where the call was told to: ``out=``."""
    target = out[0] if isinstance(out, tuple) else out
    if not isinstance(target, Recorded):
        _refuse_target(target)
    target.write(result)
    return target


def _refuse_target(target: Any) -> NoReturn:
    refuse(
        f"writes into an array of shape {np.shape(target)} that it neither was given nor made",
        "pass the array to the function, or keep it on an object that the function uses",
    )


def concrete(tree: Any) -> Any:
    """Return arguments with the real arrays in them."""
    if isinstance(tree, Recorded):
        return tree.array
    if type(tree) is tuple:
        return tuple([concrete(item) for item in tree])
    if type(tree) is list:
        return [concrete(item) for item in tree]
    if type(tree) is dict:
        return {key: concrete(item) for key, item in tree.items()}
    return tree


def mixing(tree: Any) -> Any:
    """Return arguments as `concrete` does, but numbers as scalars: other kinds mix with no 0-d array of numpy's."""
    if isinstance(tree, Recorded):
        number = tree.scalar or tree.value.kind in ("fresh", "constant")
        return tree.array[()] if number and type(tree.array) is np.ndarray else tree.array
    if type(tree) in (tuple, list):
        return type(tree)([mixing(item) for item in tree])
    if type(tree) is dict:
        return {key: mixing(item) for key, item in tree.items()}
    return tree
