"""The Tensor: an array that remembers the operation it came from. It is itself the node of the graph."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

import autodiff.op as op_module
from autodiff.changes import LENT, lend, observe, tick
from autodiff.op import Op, at_stake, handlers, masked, strip
from autodiff.operators import Operators
from autodiff.readout import refuse_store
from autodiff.state import grad_mode

if TYPE_CHECKING:
    from autodiff.draw.graph import Graph
    from autodiff.sharing import Sharing
    from autodiff.sources import Source


class Tensor(Operators):
    """An array with a gradient.

    Parameters
    ----------
    data : array_like
        Copied. `as_tensor` shares instead. Any array that speaks numpy's protocols is held as it is.
    requires_grad : bool
        Record what is computed from this tensor, so that ``backward()`` reaches it.
    name : str, optional
        What messages and pictures call it.
    dtype : dtype, optional
        As in ``np.array``.

    Attributes
    ----------
    grad : array or None
        The gradient, of the shape, dtype and array type of `data`; ``backward()`` adds to it.
    op : Op or None
        The operation that made this tensor; `None` for a leaf.
    inputs : tuple
        That operation's operands, in order: Tensors, arrays and scalars. `None` once the graph was freed.
    params : dict
        That operation's other arguments.
    number : int
        Creation number: an operand's is smaller than its result's.
    scope : tuple of str
        The layers that were running, outermost first.
    source : Source or None
        The line of code that computed it, under `record_sources`.

    Raises
    ------
    TypeError
        `requires_grad` for data that has no derivative (integers, booleans, complex numbers, objects).
    """

    __slots__ = (
        "__weakref__",
        "_data",
        "_hooks",
        "_past",
        "_print",
        "changed",
        "grad",
        "inputs",
        "name",
        "number",
        "op",
        "params",
        "requires_grad",
        "scope",
        "source",
    )

    _data: Any
    grad: Any
    requires_grad: bool
    name: str | None
    op: Op | None
    inputs: tuple[Any, ...] | None
    params: dict[str, Any]
    number: int
    #: When the data was last changed in place, on the clock of the creation numbers; 0 for never.
    changed: int
    scope: tuple[str, ...]
    source: Source | None
    _hooks: dict[int, Callable[[Any], Any]] | None
    #: What this tensor was before each `x[i] = v`, and whose memory it shares; see sharing.py.
    _past: Sharing | None
    #: What the data looked like when somebody outside could last be seen to leave it alone; see changes.py.
    _print: int | None

    def __init__(self, data: Any, requires_grad: bool = False, name: str | None = None, dtype: Any = None) -> None:
        # A list with tensors inside is left to numpy, which asks each for its array: that loses no gradient unsaid.
        data = data._data if isinstance(data, Tensor) else data
        if hasattr(data, "__array_function__") and not isinstance(data, np.generic):
            data = data.copy() if dtype is None else data.astype(dtype)
        else:
            data = np.array(data, dtype=dtype)
        make_leaf(self, data, requires_grad, name)

    if TYPE_CHECKING:  # attached by the modules that build on this one, engine.py and draw/

        def backward(self, gradient: Any = None, *, retain_grads: bool = False, free_graph: bool = False) -> None: ...
        def gradient(self, *inputs: Tensor, create_graph: bool = False) -> Any: ...
        def graph(self, **options: Any) -> Graph: ...

    # What it holds

    @property
    def data(self) -> Any:
        """The array itself, outside the graph. Assigning it marks the tensor as changed."""
        return lend(self)

    @data.setter
    def data(self, value: Any) -> None:
        value = strip(value)
        value = value if hasattr(value, "__array_function__") else np.asarray(value)
        if value.shape != self._data.shape:
            raise ValueError(
                f"cannot put data of shape {value.shape} into a tensor of shape {self._data.shape}; "
                "make a new Tensor instead"
            )
        if value.dtype != self._data.dtype:
            value = value.astype(self._data.dtype)
        self._data = value
        self._print = LENT
        self.changed = tick()

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._data.shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self._data.dtype  # type: ignore[no-any-return]

    @property
    def is_leaf(self) -> bool:
        """Whether this tensor was made by a person rather than by a recorded operation."""
        return self.op is None

    # What it takes part in

    def detach(self) -> Tensor:
        """Return a leaf without gradient that shares this tensor's memory."""
        return as_tensor(lend(self))

    def zero_grad(self) -> None:
        """Forget the gradient: ``.grad`` becomes `None`."""
        self.grad = None

    def register_hook(self, hook: Callable[[Any], Any]) -> Hook:
        """Call ``hook(gradient)`` in every backward pass once this tensor's gradient is complete.

        What it returns, unless `None`, takes the gradient's place.

        Returns
        -------
        Hook
            Its ``remove()`` takes the hook away again.
        """
        if not self.requires_grad:
            raise RuntimeError("a hook needs a tensor that requires a gradient: none ever flows into this one")
        if not callable(hook):
            raise TypeError(f"a hook is called with the gradient, as f(gradient); got {hook!r}")
        if self._hooks is None:
            self._hooks = {}
        key = tick()
        self._hooks[key] = hook
        return Hook(self._hooks, key)

    def as_of(self, number: int) -> Tensor:
        """Return what this tensor was for the operation with that creation `number`.

        Raises
        ------
        RuntimeError
            Its data was changed in place since then, so that the operation's derivative is lost.
        """
        if self.changed <= number:
            return self
        old = self._past.state(number) if self._past else None
        if old is not None:
            if old._print is not None:
                observe(old)
            return old.as_of(number)
        name = f" {self.name!r}" if self.name else ""
        raise RuntimeError(
            f"the tensor{name} of shape {self.shape} was changed in place after it was used in the forward "
            "computation, so its gradient can no longer be right: call backward() before changing it, or compute "
            "with a .copy()"
        )

    # numpy's protocols

    __array_priority__ = 1000.0

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function: Callable[..., Any] = ufunc
        if method != "__call__":
            function = getattr(ufunc, method)
            # `ufunc.reduce` is a new bound method each time: its handler stands under the pair.
            handler = handlers.get((ufunc, method))
        else:
            handler = handlers.get(ufunc)
        if "out" in kwargs:
            if not _refuse_out(ufunc.__name__, inputs, kwargs):
                return function(*strip(inputs), **strip(kwargs))
            del kwargs["out"]
        if handler is None:
            name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            _no_derivative(f"np.{name}" if getattr(np, ufunc.__name__, None) is ufunc else name, function)
        return handler(*inputs, **kwargs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if kwargs.get("out") is not None and not _refuse_out(function.__name__, args, kwargs):
            return function(*strip(args), **strip(kwargs))
        handler = handlers.get(function)
        if handler is None:
            name = f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)
            _no_derivative(name, function)
        return handler(*args, **kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if self.requires_grad and grad_mode.get():
            refuse_store(self, sys._getframe(1))
            raise TypeError(
                f"turning {brief(self)} into a plain array would lose its gradient; write `t.data` for the array, "
                "`t.detach()` for a tensor without history, np.stack([a, b]) to join tensors, or "
                "np.block([[a, b], [c, d]]) for rows of them"
            )
        return np.array(lend(self), dtype=dtype, copy=copy)

    @property
    def _mask(self) -> Any:
        # numpy.ma takes `_data` and `_mask` of whatever it meets: without this it would compute with the array alone.
        if self.requires_grad and grad_mode.get():
            raise TypeError(
                f"a masked array would lose the gradient of {brief(self)}; compute with np.where(mask, other, t) "
                "instead, or with `t.data` when no gradient is wanted"
            )
        raise AttributeError("a Tensor has no _mask")

    def __repr__(self) -> str:
        if isinstance(self._data, np.ndarray):
            body = np.array2string(self._data, separator=", ", prefix=f"{type(self).__name__}(")
        else:
            body = repr(self._data)
        facts = [body]
        if self.name:
            facts.append(f"name={self.name!r}")
        if self.dtype != np.float64:
            facts.append(f"dtype={self.dtype}")
        if self.op is not None:
            facts.append(f"op={self.op.name}")
        if self.requires_grad:
            facts.append("requires_grad=True")
        return f"{type(self).__name__}({', '.join(facts)})"

    def __copy__(self) -> Tensor:
        return self.__deepcopy__({}) if self.op is None else self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        twin: Tensor = type(self).__new__(type(self))
        make_leaf(twin, self._leaf_data().copy(), self.requires_grad, self.name)
        twin.grad = None if self.grad is None else self.grad.copy()
        memo[id(self)] = twin
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._leaf_data(), self.requires_grad, self.name, self.grad)

    def _leaf_data(self) -> Any:
        if self.op is not None:
            raise TypeError(
                f"{brief(self)} cannot be pickled or deep-copied: it is part of a graph; write t.detach() for its "
                "value, or t.copy() for a copy inside the graph"
            )
        return self._data


class Hook:
    """A registered hook; ``remove()`` takes it off its tensor."""

    def __init__(self, hooks: dict[int, Callable[[Any], Any]], key: int) -> None:
        self._hooks = hooks
        self._key = key

    def remove(self) -> None:
        """Stop calling the hook. A second call does nothing."""
        self._hooks.pop(self._key, None)


def as_tensor(x: Any) -> Tensor:
    """Return `x` if it is a Tensor, else a Tensor without gradient that shares its memory where it can."""
    if isinstance(x, Tensor):
        return x
    tensor = Tensor.__new__(Tensor)
    shares = hasattr(x, "__array_function__") and not isinstance(x, np.generic)
    make_leaf(tensor, x if shares else np.asarray(x), False, None)
    tensor._print = LENT if shares else None
    return tensor


def make_leaf(tensor: Tensor, data: Any, requires_grad: bool, name: str | None) -> None:
    """Make a new Tensor a leaf that holds `data`, an array."""
    if requires_grad and data.dtype.kind != "f":
        raise TypeError(
            f"a tensor of dtype {data.dtype} cannot require a gradient: only floating-point numbers have "
            "derivatives; convert first, for example Tensor(x, requires_grad=True, dtype=float)"
        )
    tensor._data = data
    tensor.grad = tensor.op = tensor.source = tensor._hooks = tensor._past = tensor._print = None
    tensor.requires_grad = bool(requires_grad)
    tensor.name = name
    tensor.inputs = tensor.scope = ()
    tensor.params = {}
    tensor.number = tick()
    tensor.changed = 0


def _rebuild(kind: type[Tensor], data: Any, requires_grad: bool, name: str | None, grad: Any) -> Tensor:
    tensor = kind.__new__(kind)
    make_leaf(tensor, data, requires_grad, name)
    tensor.grad = grad
    return tensor


def _refuse_out(name: str, inputs: Any, options: dict[str, Any]) -> bool:
    """Raise where a result that has a gradient is to be written into an array; say whether `out` asks for nothing."""
    targets = options["out"] if isinstance(options["out"], tuple) else (options["out"],)
    if all(target is None for target in targets):
        return True
    if any(isinstance(target, Tensor) for target in targets):
        raise TypeError(
            f"np.{name}(..., out=t) would write into a Tensor, where no gradient can follow; write "
            f"`t[...] = np.{name}(...)`"
        )
    if not at_stake([inputs, options]):
        return False
    cure = "`x = x + t` to get a new tensor" if options.get("where", True) is True else f"`{masked(name)}`"
    raise TypeError(
        f"np.{name} was asked to write a Tensor's result into an existing array (out=, or `array += tensor`), "
        f"where no gradient can follow; write {cure}, or use `t.data`"
    )


def _no_derivative(name: str, function: Any) -> NoReturn:
    raise NotImplementedError(
        f"{name} is not differentiated by autodiff; write it with other numpy functions, pass `t.data` if "
        "no gradient is wanted, or declare it with autodiff.op"
    )


def brief(x: Tensor) -> str:
    """Name a tensor in an error message."""
    return f"the tensor{f' {x.name!r}' if x.name else ''} of shape {x.shape}"


op_module.Tensor = Tensor  # type: ignore[attr-defined]
