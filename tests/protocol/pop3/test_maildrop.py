"""Numbers and counts of a maildrop, against the plainest model there is."""

from hypothesis import given
from hypothesis import strategies as st

from posthouse.protocol.pop3.events import MaildropContents
from posthouse.protocol.pop3.maildrop import OpenMaildrop


@given(st.lists(st.integers(0, 10**9), max_size=30), st.lists(st.integers(0, 31)))
def test_counts_are_kept(octets: list[int], numbers: list[int]) -> None:
    """0 among the numbers stands for RSET."""
    drop = OpenMaildrop(MaildropContents(octets, [f"u{at}" for at in range(len(octets))]))
    deleted: set[int] = set()
    for number in numbers:
        if number == 0:
            drop.restore()
            deleted.clear()
        elif drop.holds(number) and number not in drop.deleted:
            drop.delete(number)
            deleted.add(number)
        live = [at for at in range(1, len(octets) + 1) if at not in deleted]
        assert (drop.count, drop.octets) == (len(live), sum(octets[at - 1] for at in live))
        assert drop.deleted == deleted
        assert b"".join(drop.sizes()) == b"".join(b"%d %d\r\n" % (at, octets[at - 1]) for at in live)
        assert b"".join(drop.uidls()) == b"".join(b"%d u%d\r\n" % (at, at - 1) for at in live)


def test_what_it_holds() -> None:
    drop = OpenMaildrop(MaildropContents([7, 8], ["x", "y"]))
    assert [number for number in range(-2, 5) if drop.holds(number)] == [1, 2]
    assert (drop.octets_of(2), drop.uidl_of(2)) == (8, "y")


def test_listings_come_in_blocks() -> None:
    drop = OpenMaildrop(MaildropContents([1] * 5000, ["u"] * 5000))
    assert [block.count(b"\r\n") for block in drop.sizes()] == [2048, 2048, 904]
