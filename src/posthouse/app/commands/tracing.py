"""The life of a message, as commands show it, for people and for programs."""

import time
from collections.abc import Iterator, Sequence

from posthouse.message.envelope import BodyType
from posthouse.message.ids import format_id
from posthouse.message.printable import printable
from posthouse.message.sizes import format_size
from posthouse.queue.history import Delivery
from posthouse.queue.interface import QueuedMessage, RecipientState, Traced, Try


def ago(seconds: float) -> str:
    """A length of time in a few characters."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(0, seconds):.0f}s"


def at(seconds: int) -> str:
    """A moment, in UTC as in the log, so that its lines can be found."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def many(count: int, what: str) -> str:
    """A number of things, "1 message" or "2 messages"."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def format_reply(tried: Try) -> str:
    """What the other side answered, on one line."""
    return " ".join(f"{tried.code} {tried.reply}".split())


def state_of(each: Traced, now: float) -> str:
    """Where a recipient stands, in a few words."""
    if each.state is not RecipientState.WAITING:
        return each.state.name.lower()
    if each.held:
        return "held"
    if each.claimed:
        return "being sent"
    return f"next in {ago(each.due - now)}" if each.due > now else "due"


def life(found: Sequence[Traced]) -> Iterator[str]:
    """The lines that tell what became of each recipient of each message. Nothing in them steers a terminal."""
    now = time.time()
    last = 0
    for each in found:
        message = each.message
        if message.number != last:
            last = message.number
            yield printable(f"{at(message.created)}  {format_id(message.id)}  from <{message.sender.address or ''}>")
            yield printable(f"    {', '.join(_described(message))}")
        yield printable(f"    to {', '.join(_addressed(each))}")
        for tried in each.tries:
            yield printable(f"        {at(tried.at)}  {_format_try(tried)}")
        yield f"        now: {_standing(each, now)}"


def _described(message: QueuedMessage) -> Iterator[str]:
    """Size, name and the parameters that it came with, as SMTP writes them."""
    yield format_size(message.octets)
    yield f"Message-ID {message.message_id or 'none'}"
    if message.sender.body is not BodyType.SEVEN_BIT:
        yield f"BODY={message.sender.body.value}"
    if message.sender.smtputf8:
        yield "SMTPUTF8"
    if message.sender.ret:
        yield f"RET={message.sender.ret}"
    if message.sender.envid:
        yield f"ENVID={message.sender.envid}"


def _addressed(each: Traced) -> Iterator[str]:
    yield f"<{each.recipient.address}> by way of {each.destination}"
    if each.recipient.notify:
        yield f"NOTIFY={','.join(each.recipient.notify)}"
    if each.recipient.orcpt:
        yield f"ORCPT={each.recipient.orcpt}"


def _format_try(tried: Try) -> str:
    where = f"{tried.host} [{tried.ip}]" if tried.ip and tried.ip != tried.host else tried.host
    by = f" ({tried.tls})" if tried.tls else " (no TLS)" if where else ""
    return f"{where}{by}: {format_reply(tried)}" if where else format_reply(tried)


def _standing(each: Traced, now: float) -> str:
    """Where a recipient stands, whole."""
    if each.state is RecipientState.WAITING:
        return f"waits, {state_of(each, now)}; is given up after {at(each.message.expires)}"
    has_sender = each.message.sender.address is not None and "NEVER" not in each.recipient.notify
    text = "the sender was told" if has_sender else "there was nobody to tell"
    words = {
        RecipientState.DELIVERED: "delivered",
        RecipientState.FAILED: f"failed; {text}",
        RecipientState.EXPIRED: f"given up; {text}",
        RecipientState.DROPPED: "dropped by an operator; the sender was not told",
    }
    return words[each.state] + (f", {at(each.finished)}" if each.finished else "")


def past_lines(gone: Sequence[Delivery], seen_since: int | None) -> Iterator[str]:
    """Lines about what was delivered here. `seen_since`: what is younger was looked for in its INBOX, in vain."""
    for each in gone:
        if not each.kept:
            what = f"refused: the mailbox of <{each.account}> was full"
        elif seen_since is not None and each.at >= seen_since:
            what = f"delivered to <{each.account}>; not in its INBOX any more: collected, moved or deleted"
        else:
            what = f"delivered to <{each.account}>"
        yield printable(f"{at(each.at)}  {format_id(each.id)}  {what}")
        by = f", handed over by {each.client}" if each.client else ""
        to = "" if each.recipient == each.account else f", for <{each.recipient}>"
        yield printable(f"    from <{each.sender or ''}>{to}{by}")
        yield printable(f"    {format_size(each.octets)}, Message-ID {each.message_id or 'none'}")


def as_json_delivery(each: Delivery) -> dict[str, object]:
    """One delivery of the history, for programs."""
    return {
        "id": format_id(each.id),
        "at": each.at,
        "sender": str(each.sender or ""),
        "recipient": str(each.recipient),
        "account": str(each.account),
        "message_id": each.message_id,
        "octets": each.octets,
        "client": each.client,
        "kept": each.kept,
    }


def as_json_row(each: Traced) -> dict[str, object]:
    """One recipient, for programs."""
    message = each.message
    return {
        "id": format_id(message.id),
        "sender": str(message.sender.address or ""),
        "recipient": str(each.recipient.address),
        "message_id": message.message_id,
        "octets": message.octets,
        "body": message.sender.body.value,
        "smtputf8": message.sender.smtputf8,
        "ret": message.sender.ret,
        "envid": message.sender.envid,
        "notify": list(each.recipient.notify),
        "orcpt": each.recipient.orcpt,
        "created": message.created,
        "expires": message.expires,
        "destination": each.destination,
        "state": each.state.name.lower(),
        "held": each.held,
        "being_sent": each.claimed,
        "due": each.due,
        "attempts": each.attempts,
        "finished": each.finished,
        "tries": [
            {"at": t.at, "code": t.code, "reply": t.reply, "host": t.host, "ip": t.ip, "tls": t.tls} for t in each.tries
        ],
    }
