"""What a person sees while a model trains: a live bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, Literal, TextIO

#: How many lines a run prints when its output is not a terminal.
LINES = 10


class Progress:
    """Shows nothing; base of what shows something.

    Parameters
    ----------
    epochs : int
        Epochs of the whole run.
    steps : int
        Batches in an epoch.
    done : int
        Epochs that an earlier run did.
    """

    def __init__(self, epochs: int, steps: int, done: int = 0) -> None:
        self.epochs = epochs
        self.steps = steps
        self.done = done

    def step(self) -> None:
        """Note that a batch was trained on."""

    def epoch(self, record: dict[str, Any]) -> None:
        """Note that an epoch ended with this record."""

    def close(self, record: dict[str, Any] | None) -> None:
        """Note that training ended, after the epoch with this record."""


def progress(show: bool | Literal["auto"], epochs: int, steps: int, done: int = 0) -> Progress:
    """Choose how to show the progress of a run.

    Parameters
    ----------
    show : bool or "auto"
        False: not at all. True: a live bar. "auto": a bar when both standard streams are terminals, otherwise
        about ten plain lines on standard output.
    epochs, steps, done : int
        See `Progress`.
    """
    if show not in (True, False, "auto"):
        raise ValueError(f'progress must be True, False or "auto", got {show!r}')
    if show is False or epochs <= done:
        return Progress(epochs, steps, done)
    if show is True or (_terminal(sys.stdout) and _terminal(sys.stderr)):
        return Bar(epochs, steps, done)
    return Lines(epochs, steps, done)


class Bar(Progress):
    """A tqdm bar over all batches, with epoch, losses, metrics, steps per second and the time left."""

    #: Seconds between two changes of the figures; formatting them for each of thousands of epochs would cost more
    #: than training a small model.
    interval = 0.1

    def __init__(self, epochs: int, steps: int, done: int = 0, file: TextIO | None = None) -> None:
        super().__init__(epochs, steps, done)
        from tqdm import tqdm

        self._bar = tqdm(
            total=epochs * steps,
            initial=done * steps,
            desc=f"epoch {done + 1}/{epochs}",
            unit=" steps",
            file=file or sys.stderr,
            dynamic_ncols=True,
            mininterval=self.interval,
        )
        self._shown = 0.0

    def step(self) -> None:
        self._bar.update()

    def epoch(self, record: dict[str, Any]) -> None:
        now = time.perf_counter()
        if now - self._shown >= self.interval:
            self._shown = now
            self._describe(record)

    def close(self, record: dict[str, Any] | None) -> None:
        if record is not None:
            self._describe(record)
        self._bar.close()

    def _describe(self, record: dict[str, Any]) -> None:
        self._bar.set_description_str(f"epoch {record['epoch']}/{self.epochs}", refresh=False)
        self._bar.set_postfix_str(_figures(record, "="), refresh=False)


class Lines(Progress):
    """About ten lines for the whole run."""

    def __init__(self, epochs: int, steps: int, done: int = 0, file: TextIO | None = None) -> None:
        super().__init__(epochs, steps, done)
        self._file = file
        todo = epochs - done
        self._marks = {done + 1} | {done + todo * i // LINES for i in range(1, LINES + 1)}
        self._started = time.perf_counter()
        self._printed = 0

    def epoch(self, record: dict[str, Any]) -> None:
        if record["epoch"] in self._marks:
            self._print(record)

    def close(self, record: dict[str, Any] | None) -> None:
        if record is not None and record["epoch"] > max(self._printed, self.done):
            self._print(record)

    def _print(self, record: dict[str, Any]) -> None:
        epoch = record["epoch"]
        seconds = time.perf_counter() - self._started
        rate = (epoch - self.done) * self.steps / max(seconds, 1e-9)
        left = seconds / (epoch - self.done) * (self.epochs - epoch)
        width = len(str(self.epochs))
        print(
            f"epoch {epoch:{width}}/{self.epochs}  {_figures(record, ' ')}  {rate:,.0f} steps/s  {_clock(left)} left",
            file=self._file or sys.stdout,
            flush=True,
        )
        self._printed = epoch


def _figures(record: dict[str, Any], between: str) -> str:
    """Name the losses and metrics of a record, in a width that changes little from epoch to epoch."""
    hidden = ("epoch", "lr", "seconds")
    return "  ".join(f"{key}{between}{value:#.4g}" for key, value in record.items() if key not in hidden)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # no stream, or a closed one
        return False
