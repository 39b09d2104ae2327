"""Prove a cause: train again with only that changed, from many starts, and count how often it learns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Generic, TypeVar

from autodiff.doctor.training.answer import Cause

S = TypeVar("S")

#: ``learns(setting, seed, end)``: whether one run learns; None where the time was up at `end`.
Learns = Callable[[S, int, float], bool | None]

#: The part of the starts that must learn with a change, and by how much more than without it.
ENOUGH, _MORE = 0.8, 0.3
#: Starts from which a change is tried first.
_FIRST = 3
#: So few runs are few.
_FEW = 150


@dataclass(frozen=True)
class Change(Generic[S]):
    """One thing that may be changed about a training.

    Attributes
    ----------
    code : str
        The cause that it would prove.
    words : str
        What the change is called in a sentence: "with the learning rate held at its first value".
    apply : callable
        Gives the changed setting.
    seen : str
        What makes it suspect.
    blind : bool
        Nothing does: it is tried only where no suspicion was proven.
    """

    code: str
    words: str
    apply: Callable[[S], S]
    seen: str
    blind: bool = False


@dataclass
class Count:
    """How many of the starts that were tried have learned."""

    learned: int = 0
    tried: int = 0

    @property
    def share(self) -> float:
        """The part that learned."""
        return self.learned / self.tried if self.tried else 0.0

    def helps(self, base: Count) -> bool:
        """Whether this many are a proof against those of `base`."""
        return self.tried > 0 and self.share >= ENOUGH and self.share >= base.share + _MORE

    def __str__(self) -> str:
        return f"{self.learned}/{self.tried}"


class Laboratory(Generic[S]):
    """Runs experiments until the time is up.

    Parameters
    ----------
    learns : callable
        Trains once.
    seeds : int
        From how many starts each experiment is run.
    end : float
        When all must be over, on the clock of ``time.monotonic``.

    Attributes
    ----------
    short : bool
        Whether the time did not allow for all starts.
    hints : list of str
        What seemed to help, in too few runs to prove it.
    """

    def __init__(self, learns: Learns[S], seeds: int, end: float) -> None:
        self.learns, self.seeds, self.end = learns, seeds, end
        self.short = False
        self.hints: list[str] = []
        self._pace = 0.0  # seconds that one run takes

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(self.end - time.monotonic(), 0.0)

    def count(self, setting: S, share: float, seeds: int | None = None) -> Count:
        """Train from all starts, or as many as fit into a share of the time that is left; from one at least."""
        end = time.monotonic() + share * self.left
        found = Count()
        for seed in range(self.seeds if seeds is None else seeds):
            begun = time.monotonic()
            if seed and begun + self._pace > end:
                self.short = True
                break
            learned = self.learns(setting, seed, end if seed else self.end) if self.left else None
            if learned is None:
                self.short = True
                break
            self._pace = max(self._pace, time.monotonic() - begun)
            found.tried += 1
            found.learned += learned
        return found

    @property
    def hurried(self) -> bool:
        """Whether there is time for few runs only."""
        return self._pace * _FEW > self.left

    def try_out(self, setting: S, base: Count, words: str) -> Count | None:
        """Return how many learn with a change, where that proves something; else None."""
        first = self.count(setting, 0.25, 1 if self.hurried else min(_FIRST, self.seeds))
        if first.learned * 2 <= first.tried:
            return None
        full = self.count(setting, 0.9 if self.hurried else 0.5)
        full = full if full.tried >= first.tried else first
        if not full.helps(base):
            return None
        if full.tried < min(_FIRST, self.seeds):
            self.hints.append(f"{words} {full} learn, too few to prove anything")
            return None
        return full

    def prove(self, written: S, base: Count, changes: Iterable[Change[S]]) -> list[Cause]:
        """Return the causes that are proven: one change each, or two together where no single one helps.

        What is suspect is tried first. Only where that proves nothing, the rest is.
        """
        changes = list(changes)
        suspect = [c for c in changes if not c.blind]
        tried: set[tuple[int, ...]] = set()
        for group, size in ((suspect, 1), (changes, 1), (suspect, 2), (changes, 2)):
            found: list[Cause] = []
            for chosen in combinations(group, size):
                codes = [c.code for c in chosen]
                key = tuple(map(id, chosen))
                if key in tried or len(set(codes)) < size or all(code in {c.code for c in found} for code in codes):
                    continue
                if not self.left:
                    return found
                tried.add(key)
                setting = written
                for change in chosen:
                    setting = change.apply(setting)
                words = " and ".join(change.words for change in chosen)
                full = self.try_out(setting, base, words)
                if full is not None:
                    proof = f"as written {base} learn; {words} {full}"
                    found += [Cause(change.code, change.seen, proof) for change in chosen]
                    if size == 2:
                        break
            if found:
                return found
        return []
