"""What a step comes to with right values in the places of wrong ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autodiff.doctor.case import NOISE, Case, proportion
from autodiff.doctor.known import Entry, Known
from autodiff.doctor.scale import Scale, scales


@dataclass
class State:
    """A step with some `values` repaired, and with the claims of some parameters taken for something `instead`."""

    case: Case
    known: Known
    lr: float | None
    values: dict[int, Any] = field(default_factory=dict)
    instead: dict[str, Any] = field(default_factory=dict)
    _factors: dict[int, float | None] = field(default_factory=dict)

    def accept(self, values: dict[int, Any]) -> None:
        """Go on from the values of a repair."""
        self.values = values
        self._factors = {}

    def value(self, id: int) -> Any:
        """Return a node's value, as repaired or as it was."""
        return self.values.get(id, self.case.tape[id].value)

    def scales(self) -> dict[str, Scale]:
        """Compare the claims with the truth."""
        return scales(self.case, self.lr, self.values, self.instead)

    def wrong(self, found: dict[str, Scale] | None = None) -> list[str]:
        """Return the parameters whose claims are more than a usual factor away from the truth."""
        pairs = (self.scales() if found is None else found).items()
        return [path for path, s in pairs if not self._near(s) and self.case.claims[path].factor]

    def _near(self, s: Scale) -> bool:
        if not s.proportional:
            return False
        # Two single numbers are always proportional: of those a factor must be one that people move about.
        few = self.case.output is None or self.case.tape[self.case.output].value.size > 1
        return few or s.off is None or any(abs(s.off - f) <= NOISE * abs(f) for f in self.known.factors())

    def reach(self, wrong: list[str]) -> set[int]:
        """Return what the claims of the `wrong` parameters are computed from, as far as that is computed."""
        stop = {v for p in self.case.parameters for v in p.versions}
        found = self.case.tape.ancestors([self.case.claims[p].node for p in wrong], stop=stop) - stop
        return {id for id in found if self.case.tape[id].func is not None}

    def suspects(self, reach: set[int]) -> list[int]:
        """Return the values in `reach` that are not right and from which nothing right is computed on the way.

        Nothing but zeros says nothing about what it was computed from.
        """
        tape = self.case.tape
        good: dict[int, bool] = {}
        leads: dict[int, bool] = {}
        for id in sorted(reach, reverse=True):
            good[id] = self.known.right(id, self.values)
            leads.setdefault(id, False)
            telling = leads[id] or (good[id] and bool(np.any(self.value(id))))
            for i in tape[id].inputs:
                if i in reach:
                    leads[i] = leads.get(i, False) or telling
        return [id for id in sorted(reach) if not good[id] and not leads[id]]

    def right(self, values: dict[int, Any]) -> tuple[int, int]:
        """Return how many parameters are right up to a factor with other values, and how many as they stand."""
        other = State(self.case, self.known, self.lr, values, self.instead)
        found = other.scales()
        exact = sum(s.proportional and s.off in (1.0, None) for s in found.values())
        return len(found) - len(other.wrong(found)), exact

    def left(self, values: dict[int, Any]) -> int:
        """Return how many values are still suspect with other values."""
        other = State(self.case, self.known, self.lr, values, self.instead)
        wrong = other.wrong()
        return len(other.suspects(self.reach(wrong))) if wrong else 0

    def entries(self, node: int, wrong: list[str]) -> list[Entry]:
        """Return what could stand in place of a node: right values of its shape, and gradients that it claims to be."""
        case = self.case
        own = [
            Entry("adjoint", case.versions[path], case.true_gradient(path))
            for path in wrong
            if case.claims[path].node == node
        ]
        return own + self.known.distinct(self.value(node).shape)

    def tried(self, way: dict[int, Entry]) -> dict[int, Any] | None:
        """Put entries in the places of nodes and compute again what depends on them; return None where that raises."""
        tape = self.case.tape
        wanted = [c.node for c in self.case.claims.values()]
        kept = {id: v for id, v in self.values.items() if id not in way}
        below = tape.descendants(way)
        start = {id: v for id, v in kept.items() if id not in below}
        factor = self.upstream(min(way)) or 1.0  # of a later run a wrong earlier one may be upstream
        for node, entry in way.items():
            start[node] = entry.value * (factor if entry.kind in ("adjoint", "part") else 1.0)
        try:
            with np.errstate(all="ignore"):
                return {**kept, **tape.replay(start, [*wanted, *(i for i in below if i <= max(wanted))])}
        except Exception:
            return None

    def rescaled(
        self, node: int, entry: Entry, values: dict[int, Any], right: Any, wrong: list[str]
    ) -> tuple[dict[int, Any], Any]:
        """At the top of the backward pass the scale is free: choose it so that what follows is right as it stands."""
        after = State(self.case, self.known, self.lr, values, self.instead).scales()
        offs = {round(s.off, 6) for path, s in after.items() if path in wrong and s.proportional and s.off}
        if len(offs) != 1 or 1.0 in offs:
            return values, right
        scaled = Entry(entry.kind, entry.node, entry.value / next(iter(offs)), entry.to)
        again = self.tried({node: scaled})
        return (again, again[node]) if again is not None else (values, right)

    def upstream(self, node: int) -> float | None:
        """Return the constant factor that the derivatives have from which a node is computed."""
        if node not in self._factors:
            self._factors[node] = self._factor_before(node)
        return self._factors[node]

    def _factor_before(self, node: int) -> float | None:
        tape = self.case.tape
        assert self.case.truth is not None
        for id in sorted(tape.ancestors([node]) - {node} - self.case.truth.forward, reverse=True):
            if self.case.depends[id]:
                match = self.known.find(self.value(id), "adjoint")
                if match:
                    return match[0].factor
        return None

    def repaired(self, values: dict[int, Any], wrong: list[str]) -> list[str]:
        """Return the parameters that are right with other values."""
        after = State(self.case, self.known, self.lr, values, self.instead).wrong()
        return [path for path in wrong if path not in after]

    def uniform(self, way: dict[int, Entry], values: dict[int, Any]) -> bool:
        """Whether one line, run several times on right values, makes each of its own wrong by the same factor."""
        found = []
        for node in way:
            if np.any(values[node]):
                made = np.asarray(self.case.tape.again(node, values))
                if made.shape != np.shape(values[node]):
                    return False
                k, rest = proportion(made, values[node])
                found.append(k if rest <= NOISE else np.nan)
        return len(found) > 1 and abs(found[0] - 1) > NOISE and bool(np.ptp(found) <= NOISE * abs(found[0]))
