"""No test may leave a trace: what it changed for the whole process, it puts back."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")  # before anybody imports matplotlib

import nn  # noqa: F401  (its losses are ops: importing it late would look like a test declaring them)
from autodiff.op import handlers, registry
from autodiff.state import current_scope, is_grad_enabled, watchers, watching

# pytest's own, and what scikit-learn and PyTorch set when they are first imported.
_NOT_OURS = ("PYTEST_", "KMP_", "TORCHINDUCTOR_")


def global_state() -> dict[str, Any]:
    """Return everything process-wide that a test could leave changed."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "grad mode": is_grad_enabled(),
        "scope": current_scope(),
        "watchers": (watchers.get(), list(watching)),
        "np.geterr": np.geterr(),
        "np.get_printoptions": np.get_printoptions(),
        "np.random's global state": (kind, keys.tobytes(), *rest),
        "recursion limit": sys.getrecursionlimit(),
        "op registry": dict(registry),
        "numpy handlers": dict(handlers),
        "working directory": os.getcwd(),
        "environment": {key: value for key, value in os.environ.items() if not key.startswith(_NOT_OURS)},
    }


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """Fail the test that changed global state and did not put it back."""
    before = global_state()
    yield
    after = global_state()
    leaked = [what for what in before if before[what] != after[what]]
    assert not leaked, f"the test changed and did not restore: {', '.join(leaked)}"


@pytest.fixture
def own_ops(nothing_leaks: None) -> Iterator[None]:
    """Let a test declare ops; they are forgotten after it."""
    ops, functions = dict(registry), dict(handlers)
    yield
    for table, old in ((registry, ops), (handlers, functions)):
        table.clear()
        table.update(old)  # type: ignore[arg-type]
