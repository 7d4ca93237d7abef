"""A ledger outside the store: it writes down what was acknowledged, and afterwards says what of it is not true.

Lines, one per event, each written with one call and read by another process:
    D <id>   the delivery was acknowledged
    ? <id>   its expunge is about to be asked for
    X <id>   its expunge was acknowledged
"""

import hashlib
from dataclasses import dataclass, field

_OCTETS = 12_000


def body_of(number: int) -> bytes:
    """The body of message `number`: its number, then octets that follow from it, of a length that follows from it."""
    seed = hashlib.sha256(b"%d" % number).digest()
    return b"%d\r\n" % number + (seed * (_OCTETS // 32))[: seed[0] * _OCTETS // 256]


@dataclass
class Ledger:
    """What a store has acknowledged, over all its lives."""

    delivered: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)
    expunged: set[int] = field(default_factory=set)

    def read(self, lines: bytes) -> None:
        """Take the lines of one life. The last may be cut."""
        for line in lines.split(b"\n")[:-1]:
            kind, number = line.split()
            {b"D": self.delivered, b"?": self.asked, b"X": self.expunged}[kind].add(int(number))

    def faults(self, found: dict[int, list[bytes]]) -> list[str]:
        """Whom it was not true for, given what the store holds: number -> bodies."""
        faults = [f"{number} lost" for number in sorted(self.delivered - self.asked - found.keys())]
        faults += [f"{number} came back" for number in sorted(self.expunged & found.keys())]
        for number, bodies in found.items():
            if len(bodies) > 1:
                faults.append(f"{number} is there {len(bodies)} times")
            if bodies[0] != body_of(number):
                faults.append(f"{number} is half a message")
        return faults
