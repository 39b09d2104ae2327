"""Functions that write into their first argument. On a Tensor they do what ``x[i] = v`` does on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.op import handlers, strip
from autodiff.ops.operands import as_array, places
from autodiff.state import grad_mode
from autodiff.tensor import Tensor, brief


def _writes(function: Callable[..., Any], written: str, *names: str) -> None:
    """Let numpy's `function` work on Tensors; of its arguments `names` it writes `written` into the first."""

    def handler(*args: Any, **options: Any) -> None:
        given = {**dict(zip(names, args, strict=False)), **options}
        if len(args) > len(names) or not {names[0], written} <= given.keys():
            raise TypeError(f"np.{function.__name__} takes the arguments {', '.join(names)}")
        target, values = given.pop(names[0]), as_array(given[written])
        given = strip(given)
        if not isinstance(target, Tensor):
            if isinstance(values, Tensor) and values.requires_grad and grad_mode.get():
                raise TypeError(
                    f"np.{function.__name__} would write {brief(values)} into an array, where no gradient can follow; "
                    "make the array a Tensor first, `x = Tensor(x)`, or write `t.data` when no gradient is wanted"
                )
            function(target, **given)
            return
        # numpy writes the positions of the values among those of the target; both in one row are then picked by them.
        positions = places(target)
        given[written] = target.size + places(values)
        function(positions, **given)
        target[...] = np.concatenate([target, values], axis=None)[positions]

    handlers[function] = handler


_writes(np.copyto, "src", "dst", "src", "casting", "where")
_writes(np.put, "v", "a", "ind", "v", "mode")
_writes(np.putmask, "values", "a", "mask", "values")
_writes(np.place, "vals", "arr", "mask", "vals")
_writes(np.put_along_axis, "values", "arr", "indices", "values", "axis")
_writes(np.fill_diagonal, "val", "a", "val", "wrap")
