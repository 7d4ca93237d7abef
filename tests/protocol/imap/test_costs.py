"""What a command costs grows with its length and no faster, up to the longest line: all is parsed on the event loop."""

from collections.abc import Callable

import pytest

from tests.costs import grows_no_faster
from tests.protocol.imap_fixture import Fixture

_TIMES = 10  # commands, so that there is something to be measured


def _commands(piece: bytes, start: bytes = b"SEARCH ", end: bytes = b"ALL") -> Callable[[int], Callable[[], object]]:
    """Commands made of so many pieces, in a mailbox that is open."""

    def make(count: int) -> Callable[[], object]:
        house = Fixture({})
        _say(house, b"a LOGIN alice secret\r\nb SELECT INBOX\r\n")
        line = b"c %b%b%b\r\n" % (start, piece * count, end)
        assert len(line) < 64 * 1024
        answer = _say(house, line)
        assert answer.endswith((b"c OK SEARCH completed\r\n", b"c OK FETCH completed\r\n")), answer

        def work() -> None:
            for _ in range(_TIMES):
                _say(house, line)

        return work

    return make


def _say(house: Fixture, octets: bytes) -> bytes:
    house.engine.receive_data(octets)
    while (event := house.engine.next_event()) or house.engine.has_more:
        if event is not None:
            house.answer(event)
    house.heard.clear()
    return house.engine.data_to_send()


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (_commands(b"UNSEEN "), 2_000),
        (_commands(b"NOT SEEN "), 1_500),
        (_commands(b"1:5,7,9:*,", end=b"3"), 1_500),
        (_commands(b"SUBJECT x HEADER y z "), 700),
        (_commands(b"KEYWORD k (UID 1 TEXT q) "), 600),
        (_commands(b"SENTBEFORE 1-Jan-2026 "), 600),
        (_commands(b"LARGER 5 "), 1_500),
        (_commands(b"x", start=b"SEARCH SUBJECT ", end=b""), 15_000),
        (_commands(b"FLAGS ", start=b"FETCH 1:* (", end=b"UID)"), 2_000),
        (_commands(b"X-y ", start=b"FETCH 1 BODY[HEADER.FIELDS (", end=b"Z)]"), 3_500),
    ],
)
def test_costs(make: Callable[[int], Callable[[], object]], count: int) -> None:
    grows_no_faster(make, count)
