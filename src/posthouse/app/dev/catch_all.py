"""A directory in which every address has a mailbox and every password is right.

The number of an account is made from the address, so it is the same tomorrow and in every process.
The mailbox itself is made by the store, with its first message. Accounts that the data folder has keep their numbers.

A login with an "@" is that address. Any other login, such as "all", sees the mail of everybody: each message gets one
more placement there, which costs a row and no second body.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b

from posthouse.accounts.interface import Account, Directory, Local, Refusal, RefusalKind
from posthouse.accounts.names import domain_key, local_key, split_login
from posthouse.message.address import Address
from posthouse.message.credentials import ScramKeys
from posthouse.message.signing import SigningKey

_UNPROVABLE = ScramKeys(bytes(16), 4096, bytes(32), bytes(32))


class CatchAllAddresses:
    """See Addresses, and CatchAllDirectory."""

    def __init__(self, accounts: Directory, own_domain: str, on_account: Callable[[Account], None]) -> None:
        self._accounts = accounts
        self._own_domain = own_domain
        self._on_account = on_account

    def resolve(self, address: Address) -> Local:
        """See Addresses: the mailbox of the address, and the one that has everything."""
        account = self.account(address)
        # Under the same address: a copy of it says to whom it was sent, and can be sent again to somebody else.
        return Local((account, replace(account, id=EVERYTHING, quota=None)))

    def is_local_domain(self, domain: str) -> bool:
        """See Addresses."""
        return True

    def may_send_as(self, account: Account, address: Address) -> bool:
        """See Addresses."""
        return True

    def own_domain(self) -> str:
        """See Addresses."""
        return self._own_domain

    def srs_secret(self) -> bytes:
        """See Addresses. Nothing is forwarded."""
        return b""

    def signing_keys(self, domain: str) -> tuple[SigningKey, ...]:
        """See Addresses. What is sent here arrives as it was sent."""
        return ()

    def account(self, address: Address) -> Account:
        """The one that the data folder has under exactly this address, or the one that is made from it."""
        name = _name(address)
        found = self._accounts.addresses.resolve(address)
        if isinstance(found, Local) and not found.outside and len(found.accounts) == 1:
            (known,) = found.accounts
            if _name(known.address) == name:
                return known
        made = Account(account_number(address), address, None)
        self._on_account(made)
        return made


class CatchAllLogins:
    """See Logins. `account_of` gives the account of an address."""

    def __init__(self, accounts: Directory, account_of: Callable[[Address], Account]) -> None:
        self._accounts = accounts
        self._account_of = account_of

    async def verify(self, login: str, password: str, ip: str) -> Account:
        """See Logins."""
        local, domain = split_login(login)
        if local and domain:
            return self._account_of(Address(local, domain))
        return Account(EVERYTHING, Address(login, ""), None)

    def scram_keys(self, login: str) -> ScramKeys:
        """See Logins. A proof needs one password to be the right one, so services must not offer SCRAM."""
        return _UNPROVABLE

    def admit(self, login: str, ip: str, keys: ScramKeys) -> Account | Refusal:
        """See Logins. Never called: no proof holds."""
        raise RuntimeError("a proof cannot hold here")

    def refuse_proof(self, login: str, ip: str) -> Refusal:
        """See Logins. SCRAM is not offered, and nothing is counted."""
        return Refusal(RefusalKind.WRONG)

    def note_guess(self, ip: str) -> float:
        """See Logins. No address is a guess."""
        return 0.0

    def throttled(self, login: str, ip: str) -> float:
        """See Logins."""
        return 0.0

    def held_back(self, login: str, ip: str) -> float:
        """See Logins."""
        return 0.0

    def revision(self) -> object:
        """See Logins."""
        return self._accounts.logins.revision()

    def generations(self, accounts: Sequence[int]) -> dict[int, int]:
        """See Logins. Accounts that are made from their addresses never change and never go."""
        return dict.fromkeys(accounts, 0) | self._accounts.logins.generations(accounts)


class CatchAllDirectory:
    """See Directory. `accounts` are asked first; `own_domain` stands for this server.

    `on_account` is called with each account that is made from an address, before it gets any mail; often.
    """

    def __init__(
        self, accounts: Directory, own_domain: str, on_account: Callable[[Account], None] = lambda account: None
    ) -> None:
        self.addresses = CatchAllAddresses(accounts, own_domain, on_account)
        self.logins = CatchAllLogins(accounts, self.addresses.account)
        on_account(Account(EVERYTHING, Address("all", ""), None))


def account_number(address: Address) -> int:
    """The number of the account that an address has, however it is spelt: 62 bits, never 0 (that is the queue's)."""
    return _number(_name(address))


def _name(address: Address) -> str:
    local, domain = local_key(address.local), domain_key(address.domain)
    return f"{address.local if local is None else local}@{address.domain.lower() if domain is None else domain}"


def _number(name: str) -> int:
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, person=b"dev account").digest()
    return int.from_bytes(digest, "big") >> 2 or 1


EVERYTHING = _number("")  # no address has an empty name
