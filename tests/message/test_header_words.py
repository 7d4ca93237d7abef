"""Raw 8-bit headers in ASCII, read back by the standard library."""

from email import message_from_bytes, policy
from email.header import decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.header_words import NotEncodableError, to_ascii


def parsed(head: bytes) -> dict[str, str]:
    return dict(message_from_bytes(to_ascii(head) + b"\r\n", policy=policy.default).items())


@pytest.mark.parametrize(
    "value",
    ["Grüße", "Re: Grüße aus Köln an alle", "a  Grüße", "ü" * 200, "x ü y ü z", "日本語" * 40],
)
def test_unstructured_fields(value: str) -> None:
    head = f"Subject: {value}\r\nX: plain\r\n\r\n".encode()
    found = to_ascii(head)
    assert found.isascii() and found.endswith(b"X: plain\r\n\r\n")
    assert max(map(len, found.split(b"\r\n"))) <= 76 + len(value.split("ü")[0].split("日")[0])
    assert str(make_header(decode_header(parsed(head)["Subject"]))) == value


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("Jörg <j@here.test>", ["Jörg"]),
        ('"Müller, Jörg" <j@here.test>, Ann <a@here.test>', ["Müller, Jörg", "Ann"]),
        ("Jörg Groß<j@here.test>,\r\n Zoë <z@here.test>", ["Jörg Groß", "Zoë"]),
        ('"Jörg"<j@here.test>', ["Jörg"]),
        ('"a \\"ü\\" b" <j@here.test>', ['a "ü" b']),
    ],
)
def test_names_in_addresses(value: str, names: list[str]) -> None:
    message = message_from_bytes(to_ascii(f"To: {value}\r\n\r\n".encode()), policy=policy.default)
    assert [address.display_name for address in message["To"].addresses] == names
    assert all(address.addr_spec.endswith("@here.test") for address in message["To"].addresses)


def test_comments() -> None:
    assert to_ascii("From: j@here.test (Jörg)\r\n\r\n".encode()) == b"From: j@here.test (=?utf-8?B?SsO2cmc=?=)\r\n\r\n"


def test_parameters() -> None:
    head = 'Content-Disposition: attachment; filename="Grüße \\"1\\".pdf"; size=1\r\n\r\n'.encode()
    message = message_from_bytes(to_ascii(head), policy=policy.default)
    assert message.get_filename() == 'Grüße "1".pdf'
    assert message["Content-Disposition"].params["size"] == "1"


def test_what_is_no_utf8_keeps_its_octets() -> None:
    found = to_ascii(b"Subject: Gr\xfc\xdfe\r\n\r\n")
    assert found == b"Subject: =?unknown-8bit?B?R3L832U=?=\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        "From: jörg@here.test", "To: <jörg@here.test>", 'To: "jörg"@here.test', "Message-ID: <ü@x>", "X-Ü: a",
        "no field ü", "Content-Type: text/ü", "References: ü",
    ],
)  # fmt: skip
def test_addresses_and_names_cannot_be(head: str) -> None:
    with pytest.raises(NotEncodableError):
        to_ascii(f"{head}\r\n\r\n".encode())


PIECES = st.sampled_from(
    ["ü", "a", " ", '"', "(", ")", "<", ">", "@", ",", ";", "=", "\\", "\r\n ", "filename", ":", "\udcff"]
)


@given(st.lists(PIECES).map("".join), st.sampled_from(["To", "Subject", "Content-Type", "References", "X"]))
def test_done_or_refused(value: str, name: str) -> None:
    head = f"{name}: {value}\r\nOther: x\r\n\r\n".encode("utf-8", "surrogateescape")
    try:
        found = to_ascii(head)
    except NotEncodableError:
        return
    assert found.isascii() and to_ascii(found) is found
    assert found.endswith(b"\r\nOther: x\r\n\r\n")
