"""What a courier is given, fitted to what the other server can take."""

from collections.abc import Mapping
from dataclasses import dataclass

from posthouse.delivery.content.queued import ContentError, QueuedContent
from posthouse.message.address import Address, AddressError
from posthouse.message.envelope import BodyType, Recipient, ReversePath
from posthouse.message.reply import Reply
from posthouse.protocol.smtp.client import OutgoingTransaction
from posthouse.queue.outcome import Outcome, Permanent, Remote


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """One message for one destination. `waited`: seconds since it was queued."""

    id: bytes  # of the envelope it came in
    sender: ReversePath
    recipients: tuple[Recipient, ...]
    content: QueuedContent
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class PreparedTransaction:
    """A transaction for those recipients that the server can take; the others have their outcome already."""

    transaction: OutgoingTransaction | None  # None: for nobody
    positions: tuple[int, ...]  # of its recipients in the parcel
    outcomes: dict[int, Outcome]
    converted: bytes | None  # the content, if it must be sent in another form


async def prepare_transaction(
    message: OutboundMessage, extensions: Mapping[str, str], remote: Remote
) -> PreparedTransaction:
    """Choose parameters, and the form of content and addresses. Raises ContentError, StoreError."""
    content = message.content
    _check_size(content.octets, extensions, remote)
    utf8 = await _needs_utf8(message)
    if utf8 and "SMTPUTF8" not in extensions:
        if not (await content.head()).isascii():
            raise ContentError("5.6.7", f"{remote.host} cannot take a message with international headers")
        utf8 = False
    sender = _written(message.sender.address, utf8)
    if sender is None:
        raise ContentError("5.6.7", f"{remote.host} cannot take mail from the address <{message.sender.address}>")
    positions: list[int] = []
    outcomes: dict[int, Outcome] = {}
    for n, recipient in enumerate(message.recipients):
        if _written(recipient.address, utf8) is None:
            text = f"{remote.host} cannot take the address <{recipient.address}>"
            outcomes[n] = Permanent(Reply(553, "5.6.7", text), remote, spoken=False)  # RFC 6531 3.2
        else:
            positions.append(n)
    converted = None
    eight_bit = content.eight_bit
    if (eight_bit and "8BITMIME" not in extensions) or not await content.is_presentable():
        converted = await content.as_seven_bit()
        eight_bit = False
    if not positions:
        return PreparedTransaction(None, (), outcomes, None)
    takers = [message.recipients[n] for n in positions]
    transaction = OutgoingTransaction(
        sender,
        [_written(recipient.address, utf8) or "" for recipient in takers],
        _sender_parameters(message, extensions, utf8=utf8, eight_bit=eight_bit, converted=converted),
        [_recipient_parameters(recipient) for recipient in takers] if "DSN" in extensions else (),
        has_leading_dots=content.has_leading_dots or converted is not None,
        no_final_crlf=content.no_final_crlf if converted is None else not converted.endswith(b"\r\n"),
        chunked="CHUNKING" in extensions,
    )
    return PreparedTransaction(transaction, tuple(positions), outcomes, converted)


def _check_size(octets: int, extensions: Mapping[str, str], remote: Remote) -> None:
    """RFC 1870 6.1: what is too large for the server need not be sent."""
    limit = extensions.get("SIZE", "")
    if limit.isdecimal() and len(limit) < 20 and 0 < int(limit) < octets:
        text = f"The message has {octets:,} octets; {remote.host} takes at most {int(limit):,}"
        raise ContentError("5.3.4", text)


async def _needs_utf8(message: OutboundMessage) -> bool:
    if not message.sender.smtputf8:
        return False
    addresses = [recipient.address for recipient in message.recipients]
    if message.sender.address is not None:
        addresses.append(message.sender.address)
    return any(address.is_international for address in addresses) or not (await message.content.head()).isascii()


def _written(address: Address | None, utf8: bool) -> str | None:
    """An address as it goes on the wire; None: it cannot."""
    if address is None:
        return ""
    try:
        return str(address) if utf8 else address.to_ascii()
    except AddressError:
        return None


def _sender_parameters(
    message: OutboundMessage, extensions: Mapping[str, str], *, utf8: bool, eight_bit: bool, converted: bytes | None
) -> str:
    octets = message.content.octets if converted is None else len(converted)
    given = f" SIZE={octets}" if "SIZE" in extensions else ""
    if eight_bit:
        given += f" BODY={BodyType.EIGHT_BIT}"
    if utf8:
        given += " SMTPUTF8"
    if "DSN" in extensions:  # RFC 3461 4.3, 4.4
        given += f" RET={message.sender.ret}" if message.sender.ret else ""
        given += f" ENVID={message.sender.envid}" if message.sender.envid else ""
    return given


def _recipient_parameters(recipient: Recipient) -> str:
    """RFC 3461 4.1, 4.2; an original recipient in UTF-8 goes as it came only where the rest is ASCII, else not."""
    given = f" NOTIFY={','.join(recipient.notify)}" if recipient.notify else ""
    return given + (f" ORCPT={recipient.orcpt}" if recipient.orcpt and recipient.orcpt.isascii() else "")
