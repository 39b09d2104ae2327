"""Initial weights: PyTorch's bounds and deviations, from explicit generators."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn import init

SHAPES = [(40, 60), (300, 20), (30, 20, 3)]
NONLINEARITIES = ["relu", "leaky_relu", "tanh", "sigmoid", "linear"]


def expected_fans(shape):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    return torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))


def spread(function, *args, **kwargs):
    """The largest absolute value and the deviation of many draws."""
    draws = np.stack([function(*args, seed=seed, **kwargs) for seed in range(20)])
    assert abs(draws.mean()) < 5 * draws.std() / math.sqrt(draws.size)
    return np.abs(draws).max(), draws.std()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gain", [1.0, 5 / 3])
def test_xavier_has_the_bound_and_deviation_of_pytorchs(shape, gain):
    deviation = gain * math.sqrt(2 / sum(expected_fans(shape)))
    bound, uniform = spread(init.xavier_uniform, shape, gain)
    assert 0.999 * math.sqrt(3) * deviation < bound <= math.sqrt(3) * deviation
    assert uniform == pytest.approx(deviation, rel=0.02)
    assert spread(init.xavier_normal, shape, gain)[1] == pytest.approx(deviation, rel=0.02)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_kaiming_has_the_bound_and_deviation_of_pytorchs(shape, mode, nonlinearity):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    fan = expected_fans(shape)[mode == "fan_out"]
    deviation = torch.nn.init.calculate_gain(nonlinearity, 0.3) / math.sqrt(fan)
    bound, uniform = spread(init.kaiming_uniform, shape, 0.3, mode, nonlinearity)
    assert 0.999 * math.sqrt(3) * deviation < bound <= math.sqrt(3) * deviation
    assert uniform == pytest.approx(deviation, rel=0.02)
    assert spread(init.kaiming_normal, shape, 0.3, mode, nonlinearity)[1] == pytest.approx(deviation, rel=0.02)


def test_the_distribution_is_pytorchs():
    """Ours and theirs agree in ten quantiles, for each of the four functions."""
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    torch.manual_seed(0)
    at = np.linspace(0.05, 0.95, 10)
    for ours, theirs in [
        (init.xavier_uniform, torch.nn.init.xavier_uniform_),
        (init.xavier_normal, torch.nn.init.xavier_normal_),
        (init.kaiming_uniform, torch.nn.init.kaiming_uniform_),
        (init.kaiming_normal, torch.nn.init.kaiming_normal_),
    ]:
        a = ours((300, 200), seed=0)
        b = theirs(torch.empty(300, 200, dtype=torch.float64)).numpy()
        np.testing.assert_allclose(np.quantile(a, at), np.quantile(b, at), atol=0.02 * b.std())


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_gains_are_pytorchs(nonlinearity):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    assert init.calculate_gain(nonlinearity) == torch.nn.init.calculate_gain(nonlinearity)
    assert init.calculate_gain(nonlinearity, 0.2) == torch.nn.init.calculate_gain(nonlinearity, 0.2)


def test_an_unknown_nonlinearity_is_refused():
    with pytest.raises(ValueError, match=r"no gain is known for 'mish'; choose from elu, .*tanh"):
        init.calculate_gain("mish")


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), gain=st.floats(0.1, 3), seed=st.integers(0, 100))
def test_orthogonal_has_orthonormal_rows_or_columns(rows, columns, gain, seed):
    w = init.orthogonal((rows, columns), gain, seed=seed) / gain
    product = w @ w.T if rows <= columns else w.T @ w
    np.testing.assert_allclose(product, np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_takes_later_axes_as_one_and_has_no_preferred_sign():
    w = init.orthogonal((4, 3, 2), seed=0).reshape(4, 6)
    np.testing.assert_allclose(w @ w.T, np.eye(4), atol=1e-12)
    corner = [init.orthogonal((2, 2), seed=seed)[0, 0] for seed in range(400)]
    assert abs(np.mean(corner)) < 5 * np.std(corner) / 20


DRAWN = [init.xavier_uniform, init.xavier_normal, init.kaiming_uniform, init.kaiming_normal, init.orthogonal]


@pytest.mark.parametrize("function", DRAWN)
def test_draws_come_from_the_seed_or_generator_given(function):
    assert np.array_equal(function((3, 4), seed=5), function((3, 4), seed=5))
    assert np.array_equal(function((3, 4), seed=5), function((3, 4), seed=np.random.default_rng(5)))
    assert not np.array_equal(function((3, 4), seed=5), function((3, 4), seed=6))
    assert not np.array_equal(function((3, 4)), function((3, 4)))
    rng = np.random.default_rng(0)
    assert not np.array_equal(function((3, 4), seed=rng), function((3, 4), seed=rng))
    state = np.random.get_state()[1].copy()
    function((3, 4))
    assert np.array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize("function", [*DRAWN, init.zeros])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_and_shape_are_those_asked_for(function, dtype):
    w = function([3, 4], dtype=dtype)
    assert w.dtype == dtype
    assert w.shape == (3, 4)


@pytest.mark.parametrize("function", DRAWN)
@pytest.mark.parametrize("shape", [(), (3,), (0, 3)])
def test_shapes_without_fans_are_refused(function, shape):
    with pytest.raises(ValueError, match=r"\(out, in, \.\.\.\)"):
        function(shape)


def test_zeros_and_mode():
    assert not init.zeros((2, 3)).any()
    with pytest.raises(ValueError, match='"fan_in" or "fan_out", got \'both\''):
        init.kaiming_normal((2, 2), mode="both")


@pytest.mark.parametrize(("activation", "he"), [("relu", True), ("gelu", True), ("tanh", False), ("anything", False)])
def test_the_default_fits_the_activation(activation, he):
    expected = init.kaiming_uniform((5, 4), seed=0) if he else init.xavier_uniform((5, 4), seed=0)
    assert np.array_equal(init.fitting(activation)((5, 4), seed=0), expected)
