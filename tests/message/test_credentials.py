"""SASLprep by the examples of RFC 4013 3, and SCRAM keys by that of RFC 7677 3."""

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.credentials import ScramKeys, prepare


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),  # soft hyphen: mapped to nothing
        ("user", "user"),
        ("USER", "USER"),  # case is kept
        ("\u00aa", "a"),  # NFKC
        ("\u2168", "IX"),
        ("a\u00a0b\u3000c", "a b c"),  # other spaces are spaces
        ("  two  words ", "  two  words "),
        ("p\u00e4ss", "p\u00e4ss"),
        ("pa\u0308ss", "p\u00e4ss"),
        ("\N{HEBREW LETTER ALEF}1\N{HEBREW LETTER BET}", "\N{HEBREW LETTER ALEF}1\N{HEBREW LETTER BET}"),
        ("\N{DOG FACE}", "\N{DOG FACE}"),  # unassigned when RFC 3454 was written, in use today
        ("\u00ad", ""),
        ("", ""),
    ],
)
def test_prepared(text: str, prepared: str) -> None:
    assert prepare(text) == prepared


@pytest.mark.parametrize(
    "text",
    [
        "\u0007",
        "a\nb",
        "a\0b",
        "\x7f",
        "\u0627\u0031",  # RFC 4013 3: right to left must end so
        "\N{HEBREW LETTER ALEF}x\N{HEBREW LETTER BET}",
        "x\N{HEBREW LETTER ALEF}",
        "\ue000",  # private use
        "\ufdd0",  # non-character
        "\ud800",  # half of a surrogate pair
        "\ufffd",
        "\u2028",
        "\u202e",
        "a\u0085",
        "\U000e0001",
        "\u2ff0",
    ],
)
def test_forbidden(text: str) -> None:
    with pytest.raises(ValueError):
        prepare(text)


@given(st.text(max_size=30))
def test_preparing_twice_changes_nothing(text: str) -> None:
    try:
        prepared = prepare(text)
    except ValueError:
        return
    assert prepare(prepared) == prepared


def test_keys() -> None:
    keys = ScramKeys.derive("pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    assert keys.iterations == 4096
    assert keys.stored_key == b64decode("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=")
    assert keys.server_key == b64decode("wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
