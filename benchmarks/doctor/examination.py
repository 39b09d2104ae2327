"""The examination itself: what is put before the doctor, and how its answers are counted."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

import faults
import mutate
from assess import Outcome, check_gradients, examine
from case import PATIENTS, load, names
from fault import Fault, case_of, effect

TIMED = "class_layers"


@dataclass
class Results:
    """What was counted.

    Attributes
    ----------
    healthy, mutants, singles, pairs : list
        (patient's or fault's name, what the doctor said, the fault or None).
    numeric : list
        The same of `check_gradients`, which is given gradients and no code.
    """

    healthy: list[tuple[str, Outcome, None]] = field(default_factory=list)
    mutants: list[tuple[str, Outcome, Fault]] = field(default_factory=list)
    singles: list[tuple[str, Outcome, Fault]] = field(default_factory=list)
    pairs: list[tuple[str, Outcome, Fault]] = field(default_factory=list)
    numeric: list[tuple[str, Outcome, Fault | None]] = field(default_factory=list)

    def table(self) -> str:
        """Return the issue's table of reach, as Markdown."""
        faulty = self.mutants + self.pairs
        rows = [
            ("false alarms on healthy nets", _count(self.healthy, lambda o, f: o.flagged or o.failed), "0"),
            ("object or random state not restored", _count([*self.healthy, *faulty], lambda o, f: not o.restored), "0"),
            ("parameters of healthy nets compared", _share([o.checked for _, o, _ in self.healthy]), ""),
            ("silent faults flagged (mutants, pairs)", _count(faulty, lambda o, f: o.flagged), "100 %"),
            ("the doctor raised (mutants, pairs)", _count(faulty, lambda o, f: o.failed), "0"),
            ("culprit line among those reported, mutants", _count(self.mutants, _located), "≥ 95 %"),
            ("culprit line among those reported, catalogue", _count(self.singles, _located), "≥ 95 %"),
            ("mean number of lines reported", self._lines(), "≤ 1.8"),
            ("catalogue faults named", _count(self.singles, _named), "≥ 90 %"),
            ("two faults at once, both named", _count(self.pairs, _named), "≥ 75 %"),
            ("two faults at once, both located", _count(self.pairs, _located), ""),
            ("false alarms of check_gradients", self._numeric(healthy=True), "0"),
            ("catalogue faults flagged by check_gradients", self._numeric(healthy=False), "100 %"),
            ("time of examine for 2-5-5-1, median s", self._time(), "≤ 2"),
        ]
        return "\n".join(["| measure | figure | reach |", "|---|---:|---:|", *(f"| {' | '.join(r)} |" for r in rows)])

    def failures(self) -> Iterator[tuple[str, str, Outcome, Fault | None]]:
        """Yield (what went wrong, name, outcome, fault) for every case that was not answered rightly."""
        for name, outcome, _ in self.healthy:
            if outcome.failed or outcome.flagged:
                yield ("healthy: raised" if outcome.failed else "healthy: false alarm"), name, outcome, None
            elif not outcome.restored:
                yield "healthy: not restored", name, outcome, None
        for kind in ("mutants", "singles", "pairs"):
            for name, outcome, fault in getattr(self, kind):
                if outcome.failed:
                    yield f"{kind}: raised", name, outcome, fault
                elif not outcome.flagged:
                    yield f"{kind}: not flagged", name, outcome, fault
                elif not _located(outcome, fault):
                    yield f"{kind}: culprit not among the lines", name, outcome, fault
                if not outcome.failed and fault.codes and not _named(outcome, fault):
                    yield f"{kind}: not named", name, outcome, fault
        for name, outcome, found in self.numeric:
            if outcome.failed or outcome.flagged != (found is not None):
                yield "check_gradients", name, outcome, found

    def _lines(self) -> str:
        flagged = [len(o.suspects) for _, o, _ in self.mutants + self.singles if o.flagged]
        return f"{mean(flagged):.2f}" if flagged else "none flagged"

    def _numeric(self, *, healthy: bool) -> str:
        chosen = [row for row in self.numeric if (row[2] is None) == healthy]
        return _count(chosen, lambda o, f: o.flagged or (healthy and o.failed))

    def _time(self) -> str:
        times = [o.seconds for name, o, _ in self.healthy if name.startswith(TIMED)]
        return f"{median(times):.2f}" if times else "not run"


def run(folder: Path, seeds: int, per_patient: int | None, most_pairs: int, only: list[str] | None = None) -> Results:
    """Put everything before the doctor: `per_patient` mutants of each (None: all), `seeds` of each healthy net."""
    results = Results()
    chosen = only or names()
    for patient in chosen:
        for seed in range(seeds):
            outcome = examine(load(PATIENTS / f"{patient}.py", seed))
            results.healthy.append((f"{patient}, seed {seed}", outcome, None))
            if seed < 5:
                numeric = check_gradients(load(PATIENTS / f"{patient}.py", seed, exact=True))
                results.numeric.append((f"{patient}, seed {seed}", numeric, None))
        mutants = sample(mutate.mutants(patient, folder)[0], per_patient, patient)
        results.mutants += _answers(mutants, folder)
        planted = [fault for fault in faults.singles() if fault.patient == patient]
        results.singles += _answers(sample(planted, per_patient, patient), folder)
        for fault in sample([f for f in planted if effect(f, folder) == "silent"], 6, patient):
            results.numeric.append((fault.name, check_gradients(case_of(fault, folder, 0, exact=True)), fault))
        results.pairs += _answers(faults.pairs(folder, most_pairs, [patient]), folder)
        print(f"{patient} done, {len(mutants)} mutants", file=sys.stderr, flush=True)
    return results


def sample(found: list[Fault], most: int | None, seed: str) -> list[Fault]:
    """Return at most `most` faults, always the same."""
    return found if most is None or len(found) <= most else random.Random(seed).sample(found, most)


def _answers(chosen: Iterable[Fault], folder: Path) -> list[tuple[str, Outcome, Fault]]:
    return [(fault.name, examine(case_of(fault, folder, 0)), fault) for fault in chosen]


def _located(outcome: Outcome, fault: Fault) -> bool:
    return outcome.located(fault) == len(fault.culprits)


def _named(outcome: Outcome, fault: Fault) -> bool:
    return outcome.named(fault) == len(fault.codes)


def _count(rows: Sequence[tuple[str, Outcome, Fault | None]], holds: Callable[..., bool]) -> str:
    hits = sum(holds(outcome, fault) for _, outcome, fault in rows)
    return f"{hits} of {len(rows)} ({hits / len(rows):.1%})" if rows else "none run"


def _share(values: list[float]) -> str:
    return f"{mean(values):.1%}" if values else "none run"
