"""From cases to a report: the verdict on each parameter, the findings, the summary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from autodiff.doctor.case import EXACT, NOISE, Case, aligned
from autodiff.doctor.causes import cause_of
from autodiff.doctor.idle import never_updated
from autodiff.doctor.known import Known
from autodiff.doctor.missing import labels_shape, labels_unused, odd_rates, output_unused, rate_unused, reshaped
from autodiff.doctor.praise import praise
from autodiff.doctor.report import Finding, Report, Verdict
from autodiff.doctor.scale import Scale, scales
from autodiff.doctor.search import faults
from autodiff.doctor.spare import idle_lines
from autodiff.doctor.spell import name_for
from autodiff.doctor.updates import short
from autodiff.doctor.where import at_top, listed, widened

#: Causes that say what a value is not, and not which of its operands made it so.
UNSURE = {
    "unexplained",
    "upstream_raw_error",
    "derivative_missing",
    "derivative_wrong",
    "labels_missing",
    "output_missing",
    "error_missing",
    "upstream_dlda",
    "factor",
}
#: Causes that lie in the derivative of the loss by the output, or in the slope that it is multiplied with.
TOP = {"mse_delta_with_bce", "bce_half", "bce_sign", "swapped", "labels_missing", "output_missing", "error_missing"}
TOP |= {"divided_by_slope", "wrong_labels", "plus_for_minus", "product_for_difference", "sign_of_error"}


def report_on(case: Case, lr: float | None) -> Report:
    """Judge one step of training."""
    if case.truth is None:
        return _unchecked(case)
    found = scales(case, lr)
    case.memo["rate"] = _rate(found)
    known = None
    findings: list[Finding] = []
    if case.partly:
        findings = [_partly(case, path, s) for path, s in found.items() if _is_wrong(s)]
    elif any(_is_wrong(s) for s in found.values()):
        known = Known(case)
        case.memo["activations"] = known.activations
        findings = _explained(case, known, lr)
    shapes = labels_shape(case)
    if shapes:
        findings = shapes
    findings = _joined(findings)
    apart = case.memo.get("apart", {})
    idle = [p for p in case.versions if p not in case.claims and p not in apart]
    for path in idle:
        update = next(p for p in case.parameters if p.path == path).versions[case.step + 1]
        known = known or Known(case)
        lines = idle_lines(case, known, path, update)
        text = f"{short(path)} is updated by something that does not depend on the loss"
        findings.append(Finding("never_updated", text, None, lines, (short(path),)))
    still = never_updated(case)
    findings += still
    findings += odd_rates(case) or rate_unused(case)
    verdicts = [_verdict(case, path, s, findings) for path, s in found.items()]
    verdicts += [Verdict(short(p), case.tape[case.versions[p]].value.shape, "wrong", None) for p in idle]
    verdicts += [
        Verdict(short(p), case.tape[case.versions[p]].value.shape, "unchecked", None, w) for p, w in apart.items()
    ]
    verdicts += [Verdict(f.parameters[0], (), "wrong", None, "never updated") for f in still]
    report = Report("", verdicts, findings, [], _notes(case, found, lr))
    if not case.partly and len(case.tape) < 4000:
        blamed = {line for f in findings for line in f.lines}
        report.right = praise(case, known or Known(case), blamed)
    report.summary = summary(report)
    return report


def _explained(case: Case, known: Known, lr: float | None) -> list[Finding]:
    """Search for the faults and name them. Whatever happens in that, the comparison stands."""
    findings = []
    try:
        for fault in faults(case, known, lr):
            cause = cause_of(case, known, fault)
            if cause.code in TOP:
                cause = replace(cause, lines=at_top(case, known, fault, cause.lines))
            if cause.code in UNSURE:
                cause = replace(cause, lines=widened(case, fault, cause.lines))
            cause = replace(cause, lines=listed(case, fault, cause.lines))
            paths = tuple(short(p) for p in fault.parameters)
            findings.append(Finding(cause.code, cause.text, cause.fix, cause.lines, paths))
    except Exception as error:  # code of any kind is put in words here
        case.notes.append(f"the search for causes ended early, on {type(error).__name__}: {error}")
    return findings


def _is_wrong(s: Scale) -> bool:
    return not s.proportional or (s.off is not None and abs(s.off - 1) > NOISE)


def _rate(found: dict[str, Scale]) -> float | None:
    rates = [s.rate for s in found.values() if s.k and s.proportional and s.off and abs(s.off - 1) <= NOISE]
    return rates[0] if rates else None


def _verdict(case: Case, path: str, s: Scale, findings: list[Finding]) -> Verdict:
    name, target = short(path), case.true_gradient(path)
    claim = case.claims[path]
    error: float | None = None
    g = aligned(np.asarray(case.tape[claim.node].value), target.shape)
    if s.proportional:
        error = max(s.rest, abs((s.off or 1.0) - 1) / max(1.0, abs(s.off or 1.0)))
        if not s.k:
            error = 0.0
    elif g is not None:
        rate = case.memo.get("rate")
        scaled = g * (-claim.sign * claim.factor / rate) if rate else g * (1 if s.k >= 0 else -1)
        error = float(
            np.linalg.norm(scaled - target) / max(float(np.linalg.norm(scaled)), float(np.linalg.norm(target)), 1e-300)
        )
    note = ""
    if g is None:
        note = f"shape {case.tape[claim.node].value.shape} for {target.shape}"
    elif s.decay:
        note = f"with weight decay {s.decay:.3g}"
    elif s.proportional and not s.k:
        note = "the true gradient is zero here"
    spoilt = any(name in f.parameters for f in findings)
    verdict = "exact" if error is not None and error <= EXACT else "noise"
    if error is None or spoilt or _is_wrong(s):
        verdict = "wrong"
    return Verdict(name, target.shape, verdict, error, note)


def _partly(case: Case, path: str, s: Scale) -> Finding:
    node = case.tape[case.claims[path].node]
    text = "does not agree with differences of the loss"
    return Finding("unexplained", text, None, node.lines[:1], (short(path),))


def _joined(findings: list[Finding]) -> list[Finding]:
    """One finding for the same fault of the same line in several layers."""
    joined: dict[tuple[Any, ...], Finding] = {}
    for f in findings:
        key = (f.code, f.lines[:1], f.fix)
        if key in joined:
            old = joined[key]
            paths = tuple(dict.fromkeys((*old.parameters, *f.parameters)))
            joined[key] = Finding(old.code, old.text, old.fix, old.lines, paths)
        else:
            joined[key] = f
    return list(joined.values())


def _notes(case: Case, found: dict[str, Scale], lr: float | None) -> list[str]:
    notes = list(case.notes)
    assert case.truth is not None
    node = case.tape[case.truth.loss]
    if case.loss_name is not None:
        notes.append(
            f"the code computes no loss that could be differentiated; gradients are compared with the {case.loss_name}"
        )
    elif node.lines:
        line = node.lines[0]
        name = name_for(case, node.id, None)
        notes.append(f"the loss is {name or 'the number'} of line {line.number}: {line.text}")
    rate = case.memo.get("rate")
    plain = [c for p, c in case.claims.items() if found[p].proportional]
    if rate is not None and plain and not any(c.state for c in plain):
        if all(not c.scalars for c in plain) and lr is None:
            notes.append(
                f"the update has no learning rate, so that a constant factor ({rate:.4g}) of all gradients cannot be "
                "judged; say lr=1 if there is meant to be none"
            )
        else:
            notes.append(f"the learning rate is {rate:.6g}")
    return notes


def _unchecked(case: Case) -> Report:
    shapes = [case.tape[v].value.shape for v in case.versions.values()]
    verdicts = [Verdict(short(p), s, "unchecked", None) for p, s in zip(case.versions, shapes, strict=True)]
    findings = labels_shape(case) or labels_unused(case) or output_unused(case) or reshaped(case)
    text = case.doubt or "the loss could not be found"
    cure = '; say which loss it is meant to be, loss="bce", "cross_entropy" or "mse"' if "no loss" in text else ""
    report = Report("", verdicts, findings, [], [text + cure])
    report.summary = f"The gradients could not be checked: {findings[0].text if findings else text}."
    return report


def with_findings(report: Report, more: list[Finding]) -> Report:
    """Add findings to a report, and what they say of its parameters."""
    if more:
        spoilt = {name for finding in more for name in finding.parameters}
        report.findings += more
        report.parameters = [replace(v, verdict="wrong") if v.name in spoilt else v for v in report.parameters]
        report.summary = summary(report)
    return report


def summary(report: Report) -> str:
    """Return one sentence for a whole report."""
    wrong = [v for v in report.parameters if v.verdict == "wrong"]
    total = len(report.parameters)
    if not wrong and not report.findings:
        noise = sum(v.verdict == "noise" for v in report.parameters)
        tail = f", {noise} of them up to rounding or a small epsilon" if noise else ""
        unchecked = sum(v.verdict == "unchecked" for v in report.parameters)
        if unchecked:
            return f"{total - unchecked} of {total} gradients are right{tail}; {unchecked} could not be checked."
        return f"All {total} gradients are right{tail}." if total > 1 else f"The gradient is right{tail}."
    count = len(report.findings)
    what = "one fault explains it" if count == 1 else f"{count} faults explain it"
    places = [f"line {n}" for n in report.lines]
    where = f" ({', '.join(places[:6])})" if places else ""
    if any(f.code == "unexplained" for f in report.findings):
        what = (
            f"the fault begins at {'these lines' if len(places) > 1 else 'this line'}"
            if places
            else "no cause was found"
        )
    return f"{len(wrong)} of {total} gradients {'is' if len(wrong) == 1 else 'are'} wrong; {what}{where}."
