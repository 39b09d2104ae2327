"""The generated tests of the operations on a GPU: every sample, forward and back, eager and compiled, and training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nn
from autodiff import Op, Tensor, as_tensor, value_and_grad
from autodiff.compile import CompileError, compile
from autodiff.sample import Sample
from tests.autodiff.test_compile_foreign import OPTIMIZERS, Training, X, Y, dropping, plain
from tests.autodiff.test_ops import OPS, call, differentiable, draw, pull

cupy = pytest.importorskip("cupy", reason="CuPy is not installed; see docs/numpy.md for how to")


def _gpus() -> int:
    try:
        return int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError:  # raised, rather than 0, where there is no driver
        return 0


if not _gpus():
    pytest.skip("CuPy is installed, but there is no GPU", allow_module_level=True)

CASES = [(op, sample, i) for op in OPS for i, sample in enumerate(op.samples)]
#: Functions of numpy's that CuPy 14 does not have, or has no such method of.
NO_SUCH_FUNCTION = {"vecdot", "matvec", "vecmat", "nanquantile", "nanpercentile", "logcumsumexp"}
#: Arguments of numpy's that CuPy's functions do not have.
NO_SUCH_ARGUMENT = {"where", "initial", "weights"}
#: What CuPy says of those.
REFUSALS = (NotImplementedError, AttributeError, TypeError, ValueError)


def lacking(op: Op, sample: Sample) -> str:
    """Return what CuPy lacks for a sample, or nothing. docs/numpy.md has the same list."""
    params = sample.params
    if op.name in NO_SUCH_FUNCTION:
        return f"no {op.name}"
    if NO_SUCH_ARGUMENT & params.keys():
        return f"no {NO_SUCH_ARGUMENT & params.keys()} of {op.name}"
    if op.name == "dot" and any(isinstance(operand, float) for operand in sample.operands):
        return "no dot of a Python number"
    if op.name in ("quantile", "percentile"):
        if np.ndim(params["q"]) > 1:
            return "no quantiles of more than one axis"
        if params.get("method") in ("hazen", "averaged_inverted_cdf"):
            return "no such method for quantiles"
    if op.name == "solve" and len({operand.shape[:-2] for operand in sample.operands if len(operand.shape) > 1}) > 1:
        return "no broadcasting of stacks of equations"
    if op.name == "sliding_window_view" and len(set(params["axes"])) < len(params["axes"]):
        return "no two windows along one axis"
    return ""


def on_gpu(x: Any) -> Any:
    return cupy.asarray(x) if isinstance(x, np.ndarray) else x


def on_host(x: Any) -> Any:
    """The array on the host. A copy that is asked for: CuPy refuses to make one unasked."""
    assert isinstance(x, cupy.ndarray), f"expected an array on the GPU, got {type(x)}"
    return cupy.asnumpy(x)


def phases(op: Op, got: Any, expected: Any) -> Any:
    """Return what a result may be multiplied by: eigenvectors are settled but for their sign."""
    return np.sign(np.sum(got * expected, axis=-2, keepdims=True)) if op.name == "eigenvectors" else 1


@pytest.mark.parametrize(("op", "sample"), [case[:2] for case in CASES], ids=[f"{op.name}-{i}" for op, _, i in CASES])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_operation_gives_on_the_gpu_what_it_gives_on_the_host(op: Op, sample: Sample, dtype: Any) -> None:
    host = draw(op, sample)
    where = differentiable(op, host)
    host = [x.astype(dtype) if i in where else x for i, x in enumerate(host)]
    expected, slopes = pull(op, host, sample.params)
    operands = [on_gpu(x) for x in host]
    for i in where:
        operands[i] = as_tensor(operands[i])
        operands[i].requires_grad = True
    params = {key: on_gpu(value) for key, value in sample.params.items()}
    if lacking(op, sample):
        with pytest.raises(REFUSALS):
            call(op, operands, params).backward(expected)
        return
    y = call(op, operands, params)
    if op.name == "setitem" and repeated(sample.params["index"]):
        pytest.skip("CuPy keeps any of several writes to an element, see below")
    phase = phases(op, on_host(y.data), expected)
    seed = np.linspace(1, 2, expected.size).reshape(expected.shape) * phase
    y.backward(seed.astype(expected.dtype))  # the engine brings it to the GPU
    # The GPU's elementary functions are right to a few units in the last place, not to half a unit.
    tolerance = 64 * np.finfo(dtype).eps
    for got, wanted in [(y.data, expected * phase), *zip([operands[i].grad for i in where], slopes, strict=True)]:
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_allclose(on_host(got), wanted, rtol=tolerance, atol=tolerance)


def repeated(index: Any) -> bool:
    return isinstance(index, np.ndarray) and index.dtype != bool and len(np.unique(index)) < index.size


def test_the_gradient_goes_to_the_write_that_stands() -> None:
    """CuPy keeps any of several writes to an element; whichever it is, it gets the gradient."""
    rng = np.random.default_rng(0)
    index, values = rng.integers(0, 50, 100_000), rng.normal(size=100_000)
    x, v = (Tensor(cupy.asarray(a), requires_grad=True) for a in (np.zeros(60), values))
    y = x * 1.0
    y[cupy.asarray(index)] = v
    (y * cupy.arange(1.0, 61)).sum().backward()
    left, gradient = on_host(y.data), on_host(v.grad)
    (chosen,) = np.nonzero(gradient)
    np.testing.assert_array_equal(np.sort(index[chosen]), np.arange(50))
    np.testing.assert_array_equal(values[chosen], left[index[chosen]])
    np.testing.assert_array_equal(gradient[chosen], index[chosen] + 1.0)
    np.testing.assert_array_equal(on_host(x.grad), np.r_[np.zeros(50), np.arange(51.0, 61)])


def test_dropout_on_the_gpu_drops_what_it_drops_on_the_host() -> None:
    x = np.ones((20, 30), np.float32)
    got, expected = (nn.Dropout(0.3, seed=5)(put(x)) for put in (cupy.asarray, np.asarray))
    np.testing.assert_array_equal(on_host(got), expected)


def test_a_network_trains_on_the_gpu_as_on_the_host() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 3)), (rng.random((64, 1)) > 0.5).astype(float)

    def train(put: Any) -> list[Any]:
        model = nn.MLP([3, 8, 1], activation="tanh", seed=0)
        for p in model.parameters():
            p.data = put(p.data)
        criterion = nn.BCEWithLogitsLoss()
        optimizer = nn.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(20):
            optimizer.zero_grad()
            criterion(model(put(x)), put(y)).backward()
            optimizer.step()
        return [p.data for p in model.parameters()]

    for got, expected in zip(train(cupy.asarray), train(np.asarray), strict=True):
        np.testing.assert_allclose(on_host(got), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("put", [cupy.asarray, np.asarray], ids=["on the GPU", "on the host"])
def test_class_indices_on_the_gpu(put: Any) -> None:
    z, k = np.random.default_rng(0).normal(size=(6, 4)), np.array([0, 3, 1, 1, 2, 0])
    logits, expected = Tensor(cupy.asarray(z), requires_grad=True), Tensor(z, requires_grad=True)
    nn.CrossEntropyLoss()(logits, put(k)).backward()
    nn.CrossEntropyLoss()(expected, k).backward()
    np.testing.assert_allclose(on_host(logits.grad), expected.grad, rtol=1e-12, atol=1e-15)


def test_second_order_on_the_gpu() -> None:
    values = np.linspace(0.2, 1.5, 6).reshape(2, 3)

    def second(x: Any) -> Any:
        leaf = Tensor(x, requires_grad=True)
        first = (np.exp(np.sin(leaf)) @ leaf.T).sum().gradient(leaf, create_graph=True)
        return (first * first).sum().gradient(leaf)

    np.testing.assert_allclose(on_host(second(cupy.asarray(values))), second(values), rtol=1e-12)


def test_a_tensor_on_the_gpu_is_shown_copied_and_read_out() -> None:
    t = Tensor(cupy.asarray([1.5]), requires_grad=True)
    assert float(t) == t.item() == 1.5
    assert f"{t:.2f}" == "1.50"
    assert "1.5" in repr(t)
    (t * t).sum().backward()
    assert isinstance(t.grad, cupy.ndarray)
    assert Tensor(t.data).data is not t.data
    with pytest.raises(TypeError):
        np.asarray(t)


# Compiled


@pytest.mark.parametrize(("op", "sample"), [case[:2] for case in CASES], ids=[f"{op.name}-{i}" for op, _, i in CASES])
def test_a_compiled_operation_gives_on_the_gpu_what_it_gives_by_itself(op: Op, sample: Sample) -> None:
    if lacking(op, sample):
        pytest.skip(f"CuPy has {lacking(op, sample)}")
    if op.name == "setitem" and repeated(sample.params["index"]):
        pytest.skip("CuPy keeps any of several writes to an element")
    params = {key: on_gpu(value) for key, value in sample.params.items()}

    def total(*xs: Any) -> Any:
        return np.sum(np.square(call(op, xs, params)))

    function = value_and_grad(total, argnums=differentiable(op, draw(op, sample)))
    compiled = compile(function)
    for attempt in range(4):
        xs = [on_gpu(x) for x in draw(op, sample, attempt)]
        (value, slopes), (expected, wanted) = compiled(*xs), function(*xs)
        for a, b in [(value, expected), *zip(slopes, wanted, strict=True)]:
            a, b = (on_host(x.data if isinstance(x, Tensor) else x) for x in (a, b))
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * max(1.0, np.max(np.abs(b), initial=0.0)))
    assert len(compiled.programs) == 1


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("model", [plain, dropping])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_compiled_training_on_the_gpu(optimizer: Any, model: Any, dtype: Any) -> None:
    eager, numpys, mine = (Training(put, model(), optimizer, dtype) for put in (cupy.asarray, np.asarray, cupy.asarray))
    compiled = compile(mine.step, verify=2)
    got, unchanged, host = mine.run(compiled, 100), eager.run(eager.step, 100), numpys.run(numpys.step, 100)
    limit = 1e-9 if dtype == np.float64 else 1e-2
    for a, b, c in zip(got, unchanged, host, strict=True):
        np.testing.assert_allclose(cupy.asnumpy(a), cupy.asnumpy(b), rtol=limit, atol=limit)
        np.testing.assert_allclose(cupy.asnumpy(a), c, rtol=limit, atol=limit)
    assert all(isinstance(array, cupy.ndarray) for p in mine.model.parameters() for array in (p.data, p.grad))
    assert len(compiled.programs) == 1
    drawn = [buffer for buffer in compiled.program._plan.buffers if not isinstance(buffer, cupy.ndarray)]
    assert len(drawn) == (1 if model is dropping else 0)  # what the host drew for dropout
    assert ", out=parameters)" in str(compiled.program)  # all of them in one call


def test_a_program_needs_no_more_memory_of_the_gpu_however_often_it_runs() -> None:
    training = Training(cupy.asarray, plain(), OPTIMIZERS["Adam"])
    compiled, pool = compile(training.step), cupy.get_default_memory_pool()
    x, y = cupy.asarray(X), cupy.asarray(Y)
    for _ in range(6):
        loss = compiled(x, y)
    used, total = pool.used_bytes(), pool.total_bytes()
    for _ in range(50):
        loss = compiled(x, y)
    assert pool.used_bytes() <= used  # less where the garbage collector came by
    assert pool.total_bytes() <= total
    assert float(loss) < 1


def test_batches_of_another_size_or_dtype_make_another_program_on_the_gpu() -> None:
    training, twin = (Training(cupy.asarray, plain(), OPTIMIZERS["SGD"]) for _ in range(2))
    compiled = compile(training.step)
    for rows, dtype in [(16, float), (8, float), (16, np.float32)] * 4:
        batch = [cupy.asarray(data[:rows].astype(dtype)) for data in (X, Y)]
        assert float(compiled(*batch)) == pytest.approx(float(twin.step(*batch)), rel=1e-9)
    assert len(compiled.programs) == 3


def test_fit_compiles_on_the_gpu() -> None:
    def fitted(put: Any, compiled: bool) -> Any:
        model = plain()
        for p in model.parameters():
            p.data = put(p.data)
        optimizer = nn.optim.Adam(model.parameters(), lr=0.05)
        return nn.train.fit(
            model,
            nn.BCEWithLogitsLoss(),
            optimizer,
            put(X),
            put(Y),
            epochs=150,
            batch_size=4,
            progress=False,
            compile=compiled,
            seed=0,
        )

    history = fitted(cupy.asarray, True)
    assert history.compiled is True
    for wanted in (fitted(cupy.asarray, False), fitted(np.asarray, True)):
        np.testing.assert_allclose(history["loss"], wanted["loss"], rtol=1e-6)


def test_a_compiled_step_refuses_what_it_refuses_by_itself() -> None:
    training = Training(cupy.asarray, plain(), OPTIMIZERS["SGD"])
    compiled = compile(training.step)
    training.run(compiled, 5)
    before = [on_host(p.data) for p in training.model.parameters()]
    for batch in ((X, cupy.asarray(Y)), (cupy.asarray(X), Y), (X, Y)):
        for step in (training.step, compiled):
            with pytest.raises(TypeError, match=r"(?i)numpy\.ndarray|numpy array"):
                step(*batch)
    for p, array in zip(training.model.parameters(), before, strict=True):
        np.testing.assert_array_equal(on_host(p.data), array)
    with pytest.raises(CompileError, match=r'cupy\.ndarray: leave out backend="numba"'):
        compile(training.step, backend="numba")(cupy.asarray(X), cupy.asarray(Y))
