"""Optimizers change arrays in place, whatever their size, layout, dtype and kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodiff.tensor import Tensor
from nn.module import Parameter
from nn.optim import (
    SGD,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    clip_grad_norm,
)
from nn.optim import optimizer as optimizer_module

SHAPES = [(5, 3), (5,), (1, 5), (1,), ()]

OPTIMIZERS: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {
    "sgd": (SGD, {"lr": 0.1}),
    "sgd-decay": (SGD, {"lr": 0.1, "weight_decay": 0.03}),
    "sgd-momentum": (SGD, {"lr": 0.05, "momentum": 0.9}),
    "sgd-dampening": (SGD, {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01}),
    "sgd-nesterov": (SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "sgd-nesterov-decay": (SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.02}),
    "adam": (Adam, {"lr": 0.01}),
    "adam-decay": (Adam, {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}),
    "adam-amsgrad": (Adam, {"lr": 0.02, "amsgrad": True}),
    "adamw": (AdamW, {"lr": 0.01}),
    "adamw-amsgrad": (AdamW, {"lr": 0.01, "weight_decay": 0.3, "amsgrad": True}),
    "rmsprop": (RMSprop, {}),
    "rmsprop-all": (
        RMSprop,
        {"lr": 0.005, "alpha": 0.9, "momentum": 0.7, "centered": True, "weight_decay": 0.05},
    ),
    "rmsprop-centered": (RMSprop, {"centered": True}),
}


def start(dtype: Any = np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [np.asarray(rng.normal(size=shape), dtype) for shape in SHAPES]


def gradients(step: int, dtype: Any = np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng([7, step])
    return [np.asarray(rng.normal(size=shape), dtype) for shape in SHAPES]


def parameters(dtype: Any = np.float64) -> list[Parameter]:
    return [Parameter(array) for array in start(dtype)]


def train(optimizer: Optimizer, steps: range, dtype: Any = np.float64) -> None:
    for step in steps:
        for p, g in zip(optimizer.param_groups[0]["params"], gradients(step, dtype), strict=True):
            p.grad = g
        optimizer.step()


class TestInPlace:
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_the_array_and_its_dtype_are_kept(self, name: str, dtype: Any) -> None:
        kind, settings = OPTIMIZERS[name]
        if dtype == np.float16 and kind is not SGD:
            settings = {**settings, "eps": 1e-3}  # 1e-8 is 0 in float16
        params = parameters(dtype)
        arrays = [p.data for p in params]
        optimizer = kind(params, **settings)
        grads = gradients(0, dtype)
        for p, g in zip(params, grads, strict=True):
            p.grad = g.copy()
        optimizer.step()
        for p, array, g in zip(params, arrays, grads, strict=True):
            assert p.data is array
            assert array.dtype == dtype
            np.testing.assert_array_equal(p.grad, g)
        for entry in optimizer.state_dict()["state"]:
            assert all(v.dtype == dtype for k, v in entry.items() if k != "step")

    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_large_parameters_are_cut_into_parts(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        kind, settings = OPTIMIZERS[name]
        rng = np.random.default_rng(0)
        shapes = [(50, 7), (3, 40), (130,), (2, 3, 30), (4, 2), ()]
        values = [rng.normal(size=shape) for shape in shapes]
        grads = [[rng.normal(size=shape) for shape in shapes] for _ in range(3)]

        def run() -> list[np.ndarray]:
            params = [Parameter(value) for value in values]
            optimizer = kind(params, **settings)
            for row in grads:
                for p, g in zip(params, row, strict=True):
                    p.grad = np.array(g, order="F")
                optimizer.step()
            return [p.data for p in params]

        whole = run()
        monkeypatch.setattr(optimizer_module, "BLOCK", 32)
        for a, b in zip(whole, run(), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_one_scratch_array_serves_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(optimizer_module, "BLOCK", 64)
        params = [Parameter(np.ones((100, 8))), Parameter(np.ones(3)), Parameter(np.ones(1000))]
        optimizer = SGD(params, lr=0.1)
        for p in params:
            p.grad = np.ones(p.shape)
        optimizer.step()
        assert [s.size for s in optimizer._scratch.values()] == [64]

    def test_a_view_stays_a_view(self) -> None:
        shared = np.ones((4, 6))
        param = Parameter(np.zeros((3, 2)))
        param.data = shared[:3, 1:3]
        param.grad = np.ones((3, 2))
        SGD([param], lr=0.5).step()
        np.testing.assert_array_equal(shared[:3, 1:3], np.full((3, 2), 0.5))
        assert shared.sum() == 24 - 3

    def test_it_is_seen_as_a_change(self) -> None:
        w = Parameter([2.0, 3.0])
        loss = (w * w).sum()
        loss.backward()
        SGD([w], lr=0.1).step()
        with pytest.raises(RuntimeError, match="changed in place"):
            loss.backward()

    def test_empty_parameters(self) -> None:
        for kind, settings in OPTIMIZERS.values():
            p = Parameter(np.zeros((0, 3)))
            p.grad = np.zeros((0, 3))
            kind([p], **settings).step()
            assert p.shape == (0, 3)

    def test_arrays_that_are_not_numpys(self) -> None:
        class Other(np.lib.mixins.NDArrayOperatorsMixin):
            """Speaks the two protocols and no more, and cannot be seen as a numpy array."""

            def __init__(self, array: np.ndarray) -> None:
                self.array = array
                self.shape, self.dtype, self.size, self.ndim = array.shape, array.dtype, array.size, array.ndim

            def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
                plain = [x.array if isinstance(x, Other) else x for x in inputs]
                assert not any(isinstance(x, np.ndarray) for x in inputs)
                result = getattr(ufunc, method)(*plain, **kwargs)
                if out is not None:
                    out[0].array[...] = result
                    return out[0]
                return Other(result)

            def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
                return Other(function(*[a.array if isinstance(a, Other) else a for a in args], **kwargs))

            def __array__(self, *args: Any, **kwargs: Any) -> Any:
                raise TypeError("this would copy from the device")

            def __setitem__(self, key: Any, value: Any) -> None:
                self.array[key] = value.array if isinstance(value, Other) else value

            def copy(self) -> Other:
                return Other(self.array.copy())

        for kind, settings in OPTIMIZERS.values():
            expected = kind(parameters(), **settings)
            train(expected, range(5))
            params = parameters()
            for p in params:
                p._data = Other(p.data.copy())
            optimizer = kind(params, **settings)
            for step in range(5):
                for p, g in zip(params, gradients(step), strict=True):
                    p.grad = Other(g)
                optimizer.step()
            for p, q in zip(params, expected.param_groups[0]["params"], strict=True):
                np.testing.assert_allclose(p.data.array, q.data, rtol=1e-14)


class TestBehaviour:
    def test_no_gradient_no_change(self) -> None:
        for kind, settings in OPTIMIZERS.values():
            params = parameters()
            optimizer = kind(params, **settings)
            params[0].grad = np.ones(params[0].shape)
            before = [p.data.copy() for p in params]
            optimizer.step()
            assert not np.array_equal(params[0].data, before[0])
            for p, value in list(zip(params, before, strict=True))[1:]:
                np.testing.assert_array_equal(p.data, value)
            assert [entry["step"] for entry in optimizer.state_dict()["state"]] == [1, 0, 0, 0, 0]

    def test_zero_grad(self) -> None:
        params = parameters()
        optimizer = SGD(params)
        for p in params:
            p.grad = np.ones(p.shape)
        optimizer.zero_grad()
        assert all(p.grad is None for p in params)

    def test_a_frozen_parameter_may_be_listed(self) -> None:
        frozen = Parameter([1.0], requires_grad=False)
        learnt = Parameter([1.0])
        (frozen * learnt).sum().backward()
        SGD([frozen, learnt], lr=0.5).step()
        assert frozen.data[0] == 1.0
        assert learnt.data[0] == 0.5

    def test_plain_tensors_are_trained(self) -> None:
        w = Tensor([3.0], requires_grad=True)
        optimizer = SGD([w], lr=0.25)
        (w * w).sum().backward()
        optimizer.step()
        assert w.data[0] == 1.5

    def test_the_rate_can_be_set_by_hand(self) -> None:
        w = Parameter([1.0])
        optimizer = SGD([w], lr=0.5)
        for lr, expected in [(0.5, 0.5), (0.25, 0.25), (0.0, 0.25)]:
            optimizer.param_groups[0]["lr"] = lr
            w.grad = np.ones(1)
            optimizer.step()
            assert w.data[0] == expected

    def test_a_numpy_rate_does_not_widen(self) -> None:
        results = []
        for lr in (0.1, np.float64(0.1)):
            params = parameters(np.float32)
            optimizer = Adam(params, lr=lr)
            train(optimizer, range(5), np.float32)
            results.append([p.data.tobytes() for p in params])
        assert results[0] == results[1]

    def test_a_gradient_of_another_shape(self) -> None:
        w = Parameter(np.zeros((2, 3)), name="w")
        w.grad = np.ones(3)
        with pytest.raises(ValueError, match=r"'w' has shape \(2, 3\).*\(3,\)"):
            SGD([w]).step()

    def test_repr_names_the_settings(self) -> None:
        assert repr(SGD(parameters(), lr=0.1)).startswith("SGD(27 parameters in 5 arrays, lr=0.1, momentum=0.0")

    def test_clipping_survives_what_overflows_when_squared(self) -> None:
        w = Parameter(np.zeros(4, np.float32))
        w.grad = np.full(4, 1e30, np.float32)
        assert clip_grad_norm([w], 1.0) == pytest.approx(2e30)
        np.testing.assert_allclose(w.grad, 0.5, rtol=1e-5)

    def test_clipping_can_refuse(self) -> None:
        w = Parameter(np.zeros(2))
        w.grad = np.array([1.0, np.nan])
        with pytest.raises(FloatingPointError, match="nan"):
            clip_grad_norm([w], 1.0, error_if_nonfinite=True)
        assert w.grad[0] == 1.0

    def test_clipping_nothing(self) -> None:
        assert clip_grad_norm([Parameter([1.0])], 1.0) == 0.0
        assert clip_grad_norm([], 1.0) == 0.0
