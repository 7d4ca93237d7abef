"""The list by which a client counts: it must never shift under its feet."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from posthouse.mailstore.interface import Delta, Flag, Mailbox, MessageColumns, Snapshot
from posthouse.protocol.imap.sets import NumberSet
from posthouse.sessions.imap.view import View

BOX = Mailbox(1, "INBOX", 7, 100, 50, 0, 0, 0, 0)


def view(*uids: int) -> View:
    """A view of messages whose ids are ten times their uids, all at modseq 1."""

    def column(kind: str, values: list[int]) -> "array[int]":
        return array(kind, values)

    count = len(uids)
    return View(
        Snapshot(
            BOX,
            50,
            column("L", list(uids)),
            column("Q", [uid * 10 for uid in uids]),
            column("Q", [0] * count),
            column("Q", [1] * count),
            column("Q", [100] * count),
            column("Q", [5] * count),
        ),
        read_only=False,
    )


def row(uid: int, flags: int = 0, modseq: int = 60) -> MessageColumns:
    return MessageColumns(uid, uid * 10, flags, modseq, 100, 5)


def apply(view: View, delta: Delta) -> list[int]:
    changed = view.apply(delta.changed)
    view.settle(delta)
    return changed


def test_numbers_and_uids_name_positions() -> None:
    seen = view(3, 5, 9)
    assert list(seen.positions(NumberSet(((1, 2),)), uid=False)) == [0, 1]
    assert list(seen.positions(NumberSet(((0, 0),)), uid=False)) == [2]  # *
    assert list(seen.positions(NumberSet(((4, 9),)), uid=True)) == [1, 2]
    assert list(seen.positions(NumberSet(((20, 0),)), uid=True)) == [2]  # 20:* always names the last (RFC 9051 9)
    assert list(seen.positions(NumberSet(((1, 1), (9, 9), (5, 5))), uid=True)) == [1, 2]
    assert list(seen.positions(NumberSet((), saved=True), uid=True, saved=[9, 3, 4])) == [0, 2]
    assert list(view().positions(NumberSet(((1, 0),)), uid=False)) == []


SETS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=4)


@given(st.sets(st.integers(1, 12)), SETS, st.sets(st.integers(0, 11)), st.booleans())
def test_a_set_is_named_among_few_as_among_all(
    uids: set[int], ranges: list[tuple[int, int]], few: set[int], uid: bool
) -> None:
    seen, numbers = view(*sorted(uids)), NumberSet(tuple(ranges))
    among = sorted(at for at in few if at < len(seen))
    named = set(seen.positions(numbers, uid=uid))
    assert list(seen.named(among, numbers, uid=uid)) == [at for at in among if at in named]
    assert list(seen.named(range(len(seen)), numbers, uid=uid)) == sorted(named)


def test_what_is_new_stands_at_the_end() -> None:
    seen = view(3, 5)
    assert apply(seen, Delta(BOX, 70, [row(5, flags=1), row(6), row(8)], [])) == [1]
    assert list(seen.uids) == [3, 5, 6, 8]
    assert list(seen.messages) == [30, 50, 60, 80]
    assert list(seen.flags) == [0, 1, 0, 0]
    assert seen.modseq == 70


def test_what_is_known_already_is_no_news() -> None:
    seen = view(3)
    assert seen.note(row(3, flags=1, modseq=60))
    assert apply(seen, Delta(BOX, 61, [row(3, flags=1, modseq=60)], [])) == []
    assert not seen.note(row(4))


def test_the_expunged_keep_their_places_until_told() -> None:
    seen = view(3, 5, 9, 12)
    apply(seen, Delta(BOX, 70, [], [5, 12, 77]))
    assert seen.gone == {5, 12}
    assert list(seen.uids) == [3, 5, 9, 12]
    assert seen.drop_gone() == ([2, 3], [5, 12])  # the numbers as they are when the one before is gone
    assert list(seen.uids) == [3, 9]
    assert seen.drop_gone() == ([], [])


@given(st.sets(st.integers(1, 200), max_size=60), st.sets(st.integers(1, 200), max_size=60))
def test_a_client_that_follows_expunge_stays_in_step(held: set[int], out: set[int]) -> None:
    uids = sorted(held)
    seen = view(*uids)
    apply(seen, Delta(BOX, 70, [], sorted(out)))
    numbers, told = seen.drop_gone()
    for number, uid in zip(numbers, told, strict=True):
        assert uids.pop(number - 1) == uid
    assert uids == sorted(held - out) == list(seen.uids)
    assert [message // 10 for message in seen.messages] == uids


@given(st.lists(st.integers(0, 1 << 40), max_size=40))
def test_the_first_that_was_not_seen(flags: list[int]) -> None:
    seen = view(*range(1, len(flags) + 1))
    seen.flags = array("Q", flags)
    expected = next((at for at, each in enumerate(flags) if not each & Flag.SEEN.value), -1)
    assert seen.first_without(Flag.SEEN) == expected


def test_what_is_taken_up_in_parts_is_as_in_one() -> None:
    rows = [row(2, flags=1), row(5, flags=1), row(6), row(8)]
    whole, parts = view(2, 3, 5), view(2, 3, 5)
    changed = whole.apply(rows)
    assert [at for some in (rows[:1], rows[1:3], rows[3:]) for at in parts.apply(some)] == changed == [0, 2]
    assert (parts.uids, parts.flags, parts.modseqs) == (whole.uids, whole.flags, whole.modseqs)
    assert whole.among([1, 2, 4, 5, 8, 9]) == [0, 2, 4]
