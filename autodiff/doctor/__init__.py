"""The doctor: which line of a hand-written backward pass is wrong, and why; and why a right one does not learn."""

from autodiff.doctor.check_gradients import check_gradients
from autodiff.doctor.examine import examine
from autodiff.doctor.prognosis import prognosis
from autodiff.doctor.report import Finding, Report, Verdict
from autodiff.doctor.training.answer import Prognosis
from autodiff.doctor.watch import watch

__all__ = [
    "Finding",
    "Prognosis",
    "Report",
    "Verdict",
    "check_gradients",
    "examine",
    "prognosis",
    "watch",
]
