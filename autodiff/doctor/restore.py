"""Putting one thing back as it was: a container, an attribute, a random state."""

from __future__ import annotations

import random
from collections import deque
from contextlib import suppress
from typing import Any

import numpy as np

#: In place of an attribute that was not set.
EMPTY = object()


def put_back(holder: Any, before: Any) -> None:
    """Let a dict, a list, a set, a deque, an array of objects, a class or an object hold what it held before."""
    if isinstance(holder, dict):
        if list(holder) == list(before) and all(holder[key] is before[key] for key in before):
            return
        holder.clear()
        holder.update(before)
    elif isinstance(holder, list):
        holder[:] = before
    elif isinstance(holder, set):
        holder.clear()
        holder.update(before)
    elif isinstance(holder, deque):
        holder.clear()
        holder.extend(before)
    elif isinstance(holder, type):
        for name in [n for n, v in vars(holder).items() if not n.startswith("__") and not callable(v)]:
            if name not in before and not hasattr(vars(holder)[name], "__get__"):
                delattr(holder, name)
        for name, value in before.items():
            if vars(holder).get(name) is not value:
                setattr(holder, name, value)
    elif isinstance(holder, np.ndarray):
        holder[...] = before
    else:
        for name, value in before.items():
            if getattr(holder, name, EMPTY) is not value:
                set_attribute(holder, name, value)


def set_attribute(holder: Any, name: str, value: Any) -> None:
    """Set an attribute, of a frozen dataclass too; `EMPTY` takes it away."""
    if value is EMPTY:
        with suppress(AttributeError):
            object.__delattr__(holder, name)
    elif isinstance(holder, type):
        setattr(holder, name, value)
    else:
        object.__setattr__(holder, name, value)


def slots(kind: type) -> tuple[str, ...]:
    """Return the names that a class keeps in slots."""
    names = vars(kind).get("__slots__", ())
    names = (names,) if isinstance(names, str) else tuple(names)
    hidden = f"_{kind.__name__.lstrip('_')}"  # a name that begins with two underscores is kept under another
    return tuple(f"{hidden}{n}" if n.startswith("__") and not n.endswith("__") else n for n in names)


def shallow(holder: Any) -> Any:
    """Return a copy of a dict or a list, with the same items."""
    return dict(holder) if isinstance(holder, dict) else list(holder)


def set_state(rng: Any, state: Any) -> None:
    """Put back the state of a source of random numbers."""
    if isinstance(rng, np.random.RandomState):
        rng.set_state(state)
    elif isinstance(rng, random.Random):
        rng.setstate(state)
    else:
        rng.state = state
