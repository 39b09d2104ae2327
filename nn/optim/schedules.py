"""Learning-rate schedules with PyTorch's semantics: call `step` once after each epoch."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from nn.optim.optimizer import Optimizer, check_number


class Schedule:
    """Base of the schedules: a subclass says what a group's next learning rate is.

    Parameters
    ----------
    optimizer : Optimizer
        Its groups' present rates are the initial ones.

    Attributes
    ----------
    epoch : int
        How often `step` was called.
    base_lrs : list of float
        The initial learning rate of each group.
    """

    #: What the state consists of; everything else is given to the constructor again.
    remembered: ClassVar[tuple[str, ...]] = ("epoch", "base_lrs")

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__} takes an optimizer such as SGD(...), got a {type(optimizer).__name__}"
            )
        self.optimizer = optimizer
        self.epoch = 0
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]

    def next_lr(self, lr: float, base_lr: float) -> float:
        """Return the learning rate for `self.epoch` of a group that has `lr` now and began with `base_lr`."""
        raise NotImplementedError

    def step(self) -> None:
        """Move on by one epoch and set the learning rate of every group."""
        self.epoch += 1
        self._apply()

    def state_dict(self) -> dict[str, Any]:
        """Return what `step` depends on besides the optimizer's own state and the constructor's arguments."""
        state = {name: getattr(self, name) for name in self.remembered}
        state["base_lrs"] = list(self.base_lrs)
        return {"algorithm": type(self).__name__, **state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; the optimizer's learning rates come with the optimizer's state.

        Raises
        ------
        ValueError
            It belongs to another kind of schedule, or to another number of groups. Nothing is changed then.
        """
        owner = type(self).__name__
        if not isinstance(state, Mapping) or set(state) != {"algorithm", *self.remembered}:
            raise ValueError(f"{owner}.load_state_dict needs what {owner}.state_dict() returned")
        if state["algorithm"] != owner:
            raise ValueError(f"this state belongs to {state['algorithm']}, not to {owner}")
        found = state["base_lrs"]
        if not isinstance(found, list) or len(found) != len(self.base_lrs):
            raise ValueError(f"the state must have a list of {len(self.base_lrs)} base_lrs, got {found!r}")
        for name in self.remembered:
            for number in found if name == "base_lrs" else [state[name]]:
                if isinstance(number, bool) or not isinstance(number, (int, float)):
                    raise ValueError(f"the state's {name} must be a number, got {number!r}")
        for name in self.remembered:
            setattr(self, name, list(found) if name == "base_lrs" else state[name])

    def _apply(self) -> None:
        groups = self.optimizer.param_groups
        rates = [float(self.next_lr(group["lr"], base)) for group, base in zip(groups, self.base_lrs, strict=True)]
        for rate in rates:
            check_number(type(self).__name__, "the learning rate", rate)
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate


class StepLR(Schedule):
    """Multiply the learning rate by `gamma` every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer)
        self.step_size = _whole("StepLR", "step_size", step_size)
        check_number("StepLR", "gamma", gamma)
        self.gamma = gamma

    def next_lr(self, lr: float, base_lr: float) -> float:
        """Return `lr`, times gamma at the end of each period."""
        return lr * self.gamma if self.epoch % self.step_size == 0 else lr


class ExponentialLR(Schedule):
    """Multiply the learning rate by `gamma` every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        super().__init__(optimizer)
        check_number("ExponentialLR", "gamma", gamma)
        self.gamma = gamma

    def next_lr(self, lr: float, base_lr: float) -> float:
        """Return ``lr * gamma``."""
        return lr * self.gamma


class CosineAnnealingLR(Schedule):
    """Lower the learning rate to `eta_min` along half a cosine over `T_max` epochs; it rises again after them.

    At epoch t it is ``eta_min + (base_lr - eta_min) * (1 + cos(pi * t / T_max)) / 2`` (Loshchilov and Hutter,
    2017, without restarts).
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        super().__init__(optimizer)
        self.T_max = _whole("CosineAnnealingLR", "T_max", T_max)
        check_number("CosineAnnealingLR", "eta_min", eta_min)
        self.eta_min = eta_min

    def next_lr(self, lr: float, base_lr: float) -> float:
        """Return the rate from the formula, not from the last one, so that rounding does not add up."""
        # Half a period off, cos is -1 up to rounding; the exact phase keeps the rate from falling below eta_min.
        phase = self.epoch % (2 * self.T_max) / self.T_max
        return self.eta_min + (base_lr - self.eta_min) * (1 + math.cos(math.pi * phase)) / 2


class LambdaLR(Schedule):
    """Set the learning rate to the initial one times ``factor(epoch)``, from epoch 0 on.

    The function itself is no part of the state: pass the same one when training is resumed.
    """

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float]) -> None:
        super().__init__(optimizer)
        if not callable(factor):
            raise TypeError(f"LambdaLR takes a function of the epoch, got {factor!r}: write lambda epoch: 0.95**epoch")
        self.factor = factor
        self._apply()

    def next_lr(self, lr: float, base_lr: float) -> float:
        """Return ``base_lr * factor(epoch)``."""
        return base_lr * self.factor(self.epoch)


class ReduceLROnPlateau(Schedule):
    """Multiply the learning rate by `factor` when a figure has not improved for more than `patience` epochs.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    mode : {"min", "max"}
        Whether smaller or larger is better.
    factor : float
        Below 1.
    patience : int
        Epochs without improvement that are put up with.
    threshold : float
        What counts as an improvement, as a part of the best figure ("rel") or in its own units ("abs").
    threshold_mode : {"rel", "abs"}
        See `threshold`.
    cooldown : int
        Epochs after a reduction in which nothing is counted.
    min_lr : float
        The learning rate is not lowered below this.
    eps : float
        A change of the learning rate by no more than this is left out.
    """

    remembered: ClassVar[tuple[str, ...]] = ("epoch", "base_lrs", "best", "bad_epochs", "cooling")

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(optimizer)
        owner = "ReduceLROnPlateau"
        if mode not in ("min", "max"):
            raise ValueError(f'{owner}: mode must be "min" or "max", got {mode!r}')
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f'{owner}: threshold_mode must be "rel" or "abs", got {threshold_mode!r}')
        check_number(owner, "factor", factor, below=1)
        for key, value in {"threshold": threshold, "min_lr": min_lr, "eps": eps}.items():
            check_number(owner, key, value)
        self.mode = mode
        self.factor = factor
        self.patience = _whole(owner, "patience", patience, least=0)
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = _whole(owner, "cooldown", cooldown, least=0)
        self.min_lr = min_lr
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_epochs = 0
        self.cooling = 0

    def step(self, figure: float | None = None) -> None:
        """Move on by one epoch, in which the watched figure came to `figure`."""
        if figure is None:
            raise TypeError("ReduceLROnPlateau.step() needs the figure that it watches: step(validation_loss)")
        figure = float(figure)
        self.epoch += 1
        if self._improves(figure):
            self.best = figure
            self.bad_epochs = 0
        else:
            self.bad_epochs += 1
        if self.cooling > 0:
            self.cooling -= 1
            self.bad_epochs = 0
        if self.bad_epochs > self.patience:
            self._apply()
            self.cooling = self.cooldown
            self.bad_epochs = 0

    def next_lr(self, lr: float, base_lr: float) -> float:
        """Return the reduced rate, or `lr` when the difference is not worth it."""
        lower = max(lr * self.factor, self.min_lr)
        return lower if lr - lower > self.eps else lr

    def _improves(self, figure: float) -> bool:
        if self.threshold_mode == "rel":
            margin = 1 - self.threshold if self.mode == "min" else 1 + self.threshold
            goal = self.best * margin
        else:
            goal = self.best - self.threshold if self.mode == "min" else self.best + self.threshold
        return figure < goal if self.mode == "min" else figure > goal


def _whole(owner: str, key: str, value: Any, least: int = 1) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{owner}: {key} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{owner}: {key} must be {least} or greater, got {key}={value}")
    return operator.index(value)
