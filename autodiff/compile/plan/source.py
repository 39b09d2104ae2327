"""The program as code: what runs, with everything bound to locals, and what a person reads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from autodiff.compile.kinds import overlap
from autodiff.compile.plan.flatten import pack, slot
from autodiff.compile.plan.plan import Loop, Plan, Step, copied
from autodiff.compile.record.recorded import _getitem, _like, _transposed
from autodiff.compile.tape import Call, Draw, Method, Opaque, UfuncMethod, Value, decide, part, put


class Source:
    """Writes the lines of a plan, twice.

    Attributes
    ----------
    code : list of str
        Lines to run; they use the names in `bound` and variables.
    closing : list of str
        Lines to run once the results are taken.
    bound : dict of str to object
        Functions, buffers and views.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.code: list[str] = []
        self.bound: dict[str, Any] = {}
        self._bound_names: dict[int, str] = {}
        self._variables: dict[Any, str] = {}
        self._steps()
        self.code, self.closing = [], self.code
        self._closing()
        self.code, self.closing = self.closing, self.code

    def body(self) -> list[str]:
        """Return the lines to run, with overflows silent: they show in the results."""
        return ["with errstate(all='ignore'):", *(f"    {line}" for line in self.code or ["pass"])]

    def _steps(self) -> None:
        for item in self.plan.looped():
            if isinstance(item, Loop):
                self._loop(item)
            else:
                self._step(item)

    def _closing(self) -> None:
        for step in self.plan.closing:
            self._step(step)

    def bind(self, thing: Any, stem: str) -> str:
        """Return the local name of something that never changes."""
        name = self._bound_names.get(id(thing))
        if name is None:
            name = self._bound_names[id(thing)] = f"{stem}{len(self.bound)}"
            self.bound[name] = thing
        return name

    def variable(self, value: Any) -> str:
        """Return the local name of a value that each run makes anew."""
        return self._variables.setdefault(value, f"v{len(self._variables)}")

    def argument(self, tree: Any) -> str:
        """Write an argument of a call."""
        if isinstance(tree, Value):
            if tree in self.plan.memory:
                return self.bind(self.plan.memory[tree], "m")
            if tree.kind != "constant":
                return self.variable(tree)
            return self.bind(tree.array[()] if self.plan.abroad and tree.home is None else tree.array, "c")
        if isinstance(tree, Opaque):
            return self.variable(tree)
        if type(tree) is tuple:
            return f"({''.join(self.argument(item) + ', ' for item in tree)})"
        if type(tree) is list:
            return f"[{', '.join(self.argument(item) for item in tree)}]"
        if isinstance(tree, slice):
            return f"slice({self.argument(tree.start)}, {self.argument(tree.stop)}, {self.argument(tree.step)})"
        if (
            tree is None
            or tree is Ellipsis
            or type(tree) in (int, bool, str)
            or (type(tree) is float and math.isfinite(tree))
        ):
            return repr(tree)
        return self.bind(tree, "k")

    def call(self, function: str, args: tuple[Any, ...], kwargs: dict[str, Any], *more: str) -> str:
        """Write a call."""
        parts = [self.argument(x) for x in args] + [f"{key}={self.argument(x)}" for key, x in kwargs.items()]
        return f"{function}({', '.join([*parts, *more])})"

    def _step(self, step: Step) -> None:
        line = step.line
        if isinstance(line, Draw):
            self._draw(line)
        elif line.function is decide:
            value, expected = line.args
            self.code.append(f"if bool({self.argument(value)}) is not {expected}: raise Departed")
        elif step.out is None:
            self.code.append(f"{self.variable(line.result)} = {self._fresh(line)}")
        else:
            self.code += self._into(line, self.bind(step.out, "m"), step.out)

    def _draw(self, draw: Draw) -> None:
        name = self.variable(draw)
        self.code.append(f"{name} = {self.bind(draw.function, 'f')}()")
        for path, value in draw.leaves.items():
            places = "".join(f"[{i}]" for i in path)
            self.code.append(f"{self.variable(value)} = {name}{places}")

    def _fresh(self, line: Call) -> str:
        """Write a call that makes its own memory."""
        function = line.function
        if isinstance(function, Method):
            return self.call(f"{self.argument(line.args[0])}.{function.name}", line.args[1:], line.kwargs)
        if function in (_getitem, part):
            return f"{self.argument(line.args[0])}[{self.argument(line.args[1])}]"
        if function is _transposed:
            return f"{self.argument(line.args[0])}.T"
        if isinstance(function, UfuncMethod):
            function = getattr(function.ufunc, function.name)
        return self.call(self.bind(function, "f"), line.args, line.kwargs)

    def _into(self, line: Call, out: str, memory: Any) -> Iterator[str]:
        """Write a call that fills given memory."""
        function, args = line.function, line.args
        copyto = self.bind(np.copyto, "f")
        if isinstance(function, np.ufunc):
            # Positional is quicker; numpy is about to take that away from these two.
            last = f"out={out}" if function in (np.maximum, np.minimum) or line.kwargs else out
            kwargs = line.kwargs
            if line.kwargs:
                yield self.call(self.bind(function, "f"), args, kwargs, last)
            else:
                yield self.call(self.bind(function, "f"), (*args,), {}, last)
        elif isinstance(function, UfuncMethod):
            yield self.call(
                self.bind(getattr(function.ufunc, function.name), "f"), *_reduced(function, line), f"out={out}"
            )
        elif function is np.dot:
            a, b = args
            if a in self.plan.memory:
                yield f"{self.bind(_Bound(self.plan.memory[a]).dot, 'f')}({self.argument(b)}, {out})"
            else:
                yield f"{self.argument(a)}.dot({self.argument(b)}, {out})"
        elif function is np.where:
            condition, a, b = args
            if not (isinstance(b, Value) and self.plan.memory.get(b) is memory):
                yield f"{copyto}({out}, {self.argument(b)})"
            yield f"{copyto}({out}, {self.argument(a)}, where={self.argument(condition)})"
        elif function is put:
            array, index, value = args
            if self.plan.memory.get(array) is not memory:
                yield f"{copyto}({out}, {self.argument(array)})"
            yield f"{out}[{self.argument(index)}] = {self.argument(value)}"
        elif function is pack:
            start = 0
            for v in args:
                view = slot(memory, start, v.shape)
                start += v.size
                mine = self.plan.memory.get(v)
                if mine is None or not overlap(mine, view):
                    yield f"{copyto}({self.bind(view, 'm')}, {self.argument(v)})"
        elif function is _like:
            yield f"{copyto}({out}, {self.argument(args[1])}, 'unsafe')"
        elif function in (copied, np.copy, Method("copy"), Method("astype"), np.astype):
            yield f"{copyto}({out}, {self.argument(args[0])}, 'unsafe')"
        else:
            yield self.call(self.bind(function, "f"), args, line.kwargs, f"out={out}")

    def _loop(self, loop: Loop) -> None:
        """Write elementwise calls on large arrays block by block, so that a block stays in the cache."""
        names: dict[int, str] = {}
        columns: list[list[Any]] = []
        body: list[str] = []

        def cut(array: Any) -> str:
            if not loop.chain.cuts(array) and not loop.chain.passes(array):
                return self.bind(array, "m")
            if id(array) not in names:
                names[id(array)] = f"b{len(names)}"
                rows = loop.chain.rows
                columns.append([array[r] if loop.chain.cuts(array) else array[: r.stop - r.start] for r in rows])
            return names[id(array)]

        for step in loop.steps:
            line = step.line
            assert isinstance(line, Call)
            args = [
                cut(self.plan.memory.get(v, v.array))
                if isinstance(v, Value) and (v in self.plan.memory or v.kind == "constant")
                else self.argument(v)
                for v in line.args
            ]
            out = cut(step.out)
            last = f"out={out}" if line.function in (np.maximum, np.minimum) else out
            body.append(f"    {self.bind(line.function, 'f')}({', '.join([*args, last])})")
        blocks = [tuple(block) for block in zip(*columns, strict=True)]
        target = f"{', '.join(names.values())}{',' if len(names) == 1 else ''}"
        self.code.append(f"for {target} in {self.bind(blocks, 'k')}:")
        self.code += body


class _Bound:
    """The methods of an array, each bound once: asking twice gives two."""

    _made: dict[int, tuple[Any, Any]] = {}  # noqa: RUF012

    def __init__(self, array: Any) -> None:
        self.dot = array.dot


def _reduced(function: UfuncMethod, line: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a reduction, without those that are left at their default."""
    args = line.args
    if function.name == "reduce" and len(args) == 5:
        x, axis, _, _, keepdims = args
        return (x, axis), ({"keepdims": True} if keepdims else {})
    return args, line.kwargs
