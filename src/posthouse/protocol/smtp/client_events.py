"""The events of the SMTP client engine, and the transaction that it is given to send."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from posthouse.message.envelope import BodyType
from posthouse.message.reply import Reply


@dataclass(frozen=True, slots=True)
class Ready:
    """The peer is ready for transactions. `extensions`: keyword -> arguments, both upper case."""

    extensions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Refused:
    """The peer serves nobody, or not us: by its greeting or the reply to EHLO."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class TlsGranted:
    """Shake hands now, then call tls_started()."""


@dataclass(frozen=True, slots=True)
class TlsRefused:
    """The peer offers STARTTLS but does not begin it now."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class ClientLoginRefused:
    """The peer does not take our login."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class ContentWanted:
    """At least one recipient was taken: send the content."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The transaction is over: one reply for each recipient, in order. 250, or a refusal (4yz, 5yz)."""

    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class Broken:
    """The connection is of no more use. `reply` is what the peer said last, if that is why (421).

    `refusals` are the final answers of those recipients that had one by then, None for all others; empty when nothing
    that was answered in the transaction can be relied on.
    """

    reason: str
    reply: Reply | None = None
    refusals: tuple[Reply | None, ...] = ()


Event = Ready | Refused | TlsGranted | TlsRefused | ClientLoginRefused | ContentWanted | Finished | Broken


@dataclass(frozen=True, slots=True)
class OutgoingTransaction:
    """One message for one peer. `sender` and `recipients` are what stands between the angle brackets.

    Parameters are given ready for the wire and only when the peer has announced what they belong to.
    """

    sender: str
    recipients: Sequence[str]
    sender_parameters: str = ""
    recipient_parameters: Sequence[str] = ()  # none, or one for each recipient
    has_leading_dots: bool = True  # some line of the content starts with "."
    no_final_crlf: bool = False  # the content does not end with CRLF
    chunked: bool = False  # BDAT instead of DATA (RFC 3030)
    body: BodyType = BodyType.SEVEN_BIT
