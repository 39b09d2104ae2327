"""The losses as modules: ``loss(pred, target, weight=None)``."""

from __future__ import annotations

from typing import Any

from nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits, cross_entropy, mse_loss
from nn.module import Module


class _Loss(Module):
    """What the losses share: a reduction, ``"mean"``, ``"sum"`` or ``"none"``."""

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f'reduction must be "mean", "sum" or "none", got {reduction!r}')
        self.reduction = reduction

    def extra_repr(self) -> str:
        """Return the reduction, unless it is the mean."""
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class MSELoss(_Loss):
    """Mean squared error; see `nn.functional.mse_loss`."""

    def forward(self, pred: Any, target: Any, weight: Any = None) -> Any:
        """Compare `pred` with `target`, of one shape; `weight` has that shape or one number per sample."""
        return mse_loss(pred, target, weight, reduction=self.reduction)


class BCELoss(_Loss):
    """Binary cross entropy of probabilities; see `nn.functional.binary_cross_entropy`.

    From logits `BCEWithLogitsLoss` is more accurate and faster.
    """

    def forward(self, pred: Any, target: Any, weight: Any = None) -> Any:
        """Compare probabilities with targets, of one shape; `weight` has that shape or one number per sample."""
        return binary_cross_entropy(pred, target, weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Binary cross entropy of σ(logits); see `nn.functional.binary_cross_entropy_with_logits`.

    Parameters
    ----------
    pos_weight : array_like, optional
        Factor of the positive class: a number, or one per class (last axis). It is saved with the state, as in PyTorch.
    reduction : {"mean", "sum", "none"}
    """

    def __init__(self, pos_weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.pos_weight: Any
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, pred: Any, target: Any, weight: Any = None) -> Any:
        """Compare logits with targets, of one shape; `weight` has that shape or one number per sample."""
        return binary_cross_entropy_with_logits(
            pred, target, weight, pos_weight=self.pos_weight, reduction=self.reduction
        )


class CrossEntropyLoss(_Loss):
    """Cross entropy of softmax(logits); see `nn.functional.cross_entropy`."""

    def forward(self, pred: Any, target: Any, weight: Any = None) -> Any:
        """Compare ``(samples, classes)`` logits with class indices or probabilities, with one `weight` a sample."""
        return cross_entropy(pred, target, weight, reduction=self.reduction)
