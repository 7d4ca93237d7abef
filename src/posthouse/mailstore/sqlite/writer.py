"""What the group commit does with the store's units of work."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw

from posthouse.database.locks import FileLock
from posthouse.mailstore.changes import ChangeBus
from posthouse.mailstore.interface import StoreError, StoreFullError
from posthouse.mailstore.pack_writer import Extent, PackWriter
from posthouse.mailstore.reserve import DiskReserve
from posthouse.mailstore.sqlite import removing
from posthouse.mailstore.sqlite.batch_insert import BatchInsert
from posthouse.mailstore.sqlite.catalogue import SqliteCatalogue
from posthouse.mailstore.sqlite.units import (
    Act,
    AppendUnit,
    DeliveryUnit,
    DropBlobs,
    DropDeliveries,
    DropPacks,
    Work,
    WriteJob,
)


class MailWriter:
    """The bytes into a pack, then the rows, then the news."""

    def __init__(
        self, packs: PackWriter, reserve: DiskReserve, lock: FileLock, bus: ChangeBus, clock: Callable[[], float]
    ) -> None:
        self._packs = packs
        self._reserve = reserve
        self._lock = lock
        self._bus = bus
        self._clock = clock

    def prepare(self, connection: apsw.Connection, units: Sequence[Work[Any]]) -> Extent | None:
        """Write the bodies, and say where; those that could not be written fail."""
        catalogue = SqliteCatalogue(connection, self._lock)
        with contextlib.suppress(apsw.Error):  # before the next batch it is tried again
            self._packs.reclaim(catalogue)
        appends = [unit for unit in units if type(unit) is AppendUnit]
        deliveries = [unit for unit in units if type(unit) is DeliveryUnit]
        deliveries += [part for append in appends for part in append.parts]
        if not deliveries:
            return None
        written = self._write(catalogue, deliveries)
        for append in appends:
            append.failure = next((part.failure for part in append.parts if part.failure), None)
        return written

    def _write(self, catalogue: SqliteCatalogue, deliveries: Sequence[DeliveryUnit]) -> Extent | None:
        try:
            if not self._reserve.fill():
                raise StoreFullError("no space left, not even for deleting")
            return self._packs.append(catalogue, deliveries)
        except (apsw.FullError, StoreFullError) as error:
            _fail(deliveries, StoreFullError, error)
        except (apsw.Error, OSError) as error:
            _fail(deliveries, StoreError, error)
        return None

    def apply(self, connection: apsw.Connection, units: Sequence[Work[Any]]) -> None:
        """Deliveries first, together; then the others, in order."""
        now = int(self._clock())
        deliveries = [unit for unit in units if type(unit) is DeliveryUnit]
        appends = [unit for unit in units if type(unit) is AppendUnit]
        if deliveries or appends:
            BatchInsert(connection, now).run(deliveries, appends)
        if len(deliveries) + len(appends) < len(units):
            for unit in units:
                if type(unit) is not DeliveryUnit and type(unit) is not AppendUnit:
                    _do(connection, unit, now)

    def committed(self, prepared: Extent | None, units: Sequence[Work[Any]]) -> None:
        """Bodies whose units were refused have no rows, and their space is of use to others."""
        for unit in units:
            if unit.failure is not None:
                for part in _bodies(unit):
                    self._packs.abandon(Extent(part.pack, part.offset, part.end))

    def rolled_back(self, prepared: Extent | None, error: Exception) -> None:
        """A full disk, or no turn at all: there are no rows, and the space is given back. Else that is not certain."""
        if prepared is not None and isinstance(error, (apsw.FullError, apsw.BusyError, apsw.LockedError)):
            self._packs.abandon(prepared)

    @contextmanager
    def room(self) -> Iterator[None]:
        """Without the reserve; what is left of its space is taken again at once, before others eat it."""
        with contextlib.suppress(OSError):  # then there is just what is free
            self._reserve.give_up()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # before the next delivery it is tried again, and has to come off
                self._reserve.fill()

    def announce(self, units: Sequence[Work[Any]]) -> None:
        """Notify each account's watchers once."""
        news: dict[int, int] = {}
        for unit in units:
            for account, modseq in unit.news:
                news[account] = max(modseq, news.get(account, 0))
        for account, modseq in news.items():
            self._bus.publish(account, modseq)

    def close(self) -> None:
        """Let go of files. The commit thread must have ended. Raises nothing."""
        self._packs.close()
        self._reserve.close()


def _do(connection: apsw.Connection, unit: Work[Any], now: int) -> None:
    match unit:
        case Act():
            unit.result, modseq = unit.work(connection, now)
            unit.news = ((unit.account, modseq),) if modseq else ()
        case WriteJob():
            unit.result = unit.work(connection)
        case DropBlobs():
            unit.result = removing.drop_blobs(connection, unit.blobs)
        case DropPacks():
            removing.drop_packs(connection, unit.packs)
        case DropDeliveries():
            unit.result = removing.drop_deliveries(connection, unit.before)
        case _:
            raise TypeError(f"unknown unit of work: {unit!r}")


def _bodies(unit: Work[Any]) -> Sequence[DeliveryUnit]:
    if isinstance(unit, DeliveryUnit):
        return [unit]
    return unit.parts if isinstance(unit, AppendUnit) else []


def _fail(deliveries: Sequence[DeliveryUnit], kind: type[StoreError], error: Exception) -> None:
    for delivery in deliveries:
        delivery.failure = kind(str(error))
        delivery.failure.__cause__ = error
