"""Write a file whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file that takes the place of `path` only once it is whole and on the disk.

    The bytes go to a hidden temporary file in the same directory, which is flushed, synced and renamed over
    `path` when the block ends. When the block raises, the temporary file is removed and `path` stays as it
    was. A process killed at any moment leaves the old file or the new one, and perhaps a stray
    ``.NAME.*.tmp`` beside it.

    A new file gets the permissions that `open` would give it; an old one keeps its own. A symbolic link is
    followed. A device or a pipe (``/dev/stdout``) is written to directly.

    Raises
    ------
    OSError
        When the directory is missing, the path is a directory or read-only, or the disk is full.

    Examples
    --------
    >>> with atomic_write("history.json") as file:    # doctest: +SKIP
    ...     file.write(text.encode())
    """
    # Looked at through the path as given: what /dev/stdout leads to may have no name of its own.
    mode = _mode(os.fspath(path))
    if mode is not None and not stat.S_ISREG(mode):
        with open(path, "wb") as device:
            yield device
        return
    target = os.path.realpath(os.fspath(path))
    directory, name = os.path.split(target)
    # The name is cut so that a long one stays within the 255 bytes of most file systems.
    temporary = os.path.join(directory, f".{name[:32]}.{secrets.token_hex(6)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.chmod(temporary, stat.S_IMODE(mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(directory)


def _mode(target: str) -> int | None:
    """File mode of what is already there, None when nothing is; refuse what must not be replaced."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a directory, expected the name of a file", target)
    # A rename needs leave from the directory only, so a file marked read-only would be lost without this.
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file there is read-only", target)
    return mode


def _sync_directory(directory: str) -> None:
    """Put the new name itself on the disk; Windows has no such call, and needs none."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except PermissionError:  # a directory that may be written to but not listed
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE file systems cannot sync a directory: the file itself is in place and synced.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
