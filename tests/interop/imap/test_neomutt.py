"""NeoMutt: reading, flagging, tagging, moving, copying and deleting, as keys are pressed."""

from pathlib import Path

import pytest
from tests.interop.imap.account import ImapAccount, Seen, digest, snapshot
from tests.interop.imap.letters import CONVERSATION, written
from tests.interop.imap.neomutt import neomutt


def fill(account: ImapAccount) -> None:
    with account.imapclient() as client:
        client.create_folder("Küche & Co/日本語")
        for message in CONVERSATION:
            client.append("INBOX", message)


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "starttls"])
def test_flags_moves_and_deletes(account: ImapAccount, tmp_path: Path, tls: bool) -> None:
    fill(account)
    keys = [  # a space completes the name of a mailbox, if it is not quoted
        "<first-entry><flag-message>",
        "3<enter><set-flag>r",
        "<tag-pattern>~f carl<enter><tag-prefix><save-message>=Küche<quote-char> &<quote-char> Co/日本語<enter>",
        "2<enter><copy-message>=Archive<enter>",
        "5<enter><delete-message>",
        "<sync-mailbox>",
    ]
    screen = neomutt(account, tmp_path, keys, tls=tls)
    found = snapshot(account)
    one, two, three, four = (digest(message) for message in CONVERSATION[:4])
    assert sorted(found["INBOX"].items()) == [
        (1, Seen(one, ("\\Flagged",))),
        (2, Seen(two, ())),
        (3, Seen(three, ("\\Answered", "\\Seen"))),
    ], screen[-3000:]
    assert [seen.digest for seen in found["Küche & Co/日本語"].values()] == [four]
    assert [seen.digest for seen in found["Archive"].values()] == [two]


def test_reading_and_searching(account: ImapAccount, tmp_path: Path) -> None:
    """The pager makes messages seen; =b lets the server search."""
    fill(account)
    screen = neomutt(account, tmp_path, ["1<enter><display-message><exit>", "<limit>=b Köln<enter><flag-message>"])
    flags = {uid: seen.flags for uid, seen in snapshot(account)["INBOX"].items()}
    assert flags == {1: ("\\Seen",), 2: ("\\Flagged",), 3: (), 4: (), 5: ()}, screen[-3000:]


def test_a_second_visit_sees_what_others_did(account: ImapAccount, tmp_path: Path) -> None:
    fill(account)
    neomutt(account, tmp_path, ["<last-entry><display-message><exit>"])
    with account.imapclient() as other:
        other.select_folder("INBOX")
        other.add_flags([1], [b"\\Flagged"])
        other.delete_messages([2, 3])
        other.uid_expunge([2, 3])
    account.deliver(written("came meanwhile"))
    account.peer.restart()
    screen = neomutt(account, tmp_path, ["<tag-pattern>~F|~s meanwhile<enter>", "<tag-prefix><set-flag>r"])
    flags = {uid: seen.flags for uid, seen in snapshot(account)["INBOX"].items()}
    replied = ("\\Answered", "\\Flagged", "\\Seen")
    assert flags == {1: replied, 4: (), 5: ("\\Seen",), 6: ("\\Answered", "\\Seen")}, screen[-3000:]
    assert "Msgs:4" in screen
