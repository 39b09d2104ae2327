"""The losses as functions, each one operation of the graph, with its reduction and weights inside.

In the formulas p and z are predictions, y targets, w weights per sample, and N is the number of elements for
``reduction="mean"`` (samples, for `cross_entropy`), 1 otherwise. Gradients flow to every operand that asks for one,
targets and weights too: pass ``target.detach()`` where a target is computed from what is learnt and should stand still.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autodiff.op import Op, apply, op, strip
from autodiff.ops.activations import log_softmax, softmax, softplus
from autodiff.sample import positive, real, sample, unit
from nn.targets import aligned, as_floats, as_prediction, class_indices, is_at_hand, refuse_logits, require_unit


def mse_loss(pred: Any, target: Any, weight: Any = None, *, reduction: str = "mean") -> Any:
    """Squared error w·(p − y)².

    Parameters
    ----------
    pred, target : Tensor or array_like, of one shape
    weight : Tensor or array_like, optional
        Of that shape, or one number per sample. A mean still divides by the number of elements.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ValueError
        The shapes differ: ``(n,)`` against ``(n, 1)`` would broadcast to n × n; or there is no element.
    """
    pred, target, weight = aligned(pred, target, weight)
    return apply(_mse, (pred, target, weight), {"reduction": reduction})


def binary_cross_entropy(pred: Any, target: Any, weight: Any = None, *, reduction: str = "mean") -> Any:
    """Binary cross entropy −w·(y·ln p + (1 − y)·ln(1 − p)) of probabilities p.

    Finite for p = 0 and p = 1: logarithms stop at −100, and the gradient divides by at least 1e-12, as in PyTorch.
    From logits, `binary_cross_entropy_with_logits` is more accurate and faster.

    Parameters
    ----------
    pred, target : Tensor or array_like, of one shape
        Both within [0, 1].
    weight, reduction
        As in `mse_loss`.

    Raises
    ------
    ValueError
        The shapes differ, there is no element, or a number lies outside [0, 1].
    """
    pred, target, weight = aligned(pred, target, weight)
    require_unit(target)
    return apply(_bce, (pred, target, weight), {"reduction": reduction})


def binary_cross_entropy_with_logits(
    pred: Any, target: Any, weight: Any = None, *, pos_weight: Any = None, reduction: str = "mean"
) -> Any:
    """Binary cross entropy of the probabilities σ(z), accurate for logits z of any size.

    An infinite logit costs nothing where the target agrees and is infinitely wrong where it does not; the gradient is
    finite either way.

    Parameters
    ----------
    pred, target : Tensor or array_like, of one shape
        Targets within [0, 1].
    weight, reduction
        As in `mse_loss`.
    pos_weight : Tensor or array_like, optional
        Factor of the term with y, to balance rare positives: a number, or one per class (last axis).

    Raises
    ------
    ValueError
        The shapes differ, there is no element, or a target lies outside [0, 1].
    """
    pred, target, weight = aligned(pred, target, weight)
    require_unit(target)
    if pos_weight is not None:
        pos_weight = as_floats(pos_weight, pred.dtype)
        if pos_weight.shape not in ((), (1,), pred.shape[-1:]):
            raise ValueError(
                f"pos_weight is a number or one per class, the last axis of predictions of shape {pred.shape}; "
                f"got shape {pos_weight.shape}"
            )
    return apply(_bce_logits, (pred, target, weight, pos_weight), {"reduction": reduction})


def cross_entropy(pred: Any, target: Any, weight: Any = None, *, reduction: str = "mean") -> Any:
    """Cross entropy −w·Σ y·ln softmax(z) of logits z over classes.

    Parameters
    ----------
    pred : Tensor or array_like, shape (samples, classes)
        Logits.
    target : array_like of int, shape (samples,); or Tensor or array_like, shape (samples, classes)
        Class indices from 0, or probabilities. Indices in arrays other than numpy's are not looked at, so that Dask's
        stay lazy: one that is not a class makes the loss NaN.
    weight : Tensor or array_like, shape (samples,), optional
        One number per sample. A mean still divides by the number of samples. (PyTorch's ``weight=`` is per class, and
        its mean divides by the weights' sum: here pass ``class_weights[target]``, and divide by their mean for that.)
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ValueError
        The shapes do not fit, there is no sample, or an index is not a class.
    TypeError
        Class indices that are not integers.
    """
    pred = as_prediction(pred, target)
    if pred.ndim != 2 or not pred.size:
        raise ValueError(f"cross_entropy takes logits of shape (samples, classes), none empty; got {pred.shape}")
    if np.shape(strip(target)) == pred.shape:
        pred, target, _ = aligned(pred, target, None)
        require_unit(target)
        operation = _cross_entropy
    else:
        target = class_indices(target, pred)
        operation = _cross_entropy_of_indices if target.ndim == 1 else _cross_entropy
    if weight is not None:
        weight = as_floats(weight, pred.dtype)
        if weight.shape != pred.shape[:1]:
            raise ValueError(f"weight needs one number per sample, shape {pred.shape[:1]}; got {weight.shape}")
    return apply(operation, (pred, target, weight), {"reduction": reduction})


# What is computed


def _reduced(losses: Any, weight: Any, reduction: str) -> Any:
    if weight is not None:
        losses = losses * weight
    if reduction == "mean":
        return (losses / losses.size).sum()  # divided first: the sum of huge losses would overflow
    if reduction == "sum":
        return losses.sum()
    if reduction == "none":
        return losses
    raise ValueError(f'reduction must be "mean", "sum" or "none", got {reduction!r}')


def _share(g: Any, elements: int, weight: Any, reduction: str) -> Any:
    """The upstream gradient of each element's loss."""
    if reduction == "mean":
        g = g / elements
    return g if weight is None else g * weight


def _mse_forward(p: Any, y: Any, w: Any = None, *, reduction: str) -> Any:
    d = p - y
    return _reduced(d * d, w, reduction)


def _mse_by_p(g: Any, loss: Any, p: Any, y: Any, w: Any, *, reduction: str) -> Any:
    return 2 * _share(g, p.size, w, reduction) * (p - y)


_mse = op(
    _mse_forward,
    _mse_by_p,
    lambda g, loss, p, y, w, *, reduction: 2 * _share(g, y.size, w, reduction) * (y - p),
    lambda g, loss, p, y, w, *, reduction: _share(g, p.size, None, reduction) * np.square(p - y),
    name="mse_loss",
    symbol="MSE",
    formula=("2w(p − y)/N", "2w(y − p)/N", "(p − y)²/N"),
    samples=[
        sample(real(3, 2), real(3, 2), None, reduction="mean"),
        sample(real(3), real(3), positive(3), reduction="sum"),
        sample(real(3, 2), real(3, 2), positive(3, 2), reduction="none"),
    ],
)


def _logs(p: Any) -> tuple[Any, Any]:
    """Return ln p and ln(1 − p), not below −100."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(np.log(p), -100.0), np.maximum(np.log1p(-p), -100.0)


def _bce_forward(p: Any, y: Any, w: Any = None, *, reduction: str) -> Any:
    log_p, log_q = _logs(p)
    loss = _reduced((y - 1) * log_q - y * log_p, w, reduction)
    # Outside [0, 1] a logarithm is NaN: looking at the result is cheaper than at every p.
    if is_at_hand(loss) and np.count_nonzero(loss != loss):
        refuse_logits(p)
    return loss


def _bce_by_p(g: Any, loss: Any, p: Any, y: Any, w: Any, *, reduction: str) -> Any:
    return _share(g, p.size, w, reduction) * ((p - y) / np.maximum(p * (1 - p), 1e-12))


def _bce_by_y(g: Any, loss: Any, p: Any, y: Any, w: Any, *, reduction: str) -> Any:
    log_p, log_q = _logs(p)
    return _share(g, p.size, w, reduction) * (log_q - log_p)


_bce: Op = op(
    _bce_forward,
    _bce_by_p,
    _bce_by_y,
    lambda g, loss, p, y, w, *, reduction: _share(g, p.size, None, reduction) * _bce(p, y, reduction="none"),
    name="binary_cross_entropy",
    symbol="BCE",
    formula=("w(p − y)/(p(1 − p)N)", "w·ln((1 − p)/p)/N", "−(y·ln p + (1 − y)·ln(1 − p))/N"),
    samples=[
        sample(unit(3, 2), unit(3, 2), None, reduction="mean"),
        sample(unit(3), unit(3), positive(3), reduction="sum"),
        sample(unit(3, 2), unit(3, 2), positive(3, 2), reduction="none"),
    ],
)

#: exp overflows just above.
_LARGEST_EXPONENT = {np.dtype(np.float16): 11.0, np.dtype(np.float32): 88.0, np.dtype(np.float64): 709.0}


def _bce_logits_forward(z: Any, y: Any, w: Any = None, pos_weight: Any = None, *, reduction: str) -> Any:
    # ln(1 + e^−|z|) + |z|·(label on the other side of zero): all terms ≥ 0, so nothing cancels.
    wrong = np.heaviside(z, 0.0) - y
    tail = np.log1p(np.exp(-abs(z)))
    if pos_weight is not None:
        tail = tail * ((1 - y) + pos_weight * y)
        wrong = np.where(z > 0, wrong, pos_weight * wrong)
    # An infinite logit on the right side is not wrong at all, where ∞·0 would be NaN.
    return _reduced(np.where(wrong == 0, 0.0, z) * wrong + tail, w, reduction)


def _bce_logits_by_z(g: Any, loss: Any, z: Any, y: Any, w: Any, pos_weight: Any, *, reduction: str) -> Any:
    # σ(z) − y = (1 − y)·σ(z) − y·σ(−z): unlike the difference on the left, this keeps all digits in both tails.
    e = np.exp(np.minimum(-z, _LARGEST_EXPONENT.get(z.dtype, 709.0)))
    if pos_weight is None:
        return _share(g, z.size, w, reduction) * (((1 - y) - y * e) / (1 + e))
    return _share(g, z.size, w, reduction) * ((1 - y) / (1 + e) - pos_weight * y * (e / (1 + e)))


def _bce_logits_by_y(g: Any, loss: Any, z: Any, y: Any, w: Any, pos_weight: Any, *, reduction: str) -> Any:
    slope = -z if pos_weight is None else pos_weight * softplus(-z) - softplus(z)
    return _share(g, z.size, w, reduction) * slope


def _bce_logits_by_w(g: Any, loss: Any, z: Any, y: Any, w: Any, pos_weight: Any, *, reduction: str) -> Any:
    return _share(g, z.size, None, reduction) * _bce_logits(z, y, None, pos_weight, reduction="none")


def _bce_logits_by_pos_weight(g: Any, loss: Any, z: Any, y: Any, w: Any, pos_weight: Any, *, reduction: str) -> Any:
    return _share(g, z.size, w, reduction) * (y * softplus(-z))


_bce_logits = op(
    _bce_logits_forward,
    _bce_logits_by_z,
    _bce_logits_by_y,
    _bce_logits_by_w,
    _bce_logits_by_pos_weight,
    name="binary_cross_entropy_with_logits",
    symbol="BCE(σ)",
    formula=("w(σ(z) − y)/N", "−w·z/N", "loss/N", "w·y·ln(1 + e⁻ᶻ)/N"),
    samples=[
        sample(real(3, 2), unit(3, 2), None, None, reduction="mean"),
        sample(real(3), unit(3), positive(3), None, reduction="sum"),
        sample(real(3, 2), unit(3, 2), positive(3, 1), positive(2), reduction="none"),
        sample(real(3, 2), unit(3, 2), None, positive(), reduction="mean"),
    ],
)


def _cross_entropy_forward(z: Any, y: Any, w: Any = None, *, reduction: str) -> Any:
    log_p = log_softmax(z)
    # A class that is excluded, with logit −∞ and target 0, adds nothing, where ∞·0 would be NaN.
    return _reduced(-(np.where(y == 0, 0.0, log_p) * y).sum(axis=-1), w, reduction)


def _cross_entropy_by_z(g: Any, loss: Any, z: Any, y: Any, w: Any, *, reduction: str) -> Any:
    share = np.expand_dims(_share(g, len(z), w, reduction), -1)
    return share * (softmax(z) * y.sum(axis=-1, keepdims=True) - y)


_cross_entropy: Op = op(
    _cross_entropy_forward,
    _cross_entropy_by_z,
    lambda g, loss, z, y, w, *, reduction: -np.expand_dims(_share(g, len(z), w, reduction), -1) * log_softmax(z),
    lambda g, loss, z, y, w, *, reduction: _share(g, len(z), None, reduction) * _cross_entropy(z, y, reduction="none"),
    name="cross_entropy",
    symbol="CE(softmax)",
    formula=("w(softmax(z) − y)/N", "−w·ln softmax(z)/N", "loss/N"),
    samples=[
        sample(real(3, 2), unit(3, 2), None, reduction="mean"),
        sample(real(3, 4), unit(3, 4), positive(3), reduction="sum"),
        sample(real(3, 4), unit(3, 4), positive(3), reduction="none"),
    ],
)


def _cross_entropy_of_indices_forward(z: Any, k: Any, w: Any = None, *, reduction: str) -> Any:
    return _reduced(-log_softmax(z)[np.arange(len(k), like=k), k], w, reduction)


def _cross_entropy_of_indices_by_z(g: Any, loss: Any, z: Any, k: Any, w: Any, *, reduction: str) -> Any:
    share = np.expand_dims(_share(g, len(z), w, reduction), -1)
    return share * (softmax(z) - (np.arange(z.shape[-1], like=k) == k[:, None]))


def _cross_entropy_of_indices_by_w(g: Any, loss: Any, z: Any, k: Any, w: Any, *, reduction: str) -> Any:
    return _share(g, len(z), None, reduction) * _cross_entropy_of_indices(z, k, reduction="none")


_cross_entropy_of_indices = op(
    _cross_entropy_of_indices_forward,
    _cross_entropy_of_indices_by_z,
    None,
    _cross_entropy_of_indices_by_w,
    name="cross_entropy_of_indices",
    symbol="CE(softmax)",
    formula=("w(softmax(z) − [class = y])/N", "loss/N"),
    samples=[
        sample(real(3, 4), np.array([0, 3, 1]), None, reduction="mean"),
        sample(real(3, 4), np.array([2, 2, 1]), positive(3), reduction="sum"),
        sample(real(3, 4), np.array([0, 3, 0]), positive(3), reduction="none"),
    ],
)
