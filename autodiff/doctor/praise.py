"""What was checked and found right, so that nobody mends what works."""

from __future__ import annotations

import numpy as np

from autodiff.doctor.case import Case
from autodiff.doctor.known import Known
from autodiff.doctor.products import describe
from autodiff.doctor.spell import activation_name
from autodiff.doctor.tape import Line


def praise(case: Case, known: Known, blamed: set[Line]) -> list[str]:
    """Return sentences about values of the backward pass that are right, in the order of their lines."""
    assert case.truth is not None
    found: dict[Line, str] = {}
    stop = {v for p in case.parameters for v in p.versions}
    reach = case.tape.ancestors([c.node for c in case.claims.values()], stop=stop) - case.truth.forward
    for id in sorted(reach):
        node = case.tape[id]
        if not node.lines or not case.depends[id] or node.lines[0] in blamed or node.value.size < 2:
            continue
        line = node.lines[0]
        last = id + 1 >= len(case.tape) or case.tape[id + 1].lines[:1] != (line,)
        for match in known.find(node.value, "slope") if last else ():
            z, a = match.entry.node, match.entry.to
            if abs(match.factor - 1) > 1e-6 or a is None or known.activations.get(z, (None,))[0] != a:
                continue
            kind = activation_name(case, z, a, np.asarray(match.entry.value))
            found[line] = f"line {line.number}: {line.text}  – is the slope of the {kind}, at the right values"
            break
        else:
            named = [b.name for b in case.trial.names.bound(id) if b.line == line]
            match_adjoint = known.find(node.value, "adjoint")
            if named and match_adjoint and line not in found:
                first = match_adjoint[-1]
                if first.factor > 0:
                    times = "" if abs(first.factor - 1) < 1e-6 else f", times {first.factor:.4g}"
                    what = describe(case, first.entry, line)
                    said = line.text if named[0] == "return" else named[0]
                    found[line] = f"line {line.number}: {said}  – is {what}{times}"
    return [found[line] for line in sorted(found, key=lambda line: line.number)][:12]
