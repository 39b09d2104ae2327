"""What optimizers, schedules and clipping refuse, and in which words."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autodiff.tensor import Tensor
from nn.module import Module, Parameter
from nn.optim import (
    SGD,
    Adam,
    AdamW,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    ReduceLROnPlateau,
    RMSprop,
    StepLR,
    clip_grad_norm,
    clip_grad_value,
)


def parameters() -> list[Parameter]:
    return [Parameter(np.ones(shape)) for shape in [(5, 3), (5,), ()]]


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
