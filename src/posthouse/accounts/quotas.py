"""Quotas as people write them."""

import re

from posthouse.accounts.errors import BadQuotaError

_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{prefix}{kind}": 1 << (10 * power) for power, prefix in enumerate("KMGT", 1) for kind in ("", "B", "IB")}
_NONE = ("", "-", "none", "unlimited")


def parse_quota(text: str) -> int | None:
    """Octets of "500MB", "2GB", "1048576" (1 KB is 1024); "" or "none" is None: no bound. Raises BadQuotaError."""
    lowered = text.strip().lower()
    if lowered in _NONE:
        return None
    match = re.fullmatch(r"([0-9]{1,12}) ?([a-z]*)", lowered)
    if match is None or match[2].upper() not in _UNITS:
        raise BadQuotaError(f"{text[:40]!a} is no quota; write a size like 500MB or 2GB, or none")
    return int(match[1]) * _UNITS[match[2].upper()]
