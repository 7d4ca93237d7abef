"""Text from elsewhere on a terminal, in a log, in a reason."""

from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.printable import escape, one_line, printable


def test_what_steers_a_terminal_is_escaped() -> None:
    assert printable("a\x1b[31m\tb\r\nGrüße\u202e") == "a\\x1b[31m\tb\\r\\nGrüße\\u202e"
    assert escape("a\tb\\", also="\\") == "a\\tb\\\\"
    assert one_line("a\r\nb", instead="?") == "a??b"


@given(st.text())
def test_any_text(text: str) -> None:
    for shown in (escape(text), printable(text).replace("\t", ""), one_line(text, instead=" ")):
        assert shown.isprintable()
    if text.isprintable():
        assert escape(text) == printable(text) == one_line(text, instead="?") == text
