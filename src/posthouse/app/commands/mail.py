"""posthouse mail send | trace."""

import getpass
import os
import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from posthouse.accounts.interface import Local, Unresolved
from posthouse.accounts.names import text_of
from posthouse.app import output
from posthouse.app.commands.arrivals import DAYS, READ, KeptMessage, arrivals, home_of
from posthouse.app.commands.opening import open_data_folder, open_registry
from posthouse.app.commands.sending import (
    ConnectionSecurity,
    Letter,
    SubmissionLogin,
    SubmissionServer,
    checked_address,
    composed,
    crlf,
    is_loopback,
    refused,
    submit,
)
from posthouse.app.commands.tracing import as_json_delivery, as_json_row, at, life, past_lines
from posthouse.app.commands.where import NOWHERE, AsJson, Where
from posthouse.app.config.loading import Config
from posthouse.app.data_folder.parts import refusal
from posthouse.app.dev.addresses import noted_accounts
from posthouse.app.dev.catch_all import EVERYTHING
from posthouse.app.errors import CommandError, Exit
from posthouse.database.errors import DatabaseError
from posthouse.mailstore.interface import StoreError
from posthouse.mailstore.sqlite.archive import Archive
from posthouse.message.printable import printable
from posthouse.queue.history import Delivery
from posthouse.queue.interface import Filter, Traced
from posthouse.queue.sqlite.admin import QueueAdmin, QueueAdminError, QueueBusyError
from posthouse.queue.sqlite.history import find_deliveries

_MOST = 100  # messages that are told of


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
    user: Annotated[str, Parameter(help="Log in with this name; the password is asked for.")] = "",
    password_stdin: Annotated[
        bool,
        Parameter(name="--password-stdin", help="Log in, with the first line of standard input as the password."),
    ] = False,
    starttls: Annotated[bool, Parameter(help="Turn to TLS with STARTTLS first.")] = False,
    tls: Annotated[bool, Parameter(help="Speak TLS from the start, as at port 465.")] = False,
    insecure: Annotated[bool, Parameter(help="Take any certificate, as on this very machine anyway.")] = False,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> None:
    """Send a message whose text stands on standard input. Good for trying a server out."""
    envelope = checked_address(sender), tuple(checked_address(each) for each in to)
    chosen = _server(server, where, _security(starttls=starttls, tls=tls), insecure=insecure)
    if raw and (subject or attach):
        raise CommandError("--raw excludes --subject and --attach: the message has its own", code=Exit.USAGE)
    login, given = _login(user or (envelope[0] if password_stdin else ""), chosen, stdin=password_stdin)
    data = crlf(given) if raw else composed(*envelope, subject, given.decode("utf-8", "replace"), attach)
    if not data:
        raise CommandError("standard input held no message", code=Exit.USAGE)
    letter = Letter(*envelope, data)
    answer = submit(chosen, login, letter)
    if answer.code != 250:
        raise refused(answer)
    if as_json:
        names = {"id": answer.id or None, "message_id": letter.message_id}
        output.document({"version": 1, "code": answer.code, "reply": answer.text, **names})
        return
    print(printable(f"{answer.code} {answer.text}"))
    output.hint(f"posthouse mail trace {to[0]}")


def _security(*, starttls: bool, tls: bool) -> ConnectionSecurity:
    if starttls and tls:
        raise CommandError("--starttls and --tls exclude each other", code=Exit.USAGE)
    return ConnectionSecurity.TLS if tls else ConnectionSecurity.STARTTLS if starttls else ConnectionSecurity.NONE


def _server(text: str | None, where: Where, security: ConnectionSecurity, *, insecure: bool) -> SubmissionServer:
    """The one named, else this server's own, on loopback where it listens everywhere."""
    if text is not None:
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
            raise CommandError(f"--server wants HOST:PORT, not {text}", code=Exit.USAGE)
        return SubmissionServer(host, int(port), security, checked=not (insecure or is_loopback(host)))
    settings = where.load().settings.submission
    listening = settings.listen_tls if security is ConnectionSecurity.TLS else settings.listen
    for place in listening:
        if place.port:
            own = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(place.host, place.host)
            return SubmissionServer(own, place.port, security, checked=False)  # our own, whatever names it has
    raise CommandError("this server has no such port for submission", fix="Name one: --server HOST:PORT")


def _login(user: str, server: SubmissionServer, *, stdin: bool) -> tuple[SubmissionLogin | None, bytes]:
    """Who logs in, and the rest of standard input. Octets throughout: what text reads ahead would be lost."""
    if user and server.security is ConnectionSecurity.NONE and not is_loopback(server.host):
        raise CommandError("a password would cross the network in plain", fix="Add --starttls or --tls.")
    if sys.stdin.isatty():
        output.note("Type the text of the message; Ctrl-D on an empty line ends it.")
    source = sys.stdin.buffer
    if not user:
        return None, source.read()
    if not stdin:
        return SubmissionLogin(user, _asked(user)), source.read()
    password = source.readline().decode("utf-8", "replace").rstrip("\r\n")
    if not password:
        raise CommandError("standard input held no password", fix="Its first line is taken.", code=Exit.USAGE)
    return SubmissionLogin(user, password), source.read()


def _asked(user: str) -> str:
    """The password, from the terminal even when the text comes through a pipe."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        fix = "Give it as the first line of standard input, with --password-stdin."
        raise CommandError("there is no terminal to ask for the password", fix=fix, code=Exit.USAGE) from None
    return getpass.getpass(f"Password of {user}: ")


def trace_(
    what: Annotated[str, Parameter(name="ADDRESS|MESSAGE-ID")],
    /,
    *,
    where: Where = NOWHERE,
    as_json: AsJson = False,
) -> int:
    """Tell the life of messages: of one Message-ID, or of all from or to an address in the last days."""
    config = where.load()
    ident = what.strip().removeprefix("<").removesuffix(">")
    sent = _on_their_way(config, ident)
    home = home_of(open_data_folder(config).directory, ident)
    kept, whole = _kept(config, ident, home)
    gone = _gone(config, ident, kept)
    if as_json:
        rows = [_row(each) for each in kept]
        past = [as_json_delivery(each) for each in gone]
        sent_rows = [as_json_row(each) for each in sent]
        output.document({"version": 1, "sent": sent_rows, "kept": rows, "delivered": past, "whole": whole})
        return Exit.OK if sent or kept or gone else Exit.FAILED
    for line in life(sent):
        print(line)
    for each in kept:
        print(printable(f"{at(each.received)}  kept in the mailbox of <{each.account}>"))
        subject = each.subject or "none"
        print(printable(f"    from {each.sender}, subject: {subject}, Message-ID {each.message_id or 'none'}"))
    seen_since = int(time.time()) - DAYS * 86400 if whole else None
    for line in past_lines(gone, seen_since):
        print(line)
    _remark(ident, home, whole=whole, found=bool(sent or kept or gone))
    return Exit.OK if sent or kept or gone else Exit.FAILED


def _remark(ident: str, home: Local | Unresolved, *, whole: bool, found: bool) -> None:
    """What else there is to know; and, when nothing was found, what to do next."""
    ident = printable(ident)
    if isinstance(home, Local):
        others = [text_of(account.address) for account in home.accounts if text_of(account.address) != ident.lower()]
        if others:
            output.note(f"Mail for {ident} goes to {', '.join(others)}.")
        for target in home.outside:
            output.note(f"It is sent on to {text_of(target)}: posthouse mail trace {text_of(target)}")
    if not whole:
        output.note(f"Only {READ} messages were looked at; a Message-ID or the recipient's address finds more.")
    if found:
        return
    output.note(f"Nothing from, to or by the name of {ident} in the last {DAYS} days.")
    if home is Unresolved.NO_SUCH_USER:
        output.note("The domain is this server's, but there is no such account or alias: posthouse account list")
    if home is Unresolved.ALIAS_LOOP:
        output.note("The alias of that name leads nowhere but to itself: posthouse alias list")
    output.note("What was refused was never taken in: only the log knows of it. Look for the address there.")


def _on_their_way(config: Config, ident: str) -> list[Traced]:
    """By Message-ID, else by an address at either end."""
    paths = open_data_folder(config)
    try:
        with QueueAdmin(paths.mail) as desk:
            found = desk.recipients(Filter(message_id=ident, settled=True), limit=_MOST) if ident else []
            if found or not ident:
                return found
            either = desk.recipients(Filter(sender=ident, settled=True), limit=_MOST)
            either += desk.recipients(Filter(recipient=ident, settled=True), limit=_MOST)
    except QueueAdminError as error:
        raise refusal(error, Exit.TRY_LATER if isinstance(error, QueueBusyError) else Exit.FAILED) from None
    known = {(each.message.number, each.n): each for each in either}
    return sorted(known.values(), key=lambda each: (-each.message.number, each.n))[:_MOST]


def _kept(config: Config, ident: str, home: Local | Unresolved) -> tuple[list[KeptMessage], bool]:
    """What is in mailboxes here: all in those that the address leads to, and what it sent to others."""
    paths = open_data_folder(config)
    if not ident:
        return [], True
    with open_registry(config) as registry:
        accounts = [info.account for info in registry.accounts.all()]
    made = [account for account in noted_accounts(paths.dev_addresses) if account.id != EVERYTHING]
    accounts += made
    own = [account for account in made if text_of(account.address).lower() == ident.lower()]
    own += home.accounts if isinstance(home, Local) else ()
    since = int(time.time()) - DAYS * 86400
    try:
        with Archive(paths.data) as archive, output.progress("Looking through mailboxes") as progress:
            return arrivals(archive, accounts, own, ident, since=since, most=_MOST, progress=progress)
    except StoreError as error:
        raise refusal(error) from None


def _gone(config: Config, ident: str, kept: list[KeptMessage]) -> list[Delivery]:
    """What was delivered by the history, and is not where it was delivered to. The newest first."""
    if not ident:
        return []
    try:
        found = find_deliveries(open_data_folder(config).history, ident, most=_MOST)
    except DatabaseError as error:  # it may be lost: the rest is shown all the same
        output.note(f"The history of deliveries cannot be read: {error}")
        return []
    there = {(each.account, each.received, each.message_id) for each in kept}
    return [each for each in found if (text_of(each.account), each.at, each.message_id) not in there]


def _row(each: KeptMessage) -> dict[str, object]:
    return {
        "account": each.account,
        "received": each.received,
        "from": each.sender,
        "return_path": each.return_path,
        "subject": each.subject,
        "message_id": each.message_id,
    }
