"""POP3 and IMAP are two views of one mailbox: what one does, the other sees."""

from collections.abc import Iterator

import pytest
from imapclient import IMAPClient
from tests.interop.imap.account import ImapAccount
from tests.interop.imap.letters import CONVERSATION
from tests.interop.imap.test_imapclient import wait_for
from tests.outside import samples
from tests.outside.maildrop import Maildrop, collect


@pytest.fixture
def client(account: ImapAccount) -> Iterator[IMAPClient]:
    """Five messages that came from outside; INBOX selected."""
    account.deliver(*CONVERSATION)
    with account.imapclient() as client:
        assert client.select_folder("INBOX")[b"EXISTS"] == 5
        yield client


def drop(account: ImapAccount) -> dict[str, bytes]:
    return collect(account.peer.pop3, account.user)


def test_the_same_octets(account: ImapAccount, client: IMAPClient) -> None:
    fetched = client.fetch([1, 2, 3, 4, 5], ["BODY.PEEK[]"])
    assert [each[b"BODY[]"] for each in fetched.values()] == list(drop(account).values())
    client.append("INBOX", samples.eight_bit())
    assert list(drop(account).values())[5] == samples.eight_bit()


def test_flags_change_no_unique_id(account: ImapAccount, client: IMAPClient) -> None:
    before = list(drop(account))
    client.add_flags([1, 2], [b"\\Seen", b"\\Flagged", b"kw"])
    client.add_flags([3], [b"\\Deleted"])
    client.create_folder("elsewhere")
    client.copy([1], "elsewhere")
    assert list(drop(account)) == before  # a message that is only marked \Deleted is still there
    client.remove_flags([3], [b"\\Deleted"])
    client.move([2], "elsewhere")
    assert list(drop(account)) == [before[0], *before[2:]]
    client.select_folder("elsewhere")
    client.move([2], "INBOX")
    assert list(drop(account))[:4] == [before[0], *before[2:]]
    assert len(drop(account)) == 5


def test_what_imap_expunges_is_gone_from_the_next_pop3_session(account: ImapAccount, client: IMAPClient) -> None:
    before = drop(account)
    with Maildrop.open(account.peer.pop3, account.user) as session:
        client.delete_messages([1, 4])
        client.uid_expunge([1, 4])
        assert len(session.uidls()) == 5  # RFC 1939 8: a session has the maildrop as it found it
    after = drop(account)
    assert after == {uid: message for n, (uid, message) in enumerate(before.items(), 1) if n not in (1, 4)}


def test_what_pop3_deletes_vanishes_from_imap(account: ImapAccount, client: IMAPClient) -> None:
    client.idle()
    with Maildrop.open(account.peer.pop3, account.user) as session:
        session.retrieve(2)
        session.command("DELE 2")
        session.command("DELE 5")
        session.quit()
    wait_for(client, lambda came: came[1] == b"EXPUNGE", times=2)
    client.idle_done()
    assert client.search() == [1, 3, 4]
    assert all(b"\\Seen" not in flags for flags in client.get_flags([1, 3, 4]).values())


def test_hanging_up_deletes_nothing(account: ImapAccount, client: IMAPClient) -> None:
    with Maildrop.open(account.peer.pop3, account.user) as session:
        session.command("DELE 1")
    assert client.select_folder("INBOX")[b"EXISTS"] == 5


def test_appended_and_delivered_come_in_one_order(account: ImapAccount, client: IMAPClient) -> None:
    client.append("INBOX", samples.plain("appended"))
    account.deliver(samples.plain("delivered"))
    subjects = [message.partition(b"Subject: ")[2].partition(b"\r\n")[0] for message in drop(account).values()]
    assert subjects[5:] == [b"appended", b"delivered"]
    client.noop()
    envelopes = client.fetch(client.search(), ["ENVELOPE"]).values()
    assert [each[b"ENVELOPE"].subject for each in envelopes] == subjects


def test_an_inbox_renamed_is_an_empty_maildrop(account: ImapAccount, client: IMAPClient) -> None:
    if account.peer.name == "dovecot":
        pytest.skip("Dovecot does not rename INBOX")
    before = drop(account)
    client.unselect_folder()
    client.rename_folder("INBOX", "2025")
    assert drop(account) == {}
    account.deliver(samples.plain("new"))
    after = drop(account)
    assert len(after) == 1 and not set(after) & set(before)
    assert client.select_folder("2025")[b"EXISTS"] == 5


def test_restarts_keep_both_kinds_of_ids(account: ImapAccount, client: IMAPClient) -> None:
    def ids() -> tuple[object, ...]:
        with account.imapclient() as other:
            chosen = other.select_folder("INBOX", readonly=True)
            return chosen[b"UIDVALIDITY"], chosen[b"UIDNEXT"], other.search(), list(drop(account))

    client.delete_messages([5])
    client.expunge()
    before = ids()
    client.logout()
    account.peer.restart()
    assert ids() == before
