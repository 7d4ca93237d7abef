import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.text import base_subject
from posthouse.message.text.subjects import MAX_SUBJECT


@pytest.mark.parametrize(
    ("subject", "base", "is_reply"),
    [
        ("meeting", "meeting", False),
        ("", "", False),
        ("  \t ", "", False),
        ("a \t\r\n b", "a b", False),
        ("Re: meeting", "meeting", True),
        ("RE:meeting", "meeting", True),
        ("Re : Fw: FWD: meeting", "meeting", True),
        ("Re[2]: meeting", "meeting", True),
        ("Re [list] : meeting", "meeting", True),
        ("meeting (fwd)", "meeting", True),
        ("meeting (FWD) (fwd)  ", "meeting", True),
        ("(fwd)", "", True),
        ("[list] meeting", "meeting", False),
        ("[list] Re: [list] meeting", "meeting", True),
        ("[a] [b] meeting", "meeting", False),
        ("[a][b]", "[b]", False),
        ("[a] ", "[a]", False),
        ("[a] Re:", "", True),
        ("Re:", "", True),
        ("[Fwd: meeting]", "meeting", True),
        ("[fwd: [list] Re: meeting (fwd)]", "meeting", True),
        ("[Fwd: [Fwd: meeting]]", "meeting", True),
        ("Re: [Fwd: meeting]", "meeting", True),
        ("[fwd:]", "", True),
        ("[Fwd: a] b", "b", False),  # a blob like others
        ("[Fwd: a", "[Fwd: a", False),
        ("[Fwd: a] [Fwd: b]", "b", True),
        ("[[a]] b", "[[a]] b", False),
        ("[a b", "[a b", False),
        ("regarding: this", "regarding: this", False),
        ("Aw: meeting", "Aw: meeting", False),
        ("meeting [a]", "meeting [a]", False),
        ("(fwd) meeting", "(fwd) meeting", False),
    ],
)
def test_base_subject(subject: str, base: str, is_reply: bool) -> None:
    """RFC 5256 2.1."""
    assert base_subject(subject) == (base, is_reply)


SUBJECTS = st.lists(
    st.sampled_from(["Re", "fw", "d", ":", " ", "[", "]", "[a]", "[fwd:", "(fwd)", "x", "Re:", "\t", "[b] "])
).map("".join)


@given(SUBJECTS)
def test_it_is_what_the_steps_say(subject: str) -> None:
    assert base_subject(subject) == _by_the_book(subject)


def _by_the_book(subject: str) -> tuple[str, bool]:
    """RFC 5256 2.1, one step after the other, as slow as that is."""
    text = re.sub(r"[ \t]+", " ", subject)  # (1)
    is_reply = False
    blob, refwd = r"(?:\[[^\[\]]*\] *)", r"(?:re|fwd?) *(?:\[[^\[\]]*\] *)?:"
    while True:
        while trailer := re.search(r"(\(fwd\)| )\Z", text, re.I):  # (2)
            is_reply = is_reply or trailer[1] != " "
            text = text[: trailer.start()]
        changed = True
        while changed:  # (5)
            changed = False
            if leader := re.match(rf"{blob}*{refwd}| ", text, re.I):  # (3)
                is_reply = is_reply or leader[0] != " "
                text, changed = text[leader.end() :], True
            elif (first := re.match(blob, text)) and text[first.end() :]:  # (4)
                text, changed = text[first.end() :], True
        if not re.fullmatch(r"\[fwd:.*\]", text, re.I):  # (6)
            return text, is_reply
        text, is_reply = text[5:-1], True


@given(st.text())
def test_never_raises(subject: str) -> None:
    base, _ = base_subject(subject)
    assert len(base) <= MAX_SUBJECT
    assert base == base.strip(" ")


@given(SUBJECTS)
def test_a_base_has_no_other_base(subject: str) -> None:
    base, _ = base_subject(subject)
    assert base_subject(base) == (base, False)
