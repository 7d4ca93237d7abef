"""Rows of the queue's tables to values, and back."""

import msgspec

from posthouse.message.address import Address
from posthouse.message.envelope import BodyType, Recipient, Sender
from posthouse.queue.interface import Message


class Options(msgspec.Struct, omit_defaults=True):
    """The parameters of MAIL FROM, as the column `options` keeps them."""

    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


_read = msgspec.json.Decoder(Options)
_write = msgspec.json.Encoder()
_PLAIN = "{}"

# The columns of `queued` in the order of message_of.
MESSAGE = "number, id, body, octets, sender, options, account, message_id, created, expires"


def options_of(sender: Sender) -> str:
    """The column `options` of a sender."""
    if sender.body is BodyType.SEVEN_BIT and not (sender.smtputf8 or sender.ret or sender.envid):
        return _PLAIN
    return _write.encode(Options(sender.body, sender.smtputf8, sender.ret, sender.envid)).decode()


def sender_of(text: str, options: str) -> Sender:
    """The sender of a row."""
    address = Address.parse_path(text) if text else None
    if options == _PLAIN:
        return Sender(address)
    read = _read.decode(options)
    return Sender(address, body=read.body, smtputf8=read.smtputf8, ret=read.ret, envid=read.envid)


def message_of(row: tuple[int, bytes, int, int, str, str, int | None, str, int, int]) -> Message:
    """The message of a row with the columns MESSAGE."""
    number, id_, body, octets, sender, options, account, message_id, created, expires = row
    return Message(number, id_, body, octets, sender_of(sender, options), account, message_id, created, expires)


def recipient_of(address: str, notify: str, orcpt: str) -> Recipient:
    """The recipient of a row."""
    return Recipient(Address.parse_path(address), tuple(notify.split(",")) if notify else (), orcpt)
