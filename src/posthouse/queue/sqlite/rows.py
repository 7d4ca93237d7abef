"""Rows of the queue's tables to values, and back."""

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from posthouse.message.address import Address
from posthouse.message.envelope import BodyType, Recipient, ReversePath
from posthouse.queue.interface import QueuedMessage


class UnreadableRowError(Exception):
    """A row whose values are not what this program writes there."""


class ReversePathOptions(msgspec.Struct, omit_defaults=True):
    """The parameters of MAIL FROM, as the column `options` keeps them."""

    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


_read = msgspec.json.Decoder(ReversePathOptions)
_write = msgspec.json.Encoder()
_PLAIN = "{}"
_UNREADABLE = (ValueError, TypeError, AttributeError, msgspec.MsgspecError)  # of any type, and any text

# The columns of `queued` in the order of message_of.
MESSAGE = "number, id, body, octets, sender, options, account, message_id, created, expires, clock_offset"


def fetch_all(connection: apsw.Connection, statement: str, values: Sequence[Any]) -> list[Any]:
    """All rows of a statement at once: nothing is left open while the caller writes."""
    return connection.execute(statement, values).fetchall()


def options_of(sender: ReversePath) -> str:
    """The column `options` of a sender."""
    if sender.body is BodyType.SEVEN_BIT and not (sender.smtputf8 or sender.ret or sender.envid):
        return _PLAIN
    return _write.encode(ReversePathOptions(sender.body, sender.smtputf8, sender.ret, sender.envid)).decode()


def sender_of(text: str, options: str) -> ReversePath:
    """The sender of a row."""
    address = Address.parse_path(text) if text else None
    if options == _PLAIN:
        return ReversePath(address)
    read = _read.decode(options)
    return ReversePath(address, body=read.body, smtputf8=read.smtputf8, ret=read.ret, envid=read.envid)


_MessageRow = tuple[int, bytes, int, int, str, str, int | None, str, int, int, int]


def message_of(row: _MessageRow) -> QueuedMessage:
    """The message of a row with the columns MESSAGE. Raises UnreadableRowError."""
    number, id_, body, octets, sender, options, account, message_id, created, expires, offset = row
    try:
        path = sender_of(sender, options)
    except _UNREADABLE as error:
        raise UnreadableRowError(f"sender {sender!r} with {options!r}: {error}") from error
    return QueuedMessage(number, id_, body, octets, path, account, message_id, created, expires, offset)


def message_as_kept(row: _MessageRow) -> QueuedMessage:
    """The same for people: where the sender cannot be read, it is the text that stands there."""
    try:
        return message_of(row)
    except UnreadableRowError:
        number, id_, body, octets, sender, _, account, message_id, created, expires, offset = row
        path = ReversePath(Address(str(sender), ""))
        return QueuedMessage(number, id_, body, octets, path, account, message_id, created, expires, offset)


def recipient_of(address: str, notify: str, orcpt: str) -> Recipient:
    """The recipient of a row. Raises UnreadableRowError."""
    try:
        return Recipient(Address.parse_path(address), tuple(notify.split(",")) if notify else (), orcpt)
    except _UNREADABLE as error:
        raise UnreadableRowError(f"recipient {address!r}: {error}") from error


def recipient_as_kept(address: str, notify: str, orcpt: str) -> Recipient:
    """The same for people: where the address cannot be read, it is the text that stands there."""
    try:
        return recipient_of(address, notify, orcpt)
    except UnreadableRowError:
        return Recipient(Address(str(address), ""), (), str(orcpt))
