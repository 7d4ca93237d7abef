"""posthouse queue list | show | retry | hold | release | drop, over a real queue with its bodies."""

import asyncio
import io
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from posthouse.accounts.sqlite import SqliteRegistry
from posthouse.app.cli import main
from posthouse.app.commands import queue
from posthouse.app.commands.tracing import life
from posthouse.app.errors import Exit
from posthouse.database.connection import open_connection
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import Target
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.message.address import Address
from posthouse.message.envelope import BodyType, Recipient, ReversePath
from posthouse.message.ids import format_id, id_factory
from posthouse.queue.interface import ACCOUNT, MAILBOX, AttemptRecord, Fresh, QueuedMessage, RecipientState, Traced, Try
from posthouse.queue.sqlite.admin import QueueAdmin
from posthouse.queue.sqlite.outgoing import SqliteOutgoing
from posthouse.queue.sqlite.schema import MIGRATIONS, ROOM
from tests.stores import Bytes

HEAD = b"Received: here\r\n"
BODY = b"Subject: \x1b[31mred\r\nMessage-ID: <one@here.test>\r\n\r\nhello \xff\r\n"
LATER = "4.7.1 come back\nlater \x1b[2J"


@dataclass(frozen=True)
class Queued:
    """A data folder whose queue holds one message to two recipients, each tried once, and then a bounce."""

    data: Path
    first: str
    bounce: str


async def _fill(data: Path) -> Queued:
    SqliteRegistry(data / "directory.db").close()
    store = SqliteMailstore.open(data, bus=LocalBus(), reserve_octets=4096, rooms={ROOM: MIGRATIONS})
    now = int(time.time())
    outgoing = SqliteOutgoing(store, time.time)
    await outgoing.renew()
    make, ids = id_factory(), []

    async def put(sender: ReversePath, recipients: tuple[tuple[Recipient, str], ...]) -> None:
        ids.append(make())
        fresh = Fresh(ids[-1], len(BODY), sender, None, "one@here.test", now, now + 86400, recipients, now)
        put = outgoing.put(fresh, mine=False)
        placements = [Target(ACCOUNT, HEAD, MAILBOX)]
        await store.deliver(fresh.id, Bytes(BODY), placements, now, all_or_nothing=True, in_transaction=[put])

    try:
        sender = ReversePath(Address.parse("a@here.test"), body=BodyType.EIGHT_BIT, ret="HDRS", envid="x+2B")
        second = Recipient(Address.parse("c@z.test"), ("FAILURE", "DELAY"), "rfc822;c@z.test")
        await put(sender, ((Recipient(Address.parse("b@y.test")), "y.test"), (second, "route/relay")))
        said = Try(now, 451, LATER, "mx.y.test", "192.0.2.1", "TLSv1.3")
        await outgoing.record(
            [AttemptRecord(one, RecipientState.WAITING, said, due=now + 3000) for one in await outgoing.claim([], 10)]
        )
        await put(ReversePath(None), ((Recipient(Address.parse("d@y.test")), "y.test"),))
        await outgoing.leave()
    finally:
        await store.close()
    return Queued(data, *map(format_id, ids))


@pytest.fixture
def queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queued:
    monkeypatch.setenv("POSTHOUSE_CONFIG", str(tmp_path / "posthouse.toml"))
    (tmp_path / "posthouse.toml").write_text("")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return asyncio.run(_fill(tmp_path))


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        assert self.code == Exit.OK, self.err
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(queued: Queued, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> Done:
        code = main(["queue", *words, "--data", str(queued.data)])
        captured = capfd.readouterr()
        return Done(code, captured.out, captured.err)

    return run


def states(run: Run) -> dict[str, str]:
    rows = run("list", "--settled", "--json").document["recipients"]
    return {row["recipient"]: "held" if row["held"] else row["state"] for row in rows}


def test_what_a_sender_has_in_hand_is_said(queued: Queued, run: Run) -> None:
    """A hold or a drop may come too late for a try that has begun."""
    connection = open_connection(queued.data / "posthouse.db")
    connection.execute("UPDATE queued_recipient SET claim = 5 WHERE address = 'b@y.test'")
    connection.close()
    held = run("hold", "--all")
    assert held.err.splitlines()[0] == "3 recipients held."
    assert "1 recipient may be on the way" in held.err
    assert "on the way" not in run("release", "--to", "c@z.test").err
    assert run("drop", "--to", "z.test", "--yes").err.splitlines() == ["1 recipient dropped."]
    assert run("hold", "--to", "b@y.test", "--json").document == {"version": 1, "recipients": 0, "under_way": 1}
    dropped = run("drop", "--all", "--yes", "--json").document
    assert dropped == {"version": 1, "recipients": 2, "under_way": 1}


def test_list(queued: Queued, run: Run) -> None:
    done = run("list")
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert [row[0] for row in rows] == [queued.bounce, queued.first, queued.first]
    assert [row[3:6] for row in rows] == [
        ["<>", "d@y.test", "0"],
        ["a@here.test", "b@y.test", "1"],
        ["a@here.test", "c@z.test", "1"],
    ]
    assert [row[6].partition(" in ")[0] for row in rows] == ["due", "next", "next"]
    assert rows[1][7] == "451 4.7.1 come back later \\x1b[2J"
    assert done.err == "3 recipients of 2 messages.\n"


def test_list_fits_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("list").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["id", "age", "size", "tries", "state"]
    assert "    sender: a@here.test" in lines and "    recipient: c@z.test" in lines
    assert "    last reply: 451 4.7.1 come back later \\x1b[2J" in lines


def test_list_what_was_asked_for(queued: Queued, run: Run) -> None:
    assert run("list", "--limit", "1").err == "The newest 1 of 3 recipients of 2 messages.\n"
    assert run("list", "--sender", "<>", "--to", "y.test").err == "1 recipient of 1 message.\n"
    assert run("list", "--destination", "route/relay").out.split("\t")[4] == "c@z.test"
    none = run("list", "--held")
    assert (none.code, none.out, none.err) == (0, "", "Nothing that waits is like that.\n")
    assert run("list", "--limit", "0").code == Exit.USAGE
    assert run("drop", "--all", "--yes").code == Exit.OK
    assert run("list").err == "Nothing waits to be sent.\n"
    assert run("list", "--all").err == "3 recipients of 2 messages.\n"


def test_list_for_programs(queued: Queued, run: Run) -> None:
    document = run("list", "--json", "--to", "c@z.test").document
    assert document["version"] == 1
    assert document["total"] == {"recipients": 1, "messages": 1}
    (row,) = document["recipients"]
    assert row["id"] == queued.first
    assert (row["sender"], row["recipient"], row["destination"]) == ("a@here.test", "c@z.test", "route/relay")
    assert (row["body"], row["smtputf8"], row["ret"], row["envid"]) == ("8BITMIME", False, "HDRS", "x+2B")
    assert (row["notify"], row["orcpt"]) == (["FAILURE", "DELAY"], "rfc822;c@z.test")
    assert (row["state"], row["held"], row["being_sent"], row["attempts"]) == ("waiting", False, False, 1)
    (tried,) = row["tries"]
    assert (tried["code"], tried["reply"], tried["host"], tried["tls"]) == (451, LATER, "mx.y.test", "TLSv1.3")


def test_show(queued: Queued, run: Run) -> None:
    done = run("show", queued.first.upper()[:22])
    assert done.code == Exit.OK
    for word in (
        queued.first,
        "from <a@here.test>",
        "Message-ID one@here.test",
        "BODY=8BITMIME, RET=HDRS, ENVID=x+2B",
        "to <b@y.test> by way of y.test",
        "to <c@z.test> by way of route/relay, NOTIFY=FAILURE,DELAY, ORCPT=rfc822;c@z.test",
        "mx.y.test [192.0.2.1] (TLSv1.3): 451 4.7.1 come back later \\x1b[2J",
        "now: waits, next in 50m; is given up after ",
    ):
        assert word in done.out
    assert "d@y.test" not in done.out
    assert "\x1b" not in done.out


def test_show_the_message(queued: Queued, run: Run) -> None:
    head = run("show", queued.first, "--head").out
    assert head.endswith("\n\nReceived: here\nSubject: \\x1b[31mred\nMessage-ID: <one@here.test>\n")
    document = run("show", queued.first, "--head", "--json").document
    assert document["header"] == ["Received: here", "Subject: \x1b[31mred", "Message-ID: <one@here.test>"]
    assert len(document["recipients"]) == 2
    assert run("show", queued.first, "--body", "--json").code == Exit.USAGE


def test_the_message_comes_octet_by_octet(queued: Queued, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["queue", "show", queued.first, "--body", "--data", str(queued.data)]) == Exit.OK
    assert capfdbinary.readouterr() == (HEAD + BODY, b"")


def test_a_message_that_was_collected_is_told_of(queued: Queued, run: Run) -> None:
    async def collect() -> None:
        store = SqliteMailstore.open(queued.data, bus=LocalBus(), reserve_octets=4096, rooms={ROOM: MIGRATIONS})
        entries = await store.entries(ACCOUNT, MAILBOX)
        await store.expunge(ACCOUNT, MAILBOX, [entry.message for entry in entries])
        await store.close()

    asyncio.run(collect())
    done = run("show", queued.first, "--body")
    assert (done.code, done.out) == (Exit.FAILED, "")
    assert "the message itself is gone" in done.err


def test_what_id_is_meant(queued: Queued, run: Run) -> None:
    unknown = run("show", "0" * 26)
    assert (unknown.code, unknown.out) == (Exit.FAILED, "")
    assert unknown.err.startswith(f"error: no message {'0' * 26} is in the queue\n")
    last = "0" if queued.first[-1] != "0" else "1"
    assert f'did you mean "{queued.first}"?' in run("retry", queued.first[:-1] + last).err
    both = run("show", queued.first[:6])
    assert both.code == Exit.USAGE
    assert queued.first in both.err and queued.bounce in both.err
    assert "too short" in run("hold", "01m").err
    assert "no message id" in run("drop", "not-an-id", "--yes").err


@pytest.mark.parametrize("verb", ["retry", "hold", "release", "drop"])
def test_nobody_changes_all_by_saying_nothing(verb: str, run: Run) -> None:
    done = run(verb)
    assert (done.code, done.out) == (Exit.USAGE, "")
    assert "--all" in done.err


def test_hold_and_release(queued: Queued, run: Run) -> None:
    assert run("hold", queued.first).err == "2 recipients held.\n"
    assert run("hold", queued.first).err == "Nothing to be held.\n"
    assert states(run) == {"b@y.test": "held", "c@z.test": "held", "d@y.test": "waiting"}
    assert run("release", "--held", "--to", "z.test", "--json").document == {"version": 1, "recipients": 1}
    assert states(run) == {"b@y.test": "held", "c@z.test": "waiting", "d@y.test": "waiting"}


def test_retry(queued: Queued, run: Run) -> None:
    run("hold", "--to", "c@z.test")
    assert run("retry", queued.first).err == "1 recipient tried now.\n"
    (row,) = run("list", "--to", "b@y.test", "--json").document["recipients"]
    assert row["due"] == 0


def test_drop_asks(queued: Queued, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("drop", queued.first)
    assert done.code == Exit.USAGE
    assert "--yes" in done.err
    for answer, code in (("n\n", Exit.FAILED), ("y\n", Exit.OK)):
        typed = io.StringIO(answer)
        monkeypatch.setattr(typed, "isatty", lambda: True)
        monkeypatch.setattr(sys, "stdin", typed)
        done = run("drop", queued.first)
        assert "Drop 2 recipients of 1 message without a bounce? [y/N]" in done.err
        assert done.code == code
    assert states(run) == {"b@y.test": "dropped", "c@z.test": "dropped", "d@y.test": "waiting"}
    assert run("drop", queued.first).err == "Nothing to be dropped.\n"
    assert "dropped by an operator" in run("show", queued.first).out


def test_a_busy_queue(queued: Queued, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hasty(QueueAdmin):
        def __init__(self, path: Path) -> None:
            super().__init__(path, patience=0.01)

    monkeypatch.setattr(queue, "QueueAdmin", Hasty)
    connection = open_connection(queued.data / "posthouse.db")
    connection.execute("BEGIN IMMEDIATE")
    done = run("hold", "--all")
    assert (done.code, done.out) == (Exit.TRY_LATER, "")
    assert done.err.startswith("error: the queue is busy")
    connection.execute("ROLLBACK")
    connection.close()


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("a@here.test", ["b@y.test", "c@z.test"]),
        ("C@z.test", ["c@z.test"]),
        ("y.test", ["d@y.test", "b@y.test"]),
        ("<one@here.test>", ["d@y.test", "b@y.test", "c@z.test"]),
    ],
)
def test_mail_trace_tells_of_what_went_out(
    question: str, found: list[str], queued: Queued, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["mail", "trace", question, "--json", "--data", str(queued.data)]) == Exit.OK
    document = json.loads(capfd.readouterr().out)
    assert [row["recipient"] for row in document["sent"]] == found
    assert document["kept"] == []
    assert main(["mail", "trace", question, "--data", str(queued.data)]) == Exit.OK
    out = capfd.readouterr().out
    assert all(f"to <{recipient}> by way of " in out for recipient in found)
    assert "\x1b" not in out


def test_where_no_server_ever_ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["queue", "list", "--data", str(tmp_path)]) == Exit.CONFIG
    assert "there is no mail store" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert main(["queue", "list", "--data", str(tmp_path / "no")]) == Exit.UNAVAILABLE


def test_who_was_told_of_the_end() -> None:
    message = QueuedMessage(1, bytes(16), 0, 5, ReversePath(Address.parse("a@here.test")), None, "", 0, 1)
    each = Traced(
        message, 0, Recipient(Address.parse("b@y.test")), "y.test", RecipientState.FAILED, False, 0, 1, False, 9, ()
    )
    assert "failed; the sender was told" in list(life([each]))[-1]
    for silent in (
        replace(each, message=replace(message, sender=ReversePath(None))),
        replace(each, recipient=Recipient(Address.parse("b@y.test"), ("NEVER",))),
    ):
        assert "failed; there was nobody to tell" in list(life([silent]))[-1]
