"""A trained two-class network together with what it needs to be applied to a new table."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autodiff.ops.activations import sigmoid
from autodiff.state import no_grad
from nn.data import Standardizer
from nn.io import load, save
from nn.layers import MLP

KIND = "nablagraph classifier 1"
#: Rows that go through the network at a time.
_ROWS = 4096


@dataclass
class Classifier:
    """An MLP with one logit, and the columns, statistics and labels that it was trained with.

    Attributes
    ----------
    features : tuple of str
        The columns it takes, in order.
    target : str
        The column that it predicts.
    labels : tuple of str
        What the target holds for 0 and for 1.
    hidden : tuple of int
        Widths of the hidden layers.
    activation : str
        After each of them.
    standardizer : Standardizer
        Fitted to the training part.
    model : MLP
        From standardised features to a logit.
    """

    features: tuple[str, ...]
    target: str
    labels: tuple[str, str]
    hidden: tuple[int, ...]
    activation: str
    standardizer: Standardizer
    model: MLP

    def probabilities(self, Z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of ``labels[1]`` for each row of standardised features, (rows, features)."""
        self.model.eval()
        with no_grad():
            parts = [self.model(Z[start : start + _ROWS]).data[:, 0] for start in range(0, len(Z), _ROWS)]
        return np.asarray(sigmoid(np.concatenate(parts)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one `.npz` file, whole or not at all."""
        state = {
            "kind": KIND,
            "features": list(self.features),
            "target": self.target,
            "labels": list(self.labels),
            "hidden": list(self.hidden),
            "activation": self.activation,
            "standardizer": self.standardizer.state_dict(),
            "model": self.model.state_dict(),
        }
        save(state, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Classifier:
        """Read back what `save` wrote.

        Raises
        ------
        OSError
            The file cannot be read.
        ValueError
            It is damaged, or holds something else.
        """
        state = load(path)
        if not isinstance(state, dict) or state.get("kind") != KIND:
            raise ValueError(
                f"{os.fspath(path)} holds a state, but not a classifier: `python -m nn fit` saves one as model.npz"
            )
        try:
            return _restore(cls, state)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the classifier in {os.fspath(path)} is damaged: {error}") from None


def _restore(cls: type[Classifier], state: dict[str, Any]) -> Classifier:
    names = [*state["features"], state["target"], *state["labels"], state["activation"]]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("features, target, labels and activation must be text")
    negative, positive = state["labels"]
    widths = [len(state["features"]), *state["hidden"], 1]
    arrays = state["model"]
    # A file may name any widths; those of arrays that it really holds cannot exhaust the memory.
    shapes = [array.shape for name, array in arrays.items() if name.endswith("weight")]
    if shapes != [(after, before) for before, after in pairwise(widths)]:
        raise ValueError(f"layers of {widths} do not fit weights of shapes {shapes}")
    model = MLP(widths, activation=state["activation"], seed=0)
    model.load_state_dict(arrays)
    standardizer = Standardizer()
    standardizer.load_state_dict(state["standardizer"])
    if len(standardizer.mean) != widths[0]:
        raise ValueError(f"{widths[0]} features, but means of {len(standardizer.mean)}")
    return cls(
        tuple(state["features"]),
        state["target"],
        (negative, positive),
        tuple(state["hidden"]),
        state["activation"],
        standardizer,
        model.eval(),
    )
