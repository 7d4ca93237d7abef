"""Search is exact: what it finds is what a look at every text finds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.database.sqlite_transaction import transaction
from posthouse.mailstore.index.records import folded, record
from posthouse.mailstore.index.sqlite.queries import add
from posthouse.mailstore.index.sqlite.scanning import TextScan
from posthouse.mailstore.index.sqlite.schema import close, opened
from posthouse.message.text import Digest, digest, fold
from tests.mailstore.index.messages import has

_FIELDS = ["text", "body", "subject", "from", "to", "cc", "bcc", "header:x-y", "header:subject", "header:*"]
_EMPTY = digest(b"", 0)
_accounts = count(1 << 50)
# Few letters, so that needles are found; signs that mean something to SQL, FTS, regular expressions and C; letters
# that folding makes longer, joins or takes apart.
_ALPHABET = "abAB  \n\"'*%_?\\;-^()[]\0\t\u00e4\u0301\u00df\ufb01\u0130\u1e9e\u3000\u65e5\u672c\uffff\U0001f600"
_texts = st.text(_ALPHABET, max_size=12) | st.text(max_size=12)
_bodies = _texts | st.builds(lambda text, times: text * times, _texts, st.sampled_from([1, 50, 20_000]))
_lines = st.builds(
    lambda name, value: f"{name}: {value}", st.sampled_from(["X-Y", "Subject", "*", "x"]), _texts.map(fold)
)


@st.composite
def _digests(draw: st.DrawFn) -> Digest:
    subject, sender, to, cc, bcc = (draw(_texts) for _ in range(5))
    header = "\n".join(draw(st.lists(_lines, max_size=4)))
    parts = "\n".join(draw(st.lists(_lines, max_size=2)))
    return replace(
        _EMPTY, header=header, parts=parts, body=draw(_bodies), subject=subject, sender=sender, to=to, cc=cc, bcc=bcc
    )


@st.composite
def _cases(draw: st.DrawFn) -> tuple[list[Digest], str]:
    """Messages, and a needle that as a rule is somewhere in them."""
    made = draw(st.lists(_digests(), max_size=6))
    haystacks = [
        fold(text) for each in made for text in (each.header, each.parts, each.body[:1000], each.subject) if text
    ]
    needle = draw(st.text(_ALPHABET, max_size=10) | st.text(max_size=10))
    from_them = draw(st.booleans())
    if haystacks and from_them:
        text: str = draw(st.sampled_from(haystacks))
        start = draw(st.integers(0, len(text)))
        needle = text[start : start + draw(st.integers(1, 10))]
    return made, needle


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    file = opened(tmp_path_factory.mktemp("index") / "index.db", 0)
    yield file.writer
    close(file)


def _found(connection: apsw.Connection, made: Sequence[Digest], field: str, needle: str) -> list[int]:
    account = next(_accounts)
    with transaction(connection):
        add(connection, account, [(at, record(each)) for at, each in enumerate(made)])
    messages = range(len(made) + 1)
    found = TextScan(field, folded(needle)).find(connection, account, messages)
    assert len(found) == len(set(found))
    return sorted(found)


@given(case=_cases(), field=st.sampled_from(_FIELDS))
@settings(max_examples=400)
def test_the_same_as_a_look_at_every_text(
    connection: apsw.Connection, case: tuple[list[Digest], str], field: str
) -> None:
    made, needle = case
    expected = [at for at, each in enumerate(made) if has(each, field, needle)]
    assert _found(connection, made, field, needle) == expected


@pytest.mark.parametrize("octets", [65_500 + step for step in range(0, 80, 7)])
def test_texts_about_as_long_as_a_blob_takes(connection: apsw.Connection, octets: int) -> None:
    made = [replace(_EMPTY, body=f"{'x' * (octets - 3)}end"), replace(_EMPTY, body="begin"), _EMPTY]
    assert _found(connection, made, "text", "end") == [0]
    assert _found(connection, made, "body", "begin") == [1]
    assert _found(connection, made, "body", "xb") == []
    assert _found(connection, made, "body", "") == [0, 1, 2]


def test_nothing_is_found_across_borders(connection: apsw.Connection) -> None:
    made = [replace(_EMPTY, header="A: one\nB: two", body="three"), replace(_EMPTY, header="A: four", body="five")]
    for needle in ("one b", "one\nb", "two three", "twothree", "three a", "threea", "threefour"):
        assert _found(connection, made, "text", needle) == []
    assert _found(connection, made, "header:a", "two") == []
    assert _found(connection, made, "header:b", "t") == [0]


def test_many_messages(connection: apsw.Connection) -> None:
    made = [replace(_EMPTY, body=f"number {at:04}.", subject=f"number {at:04}.") for at in range(1000)]
    for field in ("text", "body", "subject"):
        assert _found(connection, made[:300], field, "0007.") == [7]
        assert _found(connection, made[:300], field, "number") == list(range(300))
    account = next(_accounts)
    with transaction(connection):
        add(connection, account, [(3 * at, record(each)) for at, each in enumerate(made)])
    assert list(TextScan("body", b"5.").find(connection, account, range(0, 3000, 30))) == []
    assert sorted(TextScan("body", b"0.").find(connection, account, range(0, 3000, 30))) == list(range(0, 3000, 30))


def test_others_messages_are_not_seen(connection: apsw.Connection) -> None:
    one, other = next(_accounts), next(_accounts)
    with transaction(connection):
        add(connection, one, [(1, record(replace(_EMPTY, body="mine")))])
        add(connection, other, [(1, record(replace(_EMPTY, body="yours"))), (2, record(replace(_EMPTY, body="mine")))])
    assert TextScan("text", b"mine").find(connection, one, [1, 2]) == [1]
    assert TextScan("text", b"mine").find(connection, other, [1, 2]) == [2]
    assert TextScan("text", b"mine").find(connection, next(_accounts), [1, 2]) == []


def test_halves_of_surrogate_pairs_do_no_harm(connection: apsw.Connection) -> None:
    odd = "a\ud800b"
    made = [replace(_EMPTY, body=odd, subject=odd, base_subject=odd, references=(odd,), preview=odd, show_to=odd)]
    assert _found(connection, made, "body", "b") == [0]
    assert _found(connection, made, "subject", odd) == [0]
