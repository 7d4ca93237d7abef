"""What the directory keeps, as values, and the look-ups the rules are made of."""

from dataclasses import dataclass
from typing import Protocol

from posthouse.accounts.interface import Account
from posthouse.message.address import Address
from posthouse.message.credentials import ScramKeys


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain whose mail ends here."""

    key: str  # A-labels, lower case
    name: str  # U-labels
    is_default: bool = False
    postmaster: int | None = None  # account id
    alias_of: str | None = None  # key of the domain whose addresses this one repeats


@dataclass(frozen=True, slots=True)
class Credential:
    """What proves a password. `scram` is None until the password has been seen in plain."""

    hash: str  # "{SCHEME}..."
    scram: ScramKeys | None


@dataclass(frozen=True, slots=True)
class LoginRow:
    """An account with what proves it. `generation` changes with the password, never with its mere renewal."""

    account: Account
    generation: int
    credential: Credential | None


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """An account as lists show it."""

    account: Account
    created: int  # seconds since 1970
    scheme: str  # of its password hash; "" without a password
    scram: bool  # whether SCRAM logins work already


@dataclass(frozen=True, slots=True)
class Alias:
    """An address and one of the addresses it leads to. The local part "*" is the domain's catch-all."""

    address: Address
    target: Address


@dataclass(frozen=True, slots=True)
class Removed:
    """An account that is gone. Its mail is still to be forgotten until that is acknowledged."""

    id: int
    address: Address
    removed: int  # seconds since 1970
    aliases: tuple[Alias, ...] = ()  # the aliases that led to it and went with it


class Rows(Protocol):
    """Look-ups by key, from one consistent state of the directory."""

    def domain(self, key: str) -> Domain | None:
        """The domain with this key."""

    def default_domain(self) -> Domain | None:
        """The domain marked as default, else the only one, else None. Domains that repeat another do not count."""

    def first_domain(self) -> Domain | None:
        """The domain added first."""

    def account(self, domain: str, local: str) -> Account | None:
        """The account with these keys."""

    def account_by_id(self, account: int) -> Account | None:
        """The account with this id."""

    def first_account(self, domain: str | None) -> Account | None:
        """The account added first, in a domain or at all."""

    def targets(self, domain: str, local: str) -> tuple[Address, ...]:
        """Where the alias with these keys leads; empty when there is none."""
