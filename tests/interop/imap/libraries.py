"""IMAP libraries of other languages, each with a script beside this file that keeps one and the same session."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.interop.imap.account import ImapAccount
from tests.interop.java import java
from tests.interop.tools import run, tool

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True)
class Told:
    """What a script saw: names of mailboxes, Message-IDs in order, UIDs of two searches, a digest of message 1."""

    folders: set[str]
    ids: list[str]
    from_carl: list[int]
    about_koeln: list[int]
    read: str


Library = Callable[[ImapAccount, bool, Path, Path], Told]


def _arguments(account: ImapAccount, tls: bool, letter: Path) -> list[str]:
    port = account.tls_port if tls else account.port
    way = "tls" if tls else "starttls"
    return [account.host, str(port), way, account.user, account.password, str(account.ca_file), str(letter)]


def _told(said: str) -> Told:
    found = json.loads(said[said.index("{") :])
    return Told(set(found["folders"]), found["ids"], sorted(found["from"]), sorted(found["text"]), found["read"])


def _script(interpreter: str, name: str) -> Library:
    def keep(account: ImapAccount, tls: bool, letter: Path, home: Path) -> Told:
        command = [tool(interpreter), str(SCRIPTS / name), *_arguments(account, tls, letter)]
        return _told(run(*command, home=home, more={"SSL_CERT_FILE": str(account.ca_file)}))

    return keep


def javamail(account: ImapAccount, tls: bool, letter: Path, home: Path) -> Told:
    source = SCRIPTS / "Session.java"
    return _told(java(source, *_arguments(account, tls, letter), home=home, ca_file=account.ca_file))


LIBRARIES: dict[str, Library] = {
    "javamail": javamail,
    "Mail::IMAPClient": _script("perl", "session.pl"),
    "net/imap": _script("ruby", "session.rb"),
    "php-imap": _script("php", "session.php"),
}
