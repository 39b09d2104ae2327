"""What a program costs, in numbers."""

from __future__ import annotations

from typing import Any


class Stats(dict[str, Any]):
    """Calls after each pass, buffers and bytes: a dict that prints as a table."""

    @property
    def summary(self) -> str:
        """One line: what is run, and in how much memory."""
        count = self["buffers"]
        return (
            f"{self['calls']['run']} numpy calls, planned from {self['calls']['recorded']}, "
            f"with {count} buffer{'s'[: count != 1]} of {size(self['bytes'])} in all"
        )

    def __str__(self) -> str:
        rows = [("calls " + name, f"{count:,}") for name, count in self["calls"].items()]
        rows += [("buffers", f"{self['buffers']:,}"), ("memory", size(self["bytes"]))]
        rows += [(name, str(value)) for name, value in self.items() if name not in ("calls", "buffers", "bytes")]
        wide, right = (max(len(row[i]) for row in rows) for i in (0, 1))
        return "\n".join(f"{name.ljust(wide)}  {value.rjust(right)}" for name, value in rows)


def size(count: float) -> str:
    """Write a number of bytes."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
