"""Pictures of a training run as SVG: the loss by epoch, and where a classifier draws its line."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nn.io.atomic import atomic_write
from nn.train.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: How to get what draws, for messages.
CURE = "pip install 'nablagraph[draw]' brings matplotlib"

_BLUE, _ORANGE, _GREY = "#1f5fa8", "#c8551b", "#666666"


def loss_curve(history: History, path: str | os.PathLike[str], title: str = "Loss") -> None:
    """Draw training and validation loss by epoch, on a logarithmic scale, and mark the best epoch.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    OSError
        The file cannot be written.
    """
    figure, axes = _canvas(7.0, 4.2)
    epochs = history["epoch"]
    lone = "." if len(epochs) == 1 else ""
    axes.plot(epochs, history["loss"], color=_BLUE, label="training", marker=lone)
    best = history.best
    if "val_loss" in history.columns:
        axes.plot(epochs, history["val_loss"], color=_ORANGE, label="validation", marker=lone)
        label = f"least validation loss: {best['val_loss']:.4g} after epoch {best['epoch']}"
        axes.plot(best["epoch"], best["val_loss"], "o", color=_ORANGE, label=label)
        axes.legend(frameon=False)
    else:
        text = f"{history.last['loss']:.3g}"
        axes.annotate(text, (epochs[-1], history.last["loss"]), (-4, 6), textcoords="offset points", ha="right")
    smallest = min(min(history[name]) for name in history.columns if name.endswith("loss"))
    if smallest > 0:
        axes.set_yscale("log")
    axes.set(xlabel="epoch", ylabel="loss", title=title)
    axes.grid(which="major", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def decision_boundary(
    probability: Callable[[Any], Any],
    X: Any,
    y: Any,
    path: str | os.PathLike[str],
    title: str = "Decision boundary",
    names: tuple[str, str] = ("x₁", "x₂"),
) -> None:
    """Draw the predicted probability over the plane, the line where it is one half, and the samples.

    Parameters
    ----------
    probability : callable
        From points of shape (n, 2) to the probability of class 1, n numbers.
    X, y : array
        Samples, of shape (n, 2), and their classes, 0 or 1.
    path : path-like
        What to write, an SVG.
    title, names : str
        Above the picture and at its axes.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    OSError
        The file cannot be written.
    """
    figure, axes = _canvas(5.8, 5.0)
    X, y = np.asarray(X, dtype=float), np.asarray(y).reshape(-1)
    low, high = X.min(axis=0), X.max(axis=0)
    margin = 0.25 * np.where(high > low, high - low, 1.0)
    first, second = (np.linspace(low[i] - margin[i], high[i] + margin[i], 101) for i in (0, 1))
    grid = np.stack(np.meshgrid(first, second), axis=-1)
    p = np.asarray(probability(grid.reshape(-1, 2))).reshape(grid.shape[:2])
    shades = axes.contourf(first, second, p, levels=np.linspace(0, 1, 11), cmap="PuOr_r", alpha=0.75)
    if p.min() < 0.5 < p.max():
        axes.contour(first, second, p, levels=[0.5], colors="black", linewidths=1.4)
    for label, face, marker in ((0, "black", "o"), (1, "white", "s")):
        at = X[y == label]
        axes.scatter(
            at[:, 0],
            at[:, 1],
            s=60,
            c=face,
            marker=marker,
            edgecolors="black",
            label=f"target {label}",
            zorder=3,
        )
    axes.set(xlabel=names[0], ylabel=names[1], title=title)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)
    figure.colorbar(shades, ax=axes, label="predicted probability of 1 (line: 0.5)", ticks=np.linspace(0, 1, 6))
    _save(figure, path)


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty picture of that many inches; without pyplot, so that no window system is touched."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(f"there is no matplotlib here: {CURE}") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    import matplotlib

    picture = io.BytesIO()
    # A fixed salt and no date: the same run gives the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "nablagraph"}):
        figure.savefig(picture, format="svg", metadata={"Date": None})
    with atomic_write(path) as file:
        file.write(picture.getvalue())
