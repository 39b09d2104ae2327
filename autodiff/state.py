"""What this thread or asyncio task is doing: is it recording gradients, and inside which layer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Protocol, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

# Context variables rather than globals: each thread and each asyncio task sees its own.
grad_mode: ContextVar[bool] = ContextVar("autodiff.grad_mode", default=True)
scope_path: ContextVar[tuple[str, ...]] = ContextVar("autodiff.scope_path", default=())
watchers: ContextVar[tuple[Watcher, ...]] = ContextVar("autodiff.watchers", default=())
#: One entry for each watcher that is on, in any thread: while there is none, operations do not even look for theirs.
watching: list[Watcher] = []


class Watcher(Protocol):
    """What is told of every operation and every derivative that is computed."""

    def made(self, result: Any, op: Any, inputs: tuple[Any, ...]) -> None:
        """`op` gave the Tensor `result`."""

    def pulled(self, node: Any, x: Any, g: Any, gx: Any) -> None:
        """The rule of the Tensor `node` made of its gradient `g` the gradient `gx` by its operand `x`."""


class _GradMode:
    """A context manager and decorator that sets the grad mode and puts the old one back."""

    mode: bool

    def __init__(self) -> None:
        self._tokens: list[Token[bool]] = []

    def __enter__(self) -> None:
        self._tokens.append(grad_mode.set(self.mode))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        grad_mode.reset(self._tokens.pop())

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{type(self).__name__} cannot decorate the generator {function.__qualname__}: its body runs "
                f"outside the call; write `with {type(self).__name__}():` inside it"
            )
        # A fresh manager for every call: one shared by threads would mix up their tokens.
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with type(self)():
                    return await function(*args, **kwargs)

            return awaited  # type: ignore[return-value]

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return called  # type: ignore[return-value]


class no_grad(_GradMode):
    """Record nothing inside: ``with no_grad():`` or ``@no_grad()``."""

    mode = False


class enable_grad(_GradMode):
    """Record again inside a `no_grad` region: ``with enable_grad():`` or ``@enable_grad()``."""

    mode = True


def is_grad_enabled() -> bool:
    """Say whether operations on tensors that require a gradient are recorded right now."""
    return grad_mode.get()


def current_scope() -> tuple[str, ...]:
    """Return the names of the layers that are running, outermost first; ``()`` outside all."""
    return scope_path.get()


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Name the layer whose operations run inside, for the drawing and for error messages."""
    token = scope_path.set((*scope_path.get(), name))
    try:
        yield
    finally:
        scope_path.reset(token)


@contextmanager
def watch(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` of all that this thread or asyncio task computes inside."""
    token = watchers.set((*watchers.get(), watcher))
    watching.append(watcher)
    try:
        yield
    finally:
        watching.remove(watcher)
        watchers.reset(token)


def fresh(function: Callable[[], Any], varying: Iterable[tuple[Any, Any]] = ()) -> Any:
    """Call a function whose result differs from run to run, and have a compiled program call it anew each time.

    Parameters
    ----------
    function : callable
        Without arguments; returns an array, a number, or a list or tuple of them, of the same shapes each time.
    varying : iterable of (object, name)
        Attributes, list items or dict items that the function reads or changes itself: a compiled program does not take
        their values for granted. A name of `None` stands for all that the object holds.

    Returns
    -------
    object
        What the function returned.
    """
    if watching:
        for watcher in watchers.get():
            if hasattr(watcher, "fresh"):
                return watcher.fresh(function, varying)
    return function()
