"""Mailboxes as columns, against plain lists of rows."""

from hypothesis import given
from hypothesis import strategies as st

from posthouse.mailstore.columns import Columns, drop, empty, merge
from posthouse.mailstore.interface import MessageColumns

_UIDS = st.sets(st.integers(1, 120), max_size=100)


def row(uid: int, modseq: int = 1) -> MessageColumns:
    return MessageColumns(uid, uid * 10, uid % 7, modseq, uid + 500, 5)


def filled(uids: set[int]) -> Columns:
    columns = empty()
    for uid in sorted(uids):
        for column, value in zip(columns, row(uid), strict=True):
            column.append(value)
    return columns


def rows(columns: Columns) -> list[MessageColumns]:
    return [MessageColumns(*values) for values in zip(*columns, strict=True)]


@given(_UIDS, st.data())
def test_places_are_taken_out(uids: set[int], data: st.DataObject) -> None:
    columns, held = filled(uids), sorted(uids)
    places = sorted(data.draw(st.sets(st.sampled_from(range(len(held))))) if held else [])
    drop(columns, places)
    assert rows(columns) == [row(uid) for at, uid in enumerate(held) if at not in places]


@given(_UIDS, _UIDS, _UIDS)
def test_a_later_moment(before: set[int], changed: set[int], vanished: set[int]) -> None:
    """New messages may come with a uid among those that are known, and what vanished need not be known."""
    columns = filled(before)
    merge(columns, [row(uid, 2) for uid in sorted(changed - vanished)], sorted(vanished))
    there = (before | changed) - vanished
    assert rows(columns) == [row(uid, 2 if uid in changed else 1) for uid in sorted(there)]
