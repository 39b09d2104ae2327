"""Watch a training step in a person's own script: ``with doctor.watch(params=...) as w:``."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from autodiff.doctor import refusals
from autodiff.doctor.creators import patched
from autodiff.doctor.examine import judged
from autodiff.doctor.names import Names, naming
from autodiff.doctor.patient import Patient, exchange
from autodiff.doctor.probe import Probe, node_of, probe, recording
from autodiff.doctor.report import Report
from autodiff.doctor.steps import cases
from autodiff.doctor.tape import Line, Tape
from autodiff.doctor.trial import Trial, where_raised
from autodiff.doctor.updates import trained


class watch:
    """Record the training step inside a ``with`` block; ``w.report`` says afterwards what is wrong with it.

    The step is a real one: what it changes stays changed. Every array that the block's names lead to is watched.

    Parameters
    ----------
    params : dict or list of array, or an object that holds them, optional
        The parameters. All arrays that the block updates unless given.
    loss, lr
        As for `examine`.

    Attributes
    ----------
    report : Report

    Examples
    --------
    >>> w, x, y = np.array([0.5]), np.array([2.0, 1.0]), np.array([1.0, 0.0])
    >>> with watch(params={"w": w}) as seen:
    ...     e = w * x - y
    ...     loss = np.sum(e**2)
    ...     w -= 0.1 * np.sum(2 * e * x)
    >>> seen.report.summary
    'The gradient is right.'
    """

    def __init__(self, params: Any = None, loss: str | None = None, lr: float | None = None) -> None:
        self.params, self.loss, self.lr = params, loss, lr
        self._report: Report | None = None
        self._frame: FrameType | None = None

    def __enter__(self) -> watch:
        self._frame = sys._getframe(1)
        held = self._frame.f_locals
        wanted = _arrays(self.params)
        if self.params is not None and not wanted:
            self._frame = None
            raise TypeError(f"params are arrays, or what holds them, got {type(self.params).__name__} without any")
        self._spaces = [held, self._frame.f_globals]
        if isinstance(self.params, dict):
            ids = {id(array) for array in wanted}
            mine = [space for space in self._spaces if any(id(value) in ids for value in space.values())]
            self._spaces = [self.params, *mine]
        self._patient = Patient.of_names(*self._spaces)
        if wanted and not any(place.array is array for place in self._patient.places for array in wanted):
            raise ValueError("watch() found none of the params under a name in this function or module")
        self._tape = Tape(200_000)
        self._trial = Trial(self._tape, Names())
        self._wanted = wanted
        self._open = contextlib.ExitStack()
        self._open.enter_context(recording(self._tape))

        def instead(place: Any) -> Probe:
            seen = probe(place.array)
            assert seen.node is not None
            self._trial.leaves[seen.node] = place.path
            return seen

        self._originals = {place.path: place.array for place in self._patient.places}
        exchange(self._patient.places, instead)
        _settle(self._frame, held)
        made: list[int] = []
        self._made = made
        self._where: list[tuple[Line, ...]] = []
        self._open.enter_context(patched(None, made, self._where))
        self._open.enter_context(naming(self._trial.names, self._tape, self._frame))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        trial = self._trial
        if error is not None:
            trial.error = error
            trial.where, trial.locals = where_raised(error)
        assert self._frame is not None
        held = self._frame.f_locals
        after = Patient.of_names(*self._spaces)
        for place in after.places:
            if isinstance(place.array, np.ndarray):
                node = node_of(place.array)
                if node is not None:
                    trial.finals[place.path] = node
        trial.made = {node: i for i, node in enumerate(self._made)}
        trial.made_at = dict(zip(self._made, self._where, strict=True))
        self._open.close()
        for place in after.places:
            if isinstance(place.array, Probe):
                old = self._originals.get(place.path)
                same = (
                    isinstance(old, np.ndarray)
                    and np.shares_memory(old, place.array)
                    and old.shape == place.array.shape
                )
                place.put(old if same else place.array.view(np.ndarray))
        _settle(self._frame, held)
        self._frame = None

    @property
    def report(self) -> Report:
        """What was found, once the block has ended."""
        if not hasattr(self, "_trial") or self._frame is not None:
            raise RuntimeError("the report is there once the with block has ended")
        if self._report is None:
            with np.errstate(all="ignore"):
                self._report = self._judge()
        return self._report

    def _judge(self) -> Report:
        if self._trial.error is not None:
            return refusals.raised(self._trial)
        try:
            return self._examined()
        except Exception as error:
            return refusals.unchecked([], f"the analysis ended with {type(error).__name__}: {error}")

    def _examined(self) -> Report:
        found = trained(self._trial)
        if self._wanted:
            paths = {p for p, a in self._originals.items() if any(a is array for array in self._wanted)}
            found = [p for p in found if p.path in paths] or found
        if not found:
            return Report("The block updated no array: no array became itself plus or minus something.")
        first: Report | None = None
        for case in cases(self._trial, found, self.loss, self.lr):
            current = judged(case, self.lr)
            if first is None or current.findings:
                first = current
            if current.findings:
                break
        assert first is not None
        return first


def _arrays(params: Any, depth: int = 0) -> list[Any]:
    if isinstance(params, np.ndarray):
        return [params]
    if params is None or depth > 4 or isinstance(params, (type, type(sys), str)):
        return []
    items: Any = ()
    if isinstance(params, dict):
        items = [item for key, item in params.items() if not str(key).startswith("__")]
    elif isinstance(params, (list, tuple)):
        items = params
    elif not callable(params):
        items = list(getattr(params, "__dict__", {}).values())
    return [array for item in items for array in _arrays(item, depth + 1)]


def _settle(frame: FrameType, held: Any) -> None:
    """Make a function's own variables follow its dictionary of names."""
    if frame.f_code.co_flags & 1 and sys.version_info < (3, 13):  # its names are fast locals
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))
    del held
