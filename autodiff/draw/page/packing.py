"""Numbers and texts in few characters: what the page's own script takes apart again."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NUMBER = re.compile(r"(-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?)")


def is_wide(arrays: Iterable[Any]) -> bool:
    """Whether some number is too large or too small for a float32, as a gradient that has all but vanished."""
    for array in arrays:
        sizes = np.abs(array[np.isfinite(array) & (array != 0)])
        if sizes.size and (sizes.min() < 1e-37 or sizes.max() > 1e38):
            return True
    return False


def floats(arrays: list[Any], wide: bool = False) -> str:
    """Return numbers as base64 of the three upper bytes of each as float32, or of the four upper ones as float64.

    That is five digits and four characters, or six digits.

    Examples
    --------
    >>> floats([np.array([[1.0]])]), floats([np.array([[1.0]])], wide=True)
    ('P4AA', 'P/AAAA==')
    """
    if not arrays:
        return ""
    flat = np.concatenate([np.asarray(array, np.float64).reshape(-1) for array in arrays])
    size, kept = (8, 4) if wide else (4, 3)
    with np.errstate(all="ignore"):
        bits = flat.astype(f"f{size}").view(f"u{size}")
    cut = np.array(8 * (size - kept), bits.dtype)
    one = np.array(1, bits.dtype)
    # Rounded, not cut off; but not so that a finite number becomes infinite.
    upper = np.where(np.isfinite(flat), bits + (one << (cut - one)), bits) >> cut << cut
    upper = np.where(np.isfinite(upper.view(f"f{size}")) | ~np.isfinite(flat), upper, bits >> cut << cut)
    picked = upper.astype(f">u{size}").view(np.uint8).reshape(-1, size)[:, :kept]
    return base64.b64encode(picked.tobytes()).decode()


def whole(numbers: Iterable[int], width: int = 1) -> str:
    """Return whole numbers as `width` digits to the base of 64 each.

    Examples
    --------
    >>> whole([0, 1, 63]), whole([64], 2)
    ('AB/', 'BA')
    """
    return "".join(_DIGITS[n >> 6 * k & 63] for n in numbers for k in range(width - 1, -1, -1))


def changes(texts: list[str], before: list[str]) -> list[str | int]:
    """Return texts by what is new in them since those before.

    0 where nothing is; the numbers with ``|`` between them, empty where they are the same, where only numbers are; else
    ``=`` and the text.

    Examples
    --------
    >>> changes(["p from 0.1 to 0.9", "loss 2", "new"], ["p from 0.2 to 0.9", "loss 2", "old"])
    ['0.1|', 0, '=new']
    """
    found: list[str | int] = []
    for i, text in enumerate(texts):
        old = before[i] if i < len(before) else None
        if text == old:
            found.append(0)
            continue
        now, then = _NUMBER.split(text), _NUMBER.split(old or "")
        if old is not None and now[::2] == then[::2] and len(now) > 1:
            found.append("|".join("" if new == was else new for new, was in zip(now[1::2], then[1::2], strict=True)))
        else:
            found.append(f"={text}")
    return found
