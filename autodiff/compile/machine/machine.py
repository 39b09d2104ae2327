"""Machine code from text: Numba compiles a generated function, once per text and process."""

from __future__ import annotations

import functools
import importlib
import math
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from autodiff.compile.machine.expressions import KINDS

_OPTIONS = {"fastmath": False, "error_model": "numpy", "boundscheck": False, "nogil": True}
_compiled: dict[tuple[str, str], Callable[..., Any]] = {}
_lock = threading.Lock()


def numba() -> ModuleType:
    """Return Numba.

    Raises
    ------
    ImportError
        It is not installed; says how to get it.
    """
    try:
        return importlib.import_module("numba")
    except ImportError as error:
        raise ImportError('backend="numba" needs Numba: pip install nablagraph[numba]') from error


def compiled(text: str, signature: str) -> Callable[..., int]:
    """Compile ``def run(...)`` for arguments of these types, ``"u1[::1], f8[:, :], f8"``; return its entry point.

    The entry point does not look at the types of what it is given: the caller has to be sure.
    """
    with _lock:
        found = _compiled.get((text, signature))
        if found is None:
            names = dict(_names())
            exec(compile(text, "<machine code>", "exec"), names)
            types = tuple(eval(f"({signature},)", names))
            dispatcher = numba().njit(numba().int64(*types), **_OPTIONS)(names["run"])
            found = dispatcher.overloads[dispatcher.signatures[0]].entry_point
            found = _compiled[text, signature] = _Kept(found, dispatcher).entry
        return found


class _Kept:
    """An entry point with the machine code that it enters."""

    alive: list[_Kept] = []  # noqa: RUF012

    def __init__(self, entry: Any, dispatcher: Any) -> None:
        self.entry = entry
        self._dispatcher = dispatcher
        self.alive.append(self)


@functools.cache
def products() -> bool:
    """Whether products of large matrices can be left to BLAS, which comes with SciPy."""
    return bool(_gemm_addresses())


@functools.cache
def _gemm_addresses() -> dict[str, int]:
    try:
        importlib.import_module("scipy.linalg.cython_blas")
    except ImportError:
        return {}
    from numba.extending import get_cython_function_address

    return {
        kind: get_cython_function_address("scipy.linalg.cython_blas", name)
        for kind, name in (("f4", "sgemm"), ("f8", "dgemm"))
    }


@functools.cache
def _names() -> dict[str, Any]:
    """The names that generated text may use."""
    types = numba().types
    kinds = {
        kind: getattr(types, dtype.name if dtype != np.dtype(bool) else "boolean") for dtype, kind in KINDS.items()
    }
    return {**kinds, **_pointers(), "math": math, "np": np, "inf": math.inf, "nan": math.nan, "gemm": _gemm()}


def _pointers() -> dict[str, Any]:
    """Functions that take numbers from memory without asking where it ends, nor counting from its end."""
    from numba import njit, types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic  # type: ignore[untyped-decorator]
    def at(context: Any, memory: Any, offset: Any, kind: Any) -> Any:
        """The numbers that stand `offset` bytes into an array."""

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            there = builder.gep(builder.bitcast(data, cgutils.voidptr_t), [args[1]])
            return builder.bitcast(there, context.get_value_type(signature.return_type))

        return types.CPointer(kind.dtype)(memory, offset, kind), code

    @intrinsic  # type: ignore[untyped-decorator]
    def behind(context: Any, memory: Any, offset: Any, kind: Any) -> Any:
        """The numbers at the address that stands `offset` bytes into an array."""

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            there = builder.gep(builder.bitcast(data, cgutils.voidptr_t), [args[1]])
            target = context.get_value_type(signature.return_type)
            return builder.load(builder.bitcast(there, target.as_pointer()))

        return types.CPointer(kind.dtype)(memory, offset, kind), code

    @intrinsic  # type: ignore[untyped-decorator]
    def shifted(context: Any, pointer: Any, count: Any) -> Any:
        """The numbers from the one at place `count` on."""

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.gep(args[0], [args[1]])

        return pointer(pointer, count), code

    @njit  # type: ignore[untyped-decorator]
    def larger(a: Any, b: Any) -> Any:
        return a if a >= b or a != a else b

    @njit  # type: ignore[untyped-decorator]
    def smaller(a: Any, b: Any) -> Any:
        return a if a <= b or a != a else b

    @njit  # type: ignore[untyped-decorator]
    def logaddexp(a: Any, b: Any) -> Any:
        if a == b:
            return a + type(a)(0.6931471805599453)
        apart = a - b
        return a + math.log1p(math.exp(-apart)) if apart > 0 else b + math.log1p(math.exp(apart))

    return {
        "at": at,
        "behind": behind,
        "shifted": shifted,
        "larger": larger,
        "smaller": smaller,
        "logaddexp": logaddexp,
    }


def _gemm() -> Any:
    """BLAS's product, for matrices that stand row by row: ``c = a @ b``, a of (m, k) and b of (k, n).

    `ta` and `tb` tell which of them stands column by column, `sa`, `sb` and `sc` how far apart rows (columns) are.
    """
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic  # type: ignore[untyped-decorator]
    def gemm(
        context: Any, a: Any, ta: Any, sa: Any, b: Any, tb: Any, sb: Any, c: Any, sc: Any, m: Any, n: Any, k: Any
    ) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            a, ta, sa, b, tb, sb, c, sc, m, n, k = args
            number = context.get_value_type(signature.args[0].dtype)
            letter, count = ir.IntType(8), ir.IntType(32)

            def given(value: Any, kind: Any) -> Any:
                place = cgutils.alloca_once(builder, kind)
                builder.store(value, place)
                return place

            def whole(value: Any) -> Any:
                return given(builder.trunc(value, count), count)

            def turned(flag: Any) -> Any:
                true = builder.icmp_signed("!=", flag, flag.type(0))
                return given(builder.select(true, letter(ord("T")), letter(ord("N"))), letter)

            # BLAS counts by columns: it is told of the transposed matrices, of which it makes the transposed product.
            sizes = [whole(n), whole(m), whole(k)]
            one, nothing = given(number(1.0), number), given(number(0.0), number)
            passed = [turned(tb), turned(ta), *sizes, one, b, whole(sb), a, whole(sa), nothing, c, whole(sc)]
            kind = ir.FunctionType(ir.VoidType(), [p.type for p in passed])
            address = _gemm_addresses()["f8" if signature.args[0].dtype == types.float64 else "f4"]
            builder.call(builder.inttoptr(ir.IntType(64)(address), kind.as_pointer()), passed)
            return context.get_dummy_value()

        return types.void(a, ta, sa, b, tb, sb, c, sc, m, n, k), code

    return gemm
