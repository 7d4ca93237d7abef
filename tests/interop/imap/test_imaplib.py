"""Python's imaplib: what it knows that the others do not use, and messages as large and as odd as they come."""

import imaplib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.interop.imap.account import (
    ImapAccount,
    assert_equal,
    contents,
    digest,
    done,
    folders,
    items,
    known,
    quoted,
    snapshot,
)
from tests.interop.imap.curl import Curl
from tests.interop.imap.letters import CONVERSATION, written
from tests.interop.imap.mbsync import Mbsync
from tests.interop.imap.offlineimap import Offlineimap
from tests.outside import samples

MEGABYTES = 20


@pytest.fixture
def client(account: ImapAccount) -> Iterator[imaplib.IMAP4]:
    with account.imaplib() as client:
        yield client


def bodies(client: imaplib.IMAP4, folder: str = "INBOX") -> list[bytes]:
    done(client.select(quoted(folder), readonly=True))
    return [body for _, body in items(done(client.fetch("1:*", "(BODY.PEEK[])")))]


def test_special_folders(client: imaplib.IMAP4) -> None:
    special = {flag: name for name, flags in folders(client).items() for flag in flags}
    assert {"\\Drafts", "\\Junk", "\\Sent", "\\Trash", "\\Archive"} <= set(special)


def test_every_message_octet_for_octet(client: imaplib.IMAP4) -> None:
    sent = [*samples.cpython_messages().values(), *samples.cpython_attachments().values(), *samples.edges().values()]
    sent += [samples.eight_bit(), samples.long_lines(), samples.plain("no line end", b"end"), b"\r\n", b"x"]
    for message in sent:
        done(client.append("INBOX", "", "", message))
    assert bodies(client) == sent


def test_large_messages_by_imaplib_and_curl(account: ImapAccount, client: imaplib.IMAP4, tmp_path: Path) -> None:
    large = samples.attachment(MEGABYTES)
    done(client.append("INBOX", "(\\Seen)", "", large))
    curl = Curl(account, tmp_path)
    curl.append("INBOX", large)
    assert bodies(client) == [large, large]
    assert curl.fetch("INBOX", 1) == large
    (((_, part), _),) = [done(client.fetch("2", "(BODY.PEEK[]<10000000.1000>)"))]
    assert part == large[10_000_000:10_001_000]


def test_utf8(account: ImapAccount, client: imaplib.IMAP4) -> None:
    """RFC 9755: names and headers in UTF-8 once the client has said that it knows them."""
    if "UTF8=ACCEPT" not in client.capabilities and account.peer.name == "dovecot":
        pytest.skip("Dovecot 2.3 does not have UTF8=ACCEPT")
    done(client.enable("UTF8=ACCEPT"))
    message = written("Grüße, 世界", sender="Jörg <jörg@bücher.test>", body="Köln")
    done(client.create('"Ünï/日本語"'))
    # Not append(), which sends the word UTF8 inside the message (CPython's mistake).
    client.literal = message  # type: ignore[assignment]
    done(client._simple_command("APPEND", '"Ünï/日本語"', "(\\Seen)"))
    done(client.select('"Ünï/日本語"', readonly=True))
    assert [body for _, body in items(done(client.fetch("1:*", "(BODY.PEEK[])")))] == [message]
    (listed,) = done(client.list('""', '"Ünï/%"'))
    assert "日本語".encode() in listed
    with account.imaplib() as other:
        assert "Ünï/日本語" in folders(other)
        assert [seen.digest for seen in contents(other, "Ünï/日本語").values()] == [digest(message)]


def test_copies_keep_flags_date_and_octets(client: imaplib.IMAP4) -> None:
    date = '"29-Feb-2024 23:59:59 +0530"'
    done(client.append("INBOX", "(\\Seen \\Answered kw)", date, CONVERSATION[1]))
    done(client.create("Kopie"))
    done(client.select("INBOX"))
    done(client.copy("1", "Kopie"))
    done(client.select("Kopie"))
    ((head, body),) = items(done(client.fetch("1", "(FLAGS INTERNALDATE BODY.PEEK[])")))
    assert body == CONVERSATION[1]
    moment = imaplib.Internaldate2tuple(head)
    assert moment == imaplib.Internaldate2tuple(f"INTERNALDATE {date}".encode())
    assert known(flag.decode() for flag in imaplib.ParseFlags(head)) == ("\\Answered", "\\Seen", "kw")


def test_errors_are_answers(client: imaplib.IMAP4) -> None:
    done(client.select("INBOX"))
    for answer in (client.select("nowhere"), client.create("INBOX"), client.append("nowhere", "", "", b"x\r\n")):
        assert answer[0] == "NO", answer
    done(client.select("INBOX"))
    assert client.search("X-UNKNOWN", "SUBJECT", '"x"')[0] == "NO"  # [BADCHARSET]
    with pytest.raises(imaplib.IMAP4.error, match="BAD"):
        client.search(None, "NO-SUCH-KEY")
    assert client.uid("FETCH", "4000000000", "FLAGS") == ("OK", [None])
    done(client.noop())


def test_answers_to_uid_commands_name_the_uid(client: imaplib.IMAP4) -> None:
    """RFC 3501 6.4.8: even if it was not asked for."""
    for message in CONVERSATION[:3]:
        done(client.append("INBOX", "", "", message))
    done(client.select("INBOX"))
    done(client.uid("STORE", "1", "+FLAGS.SILENT", "(\\Deleted)"))
    done(client.expunge())
    assert b"UID 2" in done(client.uid("STORE", "2", "+FLAGS", "(\\Flagged)"))[0]
    assert b"UID 3" in done(client.uid("FETCH", "3", "(FLAGS)"))[0]


def test_a_level_without_mailbox(account: ImapAccount, client: imaplib.IMAP4, new_home: Callable[[], Path]) -> None:
    """Who copies all mailboxes must see that there is nothing to open."""
    done(client.create("above/below"))
    done(client.append("above/below", "", "", CONVERSATION[0]))
    if "\\Noselect" not in folders(client)["above"]:
        done(client.delete("above"))
    assert "\\Noselect" in folders(client)["above"]
    for program in (Mbsync(account, new_home()), Offlineimap(account, new_home())):
        program.sync()
        assert_equal(program.tree.contents(), snapshot(account))


def test_rename_of_inbox_moves_its_messages(account: ImapAccount, client: imaplib.IMAP4) -> None:
    """RFC 9051 6.3.6: INBOX stays, and is empty."""
    if account.peer.name == "dovecot":
        pytest.skip("Dovecot does not rename INBOX")
    done(client.append("INBOX", "(\\Flagged)", "", CONVERSATION[0]))
    done(client.rename("INBOX", "old"))
    assert contents(client, "INBOX") == {}
    assert [seen.flags for seen in contents(client, "old").values()] == [("\\Flagged",)]
    account.deliver(samples.plain("after"))
    assert len(contents(client, "INBOX")) == 1
