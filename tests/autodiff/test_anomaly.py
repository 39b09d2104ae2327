"""The first operation that makes NaN or infinity out of finite numbers is caught, forward and backward."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

# The lines that raise belong to computations of several lines here: that is what is tested.
# ruff: noqa: PT012
from autodiff.anomaly import AnomalyError, detect_anomaly
from autodiff.op import Op
from autodiff.state import no_grad, watchers, watching
from autodiff.tensor import Tensor
from autodiff.transforms import checkpoint, grad
from nn import Linear, Module, Sequential


def leaf(*values: float) -> Tensor:
    return Tensor(values, requires_grad=True)


def test_forward() -> None:
    x = leaf(0.0, 1.0, 4.0)
    with pytest.raises(AnomalyError) as caught, detect_anomaly():
        y = np.sqrt(x) * 2
        z = np.log(y) + 1
        z.sum()
    error = caught.value
    assert isinstance(error, FloatingPointError)
    assert (error.op.name, error.backward) == ("log", False)
    assert error.tensor.shape == (3,)
    assert error.source.text == "z = np.log(y) + 1"
    for part in (
        "log made infinite in 1 of 3 elements, from finite numbers",
        "operand 0 of shape (3,), values from 0 to 4",
        f"called at {__file__}:{error.source.line}, in test_forward: z = np.log(y) + 1",
    ):
        assert part in str(error)


def test_backward() -> None:
    x = leaf(0.0, 1.0)
    with pytest.raises(AnomalyError) as caught, detect_anomaly():
        loss = (np.sqrt(x) * 3).sum()
        loss.backward()
    error = caught.value
    assert (error.op.name, error.backward) == ("sqrt", True)
    assert error.source.text == "loss = (np.sqrt(x) * 3).sum()"
    for part in (
        "the derivative of sqrt by operand 0 is infinite in 1 of 2 elements, from finite numbers",
        "upstream gradient of shape (2,), values from 3 to 3",
        "operand 0 of shape (2,), values from 0 to 1",
        "loss = (np.sqrt(x) * 3).sum()",
    ):
        assert part in str(error)
    assert x.grad is None


def test_nan_and_several_operands() -> None:
    with pytest.raises(AnomalyError, match=r"divide made NaN, from") as caught, detect_anomaly():
        leaf(0.0)[0] / 0.0
    assert "operand 0 of shape (), value 0\n  operand 1 of shape (), value 0\n" in str(caught.value)
    with pytest.raises(AnomalyError, match=r"power by operand 1 is"), detect_anomaly():
        planted = Op(
            np.power,
            (lambda g, y, a, b: g * b * a ** (b - 1), lambda g, y, a, b: g * y * np.log(a)),
            "power", "^", ("", ""), (), False,
        )  # fmt: skip
        planted(leaf(2.0, 0.0), leaf(1.0, 1.0)).sum().backward()


def test_the_layer_is_named() -> None:
    class Block(Module):
        def forward(self, x: Any) -> Any:
            return np.log(x - x)

    class Net(Module):
        def __init__(self) -> None:
            self.blocks = Sequential(Linear(1, 1, seed=0), Block())

        def forward(self, x: Any) -> Any:
            return self.blocks(x)

    with pytest.raises(AnomalyError, match=r"in layer \S*1, called at .*return np\.log\(x - x\)"), detect_anomaly():
        Net()(np.ones((2, 1)))


def test_what_came_in_is_not_what_was_made() -> None:
    x = leaf(np.nan, np.inf, 1.0)
    with detect_anomaly():
        y = (np.exp(x) * 2).sum()
        y.backward()
        masked = np.where(np.array([True, False, True]), leaf(1.0, 2.0, 3.0), -np.inf)
        np.exp(masked).sum().backward()
        assert np.isnan(Tensor([1.0, np.nan]) + 1).any()
        (leaf(1.0, 2.0) * 2).backward(np.array([np.inf, 1.0]))


def test_finite_numbers_pass_and_give_the_same() -> None:
    x = leaf(0.5, 2.0)
    loss = lambda: (np.log(x) * x.astype(np.float32)).sum() + x[0] ** 2
    loss().backward()
    expected, x.grad = x.grad, None
    with detect_anomaly():
        loss().backward()
    np.testing.assert_array_equal(x.grad, expected)
    assert not watching
    assert not watchers.get()


def test_results_without_gradient_and_under_no_grad_are_watched_too() -> None:
    with pytest.raises(AnomalyError, match="log made infinite"), detect_anomaly():
        np.log(Tensor(0.0))
    with pytest.raises(AnomalyError, match="log made infinite"), detect_anomaly(), no_grad():
        np.log(leaf(0.0))


def test_with_create_graph_and_in_transforms() -> None:
    x = leaf(0.0, 1.0)
    with pytest.raises(AnomalyError, match="while the derivative of sqrt was computed") as caught, detect_anomaly():
        y = np.sqrt(x).sum()
        y.gradient(x, create_graph=True)
    assert caught.value.backward
    assert "y = np.sqrt(x).sum()" in str(caught.value)
    with pytest.raises(AnomalyError, match=r"sqrt by operand 0.*(\n.*)*np\.sqrt\(x\) - 1"), detect_anomaly():
        grad(lambda x: (np.sqrt(x) - 1).sum())(np.zeros(2))
    with pytest.raises(AnomalyError, match="sqrt by operand 0"), detect_anomaly():
        checkpoint(lambda x: np.sqrt(x).sum())(x).backward()


def test_a_forward_outside_is_said_to_be() -> None:
    y = np.sqrt(leaf(0.0, 1.0)).sum()
    with pytest.raises(AnomalyError, match=r"put the forward computation inside") as caught, detect_anomaly():
        y.backward()
    assert caught.value.source is None


def test_the_mode_ends_with_its_block() -> None:
    before = np.geterr()
    with pytest.raises(AnomalyError), detect_anomaly():
        np.log(leaf(0.0))
    assert np.geterr() == before
    with np.errstate(divide="ignore"):
        assert np.log(leaf(0.0)).data == -np.inf


def test_it_decorates_and_nests() -> None:
    @detect_anomaly()
    def step(x: Tensor) -> Tensor:
        with detect_anomaly():
            pass
        return np.log(x)

    for _ in range(2):
        with pytest.raises(AnomalyError, match=r"return np\.log\(x\)"):
            step(leaf(0.0))
    assert step(leaf(1.0)).data == 0


def test_other_threads_are_not_watched() -> None:
    found = []

    def work() -> None:
        with np.errstate(divide="ignore"):
            found.append(np.log(leaf(0.0)).data)

    with detect_anomaly():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert found == [-np.inf]
