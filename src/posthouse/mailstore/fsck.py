"""Examines a store: every counter, every reference, every octet. Safe beside a running server.

The counters are seen at one moment. The bodies are read after that, a part at a time, so that a long examination does
not hold back the database's log; what was deleted meanwhile is not reported.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import apsw

from posthouse.database.connection import open_connection, open_reader
from posthouse.database.errors import DatabaseGoneError
from posthouse.database.locks import FileLock
from posthouse.mailstore.findings import Finding, Severity
from posthouse.mailstore.interface import StoreError
from posthouse.mailstore.loose import Loose, Report, Unreadable, head_at, loose_records
from posthouse.mailstore.pack_check import damage_of
from posthouse.mailstore.pack_writer import is_pack, pack_path
from posthouse.mailstore.records import PackHead
from posthouse.mailstore.sqlite import audit, queries, recovering
from posthouse.mailstore.sqlite.audit import BodyRow
from posthouse.mailstore.sqlite.layout import DATABASE, LOCK, PACKS

_PART = 500  # bodies between two looks at the database
_RESTORE = "Restore the message from a backup if you have one; other mail is not affected."
_DISK = (
    "The disk fails. Copy the folder to another one, and restore the file from a backup if you have one."
    " Messages that are affected are named below."
)
_RESTORE_PACK = "Restore the file from a backup; mail in other packs is not affected."


def check(
    folder: Path,
    *,
    repair: bool = False,
    accounts: Collection[int] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Finding]:
    """Examine the store in `folder`, giving findings as they turn up. Raises StoreError when it cannot be read at all.

    With `repair`, wrong counters are put right; nothing is ever removed. `accounts` are those that may hold mail, None:
    all may. `progress(done, total)` counts bodies.
    """
    if not (folder / DATABASE).exists():
        raise StoreError(f"there is no {DATABASE} in {folder}") from DatabaseGoneError(folder / DATABASE, "is gone")
    if not (folder / DATABASE).stat().st_size:  # SQLite would remove the log beside it
        raise StoreError(f"{DATABASE} in {folder} is empty") from DatabaseGoneError(folder / DATABASE, "is empty")
    try:
        connection = open_reader(folder / DATABASE)
        try:
            connection.pragma("temp_store", 1)  # to files: a large store's sums do not fit into memory
            yield from audit.audit_file(connection)
            yield from _audit(folder, connection, repair)
            yield from _check_accounts(connection, accounts)
            yield from _check_packs(folder / PACKS, connection)
            yield from _check_heads(folder / PACKS, connection)
            yield from _check_loose(folder / PACKS, connection)
            yield from _check_bodies(folder / PACKS, connection, progress)
        finally:
            connection.close()
    except (apsw.CorruptError, apsw.NotADBError, apsw.IOError) as error:
        yield audit.spoilt(str(error))
    except (apsw.Error, OSError) as error:
        raise StoreError(f"{folder}: {error}") from error


def _audit(folder: Path, reader: apsw.Connection, repair: bool) -> list[Finding]:
    if not repair:
        with reader:
            return audit.audit_rows(reader, repair=False)
    lock = FileLock(folder / LOCK)
    connection = open_connection(folder / DATABASE, create=False)
    try:
        with lock:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                found = audit.audit_rows(connection, repair=True)
            connection.execute("COMMIT")
            return found
    finally:
        connection.close(True)
        lock.close()


def _check_packs(folder: Path, connection: apsw.Connection) -> Iterator[Finding]:
    files = {int(file.stem) for file in folder.iterdir() if is_pack(file.name)}
    # The catalogue after the files: a pack is made before it is known.
    known = audit.packs(connection)
    for pack, (used, end) in sorted(known.items()):
        path, where = pack_path(folder, pack), f"packs/{pack}.pack"
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            if used:
                yield Finding(Severity.ERROR, "missing pack", where, f"with {used} bodies is gone", _RESTORE_PACK)
            continue
        except OSError as error:
            yield Finding(Severity.ERROR, "unreadable pack", where, f"cannot be looked at: {error}", _DISK)
            continue
        if size < end:
            yield Finding(Severity.ERROR, "short pack", where, f"ends at {size} and not at {end}", _RESTORE_PACK)
    for pack in sorted(files - known.keys()):
        if pack_path(folder, pack).exists():
            advice = "It is left alone: no other pack gets its number. Whole messages in it are named below."
            yield Finding(Severity.NOTE, "unknown pack", f"packs/{pack}.pack", "is not in the catalogue", advice)


def _check_accounts(connection: apsw.Connection, known: Collection[int] | None) -> Iterator[Finding]:
    for account, messages in recovering.unknown_accounts(connection, known) if known is not None else ():
        where, what = f"account {account}", f"holds {messages} messages, but directory.db does not know it"
        advice = f"Give them to an account: posthouse fsck --adopt ADDRESS --account {account}"
        yield Finding(Severity.ERROR, "unknown account", where, what, advice, account)


def _check_heads(folder: Path, connection: apsw.Connection) -> Iterator[Finding]:
    """That each pack is one of this store. Packs of before have no head."""
    store, headed = queries.store_id(connection), set(audit.headed_packs(connection))
    for pack, path in pack_files(folder):
        try:
            head = head_at(path)
        except OSError as error:
            yield Finding(Severity.ERROR, "unreadable pack", f"packs/{path.name}", f"its head: {error}", _DISK)
            continue
        if head is None:
            if pack not in headed or not path.exists():
                continue
            what = "has no sound head"
        elif head.store != store:
            what = f"belongs to another mail store ({head.store.hex()[:8]})"
        elif head.pack != pack:
            what = f"is pack {head.pack} under another name"
        else:
            continue
        severity = Severity.ERROR if pack in headed else Severity.NOTE
        yield Finding(severity, "pack head", f"packs/{pack}.pack", what, _RESTORE_PACK)


def _check_loose(folder: Path, connection: apsw.Connection) -> Iterator[Finding]:
    lost = recovering.orphans(connection)
    for pack, path in pack_files(folder):
        bad: list[Unreadable] = []
        found = list(loose_of(path, pack, connection, lost, bad.append))
        if bad:
            what = f"the disk does not give {len(bad)} of its blocks, the first at {bad[0].offset}: {bad[0].reason}"
            yield Finding(Severity.ERROR, "unreadable pack", f"packs/{pack}.pack", what, _DISK)
        if found:
            octets = sum(record.end - record.prefixes_at for record in found)
            what = f"holds {len(found)} whole messages of {octets} octets that are in no mailbox, the first at "
            advice = (
                "They were not acknowledged, or posthouse.db is older than they are, or has lost them."
                " To have them filed: posthouse fsck --salvage"
            )
            where = f"packs/{pack}.pack"
            yield Finding(Severity.NOTE, "loose messages", where, f"{what}{found[0].offset}", advice)


def pack_files(folder: Path) -> list[tuple[int, Path]]:
    """(number, file) of all packs. Raises OSError."""
    return sorted((int(path.stem), path) for path in folder.iterdir() if is_pack(path.name))


def loose_of(
    path: Path, pack: int, connection: apsw.Connection, lost: Collection[int], unreadable: Report
) -> Iterator[Loose]:
    """The loose records of a pack of this store; none when it was removed meanwhile. Raises apsw.Error.

    `lost`: the bodies whose rows do not count, for no message refers to them. `unreadable` is called for what the disk
    does not give.
    """
    head = None
    with contextlib.suppress(OSError):  # no sound head is no reason to leave out what is behind it
        head = head_at(path)
    if head is not None and head != PackHead(queries.store_id(connection), pack):
        return
    try:
        yield from loose_records(path, pack, lambda: recovering.occupied(connection, pack, lost), unreadable)
    except FileNotFoundError:
        return
    except OSError as error:
        unreadable(Unreadable.because(error, pack, 0))


def _check_bodies(packs: Path, connection: apsw.Connection, progress: Callable[[int, int], None]) -> Iterator[Finding]:
    total, done, last = audit.count_bodies(connection), 0, 0
    while rows := audit.bodies(connection, last, _PART):
        damaged = _damaged(packs, rows)
        if damaged:
            for blob, account, mailbox, message, uid in audit.users(connection, list(damaged)):
                where = f"account {account}, {mailbox}, message {message} (uid {uid})"
                yield Finding(Severity.ERROR, "damaged message", where, damaged[blob], _RESTORE, account)
        last = rows[-1].blob
        done += len(rows)
        progress(done, max(done, total))


def _damaged(packs: Path, rows: Sequence[BodyRow]) -> dict[int, str]:
    """Blob -> what is wrong with it."""
    damaged = {}
    open_pack, fd = 0, -1
    try:
        for row in rows:
            if row.pack != open_pack:
                if fd >= 0:
                    os.close(fd)
                open_pack, fd = row.pack, _open(pack_path(packs, row.pack))
            wrong = _examine(fd, row)
            if wrong:
                damaged[row.blob] = f"{wrong} (packs/{row.pack}.pack at {row.offset})"
    finally:
        if fd >= 0:
            os.close(fd)
    return damaged


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _examine(fd: int, row: BodyRow) -> str:
    if fd < 0:
        return "its pack cannot be opened"
    try:
        return damage_of(fd, row.offset, row.prefixes, row.octets, row.digest, row.identity)
    except OSError as error:
        return f"the disk does not give it: {error}"
