"""Module: what it finds, how it names it, and how states go in and out."""

import copy
import pickle

import numpy as np
import pytest

import autodiff.engine  # noqa: F401
from autodiff.state import current_scope
from autodiff.tensor import Tensor
from nn.layers import MLP, BatchNorm1d, Linear, Sequential
from nn.module import Module, Parameter


class Net(Module):
    """One of each place where a parameter can stand."""

    def __init__(self):
        self.scale = Parameter([1.0, 2.0])
        self.encoder = Linear(2, 3, seed=0)
        self.blocks = [Linear(3, 3, seed=1), (Linear(3, 3, bias=False, seed=2), {"head": Linear(3, 1, seed=3)})]
        self.extra = {"shift": Parameter(0.5), "list": [Parameter([1.0])]}
        self.note = ["not", "a", "layer"]

    def forward(self, x):
        return self.encoder(x * self.scale)


NAMES = [
    "scale",
    "extra.shift",
    "extra.list.0",
    "encoder.weight",
    "encoder.bias",
    "blocks.0.weight",
    "blocks.0.bias",
    "blocks.1.0.weight",
    "blocks.1.1.head.weight",
    "blocks.1.1.head.bias",
]


class Scopes(Module):
    def forward(self, x):
        return current_scope()


def test_everything_is_found_and_named_wherever_it_stands():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert list(net.state_dict()) == NAMES
    assert all(a is b for a, b in zip(net.parameters(), dict(net.named_parameters()).values(), strict=True))
    assert [name for name, _ in net.named_modules()] == [
        "",
        "encoder",
        "blocks.0",
        "blocks.1.0",
        "blocks.1.1.head",
    ]
    assert [m for _, m in net.named_modules()] == list(net.modules())
    assert list(net.children()) == list(net.modules())[1:]


def test_parameter_is_a_named_tensor_that_requires_a_gradient():
    net = Net()
    assert isinstance(net.scale, Tensor)
    assert net.scale.requires_grad
    assert net.scale.name == "scale"
    assert net.encoder.weight.name == "weight"
    assert Parameter([1.0], name="mine").name == "mine"
    assert Parameter([1.0], dtype=np.float32).dtype == np.float32
    assert not Parameter([1.0], requires_grad=False).requires_grad
    with pytest.raises(TypeError, match="float"):
        Parameter([1, 2])


def test_init_of_the_base_class_may_be_called_or_left_out():
    class Called(Module):
        def __init__(self):
            super().__init__()
            self.w = Parameter([1.0])

    class LeftOut(Module):
        def __init__(self):
            self.w = Parameter([1.0])

    for net in (Called(), LeftOut()):
        assert [name for name, _ in net.named_parameters()] == ["w"]
        assert net.training
        assert not net.eval().training


def test_forward_must_be_defined():
    class Empty(Module):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty has no forward\(\)"):
        Empty()(1)


def test_what_is_shared_comes_once_but_is_saved_under_each_name():
    net = Module()
    net.a = Linear(2, 2, seed=0)
    net.b = net.a
    net.c = Linear(2, 2, seed=1)
    net.c.weight = net.a.weight
    assert [name for name, _ in net.named_parameters()] == ["a.weight", "a.bias", "c.bias"]
    assert [name for name, _ in net.named_modules()] == ["", "a", "c"]
    state = net.state_dict()
    assert list(state) == ["a.weight", "a.bias", "b.weight", "b.bias", "c.weight", "c.bias"]
    net.load_state_dict(state)
    state["b.bias"] = state["b.bias"] + 1
    with pytest.raises(ValueError, match=r"b\.bias: is the same array as a\.bias"):
        net.load_state_dict(state)
    assert "  b: Linear(2, 2)  shared with a\n" in repr(net)
    assert "8 parameters" in repr(net)


def test_modules_may_refer_to_each_other_in_a_circle():
    net, child = Module(), Linear(1, 1, seed=0)
    net.child = child
    child.parent = net
    net.ring = [net]
    assert [name for name, _ in net.named_parameters()] == ["child.weight", "child.bias"]
    assert list(net.state_dict()) == ["child.weight", "child.bias"]
    assert "shared with the top" in repr(net)
    assert not net.eval().child.training
    ring = []
    ring.append(ring)
    net.endless = ring
    assert len(list(net.modules())) == 2


def test_attributes_can_be_replaced_and_deleted():
    net = Net()
    net.scale = Parameter([3.0, 4.0])
    assert next(net.parameters()).tolist() == [3.0, 4.0]
    net.scale = None
    del net.extra
    net.blocks[1] = Linear(3, 2, seed=0)
    assert list(net.state_dict()) == [n for n in NAMES if n.startswith("enc")] + [
        "blocks.0.weight",
        "blocks.0.bias",
        "blocks.1.weight",
        "blocks.1.bias",
    ]
    net.scale = Parameter([1.0])
    assert "scale" in net.state_dict()


@pytest.mark.parametrize("value", [np.ones(2), Tensor([1.0, 2.0]), 3.0, [1.0]])
def test_a_parameter_is_not_lost_to_a_plain_value(value):
    net = Net()
    with pytest.raises(TypeError, match=r"Net\.scale is a parameter .* write `scale\.data = \.\.\.`"):
        net.scale = value
    assert isinstance(net.scale, Parameter)


def test_two_entries_of_one_name_are_refused():
    net = Module()
    net.d = {"1": Parameter([1.0]), 1: Parameter([2.0])}
    with pytest.raises(ValueError, match=r"two parameters or buffers are named 'd\.1'"):
        net.state_dict()


def test_train_and_eval_reach_all_modules():
    net = Net()
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert net.train() is net
    assert all(m.training for m in net.modules())
    net.encoder.eval()
    assert [m.training for m in net.children()] == [False, True, True, True]


def test_zero_grad_forgets_gradients():
    net = Net()
    net(np.ones((2, 2))).sum().backward()
    assert net.scale.grad is not None
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_buffers_are_saved_but_not_learnt():
    net = Module()
    net.register_buffer("mean", [1, 2])
    net.register_buffer("absent", None)
    net.inner = BatchNorm1d(1)
    assert [name for name, _ in net.named_parameters()] == ["inner.weight", "inner.bias"]
    assert [name for name, _ in net.named_buffers()] == [
        "mean",
        "inner.running_mean",
        "inner.running_var",
        "inner.num_batches_tracked",
    ]
    assert next(iter(net.state_dict())) == "mean"
    net.mean = np.float64(3)  # a numpy scalar could not be loaded into
    assert isinstance(net.mean, np.ndarray)
    net.load_state_dict({**net.state_dict(), "mean": 7.0})
    assert net.mean == 7.0
    with pytest.raises(TypeError, match=r"write `mean = t\.data`"):
        net.mean = Tensor([1.0])
    with pytest.raises(ValueError, match="attribute already"):
        net.register_buffer("inner", np.ones(2))
    del net.mean
    assert "mean" not in net.state_dict()


def test_state_is_a_copy():
    net = Net()
    state = net.state_dict()
    state["scale"] += 1
    assert net.scale.tolist() == [1.0, 2.0]


def test_loading_writes_in_place():
    net, other = Net(), Net()
    for p in other.parameters():
        p.data = p.data + 1
    held = [(p, p.data) for p in net.parameters()]
    assert net.load_state_dict(other.state_dict()) == ([], [])
    for (p, array), q, r in zip(held, net.parameters(), other.parameters(), strict=True):
        assert p is q
        assert p.data is array
        assert np.array_equal(array, r.data)


def test_loading_marks_parameters_as_changed():
    net = Net()
    loss = (net.scale * net.scale).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_a_refused_state_lists_all_that_is_wrong_and_changes_nothing():
    net = Sequential(Linear(2, 3, seed=0), BatchNorm1d(3), Linear(3, 2, seed=1, dtype=np.float32))
    before = net.state_dict()
    state = net.state_dict()
    del state["0.bias"]
    state["0.weight"] = state["0.weight"].T
    state["1.weight"] = np.array(["a", "b", "c"])
    state["1.bias"] = state["1.bias"] + 1j
    state["1.running_var"] = np.zeros(4)
    state["1.running_mean"] = state["1.running_mean"] + 5
    state["1.num_batches_tracked"] = np.array(1.5)
    state["2.weight"] = np.full((2, 3), 1e300)
    state["2.bias"] = [[1], [1, 2]]
    state["typo"] = 1
    with pytest.raises(ValueError, match="nothing was loaded") as caught:
        net.load_state_dict(state)
    for line in (
        r"0.bias: missing, shape (3,)",
        r"typo: unexpected",
        r"0.weight: has shape (2, 3), which looks transposed: weights are (out, in); expected (3, 2)",
        r"1.weight: has dtype <U1, which does not become float64",
        r"1.bias: has dtype complex128, which does not become float64",
        r"1.running_var: has shape (4,); expected (3,)",
        r"1.num_batches_tracked: has dtype float64, which does not become int64",
        r"2.weight: holds numbers too large for float32",
        r"2.bias: not an array",
    ):
        assert line in str(caught.value)
    assert "running_mean" not in str(caught.value)
    for name, array in net.state_dict().items():
        assert np.array_equal(array, before[name])


def test_a_read_only_array_is_refused_before_anything_is_written():
    net = Sequential(Linear(1, 1, seed=0), Linear(1, 1, seed=1))
    net[1].bias.data.flags.writeable = False
    before = net.state_dict()
    with pytest.raises(ValueError, match=r"1\.bias: .*read-only"):
        net.load_state_dict({name: array + 1 for name, array in before.items()})
    assert np.array_equal(net[0].weight.data, before["0.weight"])


def test_not_strict_loads_what_fits_and_reports_the_rest():
    net = Linear(2, 1, seed=0)
    result = net.load_state_dict({"weight": [[1, 2]], "other": 1}, strict=False)
    assert result.missing == ["bias"]
    assert result.unexpected == ["other"]
    assert net.weight.tolist() == [[1.0, 2.0]]
    with pytest.raises(ValueError, match="weight: has shape"):
        net.load_state_dict({"weight": [1.0]}, strict=False)
    with pytest.raises(TypeError, match="mapping"):
        net.load_state_dict([("weight", 1)])


def test_states_are_exchanged_with_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    torch.manual_seed(0)

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Sigmoid(), torch.nn.Linear(3, 1))

        def forward(self, x):
            return self.layers(x)

    theirs, ours = Theirs().double(), MLP([2, 3, 1], seed=0)
    ours.load_state_dict({name: tensor.numpy() for name, tensor in theirs.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(4, 2))
    np.testing.assert_allclose(ours(x).data, theirs(torch.from_numpy(x)).detach().numpy(), rtol=1e-14, atol=1e-15)
    fresh = MLP([2, 3, 1], seed=1)
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in fresh.state_dict().items()})
    np.testing.assert_allclose(fresh(x).data, theirs(torch.from_numpy(x)).detach().numpy(), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            lambda: Sequential(Linear(2, 3), BatchNorm1d(3)),
            lambda nn: nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)),
        ),
        (lambda: BatchNorm1d(3, affine=False), lambda nn: nn.BatchNorm1d(3, affine=False)),
        (lambda: BatchNorm1d(3, track_running_stats=False), lambda nn: nn.BatchNorm1d(3, track_running_stats=False)),
    ],
)
def test_names_order_shapes_and_dtypes_are_pytorchs(ours, theirs):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    theirs = {name: tensor.numpy() for name, tensor in theirs(torch.nn).double().state_dict().items()}
    ours = ours().state_dict()
    assert [(n, a.shape, a.dtype) for n, a in ours.items()] == [(n, a.shape, a.dtype) for n, a in theirs.items()]


def test_scopes_follow_the_path_of_the_calls():
    class Outer(Module):
        def __init__(self):
            self.blocks = []
            self.blocks.append(Scopes())  # not there yet when the list was assigned
            self.inner = Sequential(Scopes())

        def forward(self, x):
            return self.blocks[0](x), self.inner(x), current_scope()

    assert Outer()(0) == (("blocks.0",), ("inner", "0"), ())
    assert current_scope() == ()


def test_the_scope_is_put_back_after_an_error():
    net = Sequential(Linear(2, 1, seed=0))
    with pytest.raises(ValueError, match="takes inputs"):
        net(np.ones((3, 5)))
    assert current_scope() == ()


def test_operations_carry_the_scope():
    net = MLP([2, 3, 1], seed=0)
    y = net(np.ones((1, 2)))
    assert y.scope == ("layers.2",)
    assert y.inputs[0].scope == ("layers.1",)


def test_repr_is_a_tree_with_counts():
    assert repr(MLP([2, 5, 5, 1], seed=0)).splitlines() == [
        "MLP                       51 parameters",
        "  layers.0: Linear(2, 5)  15",
        "  layers.1: Sigmoid()",
        "  layers.2: Linear(5, 5)  30",
        "  layers.3: Sigmoid()",
        "  layers.4: Linear(5, 1)  6",
    ]
    net = Net()
    net.scale.requires_grad = False
    lines = repr(net).splitlines()
    assert lines[0].split("  ")[-1].strip() == "38 parameters, 36 learnt"
    assert lines[1].split() == ["scale:", "(2,)", "2"]
    assert repr(Linear(2, 1, bias=False, seed=0)) == "Linear(2, 1, bias=False)  2 parameters"
    assert repr(Scopes()) == "Scopes()"


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_deep_copies_are_independent_and_keep_what_is_shared(duplicate):
    net = Net()
    net.tied = net.scale
    net.norm = BatchNorm1d(2)
    twin = duplicate(net.eval())
    assert twin.tied is twin.scale
    assert twin.scale is not net.scale
    assert isinstance(twin.scale, Parameter)
    assert not twin.encoder.training
    for (name, a), (other, b) in zip(net.state_dict().items(), twin.state_dict().items(), strict=True):
        assert name == other
        assert np.array_equal(a, b)
    with_grad = twin(np.ones((1, 2)))
    with_grad.sum().backward()
    twin.norm.running_mean += 1
    assert net.scale.grad is None
    assert np.array_equal(net.norm.running_mean, [0, 0])


def test_a_shallow_copy_shares_parameters_but_not_its_attributes():
    net = Net()
    twin = copy.copy(net)
    twin.eval()
    twin.scale = None
    twin.register_buffer("own", np.ones(1))
    assert twin.encoder is net.encoder
    assert net.training
    assert net.scale is not None
    assert "own" not in net.state_dict()
