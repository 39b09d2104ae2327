"""Judges of functions that only move elements: where each one came from, numpy itself says on an array of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autodiff import Tensor, as_tensor
from tests.autodiff.numeric import check_gradient, depends, plain

Call = Callable[..., Any]


def leaves_of(arrays: tuple[Any, ...]) -> list[Tensor]:
    """Tensors that require a gradient, laid out in memory as the arrays are."""
    leaves = [as_tensor(x) for x in arrays]
    for leaf in leaves:
        leaf.requires_grad = True
    return leaves


def flat(result: Any) -> list[Any]:
    """All arrays in nested lists and tuples, in order."""
    return [leaf for part in result for leaf in flat(part)] if isinstance(result, (list, tuple)) else [result]


def same(got: Any, expected: Any) -> None:
    """Require the same nesting, shapes, dtypes and values as numpy gave."""
    assert isinstance(got, (list, tuple)) == isinstance(expected, (list, tuple))
    for ours, numpys in zip(flat(got), flat(expected), strict=True):
        assert plain(ours).shape == np.shape(numpys)
        assert plain(ours).dtype == np.asarray(numpys).dtype
        np.testing.assert_array_equal(plain(ours), numpys)


def check_moves(call: Call, *arrays: np.ndarray, layout: Call = np.copy) -> None:
    """Require that `call` does to Tensors what it does to arrays, with exact first and second derivatives.

    `call` must only move, repeat and leave out elements, and put in zeros.
    """
    starts = np.cumsum([1, *(x.size for x in arrays)])
    numbered = [layout(s + np.arange(x.size).reshape(x.shape)) for s, x in zip(starts, arrays, strict=False)]
    arrays = tuple(layout(x) for x in arrays)
    sources = [np.asarray(s) for s in flat(call(*numbered))]
    assert sources
    xs = leaves_of(arrays)
    ys = flat(call(*xs))
    same(call(*xs), call(*arrays))
    if starts[-1] == 1:
        return  # nothing to move
    rng = np.random.default_rng(starts[-1])
    upstream = leaves_of(tuple(rng.normal(size=y.shape) for y in ys))
    loss = sum((y * u).sum() for y, u in zip(ys, upstream, strict=True) if isinstance(y, Tensor))
    expected = sum(np.bincount(s.ravel(), u.data.ravel(), starts[-1]) for s, u in zip(sources, upstream, strict=True))
    if not getattr(loss, "requires_grad", False):
        assert not np.any(expected[1:])
        return
    used = [depends(loss, x) for x in xs]
    gradients = [loss.gradient(x, create_graph=True) if yes else None for x, yes in zip(xs, used, strict=True)]
    loss.backward()
    for x, g, start in zip(xs, gradients, starts, strict=False):
        wanted = expected[start : start + x.size].reshape(x.shape)
        for got in (np.zeros(x.shape),) if g is None else (x.grad, plain(g)):
            assert got.shape == x.shape
            np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-14)
    # The gradient is linear in what comes from upstream, and its derivative by that is the same move once more.
    directions = [np.asarray(rng.normal(size=x.shape)) for x in arrays]
    slope = sum((g * v).sum() for g, v in zip(gradients, directions, strict=True) if g is not None)
    row = np.concatenate([[0.0], *(v.ravel() for v in directions)])
    for u, s in zip(upstream, sources, strict=True):
        wanted = row[s]
        got = slope.gradient(u) if depends(slope, u) else np.zeros(u.shape)
        np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-14)


def check_numerically(call: Call, *arrays: np.ndarray) -> None:
    """Require numpy's values, and derivatives that agree with differences to second order."""
    got, expected = flat(call(*leaves_of(arrays))), flat(call(*arrays))
    for i, (ours, numpys) in enumerate(zip(got, expected, strict=True)):
        assert (plain(ours).shape, plain(ours).dtype) == (np.shape(numpys), np.asarray(numpys).dtype)
        np.testing.assert_allclose(plain(ours), numpys, rtol=1e-14, atol=1e-15)
        if isinstance(ours, Tensor):
            check_gradient(lambda *xs, i=i: flat(call(*xs))[i], *arrays, rng=np.random.default_rng(i))


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Distinct numbers, none of them near another, nor near zero."""
    n = int(np.prod(shape, dtype=int))
    rng = np.random.default_rng([seed, n])
    return np.asarray((rng.permutation(n) - n // 2 + rng.uniform(0.3, 0.7, n)) / max(n, 1) * 3).reshape(shape)


#: The same elements, differently laid out in memory.
LAYOUTS: list[Call] = [
    np.copy,
    np.asfortranarray,
    lambda x: np.flip(np.flip(x).copy()),
    lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
]


def torch_agrees(ours: Call, theirs: Call, *arrays: np.ndarray) -> None:
    """Compare value, gradient and second derivative with PyTorch's, through a cubic so that the last is not zero."""
    import torch

    xs = leaves_of(arrays)
    ts = [torch.tensor(x, requires_grad=True) for x in arrays]
    y, z = ours(*(x * x * x for x in xs)), theirs(*(t * t * t for t in ts))
    ys, zs = flat(y), list(z) if isinstance(z, (tuple, list)) else [z]
    weights = [np.cos(np.arange(a.size)).reshape(a.shape) for a in ys]
    loss = sum((a * a * w).sum() for a, w in zip(ys, weights, strict=True))
    target = sum((b * b * torch.tensor(w)).sum() for b, w in zip(zs, weights, strict=True))
    for a, b in zip(ys, zs, strict=True):
        np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-12, atol=1e-12)
    xs, ts = zip(*((x, t) for x, t in zip(xs, ts, strict=True) if depends(loss, x)), strict=True)
    gradients = [loss.gradient(x, create_graph=True) for x in xs]
    targets = torch.autograd.grad(target, ts, create_graph=True)
    for g, t in zip(gradients, targets, strict=True):
        np.testing.assert_allclose(g.data, t.detach().numpy(), rtol=1e-9, atol=1e-9)
    sum((g * np.sin(1 + np.arange(g.size)).reshape(g.shape)).sum() for g in gradients).backward()
    seconds = torch.autograd.grad(
        sum((t * torch.sin(1 + torch.arange(t.numel(), dtype=torch.float64)).reshape(t.shape)).sum() for t in targets),
        ts,
    )
    for x, t in zip(xs, seconds, strict=True):
        np.testing.assert_allclose(x.grad, t.numpy(), rtol=1e-9, atol=1e-9)
