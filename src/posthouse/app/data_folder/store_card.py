"""store.json: the name of a data folder, for people, for backups, and to tell whether its parts belong together."""

import datetime
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posthouse import __version__
from posthouse.database.errors import SchemaTooNewError
from posthouse.mailstore.files import Files

PRODUCT = "posthouse"
FORMAT = 1


class StoreCardError(Exception):
    """store.json is there and cannot be used; the text goes on behind its name."""


@dataclass(frozen=True, slots=True)
class StoreCard:
    """What store.json says."""

    store: bytes
    created: str  # RFC 3339
    generation: int  # of the last start that was finished
    missing_packs: tuple[int, ...] = ()  # whose loss was accepted
    salvage_due: bool = False  # posthouse.db may lack messages that are in packs: no server before they were filed


def new_card(store: bytes, generation: int) -> StoreCard:
    """For a folder that is named now."""
    return StoreCard(store, datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), generation)


def read_card(path: Path) -> StoreCard | None:
    """What the file says, None when it is not there. Raises StoreCardError, SchemaTooNewError, OSError."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return _parsed(path, json.loads(text))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreCardError("is damaged") from error


def write_card(path: Path, card: StoreCard, schemas: Mapping[str, int]) -> None:
    """Replace the file: after a crash it says the old or the new, whole. Raises OSError."""
    document = {
        "format": FORMAT,
        "product": PRODUCT,
        "version": __version__,
        "store": card.store.hex(),
        "created": card.created,
        "generation": card.generation,
        "schemas": dict(schemas),
        "missing_packs": list(card.missing_packs),
        "salvage_due": card.salvage_due,
    }
    unnamed = path.with_name(f"{path.name}.{os.getpid()}.new")  # two commands may do this at once
    try:
        fd = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(json.dumps(document, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        unnamed.rename(path)
    except OSError:
        unnamed.unlink(missing_ok=True)
        raise
    Files().sync_folder(path.parent)


def _parsed(path: Path, document: dict[str, Any]) -> StoreCard:
    if document["product"] != PRODUCT:
        raise StoreCardError(f"is of another program ({document['product']})")
    if document["format"] > FORMAT:
        what = f"is of a newer version of Posthouse (format {document['format']}, this one knows {FORMAT})"
        raise SchemaTooNewError(path, what)
    card = StoreCard(
        bytes.fromhex(document["store"]),
        str(document["created"]),
        int(document["generation"]),
        tuple(int(pack) for pack in document["missing_packs"]),
        bool(document.get("salvage_due", False)),
    )
    if not card.store:
        raise ValueError("no id")
    return card
