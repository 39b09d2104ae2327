"""Operations on an array that is no numpy array and mixes with none, as on a GPU, but here on any machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nn
from autodiff import Op, Tensor, as_tensor
from autodiff.sample import Sample
from tests.autodiff.foreign import Foreign, abroad
from tests.autodiff.test_ops import OPS, call, differentiable, draw, pull

CASES = [(op, sample, i) for op in OPS for i, sample in enumerate(op.samples)]


@pytest.mark.parametrize(("op", "sample"), [case[:2] for case in CASES], ids=[f"{op.name}-{i}" for op, _, i in CASES])
def test_an_operation_on_a_foreign_array(op: Op, sample: Sample) -> None:
    expected, slopes = pull(op, draw(op, sample), sample.params)
    operands: list[Any] = [abroad(x) for x in draw(op, sample)]
    where = differentiable(op, draw(op, sample))
    for i in where:
        operands[i] = as_tensor(operands[i])
        operands[i].requires_grad = True
    y = call(op, operands, {key: abroad(x) for key, x in sample.params.items()})
    # The seed may be numpy's: the engine brings it to the type of the data.
    y.backward(np.linspace(1, 2, expected.size).reshape(expected.shape).astype(expected.dtype))
    for got, wanted in [(y.data, expected), *zip([operands[i].grad for i in where], slopes, strict=True)]:
        assert type(got) is Foreign
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got.hidden, wanted, rtol=1e-14, atol=1e-15)


RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 4))
PLACES = np.array([2, 0, 2])


def _assigned(x: Any, put: Any) -> Any:
    y = x * 1.0
    y[x > 0] = 0.5
    y[put(PLACES)] = x[put(PLACES)] * 2
    return y


def _with_diagonal(x: Any) -> Any:
    y = x * 1.0
    np.fill_diagonal(y, x[0, 0] * 2)
    return y


#: Numpy's functions that are composed of operations; `put` makes an array what `x` is.
COMPOSED: dict[str, Callable[[Any, Any], Any]] = {
    "append": lambda x, put: np.append(x, x, axis=0),
    "array_split": lambda x, put: np.array_split(x, [1, 3], axis=1)[1],
    "assignment": _assigned,
    "average": lambda x, put: np.average(x, axis=1, weights=x * x),
    "choose": lambda x, put: np.choose(put(np.array([[0, 1, 0, 1]])), [x, x * 2]),
    "cholesky": lambda x, put: np.linalg.cholesky(x @ x.T, upper=True),
    "compress": lambda x, put: np.compress(put(np.array([True, False, True])), x, axis=0),
    "cond": lambda x, put: np.linalg.cond(x[:, :3], 1) + np.linalg.cond(x[:, :3]),
    "corrcoef": lambda x, put: np.corrcoef(x),
    "cov": lambda x, put: np.cov(x),
    "delete": lambda x, put: np.delete(x, 1, axis=0),
    "eigh": lambda x, put: np.linalg.eigh(x @ x.T).eigenvectors ** 2,
    "einsum": lambda x, put: np.einsum("ii->i", x[:, :3]),
    "extract": lambda x, put: np.extract(x > 0, x),
    "fill_diagonal": lambda x, put: _with_diagonal(x),
    "gradient": lambda x, put: np.gradient(x, axis=1),
    "insert": lambda x, put: np.insert(x, 1, x[0], axis=0),
    "interp": lambda x, put: np.interp(x, put(np.linspace(-3, 3, 7)), put(np.arange(7.0) ** 2)),
    "lstsq": lambda x, put: np.linalg.lstsq(x.T, x[0])[0],
    "masked": lambda x, put: x[x > 0],
    "matrix_power": lambda x, put: np.linalg.matrix_power(x[:, :3], 3) + np.linalg.matrix_power(x[:, :3], 0),
    "maximum.accumulate": lambda x, put: np.maximum.accumulate(x, axis=1),
    "nan_to_num": lambda x, put: np.nan_to_num(x),
    "norm": lambda x, put: np.linalg.norm(x, 1) + np.linalg.norm(x, "nuc"),
    "pad linear_ramp": lambda x, put: np.pad(x, 2, mode="linear_ramp"),
    "pad mean": lambda x, put: np.pad(x, 2, mode="mean"),
    "pad reflect": lambda x, put: np.pad(x, 2, mode="reflect", reflect_type="odd"),
    "partition": lambda x, put: np.partition(x, 1, axis=1),
    "piecewise": lambda x, put: np.piecewise(x, [x < 0], [lambda v: v * v, lambda v: 3 * v]),
    "qr": lambda x, put: np.linalg.qr(x[:, :3]).R,
    "quantile": lambda x, put: np.quantile(x, [0.2, 0.5], axis=1),
    "resize": lambda x, put: np.resize(x, (2, 3)),
    "select": lambda x, put: np.select([x > 0.5, x > 0], [x, x * x], 0.0),
    "slogdet": lambda x, put: np.linalg.slogdet(x[:, :3]).logabsdet,
    "sort": lambda x, put: np.sort(x, axis=1),
    "svd": lambda x, put: np.linalg.svd(x, full_matrices=False).S + np.linalg.svd(x @ x.T, hermitian=True).S,
    "take": lambda x, put: np.take(x, put(PLACES), axis=0) + np.take(x, [2, 0, 1], axis=0),
    "take_along_axis": lambda x, put: np.take_along_axis(x, np.argsort(x, axis=1), axis=1),
    "unique": lambda x, put: np.unique(x),
    "vander": lambda x, put: np.vander(x[0]),
    "var of a mean": lambda x, put: np.var(x, axis=0, mean=np.mean(x, axis=0), where=x > -2),
}


@pytest.mark.parametrize("function", COMPOSED.values(), ids=COMPOSED)
def test_a_composed_function_of_a_foreign_array(function: Callable[[Any, Any], Any]) -> None:
    def pulled(put: Any) -> tuple[Any, Any]:
        x = Tensor(put(X), requires_grad=True)
        y = function(x, put)
        (y * y).sum().backward()
        return y.data, x.grad

    for got, expected in zip(pulled(Foreign), pulled(np.asarray), strict=True):
        assert type(got) is Foreign
        np.testing.assert_allclose(got.hidden, expected, rtol=1e-12, atol=1e-12)


def test_an_array_made_by_numpy_is_caught() -> None:
    """What the tests above would say of a rule that makes an array of numpy's own."""
    x = Foreign(X)
    for mixed in (
        lambda: x + X,
        lambda: X * x,
        lambda: np.where(X > 0, x, x),
        lambda: x[PLACES],
        lambda: np.asarray(x),
    ):
        with pytest.raises(TypeError, match="numpy array"):
            mixed()
    assert type(x.sum()) is type(x[0, 0]) is type(np.max(x)) is Foreign

    careless = Op(lambda x: x * 1, (lambda g, y, x: g * np.ones(x.shape),), "careless", "careless", (), (), False)
    with pytest.raises(TypeError, match="a numpy array among foreign ones"):
        careless(Tensor(x, requires_grad=True)).sum().backward()


@pytest.mark.parametrize(
    "seed", [X.tolist(), X, X.astype(np.float32), Foreign(X), Tensor(X)], ids=lambda x: type(x).__name__
)
def test_a_seed_is_brought_to_the_type_of_the_data(seed: Any) -> None:
    x = Tensor(Foreign(X), requires_grad=True)
    (x * 2).backward(seed)
    assert type(x.grad) is Foreign
    np.testing.assert_allclose(x.grad.hidden, 2 * X, rtol=1e-6)


@pytest.mark.parametrize("put", [Foreign, np.asarray], ids=["foreign", "numpy"])
def test_class_indices_for_foreign_logits(put: Any) -> None:
    z = Tensor(Foreign(X), requires_grad=True)
    loss = nn.CrossEntropyLoss()(z, put(PLACES))
    loss.backward()
    expected = Tensor(X, requires_grad=True)
    wanted = nn.CrossEntropyLoss()(expected, PLACES)
    wanted.backward()
    np.testing.assert_allclose(float(loss), float(wanted), rtol=1e-14)
    np.testing.assert_allclose(z.grad.hidden, expected.grad, rtol=1e-13)


def test_a_network_trains_on_foreign_arrays() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 3)), (rng.random((16, 1)) > 0.5).astype(float)

    def train(put: Any) -> list[Any]:
        model = nn.MLP([3, 5, 1], activation="gelu", seed=0)
        for p in model.parameters():
            p.data = put(p.data)
        optimizer = nn.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(5):
            optimizer.zero_grad()
            nn.BCEWithLogitsLoss()(model(put(x)), put(y)).backward()
            optimizer.step()
        return [p.data for p in model.parameters()]

    for got, expected in zip(train(Foreign), train(np.asarray), strict=True):
        assert type(got) is Foreign
        np.testing.assert_array_equal(got.hidden, expected)


def test_second_order_on_foreign_arrays() -> None:
    def second(x: Any) -> Any:
        leaf = Tensor(x, requires_grad=True)
        first = (np.exp(np.sin(leaf)) @ leaf.T).sum().gradient(leaf, create_graph=True)
        return (first * first).sum().gradient(leaf)

    values = np.linspace(0.2, 1.5, 6).reshape(2, 3)
    np.testing.assert_array_equal(second(Foreign(values)).hidden, second(values))
