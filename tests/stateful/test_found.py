"""What the machine has found, each as small as it can be."""

import asyncio
import subprocess
import sys
from pathlib import Path

import apsw

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import MailboxExistsError, StoreError
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.stores import deliver

# SQLite's "Locking protocol": who has the database open in WAL mode holds a shared lock on these octets of it.
_TRY = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
    except OSError:
        print("held")
"""


def _open(folder: Path) -> SqliteMailstore:
    return SqliteMailstore.open(folder, bus=LocalBus(), reserve_octets=65_536)


async def test_other_programs_see_that_the_database_is_open(tmp_path: Path) -> None:
    store = _open(tmp_path)
    await deliver(store, 1)
    command = [sys.executable, "-c", _TRY, str(tmp_path / "posthouse.db")]
    said = (await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)).stdout
    await store.close()
    assert said == b"held\n"


async def test_a_mailbox_made_and_removed_at_once(tmp_path: Path) -> None:
    store = _open(tmp_path)
    made, removed = await asyncio.gather(store.create(1, "A"), store.delete(1, "A"), return_exceptions=True)
    await store.close()
    assert removed is None
    assert not isinstance(made, BaseException)


async def test_a_refusal_is_not_based_on_what_was_undone(tmp_path: Path) -> None:
    """Two make a mailbox, one after the other in one batch, and the commit fails: it does not exist."""
    store = _open(tmp_path)
    await deliver(store, 1)

    def fail(connection: apsw.Connection) -> None:
        connection.set_commit_hook(lambda: True)  # the commit becomes a rollback

    _, *outcomes = await asyncio.gather(
        store.transact(fail), store.create(1, "A"), store.create(1, "A"), return_exceptions=True
    )
    names = [box.name for box in await store.mailboxes(1)]
    await store.close()
    assert all(isinstance(outcome, StoreError) for outcome in outcomes)
    assert names == ["INBOX"]
    assert not any(isinstance(outcome, MailboxExistsError) for outcome in outcomes)
