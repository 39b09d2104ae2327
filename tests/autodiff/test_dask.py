"""Dask arrays inside Tensors: nothing is computed until `dask.compute`, and then it is what numpy computes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import autodiff
import nn
from autodiff import Tensor, as_tensor, no_grad
from autodiff.op import registry
from tests.autodiff.test_ops import call, differentiable, draw, pull, rng_for

dask = pytest.importorskip("dask", reason="dask is not installed")
da = pytest.importorskip("dask.array", reason="dask is not installed")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(120, 3)), (RNG.random((120, 1)) > 0.5).astype(float)
W1, B1 = RNG.normal(size=(3, 5)), RNG.normal(size=5)
W2, B2 = RNG.normal(size=(5, 1)), RNG.normal(size=1)


class Count:
    """A scheduler that counts how often anything is computed."""

    def __init__(self) -> None:
        self.computed = 0

    def __call__(self, graph: Any, keys: Any, **options: Any) -> Any:
        self.computed += 1
        return dask.get(graph, keys, **options)


@pytest.fixture
def count() -> Iterator[Count]:
    scheduler = Count()
    with dask.config.set(scheduler=scheduler):
        yield scheduler


def chunked(x: np.ndarray) -> Any:
    """In chunks along the batch, the first axis."""
    return da.from_array(x, chunks=(50, *x.shape[1:]))


def whole(x: np.ndarray) -> Any:
    return da.from_array(x, chunks=x.shape)


def same(got: Any, expected: Any) -> None:
    for g, e in zip(got, expected, strict=True):
        assert np.shape(g) == np.shape(e)
        np.testing.assert_allclose(g, e, rtol=1e-12, atol=1e-12)


# As a thing to hold


def test_a_tensor_holds_the_dask_array_and_computes_nothing(count: Count) -> None:
    x = Tensor(chunked(X), requires_grad=True, name="x")
    assert isinstance(x.data, da.Array)
    assert (x.shape, x.ndim, x.size, x.dtype) == (X.shape, 2, X.size, X.dtype)
    assert as_tensor(chunked(X)).data.chunks == ((50, 50, 20), (3,))
    y = np.exp(x)[10:, ::2] * 2 + 1
    assert "dask.array" in repr(y)
    assert isinstance(y.data, da.Array)
    assert not count.computed
    assert float((x * 0 + 1.5).mean()) == 1.5
    assert count.computed == 1


# A person's own numpy code


def by_hand(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, y: Any) -> Any:
    a = np.tanh(np.dot(x, w1) + b1)
    p = 1 / (1 + np.exp(-(a @ w2 + b2)))
    return np.mean(-(y * np.log(p) + (1 - y) * np.log(1 - p))) + 0.01 * np.sum(np.square(w1))


def gradients(function: Callable[..., Any], parameters: list[Any], *data: Any) -> list[Any]:
    leaves = [Tensor(p, requires_grad=True) for p in parameters]
    loss = function(*leaves, *data)
    loss.backward()
    return [loss.data, *[leaf.grad for leaf in leaves]]


@pytest.mark.parametrize("parameters", [np.asarray, whole], ids=["numpy parameters", "dask parameters"])
@pytest.mark.parametrize("data", [chunked, lambda x: as_tensor(chunked(x))], ids=["arrays", "tensors"])
def test_hand_written_numpy_code(parameters: Any, data: Any, count: Count) -> None:
    lazy = gradients(by_hand, [parameters(p) for p in (W1, B1, W2, B2)], data(X), data(Y))
    assert all(isinstance(part, da.Array) for part in lazy)
    assert not count.computed
    got = dask.compute(*lazy)
    assert count.computed == 1
    same(got, gradients(by_hand, [W1, B1, W2, B2], X, Y))


def test_gradient_by_the_data_itself(count: Count) -> None:
    x = Tensor(chunked(X), requires_grad=True)
    g = by_hand(W1, B1, W2, B2, x, chunked(Y)).gradient(x)
    assert isinstance(g, da.Array)
    assert g.chunks == x.data.chunks
    assert not count.computed
    expected = Tensor(X, requires_grad=True)
    by_hand(W1, B1, W2, B2, expected, Y).backward()
    same([g.compute()], [expected.grad])


# Layers and losses


def losses_and_gradients(model: nn.Module, loss: nn.Module, x: Any, y: Any) -> list[Any]:
    value = loss(model(x), y)
    value.backward()
    return [value.data, *[p.grad for p in model.parameters()]]


@pytest.mark.parametrize("parameters", [np.asarray, whole], ids=["numpy parameters", "dask parameters"])
@pytest.mark.parametrize(
    ("loss", "output"), [(nn.BCEWithLogitsLoss, None), (nn.BCELoss, "sigmoid"), (nn.MSELoss, None)]
)
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "gelu", "softplus"])
def test_a_multilayer_perceptron(activation: str, loss: Any, output: Any, parameters: Any, count: Count) -> None:
    lazy_model = nn.MLP([3, 5, 5, 1], activation=activation, output=output, seed=0)
    for p in lazy_model.parameters():
        p.data = parameters(p.data)
    lazy = losses_and_gradients(lazy_model, loss(), chunked(X), chunked(Y))
    assert all(isinstance(part, da.Array) for part in lazy)
    assert not count.computed
    got = dask.compute(*lazy)
    assert count.computed == 1
    same(got, losses_and_gradients(nn.MLP([3, 5, 5, 1], activation=activation, output=output, seed=0), loss(), X, Y))


@pytest.mark.parametrize(
    "layer", [lambda: nn.LayerNorm(3), lambda: nn.Dropout(0.5, seed=1)], ids=["LayerNorm", "Dropout"]
)
def test_other_layers(layer: Any, count: Count) -> None:
    model = [nn.Sequential(layer(), nn.Linear(3, 1, seed=0)) for _ in range(2)]
    lazy = losses_and_gradients(model[0], nn.MSELoss(), chunked(X), chunked(Y))
    assert not count.computed
    same(dask.compute(*lazy), losses_and_gradients(model[1], nn.MSELoss(), X, Y))


def test_batch_norm_has_lazy_statistics(count: Count) -> None:
    lazy, eager = nn.BatchNorm1d(3, dtype=np.float32), nn.BatchNorm1d(3, dtype=np.float32)
    for _ in range(2):
        parts = losses_and_gradients(lazy, nn.MSELoss(), chunked(X), chunked(X[::-1]))
        expected = losses_and_gradients(eager, nn.MSELoss(), X, X[::-1])
    assert isinstance(lazy.running_mean, da.Array)
    assert lazy.running_var.dtype == np.float32
    assert not count.computed
    *got, mean, variance = dask.compute(*parts, lazy.running_mean, lazy.running_var)
    same(got, expected)
    np.testing.assert_allclose(mean, eager.running_mean, rtol=1e-5)
    np.testing.assert_allclose(variance, eager.running_var, rtol=1e-5)
    lazy.running_mean, lazy.running_var = mean, variance
    same([lazy.eval()(chunked(X)).data.compute()], [lazy(X).data])


@pytest.mark.parametrize("target", [chunked, np.asarray], ids=["dask", "numpy"])
@pytest.mark.parametrize("data", [chunked, np.asarray], ids=["dask", "numpy"])
def test_class_indices(data: Any, target: Any, count: Count) -> None:
    k = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    models = [nn.MLP([3, 4, 3], seed=0) for _ in range(2)]
    lazy = losses_and_gradients(models[0], nn.CrossEntropyLoss(), data(X), target(k))
    assert not count.computed
    same(dask.compute(*lazy), losses_and_gradients(models[1], nn.CrossEntropyLoss(), X, k))


def test_a_lazy_index_that_is_no_class_makes_the_loss_nan(count: Count) -> None:
    wrong = chunked(np.full(120, 3))
    assert np.isnan(nn.CrossEntropyLoss()(Tensor(X, requires_grad=True), wrong).data.compute())
    with pytest.raises(ValueError, match="class indices run from 0 to 2"):
        nn.CrossEntropyLoss()(Tensor(chunked(X), requires_grad=True), np.full(120, 3))


@pytest.mark.parametrize("optimizer", [nn.optim.SGD, nn.optim.Adam])
def test_a_step_with_lazy_gradients_says_to_compute_them(optimizer: Any, count: Count) -> None:
    model = nn.MLP([3, 5, 1], seed=0)
    losses_and_gradients(model, nn.BCEWithLogitsLoss(), chunked(X), chunked(Y))
    before = [p.data.copy() for p in model.parameters()]
    trained = optimizer(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match=r"holds a numpy array, but its \.grad is a dask.*dask\.compute"):
        trained.step()
    same([p.data for p in model.parameters()], before)
    assert trained.state_dict()["state"][0]["step"] == 0
    assert not count.computed


def test_training_is_numpys_training(count: Count) -> None:
    def train(x: Any, y: Any) -> list[Any]:
        model = nn.MLP([3, 5, 1], seed=0)
        optimizer = nn.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(10):
            optimizer.zero_grad()
            _, *found = dask.compute(*losses_and_gradients(model, nn.BCEWithLogitsLoss(), x, y))
            for p, g in zip(model.parameters(), found, strict=True):
                p.grad = g
            optimizer.step()
        with no_grad():
            return [*(p.data for p in model.parameters()), model(x).data]

    *lazy, predicted = train(chunked(X), chunked(Y))
    assert count.computed == 10
    *expected, values = train(X, Y)
    same([*lazy, predicted.compute()], [*expected, values])


# Operations, on the samples from which all tests of them are generated

LAZY = """
    absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh astype binary_cross_entropy
    binary_cross_entropy_with_logits broadcast_to cbrt clip concatenate copysign cos cosh cross_entropy cumprod
    cumsum deg2rad diag divide einsum elu exp exp2 expand_dims expm1 fabs flip fmax fmin fmod gelu heaviside hypot
    i0 ldexp leaky_relu linear log log10 log1p log2 log_softmax logsumexp matmul maximum minimum moveaxis mse_loss
    multiply nanmax nanmean nanmin nanstd nansum nanvar negative norm norm_of_order normal_cdf normal_pdf
    overlap_add pad positive power rad2deg reciprocal recurrence relu remainder roll rot90 scaled_bessel setitem
    sigmoid silu sin sinc sinh sliding_window_view softmax softplus sqrt square squeeze stack subtract swapaxes tan
    tanh tile transpose where
"""
CASES = [(name, i) for name in LAZY.split() for i in range(len(registry[name].samples))]


@pytest.mark.parametrize(("name", "i"), CASES, ids=[f"{name}-{i}" for name, i in CASES])
def test_an_operation_is_lazy_and_right(name: str, i: int, count: Count) -> None:
    op, sample = registry[name], registry[name].samples[i]
    operands = draw(op, sample)
    expected, slopes = pull(op, draw(op, sample), sample.params)
    seed = np.linspace(1, 2, expected.size).reshape(expected.shape)
    where = differentiable(op, operands)
    for k in where:
        pieces = tuple((n + 1) // 2 for n in operands[k].shape)
        operands[k] = as_tensor(da.from_array(operands[k], chunks=pieces))
        operands[k].requires_grad = True
    y = call(op, operands, sample.params)
    y.backward(whole(seed) if seed.ndim else da.asarray(seed))
    assert not count.computed
    got = dask.compute(y.data, *[operands[k].grad for k in where])
    same(got, [expected, *slopes])
    assert rng_for(op)


# Two processes, and more data than either may hold


@pytest.fixture
def same_environment(nothing_leaks: None) -> Iterator[None]:
    """Put back what a cluster sets for its workers."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("same_environment")
def test_data_larger_than_a_workers_memory_on_two_processes() -> None:
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    limit, rows, features, chunks = 256 * 2**20, 40_000, 24, 40

    def piece(i: int) -> Any:
        import numpy as np

        x = np.random.default_rng(i).normal(size=(rows, features))
        return x, (x[:, :1] ** 2 > x[:, 1:2] ** 2).astype(float)

    def block(part: int, block_id: Any = None) -> Any:
        return piece(block_id[0])[part]

    def blocks(part: int, width: int) -> Any:
        sizes = ((rows,) * chunks, (width,))
        return da.map_blocks(block, part, chunks=sizes, dtype=float, meta=np.empty((0, 0)))

    x, y = blocks(0, features), blocks(1, 1)
    assert x.nbytes > limit
    model, loss = nn.MLP([features, 4, 1], activation="tanh", seed=0), nn.BCEWithLogitsLoss()
    lazy = losses_and_gradients(model, loss, x, y)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, memory_limit=limit, host="127.0.0.1", dashboard_address=None
    )
    with cluster, distributed.Client(cluster) as client:
        assert len(client.scheduler_info()["workers"]) == 2
        got = dask.compute(*lazy)
    expected: Any = 0
    for i in range(chunks):  # the mean over all is the mean of the chunks' means, as these are equally long
        model.zero_grad()
        parts = losses_and_gradients(model, loss, *piece(i))
        expected = [p / chunks + e for p, e in zip(parts, expected or [0] * len(parts), strict=True)]
    same(got, expected)


def test_what_is_documented_of_dask_holds(count: Count) -> None:
    """Facts that need a number compute: truth, float, item, printing with a format."""
    x = Tensor(chunked(X), requires_grad=True)
    assert isinstance(x > 0, da.Array)
    assert not count.computed
    assert bool((x.data < 100).all())
    assert autodiff.Tensor(whole(B2)).item() == B2[0]
    assert count.computed == 2
