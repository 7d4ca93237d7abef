"""The events of the IMAP engine, beside the shared ones; see protocol.events for offers and news."""

from dataclasses import dataclass

from posthouse.protocol.imap.commands import Command


@dataclass(frozen=True, slots=True)
class CommandOffered:
    """Offer: carry it out. Answers: send() as often as wanted, then finish(); for Idle begin_idle()."""

    name: str  # as it is to be named in the last answer: "UID FETCH"
    command: Command


@dataclass(frozen=True, slots=True)
class MessageOffered:
    """Offer: a message of APPEND or REPLACE is about to come. Answers: accept_message(), refuse_message(...)."""

    mailbox: str
    flags: tuple[bytes, ...]
    date: int | None  # seconds since 1970
    octets: int
    replacing: bool = False  # another one goes in its stead
    binary: bool = False  # it comes as literal8 (RFC 3516 4.4)


@dataclass(frozen=True, slots=True)
class MessagesDropped:
    """News: the messages that were accepted go nowhere: the engine has refused their command."""


@dataclass(frozen=True, slots=True)
class ResultDropped:
    """News: $ is empty now: a SEARCH that was to save its result was refused, and the engine has answered it."""


@dataclass(frozen=True, slots=True)
class IdleEnded:
    """Offer: the client wants to go on; `wrong`: it sent something else than DONE. Answers: finish()."""

    wrong: bool = False


@dataclass(frozen=True, slots=True)
class CompressOffered:
    """Offer: OK is in data_to_send; what follows is compressed (RFC 4978). `rest`: octets that came already.

    Answers: compress_started().
    """

    rest: bytes
