import pytest

from posthouse.delivery.content.memory_body import MemoryBody
from posthouse.mailstore.interface import Traits


@pytest.mark.parametrize(
    ("data", "traits"),
    [
        (b"Subject: x\r\n\r\nhello\r\n", Traits.NONE),
        (b"x: y\r\n\r\n.hello\r\n", Traits.HAS_LEADING_DOTS),
        (b"x: y\r\n\r\nhello", Traits.NO_FINAL_CRLF),
        ("x: y\r\n\r\nhéllo\r\n".encode(), Traits.EIGHT_BIT),
        (b"x: y\r\n\r\na\nb\r\n", Traits.BARE_CR_OR_LF),
        (b"x: y\r\n\r\na\rb\r\n", Traits.BARE_CR_OR_LF),
        (b"x: y\r\n\r\na\r", Traits.BARE_CR_OR_LF | Traits.NO_FINAL_CRLF),
        (b"x: y\r\n\r\na\n.b\r\n", Traits.BARE_CR_OR_LF | Traits.HAS_LEADING_DOTS),
    ],
)
def test_traits(data: bytes, traits: Traits) -> None:
    body = MemoryBody(data)
    assert body.traits == traits
    assert b"".join(body.chunks()) == data
    assert body.octets == len(data)
