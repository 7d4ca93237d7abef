"""Senders at work on one real mailstore in virtual time, with a courier whose answers are scripted."""

import asyncio
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posthouse.accounts.interface import Account, Local, Unresolved
from posthouse.app.process.logs import open_log
from posthouse.delivery.content.mail import Mail
from posthouse.delivery.content.memory_body import MemoryBody
from posthouse.delivery.inbound.router import Router
from posthouse.delivery.outbound.active_queue import ActiveQueue
from posthouse.delivery.outbound.agent import DeliveryAgent
from posthouse.delivery.outbound.couriers.interface import UnreachableError
from posthouse.delivery.outbound.couriers.message import OutboundMessage
from posthouse.delivery.outbound.lane import RateLimit
from posthouse.delivery.outbound.schedule import Schedule
from posthouse.delivery.reports.bounces import Bounces
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import StoreError, StoreFullError
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.message.address import Address
from posthouse.message.envelope import Client, Envelope, Recipient, ReversePath
from posthouse.message.reply import Reply
from posthouse.queue.interface import LEASE_SECONDS, Filter, Traced
from posthouse.queue.outcome import Delivered, Outcome, Permanent, Transient
from posthouse.queue.sqlite.admin import QueueAdmin
from posthouse.queue.sqlite.outgoing import SqliteOutgoing
from posthouse.queue.sqlite.schema import MIGRATIONS, ROOM
from tests.stores import fetch
from tests.virtual import VirtualLoop

START = 1_790_000_000
ALICE = Account(1, Address.parse("alice@here.test"), None)
SMTP_SECONDS = 300.0  # after which a courier gives a silent host up

OK = Reply(250, "2.0.0", "ok")
LATER = Reply(451, "4.7.1", "later")
NEVER = Reply(550, "5.1.1", "no such user")
SILENT = Transient(Reply(451, "4.4.2", "it says nothing"), spoken=False)
NOBODY_THERE = Transient(Reply(451, "4.4.1", "nobody there"), spoken=False)

_REPORTED = re.compile(rb"Final-Recipient: *rfc822; *(\S+)\s+Action: (\w+)")


class Fault(Exception):
    """What nobody expects."""


class KilledError(asyncio.CancelledError):
    """The process is gone: it does nothing more."""


class Directory:
    """All of here.test is alice's, but for nobody@here.test."""

    def resolve(self, address: Address) -> Local | Unresolved:
        if address.domain != "here.test":
            return Unresolved.NOT_OUR_DOMAIN
        return Unresolved.NO_SUCH_USER if address.local == "nobody" else Local((ALICE,))

    def is_local_domain(self, domain: str) -> bool:
        return domain == "here.test"

    @property
    def addresses(self) -> "Directory":
        return self


class Store:
    """A process's way to the mailstore. One call at a time, so that each run of a test is like the others.

    `fail` may raise before a call is made, or say what to raise after it was made.
    """

    def __init__(self, store: SqliteMailstore, loop: VirtualLoop, lock: asyncio.Lock) -> None:
        self._store = store
        self._loop = loop
        self._lock = lock
        self.is_dead = False
        self.fail: Callable[[str], Exception | None] = lambda name: None

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._store, name)

        async def call(*values: Any, **more: Any) -> Any:
            async with self._lock:
                if self.is_dead:
                    raise KilledError
                error = self.fail(name)
                if isinstance(error, Fault):
                    values, more = _fail_inside(name, error, values, more)
                done = await self._loop.in_thread(method(*values, **more))
                if self.is_dead:
                    raise KilledError
                if error is not None and not isinstance(error, Fault):
                    raise error
                return done

        return call


def _fail_inside(name: str, error: Exception, values: tuple[Any, ...], more: dict[str, Any]) -> Any:
    """The call's own work raises, inside the transaction and after all was done."""

    def failing(work: Any) -> Any:
        def fail(*given: Any) -> None:
            work(*given)
            raise error

        return fail

    if name == "transact":
        return (failing(values[0]),), more
    if name == "deliver" and more.get("in_transaction"):
        *others, last = more["in_transaction"]
        return values, {**more, "in_transaction": [*others, failing(last)]}
    return values, more


@dataclass
class Courier:
    """`script` says by destination what happens; "ok" when nothing is said. `sent` are the attempts that ended."""

    name: int
    script: dict[str, str]
    sent: list[tuple[int, str, str]]  # whose, to whom, what came of it
    begun: Counter[str] = field(default_factory=Counter)
    hanging: Counter[str] = field(default_factory=Counter)  # for ever
    sweeps: int = 0
    patience: float = SMTP_SECONDS  # after which it gives a silent host up
    begins: Callable[[str], None] = lambda address: None
    ends: Callable[[str, str], None] = lambda address, word: None

    async def deliver(self, destination: str, parcel: OutboundMessage) -> list[Outcome]:
        addresses = [str(each.address) for each in parcel.recipients]
        for each in addresses:
            self.begins(each)
        self.begun.update(addresses)
        word = self.script.get(destination, "ok")
        if word == "slow":
            await asyncio.sleep(15)
            word = "ok"
        elif word == "very slow":
            await asyncio.sleep(200)
            word = "ok"
        elif word == "ok after a lease":
            await asyncio.sleep(LEASE_SECONDS + 20)
            word = "ok"
        elif word == "never after a while":
            await asyncio.sleep(40)
            word = "never"
        elif word in ("silent", "mute"):
            await asyncio.sleep(self.patience)
        elif word == "hang":
            self.hanging.update(addresses)
            await asyncio.Event().wait()
        self.sent += [(self.name, each, word) for each in addresses]
        for each in addresses:
            self.ends(each, word)
        if word == "raise":
            raise Fault("unheard of")
        if word in ("silent", "down"):
            raise UnreachableError(NOBODY_THERE)
        if word == "short":
            return []
        outcomes: dict[str, Outcome] = {
            "ok": Delivered(OK, relayed=True),
            "later": Transient(LATER),
            "never": Permanent(NEVER),
            "mute": SILENT,
        }
        return [outcomes[word]] * len(addresses)

    def sweep(self, now: float) -> None:
        self.sweeps += 1

    def close(self) -> None:
        pass


@dataclass
class Worker:
    """One process."""

    name: int
    store: Store
    outgoing: SqliteOutgoing
    router: Router
    active: ActiveQueue
    sender: DeliveryAgent
    courier: Courier

    def kill(self) -> None:
        self.store.is_dead = True
        for task in (*self.sender._workers, *self.sender._supervisor._tasks):
            task.cancel()


class Fixture:
    """`wall` is the clock, which may step."""

    def __init__(self, folder: Path, store: SqliteMailstore, loop: VirtualLoop, schedule: Schedule) -> None:
        self.folder = folder
        self.mailstore = store
        self.loop = loop
        self.schedule = schedule
        self.offset = START - loop.time()
        self.script: dict[str, str] = {}
        self.sent: list[tuple[int, str, str]] = []
        self.workers: list[Worker] = []
        self.lock = asyncio.Lock()
        self._names = itertools.count(1)
        self._ids = itertools.count(1)

    @property
    def wall(self) -> float:
        return self.loop.time() + self.offset

    def new_id(self) -> bytes:
        return int(self.wall * 1000).to_bytes(6, "big") + next(self._ids).to_bytes(10, "big")

    async def worker(self, *, starts: bool = True) -> Worker:
        store: Any = Store(self.mailstore, self.loop, self.lock)
        outgoing = SqliteOutgoing(store, lambda: self.wall, monotonic=self.loop.time)
        directory: Any = Directory()
        active = ActiveQueue(outgoing, store, lambda _: RateLimit(), first_retry=self.schedule.first_retry)
        router = Router(
            directory, store, lambda: self.wall, outgoing=outgoing, active=active, expire=self.schedule.expire
        )
        log = open_log("warning", descriptor=self.log.fileno())
        bounces = Bounces(
            router,
            outgoing,
            self.new_id,
            lambda: self.wall,
            log,
            hostname="mx.here.test",
            postmaster=lambda: ALICE.address,
        )
        courier = Courier(next(self._names), self.script, self.sent)
        sender = DeliveryAgent(
            active,
            outgoing,
            store,
            courier,
            bounces,
            log,
            schedule=self.schedule,
            clock=lambda: self.wall,
        )
        made = Worker(courier.name, store, outgoing, router, active, sender, courier)
        self.workers.append(made)
        if starts:
            await sender.start()
        return made

    log: "_Log"

    async def submit(self, worker: Worker, *to: str, hold_for: int = 0, sender: str = "alice@here.test") -> list[Reply]:
        recipients = [Recipient(Address.parse(each)) for each in to]
        path = ReversePath(Address.parse(sender) if sender else None, hold_for=hold_for)
        envelope = Envelope(self.new_id(), Client("", 0, "here.test", "ESMTP"), path, recipients)
        body = MemoryBody(b"Subject: x\r\n\r\nhello\r\n")
        mail = Mail(
            envelope, body, account=ALICE, may_relay=True, hold_until=int(self.wall) + hold_for if hold_for else 0
        )
        return await worker.router.file(mail, all_or_nothing=True)

    async def submit_many(self, worker: Worker, count: int, domain: str, *, first: int = 0) -> None:
        for n in range(first, first + count):
            await self.submit(worker, f"{n}@{domain}")

    def delivered(self, domain: str = "") -> Counter[str]:
        return Counter(
            to for _, to, word in self.sent if word in ("ok", "slow") and to.endswith(f"@{domain}" * bool(domain))
        )

    async def told(self) -> dict[str, Counter[str]]:
        """What alice was told of each recipient, and how often."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for entry in await self.loop.in_thread(self.mailstore.entries(ALICE.id)):
            data = await self.loop.in_thread(fetch(self.mailstore, entry))
            for address, action in _REPORTED.findall(data):
                found[address.decode()][action.decode()] += 1
        return found

    def desk(self) -> QueueAdmin:
        return QueueAdmin(self.folder / "posthouse.db", clock=lambda: self.wall)

    def rows(self) -> dict[str, Traced]:
        with self.desk() as desk:
            return {str(each.recipient.address): each for each in desk.recipients(Filter(settled=True), limit=100_000)}

    def step_clock(self, seconds: float) -> None:
        self.offset += seconds

    def stop_group(self, seconds: float) -> None:
        """Nobody runs, and the clocks go on."""
        self.loop.now += seconds


class _Log:
    """Where the lines of the log go."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb")
        self.fileno = self._file.fileno
        self.close = self._file.close

    @property
    def text(self) -> str:
        return self.path.read_text()


@asynccontextmanager
async def sending(folder: Path, loop: VirtualLoop, schedule: Schedule | None = None) -> Any:
    """A Fixture, whose workers are stopped at the end."""
    store = SqliteMailstore.open(folder, bus=LocalBus(), reserve_octets=4096, rooms={ROOM: MIGRATIONS})
    made = Fixture(folder, store, loop, schedule or Schedule(chance=lambda: 1.0))
    made.log = _Log(folder / "log")
    try:
        yield made
    finally:
        for each in made.workers:
            each.kill()
        await asyncio.sleep(1)
        await loop.in_thread(store.close())
        made.log.close()


def failing(
    times: int, *names: str, after: bool = False, error: type[StoreError] = StoreError
) -> Callable[[str], Exception | None]:
    """Lets the next calls of these names fail; `after`: when all was done, so that nobody knows."""
    left = [times]

    def fail(name: str) -> Exception | None:
        if name not in names or left[0] <= 0:
            return None
        left[0] -= 1
        if after:
            return error("nobody knows")
        raise error("not now")

    return fail


def full(name: str) -> Exception | None:
    """The disk is full: nothing is written."""
    if name in ("deliver", "transact", "expunge"):
        raise StoreFullError("no space")
    return None
