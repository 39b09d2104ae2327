"""What the doctor found, as text, as a dictionary and as a page."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from autodiff.doctor.page import page
from autodiff.doctor.tape import Line


@dataclass(frozen=True)
class Finding:
    """One fault, in words.

    Attributes
    ----------
    code : str
        The catalogue's name for it.
    text : str
        What is wrong, as the end of a sentence that begins with the line.
    fix : str or None
        The line of numpy that would be right.
    lines : tuple of Line
        The lines to blame, the likeliest first.
    parameters : tuple of str
        The parameters that it spoils.
    """

    code: str
    text: str
    fix: str | None
    lines: tuple[Line, ...]
    parameters: tuple[str, ...]

    @property
    def line(self) -> int | None:
        """The number of the likeliest line."""
        return self.lines[0].number if self.lines else None


@dataclass(frozen=True)
class Verdict:
    """One parameter.

    `verdict` is "exact" (relative error up to 1e-7), "noise" (up to 1e-4: a small epsilon, float32), "wrong" or
    "unchecked"; `error` the relative error, None where shapes do not fit or nothing could be compared.
    """

    name: str
    shape: tuple[int, ...]
    verdict: str
    error: float | None
    note: str = ""


@dataclass
class Report:
    """The result of an examination. ``print(report)``, `report.html()`, `report.to_dict()`; a notebook shows it by
    itself.

    Attributes
    ----------
    summary : str
        One sentence.
    parameters : list of Verdict
    findings : list of Finding
        The faults, the first cause first.
    right : list of str
        What was checked and is right.
    notes : list of str
        What could not be checked, and assumptions.
    """

    summary: str
    parameters: list[Verdict] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    right: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every parameter was checked and nothing is wrong."""
        checked = bool(self.parameters) and all(v.verdict in ("exact", "noise") for v in self.parameters)
        return checked and not self.findings

    @property
    def lines(self) -> list[int]:
        """The numbers of all lines to blame."""
        return list(dict.fromkeys(line.number for finding in self.findings for line in finding.lines))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as nested plain values, fit for JSON."""
        return {
            "summary": self.summary,
            "ok": self.ok,
            "suspects": self.lines,
            "causes": list(dict.fromkeys(f.code for f in self.findings if f.code != "unexplained")),
            "unchecked": [v.name for v in self.parameters if v.verdict == "unchecked"],
            "parameters": [self._parameter(v) for v in self.parameters],
            "findings": [
                {
                    "code": f.code,
                    "text": f.text,
                    "fix": f.fix,
                    "parameters": list(f.parameters),
                    "lines": [
                        {"file": n.file, "line": n.number, "function": n.function, "text": n.text} for n in f.lines
                    ],
                }
                for f in self.findings
            ],
            "right": list(self.right),
            "notes": list(self.notes),
        }

    def _parameter(self, v: Verdict) -> dict[str, Any]:
        mine = [f for f in self.findings if v.name in f.parameters]
        return {
            "name": v.name,
            "shape": list(v.shape),
            "verdict": v.verdict,
            "relative_error": v.error,
            "cause": next((f.code for f in mine if f.code != "unexplained"), None),
            "lines": list(dict.fromkeys(n.number for f in mine for n in f.lines)),
            "note": v.note,
        }

    def html(self) -> str:
        """Return the report as a piece of HTML."""
        return page(self.to_dict())

    def _repr_html_(self) -> str:
        return self.html()

    def __str__(self) -> str:
        out = [self.summary, ""]
        width = max((len(v.name) for v in self.parameters), default=0)
        several = len({line.file for f in self.findings for line in f.lines}) > 1
        told: set[int] = set()
        for v in self.parameters:
            head = f"{v.name:<{width}}   {v.verdict:<9}"
            mine = [i for i, f in enumerate(self.findings) if v.name in f.parameters]
            fresh = [i for i in mine if i not in told]
            if not mine:
                out.append(f"{head}   {_error(v.error)}{f'; {v.note}' if v.note else ''}".rstrip())
                continue
            begin = f"{head}   "
            for i in fresh:
                told.add(i)
                for text in _block(self.findings[i], several):
                    out.append(f"{begin}{text}")
                    begin = " " * len(head) + "   "
            if not fresh:
                known = ", ".join(f"line {self.findings[i].line}" for i in mine if self.findings[i].line) or "as above"
                out.append(f"{begin}{known}, as above" if known != "as above" else f"{begin}as above")
        for i, f in enumerate(self.findings):
            if i not in told:
                out += ["", *_block(f, several)]
        for title, texts in (("Checked and right", self.right), ("To know", self.notes)):
            if texts:
                out += ["", f"{title}:", *(f"  {text}" for text in texts)]
        return "\n".join(out).rstrip()

    def __repr__(self) -> str:
        return f"<Report: {self.summary}>"


def _block(finding: Finding, several: bool) -> list[str]:
    out = []
    for line in finding.lines:
        place = f"{os.path.basename(line.file)} line {line.number}" if several else f"line {line.number}"
        out.append(f"{place}: {line.text}")
    out.append(finding.text + (":" if finding.fix else ""))
    if finding.fix:
        out.append(finding.fix)
    return out


def _error(error: float | None) -> str:
    return "" if error is None else f"relative error {error:.1e}"
