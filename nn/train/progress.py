"""What a person sees while a model trains: a live bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import os
import shutil
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

    def note(self, text: str) -> None:
        """Say something that a person should know."""

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

    #: Seconds between two redrawings; one for each of thousands of epochs would cost more than training a small model.
    interval = 0.1

    def __init__(self, epochs: int, steps: int, done: int = 0, file: TextIO | None = None) -> None:
        super().__init__(epochs, steps, done)
        from tqdm import tqdm

        file = file or sys.stderr
        shape: dict[str, Any] = {"dynamic_ncols": True}
        if not _knows_its_size(file):
            shape = dict(zip(("ncols", "nrows"), shutil.get_terminal_size(), strict=True))
        self._bar = tqdm(
            total=epochs * steps,
            initial=done * steps,
            desc=f"epoch {done + 1}/{epochs}",
            unit=" steps",
            unit_scale=True,
            # The figures fit into 80 columns; on a wider terminal the bar takes what is left.
            bar_format="{desc} |{bar}| {rate_fmt}, {remaining} left{postfix}",
            file=file,
            mininterval=0.0,
            miniters=1,
            **shape,
        )
        self._pending = 0
        self._record: dict[str, Any] | None = None
        self._shown = time.perf_counter()

    def step(self) -> None:
        self._pending += 1
        if time.perf_counter() - self._shown >= self.interval:
            self._draw(0 if self._record is None else min(self._record["epoch"], self.epochs - 1))

    def epoch(self, record: dict[str, Any]) -> None:
        self._record = record

    def note(self, text: str) -> None:
        self._bar.write(text, file=self._bar.fp)

    def close(self, record: dict[str, Any] | None) -> None:
        if record is not None:
            self._record = record
            self._draw(record["epoch"] - 1)
        self._bar.close()

    def _draw(self, ended: int) -> None:
        """Show the figures of the last epoch that ended, and the number of the one after `ended`."""
        self._shown = time.perf_counter()
        self._bar.set_description_str(f"epoch {max(ended, self.done) + 1}/{self.epochs}", refresh=False)
        if self._record is not None:
            self._bar.set_postfix_str(_figures(self._record, "="), refresh=False)
        self._bar.update(self._pending)
        self._pending = 0


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

    def note(self, text: str) -> None:
        print(text, file=self._file or sys.stdout, flush=True)

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


def _knows_its_size(stream: TextIO) -> bool:
    """Whether tqdm may ask the terminal; from one that says 0 × 0, as in some containers, it would draw nothing."""
    try:
        return min(os.get_terminal_size(stream.fileno())) > 0
    except (AttributeError, OSError, ValueError):
        return False


def _terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # no stream, or a closed one
        return False
