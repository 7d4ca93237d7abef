"""The courier to mailboxes of this server, for messages that were held until now (RFC 4865)."""

import asyncio
from hashlib import sha256
from typing import Protocol

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.delivery.content.mail import Mail
from posthouse.delivery.content.memory_body import MemoryBody
from posthouse.delivery.content.queued import SMALL
from posthouse.delivery.outbound.couriers.message import OutboundMessage
from posthouse.mailstore.interface import StoreError
from posthouse.message.envelope import Client, Envelope
from posthouse.message.reply import Reply
from posthouse.queue.outcome import Delivered, Outcome, Permanent, Remote, Transient

_HELD_AT_MOST = 31 * 86_400_000  # milliseconds, RFC 4865 3
_HERE = Client("", 0, "localhost", "ESMTP")


class HeldMailFiler(Protocol):
    """Keeps messages that were held: the router."""

    async def file_held(self, mail: Mail) -> list[Reply]:
        """Keep every copy; one reply per recipient, given when all is durable. Raises StoreError."""


class LocalCourier:
    """Delivers as if the message had come in this moment. `hostname` is ours."""

    def __init__(self, filer: HeldMailFiler, hostname: str) -> None:
        self._filer = filer
        self._remote = Remote(hostname)

    async def deliver(self, destination: str, message: OutboundMessage) -> list[Outcome]:
        """See Courier. What goes wrong here is no reason to refuse a message that we have taken."""
        try:
            replies = await self._file(message)
        except (StoreError, DirectoryBusyError) as error:
            reply = Reply(451, "4.3.0", f"The message cannot be put into the mailbox at the moment: {error}")
            return [Transient(reply, self._remote, spoken=False)] * len(message.recipients)
        return [self._outcome(reply) for reply in replies]

    async def _file(self, message: OutboundMessage) -> list[Reply]:
        envelope = Envelope(_again(message.id), _HERE, message.sender, list(message.recipients))
        data = await message.content.whole()
        body = (
            MemoryBody(data) if len(data) <= SMALL else await asyncio.to_thread(MemoryBody, data)
        )  # it is hashed there
        return await self._filer.file_held(Mail(envelope, body, may_relay=True))

    def sweep(self, now: float) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Nothing is open here."""

    def _outcome(self, reply: Reply) -> Outcome:
        if reply.is_positive:
            return Delivered(reply, self._remote, relayed=True)
        if reply.code >= 500:
            return Permanent(reply, self._remote, spoken=False)
        return Transient(reply, self._remote, spoken=False)


def _again(id_: bytes) -> bytes:
    """The delivery's name: the same at every try, so that a crash in between does not file twice.

    The store forgets deliveries a month after the time in their names. This one may be a month old when it is released.
    """
    time = (int.from_bytes(id_[:6], "big") + _HELD_AT_MOST) % (1 << 48)
    return time.to_bytes(6, "big") + sha256(id_ + b"held").digest()[:10]
