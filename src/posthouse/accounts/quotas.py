"""Quotas as people write them."""

from posthouse.accounts.errors import BadQuotaError
from posthouse.message.sizes import MissingUnitError, SizeError, parse_size

_NONE = ("", "-", "none", "unlimited")


def parse_quota(text: str) -> int | None:
    """Octets of "500MB" or "2GB" (1 KB is 1024); "", "none" and 0 of any unit are None: no bound. Raises BadQuotaError.

    A number alone is refused: whether it means octets or megabytes only its writer knows.
    """
    lowered = text.strip().lower()
    if lowered in _NONE:
        return None
    try:
        octets = parse_size(lowered)
    except MissingUnitError as error:
        number = error.number
        text = f"a quota of {number} has no unit; write {number}MB, or {number}B if octets are meant"
        raise BadQuotaError(text) from None
    except SizeError:
        raise BadQuotaError(f"{text[:40]!a} is no quota; write a size like 500MB or 2GB, or none") from None
    if octets >= 1 << 63:
        raise BadQuotaError(f"a quota of {lowered} is more than can be kept; write none for no bound")
    return octets or None
