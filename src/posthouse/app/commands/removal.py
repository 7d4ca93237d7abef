"""The command line's look into the store: what accounts hold, and forgetting the mail of those that are gone."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.app.commands.opening import open_data_folder
from posthouse.app.config.loading import Config
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import Maintenance, Usage
from posthouse.mailstore.sqlite.archive import Archive
from posthouse.mailstore.sqlite.store import SqliteMailstore

T = TypeVar("T")


def usages_of(config: Config, accounts: Sequence[int]) -> list[Usage]:
    """What each account holds, in order. Raises StoreError."""
    if not accounts:
        return []
    with Archive(open_data_folder(config).data) as archive:
        return [archive.usage(account) for account in accounts]


def forget_removed(config: Config, registry: SqliteRegistry) -> None:
    """Remove the mail of every account that was removed. Interrupted, the server finishes it. Raises StoreError."""
    waiting = registry.accounts.removed()

    async def forget(store: Maintenance) -> None:
        for removed in waiting:
            await store.forget(removed.id)
            registry.accounts.purge_done(removed.id)

    if waiting:
        _with_store(config, forget)


def _with_store(config: Config, work: Callable[[Maintenance], Awaitable[T]]) -> T:
    async def run() -> T:
        # Opened beside the running server, like another worker: nothing in the store assumes that it is alone.
        store = SqliteMailstore.open(open_data_folder(config).data, bus=LocalBus(), clock=time.time, create=False)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())
