"""Hooks: called with a tensor's complete gradient, able to replace it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autodiff import Tensor


@pytest.fixture
def x() -> Tensor:
    return Tensor([1.0, 2.0], requires_grad=True, name="x")


def test_hooks_see_the_gradient(x: Tensor) -> None:
    seen: dict[str, Any] = {}
    y = x * 3
    x.register_hook(lambda g: seen.update(leaf=g))
    y.register_hook(lambda g: seen.update(middle=g))
    loss = (y * y).sum()
    loss.register_hook(lambda g: seen.update(root=g))
    loss.backward()
    np.testing.assert_array_equal(seen["root"], 1.0)
    np.testing.assert_array_equal(seen["middle"], [6.0, 12.0])
    np.testing.assert_array_equal(seen["leaf"], [18.0, 36.0])


def test_hooks_run_in_the_order_of_registration_each_on_the_last_ones_result(x: Tensor) -> None:
    x.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: g * 10)
    x.sum().backward()
    np.testing.assert_array_equal(x.grad, [20.0, 20.0])


def test_what_a_middle_hook_returns_flows_on(x: Tensor) -> None:
    y = x * 3
    y.register_hook(lambda g: -g)
    y.sum().backward(retain_grads=True)
    np.testing.assert_array_equal(y.grad, [-1.0, -1.0])
    np.testing.assert_array_equal(x.grad, [-3.0, -3.0])


def test_a_hook_is_called_once_with_the_sum_of_all_paths(x: Tensor) -> None:
    calls = []
    x.register_hook(lambda g: calls.append(g.copy()))
    (x * 2 + x * 5).sum().backward()
    assert len(calls) == 1
    np.testing.assert_array_equal(calls[0], [7.0, 7.0])


def test_hooks_run_in_every_pass_before_accumulation(x: Tensor) -> None:
    x.register_hook(lambda g: g * 2)
    for _ in range(2):
        x.sum().backward()
    np.testing.assert_array_equal(x.grad, [4.0, 4.0])
    np.testing.assert_array_equal(x.sum().gradient(x), [2.0, 2.0])


def test_a_leaf_that_is_the_root_runs_its_hooks() -> None:
    s = Tensor(3.0, requires_grad=True)
    s.register_hook(lambda g: 10 * g)
    s.backward()
    np.testing.assert_array_equal(s.grad, 10.0)


def test_removal(x: Tensor) -> None:
    handle = x.register_hook(lambda g: g * 100)
    x.register_hook(lambda g: g * 2)
    handle.remove()
    handle.remove()  # a second call does nothing
    x.sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 2.0])


def test_a_hook_may_remove_itself(x: Tensor) -> None:
    def once(g: Any) -> Any:
        handle.remove()
        return g * 100

    handle = x.register_hook(once)
    x.register_hook(lambda g: g + 1)
    x.sum().backward()
    x.sum().backward()
    np.testing.assert_array_equal(x.grad, [103.0, 103.0])


@pytest.mark.parametrize("bad", [np.ones(3), 1.0, np.ones((2, 1))], ids=["length", "scalar", "rank"])
@pytest.mark.parametrize("where", ["leaf", "middle"])
def test_a_hook_that_returns_another_shape_is_refused(x: Tensor, bad: Any, where: str) -> None:
    y = x * 2
    (x if where == "leaf" else y).register_hook(lambda g: bad)
    with pytest.raises(ValueError, match=r"hook on .*returned shape .* for a gradient of shape \(2,\)"):
        y.sum().backward()
    assert x.grad is None


def test_what_a_hook_returns_is_brought_to_the_tensors_dtype() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True, dtype=np.float32)
    x.register_hook(lambda g: np.array([0.5, 0.25]))
    x.sum().backward()
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad, [0.5, 0.25])


def test_a_hook_may_return_a_list(x: Tensor) -> None:
    x.register_hook(lambda g: [0.5, 0.25])
    x.sum().backward()
    assert type(x.grad) is np.ndarray
    np.testing.assert_array_equal(x.grad, [0.5, 0.25])


def test_grad_does_not_share_memory_with_what_a_hook_returned(x: Tensor) -> None:
    x.register_hook(lambda g: x.data)
    x.sum().backward()
    assert not np.shares_memory(x.grad, x.data)


def test_a_hook_takes_part_in_higher_derivatives(x: Tensor) -> None:
    y = x * x
    handle = y.register_hook(lambda g: g * 2)
    first = (y * y).sum().gradient(x, create_graph=True)
    np.testing.assert_allclose(first.data, 8 * x.data**3)
    handle.remove()  # or it would double y's gradient in the second pass too
    np.testing.assert_allclose(first.sum().gradient(x), 24 * x.data**2)


def test_only_a_tensor_that_gets_a_gradient_takes_a_hook() -> None:
    with pytest.raises(RuntimeError, match="requires a gradient"):
        Tensor([1.0]).register_hook(print)


def test_a_hook_must_be_callable(x: Tensor) -> None:
    with pytest.raises(TypeError, match=r"called with the gradient.*got 3"):
        x.register_hook(3)  # type: ignore[arg-type]
