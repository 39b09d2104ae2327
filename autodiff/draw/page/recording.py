"""One computation pictured again and again, as while it is trained."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autodiff.draw.build import build
from autodiff.draw.model import Model, OpNode
from autodiff.tensor import Tensor

#: So many rows and columns are kept of a large array: a hundred pictures take a hundred times the room.
_SAMPLED = 16


@dataclass(frozen=True, slots=True)
class Moment:
    """A picture, and what was measured when it was taken.

    Attributes
    ----------
    model : Model
    epoch : int
    figures : dict of str to float
        As the loss, and a metric.
    probabilities : numpy.ndarray or None
        What the model says on a grid of two inputs, the lowest second input first.
    """

    model: Model
    epoch: int
    figures: dict[str, float]
    probabilities: Any = None


class Recording:
    """Pictures of one computation while it is trained; `html` writes a page on which to go through them.

    Parameters
    ----------
    title : str
        What stands above the page.
    points, labels : array_like, optional
        Samples of two inputs, shape (m, 2), and their labels, shape (m,), for the picture of the decision boundary.
    extent : sequence of 4 floats, optional
        ``(x0, x1, y0, y1)``: where the grid of `add` lies.

    Examples
    --------
    >>> recording = Recording(title="one weight")
    >>> w = Tensor([2.0], requires_grad=True, name="w")
    >>> for epoch in range(3):
    ...     loss = (w * w).sum()
    ...     w.zero_grad()
    ...     loss.backward()
    ...     recording.add(loss, epoch=epoch, figures={"loss": float(loss.data)})
    ...     w.data = w.data - 0.1 * w.grad
    >>> len(recording)
    3
    """

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

    def __repr__(self) -> str:
        return f"<Recording of {len(self)} pictures: .html('page.html') to go through them>"

    def add(self, loss: Tensor, *, epoch: int, figures: Mapping[str, float], probabilities: Any = None) -> None:
        """Take a picture of the graph behind `loss`, whose ``backward()`` has run.

        Raises
        ------
        ValueError
            The computation is another one than before: other ops, or other shapes.
        """
        model = build(loss, sampled=_SAMPLED)
        if self.moments and _form(model) != _form(self.moments[0].model):
            raise ValueError(
                "a recording is of one computation, and this loss was computed by other operations, or of other shapes,"
                " than the first one: begin a new Recording"
            )
        grid = None if probabilities is None else np.array(probabilities, dtype=float)
        self.moments.append(Moment(model, epoch, {key: float(value) for key, value in figures.items()}, grid))

    def html(self, path: str | os.PathLike[str]) -> Path:
        """Write the page: one file that needs no network. Return its path.

        Raises
        ------
        ValueError
            There is no picture yet.
        OSError
            The file cannot be written.
        """
        from autodiff.draw.page.document import training_page
        from autodiff.draw.written import write

        if not self.moments:
            raise ValueError("nothing was recorded: add() takes a picture")
        return write(Path(path), training_page(self))


def _form(model: Model) -> list[Any]:
    """What stays the same from picture to picture of one computation."""
    return [
        (key, node.symbol, node.operands)
        if isinstance(node, OpNode)
        else (key, node.kind, node.value.shape if node.value is not None else None)
        for key, node in model.nodes.items()
    ] + [(edge.source, edge.target) for edge in model.edges]
