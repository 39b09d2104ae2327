"""The `.npz` container: a zip of uncompressed entries in one exact layout.

`NpzWriter` lays a file out in the only way that `NpzReader` accepts, so reading is comparing: each header
must be, byte for byte, the one that the writer would have written for that name, size and checksum.
Compression, encryption, doubled or strange names, overlapping entries and trailing bytes all fail that one
comparison, and no declared size is trusted before it is compared with the bytes that are there.
`numpy.load` and `unzip` read the files too.

Layout: PKWARE's APPNOTE 6.3 (zip64 throughout, so that no size needs a second form) and numpy's NPY 1.0.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import Any, BinaryIO, NamedTuple

import numpy as np

_VERSION = 45  # of the zip format: the first with zip64
_DAY = 0x21  # 1 January 1980, so that equal states give equal files
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF  # "see the zip64 field"

_LOCAL = struct.Struct("<4s5H3I2H")
_LOCAL_64 = struct.Struct("<2H2Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_CENTRAL_64 = struct.Struct("<2H3Q")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_END = struct.Struct("<4s4H2IH")


class NpzWriter:
    """Write entries one after the other to a binary file, then `finish`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._entries: list[_Entry] = []
        self._offset = 0

    def add(self, name: str, *parts: bytes | memoryview) -> None:
        """Append the entry `name`, whose content is the `parts` in a row."""
        crc = 0
        for part in parts:
            crc = zlib.crc32(part, crc)
        entry = _Entry(name, crc, sum(len(part) for part in parts), self._offset)
        header = _local_header(entry)
        self._file.write(header)
        for part in parts:
            self._file.write(part)
        self._entries.append(entry)
        self._offset += len(header) + entry.size

    def finish(self) -> None:
        """Append the directory of entries that ends the file."""
        self._file.write(_directory(self._entries, self._offset))


class NpzReader:
    """Read what `NpzWriter` wrote: for each entry in order `open`, `read_into`, `close`; then `finish`.

    Every method raises ValueError on the first byte that is not as the writer would have put it.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._entries: list[_Entry] = []
        self._offset = 0
        self._end = os.fstat(file.fileno()).st_size
        self._crc = 0

    def open(self, name: str) -> int:
        """Go to the next entry, which must be `name`; return its size, never more than the file has left."""
        length = _LOCAL.size + len(name) + _LOCAL_64.size
        header = self._file.read(length)
        if len(header) < length:
            raise ValueError(f"it ends where the entry {name!r} should begin")
        crc = _LOCAL.unpack_from(header)[6]
        size = _LOCAL_64.unpack_from(header, length - _LOCAL_64.size)[2]
        entry = _Entry(name, crc, size, self._offset)
        if header != _local_header(entry):
            raise ValueError(f"the header of the entry {name!r} is damaged or was written by another program")
        if size > self._end - self._offset - length:
            raise ValueError(f"the entry {name!r} declares {size} bytes, more than the file holds")
        self._entries.append(entry)
        self._offset += length + size
        self._crc = 0
        return entry.size

    def read_into(self, buffer: bytearray | memoryview) -> None:
        """Fill `buffer` with the next bytes of the open entry."""
        if self._file.readinto(buffer) != len(buffer):
            raise ValueError(f"it ends inside the entry {self._entries[-1].name!r}")
        self._crc = zlib.crc32(buffer, self._crc)

    def close(self) -> None:
        """Check the open entry, read to its end, against its checksum."""
        entry = self._entries[-1]
        if self._crc != entry.crc:
            raise ValueError(f"the content of the entry {entry.name!r} does not match its checksum")

    def finish(self) -> None:
        """Check that the file ends with the directory of the entries read, and with nothing more."""
        directory = _directory(self._entries, self._offset)
        if self._file.read(len(directory) + 1) != directory:
            raise ValueError("its directory of entries is damaged or was written by another program")


def npy_header(dtype: np.dtype[Any], shape: tuple[int, ...], fortran_order: bool) -> bytes:
    """The bytes before the data in the NPY 1.0 form of an array (numpy.lib.format)."""
    text = f"{{'descr': {dtype.str!r}, 'fortran_order': {fortran_order}, 'shape': {shape!r}, }}"
    # The data must begin at a multiple of 64: 10 bytes stand before the text and a newline after it.
    text += " " * (-(10 + len(text) + 1) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("ascii")


class _Entry(NamedTuple):
    name: str
    crc: int
    size: int
    offset: int


def _local_header(entry: _Entry) -> bytes:
    return (
        _LOCAL.pack(b"PK\x03\x04", _VERSION, 0, 0, 0, _DAY, entry.crc, _MAX32, _MAX32, len(entry.name), _LOCAL_64.size)
        + entry.name.encode("ascii")
        + _LOCAL_64.pack(1, _LOCAL_64.size - 4, entry.size, entry.size)
    )


def _central_header(entry: _Entry) -> bytes:
    return (
        _CENTRAL.pack(
            *(b"PK\x01\x02", _VERSION, _VERSION, 0, 0, 0, _DAY, entry.crc, _MAX32, _MAX32, len(entry.name)),
            *(_CENTRAL_64.size, 0, 0, 0, 0, _MAX32),
        )
        + entry.name.encode("ascii")
        + _CENTRAL_64.pack(1, _CENTRAL_64.size - 4, entry.size, entry.size, entry.offset)
    )


def _directory(entries: list[_Entry], offset: int) -> bytes:
    central = b"".join(map(_central_header, entries))
    count, size = len(entries), len(central)
    return (
        central
        + _END_64.pack(b"PK\x06\x06", _END_64.size - 12, _VERSION, _VERSION, 0, 0, count, count, size, offset)
        + _LOCATOR.pack(b"PK\x06\x07", 0, offset + size, 1)
        + _END.pack(b"PK\x05\x06", 0, 0, _MAX16, _MAX16, _MAX32, _MAX32, 0)
    )
