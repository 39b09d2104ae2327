"""Which line of a person's code computed a tensor."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autodiff.state import watch

_HERE = Path(__file__).parent
#: Frames of these files are not a person's own: the libraries, and what Python itself runs programs with.
_OURS = (*(f"{folder}{os.sep}" for folder in (_HERE, _HERE.parent / "nn", Path(np.__file__).parent)), "<frozen ")


class Source(NamedTuple):
    """A line of code.

    Attributes
    ----------
    file : str
        As Python names it, ``"<stdin>"`` where there is none.
    line : int
        Counted from 1.
    function : str
        The function that the line belongs to, ``"<module>"`` outside all.
    text : str
        The line itself, without indentation; empty where it cannot be read.
    """

    file: str
    line: int
    function: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}, in {self.function}" + (f": {self.text}" if self.text else "")


@contextmanager
def record_sources() -> Iterator[None]:
    """Keep on every tensor that is computed inside the line that computed it, as ``tensor.source``.

    It is the innermost line outside this library: the one in a person's own layer rather than that which called the
    model. Off unless asked for, as it adds some 3 µs to each operation. Like the grad mode it belongs to the
    thread or asyncio task. It is also a decorator.

    Examples
    --------
    >>> with record_sources():
    ...     y = np.exp(Tensor(1.0))
    >>> y.source.text
    'y = np.exp(Tensor(1.0))'
    """
    with watch(_Recorder()):
        yield


def caller() -> Source | None:
    """Return the innermost line that is running outside this library; `None` where there is none."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_OURS):
        if frame.f_back is None:
            return None
        frame = frame.f_back
    import linecache  # only where it is asked for: it brings the tokenizer with it

    file, line = frame.f_code.co_filename, frame.f_lineno
    return Source(file, line, frame.f_code.co_name, linecache.getline(file, line, frame.f_globals).strip())


class _Recorder:
    """Writes the caller on each new tensor."""

    def made(self, result: Any, op: Any, inputs: tuple[Any, ...]) -> None:
        result.source = caller()

    def pulled(self, node: Any, x: Any, g: Any, gx: Any) -> None:
        """Nothing is made of a gradient that is only passed on."""
