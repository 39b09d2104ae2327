"""Where a command writes: directories and files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nn.command.options import CommandError


@contextmanager
def output_directory(name: str) -> Iterator[Path]:
    """Make a directory for what a command writes; what was made is removed again if the command fails.

    Raises
    ------
    CommandError
        It cannot be made or written to.
    """
    path = Path(name)
    made: list[Path] = []
    try:
        for directory in reversed([path, *path.parents]):
            if not directory.exists():
                directory.mkdir()
                made.append(directory)
    except OSError as error:
        _remove(made)
        raise CommandError(f"the directory {name} cannot be made: {error.strerror}") from None
    if not path.is_dir():
        raise CommandError(f"{name} is not a directory: name another one with --out")
    if not os.access(path, os.W_OK | os.X_OK):
        raise CommandError(f"the directory {name} cannot be written to: name another one with --out")
    try:
        yield path
    except BaseException:
        _remove(made)
        raise


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say which file could not be written, and why, in one sentence."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        parent = Path(path).parent
        why = f"the directory {parent} does not exist" if not parent.is_dir() else error.strerror or str(error)
        raise CommandError(f"{os.fspath(path)} cannot be written: {why}") from None


def _remove(made: list[Path]) -> None:
    """Remove the directories that are still empty, innermost first."""
    for directory in reversed(made):
        with suppress(OSError):
            directory.rmdir()
