"""A message made from a text, and handed to a server: what `mail send` does."""

import contextlib
import ipaddress
import mimetypes
import re
import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from enum import Enum
from pathlib import Path

from posthouse.app.errors import CommandError, Exit
from posthouse.message.address import Address, AddressError
from posthouse.message.header import header_end, message_id

_SECONDS = 30.0
_HELLO = "[127.0.0.1]"  # RFC 5321 4.1.3: an address literal, for a client without a name
_ID = re.compile(r"[0-9a-z]{26}")


class ConnectionSecurity(Enum):
    """How the connection is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class SubmissionServer:
    """Whom to hand a message to."""

    host: str
    port: int
    security: ConnectionSecurity
    checked: bool  # its certificate must be valid

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SubmissionLogin:
    """Who sends it, to a server that asks."""

    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Letter:
    """What is to be sent: the envelope, and the message with CRLF at the end of its lines."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes

    @property
    def message_id(self) -> str:
        """Of its header, without the angle brackets."""
        return message_id(self.data[: header_end(self.data)])

    @property
    def is_international(self) -> bool:
        """Only SMTPUTF8 can carry its addresses (RFC 6531 3.3)."""
        return not "".join((self.sender, *self.recipients)).isascii()


@dataclass(frozen=True, slots=True)
class ServerReply:
    """What the server said of the message."""

    code: int
    text: str

    @property
    def id(self) -> str:
        """Under which a Posthouse keeps the message; "" for other servers."""
        last = self.text.rpartition(" ")[2]
        return last if _ID.fullmatch(last) else ""


def is_loopback(host: str) -> bool:
    """Whether this very machine is meant."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"


def checked_address(text: str) -> str:
    """An address as SMTP writes it. Raises CommandError."""
    try:
        return str(Address.parse(text.removeprefix("<").removesuffix(">")))
    except AddressError as error:
        raise CommandError(f"{text}: {error}", code=Exit.USAGE) from None


def crlf(data: bytes) -> bytes:
    """Text of this machine with the line ends of mail; those that are right already stay (RFC 5321 2.3.8)."""
    return re.sub(rb"\r\n|\r|\n", b"\r\n", data)


def composed(sender: str, recipients: Sequence[str], subject: str, text: str, attached: Sequence[Path]) -> bytes:
    """A message of a text and files. Raises CommandError, OSError."""
    international = not "".join((sender, *recipients)).isascii()
    # Without SMTPUTF8 the message is plain ASCII, which every server takes.
    rules = policy.SMTPUTF8 if international else policy.SMTP.clone(cte_type="7bit")
    message = EmailMessage(policy=rules)
    try:
        message["From"] = sender
        message["To"] = ", ".join(recipients)
        message["Subject"] = subject or "A message from the command line"
        message["Date"] = formatdate(localtime=True)
        message["Message-ID"] = make_msgid(domain=Address.parse(sender).domain_key)
        message.set_content(text or "\n")
    except (ValueError, UnicodeError) as error:
        raise CommandError(f"no message can be made of that: {error}", code=Exit.USAGE) from None
    for path in attached:
        kind, packed = mimetypes.guess_type(path.name)
        major, _, minor = (kind if kind and not packed else "application/octet-stream").partition("/")
        # By octets and not by lines: a file must come out as it went in.
        message.add_attachment(path.read_bytes(), maintype=major, subtype=minor, filename=path.name, cte="base64")
    return message.as_bytes()


def submit(server: SubmissionServer, login: SubmissionLogin | None, letter: Letter) -> ServerReply:
    """Hand a message over; the first refusal ends it. Raises CommandError when it does not come to an answer."""
    with _explain_errors(server), _connected(server) as smtp:
        if login is not None:
            smtp.login(login.user, login.password)
        smtp.ehlo_or_helo_if_needed()
        code, reply = smtp.mail(letter.sender, _parameters(smtp, letter))
        for recipient in letter.recipients:
            if code == 250:
                code, reply = smtp.rcpt(recipient)
        if code == 250:
            code, reply = smtp.data(letter.data)
        return ServerReply(code, _text(reply))


@contextmanager
def _connected(server: SubmissionServer) -> Iterator[smtplib.SMTP]:
    context = ssl.create_default_context()
    if not server.checked:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    at = (server.host, server.port, _HELLO)
    if server.security is ConnectionSecurity.TLS:
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(*at, timeout=_SECONDS, context=context)
    else:
        smtp = smtplib.SMTP(*at, timeout=_SECONDS)
    try:
        if server.security is ConnectionSecurity.STARTTLS:
            smtp.starttls(context=context)
        yield smtp
        with contextlib.suppress(OSError, smtplib.SMTPException):  # the answer counts, not how they part
            smtp.quit()
    finally:
        smtp.close()


def _parameters(smtp: smtplib.SMTP, letter: Letter) -> list[str]:
    """Of MAIL FROM, as far as the server knows them."""
    found = [f"SIZE={len(letter.data)}"] if smtp.has_extn("size") else []
    if letter.is_international:
        if not smtp.has_extn("smtputf8"):
            raise CommandError("the server takes no addresses beyond ASCII (SMTPUTF8)")
        found.append("SMTPUTF8")
    if not letter.data.isascii() and smtp.has_extn("8bitmime"):
        found.append("BODY=8BITMIME")
    return found


@contextmanager
def _explain_errors(server: SubmissionServer) -> Iterator[None]:
    """Tell in a sentence why there was no answer."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        code = Exit.TRY_LATER if error.smtp_code < 500 else Exit.NO_PERMISSION
        raise CommandError(f"the login was refused: {error.smtp_code} {_text(error.smtp_error)}", code=code) from None
    except smtplib.SMTPNotSupportedError as error:
        fix = "" if server.security is not ConnectionSecurity.NONE else "Passwords need TLS: add --starttls or --tls."
        raise CommandError(f"{server}: {error}", fix=fix) from None
    except smtplib.SMTPResponseException as error:
        if error.smtp_code < 200:
            raise CommandError(f"{server} speaks no SMTP", code=Exit.UNAVAILABLE) from None
        raise refused(ServerReply(error.smtp_code, _text(error.smtp_error))) from None
    except ssl.SSLCertVerificationError as error:
        fix = "If you know the server all the same: --insecure"
        text = f"{server} has no valid certificate: {error.verify_message}"
        raise CommandError(text, fix=fix, code=Exit.UNAVAILABLE) from None
    except ssl.SSLError as error:
        fix = "Port 465 wants --tls, port 587 wants --starttls."
        raise CommandError(f"{server}: no TLS: {error.reason}", fix=fix, code=Exit.UNAVAILABLE) from None
    except smtplib.SMTPException as error:
        raise CommandError(f"{server}: {error}", code=Exit.UNAVAILABLE) from None
    except OSError as error:
        fix = "Is the server running? posthouse serve" if is_loopback(server.host) else ""
        raise CommandError(f"{server} cannot be reached: {error}", fix=fix, code=Exit.UNAVAILABLE) from None


def refused(answer: ServerReply) -> CommandError:
    """The error for an answer that is no 250."""
    if answer.code == 530:  # RFC 4954 6, RFC 3207 4: not without a login, or TLS
        fix = "Log in: --user ADDRESS, with --starttls or --tls."
        return CommandError(f"refused: {answer.code} {answer.text}", fix=fix, code=Exit.NO_PERMISSION)
    code = Exit.TRY_LATER if 400 <= answer.code < 500 else Exit.FAILED
    return CommandError(f"refused: {answer.code} {answer.text}", code=code)


def _text(reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(text.split())
