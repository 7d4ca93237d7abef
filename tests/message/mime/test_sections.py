"""The octets of parts, decoded."""

import base64
import quopri
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.mime import decoded, scan, select_fields

HEADER = b"Content-Transfer-Encoding: base64\r\n\r\n"


@given(st.binary(max_size=60), st.lists(st.sampled_from([b"\r\n", b" ", b"-", b"\xff", b"\0", b"."]), max_size=9))
def test_octets_between_the_digits_of_base64_are_passed_over(contents: bytes, between: list[bytes]) -> None:
    digits = base64.b64encode(contents)
    for at, octet in enumerate(between):
        digits = digits[: at * 7] + octet + digits[at * 7 :]
    message = HEADER + digits
    assert decoded(message, scan(message)) == contents


def test_what_stands_behind_the_padding_is_passed_over() -> None:
    message = HEADER + b"QQ==QUJD"
    assert decoded(message, scan(message)) == b"A"


@pytest.mark.parametrize(
    ("coded", "contents"),
    [
        (b"a  \r\nb\t\r\n", b"a\r\nb\r\n"),  # RFC 2045 6.7, rule 3
        (b"a=20\r\nb=09\r\n", b"a \r\nb\t\r\n"),
        (b"a=\r\nb= \t\r\nc", b"abc"),  # rule 5
        (b"a = \r\n b", b"a  b"),
        (b"a \nb=  \nc ", b"a\nbc"),
        (b" \r\n\t\r\n", b"\r\n\r\n"),
        (b"a=3D=\r\n", b"a="),
        (b"a=  ", b"a"),
    ],
)
def test_quoted_printable(coded: bytes, contents: bytes) -> None:
    message = b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + coded
    assert decoded(message, scan(message)) == contents


_TEXT = st.binary(max_size=300).map(lambda octets: octets.replace(b"\r", b""))


@given(_TEXT, st.lists(st.sampled_from([b" ", b"\t", b""]), min_size=5, max_size=5))
def test_quoted_printable_bears_space_at_line_ends(contents: bytes, padding: list[bytes]) -> None:
    lines = quopri.encodestring(contents, quotetabs=True).split(b"\n")
    coded = b"".join(line + padding[at % 5] + b"\r\n" for at, line in enumerate(lines[:-1])) + lines[-1]
    message = b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + coded
    assert decoded(message, scan(message)).replace(b"\r\n", b"\n") == contents


@pytest.mark.parametrize("every", [1, 2])
def test_fields_cost_memory_by_their_octets(every: int) -> None:
    """However short they are, and however many."""
    header = b"".join(b"%b: y\r\n" % (b"Z" if number % every else b"X-%d" % number) for number in range(50_000))
    tracemalloc.start()
    try:
        assert len(select_fields(header + b"\r\n", {b"Z"}, exclude=True)) > len(header) // 2
        assert tracemalloc.get_traced_memory()[1] < 4 * len(header)
    finally:
        tracemalloc.stop()
