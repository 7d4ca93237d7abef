"""How the life of a message is told: by commands, for people and for programs."""

import time
from collections.abc import Iterator, Sequence

from posthouse.message.ids import shown
from posthouse.queue.interface import State, Traced, Try

_WORDS = {
    State.WAITING: "waits",
    State.DELIVERED: "delivered",
    State.FAILED: "failed; the sender was told",
    State.EXPIRED: "given up; the sender was told",
    State.DROPPED: "dropped by an operator",
}


def ago(seconds: float) -> str:
    """A length of time in a few characters."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(0, seconds):.0f}s"


def size(octets: int) -> str:
    """A size in a few characters."""
    for unit, length in (("MB", 1 << 20), ("KB", 1 << 10)):
        if octets >= length:
            return f"{octets / length:.1f} {unit}"
    return f"{octets} B"


def at(seconds: int) -> str:
    """A moment, in this machine's time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def state_of(each: Traced, now: float) -> str:
    """Where a recipient stands, in a few words."""
    if each.state is not State.WAITING:
        return each.state.name.lower()
    if each.held:
        return "held"
    if each.claimed:
        return "being sent"
    return f"next in {ago(each.due - now)}" if each.due > now else "due"


def life(found: Sequence[Traced]) -> Iterator[str]:
    """The lines that tell what became of each recipient of each message."""
    now = time.time()
    last = 0
    for each in found:
        message = each.message
        if message.number != last:
            last = message.number
            yield f"{at(message.created)}  {shown(message.id)}  from <{message.sender.address or ''}>"
            yield f"    {size(message.octets)}, Message-ID {message.message_id or 'none'}"
        yield f"    to <{each.recipient.address}> by way of {each.destination}"
        for tried in each.tries:
            yield f"        {at(tried.at)}  {_told(tried)}"
        end = f", {at(each.finished)}" if each.finished else ""
        word = _WORDS[each.state] if each.state is not State.WAITING else state_of(each, now)
        yield f"        now: {word}{end}"


def _told(tried: Try) -> str:
    where = f"{tried.host} [{tried.ip}]" if tried.ip and tried.ip != tried.host else tried.host
    by = f" ({tried.tls})" if tried.tls else " (no TLS)" if where else ""
    return f"{where}{by}: {tried.code} {tried.reply}" if where else f"{tried.code} {tried.reply}"


def as_json_row(each: Traced) -> dict[str, object]:
    """One recipient, for programs."""
    message = each.message
    return {
        "id": shown(message.id),
        "sender": str(message.sender.address or ""),
        "recipient": str(each.recipient.address),
        "message_id": message.message_id,
        "octets": message.octets,
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
