"""Have the doctor diagnose trainings with one illness each: is it named, and with what proof.

    python benchmarks/doctor/illnesses.py [--seeds 5] [--only "rate,dead"] [--show]

Some are models of `nn`, for `nn.diagnose`, and some are written by hand, for `doctor.prognosis`. A training that has
learned in spite of its illness is left out: there is nothing to diagnose. `--show` prints every answer.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, where nothing is installed

import ill_models
import ill_nets
from case import quiet

from autodiff import doctor


def main() -> None:
    parser = argparse.ArgumentParser(description="Diagnose planted illnesses.")
    parser.add_argument("--seeds", type=int, default=5, help="of each training")
    parser.add_argument("--only", help="parts of names, with commas between them")
    parser.add_argument("--show", action="store_true", help="print every answer")
    options = parser.parse_args()
    only = options.only.split(",") if options.only else [""]
    print("| illness | to be named | named | besides it | one of the proofs | s |")
    print("|---|---|---:|---:|---|---:|")
    total = right = 0
    for name, codes, answers in _rows(options.seeds, only):
        ill = [(answer, seconds) for answer, seconds in answers if answer.ill]
        good = [answer for answer, _ in ill if codes & set(answer.causes)]
        total, right = total + len(ill), right + len(good)
        more = sum(len(set(answer.causes) - codes) for answer, _ in ill)
        proof = next((f.proof for answer in good for f in answer.findings if f.code in codes), "–")
        mean = sum(seconds for _, seconds in ill) / max(len(ill), 1)
        print(
            f"| {name} | {', '.join(sorted(codes))} | {len(good)}/{len(ill)} | {more} | {proof} | {mean:.1f} |",
            flush=True,
        )
        for answer, _ in answers if options.show else ():
            print(answer)
    print(f"\nnamed: {right} of {total}, {right / max(total, 1):.0%}")


def _rows(seeds: int, only: list[str]) -> Iterator[tuple[str, set[str], list[tuple[Any, float]]]]:
    for kind, makers in (("nn", ill_models.models), ("numpy", ill_nets.nets)):
        for name in [name for name, _ in makers(0)]:
            if any(part in name for part in only):
                codes: set[str] = set()
                answers = []
                for seed in range(seeds):
                    ill, answer, seconds = diagnosed(dict(makers(seed))[name])
                    codes = ill.codes
                    answers.append((answer, seconds))
                yield f"{kind}: {name}", codes, answers


def diagnosed(make: Callable[[], Any], **options: Any) -> tuple[Any, doctor.Prognosis, float]:
    """Return a planted training, the answer on it, and how long that took."""
    with quiet():
        ill = make()
        begun = time.perf_counter()
        answer = ill.answer(**options)
    return ill, answer, time.perf_counter() - begun


if __name__ == "__main__":
    main()
