"""IMAPClient: folders, flags, moving, searching, sorting, threading, idling, and fetching what has changed."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError
from tests.interop.imap.account import ImapAccount
from tests.interop.imap.letters import CONVERSATION
from tests.outside import samples

SECONDS = 20.0


@pytest.fixture
def client(account: ImapAccount) -> Iterator[IMAPClient]:
    with account.imapclient() as client:
        yield client


@pytest.fixture
def conversation(client: IMAPClient) -> IMAPClient:
    """The client, with CONVERSATION in INBOX, selected."""
    for message in CONVERSATION:
        client.append("INBOX", message)
    client.select_folder("INBOX")
    return client


def names(client: IMAPClient) -> set[str]:
    return {name for _, _, name in client.list_folders()}


def test_capabilities(client: IMAPClient) -> None:
    wanted = "IMAP4REV1 IDLE LITERAL+ MULTIAPPEND NAMESPACE UIDPLUS MOVE SORT THREAD=REFERENCES THREAD=ORDEREDSUBJECT"
    wanted += " CONDSTORE ESEARCH LIST-EXTENDED LIST-STATUS SPECIAL-USE UNSELECT ENABLE ID QUOTA CHILDREN BINARY"
    missing = [each for each in wanted.split() if not client.has_capability(each)]
    assert not missing


def test_special_folders_are_found(client: IMAPClient) -> None:
    found = {flag: client.find_special_folder(flag) for flag in (b"\\Drafts", b"\\Junk", b"\\Sent", b"\\Trash")}
    assert all(found.values()) and len(set(found.values())) == 4, found
    assert client.find_special_folder(b"\\Archive")
    for name in found.values():
        client.select_folder(name)


def test_folders(client: IMAPClient) -> None:
    before = names(client)
    deep = "Projekte/Zürich/日本語 & mehr"
    client.create_folder(deep)
    client.append(deep, samples.plain("kept"))
    with pytest.raises(IMAPClientError, match="ALREADYEXISTS"):
        client.create_folder(deep)
    assert {"Projekte", "Projekte/Zürich", deep} <= names(client)
    assert client.list_folders("", "Projekte/%") and not client.list_folders("", "projekte/%")
    client.rename_folder("Projekte/Zürich", "Projekte/Genf")
    moved = deep.replace("Zürich", "Genf")
    assert deep not in names(client) and client.folder_status(moved, ["MESSAGES"]) == {b"MESSAGES": 1}
    client.subscribe_folder(moved)
    assert [name for _, _, name in client.list_sub_folders("", "Projekte/*") if name == moved] == [moved]
    client.unsubscribe_folder(moved)
    assert moved not in {name for _, _, name in client.list_sub_folders()}
    for name in sorted((name for name in names(client) - before), key=len, reverse=True):
        client.delete_folder(name)
    assert names(client) == before
    with pytest.raises(IMAPClientError):
        client.delete_folder("INBOX")
    with pytest.raises(IMAPClientError, match=r"(?i)exist"):
        client.select_folder("nowhere")


def test_a_name_is_never_taken_up_again_with_its_uids(client: IMAPClient) -> None:
    client.create_folder("again")
    client.append("again", samples.plain("first"))
    first = client.select_folder("again")
    client.close_folder()
    client.delete_folder("again")
    client.create_folder("again")
    second = client.select_folder("again")
    assert second[b"EXISTS"] == 0
    assert second[b"UIDVALIDITY"] > first[b"UIDVALIDITY"] or second[b"UIDNEXT"] > 1


def test_flags_and_keywords(conversation: IMAPClient) -> None:
    assert conversation.get_flags([1])[1] in ((), (b"\\Recent",))
    conversation.add_flags([1, 2], [b"\\Flagged", b"$Forwarded", b"projekt-x"])
    conversation.set_flags([2, 3], [b"\\Seen", b"\\Answered"])
    conversation.remove_flags([1], [b"\\Flagged"])
    flags = {uid: set(each) - {b"\\Recent"} for uid, each in conversation.get_flags([1, 2, 3]).items()}
    answered = {b"\\Seen", b"\\Answered"}
    assert flags == {1: {b"$Forwarded", b"projekt-x"}, 2: answered, 3: answered}
    assert conversation.search(["KEYWORD", "projekt-x"]) == [1]
    assert conversation.search(["UNKEYWORD", "$Forwarded", "UNSEEN"]) == [4, 5]
    again = conversation.select_folder("INBOX")
    assert {b"projekt-x", b"\\Seen", b"\\Deleted"} <= set(again[b"FLAGS"]) and b"\\*" in again[b"PERMANENTFLAGS"]


def test_a_read_only_mailbox_is_not_changed(conversation: IMAPClient) -> None:
    conversation.select_folder("INBOX", readonly=True)
    conversation.fetch([1], ["BODY[]"])
    with contextlib.suppress(IMAPClientError):  # Dovecot says OK [READ-ONLY]
        conversation.add_flags([1], [b"\\Flagged"])
    conversation.select_folder("INBOX")
    assert set(conversation.get_flags([1])[1]) <= {b"\\Recent"}
    conversation.fetch([1], ["BODY[]"])
    assert b"\\Seen" in conversation.get_flags([1])[1]


def test_copy_move_and_expunge(conversation: IMAPClient) -> None:
    conversation.create_folder("Ziel")
    conversation.add_flags([1, 2], [b"\\Flagged", b"kw"])
    conversation.copy([1], "Ziel")
    conversation.move([2, 4], "Ziel")
    assert conversation.search() == [1, 3, 5]
    conversation.add_flags([1, 3], [b"\\Deleted"])
    conversation.uid_expunge([3])
    assert conversation.search() == [1, 5]
    conversation.expunge()
    assert conversation.search() == [5]
    conversation.select_folder("Ziel")
    fetched = conversation.fetch(conversation.search(), ["BODY.PEEK[]", "FLAGS"])
    assert sorted(each[b"BODY[]"] for each in fetched.values()) == sorted(CONVERSATION[n] for n in (0, 1, 3))
    assert len(conversation.search(["KEYWORD", "kw", "FLAGGED"])) == 2


def test_search(conversation: IMAPClient) -> None:
    conversation.add_flags([5], [b"\\Seen"])
    for criteria, expected in (
        (["SUBJECT", "plans"], [1, 2, 4, 5]),
        (["SUBJECT", "PLANS", "NOT", ["FROM", "zoe"]], [2, 4]),
        (["OR", ["FROM", "adam"], ["FROM", "carl"]], [2, 4]),
        (["LARGER", 2000], [3]),
        (["SENTSINCE", "08-Jan-2026"], [4, 5]),
        (["SENTON", "06-Jan-2026"], [3]),
        (["BODY", "picnic"], [1]),
        (["TEXT", "bert@client.test"], [3]),
        (["HEADER", "References", "p2@client.test"], [5]),
        (["UNSEEN", "UID", "2:5"], [2, 3, 4]),
        (["SEEN"], [5]),
        (["DELETED"], []),
        (["1:2"], [1, 2]),
    ):
        assert conversation.search(criteria) == expected, criteria
    assert conversation.search(["SUBJECT", "grüße"], "UTF-8") == [3]
    assert conversation.search(["BODY", "köln"], "UTF-8") == [2]


def test_sort_and_thread(conversation: IMAPClient) -> None:
    assert conversation.sort("SUBJECT") == [3, 1, 2, 4, 5]
    assert conversation.sort("REVERSE DATE") == [5, 4, 2, 3, 1]
    assert conversation.sort(["FROM", "DATE"]) == [2, 3, 4, 1, 5]
    assert conversation.sort("REVERSE SIZE")[0] == 3
    assert conversation.sort("ARRIVAL", ["SUBJECT", "plans"]) == [1, 2, 4, 5]
    # 1 has the children 2 (with its child 5) and 4.
    assert conversation.thread("REFERENCES") == ((1, (2, 5), (4,)), (3,))
    assert conversation.thread("ORDEREDSUBJECT") == ((1, (2,), (4,), (5,)), (3,))


def test_parts_of_a_message(client: IMAPClient) -> None:
    client.append("INBOX", samples.attachment(1))
    client.append("INBOX", CONVERSATION[4])
    client.select_folder("INBOX")
    wanted = ["ENVELOPE", "BODYSTRUCTURE", "RFC822.SIZE", "INTERNALDATE"]
    wanted += ["BODY.PEEK[1]", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "BODY.PEEK[2]<10.20>"]
    fetched = client.fetch([1], wanted)[1]
    structure = fetched[b"BODYSTRUCTURE"]
    assert structure.is_multipart and [part[:2] for part in structure[0]] == [
        (b"text", b"plain"),
        (b"application", b"octet-stream"),
    ]
    assert fetched[b"ENVELOPE"].subject == b"file 1MB.bin"
    assert fetched[b"BODY[1]"] == b"Here it is."
    assert fetched[b"BODY[HEADER.FIELDS (SUBJECT)]"] == b"Subject: file 1MB.bin\r\n\r\n"
    assert fetched[b"RFC822.SIZE"] == len(samples.attachment(1))
    (part,) = (value for key, value in fetched.items() if key.startswith(b"BODY[2]"))
    body = samples.attachment(1).partition(b"base64\r\n\r\n")[2]
    assert part == body[10:30]
    envelope = client.fetch([2], ["ENVELOPE"])[2][b"ENVELOPE"]
    assert str(envelope.from_[0]) == "Zoe <zoe@client.test>" and envelope.message_id == b"<p4@client.test>"


def test_what_has_changed(conversation: IMAPClient) -> None:
    """CONDSTORE (RFC 7162)."""
    conversation.unselect_folder()
    conversation.enable("CONDSTORE")
    conversation.select_folder("INBOX")
    before = conversation.folder_status("INBOX", ["HIGHESTMODSEQ"])[b"HIGHESTMODSEQ"]
    conversation.add_flags([2, 4], [b"\\Flagged"])
    assert conversation.select_folder("INBOX")[b"HIGHESTMODSEQ"] > before
    changed = conversation.fetch([1, 2, 3, 4, 5], ["FLAGS"], [f"CHANGEDSINCE {before}"])
    assert set(changed) == {2, 4}
    assert all(each[b"MODSEQ"][0] > before and b"\\Flagged" in each[b"FLAGS"] for each in changed.values())
    newest = max(each[b"MODSEQ"][0] for each in changed.values())
    assert conversation.fetch([1, 2, 3, 4, 5], ["FLAGS"], [f"CHANGEDSINCE {newest}"]) == {}
    found = conversation.search(["MODSEQ", str(before + 1)])
    assert found == [2, 4] and found.modseq == newest


def wait_for(client: IMAPClient, wanted: Callable[[tuple[object, ...]], bool], times: int = 1) -> None:
    """Until something that is `wanted` has come in IDLE, so many times."""
    seen: list[tuple[object, ...]] = []
    while sum(map(wanted, seen)) < times:
        came = client.idle_check(SECONDS)
        assert came, f"nothing for {SECONDS} s; before: {seen}"
        seen += came


def test_idle_sees_mail_flags_and_expunges(account: ImapAccount, conversation: IMAPClient) -> None:
    with account.imapclient() as other:
        conversation.idle()
        account.deliver(samples.plain("new"))
        wait_for(conversation, lambda came: came == (6, b"EXISTS"))
        other.select_folder("INBOX")
        other.add_flags([2], [b"\\Flagged"])
        wait_for(conversation, lambda came: came[:2] == (2, b"FETCH") and "Flagged" in str(came))
        other.delete_messages([3])
        other.uid_expunge([3])
        wait_for(conversation, lambda came: came == (3, b"EXPUNGE"))
    conversation.idle_done()
    assert conversation.search() == [1, 2, 4, 5, 6]


def test_many_idle_at_once(account: ImapAccount) -> None:
    with account.imapclient() as one, account.imapclient() as two, account.imapclient() as three:
        for client in (one, two, three):
            client.select_folder("INBOX")
            client.idle()
        sending = threading.Thread(target=account.deliver, args=[samples.plain(f"n {n}") for n in range(10)])
        sending.start()
        for client in (one, two, three):
            wait_for(client, lambda came: came == (10, b"EXISTS"))
            client.idle_done()
        sending.join()


def test_quota_namespace_and_id(client: IMAPClient) -> None:
    assert client.namespace().personal == (("", "/"),)
    assert client.id_({"name": "test"})
    roots, quotas = client.get_quota_root("INBOX")
    assert roots.mailbox in (b"INBOX", "INBOX")
    assert {quota.resource for quota in quotas} <= {"STORAGE", "MESSAGE", b"STORAGE", b"MESSAGE"}


def test_accounts_are_apart(account: ImapAccount, client: IMAPClient) -> None:
    client.append("INBOX", samples.plain("mine"))
    client.create_folder("mine")
    with account.imapclient(account.second_user) as second:
        assert "mine" not in names(second)
        assert second.select_folder("INBOX")[b"EXISTS"] == 0
    assert client.select_folder("INBOX")[b"EXISTS"] == 1


def test_a_wrong_password(account: ImapAccount) -> None:
    with IMAPClient(account.host, account.tls_port, ssl_context=account.trusting()) as client:
        with pytest.raises(LoginError, match=r"(?i)fail"):
            client.login(account.user, "wrong")
        client.login(account.user, account.password)
        assert client.folder_status("INBOX")
