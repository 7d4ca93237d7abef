"""xtext, and its forms for addresses beyond ASCII."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message import xtext


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_what_is_encoded_is_decoded(text: str) -> None:
    coded = xtext.encode(text)
    assert re.fullmatch(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*", coded)  # RFC 3461 4
    assert xtext.decode(coded) == text


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc", "Cn", "Co", "Cf", "Zl", "Zp", "Zs"]), min_size=1))
def test_international_addresses_are_decoded(text: str) -> None:
    coded = xtext.encode_utf8(text)
    assert re.fullmatch(r"(?:[!-*,-<>-\[\]-~]|\\x\{[0-9A-F]{2,6}\})+", coded)  # RFC 6533 3
    assert xtext.decode_address(f"utf-8;{coded}") == ("utf-8", text)
    assert xtext.decode_address(f"UTF-8;{text.replace('+', '')}x")[0] == "utf-8"


def test_the_octets_of_the_standard() -> None:
    assert xtext.encode("a+b=c d") == "a+2Bb+3Dc+20d"
    assert xtext.encode_utf8("jörg+x@世界.test") == r"j\x{F6}rg\x{2B}x@\x{4E16}\x{754C}.test"
    with pytest.raises(ValueError, match="ascii"):
        xtext.encode("ü")


@pytest.mark.parametrize(
    ("coded", "text"),
    [("a+2Bb", "a+b"), ("a+0D+0Ab", "a??b"), ("+FF", "?"), ("+2b", "+2b"), ("+", "+"), ("a+2", "a+2"), ("", "")],
)
def test_octets_that_could_do_harm_are_shown_as_such(coded: str, text: str) -> None:
    assert xtext.decode(coded) == text


@pytest.mark.parametrize(
    ("orcpt", "found"),
    [
        ("rfc822;bob+2Bx@there.test", ("rfc822", "bob+x@there.test")),
        ("RFC822;bob@there.test", ("rfc822", "bob@there.test")),
        (r"utf-8;j\x{F6}rg@there.test", ("utf-8", "jörg@there.test")),
        ("utf-8;jörg@there.test", ("utf-8", "jörg@there.test")),
        (r"utf-8;a\x{0A}b\x{D800}c\x{110000}d", ("utf-8", "a?b?c?d")),
        (r"utf-8;\x{202E}", ("utf-8", "?")),
        ("rfc822;", ("", "")),
        (";bob", ("", "")),
        ("bob", ("", "")),
        ("", ("", "")),
    ],
)
def test_original_recipients(orcpt: str, found: tuple[str, str]) -> None:
    assert xtext.decode_address(orcpt) == found
