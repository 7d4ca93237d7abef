"""posthouse mail send | trace."""

import contextlib
import mimetypes
import smtplib
import ssl
import sys
import time
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from posthouse.accounts.errors import AccountsError
from posthouse.app import output
from posthouse.app.commands.where import NOWHERE, AsJson, Where
from posthouse.app.config import Config
from posthouse.app.errors import CommandError, Exit
from posthouse.app.opening import open_places, open_registry
from posthouse.app.tracing import as_json_row, at, life
from posthouse.mailstore.interface import StoreError
from posthouse.mailstore.sqlite.archive import Archive
from posthouse.message.header import fields, header_end
from posthouse.queue.interface import Filter, Traced
from posthouse.queue.sqlite.desk import Desk, DeskError

_DAYS = 7  # that are looked back
_MOST = 100  # messages that are told of
_HEAD = 64 << 10
_SECONDS = 30.0


def send_(
    *,
    sender: Annotated[str, Parameter(name="--from", help="The sender's address.")],
    to: Annotated[list[str], Parameter(help="A recipient; may be given more than once.")],
    subject: Annotated[str, Parameter(help="The subject.")] = "",
    attach: Annotated[tuple[Path, ...], Parameter(help="A file to go with it; may be given more than once.")] = (),
    raw: Annotated[bool, Parameter(help="Standard input is a whole message, not just its text.")] = False,
    server: Annotated[
        str | None, Parameter(help="HOST:PORT (otherwise this server's own port for submission).")
    ] = None,
    user: Annotated[str, Parameter(help="Log in with this name (otherwise: the sender's address).")] = "",
    password_stdin: Annotated[
        bool, Parameter(name="--password-stdin", help="The first line of standard input is the password.")
    ] = False,
    starttls: Annotated[bool, Parameter(help="Start TLS before the login; the certificate is not checked.")] = False,
    where: Where = NOWHERE,
) -> None:
    """Send a message whose text stands on standard input. Good for trying a server out."""
    password = sys.stdin.readline().rstrip("\n") if password_stdin else ""
    data = sys.stdin.buffer.read() if raw else _compose(sender, to, subject, attach, sys.stdin.read())
    host, port = _server(server, where)
    try:
        with smtplib.SMTP(host, port, timeout=_SECONDS) as smtp:
            if starttls:
                smtp.starttls(context=ssl._create_unverified_context())
            if password:
                smtp.login(user or sender, password)
            smtp.ehlo_or_helo_if_needed()
            options = [f"SIZE={len(data)}", *(["SMTPUTF8"] if not "".join([sender, *to]).isascii() else [])]
            code, said = _transact(smtp, sender, to, data, options)
    except smtplib.SMTPAuthenticationError as error:
        raise CommandError(f"the login was refused: {_said(error.smtp_error)}", code=Exit.NO_PERMISSION) from None
    except smtplib.SMTPException as error:
        raise CommandError(f"{host}:{port}: {error}") from None
    except OSError as error:
        fix = "Is the server running? posthouse serve"
        raise CommandError(f"{host}:{port} cannot be reached: {error}", fix=fix, code=Exit.UNAVAILABLE) from None
    if code != 250:
        raise CommandError(f"refused: {code} {said}", code=Exit.TRY_LATER if code < 500 else Exit.FAILED)
    output.note(f"{code} {said}")
    output.hint(f"posthouse mail trace {to[0]}")


def _transact(smtp: smtplib.SMTP, sender: str, to: list[str], data: bytes, options: list[str]) -> tuple[int, str]:
    """One transaction; the first refusal ends it."""
    if "SMTPUTF8" in options:
        smtp.command_encoding = "utf-8"
    code, said = smtp.mail(sender, options)
    for recipient in to:
        if code == 250:
            code, said = smtp.rcpt(recipient)
    if code == 250:
        code, said = smtp.data(data)
    return code, _said(said)


def _said(text: bytes | str) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _compose(sender: str, to: list[str], subject: str, attach: tuple[Path, ...], text: str) -> bytes:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Subject"] = subject or "A message from the command line"
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or None)
    message.set_content(text or "\n")
    for path in attach:
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        major, _, minor = kind.partition("/")
        message.add_attachment(path.read_bytes(), maintype=major, subtype=minor, filename=path.name)
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _server(text: str | None, where: Where) -> tuple[str, int]:
    if text is not None:
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal():
            raise CommandError(f"--server wants HOST:PORT, not {text}", code=Exit.USAGE)
        return host.strip("[]"), int(port)
    places = where.load().settings.submission.listen
    if not places:
        raise CommandError("this server has no port for submission", fix="Name one: --server HOST:PORT")
    return places[0].host or "127.0.0.1", places[0].port


def trace_(
    what: Annotated[str, Parameter(name="ADDRESS|MESSAGE-ID")],
    /,
    *,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> int:
    """Tell the life of messages: of one Message-ID, or of all from or to an address in the last days."""
    config = where.load()
    places = open_places(config, make=False)
    ident = what.strip().removeprefix("<").removesuffix(">")
    sent: list[Traced] = []
    if places.mail.exists():
        try:
            with Desk(places.mail) as desk:
                sent = _on_their_way(desk, ident)
        except DeskError as error:
            raise CommandError(str(error)) from None
    kept = _kept(config, ident)
    if as_json:
        output.document({"version": 1, "sent": [as_json_row(each) for each in sent], "kept": kept})
        return Exit.OK if sent or kept else Exit.FAILED
    for line in life(sent):
        print(line)
    for each in kept:
        print(f"{at(int(str(each['received'])))}  kept in the mailbox of <{each['account']}>")
        print(f"    from {each['from']}, subject {each['subject']!r}, Message-ID {each['message_id'] or 'none'}")
    if not sent and not kept:
        output.note(f"Nothing from, to or by the name of {ident} in the last {_DAYS} days.")
        output.note("Mail that was refused is in the log: look for the address there.")
        return Exit.FAILED
    return Exit.OK


def _on_their_way(desk: Desk, ident: str) -> list[Traced]:
    """By Message-ID, or by an address at either end."""
    found = desk.recipients(Filter(message_id=ident, settled=True), limit=_MOST)
    if not found:
        either = desk.recipients(Filter(sender=ident, settled=True), limit=_MOST)
        either += desk.recipients(Filter(recipient=ident, settled=True), limit=_MOST)
        known = {(each.message.number, each.n): each for each in either}
        found = sorted(known.values(), key=lambda each: (-each.message.number, each.n))
    return found[:_MOST]


def _kept(config: Config, ident: str) -> list[dict[str, object]]:
    """What arrived in mailboxes here: in that account's, or with that Message-ID in anybody's."""
    places = open_places(config, make=False)
    if not places.mail.exists():
        return []
    with open_registry(config) as registry:
        accounts = [info.account for info in registry.accounts()]
        with contextlib.suppress(AccountsError):
            accounts = [registry.account(ident)]
    wanted = "" if len(accounts) == 1 and str(accounts[0].address).lower() == ident.lower() else ident
    since = int(time.time()) - _DAYS * 86400
    found: list[dict[str, object]] = []
    try:
        with Archive(places.data) as archive:
            for account in accounts:
                for entry in reversed(archive.entries(account.id)):
                    if entry.received < since or len(found) >= _MOST:
                        break
                    row = _row(archive.read(entry, _HEAD), str(account.address), entry.received)
                    if not wanted or row["message_id"] == wanted:
                        found.append(row)
    except StoreError as error:
        raise CommandError(str(error)) from None
    return found


def _row(data: bytes, account: str, received: int) -> dict[str, object]:
    values: dict[bytes, str] = {}
    for name, value in fields(data[: header_end(data)]):
        values.setdefault(name, " ".join(value.decode("utf-8", "replace").split()))
    return {
        "account": account,
        "received": received,
        "from": values.get(b"from", ""),
        "subject": values.get(b"subject", ""),
        "message_id": values.get(b"message-id", "").strip("<>"),
    }
