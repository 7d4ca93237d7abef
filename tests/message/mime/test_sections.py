"""The octets of parts, decoded."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.mime import decoded, scan

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
