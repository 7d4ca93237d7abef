"""Reading what is there, what is damaged, and what was given back."""

import os
import threading
from pathlib import Path

import pytest

from posthouse.mailstore.interface import INBOX, DamagedError, MessageRef, StoreError, Target
from posthouse.mailstore.pack_reader import PackReader
from posthouse.mailstore.records import HEADER_OCTETS, PACK_HEAD_OCTETS
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.store_invariants import complaints
from tests.stores import NOW, PREFIX, Bytes, contents, deliver, delivery_id, fetch, octets_used


def pack(folder: Path, number: int = 1) -> Path:
    return folder / "packs" / f"{number}.pack"


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def packs_held_open() -> int:
    names = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    return sum(name.endswith(".pack") for name in names)


async def test_what_is_cached_is_read_on_the_loop(store: SqliteMailstore, monkeypatch: pytest.MonkeyPatch) -> None:
    await deliver(store, 1, b"x" * 5000 + b"\r\n")
    (entry,) = await store.entries(1)
    threads = []
    real = os.preadv

    def spy(*arguments):  # type: ignore[no-untyped-def]
        threads.append(threading.current_thread())
        return real(*arguments)

    monkeypatch.setattr(os, "preadv", spy)
    monkeypatch.setattr(PackReader, "fetch", None)
    assert await fetch(store, entry, 700) == PREFIX + b"x" * 5000 + b"\r\n"
    assert set(threads) == {threading.main_thread()}


async def test_what_is_not_cached_is_fetched_in_a_thread(
    store: SqliteMailstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deliver(store, 1)
    (entry,) = await store.entries(1)

    def would_block(*arguments):  # type: ignore[no-untyped-def]
        raise BlockingIOError

    threads = []
    real = PackReader.fetch

    def spy(reader: PackReader, entry: MessageRef, offset: int, length: int) -> bytes:
        threads.append(threading.current_thread())
        return real(reader, entry, offset, length)

    monkeypatch.setattr(os, "preadv", would_block)
    monkeypatch.setattr(PackReader, "fetch", spy)
    assert await fetch(store, entry) == PREFIX + b"Subject: x\r\n\r\nhello\r\n"
    assert threading.main_thread() not in threads


async def test_damage_is_noticed_and_other_mail_is_served(store: SqliteMailstore, tmp_path: Path) -> None:
    for number in range(3):
        await deliver(store, 1, b"%d" % number * 100)
    first, second, third = await store.entries(1)
    record = HEADER_OCTETS + len(PREFIX) + 100
    overwrite(pack(tmp_path), PACK_HEAD_OCTETS + record, b"????")  # the second's header
    with pytest.raises(StoreError, match="damaged"):
        await fetch(store, second)
    overwrite(pack(tmp_path), PACK_HEAD_OCTETS + 2 * record + 60, b"?")  # the third's prefix
    with pytest.raises(StoreError, match="damaged"):
        await fetch(store, third)
    assert await fetch(store, first) == PREFIX + b"0" * 100
    assert [(finding.kind, finding.where) for finding in complaints(tmp_path)] == [
        ("damaged message", f"account 1, INBOX, message {entry.message} (uid {entry.uid})") for entry in (second, third)
    ]
    await store.forget(1)


@pytest.mark.parametrize("recipients", [1, 3])
@pytest.mark.parametrize("size", [50, 20_000, 700_000])
@pytest.mark.parametrize("cached", [True, False])
async def test_no_flipped_bit_is_served_as_sound(
    store: SqliteMailstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipients: int, size: int, cached: bool
) -> None:
    prefixes = [b"X-For: %d\r\n" % account for account in range(recipients)]
    body = os.urandom(size)
    placements = [Target(account, prefix) for account, prefix in enumerate(prefixes, 1)]
    await store.deliver(delivery_id(), Bytes(body), placements, NOW, all_or_nothing=True)
    if not cached:
        monkeypatch.setattr(PackReader, "cached", lambda *_: None)
    (entry,) = await store.entries(recipients)
    whole = prefixes[-1] + body
    assert await store.read(entry, 0, entry.octets) == whole
    path = pack(tmp_path)
    sound = path.read_bytes()[: octets_used(path)] + bytes(len(body) - len(body.rstrip(b"\0")))
    start = len(sound) - size - len(b"".join(prefixes)) - HEADER_OCTETS
    for at in [*range(start, start + HEADER_OCTETS + 40, 7), *range(start + HEADER_OCTETS + 41, len(sound), size // 9)]:
        overwrite(path, at, bytes([sound[at] ^ 0x10]))
        with pytest.raises(DamagedError):
            await store.read(entry, 0, entry.octets)
        with pytest.raises(DamagedError):
            await store.check(entry)
        overwrite(path, at, sound[at : at + 1])
    await store.check(entry)
    assert await store.read(entry, 0, entry.octets) == whole


async def test_a_long_message_is_checked_once(store: SqliteMailstore, monkeypatch: pytest.MonkeyPatch) -> None:
    await deliver(store, 1, b"x" * 600_000)
    (entry,) = await store.entries(1)
    await store.check(entry)
    monkeypatch.setattr(PackReader, "check", None)
    await store.check(entry)


async def test_another_record_in_the_same_place_is_never_served(store: SqliteMailstore, tmp_path: Path) -> None:
    """As it was after an acknowledged message had been cut off: the next one lay there, whole and sound."""
    await deliver(store, 1, b"of account 1\r\n")
    await deliver(store, 2, b"of account 2\r\n")
    (mine,), (other,) = await store.entries(1), await store.entries(2)
    data = pack(tmp_path).read_bytes()
    record = HEADER_OCTETS + mine.octets
    overwrite(pack(tmp_path), PACK_HEAD_OCTETS, data[-record:])
    for offset in (0, 5):
        with pytest.raises(DamagedError):
            await store.read(mine, offset, mine.octets)
    with pytest.raises(DamagedError):
        await store.check(mine)
    assert await fetch(store, other) == PREFIX + b"of account 2\r\n"
    await store.forget(1)


async def test_another_length_is_noticed(store: SqliteMailstore) -> None:
    await deliver(store, 1)
    (entry,) = await store.entries(1)
    with pytest.raises(StoreError):
        await store.read(entry._replace(octets=entry.octets + 1), 0, 10)


async def test_a_pack_that_is_too_short(store: SqliteMailstore, tmp_path: Path) -> None:
    await deliver(store, 1, b"first\r\n")
    await deliver(store, 1, b"x" * 1000)
    first, second = await store.entries(1)
    os.truncate(pack(tmp_path), octets_used(pack(tmp_path)) - 10)
    assert await fetch(store, first) == PREFIX + b"first\r\n"
    with pytest.raises(StoreError, match="too short"):
        await fetch(store, second)
    assert [finding.kind for finding in complaints(tmp_path)] == ["short pack", "damaged message"]
    await store.expunge(1, INBOX, [second.message])
    assert complaints(tmp_path) == []


async def test_a_missing_pack(store: SqliteMailstore, tmp_path: Path) -> None:
    await deliver(store, 1, b"x" * 100_000)
    await deliver(store, 2)
    (lost,), (kept,) = await store.entries(1), await store.entries(2)
    pack(tmp_path).unlink()
    for offset in (0, 5):
        with pytest.raises(StoreError):
            await store.read(lost, offset, 10)
    assert await fetch(store, kept)
    assert [finding.kind for finding in complaints(tmp_path)] == ["missing pack", "damaged message"]
    await store.forget(1)
    await store.reap(NOW * 2)


async def test_a_body_the_store_does_not_know(store: SqliteMailstore) -> None:
    await deliver(store, 1)
    (entry,) = await store.entries(1)
    with pytest.raises(StoreError, match="not known"):
        await store.read(entry._replace(place=None), 0, 10)


@pytest.mark.parametrize("recipients", [1, 3])
async def test_octets_that_were_given_back_are_not_served(store: SqliteMailstore, recipients: int) -> None:
    """Zeros in place of somebody's mail would be worse than an error."""
    placements = [Target(account, b"X-For: %d\r\n" % account) for account in range(1, recipients + 1)]
    await store.deliver(delivery_id(), Bytes(b"y" * 50_000), placements, NOW, all_or_nothing=True)
    held = [(await store.entries(account))[0] for account in range(1, recipients + 1)]
    for account, entry in enumerate(held, 1):
        assert (await fetch(store, entry)).endswith(b"y" * 50_000)
        await store.expunge(account, INBOX, [entry.message])
    assert (await fetch(store, held[0])).endswith(b"y" * 50_000)  # still there for those who hold its place
    await store.reap(NOW * 2)
    for entry in held:
        for offset in (0, 20_000, 49_990):
            with pytest.raises(StoreError):
                await store.read(entry, offset, 4096)


async def test_more_packs_than_are_kept_open(store: SqliteMailstore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.mailstore.pack_reader._MAX_OPEN", 2)
    for number in range(5):
        await deliver(store, 1, b"%d" % number * 100_000)
    for _ in range(2):
        assert [data[-1:] for data in await contents(store, 1)] == [b"%d" % number for number in range(5)]
    assert packs_held_open() <= 3  # two to read, one to write
