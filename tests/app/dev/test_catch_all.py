"""The directory of `posthouse dev`: which addresses share a mailbox, and which never do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.accounts.interface import Account, Addresses, Directory, Local, Logins, Unresolved
from posthouse.app.dev.catch_all import EVERYTHING, CatchAllAddresses, CatchAllDirectory, CatchAllLogins, account_number
from posthouse.message.address import Address

BOB = Account(4711, Address("bob", "example.test"), 1000)


class KnownAddresses(CatchAllAddresses):
    """What the data folder has: bob, who has +details, and a catch-all that leads to him."""

    def __init__(self) -> None:
        pass

    def resolve(self, address: Address) -> Local | Unresolved:  # type: ignore[override]
        return Local((BOB,)) if address.domain == "example.test" else Unresolved.NOT_OUR_DOMAIN


class Known:
    def __init__(self) -> None:
        self.addresses: Addresses = KnownAddresses()
        self.logins: Logins = CatchAllLogins(self, KnownAddresses().account)


@pytest.fixture
def directory() -> CatchAllDirectory:
    return CatchAllDirectory(Known(), "example.test")


def test_it_is_a_directory(directory: CatchAllDirectory) -> None:
    checked: Directory = directory
    assert checked.addresses.is_local_domain("anything.at.all") and checked.addresses.own_domain() == "example.test"
    assert (
        checked.addresses.may_send_as(BOB, Address("ceo", "bank.example"))
        and checked.addresses.signing_keys("example.test") == ()
    )
    assert checked.logins.throttled("bob", "127.0.0.1") == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Address("a", "x.example"), Address("A", "X.Example"), True),
        (Address("a", "bücher.example"), Address("a", "xn--bcher-kva.example"), True),
        (Address("jörg", "x.example"), Address("JÖRG", "x.example"), True),
        (Address("a", "x.example"), Address("a+tag", "x.example"), False),
        (Address("a", "x.example"), Address("a", "y.example"), False),
        (Address("a@b", "c"), Address("a", "b@c"), True),  # no address is written like the second
        (Address("a", "[127.0.0.1]"), Address("a", "[127.0.0.2]"), False),
        (Address("postmaster", ""), Address("postmaster", "x.example"), False),
    ],
)
def test_spellings(directory: CatchAllDirectory, one: Address, other: Address, same: bool) -> None:
    numbers = [directory.addresses.resolve(each).accounts[0].id for each in (one, other)]
    assert (numbers[0] == numbers[1]) == same


def test_accounts_of_the_folder_are_kept(directory: CatchAllDirectory) -> None:
    """Under exactly their address: neither a detail nor the catch-all of the folder counts."""
    assert directory.addresses.resolve(Address("BOB", "example.test")).accounts[0] == BOB
    for other in (Address("bob+tag", "example.test"), Address("somebody", "example.test")):
        assert directory.addresses.resolve(other).accounts[0] == Account(account_number(other), other, None)


def test_everything_has_no_quota(directory: CatchAllDirectory) -> None:
    own, everything = directory.addresses.resolve(Address("bob", "example.test")).accounts
    assert (own.quota, everything.id, everything.quota) == (1000, EVERYTHING, None)


@pytest.mark.parametrize("login", ["all", "apikey", "@x.example", "bob@", "", "\x00"])
async def test_other_logins_see_everything(directory: CatchAllDirectory, login: str) -> None:
    assert (await directory.logins.verify(login, "any", "127.0.0.1")).id == EVERYTHING


@given(st.text(), st.text(), st.text())
async def test_any_text_has_an_answer(local: str, domain: str, password: str) -> None:
    directory = CatchAllDirectory(Known(), "example.test")
    address = Address(local, domain)
    account, everything = directory.addresses.resolve(address).accounts
    assert 0 < account.id < 1 << 62 and account.id != everything.id == EVERYTHING
    assert 0 < (await directory.logins.verify(f"{local}@{domain}", password, "")).id < 1 << 62


@given(st.emails())
async def test_the_login_of_an_address_is_its_account(text: str) -> None:
    directory = CatchAllDirectory(Known(), "example.test")
    account = directory.addresses.resolve(Address.parse(text)).accounts[0]
    assert (await directory.logins.verify(text, "any", "")).id == account.id
