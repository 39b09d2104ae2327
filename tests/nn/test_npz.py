"""Damaged and hostile files: refused with ValueError or OSError, before anything large is allocated."""

from __future__ import annotations

import io
import json
import math
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nn.io.npz import NpzWriter, _Entry, _local_header, npy_header
from nn.io.state import FORMAT, MAX_STRUCTURE, load, save

STATE = {
    "model": {"weight": np.arange(12.0).reshape(3, 4), "bias": np.zeros(3, np.float16)},
    "rng": np.random.default_rng(1).bit_generator.state,
    "history": [1.5, math.nan, None, True, "text", (1, 2)],
    "f": np.asfortranarray(np.ones((2, 3), np.int32)),
    "step": np.float32(3),
}


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    save(STATE, tmp_path / "whole.npz")
    return (tmp_path / "whole.npz").read_bytes()


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    """Peak memory, in bytes, that Python and numpy took since the fixture was set up."""
    tracemalloc.start()
    start = tracemalloc.get_traced_memory()[0]
    yield lambda: tracemalloc.get_traced_memory()[1] - start
    tracemalloc.stop()


def archive(*entries: tuple[str, bytes]) -> bytes:
    """A file whose container is beyond reproach, whatever is in it."""
    file = io.BytesIO()
    writer = NpzWriter(file)
    for name, content in entries:
        writer.add(name, content)
    writer.finish()
    return file.getvalue()


def structured(state: Any, *arrays: bytes) -> bytes:
    """Such a file around a state in its JSON form, or around any text, and its arrays."""
    text = state
    if not isinstance(state, bytes):
        text = json.dumps({"format": FORMAT, "state": state}, separators=(",", ":")).encode()
    return archive(("structure.json", text), *((f"{i}.npy", data) for i, data in enumerate(arrays)))


def npy(dtype: str = "<f8", shape: tuple[int, ...] = (2,), data: bytes = b"\0" * 16, fortran: bool = False) -> bytes:
    return npy_header(np.dtype(dtype), shape, fortran) + data


def mutants(whole: bytes, count: int, seed: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            at = rng.randrange(len(data) + 1)
            to = min(len(data), at + rng.choice((1, 2, 4, 8, 100)))
            match rng.randrange(7):
                case 0 if at < len(data):
                    data[at] ^= 1 << rng.randrange(8)
                case 1:
                    data[at:to] = rng.randbytes(to - at)
                case 2:
                    data[at:to] = rng.choice((b"\xff", b"\0")) * (to - at)
                case 3:
                    del data[at:to]
                case 4:
                    data[at:at] = data[at:to]
                case 5:
                    start = rng.randrange(len(whole))
                    data[at:to] = whole[start : start + to - at]
                case _:
                    del data[at:]
            if not data:
                break
        if data != whole:
            yield bytes(data)


def test_every_mutant_is_refused_and_takes_no_memory(tmp_path: Path, whole: bytes, memory: Callable[[], int]) -> None:
    path = tmp_path / "mutant.npz"
    for data in mutants(whole, 6000, seed=1):
        path.write_bytes(data)
        with pytest.raises((ValueError, OSError), match=r"mutant\.npz"):
            load(path)
    assert memory() < 2**20


def test_every_bit_counts(tmp_path: Path) -> None:
    save({"a": np.arange(2)}, tmp_path / "s.npz")
    whole = (tmp_path / "s.npz").read_bytes()
    for at in range(len(whole)):
        for damaged in (whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :], whole[:at]):
            (tmp_path / "s.npz").write_bytes(damaged)
            with pytest.raises(ValueError, match="not a whole file"):
                load(tmp_path / "s.npz")


def test_mutated_structures_in_a_sound_container_are_refused_or_read(
    tmp_path: Path, whole: bytes, memory: Callable[[], int]
) -> None:
    with np.load(io.BytesIO(whole), allow_pickle=False) as sound:
        text = bytes(sound["structure.json"])
    with zipfile.ZipFile(io.BytesIO(whole)) as sound_zip:
        arrays = [sound_zip.read(name) for name in sound_zip.namelist()[1:]]
    path, read = tmp_path / "mutant.npz", 0
    for data in mutants(text, 3000, seed=2):
        path.write_bytes(structured(data, *arrays))
        try:
            load(path)
            read += 1
        except (ValueError, OSError) as error:
            assert "mutant.npz" in str(error)  # noqa: PT017
    assert 0 < read < 1500
    for number, array in enumerate(arrays):
        for data in mutants(array, 200, seed=3):
            path.write_bytes(structured(text, *arrays[:number], data, *arrays[number + 1 :]))
            try:
                load(path)
            except (ValueError, OSError) as error:
                assert "mutant.npz" in str(error)  # noqa: PT017
    assert memory() < 2**20


def by_zipfile(content: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return file.getvalue()


def bomb() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, a=np.zeros(10**7))
    return file.getvalue()


def pickled() -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, a=np.array([print], object))
    return file.getvalue()


def patched(offset: int, layout: str, value: int) -> bytes:
    """A sound file with one field of its first local header replaced."""
    data = bytearray(structured({"array": ["<f8", [2], "C"]}, npy()))
    struct.pack_into(layout, data, offset, value)
    return bytes(data)


FOREIGN = {
    "empty": b"",
    "text": b"not a zip at all",
    "zip without entries": by_zipfile({}),
    "savez": by_zipfile({"a.npy": npy()}),
    "compressed": by_zipfile({"structure.json": b"{}"}, zipfile.ZIP_DEFLATED),
    "bomb": bomb(),
    "pickle": pickled(),
    "encrypted flag": patched(6, "<H", 1),
    "method deflate": patched(8, "<H", 8),
    "size of 2^63": patched(30 + 14 + 4, "<Q", 2**63),
    "size a little too large": patched(30 + 14 + 4, "<Q", 10**4),
    "path-like name": archive(("../../structure.json", b"{}")),
    "doubled name": archive(("structure.json", b"{}"), ("structure.json", b"{}")),
    "trailing bytes": structured(1) + b"\0",
    "leading bytes": b"\0" + structured(1),
    "no arrays": structured({"array": ["<f8", [2], "C"]}),
    "one array too many": structured(1, npy()),
    "a hundred thousand entries": archive(*[(f"{i}.npy", b"") for i in range(10**5)]),
    "huge structure": structured(b" " * (MAX_STRUCTURE + 1)),
}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
def test_foreign_and_hostile_containers_are_refused(tmp_path: Path, data: bytes, memory: Callable[[], int]) -> None:
    (tmp_path / "s.npz").write_bytes(data)
    start = memory()
    with pytest.raises(ValueError, match=r"s\.npz' is not a whole file written by nn\.save"):
        load(tmp_path / "s.npz")
    assert memory() - start < 2**20


def array_of(dtype: Any = "<f8", shape: Any = (2,), order: Any = "C") -> dict[str, Any]:
    return {"array": [dtype, shape if not isinstance(shape, tuple) else list(shape), order]}


def declaring(shape: tuple[int, ...]) -> bytes:
    """Structure and headers agree on a large array, and the file ends after them."""
    text = json.dumps({"format": FORMAT, "state": array_of(shape=shape)}, separators=(",", ":")).encode()
    header = npy(shape=shape, data=b"")
    start = archive(("structure.json", text))[: 30 + len("structure.json") + 20 + len(text)]
    return start + _local_header(_Entry("0.npy", 0, len(header) + 8 * math.prod(shape), len(start))) + header


HOSTILE = {
    "sound": structured(array_of(), npy()),
    "not JSON": structured(b"{"),
    "not ASCII": structured(b'"\xff"'),
    "other JSON": structured(b"[]"),
    "no state": structured(b'{"format":"nablagraph 1"}'),
    "newer format": structured(b'{"format":"nablagraph 2","state":1}'),
    "doubled key": structured(b'{"format":"nablagraph 1","state":1,"state":2}'),
    "NaN": structured(b'{"format":"nablagraph 1","state":NaN}'),
    "Infinity": structured(b'{"format":"nablagraph 1","state":1e999}'),
    "blanks": structured(b'{"format":"nablagraph 1", "state":1}'),
    "deep list": structured(b"[" * 10**5),
    "deep dict": structured(b'{"dict":' * 10**5 + b"1" + b"}" * 10**5),
    "deep, but not for JSON": structured(json.loads("[" * 150 + "]" * 150)),
    "ten thousand digits": structured(b'{"format":"nablagraph 1","state":1' + b"0" * 10**4 + b"}"),
    "unknown tag": structured({"set": [1]}),
    "two tags": structured({"dict": {}, "tuple": []}),
    "no tag": structured({}),
    "dict of list": structured({"dict": [1]}),
    "tuple of dict": structured({"tuple": {}}),
    "float of text": structured({"float": "1.5"}),
    "object dtype": structured(array_of("|O"), npy("|O")),
    "structured dtype": structured(array_of([["a", "<f8"]]), npy()),
    "structured dtype as text": structured(array_of("<f8,<f8"), npy()),
    "void": structured(array_of("|V8"), npy("|V8")),
    "dtype alias": structured(array_of("float64"), npy()),
    "no byte order": structured(array_of("|f8"), npy()),
    "native order spelt": structured(array_of("=f8"), npy()),
    "no such float": structured(array_of("<f3"), npy()),
    "no such unit": structured(array_of("<M8[lightyears]"), npy()),
    "a dtype of nothing": structured(array_of("|S0", (10**18,)), npy("|S0", (10**18,), b"")),
    "itemsize of 2^30": structured(array_of("|S999999999"), npy("|S999999999")),
    "shape too large": structured(array_of(shape=(10**12,)), npy(shape=(10**12,))),
    "shape of 2^70": structured(array_of(shape=(2**70,)), npy(shape=(2**70,))),
    "product that wraps to 2": structured(array_of(shape=(2**63 + 1, 2)), npy(shape=(2**63 + 1, 2))),
    "nothing times 2^62": structured(array_of(shape=(0, 2**62, 2**62)), npy("<f8", (0, 2**62, 2**62), b"")),
    "nothing times 2^70": structured(array_of(shape=(0, 2**70)), npy("<f8", (0, 2**70), b"")),
    "shape too small": structured(array_of(shape=(1,)), npy(shape=(1,))),
    "negative shape": structured(array_of(shape=(-1, -2)), npy(shape=(-1, -2))),
    "boolean shape": structured(array_of(shape=(True, 2)), npy(shape=(True, 2))),
    "float shape": structured(array_of(shape=(2.0,)), npy(shape=(2.0,))),  # type: ignore[arg-type]
    "shape of text": structured(array_of(shape="2"), npy()),
    "65 dimensions": structured(array_of(shape=(1,) * 64 + (2,)), npy("<f8", (1,) * 64 + (2,))),
    "50000 dimensions": structured(array_of(shape=(1,) * 50_000), npy()),
    "more than the file holds": declaring((10**9,)),
    "other order": structured(array_of(order="A"), npy()),
    "other dtype in the array": structured(array_of(), npy("<i8")),
    "other shape in the array": structured(array_of(), npy("<f8", (1, 2))),
    "other order in the array": structured(array_of(), npy(fortran=True)),
    "no header in the array": structured(array_of(), b"\0" * 144),
    "scalar of two": structured({"scalar": "<f8"}, npy()),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_structures_in_a_sound_container_are_refused(
    tmp_path: Path, data: bytes, memory: Callable[[], int], request: pytest.FixtureRequest
) -> None:
    (tmp_path / "s.npz").write_bytes(data)
    start = memory()
    if request.node.callspec.id == "sound":  # the same frame around honest content is read
        np.testing.assert_array_equal(load(tmp_path / "s.npz"), np.zeros(2))
        return
    with pytest.raises(ValueError, match=r"s\.npz' is not a whole file written by nn\.save"):
        load(tmp_path / "s.npz")
    assert memory() - start < 2**23


@pytest.mark.parametrize("dtype", ["<f8", ">i2", "|b1", "<U3", "<M8[ns]"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (10**6, 0, 10**6), (1,) * 40])
@pytest.mark.parametrize("fortran", [False, True])
def test_the_header_is_the_one_that_numpy_writes(dtype: str, shape: tuple[int, ...], fortran: bool) -> None:
    header = npy_header(np.dtype(dtype), shape, fortran)
    assert len(header) % 64 == 0
    file = io.BytesIO(header)
    assert np.lib.format.read_magic(file) == (1, 0)
    assert np.lib.format.read_array_header_1_0(file) == (shape, fortran, np.dtype(dtype))
    assert file.read() == b""


def test_offsets_beyond_4_gib_are_written_in_full() -> None:
    class Sink(io.BytesIO):
        """Keeps what is small, counts the rest."""

        def write(self, data: Any) -> int:
            return super().write(data) if len(data) < 2**20 else len(data)

    file, chunk = Sink(), memoryview(bytes(2**26))
    writer = NpzWriter(file)
    writer.add("0.npy", *[chunk] * 80)
    writer.add("1.npy", b"x")
    writer.finish()
    assert struct.pack("<Q", 80 * 2**26) in file.getvalue()
    assert struct.pack("<3Q", 1, 1, 80 * 2**26 + 30 + 5 + 20) in file.getvalue()
