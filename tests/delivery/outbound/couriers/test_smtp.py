"""The SMTP courier with real connections: whatever happens to a message, each connection is kept or closed, once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from posthouse.app.process.logs import open_log
from posthouse.delivery.content.queued import QueuedContent
from posthouse.delivery.outbound.couriers import smtp
from posthouse.delivery.outbound.couriers.connecting import CourierSettings
from posthouse.delivery.outbound.couriers.interface import UnreachableError
from posthouse.delivery.outbound.couriers.message import OutboundMessage
from posthouse.delivery.outbound.couriers.smtp import SmtpCourier
from posthouse.delivery.outbound.hosts import Host, HostAddresses, Hosts
from posthouse.delivery.outbound.routes import Route, Routes
from posthouse.delivery.outbound.tls.policy import TlsRequirement
from posthouse.mailstore.interface import Mailstore, MessageRef, StoreError, Traits
from posthouse.message.address import Address
from posthouse.message.envelope import Recipient, ReversePath
from posthouse.net.dialer import Dialer
from posthouse.net.dns.interface import Mx, RecordType
from posthouse.net.limits import Limits
from posthouse.queue.outcome import Delivered, Outcome, Permanent, Transient
from tests.answers import Answers

SMALL = b"Subject: x\r\n\r\nhi\r\n"
LARGE = b"Subject: x\r\n\r\n" + b"0123456789abcdef\r\n" * 100_000  # sent in pieces
LINGER = 0.05


class Store:
    """One message; reading may go wrong, or never come to an end, from an offset on."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.good = len(data)
        self.failure: Exception | None = None
        self.stuck = asyncio.Event()

    async def check(self, entry: MessageRef) -> None:
        pass

    async def read(self, entry: MessageRef, offset: int, length: int) -> bytes:
        if offset + length > self.good:
            if self.failure is not None:
                raise self.failure
            if self.good < len(self.data):
                self.stuck.set()
                await asyncio.sleep(3600)
        return self.data[offset : offset + length]


class Plain:
    """No TLS is asked for."""

    def for_route(self, tls: str, host: str) -> TlsRequirement:
        return TlsRequirement(wanted=False)

    async def for_host(self, domain: str, host: Host, addresses: HostAddresses, waited: float) -> TlsRequirement:
        return TlsRequirement(wanted=False)

    def check_certificate(self, domain: str, host: str, demand: TlsRequirement, chain: object) -> str:
        return ""

    def report_failure(self, domain: str, host: str, demand: TlsRequirement, result: str) -> None: ...


@dataclass
class Remote:
    """Takes mail. `answers` replaces the reply to the n-th command of a verb, (verb, n), from 1 on; "" hangs up."""

    answers: dict[tuple[str, int], str] = field(default_factory=dict)
    extensions: tuple[str, ...] = ("8BITMIME",)
    taken: list[bytes] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            writer.write(b"220 mx.test ESMTP\r\n")
            while line := await reader.readline():
                if not await self._answer(line.decode().strip(), reader, writer):
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _answer(self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        verb = line[:4].upper()
        self.commands.append(verb)
        usual = {"DATA": "354 go", "QUIT": "221 bye", "EHLO": "\n".join(("250-mx", *self._lines(), "250 HELP"))}
        if verb == "BDAT":
            content = await reader.readexactly(int(line.split()[1]))
        said = self.answers.get((verb, self.commands.count(verb)), usual.get(verb, "250 ok"))
        writer.write(b"".join(each.encode() + b"\r\n" for each in said.split("\n") if each))
        if said.startswith("354"):
            content = await reader.readuntil(b"\r\n.\r\n")
            self.taken.append(content)
            writer.write(b"250 taken\r\n")
        elif verb == "BDAT" and said.startswith("250"):
            self.taken.append(content)
        return bool(said) and verb != "QUIT"

    def _lines(self) -> Iterator[str]:
        return (f"250-{word}" for word in self.extensions)


class Fixture:
    """A courier, and the remote that its only route leads to."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.dialer = Dialer(limits=Limits(linger=LINGER, sweep=0.01))
        self.courier = self.make(Routes([Route("r", hosts=(("127.0.0.1", remote.port),))]))
        self.store = Store(SMALL)

    def make(self, routes: Routes) -> SmtpCourier:
        zone: dict[tuple[str, RecordType], tuple[object, ...]] = {
            ("inside.test", RecordType.MX): (Mx(10, "mx.inside.test"),),
            ("mx.inside.test", RecordType.A): ("169.254.169.254", "10.0.0.1", "127.0.0.1"),
            ("mx4.test", RecordType.MX): (Mx(10, "mx4.test"),),
            ("mx4.test", RecordType.A): ("127.0.0.2",),
            ("zero.test", RecordType.MX): (Mx(10, "mx0.test"),),
            ("mx0.test", RecordType.A): ("0.0.0.0", "127.0.0.1"),
            ("text.test", RecordType.MX): (Mx(10, "127.0.0.1"),),
        }
        hosts = Hosts(Answers(zone), "me.test")
        return SmtpCourier(CourierSettings("me.test"), routes, hosts, Plain(), self.dialer, open_log("error"))

    def parcel(self, *locals_: str, domain: str = "x.test") -> OutboundMessage:
        store: Mailstore = self.store  # type: ignore[assignment]
        entry = MessageRef(1, 1, len(self.store.data), 0, Traits.NONE, None)
        recipients = tuple(Recipient(Address(local, domain)) for local in locals_ or ("b",))
        return OutboundMessage(b"x" * 16, ReversePath(Address("a", "me.test")), recipients, QueuedContent(store, entry))

    async def send(self, *locals_: str) -> list[Outcome]:
        return await self.courier.deliver("route/r", self.parcel(*locals_))

    async def settled(self) -> None:
        """All connections are let go of, on both sides."""
        self.courier.close()
        async with asyncio.timeout(60):
            while self.dialer._open or self.remote.open:  # noqa: ASYNC110 -- nothing tells
                await asyncio.sleep(0.01)


@asynccontextmanager
async def house(remote: Remote) -> AsyncIterator[Fixture]:
    server = await asyncio.start_server(remote.serve, "127.0.0.1", 0, limit=4 << 20)
    remote.port = server.sockets[0].getsockname()[1]
    made = Fixture(remote)
    try:
        yield made
        await made.settled()
    finally:
        made.dialer.close()
        server.close()


async def test_one_connection_for_many_messages() -> None:
    async with house(Remote()) as at:
        for _ in range(5):
            assert [type(outcome) for outcome in await at.send()] == [Delivered]
        assert at.remote.connections == 1
        assert len(at.dialer._open) == 1


async def test_a_route_to_this_machine_by_name() -> None:
    async with house(Remote()) as at:
        at.courier = at.make(Routes([Route("r", hosts=(("localhost", at.remote.port),))]))
        assert [type(outcome) for outcome in await at.send()] == [Delivered]


async def test_a_server_that_ends_each_connection_after_one_message() -> None:
    """The connection that was to be used again is closed, not forgotten."""
    async with house(Remote({("MAIL", n): "" for n in range(2, 30, 2)})) as at:
        for _ in range(5):
            assert [type(outcome) for outcome in await at.send()] == [Delivered]
            assert len(at.dialer._open) <= 2  # one may still say goodbye
        assert len(at.remote.taken) == 5


@pytest.mark.parametrize(
    "spoil",
    [
        lambda store: setattr(store, "failure", StoreError("the pack is gone")),
        lambda store: setattr(store, "data", store.data[: store.good]),
    ],
    ids=["unreadable", "shorter than it should be"],
)
async def test_content_that_cannot_be_read_to_its_end(spoil: Callable[[Store], None]) -> None:
    async with house(Remote()) as at:
        at.store = Store(LARGE)
        parcel = at.parcel()
        at.store.good = 1 << 20
        spoil(at.store)
        (outcome,) = await at.courier.deliver("route/r", parcel)
        assert isinstance(outcome, Transient)
        assert outcome.reply.enhanced == "4.3.0"
        assert at.remote.taken == []


@pytest.mark.parametrize("code", [500, 502, 503])
async def test_a_server_that_announces_bdat_and_does_not_know_it(code: int) -> None:
    async with house(Remote({("BDAT", 1): f"{code} what?"}, extensions=("CHUNKING",))) as at:
        for _ in range(2):
            assert [type(outcome) for outcome in await at.send()] == [Delivered]
        assert at.remote.commands.count("BDAT") == 1 and len(at.remote.taken) == 2


@pytest.mark.parametrize("domain", ["mx4.test", "zero.test", "text.test", "[127.0.0.1]", "[IPv6:::1]", "[0.0.0.0]"])
async def test_mail_that_would_come_back_is_refused_at_once(domain: str) -> None:
    """As Postfix has it: mail for X loops back to myself."""
    async with house(Remote()) as at:
        with pytest.raises(UnreachableError) as caught:
            await at.make(Routes()).deliver(domain, at.parcel(domain=domain))
        assert isinstance(caught.value.outcome, Permanent)
        assert caught.value.outcome.reply.enhanced == "5.4.6"


async def test_an_error_nobody_thought_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fit(*_: object) -> None:
        raise ZeroDivisionError

    async with house(Remote()) as at:
        monkeypatch.setattr(smtp, "prepare_transaction", fit)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await at.send()
        assert at.courier._idle == {}


async def test_cancelled_half_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_presentable(_: QueuedContent) -> bool:
        return True  # the look at all lines comes before; here the sending is what hangs

    monkeypatch.setattr(QueuedContent, "is_presentable", is_presentable)
    async with house(Remote()) as at:
        at.store = Store(LARGE)
        at.store.good = 1 << 20
        sending = asyncio.get_running_loop().create_task(at.send())
        await at.store.stuck.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert at.remote.taken == []


async def test_content_that_no_server_may_get() -> None:
    """The connection is as good as before, and is used for the next message."""
    async with house(Remote(extensions=())) as at:
        at.store = Store(b"Content-Type: multipart/signed; boundary=b\r\n\r\nnul \0\r\n")
        assert [type(outcome) for outcome in await at.send()] == [Permanent]
        at.store = Store(SMALL)
        assert [type(outcome) for outcome in await at.send()] == [Delivered]
        assert at.remote.connections == 1


async def test_a_courier_that_was_closed_keeps_nothing() -> None:
    async with house(Remote()) as at:
        at.courier.close()
        assert [type(outcome) for outcome in await at.send()] == [Delivered]
        assert at.courier._idle == {}


async def test_what_waited_too_long_is_closed() -> None:
    async with house(Remote()) as at:
        await at.send()
        now = asyncio.get_running_loop().time()
        at.courier.sweep(now)
        assert len(at.courier._idle) == 1
        at.courier.sweep(now + smtp.IDLE_SECONDS + 1)
        assert at.courier._idle == {}


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_a_reply_too_many_behind_354(data: bytes) -> None:
    """The content has no end, so it is not taken, and goes once at the next attempt."""
    async with house(Remote({("DATA", 1): "354 go\n250 what"})) as at:
        at.store = Store(data)
        (outcome,) = await at.send()
        assert isinstance(outcome, Transient)
        assert [type(outcome) for outcome in await at.send()] == [Delivered]
        assert len(at.remote.taken) == 1
        assert at.remote.connections == 2


async def test_a_reply_too_many_at_the_end_does_not_take_back_what_was_said() -> None:
    async with house(Remote({("RSET", 1): ""})) as at:
        at.remote.answers["MAIL", 2] = "250 ok\n250 ok"
        assert [type(outcome) for outcome in await at.send()] == [Delivered]
        assert [type(outcome) for outcome in await at.send()] == [Transient]
        assert "QUIT" not in at.remote.commands  # nothing more was written


async def test_who_was_refused_stays_refused_when_the_server_hangs_up() -> None:
    async with house(Remote({("RCPT", 2): "550 5.1.1 nobody", ("DATA", 1): ""})) as at:
        assert [type(outcome) for outcome in await at.send("b", "c")] == [Transient, Transient]
    async with house(Remote({("RCPT", 1): "550 5.1.1 nobody", ("RSET", 1): ""})) as at:
        assert [type(outcome) for outcome in await at.send("b")] == [Permanent]


@pytest.mark.parametrize("verb", ["EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_code_without_meaning(verb: str) -> None:
    async with house(Remote({(verb, 1): "299 what"})) as at:
        if verb == "EHLO":
            with pytest.raises(UnreachableError) as caught:
                await at.send()
            assert isinstance(caught.value.outcome, Transient)
        else:
            assert [type(outcome) for outcome in await at.send()] == [Transient]
        assert at.remote.taken == []
        assert "QUIT" not in at.remote.commands


async def test_names_do_not_lead_inside() -> None:
    """A domain's owner chooses its MX: not among the machines behind our firewall."""
    async with house(Remote()) as at:
        for domain in ("inside.test", "[10.0.0.1]", "[IPv6:fd00::1]", "[IPv6:::ffff:10.0.0.1]"):
            with pytest.raises(UnreachableError, match="none of its addresses may be used"):
                await at.make(Routes()).deliver(domain, at.parcel(domain=domain))
