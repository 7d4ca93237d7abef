"""Quotas as people write them."""

import re

from posthouse.accounts.errors import BadQuotaError

_UNITS = {"B": 1}
_UNITS |= {f"{prefix}{kind}": 1 << (10 * power) for power, prefix in enumerate("KMGT", 1) for kind in ("", "B", "IB")}
_NONE = ("", "-", "none", "unlimited")


def parse_quota(text: str) -> int | None:
    """Octets of "500MB" or "2GB" (1 KB is 1024); "", "none" and 0 of any unit are None: no bound. Raises BadQuotaError.

    A number alone is refused: whether it means octets or megabytes only its writer knows.
    """
    lowered = text.strip().lower()
    if lowered in _NONE:
        return None
    match = re.fullmatch(r"([0-9]{1,15}) ?([a-z]*)", lowered)
    if match is None or match[2].upper() not in ("", *_UNITS):
        raise BadQuotaError(f"{text[:40]!a} is no quota; write a size like 500MB or 2GB, or none")
    if not int(match[1]):
        return None
    if not match[2]:
        number = match[1]
        raise BadQuotaError(f"a quota of {number} has no unit; write {number}MB, or {number}B if octets are meant")
    octets = int(match[1]) * _UNITS[match[2].upper()]
    if octets >= 1 << 63:
        raise BadQuotaError(f"a quota of {match[0]} is more than can be kept; write none for no bound")
    return octets
