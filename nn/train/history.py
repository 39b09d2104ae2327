"""What a training run did, epoch by epoch."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn.io.atomic import atomic_write

if TYPE_CHECKING:
    from autodiff.draw.page.recording import Recording

Record = dict[str, Any]


class History:
    """The record of each epoch: its number, losses, metrics, learning rate and seconds.

    ``history["loss"]`` is that column as a list; iterating gives the records.

    Attributes
    ----------
    records : list of dict
        One per epoch: ``epoch`` (from 1), ``loss`` and metrics on the training data as seen while training,
        ``val_loss`` and ``val_...`` after the epoch where there is validation data, ``lr`` (of the first
        group, during the epoch), ``seconds``.
    compiled : bool or str
        Whether the steps were run by a program, see ``fit(compile=...)``; a sentence that says why not, where it was
        tried.
    steps : int
        Updates in each epoch.
    recording : Recording or None
        The pictures that ``fit(record=...)`` took; None without. Neither `save` nor a checkpoint holds them.
    """

    recording: Recording | None = None  # on the class, for histories that were pickled before there were any

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.steps = 0
        self.compiled: bool | str = False

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __getitem__(self, column: str) -> list[Any]:
        columns = self.columns
        if column not in columns:
            known = ", ".join(columns) or "no columns yet"
            raise KeyError(f"the history has no column {column!r}; it has {known}")
        return [record[column] for record in self.records]

    def __repr__(self) -> str:
        if not self.records:
            return "History(0 epochs)"
        figures = ", ".join(f"{key}={value:.6g}" for key, value in self.last.items() if key != "epoch")
        return f"History({len(self)} epochs; last: {figures})"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what is recorded, in order."""
        return tuple(self.records[0]) if self.records else ()

    @property
    def last(self) -> Record:
        """The record of the last epoch."""
        if not self.records:
            raise ValueError("the history is empty: no epoch has ended yet")
        return self.records[-1]

    @property
    def best(self) -> Record:
        """The record with the least validation loss, or training loss without validation data."""
        key = "val_loss" if "val_loss" in self.last else "loss"
        return min(self.records, key=lambda record: record[key])

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the columns by name, each a list with one entry per epoch."""
        return {name: self[name] for name in self.columns}

    def load_dict(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Take over what `to_dict` returned; ValueError when the columns differ in length."""
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"the columns of a history must have one length, got {sorted(lengths)}")
        rows = zip(*columns.values(), strict=True)
        self.records = [dict(zip(columns, row, strict=True)) for row in rows]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dict` as JSON, whole or not at all; a figure that is NaN or infinite becomes null."""
        columns = {
            name: [None if isinstance(v, float) and not math.isfinite(v) else v for v in values]
            for name, values in self.to_dict().items()
        }
        with atomic_write(path) as file:
            # One line a column: long runs stay readable, and small.
            lines = (f"{json.dumps(name)}: {json.dumps(values)}" for name, values in columns.items())
            file.write(("{\n" + ",\n".join(lines) + "\n}\n").encode())

    def html(self, path: str | os.PathLike[str]) -> Path:
        """Write a page on which to go through the pictures of the training, and return its path.

        One file, which loads nothing: open it in a browser.

        Raises
        ------
        ValueError
            No picture was taken.
        OSError
            The file cannot be written.
        """
        if self.recording is None or not len(self.recording):
            raise ValueError(
                "nothing was recorded: fit(..., record=10) takes a picture every 10 epochs, which this page is made of"
            )
        return self.recording.html(path)
