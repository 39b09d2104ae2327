"""The state of a training run: all that its next epoch depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nn.module import Module
from nn.optim.optimizer import Optimizer
from nn.optim.schedules import Schedule
from nn.train.history import History

if TYPE_CHECKING:
    from nn.train.callbacks import Callback

_KEYS = {"model", "optimizer", "schedule", "rng", "generators", "history", "callbacks"}


class Run:
    """What `fit` is doing; callbacks are given it.

    Attributes
    ----------
    model, optimizer, schedule, rng
        As passed to `fit`; `schedule` and `rng` may be None.
    epochs : int
        The epoch after which the run ends.
    figures : tuple of str
        The losses and metrics that each record of the history will hold.
    history : History
        The epochs so far.
    callbacks : sequence of Callback
        All of them.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        schedule: Schedule | None,
        rng: np.random.Generator | None,
        epochs: int,
        figures: tuple[str, ...],
        callbacks: Sequence[Callback],
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.rng = rng
        self.epochs = epochs
        self.figures = figures
        self.callbacks = callbacks
        self.history = History()

    @property
    def epoch(self) -> int:
        """Epochs that have ended, those of earlier runs included."""
        return len(self.history)

    @property
    def ending(self) -> bool:
        """Whether no further epoch will follow."""
        return self.epoch >= self.epochs or any(callback.stop for callback in self.callbacks)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next epoch depends on, as `nn.save` takes it."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "rng": None if self.rng is None else self.rng.bit_generator.state,
            "generators": {name: g.bit_generator.state for name, g in self._generators().items()},
            "history": {name: np.array(column) for name, column in self.history.to_dict().items()},
            "callbacks": [[type(c).__name__, c.state_dict()] for c in self.callbacks],
        }

    def load_state_dict(self, state: Any) -> None:
        """Take over what `state_dict` returned.

        A callback takes over the state of one of its own kind and begins afresh where there is none.

        Raises
        ------
        ValueError
            It does not fit this run. Nothing is changed then.
        """
        if not isinstance(state, Mapping) or set(state) != _KEYS:
            raise ValueError("this is no checkpoint of a training run: nn.train.Checkpoint writes one")
        for name in ("schedule", "rng"):
            if (state[name] is None) != (getattr(self, name) is None):
                had, has = ("no", "a") if state[name] is None else ("a", "no")
                what = "schedule" if name == "schedule" else "generator for shuffling"
                raise ValueError(f"the checkpoint was made with {had} {what}, this run has {has} one")
        before = self.state_dict()
        try:
            self._take(state)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self._take(before)
            raise ValueError(f"the checkpoint does not fit this run: {error}") from error

    def _take(self, state: Mapping[str, Any]) -> None:
        generators = self._generators()
        if set(state["generators"]) != set(generators):
            raise ValueError(
                f"it has random generators at {sorted(state['generators'])}, the model at {sorted(generators)}"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        if self.rng is not None:
            self.rng.bit_generator.state = state["rng"]
        for name, generator in generators.items():
            generator.bit_generator.state = state["generators"][name]
        self.history.load_dict({name: column.tolist() for name, column in state["history"].items()})
        saved = list(state["callbacks"])
        for callback in self.callbacks:
            kinds = [kind for kind, _ in saved]
            if type(callback).__name__ in kinds:
                callback.load_state_dict(saved.pop(kinds.index(type(callback).__name__))[1])

    def _generators(self) -> dict[str, np.random.Generator]:
        """The generators that layers such as Dropout draw from, by the name of the attribute that holds them."""
        return {
            f"{name}.{key}": value
            for name, module in self.model.named_modules()
            for key, value in vars(module).items()
            if isinstance(value, np.random.Generator)
        }
