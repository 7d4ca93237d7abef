"""JavaMail, Perl's Mail::IMAPClient, Ruby's net/imap and PHP's IMAP extension, with the settings they come with.

Each keeps the same session on a mailbox of five messages: it logs in, lists the mailboxes, reads all Message-IDs,
searches for a sender and for words of a text beyond ASCII, reads message 1 as a whole, flags 2, deletes and
expunges 3, copies 4 to Archive, and appends a message, seen, to Sent.
"""

from pathlib import Path

import pytest
from tests.interop.imap.account import ImapAccount, Seen, digest, snapshot
from tests.interop.imap.letters import CONVERSATION, written
from tests.interop.imap.libraries import LIBRARIES

APPENDED = written("appended by a library", number="appended")
EVERYWHERE = {"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"}


# PHP's extension does STARTTLS in TLS 1.0 alone, which no server of today has; with TLS from the start it takes any.
WAYS = [(library, tls) for library in LIBRARIES for tls in (True, False) if tls or library != "php-imap"]


@pytest.fixture
def letter(account: ImapAccount, tmp_path: Path) -> Path:
    """What is to be appended; the account is filled."""
    with account.imapclient() as client:
        for name in sorted(EVERYWHERE - {"INBOX"}):
            if not client.folder_exists(name):
                client.create_folder(name)
        for message in CONVERSATION:
            client.append("INBOX", message)
    letter = tmp_path / "letter.eml"
    letter.write_bytes(APPENDED)
    return letter


@pytest.mark.parametrize(
    ("library", "tls"), WAYS, ids=[f"{library}-{'tls' if tls else 'starttls'}" for library, tls in WAYS]
)
def test_a_session(account: ImapAccount, letter: Path, tmp_path: Path, library: str, tls: bool) -> None:
    told = LIBRARIES[library](account, tls, letter, tmp_path)

    one, two, _, four, five = (digest(message) for message in CONVERSATION)
    assert told.folders == EVERYWHERE
    assert told.ids == [f"<{name}@client.test>" for name in ("p1", "p2", "g1", "p3", "p4")]
    assert (told.from_carl, told.about_koeln, told.read) == ([4], [2], one)
    found = snapshot(account)
    assert found["INBOX"] == {
        1: Seen(one, ("\\Seen",)),
        2: Seen(two, ("\\Flagged",)),
        4: Seen(four, ()),
        5: Seen(five, ()),
    }
    assert list(found["Archive"].values()) == [Seen(four, ())]
    assert list(found["Sent"].values()) == [Seen(digest(APPENDED), ("\\Seen",))]
