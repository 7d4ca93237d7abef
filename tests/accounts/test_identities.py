"""Whom an account may write as."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posthouse.accounts.errors import BadAddressError, NoSuchAccountError
from posthouse.accounts.interface import UNBOUNDED, Account, Local
from posthouse.accounts.sqlite import SqliteDirectory, SqliteRegistry
from posthouse.message.address import Address


@pytest.fixture(autouse=True)
def filled(registry: SqliteRegistry) -> None:
    registry.domains.add("a.test")
    registry.domains.add("old.test", alias_of="a.test")
    registry.domains.add("münchen.example")
    for address in ("alice@a.test", "bob@a.test", "alice+x@a.test", "grüße@münchen.example"):
        registry.accounts.add(address, None)
    for alias, target in (
        ("sales@a.test", "alice@a.test"),
        ("shop@a.test", "sales@a.test"),
        ("all@a.test", "alice@a.test"),
        ("all@a.test", "bob@a.test"),
        ("half@a.test", "alice@a.test"),
        ("half@a.test", "alice@out.test"),
    ):
        registry.aliases.add(alias, target)


def account(directory: SqliteDirectory, address: str) -> Account:
    found = directory.addresses.resolve(Address.parse(address))
    assert isinstance(found, Local)
    return found.accounts[0]


def may(directory: SqliteDirectory, who: str, address: str) -> bool:
    return directory.addresses.may_send_as(account(directory, who), Address.parse(address))


@pytest.mark.parametrize(
    ("who", "address"),
    [
        ("alice@a.test", "alice@a.test"),
        ("alice@a.test", "ALICE@A.TEST"),
        ("alice@a.test", '"alice"@a.test'),
        ("alice@a.test", "alice+news@a.test"),
        ("alice@a.test", "alice@old.test"),
        ("alice@a.test", "alice+news@OLD.test"),
        ("alice@a.test", "sales@a.test"),
        ("alice@a.test", "sales+x@old.test"),
        ("alice@a.test", "shop@a.test"),
        ("grüße@münchen.example", "GRÜSSE@xn--mnchen-3ya.example"),
    ],
)
def test_its_own(directory: SqliteDirectory, who: str, address: str) -> None:
    assert may(directory, who, address)
    assert not may(directory, "bob@a.test", address)


@pytest.mark.parametrize(
    "address",
    [
        "bob@a.test",
        "bob+alice@a.test",
        "alice+x@a.test",  # an account of its own
        "alice@münchen.example",
        "all@a.test",
        "half@a.test",
        "nobody@a.test",
        "alice@out.test",
        "alice@a.test.out.test",
        "alice@[127.0.0.1]",
        '"alice@a.test"@out.test',
        '"*"@a.test',
    ],
)
def test_not_its_own(directory: SqliteDirectory, address: str) -> None:
    assert not may(directory, "alice@a.test", address)


@pytest.mark.parametrize(
    ("identity", "spellings"),
    [
        ("all@a.test", ["all@a.test", "ALL@A.test"]),
        ("me@out.test", ["me@out.test", "Me@OUT.test", '"me"@out.test']),
        ("ich@münchen.example", ["ich@xn--mnchen-3ya.example", "ICH@MÜNCHEN.example"]),
        ("*@out.test", ["x@out.test", "*@out.test"]),
        ("*@XN--MNCHEN-3YA.example", ["x@münchen.example"]),
    ],
)
def test_a_grant_holds_until_it_is_taken_back(
    directory: SqliteDirectory, registry: SqliteRegistry, identity: str, spellings: list[str]
) -> None:
    for address in spellings:
        assert not may(directory, "alice@a.test", address)
    assert registry.identities.add("alice@a.test", identity)
    assert not registry.identities.add("alice@a.test", identity.upper())
    for address in spellings:
        assert may(directory, "alice@a.test", address)
        assert not may(directory, "bob@a.test", address)
    assert len(registry.identities.all("alice@a.test")) == 1
    assert registry.identities.remove("alice@a.test", identity.upper())
    assert not registry.identities.remove("alice@a.test", identity)
    assert not any(may(directory, "alice@a.test", address) for address in spellings)


def test_a_domain_of_its_own_does_not_reach_below_or_beside(
    directory: SqliteDirectory, registry: SqliteRegistry
) -> None:
    registry.identities.add("alice@a.test", "*@out.test")
    for address in ("x@mail.out.test", "x@test", "x@shout.test", "x@out.test.evil.test"):
        assert not may(directory, "alice@a.test", address)


def test_grants_go_with_the_account(directory: SqliteDirectory, registry: SqliteRegistry) -> None:
    registry.identities.add("alice@a.test", "*@out.test")
    registry.accounts.remove("alice@a.test")
    registry.accounts.add("alice@a.test", None)
    assert registry.identities.all("alice@a.test") == []
    assert not may(directory, "alice@a.test", "x@out.test")


def test_an_alias_is_no_longer_ones_own_when_it_leads_to_more(
    directory: SqliteDirectory, registry: SqliteRegistry
) -> None:
    assert may(directory, "alice@a.test", "sales@a.test")
    registry.aliases.add("sales@a.test", "bob@a.test")
    assert not may(directory, "alice@a.test", "sales@a.test")
    registry.accounts.add("carol@a.test", None)
    registry.aliases.add("c@a.test", "carol@a.test")
    assert not may(directory, "alice@a.test", "c@a.test")


@pytest.mark.parametrize("identity", ["nonsense", "@a.test", "*@", "a b@", "x@-", "*@*.test"])
def test_what_is_no_address_is_refused_with_a_sentence(registry: SqliteRegistry, identity: str) -> None:
    with pytest.raises(BadAddressError):
        registry.identities.add("alice@a.test", identity)
    with pytest.raises(NoSuchAccountError):
        registry.identities.add("alcie@a.test", "x@out.test")


def test_limits_are_kept(directory: SqliteDirectory, registry: SqliteRegistry) -> None:
    registry.accounts.set_limits("alice@a.test", messages=5, recipients=0, sent_copy=False)
    alice = account(directory, "alice@a.test")
    assert (alice.day_messages, alice.day_recipients, alice.sent_copy) == (5, 0, False)
    registry.accounts.set_limits("alice@a.test", messages=UNBOUNDED, recipients=UNBOUNDED, sent_copy=None)
    alice = account(directory, "alice@a.test")
    assert (alice.day_messages, alice.day_recipients) == (UNBOUNDED, UNBOUNDED)
    registry.accounts.set_limits("alice@a.test", messages=None, recipients=None, sent_copy=None)
    alice = account(directory, "alice@a.test")
    assert (alice.day_messages, alice.day_recipients, alice.sent_copy) == (None, None, None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.text(alphabet="aliceb+-.*@xé\u0130\u017f\u200b ", min_size=1, max_size=12),
    st.sampled_from(["a.test", "A.test", "old.test", "münchen.example", "out.test", ""]),
)
def test_an_address_belongs_to_one_at_most(directory: SqliteDirectory, local: str, domain: str) -> None:
    """Whatever is asked for, what one may write as no other may, and mail for it goes there."""
    address = Address(local, domain)
    owners = [who for who in ("alice@a.test", "bob@a.test", "alice+x@a.test") if may_send(directory, who, address)]
    assert len(owners) <= 1
    for who in owners:
        assert directory.addresses.resolve(address) == Local((account(directory, who),))


def may_send(directory: SqliteDirectory, who: str, address: Address) -> bool:
    return directory.addresses.may_send_as(account(directory, who), address)
