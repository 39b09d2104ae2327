"""The doctor's examination: its healthy nets are healthy, its faults are faults, and a sample of it is passed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks" / "doctor"))

import faults
import mutate
from assess import Outcome, examine, frozen
from case import PATIENTS, load, names, source
from examination import sample
from fault import Fault, case_of, effect
from healthy import gap
from planted import PLANTED

each_patient = pytest.mark.parametrize("patient", names())
with_doctor = pytest.mark.skipif(find_spec("autodiff.doctor") is None, reason="autodiff.doctor does not exist yet")

#: The loss of `returned` has an eps that its gradient leaves out.
HEALTHY = 1e-5
MUTANTS, SINGLES = 1, 2


@each_patient
def test_a_patient_steps_down_its_own_loss(patient: str) -> None:
    for seed in (0, 1):
        assert gap(load(PATIENTS / f"{patient}.py", seed, exact=True)) < HEALTHY


@each_patient
def test_the_proof_of_health_finds_a_fault(patient: str, tmp_path: Path) -> None:
    spoilt = next(f for f in planted(patient) if effect(f, tmp_path) == "silent")
    assert gap(case_of(spoilt, tmp_path, 0, exact=True)) > 100 * HEALTHY


@each_patient
def test_the_same_seed_makes_the_same_patient(patient: str) -> None:
    one, other, third = (load(PATIENTS / f"{patient}.py", seed) for seed in (3, 3, 4))
    assert frozen(one.read()) == frozen(other.read()) != frozen(third.read())
    assert frozen(one.after()) == frozen(other.after())


@each_patient
def test_planted_faults_change_what_is_learned(patient: str, tmp_path: Path) -> None:
    for fault in planted(patient):
        if fault.codes[0] not in faults.NO_UPDATE | faults.OF_THE_LOSS:
            assert effect(fault, tmp_path) in ("silent", "shape"), fault.name


@each_patient
def test_a_mutant_differs_on_its_line_alone(patient: str) -> None:
    lines = source(patient).splitlines()
    seen = 0
    for fault in mutate.raw(patient):
        mutated = fault.text.splitlines()
        assert len(mutated) == len(lines)
        assert {
            i for i, pair in enumerate(zip(lines, mutated, strict=True), 1) if pair[0] != pair[1]
        } <= fault.culprits[0]
        seen += 1
    assert seen > 50


def test_an_edit_without_effect_is_no_fault(tmp_path: Path) -> None:
    text = source("globals_function")
    lines = frozenset([i for i, line in enumerate(text.splitlines(), 1) if "grad_b2 = " in line])
    same = text.replace("d_out.sum(axis=0)", "d_out.sum(axis=-2)")
    assert effect(Fault("globals_function", "none", same, (lines,)), tmp_path) == "no: equivalent"


def expected(share: float, goal: float) -> None:
    """Report a goal that is not reached yet as an expected failure; there is none once it is."""
    if share < goal:
        pytest.xfail(f"{share:.0%} of this sample, where {goal:.0%} are wanted")


@with_doctor
class TestDoctor:
    def test_no_false_alarm(self) -> None:
        wrong = {}
        for patient in names():
            outcome = examine(load(PATIENTS / f"{patient}.py", 7))
            if outcome.failed or outcome.flagged or not outcome.restored or not outcome.checked:
                wrong[patient] = outcome.text
        assert not wrong

    def test_mutants(self, tmp_path: Path) -> None:
        answers = list(examined(mutants(tmp_path), tmp_path))
        assert [fault.name for fault, outcome in answers if not outcome.flagged] == []
        assert mean(len(outcome.suspects) for _, outcome in answers) <= 2
        located = mean(outcome.located(fault) for fault, outcome in answers)
        assert located >= 0.8  # what it has reached must not be lost
        expected(located, 0.9)

    def test_catalogue(self, tmp_path: Path) -> None:
        chosen = [fault for patient in names() for fault in sample(planted(patient), SINGLES, patient)]
        answers = list(examined(chosen, tmp_path))
        assert mean(outcome.named(fault) for fault, outcome in answers) >= 0.85

    def test_two_faults(self, tmp_path: Path) -> None:
        answers = list(examined(faults.pairs(tmp_path, 1), tmp_path))
        named = mean(outcome.named(fault) == 2 for fault, outcome in answers)
        assert named >= 0.5  # what it has reached must not be lost
        expected(named, 0.7)


def planted(patient: str) -> list[Fault]:
    return [faults.plant(patient, entry) for entry in PLANTED[patient]]


def mutants(folder: Path) -> list[Fault]:
    """A few mutants of each patient, without trying them all."""
    chosen = []
    for patient in names():
        acting = (
            fault for fault in sample(list(mutate.raw(patient)), 40, patient) if effect(fault, folder) == "silent"
        )
        chosen += [fault for fault, _ in zip(acting, range(MUTANTS), strict=False)]
    return chosen


def examined(chosen: list[Fault], folder: Path) -> Iterator[tuple[Fault, Outcome]]:
    for fault in chosen:
        yield fault, examine(case_of(fault, folder, 0))
