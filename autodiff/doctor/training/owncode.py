"""Train by a person's own code: from another start, on other samples, at another rate."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff.doctor.patient import Patient, Place
from autodiff.doctor.training.recorded import Recorded, Setting
from autodiff.doctor.training.starts import Values, fresh, like
from autodiff.doctor.trial import silence
from autodiff.doctor.updates import Parameter

#: Numbers that are tried as a learning rate at most.
_TRIED = 12


class OwnCode:
    """Runs a training call over and over, each time from parameters that are put in its way.

    Parameters
    ----------
    patient : Patient
        What the call reaches.
    found : list of Parameter
    recorded : Recorded
        Its step, by which the outcome is judged.

    Attributes
    ----------
    possible : bool
        Whether all parameters are there before the call, so that others can be put in their place.
    """

    def __init__(self, patient: Patient, found: list[Parameter], recorded: Recorded) -> None:
        self._patient, self._recorded = patient, recorded
        self._paths = {p.path for p in found}
        places = {place.path for place in patient.places if isinstance(place.array, np.ndarray)}
        self.possible = self._paths <= places and self._counts() is not None
        self._seconds = 0.0
        self._rate: Callable[[float], Any] | None = None
        if self.possible:
            self._time_it()

    def _time_it(self) -> None:
        """Find out how long a training takes; it may raise, and is not possible then."""
        begun, short = time.monotonic(), min(self._recorded.epochs, 10)
        try:
            self._run({}, None, short)
        except Exception:  # their code may raise anything
            self.possible = False
            return
        self._seconds = (time.monotonic() - begun) * self._recorded.epochs / short
        self._rate = self._find_rate()

    def trained(self, setting: Setting, seed: int, end: float) -> Values | None:
        """Return the parameters after training; None where the time would be up."""
        if time.monotonic() + self._seconds > end:
            return None
        recorded, rng = self._recorded, np.random.default_rng(seed)
        if setting.start == "own":
            drawn: Values = {}
        elif setting.start == "theirs":
            drawn = like(recorded.present, rng)
        else:
            drawn = fresh({p: v.shape for p, v in recorded.present.items()}, recorded.weights, recorded.gain, rng)
        return self._run(drawn, setting, recorded.epochs)

    def learns(self, setting: Setting, seed: int, end: float) -> bool | None:
        """Train once; None where the time was up at `end`."""
        if setting.rate != 1.0 and self._rate is None:
            return False
        try:
            values = self.trained(setting, seed, end)
            return None if values is None else self._recorded.has_learned(values, setting)
        except Exception:  # their code may raise anything
            return False

    def _run(self, drawn: Values, setting: Setting | None, epochs: int, number: Any = None) -> Values:
        patient, samples = self._patient, self._samples(setting)

        with patient.restored(), silence():
            for place in patient.places:
                if not isinstance(place.array, np.ndarray):
                    continue
                if place.path in drawn:
                    place.array[...] = drawn[place.path]
                for before, after in samples:
                    if place.array.shape == before.shape and np.array_equal(place.array, before):
                        place.put(after.copy())
            args, kwargs = list(patient.args), dict(patient.kwargs)
            self._set_epochs(args, kwargs, epochs)
            if number is not None:
                number(args, kwargs)
            elif setting is not None and setting.rate != 1.0 and self._rate is not None:
                self._rate(setting.rate)(args, kwargs)
            patient.function(*args, **kwargs)
            now = patient.current()
            return {path: np.array(now[path], dtype=float) for path in self._paths}

    def _samples(self, setting: Setting | None) -> list[tuple[Any, Any]]:
        recorded = self._recorded
        if setting is None or recorded.feeds is None or not (setting.scaled or setting.balanced):
            return []
        return list(zip(recorded.feeds.full(), recorded.samples(setting), strict=True))

    def _counts(self) -> int | str | None:
        """Where the number of epochs stands: a position, a name, or None."""
        held: list[tuple[int, int | str]] = [(v, i) for i, v in enumerate(self._patient.args) if type(v) is int]
        held += [(v, k) for k, v in self._patient.kwargs.items() if type(v) is int]
        return max(held, key=lambda entry: entry[0])[1] if held else None

    def _set_epochs(self, args: list[Any], kwargs: dict[str, Any], epochs: int) -> None:
        where = self._counts()
        if isinstance(where, int):
            args[where] = epochs
        elif where is not None:
            kwargs[where] = epochs

    def _find_rate(self) -> Callable[[float], Any] | None:
        """Find the number that is the learning rate: the one with which the first update doubles."""
        before = self._recorded.present
        try:
            first = self._run({}, None, 1)
            for change in self._numbers()[:_TRIED]:
                second = self._run({}, None, 1, change(2.0))
                if all(
                    np.allclose(second[p] - before[p], 2 * (first[p] - before[p]), rtol=1e-3, atol=1e-9)
                    and np.any(first[p] != before[p])
                    for p in self._paths
                ):
                    return change
        except Exception:  # their code may raise anything
            return None
        return None

    def _numbers(self) -> list[Callable[[float], Any]]:
        """Every number that the call may take a learning rate from, as what multiplies it by a factor."""
        patient = self._patient
        found: list[Callable[[float], Any]] = []

        def argument(where: Any, value: float) -> Callable[[float], Any]:
            def change(factor: float) -> Any:
                def put(args: list[Any], kwargs: dict[str, Any]) -> None:
                    if isinstance(where, int):
                        args[where] = factor * value
                    else:
                        kwargs[where] = factor * value

                return put

            return change

        def place(at: Place) -> Callable[[float], Any]:
            return lambda factor: lambda args, kwargs: at.put(factor * at.array)

        found += [argument(i, v) for i, v in enumerate(patient.args) if isinstance(v, float)]
        found += [argument(k, v) for k, v in patient.kwargs.items() if isinstance(v, float)]
        try:
            defaults = list(inspect.signature(patient.function).parameters.values())
        except (TypeError, ValueError):
            defaults = []
        given = len(patient.args)
        found += [
            argument(p.name, p.default)
            for p in defaults[given:]
            if isinstance(p.default, float) and p.name not in patient.kwargs
        ]
        found += [place(at) for at in patient.numbers.values()]
        return found
