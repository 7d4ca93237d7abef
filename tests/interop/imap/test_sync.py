"""An account of 2,000 messages and its copy on a disk, kept equal both ways by mbsync and by offlineimap.

Equal means: the same mailboxes, in each the same messages by the SHA-256 of their octets, each with the same flags,
as Python's imaplib sees the server.
"""

import imaplib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from tests.interop.imap.account import ImapAccount, assert_equal, done, quoted, snapshot
from tests.interop.imap.filling import TOTAL, TREE, difficult, fill, letter
from tests.interop.imap.maildir import MaildirTree, flag
from tests.interop.imap.mbsync import Mbsync
from tests.interop.imap.offlineimap import Offlineimap
from tests.outside import samples

UMLAUTS, JAPANESE, AMPERSAND, DEEP = "Rechnungen/2024/März", "日本語", "a & b", "Lists/python/dev"
NEW_HERE, NEW_THERE = "Neu/Entwürfe & Skizzen", "Новое/2025"


class Syncing(Protocol):
    tree: MaildirTree

    def sync(self) -> list[str]:
        """Both ways; one line for each thing that was transferred."""


CLIENTS: dict[str, Callable[[ImapAccount, Path], Syncing]] = {"mbsync": Mbsync, "offlineimap": Offlineimap}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, account: ImapAccount, tmp_path: Path) -> Syncing:
    # offlineimap writes messages anew with Python's email package, which changes the difficult ones.
    fill(account, difficult() if request.param == "mbsync" else ())
    return CLIENTS[request.param](account, tmp_path)


def change_here(tree: MaildirTree) -> None:
    """Offline, the user flags, deletes, writes, and makes a folder."""
    inbox = tree.files("INBOX")
    for path in inbox[:20]:
        flag(path, "FRS")
    for path in inbox[20:40]:
        flag(path, "")
    for path in tree.files(UMLAUTS)[:30]:
        path.unlink()
    tree.add("INBOX", samples.plain("written here"))
    tree.add(JAPANESE, samples.plain("hier", "Grüße, 世界\r\n".encode()))
    tree.make("Neu")  # offlineimap makes the parents of a mailbox there, and then wants them here
    tree.make(NEW_HERE)
    tree.add(NEW_HERE, samples.plain("first in a new folder"))


def change_there(client: imaplib.IMAP4) -> None:
    """Meanwhile another client does the like, to other messages."""
    done(client.select(quoted("INBOX")))
    done(client.uid("STORE", "580:600", "+FLAGS.SILENT", "(\\Flagged \\Seen)"))
    done(client.select(quoted(AMPERSAND)))
    done(client.uid("STORE", "1:50", "+FLAGS.SILENT", "(\\Deleted)"))
    done(client.expunge())
    done(client.append(quoted(DEEP), "(\\Seen)", "", samples.plain("written there")))
    done(client.create(quoted(NEW_THERE)))
    done(client.append(quoted(NEW_THERE), "", "", letter(NEW_THERE, 1)))


def test_both_ways(account: ImapAccount, client: Syncing) -> None:
    client.sync()
    assert sum(map(len, client.tree.contents().values())) == TOTAL
    assert_equal(client.tree.contents(), snapshot(account))

    change_here(client.tree)
    with account.imaplib() as other:
        change_there(other)
    assert client.sync()
    remote = snapshot(account)
    assert_equal(client.tree.contents(), remote)
    changed = {**TREE, "INBOX": 601, UMLAUTS: 270, JAPANESE: 201, AMPERSAND: 150, DEEP: 101, NEW_HERE: 1, NEW_THERE: 1}
    assert {name: len(folder) for name, folder in remote.items() if folder} == changed

    assert client.sync() == []
    account.peer.restart()
    assert client.sync() == []
    assert snapshot(account) == remote  # by UID
