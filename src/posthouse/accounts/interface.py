"""Who exists and who they are: what the rest of the server asks of the directory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from posthouse.message.address import Address
from posthouse.message.credentials import ScramKeys
from posthouse.message.signing import SigningKey

UNBOUNDED = -1  # the sending limit of an account that has none, whatever the default is


@dataclass(frozen=True, slots=True)
class Account:
    """An account as delivery and login need it."""

    id: int  # random 62 bits, never given twice
    address: Address
    quota: int | None  # octets, None: no bound
    day_messages: int | None = None  # in 24 hours; 0: none at all; None: as the server's default
    day_recipients: int | None = None  # new ones in 24 hours; the same
    sent_copy: bool | None = None  # keep what it sends in Sent; None: as the server's default
    generation: int = field(default=0, compare=False)  # ascends with every change of the password, never with a renewal


@dataclass(frozen=True, slots=True)
class Local:
    """The address ends here: these accounts get a copy; `outside` are addresses elsewhere that an alias names."""

    accounts: tuple[Account, ...]
    outside: tuple[Address, ...] = ()


class Unresolved(Enum):
    """Why an address leads nowhere here."""

    NOT_OUR_DOMAIN = "not our domain"
    NO_SUCH_USER = "no such user"
    ALIAS_LOOP = "alias loop"


class RefusalKind(Enum):
    """Why a login was refused. UNKNOWN accounts and wrong passwords are both WRONG, by intent."""

    WRONG = "wrong"
    THROTTLED = "throttled"  # too many failures from this address or for this account; see `seconds`
    BUSY = "busy"  # too many password checks are waiting: try again later
    UNREADABLE = "unreadable"  # the directory cannot be read now


@dataclass(frozen=True, slots=True)
class Refusal:
    """A login that was not granted. `seconds`: when to try again, 0 when it does not help."""

    kind: RefusalKind
    seconds: float = 0


class Addresses(Protocol):
    """Where mail goes, and who may write as whom. Exact: a change by another process is seen by the very next call.

    All look-ups raise DirectoryBusyError when the directory cannot be read now.
    """

    def resolve(self, address: Address) -> Local | Unresolved:
        """Where mail for `address` goes: account, alias, +detail, postmaster and abuse, catch-all. Microseconds."""

    def is_local_domain(self, domain: str) -> bool:
        """Whether mail for this domain ends here."""

    def may_send_as(self, account: Account, address: Address) -> bool:
        """Whether the account may write under this address: its own, with any detail; an alias that leads to it alone;
        or one that was granted to it.
        """

    def own_domain(self) -> str:
        """The domain that stands for this server: the default one, else the first; "" without any."""

    def srs_secret(self) -> bytes:
        """What return addresses of forwarded mail are sealed with."""

    def signing_keys(self, domain: str) -> tuple[SigningKey, ...]:
        """What mail from this domain is signed with; empty when it is not ours. One tuple until that changes."""


class Logins(Protocol):
    """Who a client is, and whether it still is. Exact as Addresses; the look-ups raise DirectoryBusyError too."""

    async def verify(self, login: str, password: str, ip: str) -> Account | Refusal:
        """Check a password. Hashing runs off the loop and is bounded; success is remembered for a day."""

    def scram_keys(self, login: str) -> ScramKeys:
        """Keys to challenge `login` with; for an unknown name, steady keys that nothing can satisfy."""

    def admit(self, login: str, ip: str, keys: ScramKeys) -> Account | Refusal:
        """After a SCRAM proof held against `keys`: the account, unless it is throttled, gone, or has other keys now."""

    def refuse_proof(self, login: str, ip: str) -> Refusal:
        """After a SCRAM proof failed: counted, unless the login is throttled, where a right one is answered so too."""

    def note_guess(self, ip: str) -> float:
        """A peer has named a recipient that does not exist: counted for its network, for all services together.

        Seconds for which that network is slowed down; 0: not yet.
        """

    def throttled(self, login: str, ip: str) -> float:
        """Seconds this login must still wait before any proof is looked at; 0: none."""

    def held_back(self, login: str, ip: str) -> float:
        """Seconds that an attempt is kept waiting before it is looked at; 0: none. See accounts/throttle.py."""

    def revision(self) -> object:
        """Another value after every change by anybody, of accounts or of anything else. Microseconds."""

    def generations(self, accounts: Sequence[int]) -> dict[int, int]:
        """The generation of each of these accounts, by id, as it is now; those that are gone are missing."""


class Directory(Protocol):
    """Who exists and who they are, in two parts."""

    @property
    def addresses(self) -> Addresses:
        """Where mail goes, and who may write as whom."""

    @property
    def logins(self) -> Logins:
        """Who a client is."""
