"""Optimizers, schedules and clipping: PyTorch's trajectories, resumption to the bit, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autodiff.tensor import Tensor
from nn import optimizer as optimizer_module
from nn.io import load, save
from nn.module import Module, Parameter
from nn.optim import (
    SGD,
    Adam,
    AdamW,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    Optimizer,
    ReduceLROnPlateau,
    RMSprop,
    StepLR,
    clip_grad_norm,
    clip_grad_value,
)

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

SCHEDULES: dict[str, Callable[[Optimizer], Any]] = {
    "none": lambda optimizer: None,
    "step": lambda optimizer: StepLR(optimizer, 7, gamma=0.5),
    "exponential": lambda optimizer: ExponentialLR(optimizer, 0.97),
    "cosine": lambda optimizer: CosineAnnealingLR(optimizer, 30, eta_min=1e-4),
    "lambda": lambda optimizer: LambdaLR(optimizer, lambda epoch: (1 + epoch) ** -0.5),
    "plateau": lambda optimizer: ReduceLROnPlateau(optimizer, patience=2, factor=0.5, cooldown=3),
}


def torch_() -> Any:
    return pytest.importorskip("torch", reason="PyTorch, the oracle for the update rules, is not installed")


def start(dtype: Any = np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [np.asarray(rng.normal(size=shape), dtype) for shape in SHAPES]


def gradients(step: int, dtype: Any = np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng([7, step])
    return [np.asarray(rng.normal(size=shape), dtype) for shape in SHAPES]


def parameters(dtype: Any = np.float64) -> list[Parameter]:
    return [Parameter(array) for array in start(dtype)]


def move(schedule: Any, step: int) -> None:
    if isinstance(schedule, ReduceLROnPlateau):
        schedule.step(1.0 / min(step + 1, 20))
    elif schedule is not None:
        schedule.step()


def train(optimizer: Optimizer, schedule: Any, steps: range, dtype: Any = np.float64) -> None:
    for step in steps:
        params = [p for group in optimizer.param_groups for p in group["params"]]
        for p, g in zip(params, gradients(step, dtype), strict=True):
            p.grad = g
        optimizer.step()
        move(schedule, step)


class TestAgainstTorch:
    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_hundred_steps_of_a_network(self, name: str) -> None:
        torch = torch_()
        kind, settings = OPTIMIZERS[name]
        rng = np.random.default_rng(0)
        x, t = rng.normal(size=(16, 3)), rng.normal(size=(16, 1))
        arrays = [rng.normal(size=shape) for shape in [(5, 3), (5,), (1, 5), (1,)]]

        params = [Parameter(a) for a in arrays]
        optimizer = kind(params, **settings)
        theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
        oracle = getattr(torch.optim, kind.__name__)(theirs, **settings)
        for _ in range(100):
            optimizer.zero_grad()
            w1, b1, w2, b2 = params
            loss = ((np.tanh(x @ w1.T + b1) @ w2.T + b2 - t) ** 2).mean()
            loss.backward(free_graph=True)
            optimizer.step()

            oracle.zero_grad()
            w1, b1, w2, b2 = theirs
            tx = torch.tensor(x)
            expected = ((torch.tanh(tx @ w1.T + b1) @ w2.T + b2 - torch.tensor(t)) ** 2).mean()
            expected.backward()
            oracle.step()
            assert float(loss) == pytest.approx(expected.item(), rel=1e-10, abs=1e-10)
        for p, q in zip(params, theirs, strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-10, atol=1e-10)

    @pytest.mark.parametrize("schedule", SCHEDULES)
    @pytest.mark.parametrize("name", ["sgd-momentum", "adam", "adamw", "rmsprop"])
    def test_hundred_steps_with_a_schedule(self, name: str, schedule: str) -> None:
        torch = torch_()
        kind, settings = OPTIMIZERS[name]
        theirs = [torch.tensor(a, requires_grad=True) for a in start()]
        oracle = getattr(torch.optim, kind.__name__)(theirs, **settings)
        of = torch.optim.lr_scheduler
        their_schedule = {
            "none": lambda: None,
            "step": lambda: of.StepLR(oracle, 7, gamma=0.5),
            "exponential": lambda: of.ExponentialLR(oracle, 0.97),
            "cosine": lambda: of.CosineAnnealingLR(oracle, 30, eta_min=1e-4),
            "lambda": lambda: of.LambdaLR(oracle, lambda epoch: (1 + epoch) ** -0.5),
            "plateau": lambda: of.ReduceLROnPlateau(oracle, patience=2, factor=0.5, cooldown=3),
        }[schedule]()
        optimizer = kind(parameters(), **settings)
        ours = SCHEDULES[schedule](optimizer)
        for step in range(100):
            assert optimizer.param_groups[0]["lr"] == pytest.approx(oracle.param_groups[0]["lr"], rel=1e-10, abs=1e-12)
            train(optimizer, ours, range(step, step + 1))
            for q, g in zip(theirs, gradients(step), strict=True):
                q.grad = torch.tensor(g)
            oracle.step()
            if schedule == "plateau":
                their_schedule.step(1.0 / min(step + 1, 20))
            elif their_schedule is not None:
                their_schedule.step()
        for p, q in zip(optimizer.param_groups[0]["params"], theirs, strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-10, atol=1e-10)

    @pytest.mark.parametrize("mode", ["min", "max"])
    @pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
    def test_plateau_modes(self, mode: Any, threshold_mode: Any) -> None:
        torch = torch_()
        settings = {
            "mode": mode,
            "threshold_mode": threshold_mode,
            "threshold": 0.01,
            "patience": 1,
            "min_lr": 1e-3,
        }
        optimizer = SGD(parameters(), lr=0.5)
        schedule = ReduceLROnPlateau(optimizer, **settings)
        oracle = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(oracle, **settings)
        rng = np.random.default_rng(1)
        for figure in np.cumsum(rng.normal(size=40)) * 0.01 + 1:
            schedule.step(figure)
            theirs.step(figure)
            assert optimizer.param_groups[0]["lr"] == pytest.approx(oracle.param_groups[0]["lr"], rel=1e-12)

    def test_groups_and_missing_gradients(self) -> None:
        torch = torch_()
        arrays = start()
        params = [Parameter(a) for a in arrays]
        theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
        optimizer = Adam([{"params": params[:2], "lr": 0.1}, {"params": params[2:], "weight_decay": 0.2}])
        oracle = torch.optim.Adam([{"params": theirs[:2], "lr": 0.1}, {"params": theirs[2:], "weight_decay": 0.2}])
        for step in range(30):
            for index, g in enumerate(gradients(step)):
                present = (step + index) % 3 > 0
                params[index].grad = g if present else None
                theirs[index].grad = torch.tensor(g) if present else None
            optimizer.step()
            oracle.step()
        for p, q in zip(params, theirs, strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3, math.nan, math.inf])
    @pytest.mark.parametrize("order", [1.0, 2.0, 3.0, math.inf])
    def test_clip_norm(self, order: float, scale: float) -> None:
        torch = torch_()
        params = parameters()
        theirs = [torch.tensor(a, requires_grad=True) for a in start()]
        for index, g in enumerate(gradients(0)):
            if index == 1:  # one without a gradient
                continue
            at = np.arange(g.size).reshape(g.shape) == 1
            g = np.asarray(g * scale) if math.isfinite(scale) else np.where(at, scale, g)
            params[index].grad = g.copy()
            theirs[index].grad = torch.tensor(g)
        norm = clip_grad_norm(params, 0.7, order)
        expected = torch.nn.utils.clip_grad_norm_(theirs, 0.7, order)
        np.testing.assert_allclose(norm, expected.item(), rtol=1e-12)
        for p, q in zip(params, theirs, strict=True):
            if q.grad is None:
                assert p.grad is None
            else:
                np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-12)

    def test_clip_value(self) -> None:
        torch = torch_()
        params = parameters()
        theirs = [torch.tensor(a, requires_grad=True) for a in start()]
        for p, q, g in zip(params, theirs, gradients(0), strict=True):
            g = np.where(np.arange(g.size).reshape(g.shape) == 2, np.nan, g)
            p.grad, q.grad = g.copy(), torch.tensor(g)
        clip_grad_value(params, 0.3)
        torch.nn.utils.clip_grad_value_(theirs, 0.3)
        for p, q in zip(params, theirs, strict=True):
            np.testing.assert_array_equal(p.grad, q.grad.numpy())

    def test_float32_trajectories_stay_close(self) -> None:
        torch = torch_()
        for kind, settings in OPTIMIZERS.values():
            optimizer = kind(parameters(np.float32), **settings)
            theirs = [torch.tensor(a, requires_grad=True) for a in start(np.float32)]
            oracle = getattr(torch.optim, kind.__name__)(theirs, **settings)
            train(optimizer, None, range(20), np.float32)
            for step in range(20):
                for q, g in zip(theirs, gradients(step, np.float32), strict=True):
                    q.grad = torch.tensor(g)
                oracle.step()
            for p, q in zip(optimizer.param_groups[0]["params"], theirs, strict=True):
                np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-4, atol=1e-5)


class TestResume:
    @pytest.mark.parametrize("schedule", SCHEDULES)
    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_to_the_bit(self, name: str, schedule: str, tmp_path: Any) -> None:
        kind, settings = OPTIMIZERS[name]

        def fresh() -> tuple[Optimizer, Any]:
            optimizer = kind(parameters(), **settings)
            return optimizer, SCHEDULES[schedule](optimizer)

        whole, whole_schedule = fresh()
        train(whole, whole_schedule, range(30))

        first, first_schedule = fresh()
        train(first, first_schedule, range(13))
        values = [p.data for p in first.param_groups[0]["params"]]
        parts = [first.state_dict(), first_schedule.state_dict() if first_schedule else None, values]
        save(parts, tmp_path / "state.npz")

        state, schedule_state, values = load(tmp_path / "state.npz")
        second, second_schedule = fresh()
        for p, value in zip(second.param_groups[0]["params"], values, strict=True):
            p.data = value
        second.load_state_dict(state)
        if second_schedule:
            second_schedule.load_state_dict(schedule_state)
        train(second, second_schedule, range(13, 30))
        for p, q in zip(whole.param_groups[0]["params"], second.param_groups[0]["params"], strict=True):
            assert p.data.tobytes() == q.data.tobytes()
        assert whole.param_groups[0]["lr"] == second.param_groups[0]["lr"]

    @pytest.mark.parametrize("name", ["sgd-momentum", "adam-amsgrad", "rmsprop-all"])
    def test_the_state_is_a_copy(self, name: str) -> None:
        kind, settings = OPTIMIZERS[name]
        optimizer = kind(parameters(), **settings)
        train(optimizer, None, range(3))
        state = optimizer.state_dict()
        kept = {key: np.array(value) for key, value in state["state"][0].items()}
        train(optimizer, None, range(3, 6))
        for key, value in kept.items():
            np.testing.assert_array_equal(state["state"][0][key], value)
        optimizer.load_state_dict(state)
        train(optimizer, None, range(6, 9))
        for key, value in kept.items():
            np.testing.assert_array_equal(state["state"][0][key], value)

    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (lambda s: s.update(algorithm="SGD"), "belongs to SGD"),
            (lambda s: s.pop("state"), "state_dict"),
            (lambda s: s["state"].pop(), "4 entries"),
            (lambda s: s["state"][1].update(exp_avg=np.zeros(6)), r"exp_avg of parameter 1 .*\(5,\), got \(6,\)"),
            (lambda s: s["state"][4].update(exp_avg=0.5), "exp_avg of parameter 4"),
            (lambda s: s["state"][1].update(exp_avg=np.zeros(5, complex)), "real numbers"),
            (lambda s: s["state"][0].pop("exp_avg_sq"), r"needs \['exp_avg', 'exp_avg_sq'\]"),
            (lambda s: s["state"][0].update(other=np.zeros((5, 3))), "other"),
            (lambda s: s["state"][0].update(step=-1), "step"),
            (lambda s: s["state"][0].update(step="3"), "step"),
            (lambda s: s["param_groups"][0].update(lr=-0.5), "lr"),
            (lambda s: s["param_groups"][0].update(lr="0.5"), "lr"),
            (lambda s: s["param_groups"][0].update(betas=(0.9, 1.5)), "betas"),
            (lambda s: s["param_groups"][0].pop("eps"), "eps"),
            (lambda s: s["param_groups"][0].update(size=4), "groups of"),
            (lambda s: s.update(param_groups=3), "damaged"),
            (lambda s: s.update(state=[1, 2, 3, 4, 5]), "damaged"),
        ],
    )
    def test_a_refused_state_changes_nothing(self, damage: Callable[[Any], Any], words: str) -> None:
        optimizer = Adam(parameters())
        train(optimizer, None, range(4))
        before = optimizer.state_dict()
        other = Adam(parameters(), lr=0.5)
        train(other, None, range(2))
        state = other.state_dict()
        damage(state)
        with pytest.raises(ValueError, match=words):
            optimizer.load_state_dict(state)
        after = optimizer.state_dict()
        assert after["param_groups"] == before["param_groups"]
        for a, b in zip(after["state"], before["state"], strict=True):
            assert a.keys() == b.keys()
            for key in a:
                np.testing.assert_array_equal(a[key], b[key])

    @pytest.mark.parametrize(
        "damage",
        [
            lambda s: s.update(algorithm="StepLR"),
            lambda s: s.pop("epoch"),
            lambda s: s.update(base_lrs=[0.1, 0.2]),
            lambda s: s.update(base_lrs=["0.1"]),
            lambda s: s.update(epoch=None),
            lambda s: s.clear(),
        ],
    )
    def test_a_refused_schedule_state_changes_nothing(self, damage: Callable[[Any], Any]) -> None:
        optimizer = SGD(parameters(), lr=0.5)
        schedule = ExponentialLR(optimizer, 0.9)
        schedule.step()
        before = schedule.state_dict()
        state = schedule.state_dict()
        damage(state)
        with pytest.raises(ValueError, match="state"):
            schedule.load_state_dict(state)
        assert schedule.state_dict() == before


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
            train(expected, None, range(5))
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
            train(optimizer, None, range(5), np.float32)
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


class Empty(Module):
    def forward(self, x: Any) -> Any:
        return x


class TestRefused:
    @pytest.mark.parametrize(
        ("kind", "settings", "words"),
        [
            (SGD, {"lr": -0.1}, "lr must be 0 or greater, got lr=-0.1"),
            (SGD, {"lr": math.nan}, "lr"),
            (SGD, {"lr": math.inf}, "lr"),
            (SGD, {"momentum": -1}, "momentum"),
            (SGD, {"weight_decay": -1}, "weight_decay"),
            (SGD, {"nesterov": True}, "nesterov=True needs a momentum"),
            (SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "dampening"),
            (Adam, {"betas": (0.9, 1.0)}, r"betas\[1\] must be 0 or greater and less than 1"),
            (Adam, {"betas": (-0.1, 0.9)}, r"betas\[0\]"),
            (Adam, {"eps": -1e-8}, "eps"),
            (AdamW, {"weight_decay": -0.1}, "AdamW: weight_decay"),
            (RMSprop, {"alpha": -0.1}, "alpha"),
            (RMSprop, {"alpha": 1.1}, "alpha"),
            (RMSprop, {"momentum": -0.1}, "momentum"),
        ],
    )
    def test_settings_out_of_range(self, kind: Any, settings: Any, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            kind(parameters(), **settings)
        with pytest.raises(ValueError, match=words):
            kind([{"params": parameters(), **settings}])

    @pytest.mark.parametrize(
        ("kind", "settings"),
        [
            (SGD, {"lr": "0.1"}),
            (SGD, {"lr": True}),
            (SGD, {"lr": None}),
            (SGD, {"nesterov": 1}),
            (Adam, {"betas": 0.9}),
            (Adam, {"betas": (0.9,)}),
            (Adam, {"amsgrad": 0.5}),
            (RMSprop, {"centered": "yes"}),
        ],
    )
    def test_settings_of_another_type(self, kind: Any, settings: Any) -> None:
        with pytest.raises(TypeError, match=f"{kind.__name__}: {next(iter(settings))} must be"):
            kind(parameters(), **settings)

    def test_no_parameters(self) -> None:
        with pytest.raises(ValueError, match="got no parameters"):
            SGD([])
        with pytest.raises(ValueError, match="got no parameters"):
            SGD(Empty().parameters())
        used = iter(parameters())
        list(used)
        with pytest.raises(ValueError, match="can be used only once"):
            SGD(used)

    def test_a_parameter_twice(self) -> None:
        w, b = Parameter([1.0], name="w"), Parameter([1.0])
        with pytest.raises(ValueError, match=r"parameter 'w' twice \(entry 2\)"):
            SGD([w, b, w])
        with pytest.raises(ValueError, match="twice"):
            SGD([{"params": [w]}, {"params": [b, w]}])

    @pytest.mark.parametrize(
        ("params", "words"),
        [
            (np.ones(3), "entry 0 is a float64"),
            ([np.ones(3)], "entry 0 is a ndarray: write Parameter"),
            ([("weight", Parameter([1.0]))], "instead of model.named_parameters"),
            (Parameter([1.0]), r"write SGD\(\[weight\]"),
            (Empty(), r"write SGD\(model.parameters"),
            ("weights", r"write SGD\(model.parameters"),
            ({"w": 1}, r"write SGD\(model.parameters"),
            (3, r"write SGD\(model.parameters"),
            ([{"lr": 0.1}], "a dict with 'params'"),
            ([{"params": [Parameter([1.0])]}, Parameter([1.0])], "a dict with 'params'"),
        ],
    )
    def test_what_is_no_parameter(self, params: Any, words: str) -> None:
        with pytest.raises(TypeError, match=words):
            SGD(params)

    def test_tensors_that_would_never_train(self) -> None:
        with pytest.raises(ValueError, match="does not require a gradient"):
            SGD([Tensor([1.0])])
        with pytest.raises(ValueError, match="result of multiply"):
            SGD([Parameter([1.0]) * 2])

    def test_unknown_setting(self) -> None:
        with pytest.raises(ValueError, match="no setting 'rate'; it has lr"):
            SGD([{"params": parameters(), "rate": 1}])

    @pytest.mark.parametrize(
        ("make", "error"),
        [
            (lambda o: StepLR(o, 0), ValueError),
            (lambda o: StepLR(o, 1.5), TypeError),
            (lambda o: StepLR(o, True), TypeError),
            (lambda o: StepLR(o, 3, gamma=-1), ValueError),
            (lambda o: ExponentialLR(o, math.nan), ValueError),
            (lambda o: CosineAnnealingLR(o, 0), ValueError),
            (lambda o: CosineAnnealingLR(o, 3, eta_min=-1), ValueError),
            (lambda o: LambdaLR(o, 0.9), TypeError),
            (lambda o: LambdaLR(o, lambda epoch: -1.0), ValueError),
            (lambda o: ReduceLROnPlateau(o, mode="least"), ValueError),
            (lambda o: ReduceLROnPlateau(o, threshold_mode="x"), ValueError),
            (lambda o: ReduceLROnPlateau(o, factor=1.0), ValueError),
            (lambda o: ReduceLROnPlateau(o, patience=-1), ValueError),
            (lambda o: ReduceLROnPlateau(o).step(), TypeError),
            (lambda o: StepLR(o.param_groups, 3), TypeError),
        ],
    )
    def test_schedules(self, make: Callable[[Any], Any], error: type[Exception]) -> None:
        optimizer = SGD(parameters(), lr=0.5)
        with pytest.raises(error):
            make(optimizer)
        assert optimizer.param_groups[0]["lr"] == 0.5

    @pytest.mark.parametrize("limit", [-1.0, math.nan, math.inf])
    def test_clipping(self, limit: float) -> None:
        with pytest.raises(ValueError, match="max_norm"):
            clip_grad_norm(parameters(), limit)
        with pytest.raises(ValueError, match="clip_value"):
            clip_grad_value(parameters(), limit)
        with pytest.raises(TypeError, match="entry 0 is a ndarray"):
            clip_grad_norm([np.ones(3)], 1.0)
        with pytest.raises(ValueError, match="norm_type"):
            clip_grad_norm(parameters(), 1.0, 0)
