"""A random generator under recording: each draw is asked of the same generator again in every run."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from autodiff.compile.record.recorded import Recorded, refuse
from autodiff.compile.record.recorder import Recorder


class RecordedGenerator(np.random.Generator):
    """Draws from `generator`, and has the program draw in the same order."""

    def __init__(self, recorder: Recorder, generator: np.random.Generator) -> None:
        super().__init__(generator.bit_generator)  # which both share, so that there is one stream
        self._recorder = recorder
        self._generator = generator

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name in ("bit_generator", "spawn"):
            return super().__getattribute__(name)
        if name == "shuffle":
            refuse("shuffles an array in place", "write x = rng.permutation(x)")
        return partial(self._drawn, name)

    def _drawn(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Recorded) for x in (*args, *kwargs.values())):
            refuse(f"draws rng.{name}() with a parameter that it computes", "draw standard numbers and scale them")
        method = getattr(self._generator, name)
        if not self._recorder.open:
            return method(*args, **kwargs)
        return self._recorder.draw(partial(method, *args, **kwargs), f"rng.{name}")
