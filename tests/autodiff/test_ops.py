"""Every op in the registry, on every sample it declares. Nobody writes these tests: a declaration makes them."""

from __future__ import annotations

import math
import operator
import warnings
import zlib
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import pytest

import autodiff  # noqa: F401  (importing it registers the ops)
from autodiff import Op, Tensor, as_tensor
from autodiff.op import handlers, registry
from autodiff.sample import Sample
from tests.autodiff.numeric import KinkError, check_gradient, plain


def _relu(x: Any) -> Any:
    return (x + abs(x)) / 2


def _scatter(x: Any, index: Any, shape: Any) -> Any:
    out = np.zeros(shape, x.dtype)
    np.add.at(out, index, x)
    return out


def _setitem(x: Any, value: Any, index: Any, views: Any = ()) -> Any:
    out = target = x.copy()
    for view, params in views:
        target = view(target, **params)
    target[index] = value
    return out


def _overlap_add(x: Any, shape: Any, window: Any, axes: Any) -> Any:
    positions = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    seen = np.lib.stride_tricks.sliding_window_view(positions, window, axes)
    return np.bincount(seen.ravel(), x.ravel(), positions.size).reshape(shape)


def _recurrence(a: Any, b: Any) -> Any:
    out = b.copy()
    for i in range(1, b.shape[-1]):
        out[..., i] = a[..., i] * out[..., i - 1] + b[..., i]
    return out


def _scaled_bessel(x: Any, order: int) -> Any:
    return sum(x ** (2 * k) / (math.factorial(k) * math.factorial(k + order) * 2 ** (2 * k + order)) for k in range(20))


def _phi(x: Any) -> Any:
    return np.array([math.erfc(-z / math.sqrt(2)) / 2 for z in x.flat], x.dtype).reshape(x.shape)


def _symmetric(a: Any) -> Any:
    return (a + np.swapaxes(a, -1, -2)) / 2


def _cofactors(a: Any) -> Any:
    out = np.empty_like(a)
    for i, j in np.ndindex(a.shape[-2:]):
        minor = np.delete(np.delete(a, i, -2), j, -1)
        out[..., i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    return out


#: What an op computes, where numpy has no function of its name. Written naively: samples are of moderate size.
REFERENCE: dict[str, Callable[..., Any]] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": _relu,
    "leaky_relu": lambda x, negative_slope=0.01: _relu(x) - negative_slope * _relu(-x),
    "elu": lambda x, alpha=1.0: _relu(x) + alpha * (np.exp(-_relu(-x)) - 1),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "gelu": lambda x: x * _phi(x),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "normal_pdf": lambda x: np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    "normal_cdf": _phi,
    "scaled_bessel": _scaled_bessel,
    "recurrence": _recurrence,
    "logcumsumexp": lambda x, axis=0: np.log(np.add.accumulate(np.exp(x), axis)),
    "softmax": lambda x, axis=-1: np.exp(x) / np.exp(x).sum(axis, keepdims=True),
    "log_softmax": lambda x, axis=-1: x - np.log(np.exp(x).sum(axis, keepdims=True)),
    "logsumexp": lambda x, axis=None, keepdims=False: np.log(np.exp(x).sum(axis, keepdims=keepdims)),
    "linear": lambda x, weight, bias: np.einsum("...i,oi->...o", x, weight) + (0 if bias is None else bias),
    "einsum": lambda *xs, subscripts, optimize=False: np.einsum(subscripts, *xs),
    "eigenvalues": lambda a: np.linalg.eigvalsh(_symmetric(a)),
    "eigenvectors": lambda a: np.linalg.eigh(_symmetric(a))[1],
    "cholesky": lambda a, upper=False: np.linalg.cholesky(_symmetric(a), upper=upper),
    "singular_values": lambda a: np.linalg.svd(a)[1],
    "left_vectors": lambda a: np.linalg.svd(a, full_matrices=False)[0],
    "right_vectors": lambda a: np.linalg.svd(a, full_matrices=False)[2],
    "q_factor": lambda a, mode="reduced": np.linalg.qr(a, mode)[0],
    "r_factor": lambda a, mode="reduced": np.linalg.qr(a, mode)[1],
    "logabsdet": lambda a: np.linalg.slogdet(a)[1],
    "cofactors": _cofactors,
    "norm_of_order": np.linalg.norm,
    "getitem": lambda x, index: x[index],
    "setitem": _setitem,
    "scatter": _scatter,
    "astype": lambda x, dtype: x.astype(dtype),
    "reshape": lambda x, shape, order="C": x.reshape(shape, order=order),
    "sliding_window_view": lambda x, window, axes: np.lib.stride_tricks.sliding_window_view(x, window, axes),
    "overlap_add": _overlap_add,
}
OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "divide": operator.truediv,
    "power": operator.pow, "matmul": operator.matmul, "remainder": operator.mod,
    "negative": operator.neg, "positive": operator.pos, "absolute": operator.abs,
}  # fmt: skip
#: Where ops are declared whose numpy functions have no float16.
LAPACK = {"numpy.linalg", "autodiff.ops.linalg.solving", "autodiff.ops.linalg.decompositions", "autodiff.ops.linalg.qr"}
#: Methods of numpy's arrays that take their parameters by position only.
POSITIONAL = {"reshape", "transpose", "swapaxes", "astype"}

OPS = list(registry.values())
CASES = [(op, entry, i) for op in OPS for i, entry in enumerate(op.samples)]
each_op = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)


def _each(cases: list[tuple[Op, Sample, int]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("op", "sample"), [case[:2] for case in cases], ids=[f"{op.name}-{i}" for op, _, i in cases]
    )


each_case = _each(CASES)
#: The losses of nn are ops too. Their values, and the shapes that they refuse, are the business of tests/nn.
each_array_case = _each(
    [case for case in CASES if not getattr(case[0].forward, "__module__", "numpy").startswith("nn.")]
)


def rng_for(op: Op, attempt: int = 0) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(op.name.encode()), attempt])


def draw(op: Op, sample: Sample, attempt: int = 0) -> list[Any]:
    return list(sample.draw(rng_for(op, attempt)))


def call(op: Op, operands: Any, params: dict[str, Any]) -> Any:
    return op(list(operands), **params) if op.variadic else op(*operands, **params)


def reference(op: Op) -> Callable[..., Any]:
    """What an op computes, as a function of its operands; the sequence of a variadic one is made here."""
    if op.name in REFERENCE:
        return REFERENCE[op.name]
    function = getattr(np, op.name, None) or getattr(np.linalg, op.name, None)
    assert function is not None, f"numpy has no {op.name}: say in REFERENCE what it computes"
    return (lambda *xs, **params: function(xs, **params)) if op.variadic else function


def differentiable(op: Op, operands: list[Any]) -> list[int]:
    """The positions of the operands by which this call has a derivative."""
    rules = op.rules * len(operands) if op.variadic else op.rules
    return [i for i, x in enumerate(operands) if rules[i] and isinstance(x, np.ndarray) and x.dtype.kind == "f"]


def track(op: Op, operands: list[Any]) -> list[Any]:
    """Make leaves of the differentiable operands, on the very memory that was given."""
    tracked = list(operands)
    for i in differentiable(op, operands):
        tracked[i] = as_tensor(operands[i])
        tracked[i].requires_grad = True
    return tracked


def pull(op: Op, operands: list[Any], params: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Run an op forward and back; return its value and the gradients of the differentiable operands."""
    tracked = track(op, operands)
    y = call(op, tracked, params)
    y.backward(np.linspace(1, 2, y.size).reshape(y.shape).astype(y.dtype))
    return y.data, [tracked[i].grad for i in differentiable(op, operands)]


@each_op
def test_declaration_is_complete(op: Op) -> None:
    """Samples, a symbol, and a formula for each operand that has a derivative, or one for all."""
    with_rule = sum(rule is not None for rule in op.rules)
    assert op.samples, f"{op.name} has no samples, so nothing about it is tested"
    assert op.symbol.strip()
    assert len(op.formula) in {1, with_rule}
    assert all(line.strip() for line in op.formula)
    assert registry[op.name] is op


@each_op
def test_samples_reach_every_rule(op: Op) -> None:
    reached = {i for sample in op.samples for i in differentiable(op, draw(op, sample))}
    missing = {i for i, rule in enumerate(op.rules) if rule is not None} - reached
    assert not missing, f"no sample of {op.name} has an array at operand {missing}"


@each_array_case
def test_forward_is_numpys(op: Op, sample: Sample) -> None:
    operands = draw(op, sample)
    expected = np.asarray(reference(op)(*operands, **sample.params))
    on_arrays = call(op, operands, sample.params)
    assert not isinstance(on_arrays, Tensor)
    for got in (on_arrays, call(op, track(op, operands), sample.params).data):
        assert np.asarray(got).dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-15)


@each_case
def test_spellings(op: Op, sample: Sample) -> None:
    """Numpy's function, method and operator, forwards and reflected, are all this op."""
    operands, params = draw(op, sample), sample.params
    expected = call(op, operands, params)
    spellings = _spellings(op, params)
    for spelling in spellings.values():
        got = spelling(*track(op, operands))
        assert got.op is op
        np.testing.assert_array_equal(got.data, expected)
    if len(operands) == 2 and "operator" in spellings:
        for i in differentiable(op, operands):
            mixed = list(operands)
            mixed[i] = track(op, operands)[i]  # the other operand stays a plain array, on either side
            got = spellings["operator"](*mixed)
            assert got.op is op
            np.testing.assert_array_equal(got.data, expected)


def _spellings(op: Op, params: dict[str, Any]) -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    function = getattr(np, op.name, None)
    if function in handlers:
        if op.name == "einsum":
            found["function"] = lambda *xs: function(params["subscripts"], *xs)
        elif op.variadic:
            found["function"] = lambda *xs: function(xs, **params)
        elif op.name in POSITIONAL:
            found["function"] = lambda x: function(x, *params.values())
        else:
            found["function"] = lambda *xs: function(*xs, **params)
    if hasattr(np.ndarray, op.name):
        if op.name in POSITIONAL:
            found["method"] = lambda x: getattr(x, op.name)(*params.values())
        else:
            found["method"] = lambda x, *others: getattr(x, op.name)(*others, **params)
    if op.name in OPERATORS:
        found["operator"] = OPERATORS[op.name]
    return found


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "power", "remainder"])
def test_reflected_operators_take_scalars(name: str) -> None:
    x = np.array([0.5, 1.5])
    for scalar in (2, 2.5, np.float64(2.5), np.array(2.5)):
        for left, right in ((scalar, x), (x, scalar)):
            got = OPERATORS[name](*(Tensor(v, requires_grad=True) if v is x else v for v in (left, right)))
            assert got.op.name == name
            np.testing.assert_array_equal(got.data, OPERATORS[name](left, right))


@each_case
def test_gradient_is_right_to_second_order(op: Op, sample: Sample) -> None:
    check(op, sample)


def check(op: Op, sample: Sample, change: Callable[[Any], Any] = lambda x: x) -> None:
    """Check the gradients on the sample's operands, changed; where they fall on a kink, on others."""
    for attempt in range(4):
        try:
            return _check(op, [change(x) for x in draw(op, sample, attempt)], sample.params)
        except KinkError:
            continue
    raise AssertionError(f"four draws of {sample} all fell beside a kink: choose its operands otherwise")


def _check(op: Op, operands: list[Any], params: dict[str, Any]) -> None:
    where = differentiable(op, operands)

    def function(*xs: Any) -> Any:
        together = list(operands)
        for i, x in zip(where, xs, strict=True):
            together[i] = x
        return call(op, together, params)

    check_gradient(function, *(operands[i] for i in where), rng=rng_for(op))


@each_case
@pytest.mark.parametrize("factor", [1.001, -1], ids=["slightly", "sign"])
def test_a_wrong_rule_would_be_caught(op: Op, sample: Sample, factor: float) -> None:
    """Every rule in turn is made wrong; the gradient test above must then fail on some sample."""
    operands = draw(op, sample)
    for i in differentiable(op, operands):
        position = 0 if op.variadic else i
        right = op.rules[position]

        @wraps(right)
        def wrong(*args: Any, right: Any = right, **params: Any) -> Any:
            return factor * right(*args, **params)

        rules = tuple(wrong if p == position else rule for p, rule in enumerate(op.rules))
        broken = Op(op.forward, rules, op.name, op.symbol, op.formula, (), op.variadic)
        with pytest.raises(AssertionError, match="order gradient"):
            check(broken, sample)


@each_case
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_floats_are_kept(op: Op, sample: Sample, dtype: Any) -> None:
    wide = draw(op, sample)
    narrow = [x.astype(dtype) if i in differentiable(op, wide) else x for i, x in enumerate(wide)]
    if dtype == np.float16 and getattr(op.forward, "__module__", None) in LAPACK:
        with pytest.raises(TypeError, match="float16 is unsupported"):
            pull(op, narrow, sample.params)
        return
    value, grads = pull(op, narrow, sample.params)
    assert value.dtype == np.asarray(op.forward(*narrow, **sample.params)).dtype
    exact = pull(op, [x.astype(w.dtype) if x is not w else x for x, w in zip(narrow, wide, strict=True)], sample.params)
    for got, expected in [(value, exact[0]), *zip(grads, exact[1], strict=True)]:
        assert isinstance(got, np.ndarray)
        np.testing.assert_allclose(got, expected, rtol=30 * np.finfo(dtype).eps, atol=30 * np.finfo(dtype).eps)
    assert {g.dtype for g in grads} == {np.dtype(dtype)}


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: np.flip(np.flip(x).copy()),
    "read-only": lambda x: _read_only(x.copy()),
    "stride zero": lambda x: np.broadcast_to(x[:1], x.shape),
}


def _read_only(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


@each_case
@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layout_makes_no_difference(op: Op, sample: Sample, layout: str) -> None:
    arranged = [LAYOUTS[layout](x) if isinstance(x, np.ndarray) and x.ndim else x for x in draw(op, sample)]
    try:
        value, grads = pull(op, arranged, sample.params)
    except np.linalg.LinAlgError:
        assert layout == "stride zero"  # rows that are all the same make a singular matrix
        return
    plain_value, plain_grads = pull(
        op, [np.array(x, order="C") if isinstance(x, np.ndarray) else x for x in arranged], sample.params
    )
    np.testing.assert_allclose(value, plain_value, rtol=1e-14)
    for got, expected in zip(grads, plain_grads, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-15)


@each_case
def test_nothing_is_changed_or_shared(op: Op, sample: Sample) -> None:
    """Operands and upstream gradient stay as they were; each ``.grad`` is its tensor's alone, and writable."""
    tracked = track(op, draw(op, sample))
    y = call(op, tracked, sample.params)
    z = y * 1.0
    seed = np.full(z.shape, 2.0)
    held = [plain(x) for x in tracked if isinstance(plain(x), np.ndarray)] + [y.data, z.data, seed]
    before = [x.copy() for x in held]
    z.backward(seed, retain_grads=True)
    for array, copy in zip(held, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    grads = [x.grad for x in [*tracked, y, z] if isinstance(x, Tensor)]
    for position, g in enumerate(grads):
        assert isinstance(g, np.ndarray)
        assert g.flags.writeable
        for other in [*held, *grads[:position]]:
            assert not np.shares_memory(g, other)


@each_array_case
def test_empty_arrays(op: Op, sample: Sample) -> None:
    """With an axis of length 0 an op works where numpy does, and fails as numpy fails."""
    operands = draw(op, sample)
    for length in sorted({n for x in operands if isinstance(x, np.ndarray) for n in x.shape}):
        empty = [
            np.resize(x, [0 if n == length else n for n in x.shape]) if isinstance(x, np.ndarray) else x
            for x in operands
        ]
        _as_numpy_does(op, empty, sample.params)


@each_array_case
def test_zero_dimensional_arrays(op: Op, sample: Sample) -> None:
    if _as_numpy_does(op, [_scalar(x) for x in draw(op, sample)], sample.params):
        check(op, sample, _scalar)


def _scalar(x: Any) -> Any:
    return np.asarray(x.flat[0]) if isinstance(x, np.ndarray) else x


def _as_numpy_does(op: Op, operands: list[Any], params: dict[str, Any]) -> bool:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the mean of nothing warns, in numpy as here
        try:
            expected = reference(op)(*operands, **params)
        except (ValueError, IndexError, TypeError) as error:
            if reference(op) is getattr(np, op.name, None):
                with pytest.raises(type(error)):
                    call(op, track(op, operands), params)
            return False
        value, grads = pull(op, operands, params)
    np.testing.assert_allclose(value, expected, rtol=1e-13, atol=1e-15)
    assert value.dtype == np.asarray(expected).dtype
    for i, g in zip(differentiable(op, operands), grads, strict=True):
        assert isinstance(g, np.ndarray)
        assert (g.shape, g.dtype) == (operands[i].shape, operands[i].dtype)
    return True
