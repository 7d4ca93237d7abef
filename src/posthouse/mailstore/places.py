"""Where the octets of a message are: small values, for a mailbox may hold hundreds of thousands of them.

The place of a record is one int, its pack and where it starts there: the id of its row, too. A message whose record has
no other prefix is at that place; that of others is a short text.
"""

from typing import NamedTuple

from posthouse.mailstore.records import HEADER_OCTETS

OFFSET_BITS = 40  # a pack may be as long as the largest message: 1 TiB
_OFFSET_MASK = (1 << OFFSET_BITS) - 1


class RecordLocation(NamedTuple):
    """A place taken apart. All offsets count from the start of the pack."""

    pack: int
    record: int  # where the header is
    prefix: int  # where the message's own prefix is
    prefix_octets: int
    body: int


def place_of(pack: int, record: int) -> int:
    """The place of a record, from its pack and where it starts there. Places of one pack ascend with the offset."""
    return pack << OFFSET_BITS | record


def split_place(place: int) -> tuple[int, int]:
    """Pack and record of a place that is one int."""
    return place >> OFFSET_BITS, place & _OFFSET_MASK


def format_place(pack: int, record: int, prefixes: int, back: int, own: int) -> int | str:
    """The place of a message, from where its record is and which part of the prefixes is its own."""
    if prefixes == own == back:
        return place_of(pack, record)
    return f"{pack}:{record}:{prefixes}:{back}:{own}"


def parse_place(place: str) -> RecordLocation:
    """A place in its text form: pack:record:octets of all prefixes:octets back from the body:octets of the own prefix.

    Raises ValueError.
    """
    pack, record, prefixes, back, own = map(int, place.split(":"))
    body = record + HEADER_OCTETS + prefixes
    return RecordLocation(pack, record, body - back, own, body)
