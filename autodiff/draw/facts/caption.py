"""The facts under the title of a picture: loss and entropy, range of the predictions, |∂W| from layer to layer."""

from __future__ import annotations

from autodiff.draw.facts.places import Places
from autodiff.draw.facts.predictions import Prediction
from autodiff.draw.model import Model
from autodiff.draw.snapshot import number

_LONGEST_CHAIN = 8


def caption(places: Places, model: Model, predicted: Prediction | None) -> list[str]:
    """Return the facts, one a line."""
    found = []
    if predicted is not None:
        found.append(
            f"mean cross entropy {number(predicted.mean_loss)} beside {number(predicted.entropy)}, the entropy of the "
            "labels: what always guessing their frequencies costs"
        )
        low, high = float(predicted.p.min()), float(predicted.p.max())
        what = "p" if predicted.p.ndim == 1 else "class probabilities"
        found.append(f"{what} from {number(low)} to {number(high)} over {len(predicted.p):,} samples")
    chain = [use for use in places.weights if use.tensor.grad is not None][::-1]
    if len(chain) > 1:
        half = _LONGEST_CHAIN // 2
        ends = chain if len(chain) <= _LONGEST_CHAIN else [*chain[:half], *chain[1 - half :]]
        shown = [f"{use.label} {number(use.rms)}" for use in ends if use.rms is not None]
        if len(chain) > len(ends):
            shown.insert(half, f"… {len(chain) - len(ends):,} more …")
        found.append(f"|∂W| (rms) from the last layer to the first: {' → '.join(shown)}")
    if not model.has_gradients and places.parameters:
        found.append("no gradient yet: call backward() before drawing to see what flows")
    elif model.has_gradients and places.flow is None:
        found.append("data changed since the forward pass: shown are the gradients that backward() kept")
    return found
