"""Optimizers, schedules and clipping: PyTorch's trajectories, and resumption to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nn.io import load, save
from nn.module import Parameter
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

try:
    import torch
except ImportError:
    torch = None
else:  # its first optimizer imports more of it, which changes the environment: not within a test
    torch.optim.SGD([torch.zeros(1)])

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


@pytest.mark.skipif(torch is None, reason="PyTorch, the oracle for the update rules, is not installed")
class TestAgainstTorch:
    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_hundred_steps_of_a_network(self, name: str) -> None:
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
