"""The doctor's instruments: the recording array, putting back, replaying."""

from __future__ import annotations

import numpy as np
import pytest

from autodiff.doctor.creators import patched
from autodiff.doctor.patient import Patient
from autodiff.doctor.probe import Probe, node_of, plain, probe, recording
from autodiff.doctor.tape import Tape
from autodiff.doctor.trial import run


def test_a_probe_computes_as_an_array_and_is_recorded() -> None:
    a = np.arange(6.0).reshape(2, 3) + 0.3
    with recording(Tape()) as tape:
        p = probe(a.copy())
        q = np.exp(p.T @ p).sum(axis=0) / 2
        np.testing.assert_array_equal(plain(q), np.exp(a.T @ a).sum(axis=0) / 2)
        assert isinstance(q, Probe)
        assert isinstance(q, np.ndarray)
        assert next(tape[i].func is None for i in sorted(tape.ancestors([node_of(q) or 0])))
        again = tape.replay({p.node or 0: a * 2}, [q.node or 0])[q.node or 0]
    np.testing.assert_allclose(again, np.exp(4 * a.T @ a).sum(axis=0) / 2)


@pytest.mark.parametrize("way", ["in place", "item", "slice", "view", "out", "rebinding"])
def test_updates_are_seen_however_they_are_written(way: str) -> None:
    with recording(Tape()) as tape:
        p = probe(np.ones((2, 3)) * 0.7)
        first = p.node
        if way == "in place":
            p -= 0.25
        elif way == "item":
            p[0, 1] = 5.5
        elif way == "slice":
            p[:] = p - 0.25
        elif way == "view":
            p.T[0] *= 2.5
        elif way == "out":
            np.subtract(p, 0.25, out=p)
        else:
            p = p - 0.25
        node = node_of(p)
        assert node != first
        assert first in tape.ancestors([node or 0])
        np.testing.assert_array_equal(tape[node or 0].value, plain(p))


def test_what_does_not_fit_is_noted_and_not_written() -> None:
    with recording(Tape()) as tape:
        p = probe(np.ones((2, 1)))
        p -= np.ones((2, 3)) * 0.3
        assert p.shape == (2, 1)
        assert [node.misfit for node in tape.nodes if node.misfit is not None] == [0]


def test_scalars_behave() -> None:
    with recording(Tape()):
        p = probe(np.array([0.25, 0.5]))
        assert f"{p[0]:.2f}" == "0.25"
        assert float(p[1]) == 0.5
        assert round(p[0], 1) == 0.2
        assert {p[0]: 1}[np.float64(0.25)] == 1
        assert sum(p) == 0.75


def test_makers_give_probes_only_inside() -> None:
    zeros = np.zeros
    with recording(Tape()), patched():
        assert isinstance(np.zeros(2), Probe)
        assert isinstance(np.array([[1.0, 2.0]]), Probe)
        assert isinstance(np.random.default_rng(0).normal(size=2), Probe)
    assert np.zeros is zeros
    assert type(np.array([1.0])) is np.ndarray


class Holder:
    shared = [np.ones(2)]  # noqa: RUF012 - it is the point

    def __init__(self) -> None:
        self.flat = np.arange(4.0)
        self.view = self.flat[1:3]
        self.pair = (np.ones(2), np.zeros(2))
        self.seen: set[int] = set()
        self.rng = np.random.default_rng(0)

    def step(self) -> None:
        self.flat -= 0.5
        assert float(self.view[0]) == float(self.flat[1]), "views stay views"
        self.pair[0][...] = 3.0
        self.shared.append(np.ones(1))
        self.seen.add(1)
        self.rng.normal()
        self.new = 1
        del self.flat


def test_everything_reachable_is_put_back() -> None:
    held = Holder()
    flat, pair, state = held.flat, held.pair, held.rng.bit_generator.state
    trial = run(Patient(held.step, (), {}), {}, {}, 1000)
    assert trial.error is None
    assert held.flat is flat
    assert held.view.base is flat
    assert held.pair is pair
    np.testing.assert_array_equal(pair[0], np.ones(2))
    np.testing.assert_array_equal(flat, np.arange(4.0))
    assert held.seen == set()
    assert len(Holder.shared) == 1
    assert held.rng.bit_generator.state == state
    assert not hasattr(held, "new")
