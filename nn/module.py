"""The Module: what holds parameters, and all that is done to them together.

A module's attributes are its register. Parameters and modules are found where they are, as attributes or inside
lists, tuples and dicts, whenever they are asked for; so they can be added, replaced and deleted like anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from autodiff.state import scope_path
from autodiff.tensor import Tensor

State = dict[str, Any]


class Parameter(Tensor):
    """A tensor that is learnt: it requires a gradient, and the `Module` that holds it knows of it.

    Parameters
    ----------
    data : array_like of float
        Copied.
    requires_grad : bool
        False for a parameter that is kept with the others but not learnt.
    name : str, optional
        What pictures call it; the module that holds it gives the attribute's name otherwise.
    dtype : dtype, optional
        As in ``np.array``.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(data, requires_grad, name, dtype)


class Mismatch(NamedTuple):
    """What did not fit when a state was loaded with ``strict=False``."""

    missing: list[str]
    unexpected: list[str]


class Module:
    """Base of everything with parameters: give it attributes and a ``forward``.

    Parameters and modules count when they are attributes, or stand in lists, tuples or dicts (nested as you like)
    that are attributes. There is nothing to initialise: ``super().__init__()`` may be called or left out.

    Attributes
    ----------
    training : bool
        Whether layers such as `Dropout` behave as in training. Set by `train` and `eval`.

    Examples
    --------
    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope = Parameter([1.0])
    ...
    ...     def forward(self, x):
    ...         return self.slope * x
    """

    training: bool = True
    # Defaults on the class: an instance needs no initialisation, and shares nothing with its copies.
    _name: str | None = None
    _named: bool = False
    _buffers: tuple[str, ...] = ()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass defines its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(); define `def forward(self, x): ...` in it")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward``. What it computes carries this module's name in its ``scope``."""
        name = self._name
        if name is None:  # a root: its own name would only put one more box around the whole picture
            if not self._named:
                self.__dict__["_named"] = True
                for _ in self._tree():  # names what was appended to lists after they were assigned
                    pass
            return self.forward(*args, **kwargs)
        token = scope_path.set((*scope_path.get(), name))
        try:
            return self.forward(*args, **kwargs)
        finally:
            scope_path.reset(token)

    # What it holds

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter below this module, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield ``("layers.0.weight", parameter)`` for every parameter, each once, under its first name."""
        seen = set()
        for prefix, _, members in self._tree():
            for name, member in members:
                if isinstance(member, Parameter) and id(member) not in seen:
                    seen.add(id(member))
                    yield prefix + name, member

    def modules(self) -> Iterator[Module]:
        """Yield this module and every module below it, each once."""
        return (module for _, module, _ in self._tree())

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Yield ``("", self)`` and ``("layers.0", module)`` for every module below, each once."""
        return ((prefix[:-1], module) for prefix, module, _ in self._tree())

    def children(self) -> Iterator[Module]:
        """Yield the modules that this module holds itself, each once."""
        found = {id(member): member for _, member in self._members() if isinstance(member, Module)}
        return iter(found.values())

    def named_buffers(self) -> Iterator[tuple[str, Any]]:
        """Yield ``("norm.running_mean", array)`` for every buffer that is not None."""
        for prefix, module, _ in self._tree():
            for name, array in module._own_buffers():
                yield prefix + name, array

    def register_buffer(self, name: str, array: Any) -> None:
        """Keep an array that is saved with the parameters but not learnt, as attribute `name`.

        Parameters
        ----------
        name : str
            The attribute's name.
        array : array_like or None
            None stands for an array that is not there; it is left out of the state.
        """
        if "." in name or (name in self.__dict__ and name not in self._buffers):
            raise ValueError(f"{name!r} cannot name a buffer: it contains a dot or is an attribute already")
        if name not in self._buffers:
            self.__dict__["_buffers"] = (*self._buffers, name)
        setattr(self, name, array)

    # What is done to all of it

    def train(self, mode: bool = True) -> Self:
        """Put this module and all below into training mode, and return it."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Put this module and all below into evaluation mode, and return it."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients: ``.grad`` of every parameter becomes None."""
        for parameter in self.parameters():
            parameter.grad = None

    def state_dict(self) -> State:
        """Return copies of all parameters and buffers under their dotted names.

        Names, order and layouts are PyTorch's, so states can be exchanged; what is shared comes under each name.
        """
        return {name: _array(held).copy() for name, held in self._entries().items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Mismatch:
        """Write the arrays of `state` into the parameters and buffers, in place.

        Parameters
        ----------
        state : mapping of str to array_like
            As from `state_dict`, or a PyTorch state dict whose tensors went through ``.numpy()``.
        strict : bool
            Whether missing and unexpected names are errors.

        Returns
        -------
        Mismatch
            The missing and the unexpected names.

        Raises
        ------
        ValueError
            Names, shapes or kinds of dtype do not fit; all of it is listed, and nothing was changed.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"a state is a mapping from names to arrays, got {type(state).__name__}")
        entries = self._entries()
        mismatch = Mismatch([k for k in entries if k not in state], [str(k) for k in state if k not in entries])
        problems = []
        if strict:
            problems += [f"{name}: missing, shape {entries[name].shape}" for name in mismatch.missing]
            problems += [f"{name}: unexpected" for name in mismatch.unexpected]
        loaded: dict[int, tuple[str, Any, Any]] = {}
        for name, held in entries.items():
            if name in state:
                value, problem = _fitting(state[name], _array(held))
                first, _, other = loaded.setdefault(id(held), (name, held, value))
                if not problem and other is not value and not np.array_equal(other, value):
                    problem = f"is the same array as {first} here, but they differ in the state"
                if problem:
                    problems.append(f"{name}: {problem}")
        if problems:
            raise ValueError(
                f"this state does not fit {type(self).__name__}; nothing was loaded:\n  " + "\n  ".join(problems)
            )
        for _, held, value in loaded.values():
            array = _array(held)
            array[...] = value
            if isinstance(held, Tensor):
                held.data = array  # the same array: assigning it says that its contents changed
        return mismatch

    # How it shows

    def extra_repr(self) -> str:
        """Return what stands between the parentheses in ``repr``; for subclasses to define."""
        return ""

    def __repr__(self) -> str:
        rows = list(_rows(self, "", "", {}))
        width = max(len(title) for title, _ in rows)
        parameters = list(self.parameters())
        total = sum(p.size for p in parameters)
        learnt = sum(p.size for p in parameters if p.requires_grad)
        count = f"{total:,} parameter{'s' * (total != 1)}" + (f", {learnt:,} learnt" if learnt < total else "")
        rows[0] = (rows[0][0], count if total else "")
        return "\n".join(f"{title:<{width}}  {note}".rstrip() for title, note in rows)

    # How it is found

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(self.__dict__.get(name), Parameter) and not isinstance(value, Parameter | None):
            raise TypeError(
                f"{type(self).__name__}.{name} is a parameter and would be lost to the optimizer if it became a "
                f"{type(value).__name__}: write `{name}.data = ...` for a new value, assign Parameter(...) or None, "
                f"or use another name for the result"
            )
        if name in self._buffers:
            value = _as_buffer(name, value)
        super().__setattr__(name, value)
        if isinstance(value, Module):
            value.__dict__["_name"] = name
        elif isinstance(value, _HOLDERS):
            _search(name, value, [], ())

    def _attributes(self) -> Iterable[tuple[str, Any]]:
        """What is searched for parameters and modules."""
        return self.__dict__.items()

    def _members(self) -> list[tuple[str, Parameter | Module]]:
        """The parameters and modules that this module holds itself, by name."""
        found: list[tuple[str, Parameter | Module]] = []
        for name, value in self._attributes():
            if isinstance(value, _HOLDERS):
                _search(name, value, found, ())
        return found

    def _own_buffers(self) -> list[tuple[str, Any]]:
        held = ((name, self.__dict__.get(name)) for name in self._buffers)
        return [(name, array) for name, array in held if array is not None]

    def _tree(self, once: bool = True) -> Iterator[tuple[str, Module, list[tuple[str, Parameter | Module]]]]:
        """Yield ``(prefix, module, members)`` in the order of the names; what is shared once or everywhere."""
        seen: set[int] = set()
        stack: list[tuple[str, Module, tuple[int, ...]]] = [("", self, ())]
        while stack:
            prefix, module, above = stack.pop()
            # Below itself a module is left out even where shared ones are wanted: that would never end.
            if id(module) in (seen if once else above):
                continue
            seen.add(id(module))
            members = module._members()
            yield prefix, module, members
            above = (*above, id(module))
            stack += [(f"{prefix}{k}.", m, above) for k, m in reversed(members) if isinstance(m, Module)]

    def _entries(self) -> dict[str, Any]:
        """Every parameter and buffer by name, shared ones under each of their names."""
        entries: dict[str, Any] = {}
        for prefix, module, members in self._tree(once=False):
            own = [(name, member) for name, member in members if isinstance(member, Parameter)]
            for name, held in [*own, *module._own_buffers()]:
                if prefix + name in entries:
                    raise ValueError(f"two parameters or buffers are named {prefix + name!r}; rename one")
                entries[prefix + name] = held
        return entries


_HOLDERS = (Parameter, Module, list, tuple, dict)


def _search(name: str, value: Any, found: list[tuple[str, Parameter | Module]], above: tuple[int, ...]) -> None:
    """Add the parameters and modules in `value` to `found`, and name those that have no name yet."""
    if isinstance(value, Parameter):
        if value.name is None:
            value.name = name
        found.append((name, value))
    elif isinstance(value, Module):
        if value._name is None:
            value.__dict__["_name"] = name
        found.append((name, value))
    elif id(value) not in above:
        above = (*above, id(value))
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(item, _HOLDERS):
                _search(f"{name}.{key}", item, found, above)


def _array(held: Any) -> Any:
    return held.data if isinstance(held, Tensor) else held


def _as_buffer(name: str, value: Any) -> Any:
    if isinstance(value, Tensor):
        raise TypeError(
            f"the buffer {name!r} holds a plain array: a Tensor would keep its graph alive; write `{name} = t.data`"
        )
    # An array even where numpy gives a scalar, so that a state can be written into it.
    bare = value is None or (hasattr(value, "__array_function__") and not isinstance(value, np.generic))
    return value if bare else np.asarray(value)


def _fitting(value: Any, held: Any) -> tuple[Any, str]:
    """Return `value` as it can be written into the array `held`, and what is wrong with it, if anything."""
    try:
        array = _array(value) if isinstance(value, Tensor) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        return None, f"not an array: {error}"
    if array.shape != held.shape:
        hint = ", which looks transposed: weights are (out, in)" if array.shape == held.shape[::-1] else ""
        return None, f"has shape {array.shape}{hint}; expected {held.shape}"
    if not np.can_cast(array.dtype, held.dtype, "same_kind"):
        return None, f"has dtype {array.dtype}, which does not become {held.dtype}"
    if not getattr(getattr(held, "flags", None), "writeable", True):
        return None, "the array to load it into is read-only"
    try:
        with np.errstate(over="raise"):
            return array.astype(held.dtype), ""
    except FloatingPointError:
        return None, f"holds numbers too large for {held.dtype}"


def _rows(module: Module, name: str, path: str, seen: dict[int, str]) -> Iterator[tuple[str, str]]:
    """Yield the lines of the tree: what stands left, and the number of parameters."""
    members = module._members()
    details = module.extra_repr()
    title = (f"{name}: " if name else "") + type(module).__name__
    title += f"({details})" if details or not members else ""
    if id(module) in seen:
        yield title, f"shared with {seen[id(module)] or 'the top'}"
        return
    seen[id(module)] = path
    count = sum(p.size for p in module.parameters())
    yield title, f"{count:,}" if count else ""
    for key, member in members:
        below = f"{path}.{key}" if path else key
        if isinstance(member, Module):
            rows = _rows(member, key, below, seen)
        elif details:  # a layer that describes itself says how large its parameters are
            continue
        elif id(member) in seen:
            rows = iter([(f"{key}: {member.shape}", f"shared with {seen[id(member)]}")])
        else:
            seen[id(member)] = below
            rows = iter([(f"{key}: {member.shape}", f"{member.size:,}")])
        for row, note in rows:
            yield f"  {row}", note
