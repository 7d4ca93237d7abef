"""Mail without a row, and mail without an account: found, filed once, and nothing else touched."""

import errno
import os
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import apsw
import pytest

from posthouse.database.connection import open_reader
from posthouse.database.identity import read_identity
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.findings import Finding, Severity
from posthouse.mailstore.fsck import check
from posthouse.mailstore.interface import KEYWORD_SHIFT, Flag, StoreError, Target
from posthouse.mailstore.loose import Unreadable
from posthouse.mailstore.pack_check import damage_of
from posthouse.mailstore.records import make_header
from posthouse.mailstore.salvage import LooseMessage, loose_messages
from posthouse.mailstore.sqlite import recovering
from posthouse.mailstore.sqlite.migrations import MIGRATIONS
from posthouse.mailstore.sqlite.recovering import Owner, Salvage
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.bad_sectors import spoil
from tests.store_invariants import assert_sound
from tests.stores import NOW, PREFIX, Bytes, append, contents, deliver, delivery_id, letter

OTHER = PREFIX.replace(b"b@", b"c@")


def opened(folder: Path) -> SqliteMailstore:
    return SqliteMailstore.open(folder, bus=LocalBus(), pack_octets=10_000, reserve_octets=4096, clock=lambda: NOW)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """Two packs; five messages of account 1, one of them in account 2 as well."""
    store = opened(tmp_path)
    for number in range(4):
        await deliver(store, 1, b"%d" % number * 4000)
    both = [Target(1, PREFIX), Target(2, OTHER)]
    await store.deliver(delivery_id(), Bytes(b"for both\r\n"), both, NOW, all_or_nothing=True)
    await store.close()
    return tmp_path


def sql(folder: Path, statement: str) -> None:
    with closing(apsw.Connection(str(folder / "posthouse.db"))) as connection:
        connection.execute(statement).fetchall()


_COUNT = """
    UPDATE mailbox SET (messages, unseen, octets) = (SELECT count(*), count(*), coalesce(sum(octets), 0) FROM message
    WHERE message.account_id = mailbox.account_id AND message.mailbox_id = mailbox.mailbox_id)
"""


def lose(folder: Path, where: str) -> None:
    """Make it as if the rows of some bodies had never been committed."""
    sql(folder, f"DELETE FROM message WHERE blob_id IN (SELECT blob_id FROM blob WHERE {where})")
    sql(folder, f"DELETE FROM blob WHERE {where}")
    sql(folder, _COUNT)
    list(check(folder, repair=True))
    assert_sound(folder)


def loose(folder: Path) -> list[LooseMessage]:
    return list(loose_messages(folder))


def bodies(folder: Path) -> list[bytes]:
    return [b"".join(message.body())[:20] for message in loose(folder)]


def notes(folder: Path) -> list[Finding]:
    return [finding for finding in check(folder) if finding.severity is Severity.NOTE]


async def file_all(folder: Path, account: int = 7) -> int:
    """File all that is loose for one account; how many."""
    store = opened(folder)
    ready = []
    for message in loose_messages(folder):
        octets = len(message.prefixes())
        owner = Owner(account, octets, octets)
        ready.append(Salvage(message.record, message.headed, 0, NOW, (owner,)))
    filed = await store.transact(lambda connection: recovering.file_loose(connection, ready, NOW))
    again = await store.transact(lambda connection: recovering.file_loose(connection, ready, NOW))
    assert again == 0
    await store.close()
    return filed


async def recovered(folder: Path, account: int = 7) -> list[bytes]:
    store = opened(folder)
    found = await contents(store, account, "Recovered")
    await store.close()
    return found


def test_a_sound_store_has_nothing_loose(folder: Path) -> None:
    assert loose(folder) == []
    assert notes(folder) == []


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("blob_id = (SELECT min(blob_id) FROM blob)", 1),  # at the start of a pack
        ("blob_id = (SELECT blob_id FROM blob ORDER BY blob_id LIMIT 1 OFFSET 1)", 1),  # between two records
        ("blob_id = (SELECT max(blob_id) FROM blob)", 1),  # the last
        ("pack = 1", 3),  # next to each other
        ("1", 5),
    ],
)
async def test_records_without_rows_are_named_filed_and_then_like_any_other(
    where: str, count: int, folder: Path
) -> None:
    lose(folder, where)
    assert len(loose(folder)) == count
    found = [finding for finding in notes(folder) if finding.kind == "loose messages"]
    assert all("fsck --salvage" in finding.advice for finding in found)
    assert sum(int(finding.what.split()[1]) for finding in found) == count
    expected = bodies(folder)
    assert await file_all(folder) == count
    assert [message.removeprefix(PREFIX).removeprefix(OTHER + PREFIX)[:20] for message in await recovered(folder)] == (
        expected
    )
    assert loose(folder) == []
    assert_sound(folder)
    store = opened(folder)
    await deliver(store, 7)  # what comes next goes behind them
    await store.close()
    assert_sound(folder)


@pytest.mark.parametrize("lengths", ["", ", octets = octets + 9, digest = zeroblob(16)"])
async def test_bodies_whose_messages_were_lost_are_filed_whatever_their_rows_say(lengths: str, folder: Path) -> None:
    """As when pages of the database were damaged: the row of the body is there, those of its messages are not."""
    sql(folder, "DELETE FROM message WHERE account_id = 1")
    sql(folder, _COUNT)
    sql(folder, f"UPDATE blob SET freed = 5{lengths} WHERE blob_id = (SELECT min(blob_id) FROM blob)")
    list(check(folder, repair=True))
    assert sorted(each[:5] for each in bodies(folder)) == [b"00000", b"11111", b"22222", b"33333"]
    (loose_ones,) = [each for each in notes(folder) if each.where == "packs/1.pack"]
    assert loose_ones.kind == "loose messages"
    store = opened(folder)
    await store.reap(NOW * 2, grace=0)
    await store.close()
    assert await file_all(folder) == 4
    assert loose(folder) == []
    assert_sound(folder)
    store = opened(folder)
    (both,) = await contents(store, 2)  # it had a message left
    assert both.endswith(b"for both\r\n")
    await store.expunge(7, "Recovered", [entry.message for entry in await store.entries(7, "Recovered")])
    await store.reap(NOW * 2, grace=0)
    await store.close()
    assert loose(folder) == []  # deleted, they do not come back
    assert_sound(folder)


@pytest.mark.parametrize("partly", [False, True])
@pytest.mark.parametrize(
    ("bad", "lost"),
    [
        (range(4096), b"0"),  # the head and a record
        (range(64, 120), b"0"),  # the header of a record
        (range(5000, 5512), b"1"),  # in a body
        (range(4096, 8192), b"01"),  # at the end of one and in the next one
        (range(16384, 1 << 20), b""),  # behind all
        (range(1 << 20), b"012"),
    ],
)
async def test_one_bad_sector_does_not_hide_the_rest(
    bad: range, lost: bytes, partly: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(folder, "1")
    with (folder / "packs" / "1.pack").open("ab") as file:
        file.write(b"x" * 10_000)
    with monkeypatch.context() as patch:
        spoil(patch, "1.pack", bad, partly=partly)
        told: list[Unreadable] = []
        found = [b"".join(message.body())[:1] for message in loose_messages(folder, told.append)]
        assert sorted(found) == sorted({b"0", b"1", b"2", b"3", b"f"} - {bytes([each]) for each in lost})
        assert told
        assert {each.pack for each in told} == {1}
        assert all("Input/output error" in each.reason for each in told)
        with pytest.raises(StoreError, match="pack 1 cannot be read at"):
            list(loose_messages(folder))
        kinds = {(each.kind, each.where) for each in check(folder)}
        assert ("unreadable pack", "packs/1.pack") in kinds
        assert ("loose messages", "packs/2.pack") in kinds
    assert len(loose(folder)) == 5


async def test_a_pack_that_cannot_be_opened_does_not_hide_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(folder, "1")
    opened_before = os.open

    def failing(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if Path(path).name == "1.pack":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opened_before(path, flags, mode)

    monkeypatch.setattr(os, "open", failing)
    told: list[Unreadable] = []
    assert len(list(loose_messages(folder, told.append))) == 2
    assert [(each.pack, each.offset) for each in told] == [(1, 0)]
    kinds = {(each.kind, each.where) for each in check(folder)}
    assert ("unreadable pack", "packs/1.pack") in kinds
    assert ("loose messages", "packs/2.pack") in kinds


async def test_what_stands_behind_the_known_end_of_a_pack(folder: Path) -> None:
    """A posthouse.db that is older than its packs."""
    earlier = folder.parent / "earlier.db"
    shutil.copy(folder / "posthouse.db", earlier)
    store = opened(folder)
    await deliver(store, 1, b"later\r\n")
    await deliver(store, 1, b"x" * 9000)
    await deliver(store, 1, b"in a pack of its own\r\n")
    await store.close()
    shutil.copy(earlier, folder / "posthouse.db")
    assert sorted(each[:5] for each in bodies(folder)) == [b"in a ", b"later", b"xxxxx"]
    assert "unknown pack" in {finding.kind for finding in notes(folder)}
    assert await file_all(folder) == 3
    assert_sound(folder)
    assert notes(folder) == []


async def test_what_is_not_whole_is_no_message(folder: Path) -> None:
    lose(folder, "pack = 1")
    pack = folder / "packs" / "1.pack"
    data = bytearray(pack.read_bytes())
    first, second, third = (message.record for message in loose(folder))
    data[first.prefixes_at + 3] ^= 1
    data[second.body_at + 3] ^= 1
    pack.write_bytes(data[: third.end - 1])
    assert bodies(folder) == []


def test_a_record_inside_a_message_is_a_part_of_it(folder: Path) -> None:
    """Somebody may send us a pack; and what is in a loose message is not looked at again either."""
    record = (folder / "packs" / "1.pack").read_bytes()[64 : 64 + 56 + len(PREFIX) + 4000]
    pack = folder / "packs" / "2.pack"
    with pack.open("ab") as file:
        file.write(b"PHrc" + b"\xff" * 100 + record + b"PHrc")
    (found,) = loose(folder)
    assert b"".join(found.body()) == b"0" * 4000


async def test_deleted_mail_does_not_come_back(folder: Path) -> None:
    store = opened(folder)
    entries = await store.entries(1)
    await store.expunge(1, "INBOX", [entry.message for entry in entries[:2]])
    assert loose(folder) == []  # removed, but its space not given back yet
    await store.reap(NOW + 9999, grace=0)
    assert loose(folder) == []
    await store.close()


async def test_what_is_on_its_way_is_not_loose(folder: Path) -> None:
    """A pack that a process appends to is not looked at: its last records may get their rows the next moment."""
    store = opened(folder)
    await deliver(store, 1, b"one\r\n")
    lose_last = "blob_id = (SELECT max(blob_id) FROM blob)"
    sql(folder, f"DELETE FROM message WHERE {lose_last}")
    sql(folder, f"DELETE FROM blob WHERE {lose_last}")
    assert loose(folder) == []
    await store.close()
    assert bodies(folder) == [b"one\r\n"]


async def test_packs_that_are_not_of_this_store(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    store = opened(other)
    await deliver(store, 1)
    await store.close()
    shutil.copy(other / "packs" / "1.pack", folder / "packs" / "9.pack")
    shutil.copy(folder / "packs" / "1.pack", folder / "packs" / "8.pack")
    heads = {finding.where: finding.what for finding in notes(folder) if finding.kind == "pack head"}
    assert "another mail store" in heads["packs/9.pack"]
    assert "is pack 1 under another name" in heads["packs/8.pack"]
    assert loose(folder) == []
    shutil.copy(other / "packs" / "1.pack", folder / "packs" / "1.pack")
    errors = [finding for finding in check(folder) if finding.severity is Severity.ERROR]
    assert errors[0].kind in ("short pack", "pack head")
    assert "pack head" in {finding.kind for finding in errors}


def test_many_candidates_that_are_none_take_bounded_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers that claim all that follows, each with a sound CRC, and bodies that do not match."""
    size, count = 200_000, 2_000
    forged = b"".join(make_header((), size - 56 * (number + 1), bytes(32), 1) for number in range(count))
    with (folder / "packs" / "2.pack").open("ab") as file:
        file.write(forged.ljust(size, b"x"))
    read = 0

    def counting(fd: int, offset: int, prefixes: int, octets: int, sha256: bytes, identity: int) -> str:
        nonlocal read
        read += octets
        return damage_of(fd, offset, prefixes, octets, sha256, identity)

    monkeypatch.setattr("posthouse.mailstore.loose.damage_of", counting)
    assert loose(folder) == []
    assert 0 < read < 20 * size


# Accounts that are gone.


def mail_of_unknown_accounts(folder: Path, known: set[int]) -> list[tuple[int | None, str]]:
    found = check(folder, accounts=known)
    return [(each.account, each.what) for each in found if each.kind == "unknown account"]


async def adopt_all(folder: Path, account: int, target: int) -> int:
    store = opened(folder)
    moved = 0
    while some := await store.transact(lambda connection: recovering.adopt(connection, account, target, NOW)):
        moved += some
    await store.close()
    return moved


async def test_mail_of_an_unknown_account_is_named_and_moved_with_its_flags(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovering, "MESSAGES", 2)
    store = opened(folder)
    await store.create(1, "Work/2026")
    await append(
        store, 1, letter(b"a\r\n", Flag.SEEN, "Red", "Blue"), letter(b"b\r\n", Flag.DELETED), mailbox="Work/2026"
    )
    await append(store, 3, letter(b"c\r\n", Flag.NONE, "Blue"))
    before = await contents(store, 1)
    await store.close()
    assert mail_of_unknown_accounts(folder, {1, 2, 3}) == []
    ((account, what),) = mail_of_unknown_accounts(folder, {2, 3})
    assert (account, what.split()[:3]) == (1, ["holds", "7", "messages,"])
    assert await adopt_all(folder, 1, 3) == 7
    assert await adopt_all(folder, 1, 3) == 0
    assert mail_of_unknown_accounts(folder, {2, 3}) == []
    assert_sound(folder)
    store = opened(folder)
    assert await contents(store, 3, "Recovered/INBOX") == before
    assert [each.removeprefix(PREFIX) for each in await contents(store, 3, "Recovered/Work/2026")] == [
        b"a\r\n",
        b"b\r\n",
    ]
    sets = {0: (), **await store.keyword_sets(3)}
    snapshot = await store.snapshot(3, "Recovered/Work/2026")
    flags = [set(sets[each >> KEYWORD_SHIFT]) for each in snapshot.flags]
    assert flags == [{"Red", "Blue"}, set()]
    assert [Flag(each & 31) for each in snapshot.flags] == [Flag.SEEN, Flag.DELETED]
    box = await store.mailbox(3, "Recovered/Work/2026")
    assert box is not None
    assert (box.messages, box.unseen) == (2, 1)
    await store.close()


def test_a_database_begun_anew_gives_no_number_twice(folder: Path) -> None:
    path = folder / "posthouse.db"
    with closing(open_reader(path)) as connection:
        known = read_identity(connection)
    assert known is not None
    recovering.create_replacement(path, {"": MIGRATIONS}, replace(known, generation=4), [1, 2], NOW)
    assert len(loose(folder)) == 5
    with closing(open_reader(path)) as connection:
        assert read_identity(connection) == replace(known, generation=4)
        counters = connection.execute("SELECT next_message, modseq, uidvalidity FROM account").fetchall()
    assert counters == [(NOW, NOW, NOW)] * 2
    assert_sound(folder)


class Given(NamedTuple):
    """What clients have been told."""

    messages: set[int]
    uidvalidities: set[int]
    mailboxes: set[int]
    modseq: int


async def use(folder: Path) -> Given:
    """Add messages and mailboxes; the numbers that were given for it, but the uidvalidities of all mailboxes."""
    store = opened(folder)
    known = await store.entries(1), await store.mailboxes(1)
    for _ in range(5):
        await deliver(store, 1)
        await store.create(1, f"Box {len(await store.mailboxes(1))}")
    messages = {entry.message for entry in await store.entries(1)} - {entry.message for entry in known[0]}
    boxes = await store.mailboxes(1)
    assert len({box.uidvalidity for box in boxes}) == len(boxes)
    mailboxes = {box.id for box in boxes} - {box.id for box in known[1]}
    given = Given(messages, {box.uidvalidity for box in boxes}, mailboxes, store.modseq(1))
    await store.close()
    return given


@pytest.mark.parametrize("again", [1, 2])  # 2: it was interrupted after that
async def test_an_older_database_gives_no_number_again_that_was_given_since(again: int, folder: Path) -> None:
    """POP3 clients know mail by message ids, IMAP clients by uids and modseqs. Here the clock stands still."""
    path, older = folder / "posthouse.db", folder.parent / "older.db"
    lost: list[Given] = []
    for _ in range(3):
        shutil.copy(path, older)
        lost.append(await use(folder))
        shutil.copy(older, path)
        for _ in range(again):
            recovering.renew_numbers(path, {"": MIGRATIONS}, NOW)
        assert_sound(folder)
        store = opened(folder)
        (inbox,) = [box for box in await store.mailboxes(1) if box.name == "INBOX"]
        assert inbox.modseq == store.modseq(1) > lost[-1].modseq
        await store.close()
    given = await use(folder)
    for before in lost:
        assert given.messages.isdisjoint(before.messages)
        assert given.mailboxes.isdisjoint(before.mailboxes)
        assert given.uidvalidities.isdisjoint(before.uidvalidities)
    assert_sound(folder)
