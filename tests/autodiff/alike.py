"""Judges of functions that compute: numpy for the values, differences and PyTorch for the derivatives."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff import Tensor, as_tensor
from tests.autodiff.numeric import check_gradient, plain

Call = Callable[..., Any]


def leaves_of(*arrays: Any) -> list[Any]:
    """Tensors that require a gradient where they can, laid out in memory as the arrays are."""
    leaves = [as_tensor(np.asarray(x)) for x in arrays]
    for leaf in leaves:
        leaf.requires_grad = leaf.dtype.kind == "f"
    return leaves


def parts(result: Any) -> list[Any]:
    """All arrays in nested lists and tuples, in order."""
    return [leaf for part in result for leaf in parts(part)] if isinstance(result, (list, tuple)) else [result]


def alike(call: Call, *arrays: Any, rtol: float = 1e-13) -> None:
    """Require that `call` gives for Tensors what it gives for arrays, and warns only where it warns for arrays."""
    arrays = tuple(np.asarray(x) for x in arrays)
    expected, numpy_warned = _watched(call, arrays)
    got, warned = _watched(call, leaves_of(*arrays))
    if isinstance(expected, Exception):
        # Numpy sometimes stumbles over an index where the shape is what is wrong.
        fitting = (ValueError, IndexError) if isinstance(expected, IndexError) else type(expected)
        assert isinstance(got, fitting), f"numpy raises {expected!r}; we give {got!r}"
        return
    if isinstance(got, Exception):
        raise got
    assert numpy_warned or not warned, f"numpy gives no warning, we give {warned}"
    assert isinstance(got, (list, tuple)) == isinstance(expected, (list, tuple))
    for ours, numpys in zip(parts(got), parts(expected), strict=True):
        assert np.shape(plain(ours)) == np.shape(numpys)
        assert np.asarray(plain(ours)).dtype == np.asarray(numpys).dtype
        if np.asarray(numpys).dtype.kind == "f":
            eps = np.finfo(np.asarray(numpys).dtype).eps
            np.testing.assert_allclose(plain(ours), numpys, rtol=max(rtol, 8 * eps), atol=max(rtol, 8 * eps))
        else:
            np.testing.assert_array_equal(plain(ours), numpys)


def _watched(call: Call, operands: Any) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call(*operands)
        except (ValueError, TypeError, IndexError, ZeroDivisionError, NotImplementedError) as error:
            result = error
    return result, [str(w.message) for w in caught]


def differentiates(call: Call, *arrays: Any, order: int = 2) -> None:
    """Require the values of numpy, and gradients by all arrays that differences confirm."""
    alike(call, *arrays)

    def joined(*xs: Any) -> Any:
        tensors = [np.ravel(part) for part in parts(call(*xs)) if isinstance(part, Tensor)]
        return np.concatenate(tensors)

    check_gradient(joined, *(np.asarray(x, dtype=float) for x in arrays), rng=np.random.default_rng(5), order=order)


def torch_agrees(call: Call, torch_call: Call, *arrays: np.ndarray, tolerance: float = 1e-9) -> None:
    """Require PyTorch's value, its gradient along a fixed direction, and that gradient's own gradient."""
    import torch

    rng = np.random.default_rng(11)
    ours = leaves_of(*(x.astype(float) for x in arrays))
    theirs = [torch.tensor(np.array(x, dtype=float), requires_grad=True) for x in arrays]
    y, t = call(*ours), torch_call(*theirs)
    close(y.data, t.detach().numpy(), tolerance)
    weight = rng.uniform(0.5, 1.5, y.shape)
    loss, torch_loss = (y * weight).sum(), (t * torch.tensor(weight)).sum()
    slopes = [loss.gradient(x, create_graph=True) for x in ours]
    torch_slopes = torch.autograd.grad(torch_loss, theirs, create_graph=True)
    directions = [rng.uniform(-1, 1, x.shape) for x in ours]
    for slope, torch_slope in zip(slopes, torch_slopes, strict=True):
        close(slope.data, torch_slope.detach().numpy(), tolerance)
    bend = sum((s * v).sum() for s, v in zip(slopes, directions, strict=True))
    torch_bend = sum((s * torch.tensor(v)).sum() for s, v in zip(torch_slopes, directions, strict=True))
    if not torch_bend.requires_grad:
        return
    bends = torch.autograd.grad(torch_bend, theirs, allow_unused=True)
    if bend.requires_grad:
        bend.backward()
    for x, expected in zip(ours, bends, strict=True):
        got = np.zeros(x.shape) if x.grad is None else x.grad
        close(got, np.zeros(x.shape) if expected is None else expected.numpy(force=True), tolerance)


def close(got: Any, expected: Any, tolerance: float) -> None:
    """Compare relative to the largest entry."""
    scale = max(1.0, float(np.max(np.abs(expected), initial=0, where=np.isfinite(expected))))
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * scale)
