"""What every optimizer shares: parameter groups, the step over them, and its state as a dict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from autodiff.changes import tick
from autodiff.state import fresh, watching
from autodiff.tensor import Tensor
from nn.module import Module, Parameter

#: Elements that an update works on at a time. One scratch array of this size serves all large parameters.
BLOCK = 1 << 17

Group = dict[str, Any]


class Slot:
    """One parameter with what its optimizer remembers about it.

    Attributes
    ----------
    steps : int
        Updates made; a step in which the parameter had no gradient does not count.
    buffers : dict of str to array
        Running averages, each of the parameter's shape and dtype.
    """

    __slots__ = ("buffers", "param", "parts", "scratch", "steps")
    #: What a compiled step need not look at again.
    settled = ("param", "parts", "scratch")

    def __init__(self, param: Tensor) -> None:
        self.param = param
        self.steps = 0
        self.buffers: dict[str, Any] = {}
        self.scratch: Any = None
        self.parts: list[slice] | None = None

    def filled(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the buffers, with zeros for those of `names` that are not there yet."""
        for name in names:
            if name not in self.buffers:
                self.buffers[name] = np.zeros_like(self.param.data)
        return self.buffers


class Factors:
    """Numbers in a parameter's dtype, kept as long as they stay the same.

    Converting a Python float costs as much as multiplying a small array by it. Other kinds of arrays than numpy's mix
    with scalars of numpy's; a 0-d array of their own would have to be brought to a GPU.
    """

    #: A compiled step asks for them anew, and need not look in here.
    not_recorded = True

    def __init__(self) -> None:
        self._held: dict[Any, tuple[tuple[float, ...], tuple[Any, ...]]] = {}

    def arrays(self, numbers: tuple[float, ...], data: Any) -> tuple[Any, ...]:
        """Return each number in the dtype of `data`: as a 0-d array, or as a scalar where `data` is not numpy's."""
        if type(data) is not np.ndarray:
            return tuple([data.dtype.type(number) for number in numbers])
        held = self._held.get(data.dtype.num)
        if held is None or held[0] != numbers:
            arrays = tuple([np.asarray(number, dtype=data.dtype) for number in numbers])
            held = self._held[data.dtype.num] = numbers, arrays
        return held[1]


class Optimizer:
    """Base of the optimizers: a subclass declares its settings, its buffers and `update`.

    Parameters
    ----------
    params : iterable
        Parameters, ``model.parameters()``; or dicts ``{"params": [...], "lr": ...}``, one per group with
        settings of its own.
    settings : dict
        The settings of the groups that do not give their own.

    Attributes
    ----------
    param_groups : list of dict
        ``"params"`` and the settings of each group. Changing ``optimizer.param_groups[0]["lr"]`` takes effect
        with the next step.

    Raises
    ------
    TypeError
        `params` holds something else than parameters.
    ValueError
        There is no parameter, one comes twice, or a setting is out of its range.
    """

    #: Settings that are finite numbers of at least zero; others are checked by `check`.
    non_negative: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")
    #: What `factors` returns, as a printed program calls it.
    factor_names: ClassVar[tuple[str, ...]] = ("lr",)

    def __init__(self, params: Iterable[Any], settings: Mapping[str, Any]) -> None:
        self.param_groups: list[Group] = _as_groups(params, settings, type(self).__name__)
        for group in self.param_groups:
            self.check(group)
        self._slots = [[Slot(param) for param in group["params"]] for group in self.param_groups]
        self._scratch: dict[Any, Any] = {}
        self._factors = Factors()

    def buffer_names(self, group: Group) -> tuple[str, ...]:
        """Return the names of the buffers that a parameter of `group` needs."""
        return ()

    def factors(self, group: Group, steps: int) -> tuple[float, ...]:
        """Return the numbers in the update that differ from step to step; `steps` counts from 1."""
        return (group["lr"],)

    def update(self, group: Group, factors: Any, data: Any, grad: Any, buffers: Any, scratch: Any) -> None:
        """Change `data` and `buffers` in place by `grad`; all arrays have one shape, `scratch` is free to use.

        It may branch on the settings in `group`, except on the learning rate, of which `factors` makes use.
        """
        raise NotImplementedError

    def prepare(self) -> None:
        """Make now, of zeros, the buffers that the first step would make."""
        for group, slots in zip(self.param_groups, self._slots, strict=True):
            names = self.buffer_names(group)
            for slot in slots:
                if slot.param.requires_grad:
                    slot.filled(names)

    def step(self) -> None:
        """Update every parameter that has a gradient, in place."""
        now = tick()  # on the tensors' clock: later than every computation that used the old values
        for group, slots in zip(self.param_groups, self._slots, strict=True):
            names = self.buffer_names(group)
            live = [slot for slot in slots if slot.param.grad is not None]
            for slot in live:
                _check_grad(slot.param)
            if watching:  # a compiled step counts on, and asks for the factors anew, each time
                varying = [(group, "lr"), *((slot, "steps") for slot in live)]
                factors = fresh(partial(self._count, group, live), varying)
            else:
                factors = self._count(group, live)
            for slot, numbers in zip(live, factors):  # noqa: B905 - one each, and this is the hot loop
                param = slot.param
                data, grad = param._data, param.grad
                buffers = slot.buffers if not names else slot.filled(names)
                if slot.scratch is None and type(data) is np.ndarray:
                    self._prepare(slot, data)
                if type(data) is not np.ndarray:
                    self.update(group, numbers, data, grad, buffers, np.empty_like(data))
                elif slot.parts is None:
                    self.update(group, numbers, data, grad, buffers, slot.scratch)
                else:
                    for part in slot.parts:
                        rows = data[part]
                        parts = {name: buffers[name][part] for name in names}
                        self.update(group, numbers, rows, grad[part], parts, slot.scratch[: len(rows)])
                param.changed = now

    def zero_grad(self) -> None:
        """Forget the gradients: set ``.grad`` of every parameter to None."""
        for slots in self._slots:
            for slot in slots:
                slot.param.grad = None

    def check(self, group: Group) -> None:
        """Raise TypeError or ValueError when a setting of `group` makes no sense."""
        name = type(self).__name__
        for key in self.non_negative:
            check_number(name, key, group[key])

    def state_dict(self) -> dict[str, Any]:
        """Return settings, step counts and buffers as nested dicts of numbers, strings and array copies.

        Together with the parameters this is all that a later step depends on.
        """
        groups = [
            {**{key: value for key, value in group.items() if key != "params"}, "size": len(slots)}
            for group, slots in zip(self.param_groups, self._slots, strict=True)
        ]
        state = [
            {"step": slot.steps, **{name: slot.filled(names)[name].copy() for name in names if slot.steps}}
            for names, slots in zip(map(self.buffer_names, self.param_groups), self._slots, strict=True)
            for slot in slots
        ]
        return {"algorithm": type(self).__name__, "param_groups": groups, "state": state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, for the same kind of optimizer over the same parameters.

        Raises
        ------
        ValueError
            It belongs to another optimizer or other parameters. Nothing is changed then.
        """
        groups, slots = _validated(self, state)
        for group, settings in zip(self.param_groups, groups, strict=True):
            group.update(settings)
        for slot, (steps, buffers) in zip((s for part in self._slots for s in part), slots, strict=True):
            slot.steps = steps
            slot.buffers = buffers

    def __repr__(self) -> str:
        groups = "; ".join(
            f"{sum(p.size for p in group['params']):,} parameters in {len(group['params'])} arrays, "
            + ", ".join(f"{key}={value}" for key, value in group.items() if key != "params")
            for group in self.param_groups
        )
        return f"{type(self).__name__}({groups})"

    def _count(self, group: Group, slots: list[Slot]) -> list[Any]:
        """Count one step more for each slot, and return its factors in the dtype of its parameter."""
        found = []
        steps, dtype = 0, None
        for slot in slots:
            slot.steps = count = slot.steps + 1
            data = slot.param._data
            if count != steps or data.dtype is not dtype:
                steps, dtype = count, data.dtype
                numbers = self._factors.arrays(self.factors(group, steps), data)
            found.append(numbers)
        return found

    def _prepare(self, slot: Slot, data: Any) -> None:
        """Give the slot its view of the shared scratch array, and cut a large parameter into parts."""
        # Cutting needs slices that are views on the same memory, which only a numpy array promises.
        shape = _part_shape(data)
        if shape != data.shape:
            rows = shape[0]
            slot.parts = [slice(start, start + rows) for start in range(0, len(data), rows)]
        shared = self._scratch.get(data.dtype)
        if shared is None:
            arrays = [other.param.data for slots in self._slots for other in slots]
            size = max(math.prod(_part_shape(array)) for array in arrays)
            shared = self._scratch[data.dtype] = np.empty(size, dtype=data.dtype)
        slot.scratch = shared[: math.prod(shape)].reshape(shape)


def _part_shape(data: Any) -> tuple[int, ...]:
    """Return the shape of the leading rows of an array that are updated at a time."""
    shape: tuple[int, ...] = data.shape
    if data.size <= BLOCK:
        return shape
    return (min(shape[0], max(1, BLOCK // (data.size // shape[0]))), *shape[1:])


def check_number(owner: str, key: str, value: Any, *, below: float = math.inf, positive: bool = False) -> None:
    """Raise unless `value` is a finite number, at least zero (or above it) and smaller than `below`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{owner}: {key} must be a number, got {value!r}")
    number = float(value)
    if number < 0 or (positive and number == 0) or not number < below or math.isinf(number):
        low = "greater than 0" if positive else "0 or greater"
        high = "" if math.isinf(below) else f" and less than {below:g}"
        raise ValueError(f"{owner}: {key} must be {low}{high}, got {key}={value}")


def check_flag(owner: str, key: str, value: Any) -> None:
    """Raise TypeError unless `value` is a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{owner}: {key} must be True or False, got {value!r}")


def _check_grad(param: Tensor) -> None:
    """Raise unless the gradient can update the parameter: one shape, and no lazy array for a numpy parameter."""
    data, grad = param._data, param.grad
    if grad.shape != data.shape:
        raise ValueError(f"{_describe(param)} has shape {data.shape}, but its .grad has shape {grad.shape}")
    if type(grad) is type(data) or not isinstance(data, np.ndarray) or isinstance(grad, np.ndarray):
        return
    cure = "give both the same type, `p.data = ...` before the forward pass"
    if hasattr(grad, "compute"):
        cure = (
            "a lazy gradient is computed before the step, all of them at once with "
            "`grads = dask.compute(*[p.grad for p in parameters])`, and assigned, `p.grad = g`"
        )
    kind = f"{type(grad).__module__}.{type(grad).__qualname__}"
    raise TypeError(f"{_describe(param)} holds a numpy array, but its .grad is a {kind}: {cure}")


def _describe(param: Tensor) -> str:
    return f"parameter {param.name!r}" if param.name else f"a parameter of shape {param.shape}"


def _as_groups(params: Any, settings: Mapping[str, Any], owner: str) -> list[Group]:
    """Make groups of `params`, each with all settings, after checking that every entry can be trained."""
    if isinstance(params, Module):
        raise TypeError(f"{owner} takes parameters, not a module: write {owner}(model.parameters(), ...)")
    if isinstance(params, Tensor):
        raise TypeError(f"{owner} takes a list of parameters, got a single one: write {owner}([weight], ...)")
    if isinstance(params, (str, Mapping)) or not isinstance(params, Iterable):
        raise TypeError(
            f"{owner} takes a list of parameters, got a {type(params).__name__}: write {owner}(model.parameters(), ...)"
        )
    entries = list(params)
    if not any(isinstance(entry, Mapping) for entry in entries):
        entries = [{"params": entries}]
    groups: list[Group] = []
    seen: set[int] = set()
    for entry in entries:
        if not isinstance(entry, Mapping) or "params" not in entry:
            raise TypeError(f"{owner}: each group must be a dict with 'params', got a {type(entry).__name__}")
        unknown = sorted(set(entry) - set(settings) - {"params"})
        if unknown:
            raise ValueError(f"{owner} has no setting {unknown[0]!r}; it has {', '.join(settings)}")
        members = [entry["params"]] if isinstance(entry["params"], Tensor) else list(entry["params"])
        if not members:
            raise ValueError(
                f"{owner} got no parameters: a generator such as model.parameters() can be used only once, "
                "so call it again for each use; a model without layers has none"
            )
        for position, param in enumerate(members):
            _check_param(param, position, owner)
            if id(param) in seen:
                raise ValueError(
                    f"{owner} got {_describe(param)} twice (entry {position}): it would be updated twice "
                    "in each step; list every parameter once"
                )
            seen.add(id(param))
        own = {key: value for key, value in {**settings, **entry}.items() if key != "params"}
        # A numpy scalar would widen a float32 update, where a Python number takes the array's dtype.
        own = {key: value.item() if isinstance(value, np.generic) else value for key, value in own.items()}
        groups.append({"params": members, **own})
    return groups


def _check_param(param: Any, position: int, owner: str) -> None:
    if not isinstance(param, Tensor):
        hint = (
            "write model.parameters() instead of model.named_parameters()"
            if isinstance(param, tuple)
            else "write Parameter(array), or Tensor(array, requires_grad=True)"
        )
        raise TypeError(f"{owner} trains parameters, but entry {position} is a {type(param).__name__}: {hint}")
    if param.op is not None:
        raise ValueError(
            f"{owner}: entry {position} of shape {param.shape} is the result of {param.op.name}, so an update "
            "of it would be lost with the next forward pass; pass the tensors that it was computed from"
        )
    # A frozen Parameter is someone's choice; a plain Tensor without gradient would silently never train.
    if not param.requires_grad and not isinstance(param, Parameter):
        raise ValueError(
            f"{owner}: entry {position} of shape {param.shape} does not require a gradient and would never "
            "change; write Tensor(array, requires_grad=True)"
        )


def _validated(
    optimizer: Optimizer, state: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[tuple[int, dict[str, Any]]]]:
    """Check a state dict against `optimizer` and return new settings and (steps, buffers), nothing applied."""
    owner = type(optimizer).__name__
    if not isinstance(state, Mapping) or not {"algorithm", "param_groups", "state"} <= set(state):
        raise ValueError(f"{owner}.load_state_dict needs what {owner}.state_dict() returned")
    if state["algorithm"] != owner:
        raise ValueError(f"this state belongs to {state['algorithm']}, not to {owner}")
    sizes = [len(slots) for slots in optimizer._slots]
    try:
        groups = [dict(settings) for settings in state["param_groups"]]
        entries = [dict(entry) for entry in state["state"]]
        found = [int(settings.pop("size")) for settings in groups]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the state for {owner} is damaged: {error!r}") from None
    if found != sizes or len(entries) != sum(sizes):
        raise ValueError(
            f"the state is for groups of {found} parameters ({len(entries)} entries), "
            f"this {owner} has groups of {sizes}"
        )
    for group, settings in zip(optimizer.param_groups, groups, strict=True):
        expected = set(group) - {"params"}
        if set(settings) != expected:
            raise ValueError(f"the state has settings {sorted(settings)}, {owner} has {sorted(expected)}")
        try:
            optimizer.check(settings)
        except TypeError as error:
            raise ValueError(str(error)) from None
    slots = []
    members = [
        (param, settings)
        for group, settings in zip(optimizer.param_groups, groups, strict=True)
        for param in group["params"]
    ]
    for index, ((param, settings), entry) in enumerate(zip(members, entries, strict=True)):
        steps = entry.pop("step", None)
        if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 0:
            raise ValueError(f"the state of parameter {index} needs a step count, got step={steps!r}")
        needed = set(optimizer.buffer_names(settings)) if steps else set()
        if set(entry) != needed:
            raise ValueError(f"the state of parameter {index} has {sorted(entry)}, {owner} needs {sorted(needed)}")
        slots.append((int(steps), {k: _as_buffer(k, v, param, index) for k, v in entry.items()}))
    return groups, slots


def _as_buffer(name: str, value: Any, param: Tensor, index: int) -> Any:
    """Copy a buffer into an array like the parameter's, or refuse it."""
    if getattr(value, "shape", None) != param.shape:
        got = getattr(value, "shape", type(value).__name__)
        raise ValueError(f"{name} of parameter {index} must have shape {param.shape}, got {got}")
    if np.dtype(value.dtype).kind not in "fiu":
        raise ValueError(f"{name} of parameter {index} must hold real numbers, got dtype {value.dtype}")
    buffer = np.empty_like(param.data)
    buffer[...] = value
    return buffer
