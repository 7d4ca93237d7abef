"""The addresses of From and Sender."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.message.address import Address
from posthouse.message.addresses import MAX_ADDRESSES, MAX_FIELD, AddressListError, parse_mailboxes


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
        ('"a"."b"@c.test', [("", "a.b@c.test")]),
        ("a @ c.test", [("", "a@c.test")]),
        ("John Q. Public <a@b.test>", [("John Q. Public", "a@b.test")]),
        ('"A \\"B\\" \\\\" <a@b.test>', [('A "B" \\', "a@b.test")]),
        ("<@one.test , @two.test : a@b.test>", [("", "a@b.test")]),
        ("G: a@b.test;, c@d.test", [("", "a@b.test"), ("", "c@d.test")]),
        ("Jean\u00a0Dupont <a@b.test>", [("Jean\u00a0Dupont", "a@b.test")]),
        ("=?utf-8?b?R3LDvMOfZQ==?= <a@b.test>", [("=?utf-8?b?R3LDvMOfZQ==?=", "a@b.test")]),
        ("Grüße <grüße@bücher.test>", [("Grüße", "grüße@bücher.test")]),
        ("a@[192.0.2.1]", [("", "a@[192.0.2.1]")]),
        ("Alice\r\n <a@b.test>", [("Alice", "a@b.test")]),
        ("=?utf-8?q?x=40y.test?= <a@b.test>", [("=?utf-8?q?x=40y.test?=", "a@b.test")]),
        ("a@b.test <a@B.test>", [("a@b.test", "a@b.test")]),
        ("a@b.test<a@b.test>, c@d.test", [("a@b.test", "a@b.test"), ("", "c@d.test")]),
        ("a..b@c.test.", [("", '"a..b"@c.test')]),
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
        "<>",
        "a@b.test;",
        "a@[192.0.2.1]b",
        "(" * 50 + "a@b.test",
        '"open \\"',
        "(open \\)",
    ],
)
def test_refused_with_a_sentence(raw: str) -> None:
    with pytest.raises(AddressListError):
        parse_mailboxes(raw.encode())


@pytest.mark.parametrize(
    "raw",
    [
        "x bob@b.test",
        "x. bob@b.test",
        "x(y)bob@b.test",
        '"x"bob@b.test',
        '"x" bob@b.test',
        "x\r\n bob@b.test",
        "a . b @ c . test",
        "a@b.test evil",
        "a@b(x)c",
        'a@"b.test"',
        "a@b.test <c@d.test>",
        "a@b.test <A@b.test>",
        "x a@b.test <a@b.test>",
        "a@b.test x <a@b.test>",
        "a@b.test <a@b.test> <a@b.test>",
        "a@b.test <a@b.test",
        "a <a@b.test> <c@d.test>",
        "<a@b.test>c@d.test",
        "G: a@b.test; c@d.test",
        "<@x>, <bob@b.test>, <@y:a@b.test>",
        "<@x <bob@b.test>:a@b.test>",
        "=?utf-8?q?bob=40b.test=2C?=@b.test",
        '"=?utf-8?q?bob?="@b.test',
        "=?utf-8?q?bob=40b.test=00?= <a@b.test>",
        "=?utf-8?b?Ym9iQGIudGVzdAo=?= <a@b.test>",
        "=?utf-8?b?Ym9iQGIudGVzdA==Cg==?= <a@b.test>",
        '"bob@b.test\0" <a@b.test>',
        "a@b.test\nFrom: bob@b.test",
        "a@b.test\rFrom: bob@b.test",
        "a@b.test\x0b, bob@b.test",
    ],
)
def test_what_readers_take_in_several_ways_is_refused(raw: str) -> None:
    with pytest.raises(AddressListError) as refused:
        parse_mailboxes(raw.encode())
    assert str(refused.value).isascii()


def test_bounds() -> None:
    assert len(parse_mailboxes(b"a@b.test," * MAX_ADDRESSES)) == MAX_ADDRESSES
    assert found("(" * 50 + ")" * 50 + "a@b.test") == [("", "a@b.test")]
    with pytest.raises(AddressListError, match="too many"):
        parse_mailboxes(b"a@b.test," * (MAX_ADDRESSES + 1))
    with pytest.raises(AddressListError, match="too long"):
        parse_mailboxes(b" " * (MAX_FIELD + 1))


def test_not_text() -> None:
    with pytest.raises(AddressListError, match="neither ASCII nor UTF-8"):
        parse_mailboxes(b"\xff <a@b.test>")


@given(st.text(alphabet='a@.<>()\\",:;[] é=?\r\n', max_size=60))
def test_never_another_exception(raw: str) -> None:
    with contextlib.suppress(AddressListError):
        parse_mailboxes(raw.encode())


@given(st.binary(max_size=60))
def test_never_another_exception_of_octets(raw: bytes) -> None:
    with contextlib.suppress(AddressListError):
        parse_mailboxes(raw)


LOCALS = st.one_of(
    st.from_regex(r"[a-z0-9+_-]{1,10}(\.[a-z0-9]{1,5}){0,2}", fullmatch=True),
    st.text(alphabet='ab "\\(),:;<>@[].é', min_size=1, max_size=12),
)
ADDRESSES = st.builds(Address, LOCALS, st.sampled_from(["b.test", "bücher.test", "[192.0.2.1]"]))
NAMES = st.text(alphabet='ab "\\(),:;<>@[].é', max_size=12)
SPACES = st.sampled_from(["", " ", "\t", "\r\n ", "(x (y, <z@evil.test>) \\))", " (;) "])


@given(st.lists(st.tuples(NAMES, ADDRESSES, SPACES), max_size=5), st.booleans())
def test_what_is_written_is_read(people: list[tuple[str, Address, str]], grouped: bool) -> None:
    """However it is spaced and commented."""
    written = []
    for name, address, space in people:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        written.append(f'{space}"{quoted}"{space}<{space}{address}{space}>{space}')
    raw = ",".join(written)
    read = parse_mailboxes((f"Some people:{raw};" if grouped else raw).encode())
    assert [(each.name, each.address) for each in read] == [(name, address) for name, address, _ in people]


PIECES = [
    "(",
    "()",
    '"',
    '"" ',
    "<",
    "<@",
    "<@x:",
    "a@b.test,",
    "a ",
    "a.",
    "\\",
    "g:",
    "g:;,",
    "@x,",
    "=?",
    "=?x?q?",
    "\t",
]


@pytest.mark.parametrize("opening", ["", "(", '"', "<@x", "a <", "=?x?b?"])
@pytest.mark.parametrize("piece", PIECES)
def test_cost_grows_with_the_length_alone(piece: str, opening: str) -> None:
    def cost(count: int) -> float:
        raw = (opening + piece * (count // len(piece))).encode()
        best = 9.0
        for _ in range(3):
            began = time.process_time()
            with contextlib.suppress(AddressListError):
                parse_mailboxes(raw)
            best = min(best, time.process_time() - began)
        return best

    # CPU time: four times as much for four times the length; were it quadratic, sixteen times.
    assert cost(64_000) <= 8 * cost(16_000) + 0.02
