"""Things that hold other things by name, so that these can be looked at and exchanged."""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Callable
from typing import Any

from autodiff.tensor import Tensor

#: Classes of these packages may say which of their attributes never change.
_OWN = ("nn.", "autodiff.")


class Box:
    """Something that holds things by name: an object, a list, a dict, a cell of a closure, a module's globals.

    Attributes
    ----------
    path : str
        How a person would write it, ``"model.layers[0]"``.
    items : dict
        What it held when it was looked at.
    settled : set
        Names of items that are never replaced once they are there, or that nobody looks up.
    ignored : bool
        Whether that is all of them, and more may come.
    """

    __slots__ = ("_names", "holder", "ignored", "items", "path", "settled")

    def __init__(self, holder: Any, path: str, names: tuple[str, ...] = ()) -> None:
        self.holder = holder
        self.path = path
        self._names = names
        self.items: dict[Any, Any] = self.read()
        self.settled: set[Any] = set()
        self.ignored = False
        if type(holder).__module__.startswith(_OWN):
            # A library's own private attributes are its own affair, and it may name others.
            own = getattr(type(holder), "settled", ())
            own = own if isinstance(own, tuple) else ()
            self.settled = {key for key in self.items if key in own or str(key).startswith("_")}

    @property
    def by_attribute(self) -> bool:
        """Whether a person's code finds an item by its name alone: ``self.width``."""
        if isinstance(self.holder, (list, deque, dict, types.CellType, types.FunctionType, functools.partial, Tensor)):
            return False
        kind = self.holder if isinstance(self.holder, type) else type(self.holder)
        return not kind.__module__.startswith(_OWN)

    def read(self) -> dict[Any, Any]:
        """Return what it holds now."""
        holder = self.holder
        if isinstance(holder, types.CellType):
            try:
                return {"": holder.cell_contents}
            except ValueError:  # not bound yet
                return {}
        if self._names:
            get: Any = holder.get if type(holder) is dict else functools.partial(getattr, holder)
            get = vars(holder).get if isinstance(holder, type) else get
            return {name: get(name, None) for name in self._names}
        if isinstance(holder, (list, deque)):
            return dict(enumerate(holder))
        return dict(holder if isinstance(holder, dict) else vars(holder))

    def write(self, key: Any, item: Any) -> None:
        """Put something else there, around whatever the class does on assignment."""
        holder = self.holder
        if isinstance(holder, types.CellType):
            holder.cell_contents = item
        elif isinstance(holder, (list, deque, dict)):
            holder[key] = item
        elif isinstance(holder, functools.partial):
            holder.__setstate__((holder.func, item, holder.keywords, vars(holder)))  # type: ignore[attr-defined]
        elif isinstance(holder, (type, types.ModuleType, types.FunctionType)):
            setattr(holder, key, item)
        elif self._names:
            object.__setattr__(holder, key, item)
        else:
            vars(holder)[key] = item

    def drop(self, key: Any) -> None:
        """Take away what was put there anew."""
        holder = self.holder
        if isinstance(holder, list):
            del holder[key:]
        elif isinstance(holder, deque):
            holder.pop()
        elif isinstance(holder, dict) or not self._names:
            del (holder if isinstance(holder, dict) else vars(holder))[key]

    def expression(self, key: Any, bind: Callable[[Any, str], str]) -> str:
        """Write how generated code looks at the item `key`; `bind` gives the local name of an object."""
        holder = self.holder
        if isinstance(holder, types.CellType):
            return f"{bind(holder, 'h')}.cell_contents"
        if isinstance(holder, (list, deque, dict)):
            place = repr(key) if type(key) in (int, str) else bind(key, "k")
            return f"{bind(holder, 'h')}[{place}]"
        if isinstance(holder, type):
            return f"{bind(holder, 'h')}.__dict__[{key!r}]"
        if self._names:
            return f"{bind(holder, 'h')}.{key}"
        return f"{bind(vars(holder), 'h')}[{key!r}]"

    def contents(self, bind: Callable[[Any, str], str]) -> str | None:
        """Write what generated code asks for how much it holds; `None` where that is fixed."""
        if self._names or isinstance(self.holder, types.CellType) or self.ignored:
            return None
        holder = self.holder if isinstance(self.holder, (list, deque, dict)) else vars(self.holder)
        return bind(holder, "h")

    def name(self, key: Any) -> str:
        """How a person would write the item `key`."""
        if key == "":
            return self.path
        if isinstance(self.holder, Tensor):
            name = self.path or self.holder.name or "tensor"
            return name if key == "_data" else f"{name}.{key}"
        if isinstance(self.holder, (list, deque, dict)) and not self._names:
            return f"{self.path}[{key!r}]"
        return f"{self.path}.{key}" if self.path else str(key)
