"""Layers: PyTorch's values and gradients from the same weights, explicit randomness, and errors that name the cure."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import autodiff.engine  # noqa: F401
from autodiff.ops.activations import sigmoid
from autodiff.tensor import Tensor
from nn import activations, init
from nn.activations import Activation, Identity, ReLU, Sigmoid
from nn.layers import MLP, BatchNorm1d, Dropout, LayerNorm, Linear, Sequential
from nn.module import Module, Parameter

needs_torch = "PyTorch is the oracle"


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def compare(ours, theirs, x, *, rtol=1e-10):
    """Give both the same parameters; then output, gradients and buffers must agree."""
    torch = pytest.importorskip("torch", reason=needs_torch)
    theirs.double()
    for i, p in enumerate(ours.parameters()):
        p.data = p.data + 0.3 * normal(*p.shape, seed=i + 10)
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in ours.state_dict().items()})
    mine, their = Tensor(x, requires_grad=True), torch.from_numpy(x).requires_grad_()
    a, b = ours(mine), theirs(their)
    upstream = normal(*a.shape, seed=99)
    a.backward(upstream)
    b.backward(torch.from_numpy(upstream))
    np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(mine.grad, their.grad.numpy(), rtol=rtol, atol=1e-12)
    for (name, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=rtol, atol=1e-12, err_msg=name)
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], value.numpy(), rtol=rtol, atol=1e-12, err_msg=name)


# Linear


@settings(deadline=None)
@given(
    lead=st.lists(st.integers(1, 4), max_size=3),
    fan_in=st.integers(1, 5),
    fan_out=st.integers(1, 5),
    bias=st.booleans(),
)
def test_linear_is_pytorchs_for_any_leading_axes(lead, fan_in, fan_out, bias):
    torch = pytest.importorskip("torch", reason=needs_torch)
    compare(Linear(fan_in, fan_out, bias, seed=0), torch.nn.Linear(fan_in, fan_out, bias), normal(*lead, fan_in))


def test_linear_takes_arrays_lists_and_tensors():
    layer = Linear(2, 1, init=lambda shape, **_: np.array([[1.0, 2.0]]))
    assert layer(np.array([[3, 4]])).tolist() == [[11.0]]
    assert layer([[3, 4]]).tolist() == [[11.0]]
    assert layer(Tensor([3.0, 4.0])).tolist() == [11.0]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((3, 5)), r"Linear\(2, 4\) takes inputs of shape \(\.\.\., 2\), got \(3, 5\)$"),
        (np.ones((2, 5)), r"got \(2, 5\); samples seem to be in columns: pass x\.T"),
        (np.ones(3), r"got \(3,\)$"),
        (1.0, r"got \(\)$"),
        (np.ones((5, 1, 2, 1)), r"pass x\.reshape\(len\(x\), -1\)"),
        (Tensor(np.ones((2, 5))), "pass x.T"),
    ],
)
def test_linear_names_the_shapes_and_the_cure(x, message):
    with pytest.raises(ValueError, match=message):
        Linear(2, 4, seed=0)(x)


def test_linear_with_one_feature_says_how_to_make_a_column():
    with pytest.raises(ValueError, match=r"got \(3,\); for one feature per sample pass x\[:, None\]"):
        Linear(1, 4, seed=0)(np.ones(3))


@pytest.mark.parametrize("width", [0, -1, 1.5, "2", True])
def test_widths_must_be_whole_and_positive(width):
    for make in (
        lambda: Linear(width, 1),
        lambda: Linear(1, width),
        lambda: LayerNorm(width),
        lambda: BatchNorm1d(width),
    ):
        with pytest.raises(ValueError, match="must be a whole number of at least 1"):
            make()


def test_biases_start_at_zero_and_weights_come_from_the_seed():
    a, b = Linear(3, 2, seed=4), Linear(3, 2, seed=np.random.default_rng(4))
    assert np.array_equal(a.weight.data, b.weight.data)
    assert np.array_equal(a.weight.data, init.xavier_uniform((2, 3), seed=4))
    assert not a.bias.data.any()
    assert not np.array_equal(Linear(3, 2).weight.data, Linear(3, 2).weight.data)


# Activations

TORCH_NAMES = ["Sigmoid", "Tanh", "ReLU", "LeakyReLU", "ELU", "Softplus", "GELU", "SiLU", "Identity"]


@pytest.mark.parametrize("name", TORCH_NAMES)
def test_activations_are_pytorchs(name):
    torch = pytest.importorskip("torch", reason=needs_torch)
    # Softplus there gives up its own formula above `threshold`.
    options = {"threshold": 1e9} if name == "Softplus" else {}
    compare(getattr(activations, name)(), getattr(torch.nn, name)(**options), 3 * normal(5, 4))


def test_parametrised_activations_are_pytorchs():
    torch = pytest.importorskip("torch", reason=needs_torch)
    x = normal(5, 4)
    compare(activations.LeakyReLU(0.3), torch.nn.LeakyReLU(0.3), x)
    compare(activations.ELU(0.7), torch.nn.ELU(0.7), x)
    for axis in (0, 1, -1):
        compare(activations.Softmax(axis), torch.nn.Softmax(axis), x)
        compare(activations.LogSoftmax(axis), torch.nn.LogSoftmax(axis), x)


def test_activations_describe_themselves():
    shown = [repr(m) for m in (Sigmoid(), activations.LeakyReLU(0.3), activations.Softmax(0), Activation(np.sin))]
    assert shown == ["Sigmoid()", "LeakyReLU(0.3)", "Softmax(axis=0)", "Activation(sin)"]


# Sequential


def test_sequential_is_a_list_of_layers():
    a, b, c = Linear(2, 3, seed=0), ReLU(), Linear(3, 1, seed=1)
    net = Sequential(a, b).append(c)
    assert len(net) == 3
    assert list(net) == [a, b, c]
    assert net[0] is a
    assert net[-1] is c
    assert isinstance(net[1:], Sequential)
    assert list(net[1:]) == [b, c]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    x = normal(4, 2)
    np.testing.assert_array_equal(net(x).data, c(b(a(x))).data)
    net[-2] = np.tanh
    assert repr(net[1]) == "Activation(tanh)"
    assert net(x).inputs[0].scope == ("1",)
    with pytest.raises(IndexError):
        net[3] = b


def test_sequential_may_have_attributes_of_its_own():
    class Net(Sequential):
        def __init__(self):
            super().__init__(Linear(1, 1, seed=0))
            self.scale = Parameter([1.0])

    assert sorted(Net().state_dict()) == ["0.bias", "0.weight", "scale"]


def test_sequential_refuses_what_is_not_a_layer():
    with pytest.raises(TypeError, match=r"ReLU is a class; write ReLU\(\)"):
        Sequential(ReLU)
    with pytest.raises(TypeError, match="a Module or a callable, got 3"):
        Sequential(3)


# MLP


def test_mlp_is_the_network_written_out():
    net = MLP([2, 5, 5, 1], activation="tanh", output="sigmoid", seed=3)
    assert [type(m).__name__ for m in net.layers] == ["Linear", "Tanh", "Linear", "Tanh", "Linear", "Sigmoid"]
    w1, b1, w2, b2, w3, b3 = [p.data for p in net.parameters()]
    x = normal(4, 2)
    a = np.tanh(np.tanh(x @ w1.T + b1) @ w2.T + b2)
    np.testing.assert_allclose(net(x).data, 1 / (1 + np.exp(-(a @ w3.T + b3))), rtol=1e-14)


def test_mlp_gives_logits_unless_an_output_is_asked_for():
    net = MLP([2, 3, 1], seed=0)
    assert isinstance(net.layers[-1], Linear)
    assert [type(m) for m in MLP([2, 1], output="sigmoid", seed=0).layers] == [Linear, Sigmoid]


@pytest.mark.parametrize(
    ("activation", "gain"), [("relu", 6 / 20), ("gelu", 6 / 20), ("tanh", 6 / 50), (np.sin, 6 / 50)]
)
def test_mlp_draws_weights_that_fit_the_activation(activation, gain):
    net = MLP([20, 30, 40], activation=activation, seed=0)
    first, last = net.layers[0].weight.data, net.layers[2].weight.data
    assert np.abs(first).max() == pytest.approx(np.sqrt(gain), rel=0.02)
    assert np.abs(last).max() == pytest.approx(np.sqrt(6 / 70), rel=0.02)
    assert not net.layers[0].bias.data.any()


def test_mlp_knows_an_activation_however_it_is_given():
    nets = [MLP([2, 8, 1], activation=a, seed=0) for a in ("sigmoid", sigmoid, Sigmoid())]
    x = normal(3, 2)
    for net in nets:
        np.testing.assert_array_equal(net(x).data, nets[0](x).data)
    relus = [MLP([2, 8, 1], activation=a, seed=0).layers[0].weight.data for a in ("relu", ReLU())]
    assert np.array_equal(*relus)


def test_mlp_shares_the_parameters_of_an_activation_but_names_each_place():
    class Slope(Module):
        def __init__(self):
            self.slope = Parameter([0.5])

        def forward(self, x):
            return x * self.slope

    net = MLP([1, 2, 2, 1], activation=Slope(), seed=0)
    assert len([p for p in net.parameters() if p.name == "slope"]) == 1
    y = net(np.ones((1, 1)))
    scopes = []
    while y.op is not None:
        scopes.append(y.scope)
        y = y.inputs[0]
        if not isinstance(y, Tensor):
            break
    assert scopes == [("layers.4",), ("layers.3",), ("layers.2",), ("layers.1",), ("layers.0",)]


def test_mlp_takes_seed_dtype_and_init():
    a, b = MLP([2, 3, 1], seed=1), MLP([2, 3, 1], seed=1)
    assert all(np.array_equal(p.data, q.data) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    square = MLP([3, 3, 3], seed=1)
    assert not np.array_equal(square.layers[0].weight.data, square.layers[2].weight.data)
    assert not np.array_equal(MLP([2, 3, 1]).layers[0].weight.data, MLP([2, 3, 1]).layers[0].weight.data)
    net = MLP([2, 3, 1], dtype=np.float32, init=init.orthogonal, seed=0)
    assert {p.dtype for p in net.parameters()} == {np.dtype(np.float32)}
    np.testing.assert_allclose(net.layers[0].weight.data.T @ net.layers[0].weight.data, np.eye(2), atol=1e-6)


@pytest.mark.parametrize("widths", [[2], [], 2, "21"])
def test_mlp_needs_widths(widths):
    with pytest.raises(ValueError, match=r"as \[2, 5, 1\]; got"):
        MLP(widths)


def test_mlp_refuses_unknown_activations():
    with pytest.raises(ValueError, match="unknown activation 'swish'; choose from sigmoid, tanh, relu"):
        MLP([2, 2, 1], activation="swish")
    with pytest.raises(TypeError, match=r"write Sigmoid\(\)"):
        MLP([2, 2, 1], activation=Sigmoid)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept_through_all_layers(dtype):
    net = Sequential(
        Linear(3, 4, dtype=dtype, seed=0),
        BatchNorm1d(4, dtype=dtype),
        *(getattr(activations, name)() for name in TORCH_NAMES),
        LayerNorm(4, dtype=dtype),
        Dropout(0.5, seed=0),
        activations.LogSoftmax(),
    )
    x = Tensor(normal(5, 3, dtype=dtype), requires_grad=True)
    y = net(x)
    y.sum().backward()
    assert y.dtype == dtype
    assert x.grad.dtype == dtype
    assert all(p.grad.dtype == dtype for p in net.parameters())
    assert net[1].running_var.dtype == dtype
    assert net.eval()(x).dtype == dtype


# Dropout


def test_dropout_drops_and_scales_in_training_only():
    x = np.ones((200, 50))
    layer = Dropout(0.2, seed=0)
    y = layer(x)
    assert set(np.unique(y)) == {0.0, 1.25}
    assert y.mean() == pytest.approx(1, abs=0.02)
    assert layer.eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert not Dropout(1.0)(x).any()


def test_dropout_gives_the_gradient_of_what_was_kept():
    x = Tensor(normal(6, 5), requires_grad=True)
    y = Dropout(0.4, seed=1)(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, np.where(y.data == 0, 0, 1 / 0.6))
    assert len(y.inputs) == 2  # one operation


def test_dropout_draws_from_its_own_generator():
    x = np.ones((5, 5))
    a, b = Dropout(seed=3), Dropout(seed=3)
    first = a(x)
    assert np.array_equal(first, b(x))
    assert not np.array_equal(first, a(x))
    twin = pickle.loads(pickle.dumps(a))
    assert np.array_equal(twin(x), copy.deepcopy(a)(x))


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_dropout_takes_a_probability(p):
    with pytest.raises(ValueError, match="between 0 and 1, got"):
        Dropout(p)


# Normalisation


@pytest.mark.parametrize("shape", [(4,), (3, 4)])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"elementwise_affine": False}, {"eps": 0.1}])
def test_layer_norm_is_pytorchs(shape, options):
    torch = pytest.importorskip("torch", reason=needs_torch)
    compare(LayerNorm(shape, **options), torch.nn.LayerNorm(shape, **options), normal(5, 3, 4))


def test_layer_norm_takes_an_int_and_names_shapes():
    assert LayerNorm(3).weight.shape == (3,)
    with pytest.raises(ValueError, match=r"LayerNorm\(3\) takes inputs of shape \(\.\.\., 3\), got \(2, 4\)"):
        LayerNorm(3)(np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"LayerNorm\(2, 3\) takes inputs of shape \(\.\.\., 2, 3\), got \(3,\)"):
        LayerNorm((2, 3))(np.ones(3))


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4), (1, 3, 4)])
@pytest.mark.parametrize(
    "options", [{}, {"momentum": None}, {"momentum": 0.5}, {"affine": False}, {"track_running_stats": False}]
)
def test_batch_norm_is_pytorchs_in_training_and_evaluation(shape, options):
    torch = pytest.importorskip("torch", reason=needs_torch)
    ours, theirs = BatchNorm1d(3, **options), torch.nn.BatchNorm1d(3, **options)
    for seed in range(3):
        compare(ours, theirs, 2 + 3 * normal(*shape, seed=seed))
        ours.zero_grad()
        theirs.zero_grad()
    compare(ours.eval(), theirs.eval(), 2 + 3 * normal(*shape, seed=4))


def test_batch_norm_takes_plain_arrays_and_leaves_them_alone():
    x = normal(5, 2)
    before = x.copy()
    y = BatchNorm1d(2, affine=False)(x)
    assert isinstance(y, np.ndarray)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-12)
    assert np.array_equal(x, before)


def test_batch_norm_updates_its_buffers_in_place():
    layer = BatchNorm1d(2)
    held = layer.running_mean
    layer(normal(5, 2))
    assert layer.running_mean is held
    assert layer.num_batches_tracked == 1
    assert layer.num_batches_tracked.shape == ()


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (0, 3)])
def test_batch_norm_needs_two_values_per_feature_in_training(shape):
    layer = BatchNorm1d(3)
    with pytest.raises(ValueError, match=r"BatchNorm1d\(3\) needs two or more values per feature .*\.eval\(\) first"):
        layer(np.ones(shape))
    assert layer.num_batches_tracked == 0
    assert layer.eval()(np.ones(shape)).shape == shape


@pytest.mark.parametrize(
    ("shape", "cure"),
    [((4, 2), ""), ((3, 5), "pass x.T"), ((3,), r"pass x\[None\]"), ((2, 3, 2, 2), ""), ((2, 5, 3), "")],
)
def test_batch_norm_names_the_shapes(shape, cure):
    with pytest.raises(ValueError, match=r"takes inputs of shape \(N, 3\) or \(N, 3, L\), got .*" + cure):
        BatchNorm1d(3)(np.ones(shape))


def test_identity_is_the_input():
    x = np.ones(2)
    assert Identity()(x) is x
