"""Faults that leave every gradient right, or none to compare, and what only looks like one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodiff import doctor

RNG = np.random.default_rng(3)
X = RNG.normal(size=(6, 3))
Y = RNG.normal(size=(6, 2))


def _descend(w: Any, x: Any, y: Any, give_back: bool) -> Any:
    e = x @ w - y
    loss = np.mean(e**2)
    w = w - 0.1 * x.T @ (2 * e / e.size)
    return (w if give_back else e), loss


def test_an_update_that_never_leaves_the_function() -> None:
    w = RNG.normal(size=(3, 2))
    assert doctor.examine(_descend, w, X, Y, True).ok
    report = doctor.examine(_descend, w, X, Y, False)
    assert not report.ok
    assert [f.code for f in report.findings] == ["never_updated"]
    assert "neither returned nor stored" in report.findings[0].text


class _Line:
    """A bias that is a plain number, and that a training step may forget."""

    def __init__(self) -> None:
        self.w, self.b = RNG.normal(size=3), 0.0

    def step(self, x: Any, y: Any, forget: bool) -> None:
        e = x @ self.w + self.b - y
        self.loss = np.mean(e**2)
        self.w -= 0.1 * x.T @ (2 * e / e.size)
        if not forget:
            self.b -= 0.1 * np.sum(2 * e / e.size)


def test_a_plain_number_that_is_never_updated() -> None:
    assert doctor.examine(_Line().step, X, Y[:, 0], False).ok
    report = doctor.examine(_Line().step, X, Y[:, 0], True)
    assert [(f.code, f.parameters) for f in report.findings] == [("never_updated", ("b",))]


def _pure(params: Any, x: Any, y: Any, times: int) -> Any:
    for _ in range(times):
        (w, b), e = params[0], x @ params[0][0] + params[0][1] - y
        params = [(w - 0.1 * x.T @ (2 * e / e.size), b - 0.1 * np.sum(2 * e / e.size, axis=0))]
    return params


def test_updates_that_are_returned_anew_each_time() -> None:
    params = [(RNG.normal(size=(3, 2)), np.zeros(2))]
    for times in (1, 3):
        assert doctor.examine(_pure, params, X, Y, times, loss="mse").ok


class _Margin:
    """A margin is made of labels and inputs, and never of the output alone."""

    def __init__(self) -> None:
        self.w, self.b = RNG.normal(size=3), np.zeros(1)

    def step(self, x: Any, y: Any) -> None:
        for row, label in zip(x, y, strict=True):
            if label * (row @ self.w - self.b) >= 1:
                self.w -= 0.1 * 0.02 * self.w
            else:
                self.w -= 0.1 * (0.02 * self.w - row * label)
                self.b -= 0.1 * label


def test_labels_may_meet_inputs_in_a_margin() -> None:
    report = doctor.examine(_Margin().step, X, np.sign(Y[:, 0]))
    assert not [f for f in report.findings if f.code == "output_missing"]


def _whole_steps(w: Any, x: Any, y: Any, rate: float, use: bool) -> Any:
    e = x @ w - y
    loss = np.mean(e**2)
    g = x.T @ (2 * e / e.size)
    w = w - rate * g if use else w - g
    return w, loss


def test_a_learning_rate_that_nothing_reads() -> None:
    w = RNG.normal(size=(3, 2))
    assert doctor.examine(_whole_steps, w, X, Y, 0.3, True).ok
    assert doctor.examine(lambda w, x, y: _whole_steps(w, x, y, 1.0, False), w, X, Y).ok


def _unread(w: Any, x: Any, y: Any, rate: float) -> Any:
    e = x @ w - y
    loss = np.mean(e**2)
    w = w - x.T @ (2 * e / e.size)
    return w, loss


def test_a_step_without_the_rate_that_was_passed() -> None:
    report = doctor.examine(_unread, RNG.normal(size=(3, 2)), X, Y, 0.3)
    assert [f.code for f in report.findings] == ["rate_missing"]
    assert "rate" in report.findings[0].text


class _OneSided:
    """A logistic unit whose delta is wrong in a way that shows for labels of 1 only."""

    def __init__(self) -> None:
        self.w = RNG.normal(size=(3, 1))

    def step(self, x: Any, y: Any, right: bool) -> None:
        p = 1 / (1 + np.exp(-x @ self.w))
        self.loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
        delta = (p - y if right else p + y) / len(y)
        self.w -= 0.1 * x.T @ delta


@pytest.mark.parametrize("label", [0, 1])
def test_labels_that_are_all_the_same_hide_nothing(label: int) -> None:
    y = np.full((len(X), 1), label)
    before = y.copy()
    assert doctor.examine(_OneSided().step, X, y, True).ok
    report = doctor.examine(_OneSided().step, X, y, False)
    assert not report.ok
    assert any("all labels are the same" in note for note in report.notes) == (label == 0)
    assert np.array_equal(y, before)


class _Normed:
    """Weights of length 1, by a root that is kept off zero; and a bias as a plain number that is summed to products."""

    def __init__(self) -> None:
        self.v, self.b, self.eps, self.shift = RNG.normal(size=3), 0.5, 1e-8, 0.25

    def step(self, x: Any, y: Any) -> None:
        square = np.sum(self.v * self.v) + self.shift
        e = x @ self.v / np.sqrt(square) - y
        self.loss = np.mean(e**2)
        back = x.T @ (2 * e / e.size)
        self.v -= 0.1 * (back / np.sqrt(square) - self.v * (self.v @ back) / square**1.5)

    def unit(self, x: Any, y: Any, forget: bool) -> None:
        for row, label in zip(x, y, strict=True):
            e = np.sum(self.v * row) + self.b - label
            self.loss = e * e
            self.v -= 0.1 * 2 * e * row
            if not forget:
                self.b -= 0.1 * 2 * e


def test_numbers_that_are_added_and_are_no_bias() -> None:
    assert doctor.examine(_Normed().step, X, Y[:, 0]).ok
    assert doctor.examine(_Normed().unit, X, Y[:, 0], False).ok
    assert [f.parameters for f in doctor.examine(_Normed().unit, X, Y[:, 0], True).findings] == [("b",)]


class _Folded:
    """Python makes one number of two that a line multiplies before anything else."""

    def __init__(self) -> None:
        self.w = RNG.normal(size=3)

    def step(self, x: Any, y: Any) -> None:
        for row, label in zip(x, y, strict=True):
            e = row @ self.w - label
            self.loss = e * e
            self.w -= 0.1 * 2 * e * row


def test_a_rate_and_a_two_that_are_one_number() -> None:
    assert doctor.examine(_Folded().step, X, Y[:, 0]).ok
