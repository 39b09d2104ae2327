"""The op record, its registry, `apply` (the one hot path) and the undoing of broadcasting.

An op is one declaration: what it computes, one derivative rule per operand, the symbol and the
formula that the drawing shows, and samples from which its tests are generated.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from autodiff.changes import LENT, lend, observe, tick
from autodiff.sample import Sample, as_sample
from autodiff.sharing import follow
from autodiff.state import grad_mode, scope_path, watchers, watching

if TYPE_CHECKING:
    from autodiff.tensor import Tensor
else:
    # `apply` makes Tensors, and a Tensor's operators are ops. tensor.py, which imports this module,
    # closes that circle by setting this name, so that the imports run in one direction.
    Tensor: type = type(None)

Rule = Callable[..., Any]
Explain = Callable[..., Exception | None]

#: Every op by name.
registry: dict[str, Op] = {}
#: What to call in place of a numpy function, or a ufunc's method as a pair, when an argument is a Tensor.
handlers: dict[Any, Callable[..., Any]] = {}


class Op:
    """An operation: its forward computation and the derivative rule of each operand.

    Attributes
    ----------
    name : str
        Its name, in the registry, in ``repr`` and in pictures.
    forward : callable
        ``forward(*arrays, **params) -> array``; only numpy functions and methods on what it is given.
    rules : tuple of (callable or None)
        For each operand ``rule(g, y, *operands, **params) -> gradient``: `g` is the upstream gradient, `y`
        the op's output. `None` marks an operand without derivative. The rule of a `variadic` op takes
        the operand's position first: ``rule(i, g, y, *operands, **params)``.
    symbol : str
        What the drawing shows, ``"÷"``.
    formula : tuple of str
        The derivative by each operand, as a person writes it, ``("1/b", "−a/b²")``.
    samples : tuple of Sample
        Calls from which the tests are generated.
    variadic : bool
        The operands come as one sequence, as in ``np.concatenate``.
    view : bool
        The result may lie in the memory of the operand, the first, and is written through to it then.
    explain : callable or None
        ``explain(*arrays, **params)`` returns the error to raise in place of forward's ValueError, or `None`.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        rules: tuple[Rule | None, ...],
        name: str,
        symbol: str,
        formula: tuple[str, ...],
        samples: tuple[Sample, ...],
        variadic: bool,
        view: bool = False,
        explain: Explain | None = None,
    ) -> None:
        self.forward = forward
        self.rules = rules
        self.name = name
        self.symbol = symbol
        self.formula = formula
        self.samples = samples
        self.variadic = variadic
        self.view = view
        self.explain = explain
        self.arity = len(rules)

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        return registry.__getitem__, (self.name,)

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Apply the op as its numpy function is called; without a Tensor the result is a plain array."""
        if params or self.variadic or len(args) != self.arity:
            args, params = self._bind(args, params)
        result = apply(self, args, params)
        if self.view and isinstance(result, Tensor):
            return follow(result, self, args[0], params)
        return result

    def rules_of(self, inputs: tuple[Any, ...]) -> tuple[Rule | None, ...]:
        """Return one rule per operand; those of a variadic op are told their operand's position."""
        first = self.rules[0]
        if not self.variadic or first is None:
            return self.rules
        return tuple(partial(first, i) for i in range(len(inputs)))

    @cached_property
    def _signature(self) -> tuple[list[str], set[str], dict[str, Any]]:
        """Names of all arguments in order, those that the rules know, and the defaults of operands."""
        try:
            arguments = list(inspect.signature(self.forward).parameters.values())
        except ValueError:  # numpy's compiled functions did not always tell
            arguments = []
        kinds = inspect.Parameter
        skip = kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD
        names = [p.name for p in arguments if p.kind not in skip and (self.variadic or p.kind != kinds.KEYWORD_ONLY)]
        names += [p.name for p in arguments if p.kind == kinds.KEYWORD_ONLY and p.name not in names]
        optional = {p.name: p.default for p in arguments[: self.arity] if p.default is not kinds.empty}
        rule = next(rule for rule in self.rules if rule is not None)
        before = 3 if self.variadic else 2 + self.arity
        known = [p.name for p in inspect.signature(rule).parameters.values()][before:]
        return names, set(known), optional

    def _bind(self, args: tuple[Any, ...], params: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Separate operands from parameters, however the caller passed them."""
        names, known, optional = self._signature
        if self.variadic:
            operands: tuple[Any, ...] = tuple(args[0])
            extra = dict(zip(names, args[1:], strict=False))
        else:
            operands = args[: self.arity]
            for key in names[len(operands) : self.arity]:
                if key not in params and key not in optional:
                    raise TypeError(f"{self.name} needs its operand {key!r}")
                operands += (params.pop(key, optional.get(key)),)
            extra = dict(zip(names[self.arity :], args[self.arity :], strict=False))
            if len(args) > max(len(names), self.arity):
                raise TypeError(f"{self.name} takes at most {len(names)} arguments, got {len(args)}")
        bound = {}
        for key, value in {**extra, **params}.items():
            if value is np._NoValue or (key not in known and _is_idle(key, value)):
                continue
            if key == "dtype" and key not in known and not self.variadic and _has_dtype(operands, value):
                continue
            if key not in known and key not in names and key not in _IDLE:
                raise TypeError(f"{self.name} has no argument {key!r}; it has {', '.join(names)}")
            if key not in known:
                refuse(self.name, **{key: value})
            bound[key] = value
        return operands, bound


#: Arguments that ask for nothing when they have one of these values.
_IDLE: dict[str, tuple[Any, ...]] = {
    "out": (None,),
    "dtype": (None,),
    "where": (True,),
    "initial": (None,),
    "casting": ("same_kind",),
    "order": ("K",),
    "subok": (True, False),
}


#: What to write instead of an argument that is refused.
_CURES = {
    "dtype": "write `.astype(dtype)` on the result instead",
    "where": "write `{masked}` instead, with `m` the mask",
    "casting": "leave it out, and write `.astype(dtype)` on an operand or on the result",
}


def masked(name: str) -> str:
    """Return how to write a function of numpy's with ``where=m`` so that no element outside is ever computed."""
    operands = {1: "", 2: "a, "}.get(getattr(getattr(np, name, None), "nin", 0), "..., ")
    return f"np.where(m, np.{name}({operands}np.where(m, {'b' if operands else 'x'}, 1)), 0)"


def _is_idle(key: str, value: Any) -> bool:
    return any(value is idle or (isinstance(value, str) and value == idle) for idle in _IDLE.get(key, ()))


def _has_dtype(operands: tuple[Any, ...], dtype: Any) -> bool:
    """Whether an operation computes in that type unasked."""
    own: np.dtype[Any] = np.result_type(*[strip(as_operand(x)) for x in operands])
    return own.kind == "f" and (type(own) is dtype or own == np.dtype(dtype))  # numpy passes classes of dtypes, too


def refuse(name: str, /, **arguments: Any) -> None:
    """Raise for those of numpy's `arguments` that ask for something; for functions that can only ignore them."""
    for key, value in arguments.items():
        if value is np._NoValue or _is_idle(key, value):
            continue
        if key == "out":
            raise TypeError(
                f"{name}(..., out=...) would write the result where no gradient can follow; "
                f"write `x = {name}(...)` instead, or pass `.data` when no gradient is wanted"
            )
        cure = f"; {_CURES[key].format(masked=masked(name))}" if key in _CURES else ""
        is_array = hasattr(value, "shape") and not isinstance(value, (type, np.dtype))
        shown = f"<array of shape {value.shape}>" if is_array else repr(value)
        raise NotImplementedError(f"{name} on a Tensor does not take {key}={shown}{cure}")


def op(
    forward: Callable[..., Any],
    *rules: Rule | None,
    name: str | None = None,
    symbol: str | None = None,
    formula: str | Sequence[str] = (),
    samples: Iterable[Any] = (),
    numpy: Callable[..., Any] | None = None,
    variadic: bool = False,
    view: bool = False,
    explain: Explain | None = None,
) -> Op:
    """Declare an operation.

    Parameters
    ----------
    forward : callable
        ``forward(*arrays, **params) -> array``.
    *rules : callable or None
        One per operand, ``rule(g, y, *operands, **params) -> gradient``, in numpy functions and operators, so
        that it works on arrays and, for higher derivatives, on Tensors. It must not change its arguments and need not
        undo broadcasting or dtype promotion: the engine does. `None`: no derivative by that operand.
    name, symbol, formula
        What messages and pictures show; the name is the forward function's unless given.
    samples : iterable
        ``real(3)``, ``(real(2, 3), nonzero(3))`` or ``sample(real(2, 3), axis=0)``.
    numpy : callable, optional
        The numpy function that this op stands for; `forward` itself unless given.
    variadic : bool
        The operands come as one sequence. There is one rule, which takes the position first.
    view : bool
        `forward` returns a view of its only operand where it can: who writes to the result writes to the operand.
    explain : callable, optional
        ``explain(*arrays, **params)`` returns an error that says what does not fit, in place of forward's ValueError,
        or `None`.

    Returns
    -------
    Op
        Callable on Tensors, arrays and scalars.
    """
    if not rules or all(rule is None for rule in rules):
        raise TypeError(f"op({forward!r}) needs a derivative rule for at least one operand, got none")
    declared = Op(
        forward,
        rules,
        name or forward.__name__,
        symbol or name or forward.__name__,
        (formula,) if isinstance(formula, str) else tuple(formula),
        tuple(as_sample(entry) for entry in samples),
        variadic,
        view,
        explain,
    )
    registry[declared.name] = declared
    handlers[numpy or forward] = declared
    return declared


def implements(*functions: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make the decorated function stand for numpy's `functions` on Tensors; it is composed of ops."""

    def register(handler: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            handlers[function] = handler
        return handler

    return register


def outside(*functions: Callable[..., Any]) -> None:
    """Let numpy's `functions` give plain results: their derivative is zero or there is none."""

    def bare(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return function(*strip(args), **strip(kwargs))

        return call

    for function in functions:
        handlers[function] = bare(function)


def at_stake(value: Any) -> bool:
    """Say whether a gradient is to be recorded of some Tensor in nested lists, tuples and dicts."""
    if isinstance(value, dict):
        return at_stake(list(value.values()))
    if isinstance(value, (list, tuple)):
        return any(at_stake(item) for item in value)
    return isinstance(value, Tensor) and value.requires_grad and grad_mode.get()


def strip(value: Any) -> Any:
    """Replace every Tensor in nested lists, tuples and dicts by its array."""
    if isinstance(value, Tensor):
        return value._data
    if isinstance(value, dict):
        return {key: strip(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(strip(item) for item in value)
    return value


def as_operand(x: Any) -> Any:
    """Make an operand of a list or tuple: an array, or a stacked Tensor when there are Tensors inside."""
    if not isinstance(x, (list, tuple)):
        return x
    items = [as_operand(item) for item in x]
    if any(isinstance(item, Tensor) for item in items):
        return handlers[np.stack](items)
    return np.asarray(items)


def apply(op: Op, inputs: tuple[Any, ...], params: dict[str, Any]) -> Any:
    """Compute an op and, where a gradient may be asked for, record it on the resulting Tensor."""
    arrays = []
    found = record = False
    for x in inputs:
        if isinstance(x, Tensor):
            found = True
            if x._print is not None:
                observe(x)
            arrays.append(x._data)
            if x.requires_grad:
                record = True
        elif isinstance(x, (list, tuple)):
            return apply(op, tuple(as_operand(x) for x in inputs), params)
        else:
            arrays.append(x)
    try:
        data = op.forward(*arrays, **params)
    except ValueError as error:
        said = op.explain(*arrays, **params) if op.explain is not None else None
        if said is None:
            raise
        raise said from error
    if not found:
        return data
    if isinstance(data, np.generic):  # numpy turns 0-d results into scalars; a Tensor holds an array
        data = np.asarray(data)
    result = new(Tensor)
    result._data = data
    result.grad = result.name = result.source = result._hooks = result._past = result._print = None
    result.number = tick()
    result.changed = 0
    if record and grad_mode.get():
        result.requires_grad = True
        result.op = op
        result.inputs = inputs
        result.params = params
        result.scope = scope_path.get()
    else:
        result.requires_grad = False
        result.op = None
        result.inputs = result.scope = ()
        result.params = _NO_PARAMS
        if getattr(data, "base", None) is not None:
            _watch_view(result, inputs if record else ())
    if watching:
        for watcher in watchers.get():
            watcher.made(result, op, inputs)
    return result


def _watch_view(result: Tensor, operands: tuple[Any, ...]) -> None:
    """Watch an unrecorded result that may be a view: it changes with its `operands`, and they with it."""
    result._print = LENT
    for x in operands:
        if isinstance(x, Tensor):
            lend(x)


_NO_PARAMS: dict[str, Any] = {}
new = object.__new__


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum a gradient over the axes along which an operand of `shape` was broadcast, the only place that does."""
    lead = g.ndim - len(shape)
    if lead:
        g = g.sum(axis=tuple(range(lead)) if lead > 1 else 0)
    if g.shape != shape:
        g = g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1 != g.shape[i]), keepdims=True)
    return g
