"""Judges of functions that compute: numpy for values, differences for derivatives, PyTorch for both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff import Tensor, as_tensor
from tests.autodiff.numeric import check_gradient, plain

Call = Callable[..., Any]


def leaf(x: Any) -> Tensor:
    """Return a Tensor that requires a gradient, on the memory of `x`."""
    tensor = as_tensor(x)
    tensor.requires_grad = True
    return tensor


def parts(result: Any) -> list[Any]:
    """Return the results of a function that may have several."""
    return list(result) if isinstance(result, (tuple, list)) else [result]


def agrees_with_numpy(call: Call, *arrays: np.ndarray, order: int = 2, tolerance: float = 1e-7) -> None:
    """Require numpy's values on Tensors, and derivatives that agree with differences."""
    gives_numpys_values(call, *arrays)
    for i, result in enumerate(parts(call(*map(leaf, arrays)))):
        if isinstance(result, Tensor) and result.requires_grad and result.size:
            rng = np.random.default_rng(i)
            check_gradient(lambda *xs, i=i: parts(call(*xs))[i], *arrays, rng=rng, order=order, tolerance=tolerance)


def gives_numpys_values(call: Call, *arrays: np.ndarray, rtol: float = 1e-12) -> None:
    """Require the same kinds of results, shapes, dtypes and values as numpy gives; and backward() to run."""
    expected = call(*arrays)
    xs = [leaf(x) for x in arrays]
    got = call(*xs)
    assert isinstance(got, (tuple, list)) == isinstance(expected, (tuple, list))
    if isinstance(expected, tuple):
        assert type(got) is type(expected)
    for ours, numpys in zip(parts(got), parts(expected), strict=True):
        assert np.shape(plain(ours)) == np.shape(numpys)
        assert isinstance(ours, Tensor) == (np.asarray(numpys).dtype.kind == "f")
        if isinstance(ours, Tensor):
            assert ours.dtype == numpys.dtype
        np.testing.assert_allclose(plain(ours), numpys, rtol=rtol, atol=rtol)
        if isinstance(ours, Tensor) and ours.requires_grad:
            ours.backward(np.ones(ours.shape))
    for x, array in zip(xs, arrays, strict=True):
        assert x.grad is None or (x.grad.shape, x.grad.dtype) == (array.shape, array.dtype)


def agrees_with_torch(ours: Call, theirs: Call, *arrays: np.ndarray, tolerance: float = 1e-9) -> None:
    """Compare value, gradient and second derivative, of a function of the results that knows no sign."""
    import torch

    xs, ts = [leaf(x) for x in arrays], [torch.tensor(x, requires_grad=True) for x in arrays]

    def close(mine: Any, other: Any) -> None:
        np.testing.assert_allclose(plain(mine), other.detach().numpy(), rtol=tolerance, atol=tolerance)

    # Squares, for the sign of a singular vector is the library's own choice.
    ys, zs = [y * y for y in parts(ours(*xs))], [z * z for z in parts(theirs(*ts))]
    for y, z in zip(ys, zs, strict=True):
        close(y, z)
    weights = [1 + np.cos(np.arange(y.size)).reshape(y.shape) for y in ys]
    loss = sum((y * w).sum() for y, w in zip(ys, weights, strict=True))
    target = sum((z * torch.tensor(w)).sum() for z, w in zip(zs, weights, strict=True))
    gradients = [loss.gradient(x, create_graph=True) for x in xs]
    targets = torch.autograd.grad(target, ts, create_graph=True)
    for g, t in zip(gradients, targets, strict=True):
        close(g, t)
    directions = [np.sin(1 + np.arange(x.size)).reshape(x.shape) for x in arrays]
    sum((g * v).sum() for g, v in zip(gradients, directions, strict=True)).backward()
    seconds = torch.autograd.grad(
        sum((t * torch.tensor(v)).sum() for t, v in zip(targets, directions, strict=True)), ts
    )
    for x, t in zip(xs, seconds, strict=True):
        close(x.grad, t)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Draw from the normal distribution, none close to 0, no two absolute values equal."""
    rng = np.random.default_rng([seed, *shape])
    size = int(np.prod(shape, dtype=int))
    magnitude = (rng.permutation(size) + rng.uniform(0.3, 0.7, size) + 0.5) / max(size, 1) * 2
    return np.asarray(magnitude * rng.choice([-1, 1], size)).reshape(shape)


def square(*shape: int) -> np.ndarray:
    """Invertible matrices that are not symmetric."""
    return numbers(*shape) + 2 * np.eye(shape[-1])


def sym(x: Any) -> Any:
    """Return twice the symmetric part."""
    return x + np.swapaxes(x, -1, -2)


def spd(x: Any) -> Any:
    """Return a symmetric, positive definite matrix made of any."""
    return x @ np.swapaxes(x, -1, -2) + np.eye(x.shape[-1])
