"""Numbers and texts in few characters: what the page's own script takes apart again."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NUMBER = re.compile(r"(-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?)")


def floats(arrays: list[Any]) -> str:
    """Return numbers as base64 of the three upper bytes of each as float32: five digits, four characters.

    Examples
    --------
    >>> floats([np.array([[1.0]])])
    'P4AA'
    """
    if not arrays:
        return ""
    with np.errstate(all="ignore"):
        flat = np.concatenate([np.asarray(array, np.float64).reshape(-1) for array in arrays]).astype(">f4")
    bits = flat.view(">u4").astype(np.uint32)
    finite = (bits & 0x7F800000) < 0x7F7FFF80
    upper = np.where(finite, (bits + 0x80) & 0xFFFFFF00, bits).astype(">u4")  # rounded, not cut
    return base64.b64encode(upper.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()).decode()


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
