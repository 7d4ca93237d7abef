"""Whether the files are there that the rows need: looked at when a server starts, so it must be cheap."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

from posthouse.database.connection import open_reader
from posthouse.mailstore.interface import StoreError
from posthouse.mailstore.pack_writer import is_pack
from posthouse.mailstore.sqlite.rows import fetch, numbers
from posthouse.mailstore.sqlite.store import DATABASE, PACKS


@dataclass(frozen=True, slots=True)
class Presence:
    """What is wrong with the packs as a whole."""

    missing: tuple[int, ...]  # packs that messages are in
    messages: int  # in the missing ones
    short: tuple[int, ...]  # packs that end before the last message in them


def presence(folder: Path, *, accepted: Sequence[int] = ()) -> Presence:
    """Compare the catalogue of packs with the files; `accepted` are not looked for. Raises StoreError.

    One look at the folder and one at each file's length, none at what is in it.
    """
    sizes = pack_sizes(folder / PACKS)
    try:
        connection = open_reader(folder / DATABASE)
        try:
            known = fetch(connection, "SELECT pack, end FROM pack WHERE live > 0 ORDER BY pack")
            absent = [pack for pack, _ in known if pack not in sizes and pack not in accepted]
            counts = _messages(connection, absent)
        finally:
            connection.close()
    except apsw.Error as error:
        raise StoreError(f"{folder / DATABASE}: {error}") from error
    missing = tuple(pack for pack in absent if counts[pack])
    short = tuple(pack for pack, end in known if pack in sizes and sizes[pack] < end)
    return Presence(missing, sum(counts.values()), short)


def pack_sizes(packs: Path) -> dict[int, int]:
    """Pack -> octets, of every pack in a folder that need not be there. Raises OSError."""
    if not packs.is_dir():
        return {}
    return {int(file.stem): file.stat().st_size for file in packs.iterdir() if is_pack(file.name)}


def _messages(connection: apsw.Connection, packs: Sequence[int]) -> dict[int, int]:
    """How many messages have their bodies in each of the packs. Reads all rows of bodies: only for the unlucky."""
    counts = dict.fromkeys(packs, 0)
    if packs:
        statement = "SELECT pack, sum(refs) FROM blob WHERE pack IN (SELECT value FROM carray(?)) GROUP BY pack"
        counts.update((pack, count) for pack, count in fetch(connection, statement, (numbers(packs),)))
    return counts
