"""What an order to change flags comes to."""

from posthouse.mailstore.flag_changes import decide_flags
from posthouse.mailstore.interface import KEYWORD_SHIFT, Flag, MessageColumns

SEEN, DELETED = int(Flag.SEEN), int(Flag.DELETED)


def row(uid: int, flags: int, modseq: int = 5) -> MessageColumns:
    return MessageColumns(uid, 10 * uid, flags, modseq, 100, 1)


def test_each_message_is_changed_left_or_in_conflict() -> None:
    rows = [row(1, 0), row(2, SEEN), row(3, 0, modseq=9)]
    changes = decide_flags(rows, lambda flags: flags | SEEN, unchanged_since=8)
    assert changes.changing == {SEEN: [10]} and changes.unseen == -1 and changes.deleted == 0
    marked = changes.marked(12)
    assert marked.rows == [row(1, SEEN, modseq=12), row(2, SEEN)]
    assert (marked.conflicts, marked.modseq) == ([3], 12)


def test_counters_and_sets_of_keywords() -> None:
    one, two = 1 << KEYWORD_SHIFT, 2 << KEYWORD_SHIFT
    rows = [row(1, SEEN | one), row(2, one), row(3, DELETED)]
    changes = decide_flags(rows, lambda flags: DELETED | two, unchanged_since=None)
    assert changes.changing == {DELETED | two: [10, 20, 30]}
    assert (changes.unseen, changes.deleted) == (1, 2)
    assert changes.keyword_sets == {1: -2, 2: 3, 0: -1}


def test_what_flags_become_is_asked_once() -> None:
    asked: list[int] = []

    def changed(flags: int) -> int:
        asked.append(flags)
        return flags

    changes = decide_flags([row(uid, uid % 2) for uid in range(1, 9)], changed, None)
    assert sorted(asked) == [0, 1] and not changes.changing
    assert changes.marked(0).modseq == 0
