"""What the rest of the server asks of DNS."""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Protocol


class RecordType(StrEnum):
    """The types of records that mail needs."""

    A = "A"
    AAAA = "AAAA"
    MX = "MX"
    TXT = "TXT"
    TLSA = "TLSA"
    CNAME = "CNAME"
    PTR = "PTR"


class Found(Enum):
    """What a name server said, for sure."""

    RECORDS = "records"
    NO_DATA = "no data"  # the name exists, but has no record of this kind (RFC 2308 2.2)
    NO_NAME = "no name"  # NXDOMAIN (RFC 2308 2.1)


@dataclass(frozen=True, slots=True)
class Mx:
    """RFC 1035 3.3.9. `host` is in A-labels, lower case, without the last dot; "" is the null MX (RFC 7505 3)."""

    preference: int
    host: str


@dataclass(frozen=True, slots=True)
class Tlsa:
    """RFC 6698 2.1."""

    usage: int
    selector: int
    matching: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `records` holds str for A, AAAA, CNAME and PTR; Mx; Tlsa; bytes for TXT, its strings joined."""

    found: Found
    name: str  # the name at the end of the CNAMEs, in the form of Mx.host
    records: tuple[object, ...]
    secure: bool  # the AD bit of a resolver that may be trusted with it (RFC 6840 5.7)
    expires: float  # the loop's time in seconds


class DnsError(Exception):
    """No answer could be had now: a time-out, SERVFAIL, REFUSED. The text names the question and what happened."""


class Resolver(Protocol):
    """Asks name servers, and remembers what they say for as long as they allow."""

    def remembered(self, name: str, kind: RecordType) -> Answer | None:
        """What is known without asking. Never waits."""

    async def look_up(self, name: str, kind: RecordType) -> Answer:
        """The answer to one question; CNAMEs are followed. Raises DnsError."""

    async def close(self) -> None:
        """Let go of sockets; questions that are open fail with DnsError."""
