"""An array that is no numpy array and mixes with none, as on a GPU, but here on any machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff import Tensor


class Foreign(np.lib.mixins.NDArrayOperatorsMixin):
    """A numpy array behind a wall.

    It speaks numpy's protocols and nothing else: no conversion to a numpy array unasked, no numpy array as an operand
    or as an index, 0-d ones included. Views share memory and know their base, as CuPy's do; a result without axes is
    an array. What CuPy makes of ``out=`` is as it is there. CuPy is less strict in one thing: it takes numpy arrays as
    indices.
    """

    def __init__(self, data: Any) -> None:
        self.hidden = np.array(data)
        self.base: Foreign | None = None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented
        if method == "at" and isinstance(inputs[1], (list, tuple)):  # as CuPy
            return NotImplemented
        options = inside(options) if out is None else {**inside(options), "out": inside(out)}
        result = getattr(ufunc, method)(*inside(inputs), **options)
        return outside(result) if out is None else out[0]

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if Tensor in types:
            return NotImplemented
        if options.get("out") is not None:
            refuse_out(function, args, options)
        unasked = function not in (np.array, np.asarray)  # `like=` asks for a conversion
        return outside(function(*inside(args, unasked), **inside(options)), (args, options))

    def __array__(self, dtype: Any = None) -> Any:  # numpy warns that it takes no `copy`, before it is refused
        raise TypeError("a foreign array is not turned into a numpy array unasked")

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"data": self.hidden.__array_interface__["data"]}

    def __getitem__(self, index: Any) -> Any:
        return outside(self.hidden[inside(index)], self)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.hidden[inside(index)] = inside(value)

    def __len__(self) -> int:
        return len(self.hidden)

    def __bool__(self) -> bool:
        return bool(self.hidden)

    def __int__(self) -> int:
        return int(self.hidden)

    def __float__(self) -> float:
        return float(self.hidden)

    def __str__(self) -> str:
        return str(self.hidden)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "hidden":
            raise AttributeError(name)
        found = getattr(self.hidden, name)
        if name in ("item", "tolist", "tobytes") or not callable(found):
            return outside(found, self) if isinstance(found, np.ndarray) else found
        return lambda *args, **options: outside(found(*inside(args), **inside(options)), (self, args, options))


def refuse_out(function: Any, args: Any, options: Any) -> None:
    """Raise where CuPy 14 does so for an ``out=`` that numpy takes, and where it would leave NaNs out of it."""
    if function in (np.min, np.amin, np.median):
        raise TypeError(f"{function.__name__} does not write to out=")
    if function in (np.cumsum, np.cumprod) and len(args) < 2 and options.get("axis") is None and args[0].ndim > 1:
        raise ValueError(f"operands could not be broadcast together with shapes {args[0].shape} ({args[0].size},)")


def inside(x: Any, strict: bool = True) -> Any:
    """Return arguments without the wall; numpy's arrays among them are refused."""
    if isinstance(x, Foreign):
        return x.hidden
    if type(x) in (list, tuple):
        return type(x)(inside(item, strict) for item in x)
    if isinstance(x, dict):
        return {key: inside(item, strict) for key, item in x.items()}
    if strict and isinstance(x, np.ndarray):
        raise TypeError("a numpy array among foreign ones")
    return x


def outside(x: Any, operands: Any = ()) -> Any:
    """Return results behind the wall; those that look at the memory of an operand are views of it."""
    if isinstance(x, (np.ndarray, np.generic)):
        if x is getattr(operands, "hidden", None):
            return operands
        result = Foreign.__new__(Foreign)
        owner = next((one for one in foreign_in(operands) if np.may_share_memory(x, one.hidden)), None)
        result.hidden = np.array(x) if owner is None else np.asarray(x)
        result.base = owner if owner is None or owner.base is None else owner.base
        return result
    if isinstance(x, tuple) and type(x) is not tuple:
        return type(x)(*(outside(item, operands) for item in x))
    return type(x)(outside(item, operands) for item in x) if isinstance(x, (list, tuple)) else x


def foreign_in(tree: Any) -> list[Foreign]:
    """All foreign arrays in nested arguments."""
    if isinstance(tree, Foreign):
        return [tree]
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [one for item in tree for one in foreign_in(item)] if isinstance(tree, (list, tuple)) else []


def abroad(x: Any) -> Any:
    """`x` with every numpy array in it made foreign."""
    if isinstance(x, np.ndarray):
        return Foreign(x)
    return tuple(map(abroad, x)) if type(x) is tuple else x
