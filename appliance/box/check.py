"""The outcome of one check of `appliance doctor`."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """OK; WARN: works, but look at it; FAIL: the appliance can't work like this."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class CheckResult:
    """One line of the doctor's report.

    Attributes:
        fix: What to do; None when nothing is to be done, or `detail` already says it.
    """

    name: str
    outcome: Outcome
    detail: str
    fix: str | None = None


def good(name: str, detail: str) -> CheckResult:
    """Report what was found to be right."""
    return CheckResult(name, Outcome.OK, detail)


def doubtful(name: str, detail: str, fix: str) -> CheckResult:
    """Report what works, but should be looked at."""
    return CheckResult(name, Outcome.WARN, detail, fix)


def bad(name: str, detail: str, fix: str | None = None) -> CheckResult:
    """Report what keeps the appliance from working."""
    return CheckResult(name, Outcome.FAIL, detail, fix)
