"""Leases: exclusive holds that expire, kept as rows so that they hold across processes and, later, nodes."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lease:
    """A hold on `name`. `token` is the fencing number: it ascends with every taking of the same name."""

    name: str
    token: int


class Leases(Protocol):
    """Take, keep and give back exclusive holds."""

    async def take(self, name: str, seconds: float) -> Lease | None:
        """The hold, or None when another has it and it has not expired."""

    async def renew(self, lease: Lease, seconds: float) -> bool:
        """Hold on for `seconds` from now; False when it was lost meanwhile."""

    async def release(self, lease: Lease) -> None:
        """Give it back; no effect when it was lost."""
