"""Saving and loading: what goes in comes out, and what cannot come out does not go in."""

from __future__ import annotations

import collections
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nn.io import load, save


def same(a: Any, b: Any) -> bool:
    """Equal in value, type, dtype, shape and memory order, NaN equal to NaN."""
    if isinstance(a, np.ndarray | np.generic):
        if type(a) is not type(b) or a.dtype.str != b.dtype.str or a.shape != b.shape:
            return False
        return a.tobytes() == b.tobytes() and a.flags.fnc == b.flags.fnc
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a.hex() == b.hex()
    return bool(a == b)


dtypes = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(endianness="?"),
    hnp.datetime64_dtypes(endianness="?"),
    hnp.timedelta64_dtypes(endianness="?"),
    hnp.byte_string_dtypes(min_len=1, max_len=3),
    hnp.unicode_string_dtypes(min_len=1, max_len=3),
)
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
leaves = st.one_of(
    arrays,
    arrays.map(np.asfortranarray),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats().filter(lambda x: not math.isnan(x)),
    st.just(math.nan),
    st.text(st.characters()),
)
states = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(st.characters()), inner, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(states)
def test_any_state_comes_back_the_same(tmp_path_factory: pytest.TempPathFactory, state: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.npz"
    save(state, path)
    assert same(load(path), state)


def test_what_a_training_run_saves_comes_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    twister = np.random.Generator(np.random.MT19937(7))
    state = {
        "model": {"layers.0.weight": rng.normal(size=(5, 2)), "layers.0.bias": np.zeros(5, np.float16)},
        "optimizer": {"state": [{"step": 3, "momentum": np.float32(0.5)}], "lr": 1e-3, "betas": (0.9, 0.999)},
        "rng": rng.bit_generator.state,
        "twister": twister.bit_generator.state,
        "columns": ["mean radius", "../../etc/passwd", "", "a\0b", "\ud800", "naïve"],
        "best": math.inf,
        "huge": -(3**1000),
        "none": None,
    }
    save(state, tmp_path / "run.npz")
    found = load(tmp_path / "run.npz")
    assert same(found, state)
    resumed = np.random.default_rng()
    resumed.bit_generator.state = found["rng"]
    assert resumed.random() == rng.random()
    resumed = np.random.Generator(np.random.MT19937())
    resumed.bit_generator.state = found["twister"]
    assert resumed.random() == twister.random()


def test_non_contiguous_and_read_only_arrays_are_saved_as_their_values(tmp_path: Path) -> None:
    base = np.arange(24.0).reshape(2, 3, 4)
    base.flags.writeable = False
    state = [base[:, ::2, ::-1], base.transpose(1, 2, 0), np.broadcast_to(np.float32(2), (3, 4))]
    save(state, tmp_path / "s.npz")
    for found, expected in zip(load(tmp_path / "s.npz"), state, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
        assert found.flags.writeable
        assert found.flags.owndata
        assert found.flags.aligned


def test_dict_subclasses_come_back_as_dicts(tmp_path: Path) -> None:
    save(collections.OrderedDict(a=1), tmp_path / "s.npz")
    assert same(load(tmp_path / "s.npz"), {"a": 1})


def test_numpy_zipfile_and_unzip_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    save({"w": np.arange(6.0).reshape(2, 3), "f": np.asfortranarray(np.eye(2, 3)), "n": 1}, path)
    with np.load(path, allow_pickle=False) as archive:
        assert archive.files == ["structure.json", "0", "1"]
        np.testing.assert_array_equal(archive["0"], np.arange(6.0).reshape(2, 3))
        np.testing.assert_array_equal(archive["1"], np.eye(2, 3))
        assert archive["1"].flags.f_contiguous
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
    try:
        subprocess.run(["unzip", "-tq", path], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no unzip on PATH")


def test_equal_states_give_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        save({"w": np.arange(3), "x": [0.1]}, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_path_is_used_as_given(tmp_path: Path) -> None:
    save(1, str(tmp_path / "model.best"))
    assert os.listdir(tmp_path) == ["model.best"]


structured = np.zeros(2, [("a", float)])


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({3: 1}, r"state has the key 3, expected strings: write '3'"),
        ({"a": [{None: 1}]}, r"state\['a'\]\[0\] has the key None"),
        ({"a": {1, 2}}, r"state\['a'\] is a builtins.set"),
        (b"bytes", "builtins.bytes"),
        (1j, "builtins.complex"),
        (len, "builtin_function_or_method"),
        ([np.array([None])], r"state\[0\] is an array of dtype object"),
        (structured, "without pickle"),
        (structured[0], "without pickle"),
        (np.zeros(2, "V3"), "without pickle"),
        (np.zeros(2, [("a", "S0")])["a"], "without pickle"),
        (np.ma.masked_array([1.0], [True]), "numpy.asarray"),
        (np.array(["a"], np.dtypes.StringDType()), "StringDType"),
    ],
)
def test_what_needs_pickle_is_refused_by_name_and_nothing_is_written(tmp_path: Path, state: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        save(state, tmp_path / "s.npz")
    assert os.listdir(tmp_path) == []


def test_a_state_that_contains_itself_is_refused(tmp_path: Path) -> None:
    state: dict[str, Any] = {}
    state["self"] = [state]
    with pytest.raises(ValueError, match="contains itself"):
        save(state, tmp_path / "s.npz")


def test_too_much_outside_arrays_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="put long lists of numbers into numpy arrays"):
        save("x" * 2**24, tmp_path / "s.npz")
    assert os.listdir(tmp_path) == []


def test_arguments_the_wrong_way_round_are_a_type_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not dict"):
        save(str(tmp_path / "s.npz"), {"a": 1})  # type: ignore[arg-type]


def test_a_missing_file_and_a_directory_are_os_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


def test_out_of_memory_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def empty(*_: Any) -> None:
        raise MemoryError

    save(np.zeros(3), tmp_path / "s.npz")
    monkeypatch.setattr("nn.io.state.np.empty", empty)
    with pytest.raises(OSError, match="not enough memory to load"):
        load(tmp_path / "s.npz")


def test_more_than_64_dimensions_worth_of_depth_is_still_fine(tmp_path: Path) -> None:
    state: Any = np.zeros((1,) * 64)
    for _ in range(99):
        state = [state]
    save(state, tmp_path / "s.npz")
    assert same(load(tmp_path / "s.npz"), state)


def test_saving_needs_no_second_copy_of_the_arrays(tmp_path: Path) -> None:
    script = """
import sys, tracemalloc, numpy as np
from nn.io import load, save
state = {"c": np.ones((1000, 1000)), "f": np.asfortranarray(np.ones((1000, 1000)))}
save(1, sys.argv[1])
tracemalloc.start()
save(state, sys.argv[1])
print(tracemalloc.get_traced_memory()[1])
tracemalloc.reset_peak()
del state
state = load(sys.argv[1])
print(tracemalloc.get_traced_memory()[1])
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", script, str(tmp_path / "s.npz")]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    saving, loading = map(int, out.split())
    assert saving < 1_000_000
    assert loading < 17_000_000
