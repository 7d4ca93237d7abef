"""What fsck finds, names and repairs."""

import asyncio
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.findings import Finding, Severity
from posthouse.mailstore.fsck import check
from posthouse.mailstore.interface import INBOX, Flag, StoreError, Target
from posthouse.mailstore.records import HEADER_OCTETS, PACK_HEAD_OCTETS
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.store_invariants import assert_sound
from tests.stores import NOW, PREFIX, Bytes, append, deliver, delivery_id, letter

SECOND = PACK_HEAD_OCTETS + HEADER_OCTETS + len(PREFIX) + 4000  # where the second record starts


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A store with two packs: three messages of account 1, and a body that account 2 and its "Junk" share."""
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), pack_octets=10_000, reserve_octets=4096)
    for number in range(3):
        await deliver(store, 1, b"%d" % number * 4000)
    shared = [Target(2, PREFIX), Target(1, b"X-Junk: 1\r\n", "Junk")]
    await store.deliver(delivery_id(), Bytes(b"shared\r\n"), shared, NOW, all_or_nothing=True)
    await store.close()
    return tmp_path


def change(folder: Path, statement: str) -> None:
    connection = apsw.Connection(str(folder / "posthouse.db"))
    connection.execute(statement).fetchall()
    connection.close()


def found(folder: Path, *, repair: bool = False) -> list[tuple[str, str, str]]:
    return [(str(finding.severity), finding.kind, finding.where) for finding in check(folder, repair=repair)]


def test_a_sound_store(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    assert list(check(folder, progress=lambda done, total: told.append((done, total)))) == []
    assert told[-1] == (4, 4)


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no posthouse\.db"):
        list(check(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "posthouse.db").write_bytes(b"nonsense" * 1000)
    (finding,) = check(tmp_path)
    assert (finding.severity, finding.kind) == (Severity.ERROR, "database")
    assert "not a database" in finding.what


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "posthouse.db").mkdir()
    with pytest.raises(StoreError):
        list(check(tmp_path))


@pytest.mark.parametrize("bit", range(0, 8, 3))
@pytest.mark.parametrize(
    ("at", "what"),
    [
        (0, "there is no record"),
        (5, "there is no record"),
        (7, "trace headers are damaged"),
        (9, "other lengths"),
        (13, "other lengths"),
        (18, "trace headers are damaged"),
        (22, "trace headers are damaged"),
        (53, "trace headers are damaged"),
        (60, "trace headers are damaged"),
        (3000, "the body is damaged"),
        (HEADER_OCTETS + len(PREFIX) + 3999, "the body is damaged"),
    ],
)
def test_one_flipped_bit_is_found_and_named(folder: Path, at: int, what: str, bit: int) -> None:
    record = SECOND
    with (folder / "packs" / "1.pack").open("r+b") as file:
        file.seek(record + at)
        octet = file.read(1)[0]
        file.seek(record + at)
        file.write(bytes([octet ^ 1 << bit]))
    (finding,) = check(folder)
    assert finding.severity is Severity.ERROR
    assert (finding.kind, finding.where, finding.account) == (
        "damaged message",
        "account 1, INBOX, message 2 (uid 2)",
        1,
    )
    assert what in finding.what
    assert finding.advice


def test_every_message_of_a_damaged_body_is_named(folder: Path) -> None:
    pack = folder / "packs" / "2.pack"
    data = bytearray(pack.read_bytes())
    data[-1] ^= 1
    pack.write_bytes(data)
    assert [finding.where for finding in check(folder)] == [
        "account 1, Junk, message 4 (uid 1)",
        "account 2, INBOX, message 1 (uid 1)",
    ]


def test_a_missing_pack(folder: Path) -> None:
    (folder / "packs" / "2.pack").unlink()
    assert found(folder) == [
        ("error", "missing pack", "packs/2.pack"),
        ("error", "damaged message", "account 1, Junk, message 4 (uid 1)"),
        ("error", "damaged message", "account 2, INBOX, message 1 (uid 1)"),
    ]


def test_a_short_pack(folder: Path) -> None:
    os.truncate(folder / "packs" / "2.pack", 100)
    assert ("error", "short pack", "packs/2.pack") in found(folder)
    assert len(found(folder)) == 3


def test_a_pack_nobody_knows(folder: Path) -> None:
    (folder / "packs" / "9.pack").write_bytes(b"")
    assert found(folder) == [("note", "unknown pack", "packs/9.pack")]


@pytest.mark.parametrize(
    ("statement", "kind", "where"),
    [
        ("UPDATE account SET messages = 9 WHERE account_id = 1", "counters of account", "account 1"),
        ("UPDATE account SET octets = octets - 1 WHERE account_id = 2", "counters of account", "account 2"),
        ("UPDATE account SET next_message = 2 WHERE account_id = 1", "next message", "account 1"),
        ("UPDATE account SET modseq = 1 WHERE account_id = 1", "modseq", "account 1"),
        ("UPDATE account SET next_mailbox = 2 WHERE account_id = 1", "next mailbox", "account 1"),
        ("UPDATE account SET uidvalidity = 1 WHERE account_id = 2", "next mailbox", "account 2"),
        ("UPDATE mailbox SET uidnext = 3 WHERE account_id = 1 AND name = 'INBOX'", "uidnext", "account 1, INBOX"),
        ("UPDATE blob SET refs = 5 WHERE pack = 2", "references of body", "pack 2 at 64"),
        ("UPDATE blob SET refs = 1 WHERE pack = 2", "references of body", "pack 2 at 64"),
        ("UPDATE blob SET freed = 7 WHERE pack = 2", "freed body", "pack 2 at 64"),
        ("UPDATE account SET log_rows = 3 WHERE account_id = 1", "log of expunges", "account 1"),
        ("UPDATE pack SET live = 7 WHERE pack = 1", "counters of pack", "pack 1"),
        ("UPDATE pack SET end = 7 WHERE pack = 2", "counters of pack", "pack 2"),
    ],
)
async def test_wrong_numbers_are_found_and_repaired(folder: Path, statement: str, kind: str, where: str) -> None:
    change(folder, statement)
    assert found(folder) == [("warning", kind, where)]
    assert found(folder) == [("warning", kind, where)]  # looking changes nothing
    (finding,) = check(folder, repair=True)
    assert finding.repaired
    assert_sound(folder)
    store = SqliteMailstore.open(folder, bus=LocalBus(), reserve_octets=4096)
    for account in (1, 2):
        await deliver(store, account)
    await store.close()
    assert_sound(folder)


@pytest.mark.parametrize(
    ("statement", "kinds"),
    [
        ("UPDATE keyword_set SET messages = 7 WHERE set_id = 1", ["counters of keywords"]),
        ("UPDATE keyword SET sets = 7 WHERE keyword_id = 1", ["sets of keyword"]),
        ("UPDATE account SET next_keyword_set = 2", ["next set of keywords"]),
        ("INSERT INTO keyword VALUES (1, 9, 'Gone', 0)", ["unused keyword"]),
        (
            "UPDATE message SET flags = 1 WHERE flags >> 5 = 2",
            ["counters of keywords", "unused keywords", "sets of keyword", "sets of keyword", "unused keyword"],
        ),
        (
            "DELETE FROM keyword_set WHERE set_id = 2",
            ["keywords of message", "sets of keyword", "sets of keyword", "unused keyword"],
        ),
    ],
)
async def test_wrong_keywords_are_found_and_repaired(tmp_path: Path, statement: str, kinds: list[str]) -> None:
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await append(store, 1, letter(b"a", Flag.SEEN, "A"), letter(b"b", Flag.SEEN, "A", "B"))
    await store.close()
    change(tmp_path, statement)
    repaired = list(check(tmp_path, repair=True))
    assert [finding.kind for finding in repaired] == kinds and all(finding.repaired for finding in repaired)
    assert_sound(tmp_path)
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    await append(store, 1, letter(b"c", Flag.SEEN, "B"), letter(b"d", Flag.SEEN, "C"))
    assert set(await store.keywords(1)) == {"A", "B", "C"}
    await store.close()
    assert_sound(tmp_path)


def test_a_body_in_use_that_was_counted_as_unused(folder: Path) -> None:
    change(folder, "UPDATE blob SET refs = 0, freed = 5 WHERE pack = 1 AND offset = 64")
    assert [finding.kind for finding in check(folder, repair=True)] == ["references of body"]
    assert_sound(folder)


def test_the_last_copy_of_lost_messages_is_never_counted_as_unused(folder: Path) -> None:
    """What counts as unused is given back an hour later."""
    change(folder, "DELETE FROM message WHERE blob_id IN (SELECT blob_id FROM blob WHERE pack = 2)")
    for repair in (False, True, False):
        (finding,) = [each for each in check(folder, repair=repair) if each.kind == "body without message"]
        assert (finding.severity, finding.where, finding.repaired) == (Severity.ERROR, "pack 2 at 64", False)
        assert "fsck --salvage" in finding.advice
    with closing(apsw.Connection(str(folder / "posthouse.db"))) as connection:
        assert connection.execute("SELECT refs, freed FROM blob WHERE pack = 2").fetchall() == [(2, None)]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE message SET uid = 1 WHERE account_id = 1 AND message_id = 2", {"uid given twice"}),
        ("DELETE FROM mailbox WHERE account_id = 2", {"message without mailbox"}),
        ("DELETE FROM account WHERE account_id = 2", {"message without mailbox"}),
        (f"DELETE FROM blob WHERE pack = 1 AND offset = {SECOND}", {"message without body", "counters of pack"}),
        ("UPDATE message SET octets = 5 WHERE account_id = 2", {"size of message", "counters of account"}),
        ("UPDATE message SET prefix_back = 5000 WHERE account_id = 2", {"size of message"}),
        ("DELETE FROM pack WHERE pack = 2", {"pack not in catalogue"}),
        (
            f"""UPDATE blob SET blob_id = blob_id - 8 WHERE pack = 1 AND offset = {SECOND};
            UPDATE message SET blob_id = blob_id - 8 WHERE account_id = 1 AND message_id = 2""",
            {"bodies overlap", "damaged message"},
        ),
    ],
)
def test_what_cannot_be_repaired_is_found(folder: Path, statement: str, expected: set[str]) -> None:
    change(folder, statement)
    before = list(check(folder))
    assert {finding.kind for finding in before if finding.severity is not Severity.NOTE} == expected
    lasting = [finding for finding in check(folder, repair=True) if finding.severity is Severity.ERROR]
    assert lasting
    assert not any(finding.repaired for finding in lasting)
    assert [finding for finding in check(folder) if finding.severity is Severity.ERROR] == lasting


@pytest.mark.parametrize("spoilt", [b"\xff\xff", b"\0" * 4000])
def test_damaged_pages_of_the_database(folder: Path, spoilt: bytes) -> None:
    path = folder / "posthouse.db"
    data = bytearray(path.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 + 1 : page * 4096 + 1 + len(spoilt)] = spoilt
    path.write_bytes(data)
    findings = list(check(folder))
    assert (findings[0].severity, findings[0].kind) == (Severity.ERROR, "database")


async def test_beside_a_server_that_works(tmp_path: Path) -> None:
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), pack_octets=200_000, reserve_octets=4096)
    stop = asyncio.Event()

    async def work(account: int) -> None:
        while not stop.is_set():
            for _ in range(5):
                await deliver(store, account, os.urandom(3000))
            entries = await store.entries(account)
            await store.expunge(account, INBOX, [entry.message for entry in entries[:4]])

    async def tidy() -> None:
        while not stop.is_set():
            await store.reap(NOW * 2, grace=0)
            await asyncio.sleep(0)

    working = [asyncio.create_task(job) for job in (*(work(account) for account in range(1, 6)), tidy())]
    run: Callable[[], list[Finding]] = lambda: list(check(tmp_path))  # noqa: E731
    try:
        for _ in range(5):
            assert [finding for finding in await asyncio.to_thread(run) if finding.severity is not Severity.NOTE] == []
        repaired = await asyncio.to_thread(lambda: list(check(tmp_path, repair=True)))
        assert [finding for finding in repaired if finding.severity is not Severity.NOTE] == []
    finally:
        stop.set()
        await asyncio.gather(*working)
    await store.close()
    assert_sound(tmp_path)
