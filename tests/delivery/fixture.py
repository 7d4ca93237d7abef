"""A directory, a store and a queue for tests of what delivers."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from posthouse.accounts.interface import Account, Local
from posthouse.accounts.sqlite import SqliteDirectory
from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.accounts.throttle import MemoryThrottleRows, Throttle
from posthouse.delivery.content.mail import Mail
from posthouse.delivery.content.memory_body import MemoryBody
from posthouse.delivery.inbound.router import Router
from posthouse.delivery.inbound.srs import Srs
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import DeliveryReceipt, Mailstore, MessageRef
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.message.address import Address
from posthouse.message.envelope import Client, Envelope, Recipient, ReversePath
from posthouse.message.reply import Reply
from posthouse.queue.interface import ACCOUNT, MAILBOX, Filter, Traced, Waiting
from posthouse.queue.sqlite.admin import QueueAdmin
from posthouse.queue.sqlite.outgoing import SqliteOutgoing
from posthouse.queue.sqlite.schema import MIGRATIONS, ROOM
from tests.sessions.world import FAST
from tests.stores import contents, delivery_id

NOW = 1_790_000_000
LETTER = b"Subject: x\r\n\r\nhi\r\n"
CLIENT = Client("192.0.2.1", 25, "client.test", "ESMTP")


class Taker:
    """Stands for the active queue: what it is offered at once."""

    def __init__(self) -> None:
        self.has_room = True
        self.offered: list[tuple[list[Waiting], MessageRef]] = []

    def has_room_for(self, destinations: Iterable[str]) -> bool:
        return self.has_room

    def offer(self, waiting: Sequence[Waiting], entry: MessageRef) -> None:
        self.offered.append((list(waiting), entry))


class Faulty:
    """A store whose deliver() does something else first, or instead."""

    def __init__(self, store: Mailstore) -> None:
        self._store = store
        self.failures: list[Exception] = []
        self.succeed = 0  # so many calls before the failures
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def deliver(self, *words: Any, **options: Any) -> DeliveryReceipt:
        self.calls += 1
        if self.succeed > 0:
            self.succeed -= 1
        elif self.failures:
            raise self.failures.pop(0)
        return await self._store.deliver(*words, **options)


class Fixture:
    """alice and bob are here; team is bob and carol elsewhere; away leads elsewhere alone, both to two."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = float(NOW)
        self.registry = SqliteRegistry(folder / "directory.db", hasher=FAST)
        self.registry.domains.add("here.test")
        for name in ("alice", "bob", "postmaster"):
            self.registry.accounts.add(f"{name}@here.test", "secret")
        for alias, target in (
            ("team", "bob@here.test"),
            ("team", "carol@there.test"),
            ("away", "dave@there.test"),
            ("both", "x@b.test"),
            ("both", "y@b.test"),
        ):
            self.registry.aliases.add(f"{alias}@here.test", target)
        self.directory = SqliteDirectory(
            folder / "directory.db", Throttle(MemoryThrottleRows(), lambda: self.now), hasher=FAST
        )
        self.sqlite = SqliteMailstore.open(folder, bus=LocalBus(), rooms={ROOM: MIGRATIONS}, clock=lambda: self.now)
        self.store = Faulty(self.sqlite)
        self.outgoing = SqliteOutgoing(self.sqlite, lambda: self.now)
        self.srs = Srs(b"secret", "here.test", lambda: self.now)
        mailstore: Mailstore = self.store
        self.taker = Taker()
        active: Any = self.taker
        self.router = Router(
            self.directory,
            mailstore,
            lambda: self.now,
            outgoing=self.outgoing,
            active=active,
            srs=lambda: self.srs,
        )
        self._ids = itertools.count(1 << 90)

    def account(self, name: str = "alice") -> Account:
        found = self.directory.addresses.resolve(Address(name, "here.test"))
        assert isinstance(found, Local)
        return found.accounts[0]

    def envelope(self, *to: str, sender: str = "a@remote.test", id_: bytes = b"") -> Envelope:
        recipients = [Recipient(Address.parse(each)) for each in to]
        address = Address.parse(sender) if sender else None
        return Envelope(id_ or delivery_id(self.now), CLIENT, ReversePath(address), recipients)

    async def file(
        self, *to: str, sender: str = "a@remote.test", all_or_nothing: bool = True, **options: Any
    ) -> list[Reply]:
        mail = Mail(self.envelope(*to, sender=sender), MemoryBody(LETTER), **options)
        return await self.router.file(mail, all_or_nothing=all_or_nothing)

    async def inbox(self, name: str) -> list[bytes]:
        return await contents(self.sqlite, self.account(name).id)

    async def bodies(self) -> list[bytes]:
        """What the queue keeps."""
        return await contents(self.sqlite, ACCOUNT, MAILBOX)

    def queued(self) -> list[Traced]:
        with QueueAdmin(self.folder / "posthouse.db") as desk:
            return desk.recipients(Filter())

    def queued_to(self) -> list[tuple[str, str]]:
        return sorted((str(row.recipient.address), row.destination) for row in self.queued())

    async def close(self) -> None:
        await self.sqlite.close()
        self.directory.close()
        self.registry.close()
