"""A mailbox as columns of numbers, by uid: some tens of octets a message, however many there are."""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Sequence
from operator import gt

from posthouse.mailstore.interface import MessageColumns, Snapshot

_FEW = 16  # places that are taken out one by one, each with a move of what is behind it

Columns = Sequence["array[int]"]


def empty() -> "list[array[int]]":
    """Columns of Row, without messages."""
    return [array("L"), *(array("Q") for _ in MessageColumns._fields[1:])]


def columns_of(snapshot: Snapshot) -> "list[array[int]]":
    """Those of a snapshot, in the order of Row."""
    return [getattr(snapshot, name) for name in ("uids", "messages", "flags", "modseqs", "octets", "received")]


def drop(columns: Columns, places: Sequence[int]) -> None:
    """Take out what stands at these places, which ascend. Costs moves of memory, and steps only for the places."""
    if len(places) <= _FEW:
        for column in columns:
            for place in reversed(places):
                del column[place]
        return
    for column in columns:
        kept = array(column.typecode)
        start = 0
        for place in places:
            if start < place:
                kept.extend(column[start:place])
            start = place + 1
        kept.extend(column[start:])
        column[:] = kept


def merge(columns: Columns, changed: Sequence[MessageColumns], vanished: Collection[int]) -> None:
    """Bring columns up to a later moment: rows that are new or have changed since, and uids of those that are gone."""
    uids = columns[0]
    places = []
    for uid in sorted(vanished):
        place = bisect_left(uids, uid)
        if place < len(uids) and uids[place] == uid:
            places.append(place)
    drop(columns, places)
    known = len(uids)
    for row in changed:
        place = bisect_left(uids, row.uid, 0, known)
        if place < known and uids[place] == row.uid:
            for column, value in zip(columns, row, strict=True):
                column[place] = value
        else:
            for column, value in zip(columns, row, strict=True):
                column.append(value)
    sort(columns, known)


def sort(columns: Columns, known: int = 0) -> None:
    """Order them by uid, if they are not; the first `known` are."""
    uids = columns[0]
    late = uids[max(0, known - 1) :]
    if any(map(gt, late, late[1:])):
        order = sorted(range(len(uids)), key=uids.__getitem__)
        for column in columns:
            column[:] = array(column.typecode, [column[at] for at in order])
