"""What fsck does on request: gives mail a home whose account, or whose row, is gone.

Nothing is removed, and what was done once is not done twice: a message that was filed has a row from then on.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from posthouse.accounts.names import text_of
from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.app.data_folder.data_paths import DataPaths
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import Traits
from posthouse.mailstore.loose import Report, Unreadable
from posthouse.mailstore.salvage import LooseMessage, loose_messages
from posthouse.mailstore.sqlite import recovering
from posthouse.mailstore.sqlite.recovering import Owner, Salvage
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.sessions.imap.line_ends import scan_line_ends

_BATCH = 100  # records filed in one transaction

# Each recipient's trace headers begin with a Return-Path, and Delivered-To names the account.
_RETURN_PATH = re.compile(rb"^Return-Path:", re.MULTILINE | re.IGNORECASE)
_DELIVERED_TO = re.compile(rb"^Delivered-To:[ \t]*([^\r\n]*)", re.MULTILINE | re.IGNORECASE)
_RECEIVED = re.compile(rb"^Received:(?:[^\r\n]|\r?\n[ \t])*?;((?:[^;\r\n]|\r?\n[ \t])*)\r?\n(?![ \t])", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Claims:
    """Whose a record is by its trace headers; nobody's when both are empty."""

    owners: tuple[Owner, ...] = ()
    unknown: tuple[str, ...] = ()  # addresses it was delivered to that no account has


@dataclass(frozen=True, slots=True)
class Homes:
    """Who gets a message: the account that it was for, or else the one that is named for the rest."""

    accounts: Mapping[str, int]  # by address, lower case
    rest: int | None  # None: what does not say whose it is stays where it is

    def claims(self, prefixes: bytes) -> Claims:
        """The accounts for the trace headers of a record, each with the part of them that is its own.

        Mail to an address that has no account is nobody else's to read: the record waits until there is one. It cannot
        be filed for the others alone, since what has a row is not found again.
        """
        starts = [match.start() for match in _RETURN_PATH.finditer(prefixes)]
        starts = sorted({0, *starts}) if prefixes else [0]
        found: dict[int, Owner] = {}
        unknown = []
        for start, end in zip(starts, [*starts[1:], len(prefixes)], strict=True):
            own = prefixes[start:end]
            named = _DELIVERED_TO.search(own)
            address = named[1].decode("utf-8", "replace").strip().lower() if named else ""
            account = self.accounts.get(address) if address else self.rest
            if account is not None:
                found.setdefault(account, Owner(account, len(prefixes) - start, len(own)))
            elif address:
                unknown.append(address)
        return Claims((), tuple(dict.fromkeys(unknown))) if unknown else Claims(tuple(found.values()))


@dataclass(slots=True)
class Plan:
    """What a salvage would file, and what it would leave alone: messages."""

    accounts: Counter[int] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)  # by address
    unnamed: int = 0  # that do not say whose they are, while nobody is named for them


def homes(registry: SqliteRegistry, rest: str | None) -> Homes:
    """Where salvaged mail goes; `rest`: the address for mail of which nobody can tell whose it was.

    Raises AccountsError.
    """
    accounts = {text_of(info.account.address).lower(): info.account.id for info in registry.accounts.all()}
    return Homes(accounts, None if rest is None else registry.accounts.get(rest).id)


def plan(paths: DataPaths, to: Homes) -> Plan:
    """What salvage() would do, without what the disk does not give. Raises StoreError."""
    found = Plan()
    for message in loose_messages(paths.data, lambda place: None):  # salvage() tells of it
        try:
            claims = to.claims(message.prefixes())
        except OSError:
            continue
        found.accounts.update(owner.account for owner in claims.owners)
        found.unknown.update(claims.unknown)
        found.unnamed += not claims.owners and not claims.unknown
    return found


def salvage(paths: DataPaths, to: Homes, unreadable: Report) -> Counter[int]:
    """File what is in no mailbox and whose owners are known into "Recovered"; how many each account got.

    `unreadable` is called for what the disk does not give. Raises StoreError.
    """

    async def run() -> Counter[int]:
        store = SqliteMailstore.open(paths.data, bus=LocalBus(), create=False)
        try:
            got: Counter[int] = Counter()
            for batch in _batches(paths, to, unreadable):
                now = int(time.time())
                await store.transact(lambda connection: recovering.file_loose(connection, batch, now))  # noqa: B023
                got.update(owner.account for each in batch for owner in each.owners)
            return got
        finally:
            await store.close()

    return asyncio.run(run())


def adopt(paths: DataPaths, account: int, target: int) -> int:
    """Move all mail of an account that is gone to another one, below "Recovered"; how many messages.

    Raises StoreError.
    """

    async def run() -> int:
        store = SqliteMailstore.open(paths.data, bus=LocalBus(), create=False)
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


def _batches(paths: DataPaths, to: Homes, unreadable: Report) -> Iterator[Sequence[Salvage]]:
    batch = []
    for message in loose_messages(paths.data, unreadable):
        try:
            if not (owners := to.claims(message.prefixes()).owners):
                continue
            batch.append(_ready(message, owners))
        except OSError as error:
            unreadable(Unreadable.because(error, message.record.pack, message.record.offset))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _ready(message: LooseMessage, owners: tuple[Owner, ...]) -> Salvage:
    received = _received(message.prefixes()) or message.written
    return Salvage(message.record, message.headed, int(_traits(message)), received, owners)


def _traits(message: LooseMessage) -> Traits:
    dots, bare = scan_line_ends(message.body())
    traits, tail = Traits.NONE, b""
    for chunk in message.body():
        traits |= Traits.NONE if chunk.isascii() else Traits.EIGHT_BIT
        tail = (tail + chunk[-2:])[-2:]
    traits |= Traits.HAS_LEADING_DOTS if dots else Traits.NONE
    traits |= Traits.BARE_CR_OR_LF if bare else Traits.NONE
    return traits if tail == b"\r\n" else traits | Traits.NO_FINAL_CRLF


def _received(prefixes: bytes) -> int:
    """When this server took it in, by its own trace header; 0 when that does not say."""
    found = _RECEIVED.search(prefixes)
    try:
        return int(parsedate_to_datetime(found[1].decode("ascii", "replace")).timestamp()) if found else 0
    except (ValueError, OverflowError):
        return 0
