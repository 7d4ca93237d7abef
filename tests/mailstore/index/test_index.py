"""What sessions ask of the index: answers are whole and never stale, whatever becomes of the file."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from posthouse.mailstore.index import MessageIndex, SortKeys, open_index, prepare
from posthouse.mailstore.index import index as module
from posthouse.mailstore.index.sqlite.rows import SqliteIndexRows
from posthouse.mailstore.index.sqlite.schema import TABLES
from posthouse.mailstore.interface import DamagedError, MessageRef, StoreError, StoreFullError
from posthouse.mailstore.sqlite.store import SqliteMailstore
from posthouse.message.text import digest
from tests.mailstore.index.messages import ACCOUNT, has, keep, mail, search, shown, shown_of
from tests.stores import NOW, append, box_of, deliver, ids_of, letter

_MAILS = [
    mail("Lunch?", "At noon, at Gr\u00fcner's.", Date="Mon, 5 Jan 2026 23:30:00 -0800", Message_ID="<1@example.net>"),
    mail("Re: Lunch?", "Yes, please.", References="<1@example.net>", X_Mailer="Pine", Cc="Carol <carol@example.test>"),
    mail("=?utf-8?q?=C3=9Cbung?=", "\u65e5\u672c\u8a9e " + "and so on " * 9000, Bcc="dave@example.test"),
    b"",
]


@pytest.fixture
def digested(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All that was looked through."""
    seen: list[bytes] = []

    def noted(data: bytes, received: int) -> Any:
        seen.append(data)
        return digest(data, received)

    monkeypatch.setattr(module, "digest", noted)
    return seen


async def test_search_finds_what_was_just_delivered(index: MessageIndex, store: SqliteMailstore) -> None:
    assert await search(index, store, "text", "hello") == []
    for number in range(5):
        await deliver(store, ACCOUNT, mail(f"Number {number}"))
        assert await search(index, store, "subject", f"number {number}") == [number]
        assert await search(index, store, "text", "number") == list(range(number + 1))


async def test_every_field(index: MessageIndex, store: SqliteMailstore) -> None:
    await keep(store, *_MAILS)
    made = [digest(data, NOW) for data in _MAILS]
    fields = ["text", "body", "subject", "from", "to", "cc", "bcc", "header:x-mailer", "header:subject", "header:date"]
    for field in fields:
        for needle in ("", "LUNCH", "gru", "\u00dcbung", "carol@", "dave", "p", "\u672c\u8a9e", "so  on", "pine", "zz"):
            expected = [at for at, each in enumerate(made) if has(each, field, needle)]
            assert await search(index, store, field, needle) == expected, (field, needle)


async def test_only_what_was_asked_about(index: MessageIndex, store: SqliteMailstore) -> None:
    ids = await keep(store, *(mail(f"Same {number}") for number in range(10)))
    box = await box_of(store, ACCOUNT)
    assert await index.contains(ACCOUNT, box.id, ids[3:9:2], "text", "same") == set(ids[3:9:2])
    assert await index.contains(ACCOUNT, box.id, [], "text", "same") == set()
    assert await index.contains(ACCOUNT, box.id, [ids[-1] + 1000], "text", "") == set()
    assert set(await index.sent_days(ACCOUNT, box.id, ids[:2])) == set(ids[:2])
    assert await index.sort_keys(ACCOUNT, box.id, []) == {}


@pytest.mark.parametrize("envelope_only", [False, True])
async def test_what_is_shown(index: MessageIndex, store: SqliteMailstore, envelope_only: bool) -> None:
    ids = await keep(store, *_MAILS)
    expected = [shown_of(data) for data in _MAILS]
    first = await shown(index, store, ids, envelope_only=envelope_only)
    assert [each.envelope for each in first] == [each.envelope for each in expected]
    if not envelope_only:
        assert first == expected
    await index.ensure(ACCOUNT, (await box_of(store, ACCOUNT)).id, ids)
    again = await shown(index, store, ids, envelope_only=envelope_only)
    assert [each.envelope for each in again] == [each.envelope for each in expected]
    assert await shown(index, store, ids) == expected
    items = await store.items(ACCOUNT, (await box_of(store, ACCOUNT)).id, ids)
    assert await index.summaries(ACCOUNT, [items[2], items[0]]) == [expected[2], expected[0]]
    assert await index.summaries(ACCOUNT, []) == []


async def test_the_envelope_of_a_long_header(index: MessageIndex, store: SqliteMailstore) -> None:
    data = b"X-Long: %b\r\n" % (b"x" * 40_000) + mail("Last")
    ids = await keep(store, data)
    (found,) = await shown(index, store, ids, envelope_only=True)
    assert found.envelope == shown_of(data).envelope and b'"Last"' in found.envelope


async def test_what_was_shown_is_kept(index: MessageIndex, store: SqliteMailstore, digested: list[bytes]) -> None:
    ids = await keep(store, *_MAILS)
    await shown(index, store, ids)
    await _idle(index)
    assert digested == _MAILS
    assert await shown(index, store, ids) == [shown_of(data) for data in _MAILS]
    assert await search(index, store, "text", "lunch") == [0, 1]
    assert digested == _MAILS


async def test_days_and_keys(index: MessageIndex, store: SqliteMailstore) -> None:
    ids = await keep(store, *_MAILS)
    box = await box_of(store, ACCOUNT)
    made = [digest(data, NOW) for data in _MAILS]
    assert await index.sent_days(ACCOUNT, box.id, ids) == dict(zip(ids, (each.sent_day for each in made), strict=True))
    keys = await index.sort_keys(ACCOUNT, box.id, ids)
    for message, each in zip(ids, made, strict=True):
        assert keys[message] == SortKeys(*(getattr(each, name) for name in SortKeys._fields))
    assert keys[ids[1]].is_reply is True and keys[ids[1]].references == ("1@example.net",)


async def test_nobody_works_twice(index: MessageIndex, store: SqliteMailstore, digested: list[bytes]) -> None:
    await keep(store, *(mail(f"Number {number}") for number in range(30)))
    found = await asyncio.gather(*(search(index, store, "subject", "number") for _ in range(5)))
    assert found == [list(range(30))] * 5
    assert len(digested) == 30


async def test_what_is_gone_is_passed_over(index: MessageIndex, store: SqliteMailstore) -> None:
    ids = await keep(store, *_MAILS)
    box = await box_of(store, ACCOUNT)
    await store.remove(ACCOUNT, box.id, ids[:1], marked=False)
    assert await index.contains(ACCOUNT, box.id, ids, "text", "lunch") == {ids[1]}
    await store.create(ACCOUNT, "Other")
    (other,) = await keep(store, mail(), mailbox="Other")
    gone = await box_of(store, ACCOUNT, "Other")
    await store.delete(ACCOUNT, "Other")
    assert await index.contains(ACCOUNT, gone.id, [other], "text", "") == set()


async def test_a_damaged_message(index: MessageIndex, store: SqliteMailstore, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = await keep(store, mail("One"), mail("Two"), mail("Three"))
    box = await box_of(store, ACCOUNT)
    damaged = (await store.items(ACCOUNT, box.id, ids))[1].entry
    read = store.read

    async def reading(entry: Any, offset: int, length: int) -> bytes:
        if entry == damaged:
            raise DamagedError("damaged")
        return await read(entry, offset, min(length, 50))  # and in small portions

    monkeypatch.setattr(store, "read", reading)
    for envelope_only in (True, False):
        found = await shown(index, store, ids, envelope_only=envelope_only)
        assert found[1].is_missing and b'"Three"' in found[2].envelope
    assert await search(index, store, "subject", "") == [0, 2]
    assert set(await index.sort_keys(ACCOUNT, box.id, ids)) == {ids[0], ids[2]}


def failing(store: SqliteMailstore, unreadable: MessageRef, cause: OSError | None) -> Callable[..., Awaitable[bytes]]:
    """The store's read(), for which one message cannot be read."""
    read = store.read

    async def reading(entry: MessageRef, offset: int, length: int) -> bytes:
        if entry == unreadable:
            raise StoreError("Input/output error") from cause
        return await read(entry, offset, length)

    return reading


async def test_a_message_that_cannot_be_read_now(
    index: MessageIndex, store: SqliteMailstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer is better than one that leaves it out; what is shown of the others stays."""
    ids = await keep(store, mail("One"), mail("Two"), mail("Three"))
    box = await box_of(store, ACCOUNT)
    busy = (await store.items(ACCOUNT, box.id, ids))[1].entry
    with monkeypatch.context() as patch:
        patch.setattr(store, "read", failing(store, busy, None))
        with pytest.raises(StoreError):
            await search(index, store, "subject", "")
        with pytest.raises(StoreError):
            await index.sort_keys(ACCOUNT, box.id, ids)
        found = await shown(index, store, ids)
        assert [each.is_missing for each in found] == [False, True, False]
    assert await search(index, store, "subject", "") == [0, 1, 2]


async def test_a_bad_sector_is_damage(
    index: MessageIndex, store: SqliteMailstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not get better: without this no search of the mailbox would ever have an answer again."""
    ids = await keep(store, mail("One"), mail("Two"), mail("Three"))
    box = await box_of(store, ACCOUNT)
    bad = (await store.items(ACCOUNT, box.id, ids))[1].entry
    monkeypatch.setattr(store, "read", failing(store, bad, OSError(errno.EIO, "Input/output error")))
    assert await search(index, store, "subject", "") == [0, 2]


async def test_forget(
    index: MessageIndex, rows: SqliteIndexRows, store: SqliteMailstore, digested: list[bytes]
) -> None:
    await keep(store, *_MAILS)
    await keep(store, *_MAILS, account=7)
    assert await search(index, store, "subject", "lunch") == await search(index, store, "subject", "lunch", account=7)
    await index.note_followed(ACCOUNT, 5)
    await index.forget(ACCOUNT)
    await index.forget(99)
    assert await index.followed(ACCOUNT) == 0
    counted = await rows.database.read(
        lambda connection: [connection.execute(f"SELECT count(*) FROM {table}").get for table in TABLES]
    )
    assert counted == [4, 4, 4, 4]
    assert await search(index, store, "subject", "lunch", account=7) == [0, 1]
    assert len(digested) == 8
    assert await search(index, store, "subject", "lunch") == [0, 1]
    assert len(digested) == 12


async def test_removed_ones_are_not_kept(index: MessageIndex, store: SqliteMailstore, digested: list[bytes]) -> None:
    ids = await keep(store, *_MAILS)
    await search(index, store, "text", "x")
    await index.remove(ACCOUNT, [*ids[:2], 10**9])
    await index.remove(ACCOUNT, [])
    await index.remove(99, [1])
    await search(index, store, "text", "x")
    assert sorted(digested) == sorted([*_MAILS, *_MAILS[:2]])


async def test_followed(index: MessageIndex) -> None:
    assert await index.followed(ACCOUNT) == 0
    for modseq, expected in ((5, 5), (3, 5), (9, 9)):
        await index.note_followed(ACCOUNT, modseq)
        assert await index.followed(ACCOUNT) == expected


# The file.


async def test_it_outlives_a_process(
    index: MessageIndex, store: SqliteMailstore, path: Path, digested: list[bytes]
) -> None:
    await keep(store, *_MAILS)
    await search(index, store, "text", "x")
    await index.close()
    await index.close()
    again = open_index(path, store)
    assert await search(again, store, "text", "lunch") == [0, 1]
    await again.close()
    assert len(digested) == 4
    with pytest.raises(StoreError):
        await search(again, store, "text", "lunch")


def _cut(path: Path) -> None:
    os.truncate(path, 20_000)


def _scribble(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def _spoil_pages(path: Path) -> None:
    with path.open("r+b") as file:
        for page in range(1, path.stat().st_size // 16384):
            file.seek(page * 16384)
            file.write(b"\xff" * 200)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _other_version(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 77)
    connection.close()


_HARMS = [_cut, _scribble, _spoil_pages, _empty, _other_version, os.unlink]


@pytest.mark.parametrize("harm", _HARMS)
@pytest.mark.parametrize("beforehand", [False, True])
async def test_a_file_that_was_spoilt_is_begun_anew(
    index: MessageIndex, store: SqliteMailstore, path: Path, harm: Callable[[Path], None], beforehand: bool
) -> None:
    ids = await keep(store, *_MAILS)
    await search(index, store, "text", "x")
    await index.close()
    harm(path)
    if beforehand:
        prepare(path)
        prepare(path)
    again = open_index(path, store)
    try:
        assert await shown(again, store, ids) == [shown_of(data) for data in _MAILS]
        assert await search(again, store, "text", "lunch") == [0, 1]
        assert await search(again, store, "subject", "lunch") == [0, 1]
    finally:
        await again.close()


async def test_one_that_is_spoilt_while_it_is_open(index: MessageIndex, store: SqliteMailstore, path: Path) -> None:
    other = open_index(path, store)
    ids = await keep(store, *(mail(f"Number {number}", "x" * 4000) for number in range(50)))
    assert await search(index, store, "text", "number 17") == [17]
    assert await search(other, store, "text", "number 17") == [17]
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    _spoil_pages(path)
    both = (index, other)
    found = await asyncio.gather(*(search(each, store, "text", "number 17") for each in both for _ in range(4)))
    assert found == [[17]] * 8
    assert (await shown(other, store, ids[:1]))[0].envelope == shown_of(mail("Number 0", "x" * 4000)).envelope
    await other.close()


async def test_a_full_disk(index: MessageIndex, rows: SqliteIndexRows, store: SqliteMailstore) -> None:
    ids = await keep(store, *_MAILS)
    pages = await rows.database.write(lambda connection: connection.pragma("page_count"))
    await rows.database.write(lambda connection: connection.pragma("max_page_count", pages))
    with pytest.raises(StoreFullError):
        await search(index, store, "text", "lunch")
    for _ in range(2):
        assert await shown(index, store, ids) == [shown_of(data) for data in _MAILS]
        await _idle(index)
    await rows.database.write(lambda connection: connection.pragma("max_page_count", 1 << 30))
    assert await search(index, store, "text", "lunch") == [0, 1]


async def test_a_folder_that_is_not_there(store: SqliteMailstore, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        prepare(tmp_path / "missing" / "index.db")
    with pytest.raises(StoreError):
        open_index(tmp_path / "missing" / "index.db", store)


async def test_large_messages_and_many(index: MessageIndex, store: SqliteMailstore) -> None:
    await append(store, ACCOUNT, *(letter(mail("Big", f"{number} " + "lorem ipsum " * 100_000)) for number in range(9)))
    await append(store, ACCOUNT, *(letter(mail("Small", f"{number}")) for number in range(250)))
    assert await search(index, store, "subject", "") == list(range(259))
    assert await search(index, store, "body", "lorem") == list(range(9))
    assert len(await ids_of(store, ACCOUNT)) == 259


async def _idle(index: MessageIndex) -> None:
    while index._keeping:
        await asyncio.gather(*index._keeping)
