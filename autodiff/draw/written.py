"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def write(path: Path, content: str | bytes) -> Path:
    """Write a file under another name first; return its path. FileNotFoundError names a directory that is missing."""
    from uuid import uuid4  # takes long to import, and most programs write no picture

    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "cannot write a file: there is no such directory", str(path.parent))
    unfinished = path.with_name(f".{uuid4().hex}.tmp")
    try:
        with open(unfinished, "xb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
