"""The scale of the colours of gradients."""

from __future__ import annotations

import math

from autodiff.draw.model import Model, TensorNode
from autodiff.draw.picture.look import STEPS


def scale(model: Model) -> tuple[float | None, float]:
    """Return the largest gradient in the picture, and how many powers of ten one step of the colours is to cover.

    The gradient of the loss itself is 1 by definition and does not count.
    """
    sizes = [
        snapshot.rms
        for node in model.nodes.values()
        if isinstance(node, TensorNode) and node is not model.root
        for snapshot in (node.grad, node.last_grad)
        if snapshot is not None and snapshot.rms and math.isfinite(snapshot.rms)
    ]
    return (max(sizes), steps_of_ten(sizes)) if sizes else (None, 1.0)


def steps_of_ten(sizes: list[float]) -> float:
    """Return how many powers of ten one step of the colours is to cover, for gradients of these sizes."""
    span = math.log10(max(sizes)) - math.log10(min(sizes)) if sizes else 0.0
    return next((d for d in (0.5, 1.0, 2.0, 5.0, 10.0, 20.0) if span <= d * STEPS), 50.0)
