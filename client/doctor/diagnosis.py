"""What a check of the way to a forge found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from medforge.errors import MedForgeError

State = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True)
class Diagnosis:
    """Say what a check found, and how to mend it where it is a problem or a warning."""

    check: str
    state: State
    what: str
    fix: str = ""


def problem(check: str, error: MedForgeError) -> Diagnosis:
    """Read an error as a finding: its sentences name the problem, then after the last semicolon the remedy."""
    what, _, fix = str(error).rpartition("; ")
    return Diagnosis(check, "problem", what or fix, fix)


def skipped(check: str, why: str) -> Diagnosis:
    """Say why a check was not made."""
    return Diagnosis(check, "skipped", why)
