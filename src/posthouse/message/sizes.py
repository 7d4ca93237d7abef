"""Sizes as people write and read them. 1 KB is 1024 octets."""

import re

_SIZE = re.compile(r"([0-9]{1,15})\s*([A-Za-z]*)")
_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{prefix}{end}": 1 << (10 * power) for power, prefix in enumerate("KMGT", 1) for end in ("", "B", "IB")}


class SizeError(ValueError):
    """The text is no size."""


class MissingUnitError(SizeError):
    """A number alone: whether it means octets or megabytes only its writer knows."""

    def __init__(self, number: str) -> None:
        super().__init__(f"a size without a unit: {number}")
        self.number = number


def parse_size(text: str) -> int:
    """Octets of "500MB", "2 GB" or "64KiB". 0 needs no unit. Raises SizeError, MissingUnitError."""
    match = _SIZE.fullmatch(text)
    if match is None or match[2].upper() not in _UNITS:
        raise SizeError(f"no size: {text[:40]!a}")
    if int(match[1]) and not match[2]:
        raise MissingUnitError(match[1])
    return int(match[1]) * _UNITS[match[2].upper()]


def exact_size(octets: int) -> str:
    """The shortest text that parse_size() reads as just that: 52428800 is "50MB"."""
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if octets and octets % factor == 0:
            return f"{octets // factor}{unit}"
    return f"{octets}B"


def format_size(octets: int) -> str:
    """For people, rounded: "812 B", "2.1 KB", "50.0 MB", "1,200.0 GB"."""
    if octets < 1 << 10:
        return f"{octets} B"
    for unit, factor in (("KB", 1 << 10), ("MB", 1 << 20)):
        if round(octets / factor, 1) < 1024:
            return f"{octets / factor:.1f} {unit}"
    return f"{octets / (1 << 30):,.1f} GB"
