"""What an examination of a store finds."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is."""

    NOTE = "note"  # nothing is wrong
    WARNING = "warning"  # numbers are wrong, all mail is there; can be repaired
    ERROR = "error"  # mail is damaged or lost


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    severity: Severity
    kind: str  # one of few words, for machines: "damaged body", "missing pack", "counters of account" ...
    where: str
    what: str
    advice: str
    account: int | None = None  # whom it concerns
    repaired: bool = False

    def as_repaired(self) -> "Finding":
        """The same, done with."""
        return replace(self, repaired=True, advice="Repaired.")
