"""imapflow: what a web application does."""

import threading
from typing import Any

import pytest
from tests.interop.imap.account import ImapAccount
from tests.interop.imap.imapflow import ImapflowError, from_buffer, imapflow, octets
from tests.interop.imap.letters import CONVERSATION
from tests.outside import samples


def fill(account: ImapAccount) -> None:
    with account.imapclient() as client:
        for message in CONVERSATION:
            client.append("INBOX", message)


def test_special_folders_are_found(account: ImapAccount) -> None:
    (listed,) = imapflow(account, ("list",))
    found = {each["specialUse"]: each["path"] for each in listed if "specialUse" in each}
    assert set(found) == {"\\Inbox", "\\Drafts", "\\Junk", "\\Sent", "\\Trash", "\\Archive"}
    # "name": guessed from what it is called; "extension": the server said so (RFC 6154).
    assert {each["specialUseSource"] for each in listed if each.get("specialUse") not in (None, "\\Inbox")} == {
        "extension"
    }


def test_folders(account: ImapAccount) -> None:
    name = ["Projekte", "Zürich & Genf", "日本語"]
    renamed = ["Projekte", "Bern"]
    created, again, _, moved, listed, status, deleted, _ = imapflow(
        account,
        ("mailboxCreate", name),
        ("mailboxCreate", name),
        ("append", "/".join(name), octets(CONVERSATION[0]), ["\\Seen", "$Label1"]),
        ("mailboxRename", name[:2], renamed),
        ("list", {"statusQuery": {"messages": True, "unseen": True}}),
        ("status", "Projekte/Bern/日本語", {"messages": True, "unseen": True, "uidNext": True, "uidValidity": True}),
        ("mailboxDelete", [*renamed, "日本語"]),
        ("mailboxUnsubscribe", renamed),
    )
    assert created["created"] and created["path"] == "Projekte/Zürich & Genf/日本語" and not again["created"]
    assert moved["newPath"] == "Projekte/Bern" and deleted["path"] == "Projekte/Bern/日本語"
    assert {"Projekte", "Projekte/Bern", "Projekte/Bern/日本語"} <= {each["path"] for each in listed}
    assert (status["messages"], status["unseen"], status["uidNext"]) == (1, 0, 2) and status["uidValidity"] > 0
    (inside,) = (each for each in listed if each["path"] == "Projekte/Bern/日本語")
    assert inside["status"]["messages"] == 1


def test_fetch(account: ImapAccount) -> None:
    messages = [*CONVERSATION, samples.attachment(1), samples.eight_bit(), samples.long_lines()]
    with account.imapclient() as client:
        for message in messages:
            client.append("INBOX", message)
    everything = {"uid": True, "flags": True, "envelope": True, "bodyStructure": True, "size": True, "source": True}
    opened, fetched, part, whole, one = imapflow(
        account,
        ("mailboxOpen", "INBOX"),
        ("fetchAll", "1:*", {**everything, "internalDate": True, "headers": ["subject"], "threadId": True}),
        ("download", "6", "2"),
        ("download", "6"),
        ("fetchOne", "*", {"uid": True, "bodyParts": ["header", {"key": "text", "start": 0, "maxLength": 9}]}),
    )
    assert opened["exists"] == len(messages) == len(fetched) and opened["uidNext"] == len(messages) + 1
    assert opened["highestModseq"] > 0 and "\\*" in opened["permanentFlags"]
    assert [from_buffer(each["source"]) for each in fetched] == messages
    assert [each["size"] for each in fetched] == list(map(len, messages))
    assert fetched[2]["envelope"]["subject"] == "Grüße" and fetched[4]["envelope"]["messageId"] == "<p4@client.test>"
    assert fetched[4]["envelope"]["from"] == [{"name": "Zoe", "address": "zoe@client.test"}]
    assert [each["type"] for each in fetched[5]["bodyStructure"]["childNodes"]] == [
        "text/plain",
        "application/octet-stream",
    ]
    assert from_buffer(whole) == samples.attachment(1)
    assert len(from_buffer(part)) == 1_000_000
    assert one["uid"] == len(messages) and from_buffer(one["bodyParts"]["text"]).startswith(b"998 xxxxx")


def test_flags_search_and_moving(account: ImapAccount) -> None:
    fill(account)
    _, *flagged, keyword, unseen, words, either, moved, copied, deleted, left, quota, _, there = imapflow(
        account,
        ("mailboxOpen", "INBOX"),
        ("messageFlagsAdd", "1:2", ["\\Seen", "$Forwarded"]),
        ("messageFlagsRemove", "2", ["\\Seen"]),
        ("messageFlagsSet", {"uid": "3"}, ["\\Flagged", "\\Answered"]),
        ("search", {"keyword": "$Forwarded"}),
        ("search", {"seen": False}),
        ("search", {"subject": "grüße"}),
        ("search", {"or": [{"from": "adam"}, {"from": "zoe", "since": "2026-01-01"}]}, {"uid": True}),
        ("messageMove", "2,4", "Archive", {"uid": True}),
        ("messageCopy", "1", "Archive"),
        ("messageDelete", {"uid": "5"}),
        ("fetchAll", "1:*", {"uid": True, "flags": True}),
        ("getQuota", "INBOX"),
        ("mailboxOpen", "Archive"),
        ("fetchAll", "1:*", {"uid": True, "flags": True, "source": True}),
    )
    assert flagged == [True, True, True]
    assert keyword == [1, 2] and unseen == [2, 3, 4, 5] and words == [3] and either == [1, 2, 5]
    assert moved["path"] == "INBOX" and moved["destination"] == "Archive" and moved["uidMap"] == {"2": 1, "4": 2}
    assert copied["uidMap"] == {"1": 3} and deleted is True
    assert {each["uid"]: without_recent(each) for each in left} == {
        1: ["$Forwarded", "\\Seen"],
        3: ["\\Answered", "\\Flagged"],
    }
    assert [from_buffer(each["source"]) for each in there] == [CONVERSATION[1], CONVERSATION[3], CONVERSATION[0]]
    assert [without_recent(each) for each in there] == [["$Forwarded"], [], ["$Forwarded", "\\Seen"]]
    assert quota is False or quota["path"] == "INBOX"


def without_recent(fetched: dict[str, Any]) -> list[str]:
    return [flag for flag in fetched["flags"] if flag != "\\Recent"]


def test_append(account: ImapAccount) -> None:
    _, appended, one = imapflow(
        account,
        ("mailboxOpen", "INBOX"),
        ("append", "INBOX", octets(samples.eight_bit()), ["\\Seen", "kw"], "2024-02-29T12:00:00.000Z"),
        ("fetchOne", "1", {"flags": True, "internalDate": True, "source": True}),
    )
    assert appended["uid"] == 1 and appended["uidValidity"] > 0 and appended["destination"] == "INBOX"
    assert from_buffer(one["source"]) == samples.eight_bit() and without_recent(one) == ["\\Seen", "kw"]
    assert one["internalDate"] == "2024-02-29T12:00:00.000Z"


def test_idle(account: ImapAccount) -> None:
    """Mail from outside, then a flag and an expunge by another client, each seen in IDLE."""
    fill(account)

    def act(word: str) -> None:
        with account.imapclient() as other:
            other.select_folder("INBOX")
            if word == "deliver":
                threading.Thread(target=account.deliver, args=[samples.plain("new")]).start()
            elif word == "flag":
                other.add_flags([2], [b"\\Flagged"])
            else:
                other.delete_messages([3])
                other.uid_expunge([3])

    _, _, _, exists, _, flags, _, expunge, _, last = imapflow(
        account,
        ("mailboxOpen", "INBOX"),
        ("idle",),
        ("say", "deliver"),
        ("event", "exists"),
        ("say", "flag"),
        ("event", "flags"),
        ("say", "expunge"),
        ("event", "expunge"),
        ("noop",),
        ("fetchOne", "*", {"envelope": True, "uid": True}),
        when_said=act,
    )
    assert (exists["count"], exists["prevCount"]) == (6, 5)
    assert flags["seq"] == 2 and "\\Flagged" in flags["flags"]
    assert expunge["seq"] == 3
    assert last["envelope"]["subject"] == "new" and last["uid"] == 6


def test_a_wrong_password(account: ImapAccount) -> None:
    with pytest.raises(ImapflowError, match="AUTHENTICATIONFAILED"):
        imapflow(account, password="wrong")


def test_starttls(account: ImapAccount) -> None:
    assert imapflow(account, ("secure",), tls=False) == [True]
