import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.accounts.errors import BadAddressError
from posthouse.accounts.names import domain_key, local_key, parse_address, parse_domain, split_login, text_of
from posthouse.message.address import Address


@pytest.mark.parametrize(
    "written",
    ["münchen.example", "MÜNCHEN.example", "xn--mnchen-3ya.example", "XN--MNCHEN-3YA.EXAMPLE", "münchen.example."],
)
def test_a_domain_has_one_key_in_every_form(written: str) -> None:
    assert domain_key(written) == "xn--mnchen-3ya.example"
    assert parse_domain(written) == ("xn--mnchen-3ya.example", "münchen.example")


@pytest.mark.parametrize(
    "written", ["a" * 300, "xn--\udcff", "ü..example", "\udcff.example", "xn--a-ecp.ru", "ü" * 250]
)
def test_what_is_no_domain_has_no_key(written: str) -> None:
    assert domain_key(written) is None


@pytest.mark.parametrize(
    "written",
    ["", ".", "a..b", "-a.example", "a-.example", "a b.example", "[127.0.0.1]", "a_b.example", "x" * 64, "a\0b", "a@b"],
)
def test_what_a_domain_may_not_be(written: str) -> None:
    with pytest.raises(BadAddressError, match="write it like"):
        parse_domain(written)


def test_local_parts_compare_without_case_in_nfc() -> None:
    assert local_key("Alice") == local_key("aLICE") == "alice"
    assert local_key("Jose\u0301") == local_key("JOSÉ") == "josé"
    assert local_key("\udcff") is None


def test_an_address_is_unquoted_and_keeps_its_spelling() -> None:
    assert parse_address(' "Mad Hatter"@Example.ORG ') == Address("Mad Hatter", "example.org")
    assert parse_address(r'"a\"b"@example.org') == Address('a"b', "example.org")
    assert parse_address("../../etc/passwd@example.org").local == "../../etc/passwd"
    assert text_of(parse_address("Alice@xn--mnchen-3ya.example")) == "Alice@münchen.example"


@pytest.mark.parametrize(
    "written",
    [
        *("", "alice", "@example.org", '""@example.org', "a\0b@example.org", "a\nb@example.org", "a\x7f@example.org"),
        *("\udcff@x.org", "a" * 65 + "@example.org", "ü" * 33 + "@example.org"),
        "alice@" + ".".join(["b" * 60] * 4) + ".example",
    ],
)
def test_what_an_address_may_not_be(written: str) -> None:
    with pytest.raises(BadAddressError):
        parse_address(written)


def test_a_login_may_be_bare() -> None:
    assert split_login("alice") == ("alice", "")
    assert split_login("a@b@example.org") == ("a@b", "example.org")
    assert split_login('"a@b"@example.org') == ("a@b", "example.org")


@given(st.text(max_size=300))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except BadAddressError as error:
        assert str(error).isprintable()
    else:
        assert parse_address(f'"{address.local}"@{address.domain}') == address or '"' in text or "\\" in text
        assert domain_key(address.domain) and local_key(address.local)


@given(st.text(max_size=300))
def test_keys_are_stable(text: str) -> None:
    local, domain = local_key(text), domain_key(text)
    assert local is None or local_key(local) == local
    assert domain is None or domain_key(domain) == domain
