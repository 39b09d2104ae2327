"""Examine the doctor: healthy nets, mutants of their backward code, planted faults.

    python benchmarks/doctor/run.py [--seeds 40] [--quick] [--only class_layers,script]
                                    [--failures FILE] [--show NAME]

`--show class_layers` prints the report on a healthy net, `--show class_layers:42:sign` that on a fault; part of a
name shows the first that contains it. A doctor that raises has failed the case.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, where nothing is installed

import examination
import faults
import mutate
from assess import Outcome, examine
from case import PATIENTS, load, names
from fault import Fault, case_of, effect

QUICK = {"seeds": 4, "mutants": 8, "pairs": 1, "trainings": 20}


def main() -> None:
    parser = argparse.ArgumentParser(description="Examine the doctor.")
    parser.add_argument("--seeds", type=int, default=40, help="of each healthy net")
    parser.add_argument("--quick", action="store_true", help="a sample that takes a minute")
    parser.add_argument("--only", help="patients, with commas between them")
    parser.add_argument("--failures", type=Path, help="write the cases that failed to this file")
    parser.add_argument("--show", metavar="NAME", help="print one case and its report")
    options = parser.parse_args()
    only = options.only.split(",") if options.only else None
    with tempfile.TemporaryDirectory() as folder:
        if options.show:
            _show(options.show, Path(folder))
            return
        seeds, mutants, pairs, trainings = options.seeds, None, 4, 200
        if options.quick:
            seeds, mutants, pairs, trainings = QUICK.values()
        results = examination.run(Path(folder), seeds, mutants, pairs, only)
    print(results.table())
    lines = [] if only else _diagnosed(trainings)
    if options.failures:
        options.failures.write_text(_grouped(results, lines), encoding="utf-8")


def _diagnosed(count: int) -> list[str]:
    """Print the row on healthy trainings, and return a line on each that was called ill."""
    import trainings

    learned, ill, lines = trainings.run(count)
    print(f"| healthy trainings called ill by diagnose | {ill} of {learned} | ≤ 1 % |")
    return lines


def _grouped(results: examination.Results, trainings: list[str]) -> str:
    """Return the failures as Markdown, grouped by what went wrong and whose code it is."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for what, name, outcome, fault in results.failures():
        patient = name.split(":")[0].split(",")[0]
        groups[what, patient].append(f"- `{name}` {_line(outcome, fault)}")
    text = ["# Cases that failed", "", "Show one with `python benchmarks/doctor/run.py --show NAME`.", ""]
    for (what, patient), lines in sorted(groups.items()):
        text += [f"## {what}: {patient} ({len(lines)})", "", *lines, ""]
    if trainings:
        text += [f"## healthy trainings called ill ({len(trainings)})", "", *(f"- {line}" for line in trainings), ""]
    return "\n".join(text)


def _line(outcome: Outcome, fault: Fault | None) -> str:
    said = outcome.text.splitlines()[0] if outcome.failed else f"said {outcome.suspects} {sorted(outcome.causes)}"
    if fault is None:
        return said
    wanted = "+".join(str(sorted(lines)) for lines in fault.culprits) + " " + " ".join(fault.codes)
    return f"`{fault.was}` → `{fault.now}`: wanted {wanted.strip()}; {said}"


def _show(name: str, folder: Path) -> None:
    """Print one case with its report."""
    patient = name.split(":")[0]
    if name in names():
        outcome, fault = examine(load(PATIENTS / f"{name}.py", 0)), None
    else:
        fault = _find(name, patient, folder)
        print(f"{fault.name}\n  was {fault.was}\n  now {fault.now}")
        print(f"  {effect(fault, folder)}, culprits {_lines(fault)}\n")
        outcome = examine(case_of(fault, folder, 0))
    print(outcome.text)
    print(f"\n{outcome.seconds:.2f} s, flagged: {outcome.flagged}, lines {outcome.suspects}, {sorted(outcome.causes)}")
    if not outcome.restored:
        print("the object or the random state is not as it was")


def _find(name: str, patient: str, folder: Path) -> Fault:
    known = [f for f in faults.singles() if f.patient == patient]
    everything = [*known, *faults.pairs(folder, 4, [patient]), *mutate.raw(patient)]
    for matches in (lambda f: f.name == name, lambda f: name in f.name):
        if found := next((fault for fault in everything if matches(fault)), None):
            return found
    raise SystemExit(f"no case is called {name!r}; patients: {', '.join(names())}")


def _lines(fault: Fault) -> str:
    return "+".join(str(sorted(lines)) for lines in fault.culprits)


if __name__ == "__main__":
    main()
