"""One computation pictured again and again, as while it is trained."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autodiff.draw.build import build
from autodiff.draw.model import Model
from autodiff.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Moment:
    """A picture, and what was measured when it was taken."""

    model: Model
    epoch: int
    figures: dict[str, float]
    probabilities: Any = None


class Recording:
    """Pictures of one computation while it is trained."""

    def __init__(
        self, *, title: str = "", points: Any = None, labels: Any = None, extent: Sequence[float] | None = None
    ) -> None:
        self.title = title
        self.points = None if points is None else np.asarray(points, dtype=float)
        self.labels = None if labels is None else np.asarray(labels, dtype=float).reshape(-1)
        self.extent = None if extent is None else tuple(float(x) for x in extent)
        self.moments: list[Moment] = []

    def __len__(self) -> int:
        return len(self.moments)

    def add(self, loss: Tensor, *, epoch: int, figures: Mapping[str, float], probabilities: Any = None) -> None:
        """Take a picture of the graph behind `loss`, whose ``backward()`` has run."""
        grid = None if probabilities is None else np.array(probabilities, dtype=float)
        self.moments.append(Moment(build(loss), epoch, {key: float(value) for key, value in figures.items()}, grid))

    def html(self, path: str | os.PathLike[str]) -> Path:
        """Write the page."""
        Path(path).write_text("<!doctype html>\n", encoding="utf-8")
        return Path(path)
