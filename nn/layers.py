"""Layers: affine maps, dropout, normalisation, and the models put together from them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Self, overload

import numpy as np

from autodiff.op import apply, strip
from autodiff.ops.linalg.matmul import linear
from nn.activations import Identity, as_module, name_of
from nn.init import Initialiser, Seed, fitting, xavier_uniform
from nn.module import Module, Parameter


class Linear(Module):
    """The affine map x·Wᵀ + b.

    Parameters
    ----------
    in_features, out_features : int
        Width of the input and of the output: ``(..., in) -> (..., out)``, rows are samples.
    bias : bool
        Whether to add a bias.
    init : callable
        Draws the weight, ``init(shape, seed=..., dtype=...)``; see `nn.init`. The bias starts at zero.
    seed : int, numpy.random.Generator or None
        Where the weight is drawn from; None for fresh entropy.
    dtype : dtype
        Of weight and bias. The output has the dtype that numpy gives to input and weight together.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
    bias : Parameter, shape (out_features,), or None
    """

    #: What a compiled step need not look at again: only messages read the widths.
    settled = ("in_features", "out_features")

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: Initialiser = xavier_uniform,
        seed: Seed = None,
        dtype: Any = np.float64,
    ) -> None:
        self.in_features = _width("in_features", in_features)
        self.out_features = _width("out_features", out_features)
        self.weight = Parameter(init((out_features, in_features), seed=seed, dtype=dtype))
        self.bias = Parameter(np.zeros(out_features, dtype)) if bias else None

    def forward(self, x: Any) -> Any:
        """Map ``(..., in_features)`` to ``(..., out_features)``; ValueError for another width."""
        try:
            return apply(linear, (x, self.weight, self.bias), {})
        except (AttributeError, ValueError) as error:  # looked at afterwards: a check before would cost every call
            shape = np.shape(strip(x))
            if shape[-1:] == (self.in_features,):
                raise
            raise _wrong_width(self, (self.in_features,), shape) from error

    def extra_repr(self) -> str:
        """Return the widths."""
        return f"{self.in_features}, {self.out_features}{'' if self.bias is not None else ', bias=False'}"


class Sequential(Module):
    """Modules one after the other.

    Parameters
    ----------
    *layers : Module or callable
        Callables such as ``np.tanh`` are wrapped in an `Activation`.

    Notes
    -----
    Parameters are named ``0.weight``, ``1.weight``…, as in PyTorch. A slice is a `Sequential` over the same layers.
    """

    def __init__(self, *layers: Module | Callable[[Any], Any]) -> None:
        self._layers: list[Module] = []
        for layer in layers:
            self.append(layer)

    def append(self, layer: Module | Callable[[Any], Any]) -> Self:
        """Add a layer at the end, and return this module."""
        layer = as_module(layer)
        layer.__dict__["_name"] = str(len(self._layers))
        self._layers.append(layer)
        return self

    def forward(self, x: Any) -> Any:
        """Apply the layers in order."""
        for layer in self._layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._layers)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            part = Sequential()
            part._layers = self._layers[index]
            return part
        return self._layers[index]

    def __setitem__(self, index: int, layer: Module | Callable[[Any], Any]) -> None:
        layer = as_module(layer)
        layer.__dict__["_name"] = str(range(len(self))[index])
        self._layers[index] = layer

    def _attributes(self) -> Iterable[tuple[str, Any]]:
        own = {name: value for name, value in self.__dict__.items() if name != "_layers"}
        return [*((str(i), layer) for i, layer in enumerate(self._layers)), *own.items()]


class MLP(Module):
    """A multilayer perceptron: `Linear` layers with an activation between them.

    Parameters
    ----------
    widths : sequence of int
        From the number of features to the number of outputs: ``[2, 5, 5, 1]``.
    activation : str, callable or Module
        After every layer but the last: ``"sigmoid"``, ``"tanh"``, ``"relu"``… A Module's parameters are shared by
        all places.
    output : str, callable, Module or None
        After the last layer. None gives logits, for `BCEWithLogitsLoss` or `CrossEntropyLoss`.
    seed : int, numpy.random.Generator or None
        Where the weights are drawn from; None for fresh entropy.
    dtype : dtype
        Of all parameters.
    init : callable, optional
        Draws every weight. Unless given, what fits the activation: He (uniform) for the ReLU family, Xavier (uniform)
        for all others and for the last layer. Biases start at zero.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: str | Callable[[Any], Any] | Module = "sigmoid",
        output: str | Callable[[Any], Any] | Module | None = None,
        *,
        seed: Seed = None,
        dtype: Any = np.float64,
        init: Initialiser | None = None,
    ) -> None:
        if isinstance(widths, (str, int)) or len(widths) < 2:
            raise ValueError(
                f"MLP takes the widths of all layers, from features to outputs, as [2, 5, 1]; got {widths!r}"
            )
        rng = np.random.default_rng(seed)
        self.layers: list[Module] = []
        last = len(widths) - 2
        for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
            follows = activation if i < last else output
            module = Identity() if follows is None else as_module(follows)
            draw = init or fitting(name_of(getattr(module, "function", None)))
            self.layers.append(Linear(fan_in, fan_out, init=draw, seed=rng, dtype=dtype))
            if follows is not None:
                # A shallow copy has a name of its own, by which drawings tell the places apart.
                self.layers.append(copy.copy(module) if module is follows else module)

    def forward(self, x: Any) -> Any:
        """Map ``(samples, features)`` to ``(samples, outputs)``."""
        for layer in self.layers:
            x = layer(x)
        return x


class Dropout(Module):
    """In training, set each element to zero with probability `p` and scale the others by 1 / (1 − p).

    Parameters
    ----------
    p : float
        Between 0 and 1.
    seed : int, numpy.random.Generator or None
        Where the choice is drawn from; None for fresh entropy.
    """

    def __init__(self, p: float = 0.5, *, seed: Seed = None) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout takes a probability p between 0 and 1, got {p!r}")
        self.p = p
        self.rng = np.random.default_rng(seed)

    def forward(self, x: Any) -> Any:
        """Return `x` with elements dropped; in evaluation mode, `x` itself."""
        if not self.training or self.p == 0:
            return x
        x = _as_array(x)
        kept = np.asarray(self.rng.random(x.shape) >= self.p, like=strip(x))
        return x * (kept * (1 / (1 - self.p) if self.p < 1 else 0.0)).astype(x.dtype)

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"{self.p}"


class LayerNorm(Module):
    """Give the last axes of every sample mean 0 and variance 1, then scale by `weight` and shift by `bias`.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Lengths of the axes that are normalised together, the input's last ones.
    eps : float
        Added to the variance.
    elementwise_affine, bias : bool
        Whether there is a weight, and a bias with it.
    dtype : dtype
        Of weight and bias.

    Notes
    -----
    Source: Ba, Kiros and Hinton, "Layer Normalization" (2016); the variance is the biased one.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = np.float64,
    ) -> None:
        shape: Any = normalized_shape if np.ndim(normalized_shape) else [normalized_shape]
        self.normalized_shape = tuple(_width("normalized_shape", n) for n in shape)
        self.eps = eps
        self.weight = Parameter(np.ones(self.normalized_shape, dtype)) if elementwise_affine else None
        self.bias = Parameter(np.zeros(self.normalized_shape, dtype)) if elementwise_affine and bias else None

    def forward(self, x: Any) -> Any:
        """Normalise ``(..., *normalized_shape)``; ValueError for another shape."""
        x = _as_array(x)
        axes = tuple(range(-len(self.normalized_shape), 0))
        if x.shape[-len(axes) :] != self.normalized_shape:
            raise _wrong_width(self, self.normalized_shape, x.shape)
        x, _, _ = _standardised(x, axes, self.eps)
        x = x if self.weight is None else x * self.weight
        return x if self.bias is None else x + self.bias

    def extra_repr(self) -> str:
        """Return the shape."""
        return ", ".join(map(str, self.normalized_shape))


class BatchNorm1d(Module):
    """Give every feature mean 0 and variance 1 over the batch, then scale by `weight` and shift by `bias`.

    Parameters
    ----------
    num_features : int
        The C in ``(N, C)`` or ``(N, C, L)``.
    eps : float
        Added to the variance.
    momentum : float or None
        The weight of a new batch in the running statistics; None takes the average over all batches.
    affine : bool
        Whether there are a weight and a bias.
    track_running_stats : bool
        Whether to keep running statistics, which evaluation mode then uses in place of the batch's own.
    dtype : dtype
        Of parameters and statistics.

    Notes
    -----
    As in PyTorch the batch's biased variance normalises, and the unbiased one goes into ``running_var``. Source: Ioffe
    and Szegedy, "Batch Normalization" (2015).
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        dtype: Any = np.float64,
    ) -> None:
        self.num_features = _width("num_features", num_features)
        self.eps = eps
        self.momentum = momentum
        self.weight = Parameter(np.ones(num_features, dtype)) if affine else None
        self.bias = Parameter(np.zeros(num_features, dtype)) if affine else None
        self.running_mean: Any
        self.running_var: Any
        self.num_batches_tracked: Any
        self.register_buffer("running_mean", np.zeros(num_features, dtype) if track_running_stats else None)
        self.register_buffer("running_var", np.ones(num_features, dtype) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.array(0) if track_running_stats else None)

    def forward(self, x: Any) -> Any:
        """Normalise ``(N, C)`` or ``(N, C, L)``.

        Raises
        ------
        ValueError
            Another shape; or in training, a batch with a single value per feature, whose variance says nothing.
        """
        x = _as_array(x)
        shape = x.shape
        if len(shape) not in (2, 3) or shape[1] != self.num_features:
            raise _wrong_width(self, (self.num_features,), shape)
        along = (1, -1, 1)[: len(shape)]
        if self.training or self.running_mean is None:
            count = shape[0] * (shape[2] if len(shape) == 3 else 1)
            if count < 2:
                raise ValueError(
                    f"{_brief(self)} needs two or more values per feature to take their variance in training, input "
                    f"{shape} has {count}: leave out a last batch of one, or call .eval() first"
                )
            x, mean, variance = _standardised(x, (0, 2)[: len(shape) - 1], self.eps)
            if self.training and self.running_mean is not None:
                self._track(strip(mean).reshape(-1), strip(variance).reshape(-1) * (count / (count - 1)))
        else:
            x = (x - self.running_mean.reshape(along)) / np.sqrt(self.running_var.reshape(along) + self.eps)
        if self.weight is None or self.bias is None:
            return x
        if len(shape) == 2:
            return x * self.weight + self.bias
        return x * self.weight.reshape(along) + self.bias.reshape(along)

    def _track(self, mean: Any, variance: Any) -> None:
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean = _moved(self.running_mean, mean, share)
        self.running_var = _moved(self.running_var, variance, share)

    def extra_repr(self) -> str:
        """Return the number of features."""
        return f"{self.num_features}"


def _moved(running: Any, new: Any, share: Any) -> Any:
    """Replace a share of `running` by what is new: in place, unless a lazy batch makes the statistics lazy too."""
    step = (share * (new - running)).astype(running.dtype, copy=False)
    return np.add(running, step, out=running) if type(step) is type(running) else running + step


def _as_array(x: Any) -> Any:
    return x if hasattr(x, "__array_function__") else np.asarray(x)


def _width(name: str, value: Any) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)


def _standardised(x: Any, axes: tuple[int, ...], eps: float) -> tuple[Any, Any, Any]:
    """`x` with mean 0 and variance 1 along `axes`, the mean and the biased variance."""
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    variance = (centred * centred).mean(axis=axes, keepdims=True)
    return centred / np.sqrt(variance + eps), mean, variance


def _wrong_width(layer: Module, last: tuple[int, ...], shape: tuple[int, ...]) -> ValueError:
    """Say what the layer takes, what it got, and what to write if the cause can be told."""
    width = last[-1]
    where = "(..., " + ", ".join(map(str, last)) + ")"
    if isinstance(layer, BatchNorm1d):
        where = f"(N, {width}) or (N, {width}, L)"
    cure = ""
    if len(last) == 1 and len(shape) == 2 and shape[0] == width:
        cure = "; samples seem to be in columns: pass x.T, one row per sample"
    elif len(shape) == 1 and width == 1:
        cure = "; for one feature per sample pass x[:, None]"
    elif len(shape) == 1 and shape[0] == width:
        cure = "; for a single sample pass x[None]"
    elif len(shape) > 2 and math.prod(shape[1:]) == width:
        cure = "; to make one row of each sample pass x.reshape(len(x), -1)"
    return ValueError(f"{_brief(layer)} takes inputs of shape {where}, got {shape}{cure}")


def _brief(layer: Module) -> str:
    return f"{type(layer).__name__}({layer.extra_repr()})"
