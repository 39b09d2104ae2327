"""The optimizers: PyTorch's update rules and defaults.

All updates run in place on the parameters' arrays through ufuncs alone, so they keep the dtype and work on
whatever array type the parameters hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from numpy import add, divide, maximum, multiply, sqrt, subtract

from nn.optim.optimizer import Group, Optimizer, check_flag, check_number


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum where asked for.

    Parameters
    ----------
    params : iterable
        Parameters or groups, see `Optimizer`.
    lr : float
        Learning rate.
    momentum, dampening : float
        The velocity is ``momentum * velocity + (1 - dampening) * gradient``, and the first gradient itself.
    nesterov : bool
        Look ahead along the velocity; needs a momentum and no dampening.
    weight_decay : float
        Adds ``weight_decay * parameter`` to the gradient.
    """

    non_negative: ClassVar[tuple[str, ...]] = ("lr", "momentum", "weight_decay")
    factor_names = ("lr", "lr_ahead", "new_share")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        dampening: float = 0.0,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "nesterov": nesterov,
                "weight_decay": weight_decay,
                "dampening": dampening,
            },
        )

    def check(self, group: Group) -> None:
        super().check(group)
        check_flag("SGD", "nesterov", group["nesterov"])
        check_number("SGD", "dampening", group["dampening"])
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(
                "SGD: nesterov=True needs a momentum greater than 0 and no dampening, got "
                f"momentum={group['momentum']}, dampening={group['dampening']}"
            )

    def buffer_names(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def factors(self, group: Group, steps: int) -> tuple[float, ...]:
        """Return the rate, the rate along the velocity of Nesterov's step, and the weight of the new gradient."""
        lr = group["lr"]
        return lr, lr * group["momentum"], 1.0 if steps == 1 else 1 - group["dampening"]

    def update(self, group: Group, factors: Any, data: Any, grad: Any, buffers: Any, scratch: Any) -> None:
        lr, ahead, fresh_share = factors
        momentum = group["momentum"]
        decay = group["weight_decay"]
        if decay:
            multiply(data, decay, scratch)
            grad = add(grad, scratch, scratch)
        if momentum:
            velocity = buffers["momentum_buffer"]
            multiply(velocity, momentum, velocity)
            if group["dampening"]:
                grad = multiply(grad, fresh_share, scratch)
            add(velocity, grad, velocity)
            if group["nesterov"]:
                # ``grad`` may live in the scratch array, so the look-ahead is taken in two updates.
                multiply(grad, lr, scratch)
                subtract(data, scratch, data)
                lr = ahead
            grad = velocity
        multiply(grad, lr, scratch)
        subtract(data, scratch, data)


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), with bias-corrected running means of the gradient and its square.

    Parameters
    ----------
    params : iterable
        Parameters or groups, see `Optimizer`.
    lr : float
        Learning rate.
    betas : tuple of float
        Decay of the running mean of the gradient and of its square, each in [0, 1).
    eps : float
        Added to the root of the mean square.
    weight_decay : float
        Adds ``weight_decay * parameter`` to the gradient; `AdamW` shrinks the parameter instead.
    amsgrad : bool
        Divide by the largest mean square so far (Reddi et al., 2018).
    """

    non_negative: ClassVar[tuple[str, ...]] = ("lr", "eps", "weight_decay")
    factor_names = ("step_size", "eps", "shrink")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(
            params,
            {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad},
        )

    def check(self, group: Group) -> None:
        super().check(group)
        owner = type(self).__name__
        betas = group["betas"]
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"{owner}: betas must be a pair of numbers, got {betas!r}")
        for position, beta in enumerate(betas):
            check_number(owner, f"betas[{position}]", beta, below=1)
        check_flag(owner, "amsgrad", group["amsgrad"])

    def buffer_names(self, group: Group) -> tuple[str, ...]:
        names = ("exp_avg", "exp_avg_sq")
        return (*names, "max_exp_avg_sq") if group["amsgrad"] else names

    def update(self, group: Group, factors: Any, data: Any, grad: Any, buffers: Any, scratch: Any) -> None:
        rate, eps, shrink = factors
        beta1, beta2 = group["betas"]
        mean = buffers["exp_avg"]
        square = buffers["exp_avg_sq"]
        grad = self.decay(group, shrink, data, grad, scratch)
        # The squares first: what comes after may overwrite a decayed gradient in the scratch array.
        multiply(square, beta2, square)
        spare = np.empty_like(scratch) if grad is scratch else scratch
        multiply(grad, grad, spare)
        multiply(spare, 1 - beta2, spare)
        add(square, spare, square)
        subtract(grad, mean, scratch)
        multiply(scratch, 1 - beta1, scratch)
        add(mean, scratch, mean)
        if group["amsgrad"]:
            largest = buffers["max_exp_avg_sq"]
            square = maximum(largest, square, out=largest)
        # lr/c1 · mean / (√square/√c2 + eps), with √c2 moved out of the denominator.
        sqrt(square, scratch)
        add(scratch, eps, scratch)
        divide(mean, scratch, scratch)
        multiply(scratch, rate, scratch)
        subtract(data, scratch, data)

    def factors(self, group: Group, steps: int) -> tuple[float, ...]:
        """Return the rate and eps with the corrections of the running means in them, and AdamW's decay."""
        lr = group["lr"]
        beta1, beta2 = group["betas"]
        root = math.sqrt(1 - beta2**steps)
        return lr * root / (1 - beta1**steps), group["eps"] * root, 1 - lr * group["weight_decay"]

    def decay(self, group: Group, shrink: Any, data: Any, grad: Any, scratch: Any) -> Any:
        """Return the gradient with the weight decay in it."""
        if not group["weight_decay"]:
            return grad
        multiply(data, group["weight_decay"], scratch)
        return add(grad, scratch, scratch)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019).

    Parameters are those of `Adam`, but each step first shrinks the parameter by the factor
    ``1 - lr * weight_decay`` and leaves the gradient as it is; `weight_decay` is 0.01 unless given.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)

    def decay(self, group: Group, shrink: Any, data: Any, grad: Any, scratch: Any) -> Any:
        """Shrink the parameter; the gradient stays."""
        if group["weight_decay"]:
            multiply(data, shrink, data)
        return grad


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012): the gradient divided by the root of its running mean square.

    Parameters
    ----------
    params : iterable
        Parameters or groups, see `Optimizer`.
    lr : float
        Learning rate.
    alpha : float
        Decay of the running mean square, at most 1.
    eps : float
        Added to the root of the mean square.
    weight_decay : float
        Adds ``weight_decay * parameter`` to the gradient.
    momentum : float
        The update is accumulated as ``velocity = momentum * velocity + update``.
    centered : bool
        Divide by the root of the running variance instead (Graves, 2013).
    """

    non_negative: ClassVar[tuple[str, ...]] = ("lr", "eps", "weight_decay", "momentum")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
            },
        )

    def check(self, group: Group) -> None:
        super().check(group)
        check_number("RMSprop", "alpha", group["alpha"], below=math.nextafter(1, 2))
        check_flag("RMSprop", "centered", group["centered"])

    def buffer_names(self, group: Group) -> tuple[str, ...]:
        centred = ("grad_avg",) if group["centered"] else ()
        return ("square_avg", *centred, *(("momentum_buffer",) if group["momentum"] else ()))

    def update(self, group: Group, factors: Any, data: Any, grad: Any, buffers: Any, scratch: Any) -> None:
        alpha = group["alpha"]
        square = buffers["square_avg"]
        if group["weight_decay"]:
            # The decayed gradient is needed to the end, so it cannot live in the scratch array.
            grad = add(grad, multiply(data, group["weight_decay"], scratch))
        multiply(square, alpha, square)
        multiply(grad, grad, scratch)
        multiply(scratch, 1 - alpha, scratch)
        add(square, scratch, square)
        if group["centered"]:
            mean = buffers["grad_avg"]
            subtract(grad, mean, scratch)
            multiply(scratch, 1 - alpha, scratch)
            add(mean, scratch, mean)
            multiply(mean, mean, scratch)
            subtract(square, scratch, scratch)
            sqrt(scratch, scratch)
        else:
            sqrt(square, scratch)
        add(scratch, group["eps"], scratch)
        divide(grad, scratch, scratch)
        if group["momentum"]:
            velocity = buffers["momentum_buffer"]
            multiply(velocity, group["momentum"], velocity)
            add(velocity, scratch, velocity)
            multiply(velocity, factors[0], scratch)
        else:
            multiply(scratch, factors[0], scratch)
        subtract(data, scratch, data)
