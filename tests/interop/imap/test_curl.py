"""curl: list, fetch, search, append, and commands of one's own."""

from pathlib import Path

import pytest
from tests.interop.imap.account import ImapAccount, snapshot
from tests.interop.imap.curl import Curl, named
from tests.interop.imap.letters import CONVERSATION
from tests.outside import samples

FOLDER = "Rechnungen/März & mehr"


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "starttls"])
def test_list_fetch_search_and_append(account: ImapAccount, tmp_path: Path, tls: bool) -> None:
    curl = Curl(account, tmp_path, tls=tls)
    curl("", "--request", 'CREATE "Rechnungen/M&AOQ-rz &- mehr"')
    messages = [*CONVERSATION, samples.dots(), samples.eight_bit(), samples.long_lines(), samples.attachment(1)]
    for message in messages[:3]:
        curl.append(FOLDER, message)
    with account.imapclient() as client:
        for message in messages[3:]:
            client.append(FOLDER, message)
    listed = curl("")
    assert '"/" "Rechnungen/M&AOQ-rz &- mehr"' in listed and "INBOX" in listed
    assert [curl.fetch(FOLDER, n) for n in range(1, len(messages) + 1)] == messages
    assert curl.fetch(FOLDER, 1, "TEXT") == b"A picnic?\r\n"
    assert curl.fetch(FOLDER, 4, "HEADER.FIELDS%20(SUBJECT)") == b"Subject: Re: plans\r\n\r\n"
    assert curl(f"{named(FOLDER)}?SUBJECT%20plans").split() == ["*", "SEARCH", "1", "2", "4", "5"]
    assert curl(f"{named(FOLDER)}?FROM%20nobody").split() == ["*", "SEARCH"]


def test_commands(account: ImapAccount, tmp_path: Path) -> None:
    curl = Curl(account, tmp_path)
    for message in CONVERSATION:
        curl.append("INBOX", message)
    assert "Flagged" in curl("INBOX", "--request", "STORE 1:2 +FLAGS (\\Flagged \\Deleted)")
    assert "* 2 FETCH" in curl("INBOX", "--request", "FETCH 1:2 FLAGS")
    assert curl("INBOX", "--request", "EXPUNGE").count("EXPUNGE") == 2
    curl("INBOX", "--request", "UID MOVE 4 Archive")
    assert "MESSAGES 2" in curl("", "--request", "STATUS INBOX (MESSAGES UNSEEN)")
    assert len(snapshot(account)["Archive"]) == 1


def test_a_wrong_password_and_a_missing_mailbox(account: ImapAccount, tmp_path: Path) -> None:
    curl = Curl(account, tmp_path)
    assert "denied" in curl("", password="wrong", allowed=(67,))  # login denied
    curl("nowhere;UID=1", allowed=(78, 9, 67, 21))
    curl("INBOX;UID=1", allowed=(78,))  # no such message
