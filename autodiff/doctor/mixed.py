"""Labels that are all the same hide what is done with them: with y = 0, p + y is as good as p − y."""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.doctor.case import Case


def mixed_labels(case: Case) -> dict[str, Any]:
    """Return other labels, some 0 and some 1, by their paths, where all that a call was given are 0 or all are 1."""
    tape, trial = case.tape, case.trial
    if not case.pairs:
        return {}
    stop = {v for p in case.parameters for v in p.versions}
    inputs = tape.ancestors([case.pairs[0][0]], stop=stop)
    leaves = sorted((tape.ancestors([labels for _, labels in case.pairs]) & trial.given) - inputs)
    values = [tape[leaf].value for leaf in leaves]
    if not values or any(value.dtype.kind not in "iuf" for value in values):
        return {}
    flat = np.concatenate([value.reshape(-1) for value in values])
    if not flat.size or flat[0] not in (0, 1) or np.any(flat != flat[0]):
        return {}
    other = np.where(np.arange(flat.size) % 2 == 0, 1 - flat, flat)
    ends = np.cumsum([value.size for value in values])
    parts = np.split(other, ends[:-1])
    return {
        trial.leaves[leaf]: part.reshape(value.shape).astype(value.dtype)
        for leaf, value, part in zip(leaves, values, parts, strict=True)
    }
