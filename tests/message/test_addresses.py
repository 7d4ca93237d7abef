"""The addresses of From and Sender."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.addresses import AddressListError, parse_mailboxes


def found(raw: str) -> list[tuple[str, str]]:
    return [(each.name, str(each.address)) for each in parse_mailboxes(raw.encode())]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a@b.test", [("", "a@b.test")]),
        (" Alice <a@b.test>\r\n", [("Alice", "a@b.test")]),
        ('"Smith, John" <j@b.test>, x@y.test', [("Smith, John", "j@b.test"), ("", "x@y.test")]),
        ("Alice (the (real) one) <a@b.test>", [("Alice", "a@b.test")]),
        ("(x@evil.test) a@b.test (y@evil.test)", [("", "a@b.test")]),
        ("A Group: a@b.test, C <c@d.test>;", [("", "a@b.test"), ("C", "c@d.test")]),
        ("undisclosed:;", []),
        ("", []),
        (",a@b.test,,", [("", "a@b.test")]),
        ("<@one.test,@two.test:a@b.test>", [("", "a@b.test")]),
        ('"a b"@c.test', [("", '"a b"@c.test')]),
        ("a . b @ c . test", [("", "a.b@c.test")]),
        ("Grüße <grüße@bücher.test>", [("Grüße", "grüße@bücher.test")]),
        ("a@[192.0.2.1]", [("", "a@[192.0.2.1]")]),
        ("Alice\r\n <a@b.test>", [("Alice", "a@b.test")]),
        ("=?utf-8?q?x=40y.test?= <a@b.test>", [("=?utf-8?q?x=40y.test?=", "a@b.test")]),
    ],
)
def test_read(raw: str, expected: list[tuple[str, str]]) -> None:
    assert found(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "a",
        "a@",
        "@b.test",
        "<a@b.test",
        "a@b.test>",
        "a@b.test c@d.test",
        "a@b@c.test",
        "x <a@b.test> <c@d.test>x",
        "group: a@b.test",
        "g: h: a@b.test;;",
        "(open a@b.test",
        '"open a@b.test',
        "(" * 60 + ")" * 60,
        "<@one.test a@b.test>",
    ],
)
def test_refused_with_a_sentence(raw: str) -> None:
    with pytest.raises(AddressListError):
        parse_mailboxes(raw.encode())


def test_not_text() -> None:
    with pytest.raises(AddressListError, match="neither ASCII nor UTF-8"):
        parse_mailboxes(b"\xff <a@b.test>")


@given(st.text(alphabet='a@.<>()\\",:;[] é\r\n', max_size=60))
def test_never_another_exception(raw: str) -> None:
    with contextlib.suppress(AddressListError):
        parse_mailboxes(raw.encode())


@pytest.mark.parametrize("piece", ["(", '"', "<", "a@b.test,", "a ", "\\", "g:", "@x,"])
def test_cost_grows_with_length_alone(piece: str) -> None:
    def cost(count: int) -> float:
        best = 9.0
        for _ in range(3):
            began = time.process_time()
            with contextlib.suppress(AddressListError):
                parse_mailboxes((piece * count).encode())
            best = min(best, time.process_time() - began)
        return best

    assert cost(4000) <= 10 * cost(1000) + 0.01
