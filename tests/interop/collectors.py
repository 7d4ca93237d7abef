"""Foreign POP3 clients, each behind one call: bring what is in this maildrop into that folder.

What each does to the octets by itself: all but curl and poplib write files with LF line ends, which is undone
here. fetchmail and getmail are used with a program that keeps what they hand it, without From_ line. poplib
refuses lines over 2,048 octets unless its bound is raised, and gives lines without their ends.
"""

import poplib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.interop.senders import Way
from tests.interop.tools import run, tool
from tests.outside.samples import with_crlf
from tests.outside.wire import trusting


@dataclass(frozen=True)
class Fetching:
    """One collection: from where, for whom, and whether what came is then deleted on the server."""

    port: int
    way: Way
    user: str
    password: str
    delete: bool


Collector = Callable[[Fetching, Path], list[bytes]]


def _keeper(folder: Path) -> Path:
    """A program that writes its standard input into a new file of `folder`."""
    folder.mkdir(exist_ok=True)
    script = folder.with_suffix(".sh")
    script.write_text(f'#!/bin/sh\nexec cat > "$(mktemp {folder}/XXXXXXXXXX)"\n')
    script.chmod(0o700)
    return script


def _kept_in(folder: Path) -> list[bytes]:
    return [with_crlf(path.read_bytes()) for path in sorted(folder.iterdir())]


def fetchmail(fetching: Fetching, home: Path) -> list[bytes]:
    """Collect with fetchmail, which hands each message to a program of ours on standard input."""
    inbox, script = home / "fetched", _keeper(home / "fetched")
    tls = {Way.PLAIN: "sslproto ''", Way.STARTTLS: "sslproto 'TLS1.2+'", Way.TLS: "ssl sslproto 'TLS1.2+'"}[
        fetching.way
    ]
    rc = home / "fetchmailrc"
    rc.write_text(
        f"set invisible\nset no bouncemail\npoll 127.0.0.1 protocol pop3 port {fetching.port} uidl no dns\n"
        f"  user '{fetching.user}' password '{fetching.password}' is 'root' here\n"
        f"  {tls} no sslcertck {'nokeep' if fetching.delete else 'keep'} no rewrite no mimedecode pass8bits\n"
        f"  mda '{script}'\n"
    )
    rc.chmod(0o600)
    # Exit code 1: there was no mail.
    run(tool("fetchmail"), "-f", str(rc), "--pidfile", str(home / "pid"), "-v", home=home, allowed=(0, 1))
    return _kept_in(inbox)


def getmail(fetching: Fetching, home: Path) -> list[bytes]:
    """Collect with getmail6. It knows plain connections and TLS from the start, not STLS."""
    assert fetching.way is not Way.STARTTLS, "getmail6 does not speak STLS"
    inbox, script = home / "got", _keeper(home / "got")
    rc = home / "getmailrc"
    rc.write_text(
        f"[retriever]\ntype = SimplePOP3{'SSL' if fetching.way is Way.TLS else ''}Retriever\nserver = 127.0.0.1\n"
        f"port = {fetching.port}\nusername = {fetching.user}\npassword = {fetching.password}\n"
        f"[destination]\ntype = MDA_external\npath = {script}\nallow_root_commands = true\n"
        f"[options]\ndelete = {str(fetching.delete).lower()}\nread_all = false\n"
        "delivered_to = false\nreceived = false\n"
    )
    run(tool("getmail"), "--getmaildir", str(home), "--rcfile", str(rc), home=home)
    return _kept_in(inbox)


def mpop(fetching: Fetching, home: Path) -> list[bytes]:
    """Collect with mpop (GnuTLS), pipelined where the server says so."""
    inbox = home / "popped"
    for name in ("tmp", "new", "cur"):
        (inbox / name).mkdir(parents=True, exist_ok=True)
    secret = home / "mpop.password"
    secret.write_text(fetching.password + "\n")
    command = [tool("mpop"), "--host=127.0.0.1", f"--port={fetching.port}", f"--user={fetching.user}", "--quiet"]
    command += [f"--passwordeval=cat {secret}", f"--delivery=maildir,{inbox}", f"--uidls-file={home / 'uidls'}"]
    command += ["--only-new=on", f"--keep={'off' if fetching.delete else 'on'}", "--received-header=off"]
    command += [f"--tls={'off' if fetching.way is Way.PLAIN else 'on'}", "--tls-certcheck=off"]
    command += [f"--tls-starttls={'on' if fetching.way is Way.STARTTLS else 'off'}"]
    command += ["--auth=user"] if fetching.way is Way.PLAIN else []
    run(*command, home=home)
    return _kept_in(inbox / "new")


def curl(fetching: Fetching, home: Path) -> list[bytes]:
    """Collect with curl: LIST, then each message, then DELE of each."""
    scheme = "pop3s" if fetching.way is Way.TLS else "pop3"
    url = f"{scheme}://127.0.0.1:{fetching.port}"
    command = [tool("curl"), "--silent", "--show-error", "--insecure", "--user", f"{fetching.user}:{fetching.password}"]
    command += ["--ssl-reqd"] if fetching.way is Way.STARTTLS else []
    numbers = [line.split()[0] for line in run(*command, f"{url}/", home=home).splitlines()]
    found = []
    for number in numbers:
        target = home / f"curl.{number}"
        run(*command, "--output", str(target), f"{url}/{number}", home=home)
        found.append(target.read_bytes())
    if fetching.delete:
        for _ in numbers:  # each curl is a session of its own, so the next message is number 1 again
            run(*command, "--head", "--request", "DELE", f"{url}/1", home=home)
    return found


def with_poplib(fetching: Fetching, home: Path) -> list[bytes]:
    """Collect with Python's poplib."""
    bound, poplib._MAXLINE = poplib._MAXLINE, 1 << 20  # type: ignore[attr-defined]
    try:
        if fetching.way is Way.TLS:
            client: poplib.POP3 = poplib.POP3_SSL("127.0.0.1", fetching.port, context=trusting(), timeout=100)
        else:
            client = poplib.POP3("127.0.0.1", fetching.port, timeout=100)
        if fetching.way is Way.STARTTLS:
            client.stls(context=trusting())
        client.user(fetching.user)
        client.pass_(fetching.password)
        found = []
        for number in range(1, client.stat()[0] + 1):
            found.append(b"".join(line + b"\r\n" for line in client.retr(number)[1]))
            if fetching.delete:
                client.dele(number)
        client.quit()
    finally:
        poplib._MAXLINE = bound  # type: ignore[attr-defined]
    return found


WAYS: dict[str, tuple[Way, ...]] = {
    "fetchmail": tuple(Way),
    "getmail": (Way.PLAIN, Way.TLS),
    "mpop": tuple(Way),
    "curl": tuple(Way),
    "poplib": tuple(Way),
}
COLLECTORS: dict[str, Collector] = {
    "fetchmail": fetchmail,
    "getmail": getmail,
    "mpop": mpop,
    "curl": curl,
    "poplib": with_poplib,
}


def without_trace(message: bytes) -> bytes:
    """`message` without the Return-Path, Delivered-To and Received headers at its head."""
    while match := re.match(rb"(?i)(?:Return-Path|Delivered-To|Received):(?:.|\r\n[ \t])*\r\n(?![ \t])", message):
        message = message[match.end() :]
    return message
