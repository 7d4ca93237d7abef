"""What became of one recipient at one attempt: the one outcome type of every courier."""

from dataclasses import dataclass

from posthouse.message.reply import Reply


@dataclass(frozen=True, slots=True)
class Remote:
    """Whom we spoke to."""

    host: str  # the name we looked for, "mx1.example.org"; "" when it never came to a connection
    ip: str = ""
    tls: str = ""  # "TLSv1.3 TLS_AES_256_GCM_SHA384, DANE"; "" for plain text


NOBODY = Remote("")


@dataclass(frozen=True, slots=True)
class Delivered:
    """The next server has taken the responsibility (RFC 5321 4.2.5). `reply` is its own."""

    reply: Reply
    remote: Remote = NOBODY
    relayed: bool = False  # it does not speak DSN: a success that was asked for is ours to report (RFC 3461 5.2.2)


@dataclass(frozen=True, slots=True)
class Transient:
    """Not now (4yz, no connection, no answer from DNS): try again later."""

    reply: Reply
    remote: Remote = NOBODY
    spoken: bool = True  # the reply came from the remote, it is not ours


@dataclass(frozen=True, slots=True)
class Permanent:
    """Never (5yz, no such domain, null MX): the sender gets a report."""

    reply: Reply
    remote: Remote = NOBODY
    spoken: bool = True


Outcome = Delivered | Transient | Permanent
