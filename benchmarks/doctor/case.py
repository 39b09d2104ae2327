"""A hand-written net ready to be examined: its call, its parameters in their places, its own loss.

A patient is a file under `patients/`. Its `patient(seed)` says how it is called:

- ``call``, ``args``: the training call; ``single``: arguments that make exactly one update, where `args` make more,
  and ``batch``: what `cost` takes in that one, where it is not the first of `steps`.
- ``slots``: where each parameter lives, as (owner, key), or (owner, key, index) for a list that is rebuilt.
- ``cost``: their own loss at the present parameters; ``steps``: what it takes in each update (default: `args[:2]`).
- ``rate``: the learning rate; ``lr``, ``loss``: what the doctor has to be told.
- ``returned``: how many parameters the call returns instead of keeping them.
- ``expected``: the parameters after the call from the gradient, where that is no plain descent.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

HERE = Path(__file__).parent
PATIENTS = HERE / "patients"
SCRIPT = "script"
_counter = itertools.count()


@dataclass
class Case:
    """One patient from one seed; see the module for the fields."""

    path: Path
    module: ModuleType | None
    call: Callable[..., Any]
    args: tuple[Any, ...]
    slots: list[tuple[Any, ...]]
    cost: Callable[..., Any]
    rate: float
    single: tuple[Any, ...] | None = None
    batch: tuple[Any, ...] | None = None
    steps: list[tuple[Any, ...]] = field(default_factory=list)
    returned: int = 0
    expected: Callable[..., list[Array]] | None = None
    lr: float | None = None
    loss: str | None = None
    namespace: dict[str, Any] | None = None
    state: Any = None

    @contextlib.contextmanager
    def random_state(self) -> Iterator[None]:
        """Give numpy's global generator the state that the patient was left with, and put it back."""
        with _global_random_state():
            np.random.set_state(self.state)
            yield

    def read(self) -> list[Any]:
        """Return a copy of every parameter."""
        return [np.array(_get(slot)) for slot in self.slots]

    def write(self, values: list[Any]) -> None:
        """Put `values` in the parameters' places, as arrays of their own; a number stays a number."""
        for slot, value in zip(self.slots, values, strict=True):
            if type(value) is np.ndarray:  # what the doctor hands over keeps its own type
                value = value.copy() if value.ndim else float(value)
            _set(slot, value)
        if self.returned:
            self.args = (*(_get(slot) for slot in self.slots[: self.returned]), *self.args[self.returned :])

    def randomise(self, seed: int) -> None:
        """Move all parameters to a random point, so that no zero hides a wrong factor."""
        rng = np.random.default_rng(seed)
        values = [rng.normal(scale=0.5, size=v.shape).astype(v.dtype) for v in self.read()]
        self.write(values)

    def after(self, *, single: bool = False) -> list[Any]:
        """Run the training call quietly and return the parameters after it."""
        args = self.single if single and self.single is not None else self.args
        with quiet(), self.random_state():
            result = self.call(*args)
        if self.returned:
            return [np.array(value) for value in result[: self.returned]]
        return self.read()


def names() -> list[str]:
    """Return the patients' names."""
    return sorted(path.stem for path in PATIENTS.glob("*.py"))


def source(name: str) -> str:
    """Return a patient's code."""
    return (PATIENTS / f"{name}.py").read_text(encoding="utf-8")


def load(path: Path, seed: int, *, exact: bool = False) -> Case:
    """Import the patient at `path` afresh and make it from `seed`; `exact` asks for float64 throughout."""
    with _global_random_state(), quiet():
        if path.stem.split("-")[0] == SCRIPT:
            return _script(path, seed)
        name = f"patient_{next(_counter)}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # and it stays there, as anybody's own module does
        spec.loader.exec_module(module)
        make = getattr(module, "exact", None) if exact else None
        facts = (make or module.patient)(seed)
        facts.setdefault("steps", [facts["args"][:2]])
        return Case(path, module, **facts, state=np.random.get_state())


def _script(path: Path, seed: int) -> Case:
    """Run a script up to its training; the call is the rest of it, in the same namespace."""
    text = path.read_text(encoding="utf-8")
    head, _, tail = text.partition("# training\n")
    namespace: dict[str, Any] = {"__name__": "__main__", "__file__": str(path), "SEED": seed}
    exec(compile(head, str(path), "exec"), namespace)
    training: CodeType = compile("\n" * (head.count("\n") + 1) + tail, str(path), "exec")

    def cost(x: Array, y: Array) -> Any:
        hidden = 1 / (1 + np.exp(-(x @ namespace["syn0"])))
        return 0.5 * np.sum((y - 1 / (1 + np.exp(-(hidden @ namespace["syn1"])))) ** 2)

    return Case(
        path, None, lambda: exec(training, namespace), (), [(namespace, "syn0"), (namespace, "syn1")], cost, 1.0,
        steps=[(namespace["X"], namespace["y"])], lr=1.0, namespace=namespace, state=np.random.get_state(),
    )  # fmt: skip


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what the patient prints and numpy's warnings about it."""
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        yield


@contextlib.contextmanager
def _global_random_state() -> Iterator[None]:
    """Let the patient seed numpy's global generator, and put it back."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)


def _get(slot: tuple[Any, ...]) -> Any:
    owner, key, *index = slot
    value = getattr(owner, key) if _is_attribute(owner) else owner[key]
    return value[index[0]] if index else value


def _set(slot: tuple[Any, ...], value: Any) -> None:
    owner, key, *index = slot
    if index:
        _get((owner, key))[index[0]] = value
    elif _is_attribute(owner):
        setattr(owner, key, value)
    else:
        owner[key] = value


def _is_attribute(owner: Any) -> bool:
    return not isinstance(owner, dict | list)
