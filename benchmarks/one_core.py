"""Keep a benchmark on one thread of one core.

Import this module before numpy: thread pools read the environment when they are loaded.
"""

from __future__ import annotations

import os

for _variable in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
):
    os.environ[_variable] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"


def pin(core: int | None = None) -> str:
    """Bind this process to `core` (default: the last one allowed), where the system can, and say so."""
    if not hasattr(os, "sched_setaffinity"):
        return "1 thread, not pinned"
    chosen = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {chosen})
    return f"1 thread, pinned to core {chosen}"
