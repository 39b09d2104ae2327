"""`nn.diagnose`: what stops a model from learning is named and proven, and what learns is left alone."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nn
from autodiff.doctor import Prognosis
from nn.optim import SGD, Adam
from nn.train import fit

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "doctor"))

import ill_models
import trainings
from ill_models import INSIDE, LOSS, RING, X, Y

ILLNESSES = [name for name, _ in ill_models.models(0)]
#: Those that take longer: many short steps, or derivatives by differences.
LONG = {"first layer detached", "rate 0.9^t", "zero_grad forgotten", "no bias, ReLU", "labels (n,)", "exploding"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in ILLNESSES]
)
def test_a_planted_illness_is_named_and_proven(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ill = dict(ill_models.models(0))[name]()
    found = ill.answer(seeds=5)
    assert found.ill
    assert ill.codes & set(found.causes), str(found)
    assert all(proves(cause.proof) for cause in found.findings), str(found)


def proves(sentence: str) -> bool:
    """Whether a proof is one: it says how many learn as written, and that many more do with the change."""
    counts = re.findall(r"(\d+)/(\d+)", sentence)
    shares = [int(a) / int(b) for a, b in counts]
    return sentence.startswith("as written") and len(shares) == 2 and shares[1] >= max(0.8, shares[0] + 0.3)


def test_trainings_that_learned_are_not_called_ill() -> None:
    learned, ill, lines = trainings.run(12)
    assert (learned, ill) == (12, 0), lines


@pytest.mark.slow
def test_at_most_one_in_a_hundred_healthy_trainings_is_called_ill() -> None:
    learned, ill, lines = trainings.run(200)
    assert learned == 200
    assert ill <= 2, lines


def healthy(seed: int = 0, kind: Any = SGD, lr: float = 1.0) -> tuple[Any, Any, Any]:
    model = nn.MLP([2, 8, 1], activation="tanh", seed=seed)
    optimizer = kind(model.parameters(), lr=lr)
    history = fit(model, LOSS, optimizer, X, Y, epochs=300, progress=False)
    return model, optimizer, history


def test_it_learns() -> None:
    model, optimizer, history = healthy()
    found = nn.diagnose(model, LOSS, X, Y, history, optimizer=optimizer)
    assert not found.ill
    assert found.causes == []
    assert str(found).startswith("It learns")


def test_nothing_is_changed() -> None:
    """Parameters, gradients, buffers, modes, generators and the optimizer are what they were, and where."""
    model = nn.Sequential(nn.Linear(2, 8, seed=0), nn.BatchNorm1d(8), nn.Dropout(0.2, seed=1), nn.Linear(8, 1, seed=2))
    optimizer = Adam(model.parameters(), lr=1e-7)
    history = fit(model, LOSS, optimizer, RING, INSIDE, epochs=30, batch_size=16, seed=0, progress=False)
    parameters = list(model.parameters())
    arrays = [p.data for p in parameters]
    grads = [p.grad for p in parameters]
    before = ([a.copy() for a in arrays], [g.copy() for g in grads], model.state_dict(), optimizer.state_dict())
    generator = model[2].rng.bit_generator.state

    def step() -> None:
        LOSS(model(RING), INSIDE).backward()
        optimizer.step()

    found = nn.diagnose(model, LOSS, RING, INSIDE, history, optimizer=optimizer, step=step, seeds=3, budget=5)
    assert found.ill
    assert all(p.data is a for p, a in zip(parameters, arrays, strict=True))
    assert all(p.grad is g for p, g in zip(parameters, grads, strict=True))
    for now, then in zip([*arrays, *grads], [*before[0], *before[1]], strict=True):
        np.testing.assert_array_equal(now, then)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[2][name])
    assert str(optimizer.state_dict()) == str(before[3])
    assert not model.training
    assert model[2].rng.bit_generator.state == generator


def test_mini_batches_and_the_rates_of_a_history_are_those_of_the_rerun() -> None:
    model = nn.MLP([2, 16, 1], activation="tanh", seed=0)
    optimizer = SGD(model.parameters(), lr=1e-4)
    history = fit(model, LOSS, optimizer, RING, INSIDE, epochs=60, batch_size=8, seed=0, progress=False)
    assert history.steps == 6
    found = nn.diagnose(model, LOSS, RING, INSIDE, history, optimizer=optimizer, seeds=4)
    assert found.causes == ["rate_too_low"]
    assert "as written 0/4 learn" in found.findings[0].proof


def test_what_a_person_kept_of_a_training_will_do_as_a_history() -> None:
    model = nn.MLP([2, 8, 1], activation="tanh", init=nn.init.zeros)
    for history in (None, [0.7] * 400, {"loss": [0.7] * 400, "lr": [1.0] * 400}, [{"loss": 0.7, "lr": 1.0}] * 400):
        found = nn.diagnose(model, LOSS, X, Y, history, seeds=3)
        assert found.causes == ["zero_init"]


def test_without_an_optimizer_it_says_what_it_took() -> None:
    model = nn.MLP([2, 8, 1], activation="tanh", init=nn.init.zeros)
    assert any("Adam" in note for note in nn.diagnose(model, LOSS, X, Y, seeds=2).notes)
    assert any("SGD" in note for note in nn.diagnose(model, LOSS, X, Y, {"lr": [1.0] * 300}, seeds=2).notes)


def test_a_training_that_was_only_too_short_is_not_given_a_cause() -> None:
    model = nn.MLP([2, 8, 1], activation="tanh", seed=1)
    found = nn.diagnose(model, LOSS, X, Y, optimizer=SGD(model.parameters(), lr=1.0), epochs=400, seeds=4)
    assert found.ill
    assert found.causes == []
    assert "trained for less" in str(found)


def test_little_time_is_told() -> None:
    model = nn.MLP([2, 8, 1], activation="tanh", init=nn.init.zeros)
    optimizer = SGD(model.parameters(), lr=1.0)
    found = nn.diagnose(model, LOSS, X, Y, optimizer=optimizer, epochs=200_000, budget=0.3)
    assert found.causes == []
    assert any("budget=" in note for note in found.notes)


def test_equal_labels_are_nothing_to_learn() -> None:
    model = nn.MLP([2, 8, 1], seed=0)
    found = nn.diagnose(model, LOSS, X, np.ones((4, 1)))
    assert not found.ill
    assert "same" in str(found)


def test_a_parameter_that_nothing_uses_is_noted() -> None:
    model = nn.MLP([2, 8, 1], activation="tanh", init=nn.init.zeros)
    model.spare = nn.Parameter(np.ones(3))  # type: ignore[attr-defined]
    found = nn.diagnose(model, LOSS, X, Y, seeds=2)
    assert "unreached" not in found.causes
    assert any("spare" in note for note in found.notes)


def test_it_asks_for_a_model() -> None:
    with pytest.raises(TypeError, match="prognosis"):
        nn.diagnose(lambda x: x, LOSS, X, Y)
    model = nn.MLP([2, 8, 1], seed=0)
    with pytest.raises(ValueError, match="shape"):
        nn.diagnose(model, LOSS, X, np.zeros((4, 2)))
    with pytest.raises(TypeError, match="optimizer"):
        nn.diagnose(model, LOSS, X, Y, optimizer=object())


def test_the_answer_as_values_and_as_html() -> None:
    model = nn.MLP([2, 8, 1], activation="tanh", init=nn.init.zeros)
    found = nn.diagnose(model, LOSS, X, Y, seeds=2)
    assert isinstance(found, Prognosis)
    told = found.to_dict()
    assert told["causes"] == ["zero_init"]
    assert told["findings"][0]["proof"] == found.findings[0].proof
    assert "zero_init" in found.html()
    assert found.findings[0].proof in str(found)
