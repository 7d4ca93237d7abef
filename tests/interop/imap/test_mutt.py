"""Mutt as Debian sets it up: reading, searching, flagging, copying, moving, deleting, as keys are pressed.

Its settings say where the mailbox is, whose certificate to trust, that it shall not ask, and that the order is that of
the mailbox. All else is as it comes.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.interop.imap.account import ImapAccount, Seen, digest, snapshot
from tests.interop.imap.letters import CONVERSATION
from tests.interop.terminal import on_a_terminal, pushed
from tests.interop.tools import tool

_SETTINGS = """
set imap_user="{user}" imap_pass="{password}" folder="{url}" spoolfile="+INBOX"
set certificate_file="{ca}" ssl_force_tls=yes
set confirmappend=no confirmcreate=no delete=yes move=no quit=yes wait_key=no beep=no sort=mailbox-order
"""


def mutt(account: ImapAccount, home: Path, keys: Sequence[str], *, tls: bool) -> str:
    """Open INBOX, press `keys` and leave; what stood on the screen."""
    scheme, port = ("imaps", account.tls_port) if tls else ("imap", account.port)
    url = f"{scheme}://{account.host}:{port}/"
    rc = home / "muttrc"
    settings = {"user": account.user, "password": account.password, "ca": account.ca_file}
    rc.write_text(_SETTINGS.format(**settings, url=url))
    return on_a_terminal([tool("mutt"), "-F", str(rc), "-f", url + "INBOX", "-e", pushed(*keys, "<quit>")], home)


@pytest.fixture
def filled(account: ImapAccount) -> ImapAccount:
    with account.imapclient() as client:
        if not client.folder_exists("Archive"):
            client.create_folder("Archive")
        client.create_folder("Küche & Co")
        for message in CONVERSATION:
            client.append("INBOX", message)
    return account


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "starttls"])
def test_flags_moves_and_deletes(filled: ImapAccount, tmp_path: Path, tls: bool) -> None:
    keys = [  # a space completes the name of a mailbox, if it is not quoted
        "<first-entry><flag-message>",
        "3<enter><set-flag>r",
        "4<enter><save-message>=Küche<quote-char> &<quote-char> Co<enter>",
        "2<enter><copy-message>=Archive<enter>",
        "5<enter><delete-message>",
        "<sync-mailbox>",
    ]
    screen = mutt(filled, tmp_path, keys, tls=tls)
    found = snapshot(filled)
    one, two, three, four = (digest(message) for message in CONVERSATION[:4])
    inbox = {uid: (seen.digest, set(seen.flags) - {"Old"}) for uid, seen in found["INBOX"].items()}
    replied = {"\\Answered", "\\Seen"}
    assert inbox == {1: (one, {"\\Flagged"}), 2: (two, set()), 3: (three, replied)}, screen[-3000:]
    assert [seen.digest for seen in found["Küche & Co"].values()] == [four]
    assert [seen.digest for seen in found["Archive"].values()] == [two]


def test_reading_and_searching(filled: ImapAccount, tmp_path: Path) -> None:
    """The pager makes messages seen; =b lets the server search."""
    keys = ["1<enter><display-message><exit>", "<limit>=b Köln<enter><flag-message>", "<sync-mailbox>"]
    screen = mutt(filled, tmp_path, keys, tls=True)
    found = snapshot(filled)["INBOX"]
    assert found[1] == Seen(digest(CONVERSATION[0]), ("\\Seen",)), screen[-3000:]
    assert [uid for uid, seen in found.items() if "\\Flagged" in seen.flags] == [2], screen[-3000:]
