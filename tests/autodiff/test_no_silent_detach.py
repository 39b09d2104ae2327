"""No route out of the graph is silent: a Tensor on its way to a number works with its gradient, or raises the cure.

What may leave without a word, because it says so itself (``.data``, ``float(t)``), is in test_read_out.py.
"""

from __future__ import annotations

import array
import cmath
import copy
import functools
import importlib
import json
import math
import operator
import pickle
import random
import re
import statistics
from collections.abc import Callable
from math import sin
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import autodiff
from autodiff import Tensor, no_grad
from tests.autodiff.numeric import check_gradient

A = np.array([1.0, 2.0, 3.0])
SCALAR = np.array(0.75)


def zeros(shape: Any = 3, dtype: Any = float) -> Any:
    return np.zeros(shape, dtype)


def explained(error: BaseException) -> str:
    """What a traceback shows: the message and those of its causes, as numpy puts its own error before some of ours."""
    lines = []
    while error is not None:
        lines.append(str(error))
        error = error.__cause__  # type: ignore[assignment]
    return "\n".join(lines)


def store(target: Any, index: Any, value: Any) -> None:
    target[index] = value


def add_to(target: Any, value: Any) -> None:
    target += value


# Routes that work: the gradient is right to second order

WORKS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "sum([t, t])": (lambda t: sum([t, t * t]), SCALAR),
    "sum(t)": (lambda t: sum(t * t), A),
    "max(t)": (lambda t: max(t) ** 2, A),
    "min(t, u)": (lambda t: min(t, 5.0 - t) ** 2, SCALAR),
    "sorted(t)": (lambda t: np.stack(sorted(-t)) ** 2, A),
    "sorted(t, key=float)": (lambda t: np.stack(sorted(t, key=float)) ** 2, A),
    "math.prod([t, t])": (lambda t: math.prod([t, t, t]), SCALAR),
    "statistics.median": (lambda t: statistics.median([t, t * t]), SCALAR),
    "functools.reduce": (lambda t: functools.reduce(operator.mul, t), A),
    "operator.add": (lambda t: operator.add(A, t) ** 2, A),
    "array @ t": (lambda t: (np.eye(3) @ t) ** 2, A),
    "array * t": (lambda t: A * t * t, A),
    "np.float64(2) * t": (lambda t: np.float64(2) * t * t, A),
    "x = array; x = x + t": (lambda t: (A + t) ** 2, A),
    "np.where(c, t, array)": (lambda t: np.where(A > 1.5, t * t, A), A),
    "np.dot(array, t)": (lambda t: np.dot(A, t) ** 2, A),
    "np.stack([t, 1.0])": (lambda t: np.stack([t, 1.0, t * t]), SCALAR),
    "Tensor(array)[i] = t": (lambda t: assigned(Tensor(zeros()), 1, t * t), SCALAR),
    "object array": (lambda t: assigned(zeros(2, object), 0, t * t).sum() * 1.0, SCALAR),
    "random.gauss(t, s)": (lambda t: random.Random(1).gauss(t * t, 1.0), SCALAR),
    "copy.copy(result)": (lambda t: copy.copy(t * t), A),
    "for x in t": (lambda t: functools.reduce(operator.add, [x * x for x in t]), A),
    "a, b, c = t": (lambda t: (lambda a, b, c: a * b / c)(*t), A),
    "np.apply_along_axis": (lambda t: np.apply_along_axis(lambda v: v * v, 0, t), A),
    "np.fromfunction": (lambda t: np.fromfunction(lambda i: i * t * t, (3,)), A),
    "t + masked array": (lambda t: t * t + np.ma.array(A), A),
    "polynomial.polyval": (lambda t: np.polynomial.polynomial.polyval(t, [1.0, 2.0, 3.0]), A),
    "array.clip(t)": (lambda t: A.clip(t * t, None), A + 0.3),
}  # fmt: skip


def assigned(target: Any, index: Any, value: Any) -> Any:
    target[index] = value
    return target


@pytest.mark.parametrize("route", WORKS)
def test_a_route_that_works(route: str) -> None:
    function, x = WORKS[route]
    check_gradient(function, x, rng=np.random.default_rng(3))


# Routes that raise

DATA = r"`t\.data`"
NUMPYS = r"takes a plain number, .*would lose its gradient; call numpy's function.*float\(t\)"
ASSIGN = r"would lose its gradient; make the array a tensor first, `x = Tensor\(x\)`, .*np\.stack.*`t\.data`"
NAMED = r"is not differentiated by autodiff; write it with other numpy functions, pass `t\.data`"
WRITE = r"no gradient can follow.*`?\.data`"

#: On a 0-d tensor.
REFUSED_SCALAR: dict[str, tuple[Callable[[Any], Any], str]] = {
    "np.array(t)": (np.array, DATA),
    "np.array([t, t])": (lambda t: np.array([t, t]), r"np\.stack.*"),
    "np.array([[t, t], [t, t]])": (lambda t: np.array([[t, t], [t, t]]), r"np\.block\(\[\[a, b\], \[c, d\]\]\)"),
    "np.stack([[t, t], [t, t]])": (lambda t: np.stack([[t, t], [t, t]]), r"np\.block\(\[\[a, b\], \[c, d\]\]\)"),
    "np.array([t], dtype=object)": (lambda t: np.array([t, 1], dtype=object), DATA),
    "np.float64(t)": (lambda t: np.float64(t), DATA),
    "np.float32(t)": (lambda t: np.float32(t), DATA),
    "np.float16(t)": (lambda t: np.float16(t), DATA),
    "np.longdouble(t)": (lambda t: np.longdouble(t), DATA),
    "np.complex128(t)": (lambda t: np.complex128(t), DATA),
    "np.int64(t)": (lambda t: np.int64(t), DATA),
    "array[0] = t": (lambda t: store(zeros(), 0, t), ASSIGN),
    "array[i, j] = t": (lambda t: store(zeros((2, 2)), (0, 1), t), ASSIGN),
    "array[()] = t": (lambda t: store(zeros(()), (), t), ASSIGN),
    "array[...] = t": (lambda t: store(zeros(), ..., t), ASSIGN),
    "array[1:] = t": (lambda t: store(zeros(), slice(1, None), t), ASSIGN),
    "array[mask] = t": (lambda t: store(zeros(), A > 1, t), ASSIGN),
    "array[[0, 1]] = t": (lambda t: store(zeros(), [0, 1], t), ASSIGN),
    "array[:] = [t, t, t]": (lambda t: store(zeros(), slice(None), [t, t, t]), ASSIGN),
    "array[0] = t[None]": (lambda t: store(zeros(), 0, t[None]), ASSIGN),
    "array[0] += t": (lambda t: store(zeros(), 0, zeros()[0] + t), ASSIGN),
    "integers[0] = t": (lambda t: store(zeros(3, int), 0, t), ASSIGN),
    "complex[0] = t": (lambda t: store(zeros(3, complex), 0, t), ASSIGN),
    "float32[0] = t": (lambda t: store(zeros(3, "f4"), 0, t), ASSIGN),
    "float16[0] = t": (lambda t: store(zeros(3, "f2"), 0, t), ASSIGN),
    "longdouble[0] = t": (lambda t: store(zeros(3, np.longdouble), 0, t), ASSIGN),
    "record[0] = (t,)": (lambda t: store(zeros(3, [("x", float)]), 0, (t,)), ASSIGN),
    "array.flat[0] = t": (lambda t: store(zeros().flat, 0, t), ""),
    "array.array[0] = t": (lambda t: store(array.array("d", [0.0]), 0, t), ASSIGN),
    "array.fill(t)": (lambda t: A.copy().fill(t) or filled(zeros(), t), NUMPYS),
    "array.__setitem__(0, t)": (lambda t: written(zeros(), t), NUMPYS),
    "operator.setitem(array, 0, t)": (lambda t: operator.setitem(zeros(), 0, t), NUMPYS),
    "array.put(0, t)": (lambda t: zeros().put(0, t), DATA),
    "objects.astype(float)": (lambda t: converted(assigned(zeros(2, object), 0, t)), NUMPYS),
    "np.full(3, t)": (lambda t: np.full(3, t), DATA),
    "np.fromiter([t, t], float)": (lambda t: np.fromiter([t, t], float), NUMPYS),
    "np.arange(0, t)": (lambda t: np.arange(0, t), DATA),
    "np.nditer(t)": (lambda t: np.nditer(t), ""),
    "math.sin(t)": (lambda t: math.sin(t), NUMPYS),
    "math.sin(t * t)": (lambda t: math.sin((t * t).sum() + float(t)), NUMPYS),
    "math.exp(-t)": (lambda t: 1 / (1 + math.exp(-t)), NUMPYS),
    "math.hypot(t, t)": (lambda t: math.hypot(t, t), NUMPYS),
    "math.hypot(*ts)": (lambda t: math.hypot(*[t, t]), NUMPYS),
    "math.fsum([t, t])": (lambda t: math.fsum([t, t]), NUMPYS),
    "math.pow(2, t)": (lambda t: math.pow(2, t), NUMPYS),
    "cmath.exp(t)": (lambda t: cmath.exp(t), NUMPYS),
    "from math import sin": (lambda t: sin(t), NUMPYS),
    "f = math.sin; f(t)": (lambda t: (lambda f: f(t))(math.sin), NUMPYS),
    "x.f = math.sin; x.f(t)": (lambda t: called(SimpleNamespace(f=math.sin), t), NUMPYS),
    "x.f([(t, 1)], dtype=...)": (lambda t: called_by_keyword(SimpleNamespace(f=np.array), t), NUMPYS),
    "functools.partial(math.pow, 2)": (lambda t: called(SimpleNamespace(f=functools.partial(math.pow, 2)), t), NUMPYS),
    "statistics.fmean([t, t])": (lambda t: statistics.fmean([t, t]), NUMPYS),
    "statistics.mean([t, t])": (lambda t: statistics.mean([t, t]), ""),
    "rng.normal(loc=t)": (lambda t: np.random.default_rng(0).normal(loc=t), DATA),
    "rng.uniform(0, t)": (lambda t: np.random.default_rng(0).uniform(0, t), DATA),
    "RandomState.normal(t)": (lambda t: np.random.RandomState(0).normal(t), DATA),
    "json.dumps(t)": (lambda t: json.dumps({"loss": t}), ""),
}  # fmt: skip

#: On a tensor of shape (3,).
REFUSED_VECTOR: dict[str, tuple[Callable[[Any], Any], str]] = {
    "np.array(t)": (np.array, DATA),
    "np.asarray(t)": (np.asarray, DATA),
    "np.ascontiguousarray(t)": (np.ascontiguousarray, DATA),
    "np.require(t)": (np.require, DATA),
    "np.array([t, t])": (lambda t: np.array([t, t]), r"np\.stack.*"),
    "Tensor([t, t])": (lambda t: Tensor([t, t]), r"np\.stack.*"),
    "np.c_[t]": (lambda t: np.c_[t], DATA),
    "np.r_[t, 1.0]": (lambda t: np.r_[t, 1.0], DATA),
    "np.matrix(t)": (np.asmatrix, DATA),
    "np.ma.array(t)": (np.ma.array, DATA),
    "np.ma.sin(t)": (np.ma.sin, r"masked array.*np\.where.*`t\.data`"),
    "masked array + t": (lambda t: np.ma.array(A) + t, r"masked array.*np\.where.*`t\.data`"),
    "masked array[:] = t": (lambda t: store(np.ma.array(A), slice(None), t), r"masked array.*np\.where.*`t\.data`"),
    "memoryview(t)": (memoryview, ""),
    "np.frombuffer(t)": (np.frombuffer, ""),
    "np.ndenumerate(t)": (np.ndenumerate, DATA),
    "np.fromiter(t, float)": (lambda t: np.fromiter(t, float), NUMPYS),
    "array += t": (lambda t: add_to(zeros(), t), r"no gradient can follow; write `x = x \+ t`"),
    "array[0:2] += t": (lambda t: add_to(zeros()[0:2], t[:2]), r"no gradient can follow; write `x = x \+ t`"),
    "array[:] = t": (lambda t: store(zeros(), slice(None), t), ASSIGN),
    "np.add(t, 1, out=array)": (lambda t: np.add(t, 1, out=zeros()), WRITE),
    "np.sum(t, out=array)": (lambda t: np.sum(t, out=zeros(())), WRITE),
    "t.sum(out=array)": (lambda t: t.sum(out=zeros(())), WRITE),
    "np.copyto(array, t)": (lambda t: np.copyto(zeros(), t), WRITE),
    "np.put(array, i, t)": (lambda t: np.put(zeros(), [0, 1, 2], t), WRITE),
    "np.place(array, mask, t)": (lambda t: np.place(zeros(), A > 1, t), WRITE),
    "np.putmask(array, mask, t)": (lambda t: np.putmask(zeros(), A > 1, t), WRITE),
    "array.dot(t)": (lambda t: A.dot(t), DATA),
    "array.searchsorted(t)": (lambda t: A.searchsorted(t), DATA),
    "np.vectorize(f)(t)": (lambda t: np.vectorize(lambda x: x * x)(t), DATA),
    "np.frompyfunc(f, 1, 1)(t)": (lambda t: np.frompyfunc(lambda x: x * x, 1, 1)(t), NAMED),
    "np.apply_over_axes": (lambda t: np.apply_over_axes(np.sum, t, 0), NAMED),
    "np.save": (lambda t: np.save("never", t), NAMED),
    "np.testing.assert_allclose": (lambda t: np.testing.assert_allclose(t, A), DATA),
    "np.testing.assert_array_equal": (lambda t: np.testing.assert_array_equal(A, t), DATA),
    "np.testing.assert_array_less": (lambda t: np.testing.assert_array_less(t, A), DATA),
    "np.polynomial.Polynomial(t)": (np.polynomial.Polynomial, DATA),
    "rng.permutation(t)": (lambda t: np.random.default_rng(0).permutation(t), DATA),
    "rng.choice(t)": (lambda t: np.random.default_rng(0).choice(t), DATA),
    "rng.multivariate_normal(t)": (lambda t: np.random.default_rng(0).multivariate_normal(t, np.eye(3)), DATA),
    "pickle.dumps(result)": (lambda t: pickle.dumps(t * 2), r"t\.detach\(\).*t\.copy\(\)"),
    "copy.deepcopy(result)": (lambda t: copy.deepcopy(t * 2), r"t\.detach\(\).*t\.copy\(\)"),
    "bytes(t)": (bytes, ""),
}  # fmt: skip


def filled(target: Any, value: Any) -> None:
    target.fill(value)


def written(target: Any, value: Any) -> None:
    target.__setitem__(0, value)


def converted(objects: Any) -> Any:
    return objects.astype(float)


def called(holder: Any, value: Any) -> Any:
    return holder.f(value)


def called_by_keyword(holder: Any, value: Any) -> Any:
    return holder.f([(value, 1.0)], dtype="f8,f8")


CASES = [
    (route, x, *case) for x, table in ((SCALAR, REFUSED_SCALAR), (A, REFUSED_VECTOR)) for route, case in table.items()
]


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # numpy's own, of np.matrix
@pytest.mark.parametrize(
    ("x", "attempt", "cure"), [case[1:] for case in CASES], ids=[f"{c[0]}-{c[1].ndim}d" for c in CASES]
)
def test_a_route_that_is_refused(x: Any, attempt: Callable[[Any], Any], cure: str) -> None:
    """On a leaf and on a result; with the cure, unless the error is one that Python or numpy lets nobody else word."""
    for tensor in (Tensor(x, requires_grad=True), Tensor(x, requires_grad=True) * 1.0):
        with pytest.raises((TypeError, ValueError, NotImplementedError)) as caught:
            attempt(tensor)
        assert re.search(cure, explained(caught.value), re.DOTALL), explained(caught.value)


@pytest.mark.parametrize(("x", "attempt"), [case[1:3] for case in CASES], ids=[f"{c[0]}-{c[1].ndim}d" for c in CASES])
def test_where_nothing_is_lost_it_is_allowed(x: Any, attempt: Callable[[Any], Any], request: Any) -> None:
    """Without a gradient to lose, or inside `no_grad`, no complaint about one is made."""
    free, asked = Tensor(x), Tensor(x, requires_grad=True)
    for tensor, mode in ((free, autodiff.enable_grad()), (asked, no_grad())):
        message = ""
        with mode:
            try:
                attempt(tensor)
            except Exception as error:
                message = explained(error)
        assert "lose" not in message
        assert "gradient of" not in message


def concatenated(t: Any, target: Any) -> None:
    np.concatenate([t, t], out=target[:6])


OUT: dict[str, Callable[[Any, Any], Any]] = {
    "array += t": lambda t, target: add_to(target[:3], t),
    "np.add(out=)": lambda t, target: np.add(t, 1.0, out=target[:3]),
    "np.add(out, positional)": lambda t, target: np.add(t, 1.0, target[:3]),
    "np.divide(where=)": lambda t, target: np.divide(t, t, out=target[:3], where=A > 1),
    "np.add.reduce(out=)": lambda t, target: np.add.reduce(t, out=target[:1].reshape(())),
    "np.sum(out=)": lambda t, target: np.sum(t, keepdims=True, out=target[:1]),
    "np.dot(out=)": lambda t, target: np.dot(np.eye(3), t, out=target[:3]),
    "np.concatenate(out=)": concatenated,
    "t.sum(out=)": lambda t, target: t.sum(keepdims=True, out=target[:1]),
    "t.clip(out=)": lambda t, target: t.clip(1.5, 2.5, out=target[:3]),
}


@pytest.mark.parametrize("route", OUT)
def test_arrays_are_written_to_where_nothing_is_lost(route: str) -> None:
    write = OUT[route]
    expected = np.zeros(7)
    write(A, expected)
    assert expected.any()
    free, asked = Tensor(A), Tensor(A, requires_grad=True)
    for tensor, mode in ((free, autodiff.enable_grad()), (asked, no_grad())):
        target = np.zeros(7)
        with mode:
            write(tensor, target)
        np.testing.assert_array_equal(target, expected)
    with pytest.raises(TypeError, match="no gradient can follow"):
        write(asked, np.zeros(7))


@pytest.mark.parametrize(
    "function",
    [
        "special.expit",
        "special.gammaln",
        "stats.norm.pdf",
        "linalg.inv",
        "fft.fft",
        "ndimage.gaussian_filter",
        "signal.detrend",
    ],
)
def test_scipys_functions(function: str) -> None:
    pytest.importorskip("scipy", reason="scipy is not installed")
    module, *path = function.split(".")
    attempt = functools.reduce(getattr, path, importlib.import_module(f"scipy.{module}"))
    t = Tensor(np.eye(3), requires_grad=True)
    with pytest.raises((TypeError, NotImplementedError), match=r"`t\.data`"):
        attempt(t, 1) if module == "ndimage" else attempt(t)


def test_sparse_matrices() -> None:
    sparse = pytest.importorskip("scipy.sparse", reason="scipy is not installed")
    t = Tensor(A, requires_grad=True)
    for attempt in (
        lambda: sparse.eye(3) @ t,
        lambda: sparse.eye_array(3).tocsr().dot(t),
        lambda: sparse.csr_array(t[None]),
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            attempt()
        assert re.search(DATA, explained(caught.value))


def test_a_leaf_is_copied_and_pickled_with_its_gradient_and_stays_a_leaf() -> None:
    t = Tensor(A, requires_grad=True, name="t")
    (t * t).sum().backward()
    for twin in (copy.copy(t), copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
        assert twin.requires_grad
        assert twin.is_leaf
        np.testing.assert_array_equal(twin.grad, t.grad)
