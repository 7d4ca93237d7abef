"""Whether the files are there that the rows need: checked when a server starts, so it must be cheap."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

from posthouse.database.connection import open_reader
from posthouse.database.identity import read_identity
from posthouse.mailstore.interface import StoreError
from posthouse.mailstore.loose import head_at
from posthouse.mailstore.pack_writer import is_pack, pack_path
from posthouse.mailstore.records import PackHead
from posthouse.mailstore.sqlite.layout import DATABASE, PACKS
from posthouse.mailstore.sqlite.rows import fetch, numbers

HEADS = 32


@dataclass(frozen=True, slots=True)
class Presence:
    """What is wrong with the packs as a whole."""

    missing: tuple[int, ...]  # packs that messages are in
    messages: int  # in the missing ones
    foreign: tuple[int, ...]  # packs of another store
    short: tuple[int, ...]  # packs that end before the last message in them
    unreadable: tuple[int, ...]  # packs whose head the disk does not give


def presence(folder: Path, *, accepted: Sequence[int] = (), heads: int = HEADS) -> Presence:
    """Compare the catalogue of packs with the files; `accepted` are not looked for. Raises StoreError, OSError.

    Reads each file's length, and the heads of the `heads` oldest and youngest packs: where a wrong folder
    stands in the place of the right one, those show it. Packs without messages count as well: they are to be removed.
    """
    sizes = pack_sizes(folder / PACKS)
    try:
        connection = open_reader(folder / DATABASE)
        try:
            known = fetch(connection, "SELECT pack, end FROM pack WHERE live > 0 ORDER BY pack")
            named = [head for head in _heads(connection) if head.pack in sizes]
            absent = [pack for pack, _ in known if pack not in sizes and pack not in accepted]
            counts = _messages(connection, absent)
        finally:
            connection.close()
    except apsw.Error as error:
        raise StoreError(f"{folder / DATABASE}: {error}") from error
    missing = tuple(pack for pack in absent if counts[pack])
    short = tuple(pack for pack, end in known if pack in sizes and sizes[pack] < end)
    others, unreadable = _compare_heads(folder / PACKS, _ends(named, heads))
    foreign = tuple(pack for pack in others if pack not in accepted)
    return Presence(missing, sum(counts.values()), foreign, short, tuple(unreadable))


def _heads(connection: apsw.Connection) -> list[PackHead]:
    """What must stand at the start of packs; nothing in a database of before they had heads."""
    identity = read_identity(connection)
    if identity is None:
        return []
    headed = fetch(connection, "SELECT pack FROM pack WHERE headed = 1 ORDER BY pack")
    return [PackHead(identity.store, pack) for (pack,) in headed]


def _ends(heads: Sequence[PackHead], count: int) -> Sequence[PackHead]:
    return heads if len(heads) <= 2 * count else [*heads[:count], *heads[-count:]]


def _compare_heads(packs: Path, heads: Sequence[PackHead]) -> tuple[list[int], list[int]]:
    """Packs whose head is that of another pack, and those whose head cannot be read.

    One whose head is damaged says nothing, and one bad sector is no reason to serve no mail at all.
    """
    others, unreadable = [], []
    for wanted in heads:
        try:
            head = head_at(pack_path(packs, wanted.pack))
        except OSError:
            unreadable.append(wanted.pack)
            continue
        if head is not None and head != wanted:
            others.append(wanted.pack)
    return others, unreadable


def pack_sizes(packs: Path) -> dict[int, int]:
    """Pack -> octets, of every pack in a folder that need not be there. Raises OSError."""
    if not packs.is_dir():
        return {}
    return {int(file.stem): file.stat().st_size for file in packs.iterdir() if is_pack(file.name)}


def _messages(connection: apsw.Connection, packs: Sequence[int]) -> dict[int, int]:
    """How many messages have their bodies in each of the packs. Reads all rows of bodies."""
    counts = dict.fromkeys(packs, 0)
    if packs:
        statement = "SELECT pack, sum(refs) FROM blob WHERE pack IN (SELECT value FROM carray(?)) GROUP BY pack"
        counts.update((pack, count) for pack, count in fetch(connection, statement, (numbers(packs),)))
    return counts
