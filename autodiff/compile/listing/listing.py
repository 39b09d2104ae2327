"""A program as a person reads it: a function of plain numpy, line by line the calls that are made.

The text can be copied and run. It keeps to the memory of the program where that is used again, and leaves it to numpy
where a line is the first to write to it.
"""

from __future__ import annotations

import functools
import textwrap
from typing import TYPE_CHECKING, Any

from autodiff.compile.listing.intake import Intake, found
from autodiff.compile.listing.names import identifier
from autodiff.compile.listing.outline import Outline
from autodiff.compile.listing.page import PAGE
from autodiff.compile.listing.stats import Stats
from autodiff.compile.listing.writer import Writer
from autodiff.compile.plan.plan import Plan

if TYPE_CHECKING:
    from autodiff.compile.record.recording import Recording


class Listing:
    """The text of a program, which is written when it is asked for.

    Parameters
    ----------
    plan : Plan
        What is run.
    recording : Recording
        Where it comes from; what it is about to forget is noted here.
    args, kwargs
        What it was recorded for.
    stats : Stats
        Those of the program.

    Attributes
    ----------
    name : str
        Of the function that was recorded.
    """

    def __init__(
        self, plan: Plan, recording: Recording, args: tuple[Any, ...], kwargs: dict[str, Any], stats: Stats
    ) -> None:
        self.name = identifier(getattr(recording.function, "__name__", "program").strip("<>"))
        self._stats = stats
        self._outline = Outline(plan, recording.tape)
        self._intake = Intake(recording, plan.kept, args, kwargs)
        self._outputs = recording.outputs

    @functools.cached_property
    def _writer(self) -> Writer:
        return Writer(self.name, self._outline, self._intake, self._outputs)

    @property
    def text(self) -> str:
        """The function, with what it costs above it."""
        how = (
            "Machine code runs it, in which lines are fused into loops."
            if self._outline.fused
            else "What a line writes to without `out=` is made once and used again by each run."
        )
        head = f"{self.name}: {self._stats.summary}. {how}"
        return "\n".join([*textwrap.wrap(head, PAGE, initial_indent="# ", subsequent_indent="# "), self._writer.text])

    @property
    def inputs(self) -> dict[str, Any]:
        """What the function takes besides the arguments, by name: arrays that stay outside, generators, functions."""
        return {name: get() for name, get in self._writer.ledger.inputs.items()}

    @property
    def left(self) -> dict[str, Any]:
        """Numbers outside that the function returns beside the result, as they are now, by name."""
        self._writer  # noqa: B018 - which knows the names
        return {name: found(place) for name, place in self._intake.numbers.items()}

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        import html

        style = "font-family: monospace; line-height: 1.35; overflow-x: auto"
        return f'<pre style="{style}">{html.escape(self.text)}</pre>'
