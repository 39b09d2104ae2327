"""What is said about a training: whether it learns, and what stops it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any


@dataclass(frozen=True)
class Cause:
    """One thing that stops a training.

    Attributes
    ----------
    code : str
        As "rate_decays".
    seen : str
        What is there to be seen.
    proof : str
        "as written 0/20 learn; with the learning rate held at its first value 20/20".
    """

    code: str
    seen: str
    proof: str


@dataclass
class Prognosis:
    """Whether a training learns, and what stops it. ``print(prognosis)``, `html()`, `to_dict()`.

    Attributes
    ----------
    summary : str
    ill : bool
        Whether it ends no better than a constant answer.
    findings : list of Cause
        Each proven by a counterfactual.
    notes : list of str
        What else is to be known, as what could not be tried.
    """

    summary: str
    ill: bool
    findings: list[Cause] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def causes(self) -> list[str]:
        """The codes of the findings, each once."""
        return list(dict.fromkeys(cause.code for cause in self.findings))

    def to_dict(self) -> dict[str, Any]:
        """Return the prognosis as plain values, fit for JSON."""
        return {
            "summary": self.summary,
            "ill": self.ill,
            "causes": self.causes,
            "findings": [{"code": c.code, "seen": c.seen, "proof": c.proof} for c in self.findings],
            "notes": list(self.notes),
        }

    def html(self) -> str:
        """Return the prognosis as a piece of HTML."""
        items = "".join(
            f"<li><code>{escape(c.code)}</code> {escape(c.seen)}<br>{escape(c.proof)}</li>" for c in self.findings
        )
        items += "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"<div class='doctor'><p><strong>{escape(self.summary)}</strong></p><ul>{items}</ul></div>"

    def _repr_html_(self) -> str:
        return self.html()

    def __str__(self) -> str:
        lines = [self.summary]
        width = max((len(c.code) for c in self.findings), default=0)
        proof = ""
        for cause in self.findings:
            if cause.proof != proof and proof:
                lines.append(f"  {'':{width}}   {proof}")
            lines.append(f"  {cause.code:{width}}   {cause.seen}")
            proof = cause.proof
        if proof:
            lines.append(f"  {'':{width}}   {proof}")
        return "\n".join([*lines, *(f"  ({note})" for note in self.notes)])
