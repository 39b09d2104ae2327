"""Shapes, axes, repetition, windows, diagonals and padding: every way numpy is called, on Tensors."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from autodiff import Tensor, as_tensor
from tests.autodiff.moves import LAYOUTS, check_moves, check_numerically, leaves_of, numbers, same, torch_agrees

some = settings(max_examples=60, deadline=None, database=None, derandomize=True)

MOVES: dict[str, Any] = {
    "reshape": lambda x: np.reshape(x, (3, -1)),
    "reshape in Fortran's order": lambda x: np.reshape(x, (6, 4), order="F"),
    "reshape to a list": lambda x: np.reshape(x, [4, 6]),
    "reshape to an int": lambda x: np.reshape(x, 24),
    "reshape in memory order": lambda x: np.reshape(x, (4, 6), "A"),
    "reshape, transposed, in memory order": lambda x: np.reshape(np.transpose(x), (4, 6), "A"),
    "reshape method": lambda x: x.reshape(2, -1),
    "reshape method, F": lambda x: x.reshape((4, 6), order="F"),
    "ravel": np.ravel,
    "ravel F": lambda x: np.ravel(x, "F"),
    "ravel A": lambda x: np.ravel(x, order="A"),
    "ravel K": lambda x: np.ravel(x, order="K"),
    "ravel K of swapped axes": lambda x: np.ravel(np.swapaxes(x, 0, 2), order="K"),
    "ravel K of reversed axes": lambda x: np.ravel(x[:, ::-1, ::-2].T, order="K"),
    "ravel method": lambda x: x.ravel("F"),
    "flatten": lambda x: x.flatten(),
    "flatten F": lambda x: x.flatten("F"),
    "transpose": np.transpose,
    "transpose to": lambda x: np.transpose(x, (1, -1, 0)),
    "transpose method": lambda x: x.transpose(2, 0, 1),
    "permute_dims": lambda x: np.permute_dims(x, axes=(1, 2, 0)),
    "matrix_transpose": np.matrix_transpose,
    "linalg.matrix_transpose": np.linalg.matrix_transpose,
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "swapaxes": lambda x: np.swapaxes(x, -1, axis2=0),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "moveaxis, several": lambda x: np.moveaxis(x, [0, -1], destination=[1, 0]),
    "rollaxis": lambda x: np.rollaxis(x, 2),
    "rollaxis forwards": lambda x: np.rollaxis(x, 0, 3),
    "rollaxis, negative": lambda x: np.rollaxis(x, axis=-1, start=-2),
    "expand_dims": lambda x: np.expand_dims(x, (0, -1)),
    "squeeze": lambda x: np.squeeze(x[None, ..., None], axis=(0, -1)),
    "squeeze all": lambda x: np.squeeze(x[:, :1]),
    "squeeze method": lambda x: x[:1].squeeze(0),
    "atleast_1d": lambda x: np.atleast_1d(x, x[0, 0, 0]),
    "atleast_2d": lambda x: np.atleast_2d(x, x[0, 0, 0], x[0, 0], x[0]),
    "atleast_3d": lambda x: np.atleast_3d(x, x[0, 0, 0], x[0, 0], x[0]),
    "atleast_3d of one": lambda x: np.atleast_3d(x[0]),
    "broadcast_to": lambda x: np.broadcast_to(x[:, :1], shape=(2, 2, 5, 4)),
    "broadcast_to, subok": lambda x: np.broadcast_to(x[0, 0], (2, 4), subok=True),
    "broadcast_arrays": lambda x: np.broadcast_arrays(x[0, 0], x[0, :, :1], x[:, :1, :1]),
    "broadcast_arrays of one": lambda x: np.broadcast_arrays(x),
    "meshgrid": lambda x: np.meshgrid(x[0, 0], x[0, :, 1]),
    "meshgrid ij": lambda x: np.meshgrid(x[0, 0], x[0, :, 1], x[:, 0, 0], indexing="ij"),
    "meshgrid xy of three": lambda x: np.meshgrid(x[0, 0], x[0, :, 1], x[:, 0, 0]),
    "meshgrid, sparse": lambda x: np.meshgrid(x[0, 0], x[0, :, 1], sparse=True),
    "meshgrid of one": lambda x: np.meshgrid(x[0, 0]),
    "meshgrid of a scalar": lambda x: np.meshgrid(x[0, 0, 0], x[0, 0]),
    "copy": np.copy,
    "copy F": lambda x: np.copy(x, order="F"),
    "copy method": lambda x: x.copy(),
    "copy method F": lambda x: x.copy("F"),
    "flip": np.flip,
    "flip one": lambda x: np.flip(x, 1),
    "flip two": lambda x: np.flip(x, axis=(0, -1)),
    "fliplr": np.fliplr,
    "flipud": np.flipud,
    "rot90": np.rot90,
    "rot90 twice": lambda x: np.rot90(x, 2, (1, 2)),
    "rot90 back": lambda x: np.rot90(x, k=-1, axes=(2, 0)),
    "roll": lambda x: np.roll(x, 5),
    "roll back": lambda x: np.roll(x, -1, axis=-1),
    "roll two": lambda x: np.roll(x, (1, -2), axis=(0, 2)),
    "roll an axis twice": lambda x: np.roll(x, (1, 2), axis=(1, 1)),
    "roll by one number along two": lambda x: np.roll(x, 1, axis=(0, 1)),
    "roll by an array": lambda x: np.roll(x, np.array([1, 2]), axis=(0, 1)),
    "tile": lambda x: np.tile(x, 2),
    "tile deeper": lambda x: np.tile(x, (2, 1, 3, 1)),
    "tile by an array": lambda x: np.tile(x, reps=np.array([2, 2])),
    "tile none": lambda x: np.tile(x, (0, 1)),
    "tile by nothing": lambda x: np.tile(x, ()),
    "repeat": lambda x: np.repeat(x, 2),
    "repeat along": lambda x: np.repeat(x, 3, axis=1),
    "repeat each": lambda x: np.repeat(x, [0, 2, 1], axis=1),
    "repeat by an array": lambda x: x.repeat(np.array([2, 0, 1, 1]), axis=-1),
    "resize": lambda x: np.resize(x, (5, 7)),
    "resize to less": lambda x: np.resize(x, 5),
    "resize to nothing": lambda x: np.resize(x, (0, 3)),
    "windows": lambda x: sliding_window_view(x, 2, axis=-1),
    "windows of all axes": lambda x: sliding_window_view(x, (1, 2, 3)),
    "windows twice along one": lambda x: sliding_window_view(x, (2, 2), axis=(2, 2)),
    "diag": lambda x: np.diag(x[0]),
    "diag above": lambda x: np.diag(x[0], 2),
    "diag below": lambda x: np.diag(x[0], k=-1),
    "diag of a vector": lambda x: np.diag(x[0, 0], 1),
    "diagflat": lambda x: np.diagflat(x[0, :2], -2),
    "diagonal": np.diagonal,
    "diagonal, other axes": lambda x: np.diagonal(x, 1, 2, 0),
    "diagonal method": lambda x: x.diagonal(offset=-1, axis1=1, axis2=2),
    "diagonal beyond": lambda x: np.diagonal(x, 9),
    "linalg.diagonal": lambda x: np.linalg.diagonal(x, offset=1),
    "tril": np.tril,
    "tril above": lambda x: np.tril(x, 1),
    "triu": lambda x: np.triu(x, k=-1),
    "triu of a vector": lambda x: np.triu(x[0, 0]),
    "pad": lambda x: np.pad(x, 1),
    "pad pair": lambda x: np.pad(x, (1, 2)),
    "pad each": lambda x: np.pad(x, ((1, 0), (0, 2), (1, 1))),
    "pad empty": lambda x: np.pad(x, 0, "empty"),
    "pad edge": lambda x: np.pad(x, 2, mode="edge"),
    "pad wrap": lambda x: np.pad(x, ((1, 2), (5, 7), (0, 3)), "wrap"),
    "pad reflect": lambda x: np.pad(x, ((1, 1), (0, 2), (3, 1)), "reflect"),
    "pad reflect far": lambda x: np.pad(x, 7, "reflect", reflect_type="even"),
    "pad symmetric": lambda x: np.pad(x, ((3, 1), (0, 7), (1, 9)), "symmetric"),
    "pad one, reflect": lambda x: np.pad(x[:, :1], 2, "reflect"),
}  # fmt: skip


@pytest.mark.parametrize("call", MOVES.values(), ids=MOVES)
def test_moves_are_numpys_with_exact_derivatives(call: Any) -> None:
    for layout in LAYOUTS:
        check_moves(call, numbers(2, 3, 4), layout=layout)


@pytest.mark.skipif(not hasattr(np, "unstack"), reason="these arguments came with numpy 2.1")
def test_reshape_by_name() -> None:
    check_moves(lambda x: np.reshape(x, shape=(6, 4), copy=True), numbers(2, 3, 4))
    check_moves(lambda x: np.reshape(x, -1, copy=False), numbers(2, 3, 4))
    with pytest.raises(ValueError, match="copy"):
        np.reshape(Tensor(numbers(2, 3), requires_grad=True).T, -1, copy=False)


@pytest.mark.parametrize("call", MOVES.values(), ids=MOVES)
def test_layout_is_read_as_numpy_reads_it(call: Any) -> None:
    """`as_tensor` shares memory, so that orders A and K, which look at it, see what numpy sees."""
    for layout in LAYOUTS:
        x = layout(numbers(2, 3, 4))
        same(call(as_tensor(x)), call(x))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 3), (2, 0), (2, 3), (1, 2, 0)])
@pytest.mark.parametrize("call", MOVES.values(), ids=MOVES)
def test_where_numpy_fails_so_do_tensors(call: Any, shape: tuple[int, ...]) -> None:
    x = numbers(*shape)
    try:
        expected = call(x)
    except (ValueError, IndexError, TypeError) as error:
        kind = type(error) if type(error) in (ValueError, IndexError, TypeError) else (ValueError, IndexError)
        with pytest.raises(kind):
            call(Tensor(x, requires_grad=True))
    else:
        same(call(Tensor(x, requires_grad=True)), expected)


SMOOTH: dict[str, Any] = {
    "pad constant": lambda x: np.pad(x, ((1, 2), (0, 1)), constant_values=2.5),
    "pad constants": lambda x: np.pad(x, 1, "constant", constant_values=((1.0, 2.0), (3.0, 4.0))),
    "pad by a Tensor": lambda x: np.pad(x, 2, constant_values=x[0, 0] * x[0, 0]),
    "pad by Tensors": lambda x: np.pad(x, (2, 1), constant_values=[x[0, 0], 1.0]),
    "pad by Tensors per axis": lambda x: np.pad(x, (2, 1), constant_values=[[x[0, 0], 1.0], [x[0, 1], x[1, 1]]]),
    "ramp": lambda x: np.pad(x, ((2, 3), (1, 4)), "linear_ramp"),
    "ramp to": lambda x: np.pad(x, (2, 3), "linear_ramp", end_values=(1.5, -0.5)),
    "ramp of one": lambda x: np.pad(x, (1, 0), "linear_ramp", end_values=3),
    "mean": lambda x: np.pad(x, ((2, 3), (0, 1)), "mean"),
    "mean of a few": lambda x: np.pad(x, (2, 3), "mean", stat_length=2),
    "mean of other few": lambda x: np.pad(x, (2, 3), "mean", stat_length=((1, 2), (7, 3))),
    "maximum": lambda x: np.pad(x, ((1, 1), (2, 0)), "maximum"),
    "maximum of a few": lambda x: np.pad(x, (1, 2), "maximum", stat_length=(2, 3)),
    "minimum": lambda x: np.pad(x, (0, 2), "minimum"),
    "median": lambda x: np.pad(x, (1, 2), "median"),
    "odd reflect": lambda x: np.pad(x, ((2, 1), (1, 3)), "reflect", reflect_type="odd"),
    "odd reflect far": lambda x: np.pad(x, ((9, 7), (11, 8)), "reflect", reflect_type="odd"),
    "odd symmetric": lambda x: np.pad(x, ((3, 1), (4, 2)), "symmetric", reflect_type="odd"),
    "odd symmetric far": lambda x: np.pad(x, ((9, 7), (11, 9)), "symmetric", reflect_type="odd"),
    "odd, of one": lambda x: np.pad(x[:1], 3, "symmetric", reflect_type="odd"),
    "odd reflect, of one": lambda x: np.pad(x[:1], 3, "reflect", reflect_type="odd"),
    "trace": lambda x: np.trace(x @ x.T),
    "trace beside": lambda x: np.trace(x, 1),
    "trace method": lambda x: x.trace(offset=-1),
}  # fmt: skip


@pytest.mark.parametrize("call", SMOOTH.values(), ids=SMOOTH)
def test_padding_that_computes(call: Any) -> None:
    check_numerically(call, numbers(3, 4))


@some
@given(data=st.data(), mode=st.sampled_from(["edge", "wrap", "reflect", "symmetric", "constant"]))
def test_any_padding(data: Any, mode: str) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=4))
    widths = st.tuples(st.integers(0, 6), st.integers(0, 6))
    width = data.draw(st.lists(widths, min_size=len(shape), max_size=len(shape)))
    check_moves(lambda x: np.pad(x, width, mode), numbers(*shape))


@some
@given(st.integers(1, 6), st.integers(0, 20), st.integers(0, 20), st.sampled_from(["reflect", "symmetric"]))
def test_any_odd_mirror(n: int, before: int, after: int, mode: str) -> None:
    x = np.arange(1.0, n + 1) ** 2
    call = lambda x: np.pad(x, (before, after), mode, reflect_type="odd")
    t = Tensor(x, requires_grad=True)
    y = call(t)
    np.testing.assert_array_equal(y.data, call(x))
    g = numbers(y.size)
    y.backward(g)
    np.testing.assert_allclose(t.grad, [g @ call(unit) for unit in np.eye(n)], rtol=1e-10, atol=1e-10)  # it is linear


@some
@given(data=st.data())
def test_any_rearrangement(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3))
    axis = st.integers(-len(shape), len(shape) - 1)
    i, j = data.draw(axis), data.draw(axis)
    n = data.draw(st.integers(-5, 5))
    reps = data.draw(st.lists(st.integers(0, 3), max_size=5))
    x = numbers(*shape)
    for call in (
        lambda x: np.moveaxis(x, i, j), lambda x: np.swapaxes(x, i, j), lambda x: np.rollaxis(x, i, j),
        lambda x: np.flip(x, i), lambda x: np.roll(x, n, i), lambda x: np.roll(x, n), lambda x: np.tile(x, reps),
        lambda x: np.repeat(x, abs(n), i), lambda x: np.resize(x, reps), lambda x: np.ravel(np.moveaxis(x, i, j), "K"),
    ):  # fmt: skip
        check_moves(call, x)
    if i % len(shape) != j % len(shape):
        check_moves(lambda x: np.rot90(x, n, (i, j)), x)
        check_moves(lambda x: np.diagonal(x, n, i, j), x)


TORCH: dict[str, Any] = {
    "flip": (lambda x: np.flip(x, 1), lambda t, torch: torch.flip(t, (1,))),
    "rot90": (lambda x: np.rot90(x, 3, (0, 2)), lambda t, torch: torch.rot90(t, 3, (0, 2))),
    "roll": (lambda x: np.roll(x, (1, 2), (0, 1)), lambda t, torch: torch.roll(t, (1, 2), (0, 1))),
    "tile": (lambda x: np.tile(x, (2, 1, 3, 1)), lambda t, torch: torch.tile(t, (2, 1, 3, 1))),
    "repeat": (lambda x: np.repeat(x, 2, 1), lambda t, torch: torch.repeat_interleave(t, 2, 1)),
    "windows": (lambda x: sliding_window_view(x, 2, 2), lambda t, torch: t.unfold(2, 2, 1)),
    "diagonal": (lambda x: np.diagonal(x, 1, 0, 2), lambda t, torch: torch.diagonal(t, 1, 0, 2)),
    "diag": (lambda x: np.diag(x[0]), lambda t, torch: torch.diag(t[0])),
    "diagflat": (lambda x: np.diagflat(x, 1), lambda t, torch: torch.diagflat(t, 1)),
    "tril": (lambda x: np.tril(x, -1), lambda t, torch: torch.tril(t, -1)),
    "triu": (lambda x: np.triu(x, 1), lambda t, torch: torch.triu(t, 1)),
    "trace": (lambda x: np.trace(x[0]), lambda t, torch: torch.diagonal(t[0]).sum()),
    "moveaxis": (lambda x: np.moveaxis(x, 0, 2), lambda t, torch: torch.movedim(t, 0, 2)),
    "broadcast_to": (lambda x: np.broadcast_to(x, (5, 2, 3, 4)), lambda t, torch: t.expand(5, 2, 3, 4)),
    "meshgrid": (
        lambda x: np.meshgrid(x[0, 0], x[0, :, 0], indexing="ij"),
        lambda t, torch: torch.meshgrid(t[0, 0], t[0, :, 0], indexing="ij"),
    ),
    "atleast_3d": (lambda x: np.atleast_3d(x[0]), lambda t, torch: torch.atleast_3d(t[0])),
    "pad": (
        lambda x: np.pad(x, ((0, 0), (0, 0), (2, 1)), constant_values=1.5),
        lambda t, torch: torch.nn.functional.pad(t, (2, 1), value=1.5),
    ),
    "pad edge": (
        lambda x: np.pad(x, ((0, 0), (0, 0), (2, 1)), "edge"),
        lambda t, torch: torch.nn.functional.pad(t, (2, 1), mode="replicate"),
    ),
    "pad reflect": (
        lambda x: np.pad(x, ((0, 0), (0, 0), (2, 1)), "reflect"),
        lambda t, torch: torch.nn.functional.pad(t, (2, 1), mode="reflect"),
    ),
    "pad wrap": (
        lambda x: np.pad(x, ((0, 0), (0, 0), (2, 1)), "wrap"),
        lambda t, torch: torch.nn.functional.pad(t, (2, 1), mode="circular"),
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), TORCH.values(), ids=TORCH)
def test_pytorch_agrees(ours: Any, theirs: Any) -> None:
    torch = pytest.importorskip("torch", reason="the oracle of this test")
    torch_agrees(ours, lambda t: theirs(t, torch), numbers(2, 3, 4))


# Arguments


def test_arrays_that_steer_may_change_afterwards() -> None:
    """Shifts, repetitions and windows are kept as they were at the forward pass."""
    steer = np.array([1, 2])
    for call in (
        lambda x: np.roll(x, steer, (0, 1)), lambda x: np.repeat(x, steer, 0), lambda x: np.tile(x, steer),
        lambda x: sliding_window_view(x, steer),
    ):  # fmt: skip
        steer[:] = 1, 2
        x, again = leaves_of((numbers(2, 3), numbers(2, 3)))
        (call(again) ** 2).sum().backward()
        y = (call(x) ** 2).sum()
        steer[:] = 2, 1
        y.backward()
        np.testing.assert_array_equal(x.grad, again.grad)


def test_a_function_as_padding_is_refused() -> None:
    with pytest.raises(NotImplementedError, match=r"np\.pad.*function as mode.*np\.concatenate"):
        np.pad(Tensor([1.0], requires_grad=True), 1, lambda *_: None)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((1, "nonsense"), {}),
        ((-1,), {}),
        ((1.5,), {}),
        ((1, "edge"), {"constant_values": 1}),
        (((1, 2, 3),), {}),
        ((1, "maximum"), {"stat_length": 0}),
    ],
)
def test_wrong_padding_fails_as_numpy_fails(arguments: Any, options: Any) -> None:
    x = numbers(2, 3)
    with pytest.raises((ValueError, TypeError)) as numpys:
        np.pad(x, *arguments, **options)
    with pytest.raises(numpys.type):
        np.pad(Tensor(x, requires_grad=True), *arguments, **options)


def test_whole_numbers_are_padded_as_numpy_pads_them() -> None:
    x = np.array([1, 4, 6])
    for mode in ("mean", "linear_ramp", "reflect", "constant", "median"):
        same(np.pad(Tensor(x), 3, mode), np.pad(x, 3, mode))
    with pytest.raises(TypeError, match="would round"):
        np.pad(Tensor(x), 1, constant_values=Tensor(0.5, requires_grad=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_floats_are_kept(dtype: Any) -> None:
    x = numbers(3, 4).astype(dtype)
    for call in [*SMOOTH.values(), lambda x: np.pad(x, 1, constant_values=np.float64(2))]:
        t = Tensor(x, requires_grad=True)
        y = call(t)
        assert y.dtype == call(x).dtype == dtype
        np.testing.assert_allclose(y.data, call(x), rtol=20 * np.finfo(dtype).eps, atol=5 * np.finfo(dtype).eps)
        y.sum().backward()
        assert t.grad.dtype == dtype


def test_infinite_elements_do_not_spoil_an_odd_mirror() -> None:
    x = np.array([1.0, 2.0, np.inf])
    same(np.pad(Tensor(x, requires_grad=True), (2, 0), "reflect", reflect_type="odd"),
         np.pad(x, (2, 0), "reflect", reflect_type="odd"))  # fmt: skip


def test_full_like_is_a_tensor_when_its_value_is() -> None:
    like = numbers(2, 3)

    def call(v: Any) -> Any:
        return np.full_like(Tensor(like) if isinstance(v, Tensor) else like, v)

    check_numerically(call, numbers())
    check_numerically(call, numbers(3))
    same(np.full_like(Tensor(like, requires_grad=True), 2, dtype=int), np.full_like(like, 2, dtype=int))
    with pytest.raises(TypeError, match="no gradient can follow"):
        np.full_like(like, Tensor(1.0, requires_grad=True))


def test_out_is_refused() -> None:
    with pytest.raises(TypeError, match="no gradient can follow"):
        np.trace(Tensor(numbers(2, 2), requires_grad=True), out=np.zeros(()))


@pytest.mark.parametrize("name", ["sort", "partition", "resize"])
def test_methods_in_place_name_the_function(name: str) -> None:
    with pytest.raises(TypeError, match=rf"in place.*t = np\.{name}\(t, \.\.\.\)"):
        getattr(Tensor([2.0, 1.0], requires_grad=True), name)(1)
