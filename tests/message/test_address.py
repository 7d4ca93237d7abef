"""Addresses: what is one, what is not, and that writing and reading agree."""

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posthouse.message.address import Address, AddressError, to_a_labels, to_u_labels


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("alice@example.test", "alice", "example.test"),
        ("Alice.B+tag@Example.TEST", "Alice.B+tag", "example.test"),
        ("!#$%&'*+-/=?^_`{|}~@x", "!#$%&'*+-/=?^_`{|}~", "x"),
        ("a@host_with_underscore.test", "a", "host_with_underscore.test"),
        ("a@1.2.3.4", "a", "1.2.3.4"),
        ('"a b"@x.test', "a b", "x.test"),
        ('"a@b"@x.test', "a@b", "x.test"),
        (r'"a\"b\\c"@x.test', 'a"b\\c', "x.test"),
        ('"plain"@x.test', "plain", "x.test"),
        ('""@x.test', "", "x.test"),
        ("a@[192.0.2.1]", "a", "[192.0.2.1]"),
        ("a@[ipv6:2001:DB8:0:0::1]", "a", "[IPv6:2001:db8::1]"),
        ("a@[x-proto:A.b]", "a", "[x-proto:a.b]"),
        ("grüße@example.test", "grüße", "example.test"),
        ('"grüße an"@example.test', "grüße an", "example.test"),
        ("a@Bücher.test", "a", "bücher.test"),
        ("a@XN--Bcher-KVA.test", "a", "bücher.test"),
        ("a@例え。テスト", "a", "例え.テスト"),
        ("a@xn--n3h.test", "a", "xn--n3h.test"),  # an emoji: in DNS, but no name of IDNA
        ("a@sub_domain.xn--bcher-kva.test", "a", "sub_domain.xn--bcher-kva.test"),
        ("a..b@docomo.test", "a..b", "docomo.test"),
        (".a@docomo.test", ".a", "docomo.test"),
        ("..ü...b..@docomo.test", "..ü...b..", "docomo.test"),
        ("a@b.test.", "a", "b.test"),
        ("a@Bücher.test.", "a", "bücher.test"),
        ("a@XN--Bcher-KVA.test.", "a", "bücher.test"),
        ("a" * 64 + "@x", "a" * 64, "x"),
        ("a@" + "b" * 63 + ".c", "a", "b" * 63 + ".c"),
    ],
)
def test_reads(text: str, local: str, domain: str) -> None:
    address = Address.parse(text)
    assert (address.local, address.domain) == (local, domain)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "", "alice", "@example.test", "alice@", "a@@b", "a b@c", "..@c", ".@c", "a@b..c", "a@.b", "a@.", "a@b..",
        "a@-b", "a@b-", "a@b-.c", "a@b c", "a@b\r\n", "a\r\n@b", "a@b\x00", "a\x00@b", "a\t@b", "a@b/c",
        "<a@b>", "a,b@c", "a(b)@c", '"a@b', 'a"b"@c', '"a"b@c', '"a\r\nb"@c', '"a\\\x01"@c', '"a\x7f"@c', '"ü\\ü"@c',
        "a@[192.0.2.1].", "a@b:c",
        "a@[1.2.3]", "a@[256.1.1.1]", "a@[1.2.3.4", "a@[]", "a@[IPv6:]", "a@[IPv6:::1%eth0]", "a@[IPv6:1.2.3.4]",
        "a@[ü:b]", "a@[tag:]", "a@[tag:a]b]", "a@[1.2.3.4/8]",
        "a\x85@b", "a@\u2603.test", "a@ü..test", "a@-ü.test", "a@" + "ü" * 64 + ".test", "\ud800@b", "a@\ud800",
        "a" * 65 + "@b", '"' + "a" * 63 + '"@b', "ü" * 33 + "@b", "a@" + "b" * 64, "a@" + "b." * 127 + "c",
        "a@" + "b." * 128 + "c", "a" * 64 + "@" + "b." * 95 + "c", "a@" + "ü" * 2000,
    ],
)  # fmt: skip
def test_refuses_with_a_sentence(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    assert len(str(caught.value)) > 20


@pytest.mark.parametrize("local", ["a..b", ".a", "a."])
def test_stray_dots_are_quoted_when_they_are_written(local: str) -> None:
    """RFC 5321 4.1.2; a receiver must take both for the same name, and docomo's servers do."""
    address = Address.parse(f"{local}@docomo.test")
    assert str(address) == address.to_ascii() == f'"{local}"@docomo.test'
    assert address == Address.parse(f'"{local}"@docomo.test')


def test_the_longest_mailbox_with_quotes_fits_a_path() -> None:
    """A name that is written without quotes must fit with them."""
    domain = ".".join(["b" * 61] * 3) + ".c"
    assert len(str(Address.parse("a" * 62 + ".." + "@" + domain))) == 254
    with pytest.raises(AddressError):
        Address.parse("a" * 62 + ".." + "@" + domain + "c")


def test_the_longest_mailbox_fits_a_path() -> None:
    # RFC 5321 4.5.3.1.3: 256 octets with the angle brackets.
    domain = ".".join(["b" * 61] * 3) + ".ccc"
    longest = "a" * 64 + "@" + domain
    assert len(longest) == 254
    assert str(Address.parse(longest)) == longest
    with pytest.raises(AddressError):
        Address.parse(longest + "c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@b.test", "a@b.test"),
        ("@one.test:a@b.test", "a@b.test"),
        ("@one.test,@[192.0.2.1],@two.test:a@b.test", "a@b.test"),
        ("postmaster", "postmaster"),
        ("PostMaster", "PostMaster"),
        ("postmaster@b.test", "postmaster@b.test"),
    ],
)
def test_paths(text: str, expected: str) -> None:
    assert str(Address.parse_path(text)) == expected


@pytest.mark.parametrize("text", ["@one.test", "@one.test:", "@one.test a@b", "@,@b:c@d", "@a,b:c@d", "alice", ""])
def test_bad_paths(text: str) -> None:
    with pytest.raises(AddressError):
        Address.parse_path(text)


def test_traits() -> None:
    plain, literal = Address.parse("a@b.test"), Address.parse("a@[192.0.2.1]")
    by_local, by_domain = Address.parse("ü@b.test"), Address.parse('"a b"@xn--bcher-kva.test')
    assert [a.is_international for a in (plain, literal, by_local, by_domain)] == [False, False, True, True]
    assert [a.is_literal for a in (plain, literal)] == [False, True]
    assert by_domain.domain_key == "xn--bcher-kva.test"
    assert plain.domain_key == "b.test"
    assert by_domain.to_ascii() == '"a b"@xn--bcher-kva.test'
    assert Address("postmaster", "").to_ascii() == "postmaster"
    with pytest.raises(AddressError):
        by_local.to_ascii()


def test_labels() -> None:
    assert to_a_labels("Bücher.Test") == "xn--bcher-kva.test"
    assert to_a_labels("PLAIN.test") == "plain.test"
    assert to_u_labels("xn--bcher-kva.test") == "bücher.test"
    assert to_u_labels("xn--zzzzzzzzz.test") == "xn--zzzzzzzzz.test"
    with pytest.raises(AddressError):
        to_a_labels("☃.test")


def test_idna_is_imported_for_international_names_only() -> None:
    program = (
        "import sys; from posthouse.message.address import Address; Address.parse('a@b.test');"
        "assert 'idna' not in sys.modules; Address.parse('a@xn--bcher-kva.test'); assert 'idna' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@given(st.text(max_size=80))
@example('"\\"@a')
@example("a@xn--")
@example("a@xn--a-ecp.ru")  # its A-label does not come back from its U-label
def test_an_address_or_an_address_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except AddressError:
        return
    assert Address.parse(str(address)) == address
    assert not any(char in str(address) for char in "\r\n\0")


_CHARS = st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=("Cc", "Cs"))


@given(local=st.text(_CHARS, max_size=15), domain=st.sampled_from(["example.test", "bücher.test", "[192.0.2.1]"]))
def test_any_local_part_can_be_written_and_read(local: str, domain: str) -> None:
    address = Address(local, domain)
    assert Address.parse(str(address)) == address
