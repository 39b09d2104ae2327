"""When the gradient is right and it does not learn: causes proven by training again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodiff import doctor
from autodiff.doctor.training.answer import Cause, Prognosis
from autodiff.doctor.training.proof import Change, Count, Laboratory

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "doctor"))

import ill_nets
from ill_nets import INSIDE, RING, Net, X, Y, changed

FAST = {"rate 1/t", "zero init", "batches, saturated"}
ILLNESSES = [name for name, _ in ill_nets.nets(0)]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in ILLNESSES]
)
def test_a_planted_illness_is_named_and_proven(name: str) -> None:
    ill = dict(ill_nets.nets(0))[name]()
    found = ill.answer(seeds=5)
    assert found.ill
    assert ill.codes & set(found.causes), str(found)
    assert all("as written" in cause.proof and "/5" in cause.proof for cause in found.findings)


def test_a_training_that_learns_is_not_ill_and_left_alone() -> None:
    net = Net(0)
    weights = net.W.copy()
    found = doctor.prognosis(net.train, X, Y, 600)
    assert not found.ill
    assert found.causes == []
    assert "learns" in str(found)
    np.testing.assert_array_equal(net.W, weights)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["train_batches", "train_momentum"])
def test_batches_and_momentum_that_learn_are_not_ill(method: str) -> None:
    net = changed(Net(0), rate=0.3, momentum=0.9)
    found = doctor.prognosis(getattr(net, method), RING, INSIDE, 300)
    assert not found.ill, str(found)


@pytest.mark.slow
def test_momentum_is_trained_by_their_own_code() -> None:
    found = dict(ill_nets.nets(0))["momentum, saturated"]().answer(seeds=3)
    assert any("their own code" in note for note in found.notes)


def test_what_cannot_be_judged_is_not_called_ill() -> None:
    class Idle:
        def train(self, x: Any, epochs: int) -> None:
            self.seen = x.sum() * epochs

    found = doctor.prognosis(Idle().train, X, 3)
    assert not found.ill
    assert "Is the update inside the call?" in str(found)
    with pytest.raises(TypeError, match="itself"):
        doctor.prognosis(None)


class Sigmoids:
    """The 2-5-5-1 net of the posts, its gradients right: one sample per column, weights and biases from U(0, 1)."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.layers = [(rng.random((b, a)), rng.random((b, 1))) for a, b in ((2, 5), (5, 5), (5, 1))]

    def train(self, x: Any, y: Any, epochs: int, rate: float = 0.5, falls: bool = False) -> None:
        (W1, b1), (W2, b2), (W3, b3) = self.layers
        m = y.shape[1]
        for epoch in range(1, epochs + 1):
            a1 = 1 / (1 + np.exp(-(np.dot(W1, x) + b1)))
            a2 = 1 / (1 + np.exp(-(np.dot(W2, a1) + b2)))
            a3 = 1 / (1 + np.exp(-(np.dot(W3, a2) + b3)))
            self.cost = -np.sum(y * np.log(a3) + (1 - y) * np.log(1 - a3)) / m
            d3 = (a3 - y) / m
            d2 = np.dot(W3.T, d3) * a2 * (1 - a2)
            d1 = np.dot(W2.T, d2) * a1 * (1 - a1)
            step = 1 / epoch if falls else rate
            W3 -= step * np.dot(d3, a2.T)
            b3 -= step * np.sum(d3, axis=1, keepdims=True)
            W2 -= step * np.dot(d2, a1.T)
            b2 -= step * np.sum(d2, axis=1, keepdims=True)
            W1 -= step * np.dot(d1, x.T)
            b1 -= step * np.sum(d1, axis=1, keepdims=True)

    def learned(self) -> bool:
        return bool(self.cost < 0.35)


@pytest.mark.slow
def test_one_over_t_stops_the_net_of_the_posts_and_nothing_else_does() -> None:
    net = Sigmoids(0)
    found = doctor.prognosis(net.train, X, Y, 10_000, falls=True)
    assert found.causes == ["rate_decays"], str(found)
    assert found.findings[0].proof == "as written 0/20 learn; with the learning rate held at its first value 20/20"
    assert found.findings[0].seen.startswith("the learning rate falls as 1/t: 1, 0.5, 0.333")


@pytest.mark.slow
def test_with_the_gradient_right_and_the_rate_falling_as_one_over_t_none_of_fifty_learns() -> None:
    for seed in range(50):
        net = Sigmoids(seed)
        net.train(X, Y, 5000, falls=True)
        assert not net.learned()


@pytest.mark.slow
def test_weights_between_zero_and_one_stop_nobody_at_a_constant_rate() -> None:
    for seed in range(20):
        net = Sigmoids(seed)
        net.train(X, Y, 40_000)
        assert net.learned(), seed


class TestProof:
    """The laboratory, on trainings that are only pretended."""

    def learns(self, setting: frozenset[str], seed: int, end: float) -> bool:
        return {"a"} <= setting or {"b", "c"} <= setting

    def change(self, code: str, blind: bool = False) -> Change[frozenset[str]]:
        return Change(code, f"with {code}", lambda s: s | {code}, f"{code} is seen", blind)

    def prove(self, *changes: Change[frozenset[str]]) -> list[Cause]:
        lab = Laboratory(self.learns, 20, float("inf"))
        written: frozenset[str] = frozenset()
        return lab.prove(written, Count(0, 20), changes)

    def test_one_change_that_helps(self) -> None:
        found = self.prove(self.change("b"), self.change("a"))
        assert found == [Cause("a", "a is seen", "as written 0/20 learn; with a 20/20")]

    def test_what_is_suspect_comes_before_what_is_not(self) -> None:
        assert [c.code for c in self.prove(self.change("a", blind=True), self.change("b"))] == ["a"]

    def test_two_together(self) -> None:
        found = self.prove(self.change("b"), self.change("c"), self.change("d"))
        assert [c.code for c in found] == ["b", "c"]
        assert found[0].proof == found[1].proof == "as written 0/20 learn; with b and with c 20/20"

    def test_no_proof_where_it_learns_as_written(self) -> None:
        assert not Count(20, 20).helps(Count(18, 20))
        assert Count(20, 20).helps(Count(10, 20))
        assert not Count(10, 20).helps(Count(0, 20))

    def test_too_few_runs_prove_nothing(self) -> None:
        lab = Laboratory(lambda setting, seed, end: None if seed else self.learns(setting, seed, end), 20, float("inf"))
        written: frozenset[str] = frozenset()
        assert lab.prove(written, Count(0, 20), [self.change("a")]) == []
        assert lab.hints == ["with a 1/1 learn, too few to prove anything"]
        assert lab.short

    def test_no_time_no_cause(self) -> None:
        lab = Laboratory(self.learns, 20, 0.0)
        empty: frozenset[str] = frozenset()
        assert lab.count(empty, 1.0).tried == 0
        assert lab.short
        assert lab.prove(empty, Count(0, 0), [self.change("a")]) == []


def test_an_answer_as_text_values_and_html() -> None:
    proof = "as written 0/20 learn; with A and with B 20/20"
    found = Prognosis("It does not learn.", True, [Cause("a", "A < B", proof), Cause("bb", "B", proof)], ["a note"])
    assert str(found).splitlines() == [
        "It does not learn.",
        "  a    A < B",
        "  bb   B",
        f"       {proof}",
        "  (a note)",
    ]
    assert found.to_dict()["findings"][1] == {"code": "bb", "seen": "B", "proof": proof}
    assert "A &lt; B" in found.html()
