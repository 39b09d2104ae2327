"""Save a state to one `.npz` file, and load it again."""

from __future__ import annotations

import errno
import json
import math
import os
import re
from typing import Any

import numpy as np

from nn.io.atomic import atomic_write
from nn.io.npz import NpzReader, NpzWriter, npy_header

FORMAT = "nablagraph 1"
MAX_DEPTH = 100
MAX_STRUCTURE = 16 * 2**20  # bytes: what is not in arrays grows some twentyfold when parsed

_STRUCTURE = "structure.json"
_DTYPE = re.compile(r"[<>|][biufcSUmM][0-9]{1,9}(\[[0-9]{0,9}[A-Za-z]{1,7}\])?")


def save(state: Any, path: str | os.PathLike[str]) -> None:
    """Write `state` to `path` as an uncompressed `.npz`, whole or not at all.

    Parameters
    ----------
    state
        Dicts with string keys, lists and tuples, nested at will, of numpy arrays and scalars, ints of any
        size, floats, strings, booleans and None: what `state_dict` and a numpy Generator's
        `bit_generator.state` give. Subclasses of dict, list and tuple come back as the plain type. Any string
        is a safe key.
    path
        Where to write, used as given: no suffix is added. The old file, if any, stays until the new one is
        whole and on the disk; see `nn.io.atomic.atomic_write`.

    Raises
    ------
    TypeError
        When a part of the state is of a kind that cannot be stored without pickle; nothing is written.
    ValueError
        When the state contains itself, or its parts outside arrays come to more than 16 MiB.
    OSError
        When the file cannot be written.

    Notes
    -----
    The file holds ``structure.json`` and then ``0.npy``, ``1.npy``, … in the order in which the structure
    names them; ``numpy.load(path, allow_pickle=False)`` opens it. Equal states give equal bytes.
    """
    arrays: list[np.ndarray[Any, Any]] = []
    tree = {"format": FORMAT, "state": _encode(state, "state", 0, arrays)}
    text = _json(tree)
    if len(text) > MAX_STRUCTURE:
        raise ValueError(
            f"the state holds {len(text)} bytes outside arrays, expected at most {MAX_STRUCTURE}: "
            "put long lists of numbers into numpy arrays"
        )
    with atomic_write(path) as file:
        archive = NpzWriter(file)
        archive.add(_STRUCTURE, text)
        for index, array in enumerate(arrays):
            header = npy_header(array.dtype, array.shape, _fortran(array))
            archive.add(f"{index}.npy", header, _bytes(array))
        archive.finish()


def load(path: str | os.PathLike[str]) -> Any:
    """Read back a state that `save` wrote, equal to what was saved.

    Nothing is unpickled or executed, and no more memory is taken than the file's own size warrants, so that
    a stranger's file is safe to open. Every checksum is verified.

    Raises
    ------
    ValueError
        When the file is damaged, cut short, or was not written by `save`.
    OSError
        When it cannot be read, or its arrays do not fit into memory.
    """
    with open(path, "rb") as file:
        try:
            archive = NpzReader(file)
            state = _Decoder(archive).decode(_read_structure(archive), 0)
            archive.finish()
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{os.fspath(path)!r} is not a whole file written by nn.save: {error} "
                "(open other .npz files with numpy.load)"
            ) from None
        except MemoryError:
            raise OSError(errno.ENOMEM, "not enough memory to load", os.fspath(path)) from None
    return state


def _encode(value: Any, where: str, depth: int, arrays: list[np.ndarray[Any, Any]]) -> Any:
    """JSON form of `value`; its arrays are appended to `arrays` and described in place."""
    if depth > MAX_DEPTH:
        raise ValueError(f"{where[:60]}… is nested more than {MAX_DEPTH} deep, or contains itself")
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if kind is np.ndarray or isinstance(value, np.generic):
        array = np.asarray(value)
        _check_dtype(array.dtype, where)
        # Contiguous in one order or the other, the shape kept (ascontiguousarray would make 0-d arrays 1-d).
        array = np.asarray(array, order="A" if array.flags.forc else "C")
        arrays.append(array)
        if kind is np.ndarray:
            return {"array": [array.dtype.str, list(array.shape), "F" if _fortran(array) else "C"]}
        return {"scalar": array.dtype.str}
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                raise TypeError(f"{where} has the key {key!r}, expected strings: write {str(key)!r}")
        return {"dict": {k: _encode(v, f"{where}[{k!r}]", depth + 1, arrays) for k, v in value.items()}}
    if isinstance(value, list | tuple):
        items = [_encode(v, f"{where}[{i}]", depth + 1, arrays) for i, v in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    raise TypeError(
        f"{where} is a {kind.__module__}.{kind.__qualname__}, expected a dict, list, tuple, numpy array, "
        "int, float, string, bool or None: save a Tensor's .data, a module's state_dict(), or "
        "numpy.asarray of another kind of array"
    )


class _Decoder:
    """Turn the JSON form back into a state, reading the arrays in the order in which they are named."""

    def __init__(self, archive: NpzReader) -> None:
        self._archive = archive
        self._count = 0

    def decode(self, node: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError(f"its structure is nested more than {MAX_DEPTH} deep")
        if isinstance(node, list):
            return [self.decode(item, depth + 1) for item in node]
        if not isinstance(node, dict):
            return node
        match node:
            case {"dict": dict(items), **rest} if not rest:
                return {key: self.decode(item, depth + 1) for key, item in items.items()}
            case {"tuple": list(items), **rest} if not rest:
                return tuple([self.decode(item, depth + 1) for item in items])
            case {"array": [str(dtype), list(shape), "C" | "F" as order], **rest} if not rest:
                return self._array(dtype, shape, order)
            case {"scalar": str(dtype), **rest} if not rest:
                return self._array(dtype, [], "C")[()]
            case {"float": "nan" | "inf" | "-inf" as text, **rest} if not rest:
                return float(text)
        raise ValueError(f"its structure has an unknown part {str(node)[:60]!r}")

    def _array(self, dtype_name: str, dims: list[Any], order: str) -> np.ndarray[Any, Any]:
        name = f"{self._count}.npy"
        self._count += 1
        dtype = _dtype(dtype_name)
        if any(type(n) is not int or not 0 <= n < 2**63 for n in dims) or len(dims) > 64:
            raise ValueError(f"its structure gives the array {name!r} the shape {str(dims)[:60]}")
        shape = tuple(dims)
        header = npy_header(dtype, shape, order == "F")
        declared, present = len(header) + math.prod(shape) * dtype.itemsize, self._archive.open(name)
        if declared != present:
            raise ValueError(f"the array {name!r}, {dtype} of shape {shape}, takes {declared} bytes and has {present}")
        found = bytearray(len(header))
        self._archive.read_into(found)
        if found != header:
            raise ValueError(f"the header of the array {name!r} is damaged or was written by another program")
        array = np.empty(shape, dtype, "F" if order == "F" else "C")
        self._archive.read_into(_bytes(array))
        self._archive.close()
        return array


def _read_structure(archive: NpzReader) -> Any:
    size = archive.open(_STRUCTURE)
    if size > MAX_STRUCTURE:
        raise ValueError(f"its structure takes {size} bytes, expected at most {MAX_STRUCTURE}")
    text = bytearray(size)
    archive.read_into(text)
    archive.close()
    tree = json.loads(text)
    # Written again it must be the same text: no doubled key, no NaN, no second spelling of anything.
    if _json(tree) != text or not isinstance(tree, dict) or tree.keys() != {"format", "state"}:
        raise ValueError("its structure was written by another program")
    if tree["format"] != FORMAT:
        raise ValueError(f"its format is {str(tree['format'])[:60]!r}, expected {FORMAT!r}")
    return tree["state"]


def _json(tree: Any) -> bytes:
    return json.dumps(tree, separators=(",", ":"), allow_nan=False).encode("ascii")


def _check_dtype(dtype: np.dtype[Any], where: str) -> None:
    if dtype.kind not in "biufcSUmM" or dtype.itemsize == 0:
        raise TypeError(
            f"{where} is an array of dtype {dtype}, expected numbers, booleans, dates or fixed-width "
            "strings: other dtypes cannot be stored without pickle"
        )


def _dtype(name: str) -> np.dtype[Any]:
    """The dtype that is spelt `name`, and only if numpy spells it so."""
    try:
        dtype = np.dtype(name) if _DTYPE.fullmatch(name) else None
    except (TypeError, ValueError, OverflowError):
        dtype = None
    if dtype is None or dtype.str != name or dtype.itemsize == 0:
        raise ValueError(f"its structure names a dtype {name[:60]!r} that this numpy cannot read safely")
    return dtype


def _fortran(array: np.ndarray[Any, Any]) -> bool:
    return array.flags.fnc


def _bytes(array: np.ndarray[Any, Any]) -> memoryview:
    """The memory of a contiguous array, as it lies, without copying."""
    return (array.T if _fortran(array) else array).reshape(-1).view(np.uint8).data
