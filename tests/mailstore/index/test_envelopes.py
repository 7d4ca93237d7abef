"""Envelopes that are remembered for a while."""

from posthouse.mailstore.index.envelopes import MAX_OCTETS, Envelopes
from posthouse.mailstore.index.records import MessageSummary


def test_they_are_known_by_account_and_message() -> None:
    envelopes = Envelopes()
    envelopes.keep(1, {5: MessageSummary(b"five", b"structure", "text"), 6: MessageSummary(b"six", b"", "")})
    assert envelopes.those(1, [5, 6, 7]) == {5: MessageSummary(b"five", b"", ""), 6: MessageSummary(b"six", b"", "")}
    assert envelopes.those(2, [5]) == {}


def test_the_oldest_make_room() -> None:
    envelopes = Envelopes()
    for message in range(10):
        envelopes.keep(1, {message: MessageSummary(b"x" * (MAX_OCTETS // 4), b"", "")})
        envelopes.keep(1, {message: MessageSummary(b"y", b"", "")})
    assert list(envelopes.those(1, range(10))) == [7, 8, 9]
    envelopes.keep(1, {11: MessageSummary(b"x" * 2 * MAX_OCTETS, b"", "")})
    assert envelopes.those(1, range(12)) == {}
