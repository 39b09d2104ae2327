"""What can be done at the end of each epoch: stop early, save a checkpoint, anything else."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any, Literal

from nn.io import save
from nn.train.diagnosis import nonfinite_position
from nn.train.run import Run


class Callback:
    """Base of the callbacks: override what is of interest.

    Attributes
    ----------
    stop : bool
        Set it to end the training after this epoch.
    """

    stop: bool = False

    def on_train_begin(self, run: Run) -> None:
        """Begin afresh; a checkpoint, if there is one, is loaded after this."""

    def on_epoch_end(self, run: Run) -> None:
        """Look at ``run.history.last`` and at the model; the schedule has moved on already."""

    def on_train_end(self, run: Run) -> None:
        """Clean up. Called once `on_train_begin` was, also when training ends by an exception or Ctrl-C."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs of this callback."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""


class EarlyStopping(Callback):
    """Stop when a figure no longer improves; the model always ends with its best weights.

    The best weights are put back however training ends: after `patience` epochs without improvement, after the
    last epoch, by an exception or by Ctrl-C.

    Parameters
    ----------
    patience : int
        Epochs in a row without improvement after which training stops.
    monitor : str, optional
        A column of the history; the validation loss, or the training loss without validation data, unless given.
    min_delta : float
        By how much a figure must be better to count as better.
    mode : {"min", "max"}, optional
        Whether smaller or larger is better; unless given, smaller for losses and larger for metrics.

    Attributes
    ----------
    best : float
        The best figure so far.
    best_epoch : int
        The epoch that reached it, from 1; 0 for none.
    """

    def __init__(
        self,
        patience: int = 10,
        monitor: str | None = None,
        min_delta: float = 0.0,
        mode: Literal["min", "max"] | None = None,
    ) -> None:
        if isinstance(patience, bool) or not hasattr(patience, "__index__") or patience < 1:
            raise ValueError(f"EarlyStopping: patience must be an integer of at least 1, got {patience!r}")
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"EarlyStopping: min_delta must be 0 or greater, got {min_delta}")
        if mode not in ("min", "max", None):
            raise ValueError(f'EarlyStopping: mode must be "min" or "max", got {mode!r}')
        self.patience = patience
        self.monitor = monitor
        self.min_delta = min_delta
        self.mode = mode
        self.best = math.nan
        self.best_epoch = 0
        self._waited = 0
        self._weights: dict[str, Any] | None = None

    def on_train_begin(self, run: Run) -> None:
        self.best, self.best_epoch, self._waited, self._weights = math.nan, 0, 0, None
        self.stop = False
        self._column = self.monitor or ("val_loss" if "val_loss" in run.figures else "loss")
        if self._column not in run.figures:
            cure = "; pass validation=(X_val, y_val)" if self._column.startswith("val_") else ""
            raise ValueError(
                f"EarlyStopping watches {self._column!r}, but this run records {', '.join(run.figures)}{cure}"
            )
        smaller = self._column.endswith("loss") if self.mode is None else self.mode == "min"
        self._sign = 1.0 if smaller else -1.0

    def on_epoch_end(self, run: Run) -> None:
        figure = float(run.history.last[self._column])
        if self.best_epoch and not self._sign * figure < self._sign * self.best - self.min_delta:
            self._waited += 1
        elif not math.isnan(figure):
            weights = run.model.state_dict()
            # The figure may come from before this epoch's last update, which may have been the one too large.
            if all(nonfinite_position(array) is None for array in weights.values()):
                self.best, self.best_epoch, self._weights, self._waited = figure, run.epoch, weights, 0
        self.stop = self._waited >= self.patience

    def on_train_end(self, run: Run) -> None:
        if self._weights is not None:
            run.model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "waited": self._waited,
            "weights": self._weights,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best = state["best"]
        self.best_epoch = state["best_epoch"]
        self._waited = state["waited"]
        self._weights = state["weights"]
        self.stop = self._waited >= self.patience


class Checkpoint(Callback):
    """Save all that it takes to go on as if training had not been interrupted: ``fit(..., resume=path)``.

    That is the model, the optimizer, the schedule, the random generators (also those of Dropout), the history and
    the other callbacks. It is written whole or not at all, after the other callbacks have run.

    Parameters
    ----------
    path : path-like
        An `.npz` file, replaced each time.
    every : int
        Epochs between two saves; the last epoch is always saved.
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        if isinstance(every, bool) or not hasattr(every, "__index__") or every < 1:
            raise ValueError(f"Checkpoint: every must be an integer of at least 1, got {every!r}")
        self.path = path
        self.every = every

    def on_epoch_end(self, run: Run) -> None:
        if run.epoch % self.every == 0 or run.ending:
            save(run.state_dict(), self.path)
