"""MTA-STS (RFC 8461): a domain's word on which hosts take its mail, and that they must prove who they are."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

MAX_POLICY = 64 << 10  # octets
MAX_AGE = 31_557_600  # seconds, RFC 8461 3.2
_MAX_LINES = 1000

_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_DIGITS = re.compile(r"[0-9]{1,10}")
_PATTERN = re.compile(r"(?:\*\.)?[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")


class PolicyError(Exception):
    """A policy that cannot be read; the text says why."""


class Mode(StrEnum):
    """RFC 8461 3.2."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MtaStsPolicy:
    """What a domain asks for. `hosts` are names or "*.domain", A-labels, lower case."""

    mode: Mode
    max_age: int
    hosts: tuple[str, ...]

    def allows(self, host: str) -> bool:
        """RFC 8461 4.1: whether mail for the domain may go to this host. A star stands for one whole label."""
        host = host.lower().rstrip(".")
        return any(host == each or (each[:2] == "*." and host.partition(".")[2] == each[2:]) for each in self.hosts)


def policy_id(records: Iterable[bytes]) -> str:
    """The id in the TXT records of _mta-sts.DOMAIN; "" without exactly one record that speaks STSv1 (RFC 8461 3.1)."""
    found = [record for record in records if re.match(rb"v=STSv1[ \t]*(?:;|$)", record)]
    if len(found) != 1:
        return ""
    for part in found[0].decode("ascii", "replace").split(";")[1:]:
        key, _, value = part.partition("=")
        if key.strip() == "id":
            return value.strip() if _ID.fullmatch(value.strip()) else ""
    return ""


def parse(text: bytes) -> MtaStsPolicy:
    """The policy file (RFC 8461 3.2). Raises PolicyError."""
    if len(text) > MAX_POLICY:
        raise PolicyError("it is too long")
    lines = text.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    if len(lines) > _MAX_LINES:
        raise PolicyError("it has too many lines")
    values: dict[str, str] = {}
    hosts: list[str] = []
    for line in lines:
        key, colon, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if not colon:
            continue
        if key == "mx":
            hosts.append(value.lower().rstrip("."))
        else:
            values.setdefault(key, value)  # RFC 8461 3.2: of several, the first counts
    return _checked(values, hosts)


def _checked(values: dict[str, str], hosts: Sequence[str]) -> MtaStsPolicy:
    if values.get("version") != "STSv1":
        raise PolicyError("its version is not STSv1")
    try:
        mode = Mode(values.get("mode", ""))
    except ValueError:
        raise PolicyError("its mode is none of enforce, testing, none") from None
    age = values.get("max_age", "")
    if not _DIGITS.fullmatch(age):
        raise PolicyError("it has no max_age")
    good = tuple(host for host in hosts if _PATTERN.fullmatch(host))
    if not good and mode is not Mode.NONE:
        raise PolicyError("it names no hosts")
    return MtaStsPolicy(mode, min(int(age), MAX_AGE), good)
