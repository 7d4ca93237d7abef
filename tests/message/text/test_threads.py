from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.message.text import (
    Thread,
    ThreadRow,
    thread_ordered_subject,
    thread_references,
    thread_text,
    threads,
)
from tests.message.text.slow_threads import references


def _row(number: int, references: str = "", subject: str = "", sent: int | None = None, ident: str = "") -> ThreadRow:
    """Message `number`, called mNUMBER, sent in its turn; "re x" is a reply to "x"."""
    base = subject.removeprefix("re ")
    when = number if sent is None else sent
    return ThreadRow(number, when, base, base != subject, ident or f"m{number}", tuple(references.split()))


def _text(*rows: ThreadRow) -> str:
    return thread_text(thread_references(rows)).decode()


def test_text() -> None:
    """RFC 5256 4, THREAD Response."""
    thread = Thread(3, [Thread(6, [Thread(4, [Thread(23)]), Thread(44, [Thread(7, [Thread(96)])])])])
    assert thread_text([Thread(2), thread]) == b"(2)(3 6 (4 23)(44 7 96))"
    assert thread_text([Thread(None, [Thread(3), Thread(5)])]) == b"((3)(5))"
    assert thread_text([]) == b""


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], ""),
        ([_row(1), _row(2, "m1"), _row(3, "m1 m2"), _row(4)], "(1 2 3)(4)"),
        ([_row(1), _row(2, "m1"), _row(3, "m1")], "(1 (2)(3))"),
        ([_row(3, "m2"), _row(2, "m1"), _row(1)], "(1 2 3)"),
        # (1) what is missing holds a place, and goes when it holds only one
        ([_row(2, "m1"), _row(3, "m1")], "((2)(3))"),
        ([_row(3, "m1 m2")], "(3)"),
        ([_row(1), _row(3, "m1 m2"), _row(4, "m1 m2")], "(1 (3)(4))"),
        ([_row(4, "m1 m2"), _row(5, "m1 m3")], "((4)(5))"),
        ([_row(4, "m1 m2"), _row(5, "m1 m2"), _row(6, "m1 m3")], "((4)(5)(6))"),
        ([_row(4, "m1 m2"), _row(5, "m1 m2")], "((4)(5))"),
        # (1.A) what has a parent keeps it; (1.B) what a message says of itself counts
        ([_row(3, "m1 m2"), _row(1), _row(2, "m9"), _row(9)], "(1)(9 2 3)"),
        ([_row(1, "m2 m3"), _row(2), _row(3)], "(2)(3 1)"),
        ([_row(5, "a b"), _row(6, "c b"), _row(7, ident="a"), _row(8, ident="c")], "(7 (5)(6))(8)"),
        # loops
        ([_row(1, "m1")], "(1)"),
        ([_row(1, "m2"), _row(2, "m1")], "(2 1)"),
        ([_row(1, "m2 m3"), _row(2, "m3 m1"), _row(3, "m1 m2")], "(2 3 1)"),
        ([_row(1, "m2 m3 m2")], "(1)"),
        ([_row(1, "m2 m1 m2"), _row(2)], "(2 1)"),
        # the same id twice, and none
        ([_row(1), _row(2, ident="m1"), _row(3, "m1")], "(1 3)(2)"),
        ([_row(1)._replace(message_id=""), _row(2)._replace(message_id="")], "(1)(2)"),
        # (4) and (6): by date, then by number; a dummy by its first child
        ([_row(1, sent=5), _row(2, sent=5), _row(3, sent=1)], "(3)(1)(2)"),
        ([_row(1), _row(2, "m1", sent=9), _row(3, "m1", sent=8)], "(1 (3)(2))"),
        ([_row(1, "x", sent=9), _row(2, "x", sent=2), _row(3, sent=5)], "((2)(1))(3)"),
    ],
)
def test_references(rows: list[ThreadRow], text: str) -> None:
    assert _text(*rows) == text


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([_row(1, subject="a"), _row(2, subject="re a"), _row(3, subject="re a")], "(1 (2)(3))"),
        ([_row(1, subject="re a"), _row(2, subject="a"), _row(3, subject="re a")], "(2 (1)(3))"),
        ([_row(1, subject="a"), _row(2, subject="a")], "((1)(2))"),
        ([_row(1, subject="re a"), _row(2, subject="re a"), _row(3, subject="re a")], "((1)(2)(3))"),
        ([_row(1, subject="a"), _row(2, subject="a"), _row(3, subject="re a")], "((1)(2)(3))"),
        ([_row(1, subject=""), _row(2, subject="")], "(1)(2)"),
        ([_row(1, subject="a"), _row(2, "x", "a"), _row(3, "x", "a")], "((1)(2)(3))"),
        ([_row(1, "x", "a"), _row(2, "x", "a"), _row(3, "y", "a"), _row(4, "y", "a")], "((1)(2)(3)(4))"),
        ([_row(1, subject="a"), _row(2, "m1", "b"), _row(3, subject="b")], "(1 2)(3)"),
        ([_row(1, subject="a"), _row(2, subject="re a"), _row(3, "m2", "c")], "(1 2 3)"),
    ],
)
def test_subjects_are_merged(rows: list[ThreadRow], text: str) -> None:
    """Step 5."""
    assert _text(*rows) == text


IDS = ["", *"abcdefg"]
ROWS = st.lists(
    st.builds(
        ThreadRow,
        st.just(0),
        st.integers(0, 5),
        st.sampled_from(["", "s", "t"]),
        st.booleans(),
        st.sampled_from(IDS),
        st.lists(st.sampled_from(IDS[1:]), max_size=4).map(tuple),
    ),
    max_size=12,
).map(lambda rows: [row._replace(number=number) for number, row in enumerate(rows, 1)])


@settings(max_examples=1000)
@given(ROWS)
def test_it_is_what_the_steps_say(rows: list[ThreadRow]) -> None:
    found = thread_references(rows)
    assert found == references(rows)
    assert sorted(_numbers(found)) == [row.number for row in rows]


@given(ROWS)
def test_nothing_is_lost_when_looking_for_loops_ends(rows: list[ThreadRow]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_CLIMBS", 3)
        patch.setattr(threads, "_FEW_CLIMBS", 1)
        assert sorted(_numbers(thread_references(rows))) == [row.number for row in rows]


def test_ordered_subject() -> None:
    """RFC 5256 3: children, and no grandchildren."""
    rows = [_row(1, "x", "b"), _row(2, "m1", "a", sent=0), _row(3, "", "re b"), _row(4, "", "re b"), _row(5, "", "a")]
    assert thread_text(thread_ordered_subject(rows)) == b"(2 5)(1 (3)(4))"


@given(ROWS)
def test_ordered_subject_has_all(rows: list[ThreadRow]) -> None:
    found = thread_ordered_subject(rows)
    assert sorted(_numbers(found)) == [row.number for row in rows]
    assert len(found) == len({row.subject for row in rows})


@pytest.mark.parametrize("backwards", [False, True])
def test_a_long_chain(backwards: bool) -> None:
    count = 100_000
    rows = [_row(number, f"m{number - 1}" if number > 1 else "") for number in range(1, count + 1)]
    text = thread_text(thread_references(rows[::-1] if backwards else rows))
    assert text == b"(%b)" % b" ".join(b"%d" % number for number in range(1, count + 1))


def test_a_long_chain_is_joined_in_the_middle() -> None:
    """The lower half is there when its head turns out to be the tail's child."""
    count = 20_000
    rows = [_row(number, f"m{number - 1}" if number > 1 else "") for number in range(1, count + 1)]
    middle = rows.pop(count // 2)
    text = thread_text(thread_references([*rows, middle]))
    assert text == b"(%b)" % b" ".join(b"%d" % number for number in range(1, count + 1))


def _numbers(found: Iterable[Thread]) -> list[int]:
    numbers, work = [], list(found)
    while work:
        thread = work.pop()
        work += thread.children
        if thread.number is not None:
            numbers.append(thread.number)
    return numbers
