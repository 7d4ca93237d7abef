"""Return addresses of forwarded mail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.delivery.inbound.srs import Srs, SrsError
from posthouse.message.address import Address

DAY = 86400.0
START = 1_790_000_000.0


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


def make(secret: bytes = b"secret", domain: str = "us.test") -> tuple[Srs, Clock]:
    clock = Clock()
    return Srs(secret, domain, clock), clock


@given(
    st.from_regex(r"[a-z0-9.+=_-]{1,20}", fullmatch=True).filter(lambda s: not s.startswith(".") and ".." not in s),
    st.from_regex(r"[a-z0-9]{1,10}\.test", fullmatch=True),
)
def test_there_and_back(local: str, domain: str) -> None:
    srs, _ = make()
    sender = Address(local, domain)
    forwarded = srs.forward(sender)
    assert forwarded is not None
    if local.startswith(("srs0", "srs1")) and forwarded.local.startswith("SRS1"):
        return  # not there and back, but to where the other forwarder says
    assert forwarded.domain == "us.test"
    assert len(forwarded.local) <= 64
    assert srs.reverse(forwarded) == sender
    assert Address.parse(str(forwarded)) == forwarded


def test_case_may_change_on_the_way() -> None:
    srs, _ = make()
    forwarded = srs.forward(Address.parse("john@there.test"))
    assert forwarded is not None
    assert srs.reverse(Address(forwarded.local.lower(), "us.test")) == Address.parse("john@there.test")
    back = srs.reverse(Address(forwarded.local.upper(), "us.test"))
    assert back is not None and str(back).lower() == "john@there.test"


def test_a_second_forwarder_points_at_the_first() -> None:
    (first, _), (second, _), (third, _) = make(b"1", "one.test"), make(b"2", "two.test"), make(b"3", "three.test")
    one = first.forward(Address.parse("a@x.test"))
    assert one is not None
    two = second.forward(one)
    assert two is not None and two.local.startswith("SRS1=")
    assert second.reverse(two) == one
    three = third.forward(two)
    assert three is not None
    assert third.reverse(three) == one  # straight back to the first
    assert first.reverse(one) == Address.parse("a@x.test")


@pytest.mark.parametrize("sign", "=+-")
def test_the_sign_of_another_forwarder_is_kept(sign: str) -> None:
    srs, _ = make()
    theirs = Address(f"SRS0{sign}hash=ab=x.test=a", "one.test")
    forwarded = srs.forward(theirs)
    assert forwarded is not None and forwarded.local.endswith(f"=one.test={sign}hash=ab=x.test=a")
    assert srs.reverse(forwarded) == theirs
    nested = srs.forward(Address(f"SRS1{sign}hash=one.test={sign}hash=ab=x.test=a", "two.test"))
    assert nested is not None and srs.reverse(nested) == theirs


@pytest.mark.parametrize("local", ["SRS1=x=one.test", "SRS1=x==y", "SRS0=x", "SRS2=a=b=c=d", "SRS0", "jörg", "a b"])
def test_what_only_looks_like_it_is_an_address_like_any(local: str) -> None:
    srs, _ = make()
    forwarded = srs.forward(Address(local, "x.test"))
    assert forwarded is not None and forwarded.local.startswith("SRS0=")
    assert srs.reverse(forwarded) == Address(local, "x.test")


def test_domains_of_every_form_come_back() -> None:
    srs, _ = make()
    for text in ("a@bücher.test", "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]"):
        forwarded = srs.forward(Address.parse(text))
        assert forwarded is not None and forwarded.local.isascii()
        assert Address.parse(str(forwarded)) == forwarded
        assert srs.reverse(forwarded) == Address.parse(text)


def test_only_what_we_made() -> None:
    srs, _ = make()
    forwarded = srs.forward(Address.parse("a@x.test"))
    assert forwarded is not None
    for forged in (
        forwarded.local.replace("=a", "=b"),
        "SRS0=AAAAAAAA=aa=x.test=a",
        "SRS0==aa=x.test=a",
        "SRS1=AAAAAAAA=x.test==zz",
    ):
        with pytest.raises(SrsError):
            srs.reverse(Address(forged, "us.test"))
    with pytest.raises(SrsError):
        srs.reverse(Address("SRS0=\udcff\u00df=aa=x.test=a", "us.test"))
    other, _ = make(b"another")
    with pytest.raises(SrsError):
        other.reverse(forwarded)


def test_it_lapses() -> None:
    srs, clock = make()
    forwarded = srs.forward(Address.parse("a@x.test"))
    assert forwarded is not None
    clock.now -= DAY
    assert srs.reverse(forwarded) is not None  # a clock that was set back
    clock.now += 22 * DAY
    assert srs.reverse(forwarded) is not None
    clock.now += DAY
    with pytest.raises(SrsError, match="too long ago"):
        srs.reverse(forwarded)


@pytest.mark.parametrize("local", ["john", "srs0", "SRS0", "SRS0=", "SRS0=x", "SRS1=x", "srs2=a=b=c=d"])
def test_other_addresses_are_left_alone(local: str) -> None:
    assert make()[0].reverse(Address(local, "us.test")) is None


def test_no_room_means_no_return_address() -> None:
    assert make()[0].forward(Address("a" * 60, "x.test")) is None
