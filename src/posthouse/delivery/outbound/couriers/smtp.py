"""The courier that speaks SMTP: hands messages over to the servers of their destinations.

A connection that has done its work waits a few seconds for the next message to the same destination.
"""

from collections.abc import Sequence
from dataclasses import replace

from structlog.typing import FilteringBoundLogger

from posthouse.delivery.content.queued import SMALL, ContentError
from posthouse.delivery.outbound.couriers.connecting import Connector, CourierSettings
from posthouse.delivery.outbound.couriers.message import OutboundMessage, PreparedTransaction, prepare_transaction
from posthouse.delivery.outbound.couriers.remote_server import RemoteServer, conversation_failed
from posthouse.delivery.outbound.hosts import Hosts
from posthouse.delivery.outbound.routes import Routes
from posthouse.delivery.outbound.tls.policy import TlsPolicy
from posthouse.mailstore.interface import StoreError
from posthouse.message.reply import Reply
from posthouse.net.connection import ConnectionGoneError
from posthouse.net.dialer import Dialer
from posthouse.protocol.smtp import client
from posthouse.protocol.smtp.client import MAX_BURST
from posthouse.queue.outcome import Delivered, Outcome, Permanent, Remote, Transient

IDLE_SECONDS = 5.0  # a connection waits for the next message
REUSE_SECONDS = 300.0  # then MX, policy and certificate are looked at again
REUSE_MESSAGES = 1000


class SmtpCourier:
    """One per process."""

    def __init__(
        self,
        settings: CourierSettings,
        routes: Routes,
        hosts: Hosts,
        tls_policy: TlsPolicy,
        dialer: Dialer,
        log: FilteringBoundLogger,
    ) -> None:
        self._connector = Connector(settings, routes, hosts, tls_policy, dialer, log)
        self._log = log
        self._idle: dict[str, list[RemoteServer]] = {}
        self._closed = False

    async def deliver(self, destination: str, message: OutboundMessage) -> list[Outcome]:
        """Hand a message over; one outcome per recipient. Raises UnreachableError when no server could be reached."""
        server = self._take_idle(destination)
        if server is not None:
            outcomes = await self._use(destination, server, message)
            if outcomes is not None:
                return outcomes
        server = await self._connector.connect(destination, message)
        outcomes = await self._use(destination, server, message)
        if outcomes is None:
            return [_closed_by(server)] * len(message.recipients)
        return outcomes

    async def _use(self, destination: str, server: RemoteServer, message: OutboundMessage) -> list[Outcome] | None:
        """See _hand_over. Whatever comes of it, the connection waits for the next message then, or is closed."""
        try:
            outcomes = await self._hand_over(server, message)
        except BaseException:
            server.abort()
            raise
        self._put_back(destination, server)
        return outcomes

    def sweep(self, now: float) -> None:
        """Close what has waited too long. `now` is the loop's time."""
        for destination in list(self._idle):
            keep = []
            for server in self._idle[destination]:
                if now - server.idle_since < IDLE_SECONDS and server.is_usable:
                    keep.append(server)
                else:
                    server.close()
            if keep:
                self._idle[destination] = keep
            else:
                del self._idle[destination]

    def close(self) -> None:
        """Say goodbye to all that wait, and to those that come back later."""
        self._closed = True
        for servers in self._idle.values():
            for server in servers:
                server.close()
        self._idle.clear()

    def _take_idle(self, destination: str) -> RemoteServer | None:
        servers = self._idle.get(destination)
        while servers:
            server = servers.pop()
            if server.is_usable:
                return server
            server.close()
        return None

    def _put_back(self, destination: str, server: RemoteServer) -> None:
        now = server.connection.now()
        fresh = now - server.opened < REUSE_SECONDS and server.messages < REUSE_MESSAGES
        if fresh and not server.single_use and not self._closed and server.is_usable:
            server.idle_since = now
            self._idle.setdefault(destination, []).append(server)
        else:
            server.close()

    async def _hand_over(self, server: RemoteServer, message: OutboundMessage) -> list[Outcome] | None:
        """One outcome per recipient; None: the connection had ended before anything was asked."""
        outcomes: list[Outcome] = []
        for start in range(0, len(message.recipients), MAX_BURST):
            part = message
            if len(message.recipients) > MAX_BURST:
                part = replace(message, recipients=message.recipients[start : start + MAX_BURST])
            part_outcomes = await self._hand_over_part(server, part)
            if part_outcomes is None:
                if not outcomes:
                    return None
                part_outcomes = [_closed_by(server)] * len(part.recipients)
            outcomes += part_outcomes
        return outcomes

    async def _hand_over_part(self, server: RemoteServer, part: OutboundMessage) -> list[Outcome] | None:
        """The same for no more recipients than one transaction may have."""
        try:
            prepared = await prepare_transaction(part, server.engine.extensions, server.remote)
            outcomes = await self._transact(server, part, prepared)
            if outcomes is not None and prepared.transaction is not None and _knows_no_chunks(prepared, outcomes):
                server.engine.extensions.pop("CHUNKING")  # announced, and not meant
                prepared = replace(prepared, transaction=replace(prepared.transaction, chunked=False))
                outcomes = await self._transact(server, part, prepared)
            return outcomes
        except ContentError as error:
            reply = Reply(554, error.status, str(error))
            return [Permanent(reply, server.remote, spoken=False)] * len(part.recipients)
        except StoreError as error:
            self._log.error("a queued message cannot be read", error=error)
            reply = Reply(451, "4.3.0", "The message cannot be read from our store at the moment")
            return [Transient(reply, server.remote, spoken=False)] * len(part.recipients)

    async def _transact(
        self, server: RemoteServer, message: OutboundMessage, prepared: PreparedTransaction
    ) -> list[Outcome] | None:
        outcomes = dict(prepared.outcomes)
        if prepared.transaction is not None:
            server.messages += 1
            if server.engine.state is not client.SmtpClientState.READY:
                return None
            server.engine.transact(prepared.transaction)
            event = await server.event()
            if server.messages > 1 and not server.engine.heard and _broke_off(event):
                return None  # it had hung up while the connection waited
            if isinstance(event, client.ContentWanted):
                await self._send_content(server, message, prepared)
                event = await server.event()
            outcomes |= self._outcomes_of(server, prepared, event)
        return [outcomes[n] for n in range(len(message.recipients))]

    async def _send_content(
        self, server: RemoteServer, message: OutboundMessage, prepared: PreparedTransaction
    ) -> None:
        engine = server.engine
        try:
            if prepared.converted is not None:
                last = prepared.converted
            elif message.content.octets <= SMALL:
                last = await message.content.whole()
            else:
                last = b""
                async for piece in message.content.pieces():
                    if not server.takes_content or engine.content_refused:
                        break
                    engine.send_content(piece)
                    await server.flush()
            # The last look before what can never be taken back: a server that is out of step gets no end.
            if server.takes_content:
                engine.end_content(last)
        except ConnectionGoneError:
            engine.receive_eof()
        except BaseException:
            server.abort()  # half a message must not be taken for a whole one
            raise

    def _outcomes_of(
        self, server: RemoteServer, prepared: PreparedTransaction, event: client.Event
    ) -> dict[int, Outcome]:
        remote = server.remote
        replies: Sequence[Reply | None] = ()
        if isinstance(event, client.Finished):
            replies = event.replies
        elif isinstance(event, client.Broken):
            replies = event.refusals
        outcomes: dict[int, Outcome] = dict.fromkeys(prepared.positions, conversation_failed(server, event))
        dsn = "DSN" in server.engine.extensions
        several = len(prepared.positions) > 1
        for n, reply in zip(prepared.positions, replies, strict=bool(replies)):
            if reply is not None:
                outcomes[n] = _outcome(reply, remote, dsn=dsn, several=several)
        return outcomes


def _broke_off(event: client.Event) -> bool:
    return isinstance(event, client.Broken) and event.reply is None


def _closed_by(server: RemoteServer) -> Transient:
    reply = Reply(451, "4.4.2", f"{server.host} closed the connection")
    return Transient(reply, server.remote, spoken=False)


def _knows_no_chunks(prepared: PreparedTransaction, outcomes: Sequence[Outcome]) -> bool:
    """Whether all was refused since the server does not know BDAT (RFC 5321 4.2.4: 500 and 502 say so; some: 503)."""
    replies = [outcomes[n].reply.code for n in prepared.positions]
    chunked = prepared.transaction is not None and prepared.transaction.chunked
    return chunked and all(code in (500, 502, 503) for code in replies)


def _outcome(reply: Reply, remote: Remote, *, dsn: bool, several: bool) -> Outcome:
    if reply.code == 250:
        return Delivered(reply, remote, relayed=not dsn)
    # RFC 5321 4.5.3.1.10: an old way to say "too many recipients at once".
    too_many = reply.code == 552 and several and reply.enhanced in ("", "5.5.3")
    if reply.code >= 500 and not too_many:
        return Permanent(reply, remote)
    return Transient(reply, remote)
