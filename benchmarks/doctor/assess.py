"""Put a patient before the doctor, and read from the report what the examination marks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from case import Case, quiet
from fault import Fault
from faults import accepted

DROPPED = "update dropped"


@dataclass(frozen=True)
class Outcome:
    """What the doctor said of one case: its report as a dictionary and as text, or what it raised."""

    report: dict[str, Any] | None
    text: str
    seconds: float
    restored: bool = True

    @property
    def failed(self) -> bool:
        return self.report is None

    @property
    def flagged(self) -> bool:
        """Whether something is called wrong. A doctor that raised has flagged nothing."""
        if self.report is None:
            return False
        wrong = any(parameter["verdict"] == "wrong" for parameter in self.report["parameters"])
        return wrong or bool(self.report["suspects"]) or bool(self.report["causes"])

    @property
    def suspects(self) -> list[int]:
        return [] if self.report is None else list(self.report["suspects"])

    @property
    def causes(self) -> set[str]:
        """The codes named, for all and for single parameters."""
        if self.report is None:
            return set()
        own = {parameter["cause"] for parameter in self.report["parameters"] if parameter.get("cause")}
        return own | set(self.report["causes"])

    @property
    def checked(self) -> float:
        """The share of the parameters found that were compared."""
        verdicts = [] if self.report is None else [p["verdict"] for p in self.report["parameters"]]
        return sum(v != "unchecked" for v in verdicts) / len(verdicts) if verdicts else 0.0

    def located(self, fault: Fault) -> int:
        """Return how many of the fault's things have a line among the suspects."""
        named = {"never_updated"} & self.causes
        kinds = fault.codes if len(fault.codes) == len(fault.culprits) else (fault.kind.split("#")[0],)
        return sum(
            bool(lines & set(self.suspects)) or bool(named and kind in (DROPPED, "never_updated"))
            for lines, kind in zip(fault.culprits, kinds, strict=True)
        )

    def named(self, fault: Fault) -> int:
        """Return how many of the fault's codes are named."""
        return sum(bool(accepted(code) & self.causes) for code in fault.codes)


def examine(case: Case) -> Outcome:
    """Examine a case as its owner would, without a change to it."""
    from autodiff import doctor

    told: dict[str, Any] = {key: value for key, value in (("lr", case.lr), ("loss", case.loss)) if value is not None}
    before = frozen((case.args, getattr(case.call, "__self__", None), [slot[0] for slot in case.slots]))
    begin = time.perf_counter()
    text, found, restored = "", None, True
    with case.random_state():
        state = frozen(np.random.get_state())
        try:
            with quiet():
                if case.namespace is not None:
                    watched = doctor.watch(params=case.namespace, **told)
                    try:
                        with watched:
                            case.call()
                    except Exception:
                        if not watched.report.findings:  # else it is the patient's own
                            raise
                    report = watched.report
                else:
                    report = doctor.examine(case.call, *case.args, **told)
                seconds = time.perf_counter() - begin
                found, text = report.to_dict(), str(report)
        except Exception as error:
            seconds = time.perf_counter() - begin
            text = f"{type(error).__name__}: {error}"
        restored = frozen(np.random.get_state()) == state
    after = frozen((case.args, getattr(case.call, "__self__", None), [slot[0] for slot in case.slots]))
    return Outcome(found, text, seconds, restored and (case.namespace is not None or before == after))


def check_gradients(case: Case) -> Outcome:
    """Let the doctor compare one update's gradients with the loss, given as a function of a dictionary."""
    from autodiff import doctor

    before = case.read()
    after = case.after(single=True)
    case.write(before)
    names = [f"p{i}" for i in range(len(before))]
    params = dict(zip(names, before, strict=True))
    moves = zip(before, after, strict=True)
    grads = {name: (b - a) / case.rate for name, (b, a) in zip(names, moves, strict=True)}
    batch = case.batch or case.steps[0]

    def loss_fn(params: dict[str, Any]) -> Any:
        case.write([params[name] for name in names])
        return case.cost(*batch)

    begin = time.perf_counter()
    try:
        with quiet():
            report = doctor.check_gradients(loss_fn, params, grads)
        return Outcome(report.to_dict(), str(report), time.perf_counter() - begin)
    except Exception as error:
        return Outcome(None, f"{type(error).__name__}: {error}", time.perf_counter() - begin)
    finally:
        case.write(before)


def frozen(thing: Any, depth: int = 6) -> Any:
    """Return what can be compared of an object, down to the bytes of its arrays."""
    if isinstance(thing, np.ndarray):
        return (str(thing.dtype), thing.shape, thing.tobytes())
    if depth == 0 or isinstance(thing, type | ModuleType) or callable(thing):
        return type(thing).__name__
    if isinstance(thing, dict):
        own = {k: v for k, v in thing.items() if not (isinstance(k, str) and k.startswith("__"))}
        return {str(key): frozen(value, depth - 1) for key, value in own.items()}
    if isinstance(thing, list | tuple):
        return [frozen(value, depth - 1) for value in thing]
    if hasattr(thing, "__dict__"):
        return (type(thing).__name__, frozen(vars(thing), depth - 1))
    return repr(thing)
