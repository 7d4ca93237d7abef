"""Sequence sets (RFC 9051 9): numbers and ranges, `*` the last there is; `$` is the saved result (RFC 5182)."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from posthouse.protocol.imap.syntax import Cursor, GrammarError

LAST = 0  # stands for *
_SET = re.compile(rb"[\d*:,]+")
_RANGE = re.compile(rb"(\d{1,10}|\*)(?::(\d{1,10}|\*))?\Z")
_MAX = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class NumberSet:
    """Ranges with both ends, in the order given; LAST is *."""

    ranges: tuple[tuple[int, int], ...]
    saved: bool = False  # it is $

    @property
    def greatest(self) -> int:
        """The highest number that is named; 0 when only * is."""
        return max((max(pair) for pair in self.ranges), default=0)

    @property
    def count(self) -> int:
        """How many numbers are named, of a set without *."""
        return sum(end + 1 - first for first, end in self.resolved(0))

    def resolved(self, last: int) -> list[tuple[int, int]]:
        """Ranges that ascend and neither touch nor overlap, * being `last`."""
        pairs = sorted(
            (min(first, end), max(first, end))
            for first, end in ((first or last, end or last) for first, end in self.ranges)
        )
        joined: list[tuple[int, int]] = []
        for first, end in pairs:
            if joined and first <= joined[-1][1] + 1:
                if end > joined[-1][1]:
                    joined[-1] = (joined[-1][0], end)
            else:
                joined.append((first, end))
        return joined


def holds(ranges: list[tuple[int, int]], number: int) -> bool:
    """Whether ranges that ascend, as resolved() gives them, hold a number."""
    at = bisect_right(ranges, number, key=lambda pair: pair[0]) - 1
    return at >= 0 and number <= ranges[at][1]


def page(numbers: Sequence[int], wanted: tuple[int, int]) -> Sequence[int]:
    """Those at some positions, from 1 on, or from -1 back; the order of the two does not matter (RFC 9394 4)."""
    first, end = sorted(wanted)
    if first > 0:
        return numbers[first - 1 : end]
    return numbers[max(0, len(numbers) + first) : max(0, len(numbers) + end + 1)]


def number_set(cursor: Cursor) -> NumberSet:
    """A set of sequence numbers or uids. Raises GrammarError."""
    if cursor.takes(b"$"):
        return NumberSet((), saved=True)
    text = cursor.match(_SET, "set of numbers")
    return NumberSet(tuple(_pair(part) for part in text.split(b",")))


def parse_ranges(text: bytes) -> list[tuple[int, int]]:
    """A set without * (as clients send back what we told them). Raises GrammarError."""
    found = number_set(Cursor(text))
    if found.saved or any(LAST in pair for pair in found.ranges):
        raise GrammarError("a set of known uids names them all")
    return found.resolved(0)


def _pair(part: bytes) -> tuple[int, int]:
    found = _RANGE.match(part)
    if found is None:
        raise GrammarError("malformed set of numbers")
    first = _number(found.group(1))
    end = _number(found.group(2)) if found.group(2) else first
    return first, end


def _number(text: bytes) -> int:
    if text == b"*":
        return LAST
    number = int(text)
    if not 0 < number <= _MAX:
        raise GrammarError("numbers in a set are between 1 and 4294967295")
    return number


def compact(numbers: Iterable[int]) -> bytes:
    """Ascending numbers as a set: 1:3,5."""
    parts: list[bytes] = []
    first = last = -1
    for number in numbers:
        if number == last + 1:
            last = number
            continue
        if first >= 0:
            parts.append(_range(first, last))
        first = last = number
    if first >= 0:
        parts.append(_range(first, last))
    return b",".join(parts)


def _range(first: int, last: int) -> bytes:
    return b"%d" % first if first == last else b"%d:%d" % (first, last)
