from posthouse.accounts.remembered import Remembered
from tests.accounts.clock import Clock


def test_a_mark_is_held_for_its_time() -> None:
    clock = Clock(0.0)
    remembered = Remembered(clock, seconds=10)
    mark = remembered.mark("alice@a.test", 1, "secret")
    assert not remembered.holds(mark)
    remembered.add(mark)
    clock.now = 9.9
    assert remembered.holds(mark)
    clock.now = 10.0
    assert not remembered.holds(mark)
    remembered.add(mark)
    assert remembered.holds(mark)


def test_marks_differ_by_name_generation_and_password() -> None:
    remembered = Remembered(Clock(0.0))
    marks = [
        remembered.mark(*parts)
        for parts in (
            ("a", 1, "bc"),
            ("ab", 1, "c"),
            ("a", 2, "bc"),
            ("a", 1, "bd"),
            ("", 11, "abc"),
            ("\udcff", 1, "\0"),
        )
    ]
    assert len(set(marks)) == len(marks)
    assert remembered.mark("a", 1, "bc") == marks[0]
    assert Remembered(Clock(0.0)).mark("a", 1, "bc") != marks[0]


def test_their_number_is_bounded_and_the_oldest_goes() -> None:
    remembered = Remembered(Clock(0.0), bound=3)
    marks = [remembered.mark("a", number, "x") for number in range(4)]
    for mark in marks:
        remembered.add(mark)
    assert [remembered.holds(mark) for mark in marks] == [False, True, True, True]
