"""Writes a program down: each step as a line of numpy, with the names that hold at that line."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from autodiff.compile.listing.intake import Intake
from autodiff.compile.listing.ledger import Ledger
from autodiff.compile.listing.names import identifier
from autodiff.compile.listing.outline import Outline, key_of, values_of, within
from autodiff.compile.listing.page import Page
from autodiff.compile.listing.wording import OPPOSITE, slot_of
from autodiff.compile.plan.flatten import pack, slot
from autodiff.compile.plan.plan import END, Loop, Step, copied
from autodiff.compile.record.outputs import Output
from autodiff.compile.record.recorded import _at, _like
from autodiff.compile.tape import Call, Draw, Method, Value, decide, put

_COPIES: tuple[Any, ...] = (copied, np.copy, Method("copy"), Method("astype"), np.astype)
_ASSIGNED: tuple[Any, ...] = (*_COPIES, np.where, _like)


class Writer:
    """Goes through a program once.

    Attributes
    ----------
    ledger : Ledger
        What the names stand for, and what comes from outside.
    text : str
        The function.
    """

    def __init__(self, name: str, outline: Outline, intake: Intake, outputs: Any) -> None:
        outline.read()
        self.ledger = ledger = Ledger(outline)
        self._outline, self._intake, self._outputs = outline, intake, outputs
        self._memory = outline.plan.memory
        self._page = Page(outline.stages)
        self._word = ledger.wording
        name = ledger.names.unique(name)
        intake.read(outline, ledger, self._page)
        for local, array in intake.local:
            self._page.add(f"{local} = {self._empty(array)}")
        outline.name_passing()
        end = self._body()
        head = f"def {name}({', '.join([*intake.arguments, *ledger.inputs])}):"
        self.text = self._page.text(head, f"return {end}")

    def _body(self) -> str:
        for now, item in enumerate(self._outline.items):
            if isinstance(item, Loop):
                self._loop(item, now)
            elif isinstance(item.line, Draw):
                self._draw(item.line, self._outline.after(now))
            elif id(item.line) in self._outline.stepped:
                self._step(item, now)
        result = self._returned()
        for step in self._outline.plan.closing:
            self._step(step, END)
        return result

    # Calls

    def _step(self, step: Step, now: int) -> None:
        call = step.line
        assert isinstance(call, Call)
        memory = None if step.out is None else self._memory.get(call.result, step.out)
        if call.function is decide:
            self._decide(call)
        elif call.function is pack:
            self._pack(call, memory)
        elif call.function in (put, _at):
            self._change(call, memory, now)
        elif call.function in _ASSIGNED:
            self._assign(call, memory, now)
        else:
            name = self.ledger.new(call.result, memory, now)
            self._page.say(f"{name} = {self._word.call(call, *self._out(call, memory, name))}", call)
            self.ledger.stand(name, call.result, memory)

    def _out(self, call: Call, memory: Any, name: str) -> list[str]:
        """Write where the result goes, if that is memory which has a name, or not what numpy would make."""
        if memory is None:
            return []
        # Of scalars numpy makes numbers, which nothing can be written into.
        shared = memory.ndim and not self._outline.fused
        handle = self.ledger.handle(memory, name) if shared else self.ledger.lasting(memory)
        if handle:
            return [f"out={handle}"]
        return [] if self._outline.plain(call) else [f"out={self._empty(memory)}"]

    def _empty(self, array: Any) -> str:
        shape = str(array.shape[0]) if array.ndim == 1 else repr(array.shape)
        return f"np.empty({shape}{'' if array.dtype == np.dtype(float) else f', {self._word.dtype(array.dtype)}'})"

    def _decide(self, call: Call) -> None:
        """Write a branch: the program goes on only where it goes as it did."""
        condition, expected = call.args
        inner = self._outline.inline.get(condition)
        if inner is None or inner.function not in OPPOSITE:
            text = f"{'' if expected else 'not '}{self._word.argument(condition)}"
        else:
            text = self._word.compared(inner, inner.function if expected else OPPOSITE[inner.function])
        self._page.say(f"assert {text}", call, comment="as when it was recorded")

    def _assign(self, call: Call, memory: Any, now: int) -> None:
        """Write what numpy has no ``out=`` for: an assignment to memory that others see, else a new array."""
        word, function, args, result = self._word, call.function, call.args, call.result
        lasting = self.ledger.lasting(memory)
        order = "" if self._outline.plain(call) else ', order="C"'
        if function is np.where:
            text = word.call(call) if not order or lasting else f"np.array({word.call(call)}{order})"
        elif function is _like:
            value = word.argument(args[1])
            text = value if lasting else f"np.full({result.shape}, {value}, {word.dtype(result.dtype)})"
        elif args[0].dtype == result.dtype:
            text = word.argument(args[0]) if lasting else f"np.array({word.argument(args[0])}{order})"
        else:
            text = f"{word.argument(args[0])}.astype({word.dtype(result.dtype)}{order})"
        name = lasting or self.ledger.new(result, memory, now)
        self._page.say(f"{name}{'[...]' * bool(lasting)} = {text}", call)
        self.ledger.stand(name, result, memory)

    def _change(self, call: Call, memory: Any, now: int) -> None:
        """Write a change of some elements, in place if the old array is not needed any more."""
        word, function, result = self._word, call.function, call.result
        array = call.args[0] if function is put else call.args[1]
        text = word.argument(array)
        target = self.ledger.lasting(memory)
        if memory is not None and self._outline.same_memory(array, result):
            target = text
        name = target or self.ledger.new(result, memory, now)
        if target is None:
            order = "" if self._outline.plain(call) else ', order="C"'
            self._page.say(f"{name} = np.array({text}{order})", call)
        elif target != text:
            self._page.say(f"{name}[...] = {text}", call)
        if function is put:
            self._page.say(f"{name}[{word.index(call.args[1])}] = {word.argument(call.args[2])}", call)
        else:
            operands = ", ".join([name, *map(word.argument, call.args[2:])])
            self._page.say(f"{word.function(call.args[0])}.at({operands})", call)
        self.ledger.stand(name, result, memory)

    def _pack(self, call: Call, memory: Any) -> None:
        """Write what does not stand in its place yet."""
        name = next(name for name, root in self.ledger.roots if key_of(root) == key_of(memory))
        start = 0
        for v in call.args:
            at = self._memory.get(v)
            if at is None or key_of(at) != key_of(slot(memory, start, v.shape)):
                place = slot_of(name, memory.shape, start, (v.size,))
                self._page.say(f"{place} = {self._word.argument(v)}.reshape(-1)", call)
            start += v.size
        self.ledger.stand(name, call.result, memory)

    # What is more than a call

    def _draw(self, draw: Draw, call: Call | None) -> None:
        """Write what is asked anew in each run."""
        inner: Any = draw.function
        given: tuple[Any, ...] = ()
        keywords: dict[str, Any] = {}
        if isinstance(inner, partial):
            inner, given, keywords = inner.func, inner.args, inner.keywords
        owner = getattr(inner, "__self__", None)
        names = getattr(owner, "factor_names", ())
        label = getattr(inner, "__name__", "").strip("_<>") or "fresh"
        if isinstance(owner, np.random.Generator):
            parts = [self._word.argument(x) for x in given]
            parts += [f"{key}={self._word.argument(x)}" for key, x in keywords.items()]
            text = f"{self.ledger.bind(owner, 'rng')}.{label}({', '.join(parts)})"
        else:
            text = f"{self.ledger.bind(draw.function, 'next_factors' if names else identifier(f'next_{label}'))}()"
        used = {path: v for path, v in draw.leaves.items() if v in self._outline.last}
        if not used:
            self._tell(text, call)
        elif any(used):
            whole = self.ledger.names.unique("factors" if names else f"{label}s")
            self._tell(f"{whole} = {text}", call)
            text = whole
        for path, value in used.items():
            known = names[path[-1]] if path and path[-1] < len(names) else label
            name = self.ledger.names.unique(known)
            self._tell(f"{name} = {text}{''.join(f'[{i}]' for i in path)}", call)
            self.ledger.stand(name, value)

    def _tell(self, text: str, call: Call | None) -> None:
        if call is None:
            self._page.add(text)
        else:
            self._page.say(text, call)

    def _loop(self, loop: Loop, now: int) -> None:
        """Write elementwise calls that are made block by block."""
        body: list[tuple[str, Call]] = []
        for step in loop.steps:
            call = step.line
            assert isinstance(call, Call)
            memory = self._memory[call.result]
            name = self.ledger.new(call.result, memory, now)
            handle = self.ledger.handle(memory, name)
            for v in dict.fromkeys(values_of(call)):
                array = self._memory.get(v, v.array if v.kind == "constant" else None)
                if array is not None and loop.chain.cuts(array):
                    self._word.instead[v] = f"{self._word.argument(v)}[rows]"
            passes = loop.chain.passes(memory)
            text = f"{name} = {self._word.call(call)}" if passes else self._word.call(call, f"out={name}[rows]")
            self._word.instead.clear()
            body.append((text, call))
            if handle != name and not passes:
                self._page.add(f"{name} = {handle or self._empty(memory)}")
            self.ledger.stand(name, call.result, memory)
        count, rows = loop.chain.shape[0], loop.chain.height
        head = f"for rows in [slice(i, i + {rows}) for i in range(0, {count}, {rows})]:"
        self._page.say(head, body[0][1], comment="blocks that stay in the cache")
        for text, call in body:
            self._page.say(text, call, 2)

    # The result

    def _returned(self) -> str:
        """Write the result; what stands in memory outside is copied before that changes again."""
        values = iter(self._outline.tape.outputs)
        text = self._tree(self._outputs, values)
        if self._intake.numbers:
            self._page.note("beside the result: numbers that are put back in their places")
            numbers = [f"{name!r}: {self._word.argument(next(values))}" for name in self._intake.numbers]
            text = f"{text}, {{{', '.join(numbers)}}}"
        if not self._outline.plan.closing:
            return text
        name = self.ledger.names.unique("result")
        self._page.add(f"{name} = {text}")
        return name

    def _tree(self, tree: Any, values: Iterator[Value]) -> str:
        if isinstance(tree, Output):
            if tree.value is None:
                return self._word.argument(tree.plain)
            return self._own(next(values))
        if isinstance(tree, dict):
            return "{" + ", ".join(f"{key!r}: {self._tree(item, values)}" for key, item in tree.items()) + "}"
        inner = [self._tree(item, values) for item in tree]
        if type(tree) is list:
            return f"[{', '.join(inner)}]"
        if type(tree) is tuple:
            return f"({inner[0]},)" if len(inner) == 1 else f"({', '.join(inner)})"
        return f"{self.ledger.bind(type(tree), type(tree).__name__)}({', '.join(inner)})"

    def _own(self, value: Value) -> str:
        """Write a value so that it belongs to who gets it."""
        text = self._word.argument(value)
        memory = self._memory.get(value)
        outside = memory is not None and any(within(memory, root) for _, root in self.ledger.roots)
        mine = value.kind == "result" and text.isidentifier() and text not in self.ledger.inputs
        return text if mine and not outside else f"np.array({text})"
