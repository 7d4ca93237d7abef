"""What fsck does when it is told to: gives mail a home whose account, or whose row, is gone.

Nothing is removed, and what was done once is not done twice: a message that was filed has a row from then on.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from posthouse.accounts.interface import Local
from posthouse.accounts.names import text_of
from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.app.arrivals import home_of
from posthouse.app.errors import CommandError, Exit
from posthouse.app.places import Places
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import Traits
from posthouse.mailstore.loose import Report, Unreadable
from posthouse.mailstore.salvage import LooseMessage, loose_messages
from posthouse.mailstore.sqlite import recovering
from posthouse.mailstore.sqlite.recovering import Owner, Salvage
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.sessions.imap.breaks import survey

_BATCH = 100  # records filed in one transaction

# Each recipient's trace headers begin with a Return-Path, and Delivered-To names the account.
_RETURN_PATH = re.compile(rb"^Return-Path:", re.MULTILINE | re.IGNORECASE)
_DELIVERED_TO = re.compile(rb"^Delivered-To:[ \t]*([^\r\n]*)", re.MULTILINE | re.IGNORECASE)
_RECEIVED = re.compile(rb"^Received:(?:[^\r\n]|\r?\n[ \t])*?;((?:[^;\r\n]|\r?\n[ \t])*)\r?\n(?![ \t])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Homes:
    """Who gets a message: the account that it was for, or else the one that is left for the rest."""

    accounts: Mapping[str, int]  # by address, lower case
    rest: int

    def owners(self, prefixes: bytes) -> tuple[Owner, ...]:
        """The accounts for the trace headers of a record, each with the part of them that is its own."""
        starts = [match.start() for match in _RETURN_PATH.finditer(prefixes)]
        starts = sorted({0, *starts}) if prefixes else [0]
        found: dict[int, Owner] = {}
        for start, end in zip(starts, [*starts[1:], len(prefixes)], strict=True):
            own = prefixes[start:end]
            named = _DELIVERED_TO.search(own)
            address = named[1].decode("utf-8", "replace").strip().lower() if named else ""
            account = self.accounts.get(address, self.rest)
            found.setdefault(account, Owner(account, len(prefixes) - start, len(own)))
        return tuple(found.values())


def homes(places: Places, registry: SqliteRegistry, rest: str | None) -> Homes:
    """Where salvaged mail goes; `rest`: the address for mail of which nobody can tell whose it was.

    Without it the postmaster of the default domain. Raises CommandError, AccountsError.
    """
    accounts = {text_of(info.account.address).lower(): info.account.id for info in registry.accounts()}
    if rest is not None:
        return Homes(accounts, registry.account(rest).id)
    domains = registry.domains()
    default = next((domain for domain in domains if domain.is_default), domains[0] if domains else None)
    home = home_of(places.directory, f"postmaster@{default.name}") if default else None
    if not isinstance(home, Local) or not home.accounts:
        raise CommandError(
            "there is no account yet that could get what is found",
            fix="Add one: posthouse account add postmaster@DOMAIN, or name one: posthouse fsck --salvage --to ADDRESS",
            code=Exit.USAGE,
        )
    return Homes(accounts, home.accounts[0].id)


def salvage(places: Places, to: Homes, unreadable: Report) -> Counter[int]:
    """File all whole messages that are in no mailbox into "Recovered"; how many each account got. Raises StoreError.

    `unreadable` is called for what the disk does not give.
    """

    async def run() -> Counter[int]:
        store = SqliteMailstore.open(places.data, bus=LocalBus(), create=False)
        try:
            got: Counter[int] = Counter()
            for batch in _batches(places, to, unreadable):
                now = int(time.time())
                await store.transact(lambda connection: recovering.file_loose(connection, batch, now))  # noqa: B023
                got.update(owner.account for each in batch for owner in each.owners)
            return got
        finally:
            await store.close()

    return asyncio.run(run())


def adopt(places: Places, account: int, target: int) -> int:
    """Move all mail of an account that is gone to another one, below "Recovered"; how many messages.

    Raises StoreError.
    """

    async def run() -> int:
        store = SqliteMailstore.open(places.data, bus=LocalBus(), create=False)
        try:
            moved = 0
            while some := await store.transact(
                lambda connection: recovering.adopt(connection, account, target, int(time.time()))
            ):
                moved += some
            return moved
        finally:
            await store.close()

    return asyncio.run(run())


def _batches(places: Places, to: Homes, unreadable: Report) -> Iterator[Sequence[Salvage]]:
    batch = []
    for message in loose_messages(places.data, unreadable):
        try:
            batch.append(_ready(message, to))
        except OSError as error:
            unreadable(Unreadable.because(error, message.record.pack, message.record.offset))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _ready(message: LooseMessage, to: Homes) -> Salvage:
    prefixes = message.prefixes()
    received = _received(prefixes) or message.written
    return Salvage(message.record, message.headed, int(_traits(message)), received, to.owners(prefixes))


def _traits(message: LooseMessage) -> Traits:
    dots, bare = survey(message.body())
    traits, tail = Traits.NONE, b""
    for chunk in message.body():
        traits |= Traits.NONE if chunk.isascii() else Traits.EIGHT_BIT
        tail = (tail + chunk[-2:])[-2:]
    traits |= Traits.DOT_LINES if dots else Traits.NONE
    traits |= Traits.BARE_BREAKS if bare else Traits.NONE
    return traits if tail == b"\r\n" else traits | Traits.OPEN_END


def _received(prefixes: bytes) -> int:
    """When this server took it in, by its own trace header; 0 when that does not say."""
    found = _RECEIVED.search(prefixes)
    try:
        return int(parsedate_to_datetime(found[1].decode("ascii", "replace")).timestamp()) if found else 0
    except (ValueError, OverflowError):
        return 0
