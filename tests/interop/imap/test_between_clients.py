"""The flags that one client sets, all others see."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.interop.imap.account import ImapAccount, contents, digest, done, known
from tests.interop.imap.curl import Curl
from tests.interop.imap.imapflow import imapflow
from tests.interop.imap.letters import written
from tests.interop.imap.maildir import flag, flags_of, octets
from tests.interop.imap.mbsync import Mbsync
from tests.interop.imap.neomutt import neomutt
from tests.interop.imap.offlineimap import Offlineimap

FLAGS = ("\\Answered", "\\Flagged", "\\Seen")
MESSAGES = [written(f"letter {n}") for n in range(1, 8)]
NUMBERS = {digest(message): n for n, message in enumerate(MESSAGES, 1)}

Flags = dict[int, tuple[str, ...]]  # by UID


class Local:
    """mbsync or offlineimap: flags are set in its Maildir."""

    def __init__(self, client: Mbsync | Offlineimap) -> None:
        self._client = client
        client.sync()

    def _files(self) -> dict[int, Path]:
        return {NUMBERS[digest(octets(path))]: path for path in self._client.tree.files("INBOX")}

    def set(self, number: int) -> None:
        flag(self._files()[number], "FRS")
        self._client.sync()

    def see(self) -> Flags:
        self._client.sync()
        return {number: flags_of(path) for number, path in self._files().items()}


class WithImaplib:
    def __init__(self, account: ImapAccount) -> None:
        self._account = account

    def set(self, number: int) -> None:
        with self._account.imaplib() as client:
            done(client.select())
            done(client.store(str(number), "+FLAGS.SILENT", f"({' '.join(FLAGS)})"))

    def see(self) -> Flags:
        with self._account.imaplib() as client:
            return {uid: seen.flags for uid, seen in contents(client, "INBOX").items()}


class WithImapclient:
    def __init__(self, account: ImapAccount) -> None:
        self._account = account

    def set(self, number: int) -> None:
        with self._account.imapclient() as client:
            client.select_folder("INBOX")
            client.set_flags([number], FLAGS)

    def see(self) -> Flags:
        with self._account.imapclient() as client:
            client.select_folder("INBOX", readonly=True)
            return {uid: known(map(bytes.decode, each)) for uid, each in client.get_flags(client.search()).items()}


class WithImapflow:
    def __init__(self, account: ImapAccount) -> None:
        self._account = account

    def set(self, number: int) -> None:
        imapflow(self._account, ("mailboxOpen", "INBOX"), ("messageFlagsAdd", str(number), FLAGS, {"uid": True}))

    def see(self) -> Flags:
        wanted = {"uid": True, "flags": True}
        _, fetched = imapflow(self._account, ("mailboxOpen", "INBOX"), ("fetchAll", "1:*", wanted))
        return {each["uid"]: known(each["flags"]) for each in fetched}


class WithCurl:
    def __init__(self, account: ImapAccount, home: Path) -> None:
        self._curl = Curl(account, home)

    def set(self, number: int) -> None:
        self._curl("INBOX", "--request", f"UID STORE {number} +FLAGS ({' '.join(FLAGS)})")

    def see(self) -> Flags:
        said = self._curl("INBOX", "--request", "UID FETCH 1:* (UID FLAGS)")
        found = re.findall(r"UID (\d+) FLAGS \(([^)]*)\)", said)
        return {int(uid): known(flags.split()) for uid, flags in found}


class WithNeomutt:
    """It shows only how many are flagged and how many are new."""

    def __init__(self, account: ImapAccount, home: Path) -> None:
        self._account = account
        self._home = home

    def set(self, number: int) -> None:
        neomutt(self._account, self._home, [f"{number}<enter><set-flag>!", f"{number}<enter><set-flag>r"])

    def see(self) -> Flags:
        screen = neomutt(self._account, self._home, ["<refresh>"])
        assert "Msgs:7 Flag:7" in screen, screen[-2000:]  # and none is new
        return dict.fromkeys(range(1, 8), FLAGS)


def test_flags(account: ImapAccount, new_home: Callable[[], Path]) -> None:
    with account.imapclient() as session:
        for message in MESSAGES:
            session.append("INBOX", message)
    clients: list[Local | WithImaplib | WithImapclient | WithImapflow | WithCurl | WithNeomutt] = [
        Local(Mbsync(account, new_home())),
        Local(Offlineimap(account, new_home())),
        WithImaplib(account),
        WithImapclient(account),
        WithImapflow(account),
        WithCurl(account, new_home()),
        WithNeomutt(account, new_home()),
    ]
    for number, client in enumerate(clients, 1):
        client.set(number)
    for client in clients:
        assert client.see() == dict.fromkeys(range(1, 8), FLAGS), type(client).__name__
