"""The envelope: who sends to whom, apart from what the message itself says (RFC 5321 2.3.1)."""

from dataclasses import dataclass, field
from enum import StrEnum

from posthouse.message.address import Address


class BodyType(StrEnum):
    """The BODY parameter of MAIL FROM (RFC 6152, RFC 3030)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"
    BINARY = "BINARYMIME"


@dataclass(frozen=True, slots=True)
class ReversePath:
    """MAIL FROM as the peer gave it. `address` None is the null reverse-path (RFC 5321 4.5.5)."""

    address: Address | None
    size: int = 0  # octets declared by SIZE=, 0 when not declared (RFC 1870)
    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False  # RFC 6531
    ret: str = ""  # DSN RET: "FULL", "HDRS" or "" (RFC 3461 4.3)
    envid: str = ""  # DSN ENVID, xtext still encoded (RFC 3461 4.4)
    auth: str = ""  # AUTH=, xtext still encoded (RFC 4954 5)
    hold_for: int = 0  # seconds (RFC 4865 4)
    hold_until: int = 0  # seconds since 1970 (RFC 4865 5)


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT TO."""

    address: Address
    notify: tuple[str, ...] = ()  # DSN NOTIFY: NEVER | SUCCESS FAILURE DELAY (RFC 3461 4.1)
    orcpt: str = ""  # DSN ORCPT, "addr-type;xtext" (RFC 3461 4.2)


@dataclass(frozen=True, slots=True)
class Client:
    """The peer that handed the message over, as trace headers and logs tell it."""

    ip: str  # "" for a Unix socket
    port: int
    hello: str  # its EHLO, HELO or LHLO argument
    protocol: str  # "SMTP", "ESMTP", "ESMTPS", "ESMTPSA", "LMTP" ... (RFC 3848, RFC 6531 4.3)
    tls: str = ""  # "TLSv1.3 TLS_AES_256_GCM_SHA384" or "" for plain text
    login: str = ""  # the account's address where the peer has logged in


@dataclass(slots=True)
class Envelope:
    """A message on its way through the server. `id` is 16 bytes, ascending in time, and stands in every log line."""

    id: bytes
    client: Client
    sender: ReversePath
    recipients: list[Recipient] = field(default_factory=list)
