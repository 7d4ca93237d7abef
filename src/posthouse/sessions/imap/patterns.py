"""Whether names fit the patterns of LIST (RFC 9051 6.3.9): * is anything, % anything within a level.

A pattern is a row of characters with gaps in front, between and behind, some of which wildcards fill. `a*b` has its
star in the gap behind the `a`: once there, any character leaves it there. All the gaps where we may be are the bits of
one number, and a character of the name moves them all at once: no pattern takes more than a step of a thousand bits for
each character, however many wildcards it has.
"""

import re
from collections.abc import Iterable

from posthouse.mailstore.interface import INBOX
from posthouse.mailstore.names import MAX_OCTETS, SEPARATOR, canonical

_WILDCARDS = re.compile(r"([*%]+)")


class Patterns:
    """Some patterns, one of which a name is to fit."""

    __slots__ = ("_inbox", "_patterns", "effort")

    def __init__(self, patterns: Iterable[str]) -> None:
        texts = [canonical(pattern) for pattern in patterns if pattern]
        self._patterns = [_Pattern(text) for text in texts]
        # INBOX has no case: "inb*" is a pattern for it.
        self._inbox = any(_Pattern(text.upper()).fits(INBOX) for text in texts)
        self.effort = sum(pattern.length + 1 for pattern in self._patterns)  # what a name costs, more or less

    def fit(self, name: str) -> bool:
        """Whether a canonical name fits."""
        if name == INBOX and self._inbox:
            return True
        return any(pattern.fits(name) for pattern in self._patterns)


class _Pattern:
    __slots__ = ("_always", "_behind", "_within", "length")

    def __init__(self, text: str) -> None:
        pieces = _WILDCARDS.split(text)  # characters, wildcards, characters, ...
        self.length = sum(map(len, pieces[::2]))
        self._behind: dict[str, int] = {}  # character -> the gaps that it may follow
        self._always = self._within = 0  # the gaps where every character may stay, and every one but the separator
        if self.length > MAX_OCTETS:
            return  # no name is as long
        gap = 0
        for chars, wildcards in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
            for char in chars:
                self._behind[char] = self._behind.get(char, 0) | 1 << gap
                gap += 1
            if "*" in wildcards:  # in a run of them a single * says all
                self._always |= 1 << gap
            elif wildcards:
                self._within |= 1 << gap

    def fits(self, name: str) -> bool:
        if len(name) < self.length:
            return False
        if not self.length and self._always:
            return True
        places, anywhere = 1, self._always | self._within
        for char in name:
            stay = self._always if char == SEPARATOR else anywhere
            places = (places & self._behind.get(char, 0)) << 1 | places & stay
            if not places:
                return False
        return bool(places >> self.length)
