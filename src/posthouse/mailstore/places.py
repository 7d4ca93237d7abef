"""Where the octets of a message are: small values, for a mailbox may hold hundreds of thousands of them.

A message whose record has no other prefix is one int, pack number and offset of the record; others are a short text.
"""

from typing import NamedTuple

from posthouse.mailstore.records import HEADER_OCTETS

OFFSET_BITS = 40  # a pack may be as long as the largest message: 1 TiB
_OFFSET_MASK = (1 << OFFSET_BITS) - 1


class Place(NamedTuple):
    """A place unfolded. All offsets count from the start of the pack."""

    pack: int
    record: int  # where the header is
    prefix: int  # where the message's own prefix is
    prefix_octets: int
    body: int


def alone(place: int) -> tuple[int, int]:
    """Pack and record of a place that is one int."""
    return place >> OFFSET_BITS, place & _OFFSET_MASK


def folded(pack: int, record: int, prefixes: int, back: int, own: int) -> int | str:
    """The place of a message, from where its record is and which part of the prefixes is its own."""
    if prefixes == own == back:
        return pack << OFFSET_BITS | record
    return f"{pack}:{record}:{prefixes}:{back}:{own}"


def unfold(place: str) -> Place:
    """A place in its text form: pack:record:octets of all prefixes:octets back from the body:octets of the own prefix.

    Raises ValueError.
    """
    pack, record, prefixes, back, own = map(int, place.split(":"))
    body = record + HEADER_OCTETS + prefixes
    return Place(pack, record, body - back, own, body)
