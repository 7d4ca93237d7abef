"""Group commit: one thread per process that makes everything which waits durable at once.

Theory of operation. Callers on an event loop submit units of work and await them. What was submitted in one turn of the
loop reaches the commit thread as one list. The thread takes all lists that wait (bounded), lets the writer prepare the
batch (write and sync bytes outside the database: the barrier), takes the file lock that makes the processes' writers
queue fairly, and applies all units in one transaction. Then every event loop is woken once to complete its futures.
A unit alone is committed at once: nothing ever waits for company. Units with many octets go apart, some in every other
batch at most: what is small waits for one such batch, however many wait, and what is large is never passed over twice.

What fails, and whom:
- preparing sets `failure` on the units it concerns; the others go on;
- an exception out of `apply` rolls the batch back, and the units are applied once more, each within a savepoint of its
  own, so that the one that raises fails alone;
- a full disk fails the units that need space with DatabaseFullError; those that free space may use what the writer kept
  in reserve, each in a transaction of its own, so that one that does not fit fails alone;
- any other error of the database fails the batch with DatabaseError, and the connection is opened again.
What was committed is never failed by what comes after it. Nothing an application's unit raises ends the thread; if it
ends all the same, everything that waits fails and `on_thread_death` is called, for nothing could be written then.
"""

import asyncio
import contextlib
import errno
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import apsw

from posthouse.database.batches import MAX_OCTETS, MAX_UNITS, BatchQueue
from posthouse.database.errors import DatabaseClosedError, DatabaseError, DatabaseFullError
from posthouse.database.locks import FileLock
from posthouse.database.outcome import Outcome, finish_in_thread
from posthouse.database.work import Unit, Writer

U = TypeVar("U", bound=Unit[Any])
_Batch = list[U]

# Errors of the file or the machine, as against those of one unit's statements.
_DATABASE_ERRORS = (
    apsw.IOError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.ReadOnlyError,
    apsw.ProtocolError,
    apsw.NoMemError,
    apsw.InterruptError,
)


class GroupCommit(Generic[U]):
    """Owns the commit thread and the one connection that writes.

    `on_thread_death` is called in that thread when it ends by an error: then this process can write no more.
    """

    def __init__(
        self,
        connect: Callable[[], apsw.Connection],
        lock: FileLock,
        writer: Writer[U, Any],
        *,
        max_units: int = MAX_UNITS,
        max_octets: int = MAX_OCTETS,
        on_thread_death: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self._connect = connect
        self._connection = connect()  # here, so that a file that cannot be opened is the opener's error
        self._lock = lock
        self._writer = writer
        self._on_thread_death = on_thread_death
        self._submitted: dict[asyncio.AbstractEventLoop, _Batch[U]] = {}
        self._queue: SimpleQueue[_Batch[U] | None] = SimpleQueue()
        self._waiting: BatchQueue[U] = BatchQueue(max_units, max_octets)
        self._closing = False
        self._dead = False
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    async def run(self, unit: U) -> Any:
        """The unit's result once it is durable. Raises what failed it; DatabaseClosedError after close()."""
        if self._closing:
            raise DatabaseClosedError("the database was closed")
        loop = asyncio.get_running_loop()
        unit.loop = loop
        unit.outcome = Outcome(loop=loop)
        batch = self._submitted.get(loop)
        if batch is None:
            self._submitted[loop] = [unit]
            loop.call_soon(self._hand_over, loop)
        else:
            batch.append(unit)
        return await unit.outcome

    async def close(self) -> None:
        """Finish what waits, then end the thread and close the connection. More than once does no harm.

        It has ended when this returns or is cancelled: what the thread uses may be let go of then.
        """
        if not self._closing:
            self._closing = True
            for loop in list(self._submitted):
                self._hand_over(loop)
            self._queue.put(None)
        await finish_in_thread(self._thread.join)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._submitted.pop(loop, None)
        if batch and self._dead:
            _fail(batch, DatabaseClosedError("the commit thread has ended"), None)
            self._finish(batch)
        elif batch:
            self._queue.put(batch)

    # From here on: the commit thread.

    def _run(self) -> None:
        batch: _Batch[U] = []
        try:
            open_ = True
            while open_ or self._waiting:
                open_ = self._wait() and open_
                batch = self._waiting.take()
                if batch:
                    self._settle(batch)
                    self._complete(batch)
                    batch = []
        except BaseException as error:
            self._die(batch, error)
        finally:
            self._connection.close(True)

    def _die(self, batch: _Batch[U], error: BaseException) -> None:
        """Leave nobody waiting for ever: what was not committed fails, and what comes later is refused."""
        self._closing = self._dead = True
        with contextlib.suppress(Empty):
            while True:
                self._waiting.extend(self._queue.get_nowait() or ())
        orphans = [*batch, *self._waiting.take_all()]
        _fail(orphans, DatabaseClosedError(f"the commit thread has ended: {error!r}"), error)
        self._complete(orphans)
        self._on_thread_death(error)

    def _wait(self) -> bool:
        """Collect all that was handed over, blocking only when there is nothing. False once close() was called."""
        try:
            while True:
                batch = self._queue.get_nowait() if self._waiting else self._queue.get()
                if batch is None:
                    return False
                self._waiting.extend(batch)
        except Empty:
            return True

    def _settle(self, batch: _Batch[U]) -> None:
        """Give every unit its result or its failure."""
        try:
            prepared = self._prepare(batch)
            ready = [unit for unit in batch if unit.failure is None]
            if ready:
                with self._lock:
                    self._commit(ready, prepared)
        except Exception as error:  # a bug here or in the writer: the callers get it, the thread lives on
            _fail(batch, DatabaseError(f"commit failed: {error!r}"), error)

    def _prepare(self, batch: _Batch[U]) -> Any:
        try:
            return self._writer.prepare(self._connection, batch)
        except Exception as error:
            needy = [unit for unit in batch if unit.needs_preparing]
            _fail(needy, DatabaseError(f"not prepared: {error!r}"), error)
            return None

    def _commit(self, units: _Batch[U], prepared: Any) -> None:
        try:
            self._transact(units, self._writer.apply)
        except _DATABASE_ERRORS as error:
            self._fail_batch(units, prepared, error)
        except apsw.FullError as error:
            self._writer.rolled_back(prepared, error)
            self._commit_without_space(units, prepared, error)
        except Exception:  # some unit's own: find out whose
            self._commit_each(units, prepared)
        else:
            self._writer.committed(prepared, units)

    def _commit_each(self, units: _Batch[U], prepared: Any) -> None:
        try:
            self._transact(units, self._apply_each)
        except _DATABASE_ERRORS as error:
            _forget_refusals(units)
            self._fail_batch(units, prepared, error)
        except apsw.FullError as error:
            _forget_refusals(units)
            self._writer.rolled_back(prepared, error)
            self._commit_without_space(units, prepared, error)
        except Exception as error:
            _forget_refusals(units)
            self._fail_batch(units, prepared, error)
        else:
            self._writer.committed(prepared, units)

    def _fail_batch(self, units: _Batch[U], prepared: Any, error: Exception) -> None:
        if self._was_full(error):
            full = apsw.FullError(str(error))
            self._writer.rolled_back(prepared, full)
            self._commit_without_space(units, prepared, full)
            return
        self._writer.rolled_back(prepared, error)
        _fail(units, DatabaseError(f"database: {error}"), error)
        self._reopen()

    def _was_full(self, error: Exception) -> bool:
        """Whether an I/O error was for want of space: SQLite calls it so where it is not the write that failed."""
        if not isinstance(error, apsw.IOError):
            return False
        return self._connection.system_errno in (errno.ENOSPC, errno.EDQUOT)

    def _commit_without_space(self, units: _Batch[U], prepared: Any, full: Exception) -> None:
        needy = [unit for unit in units if not unit.frees_space]
        _fail(needy, DatabaseFullError(f"no space left: {full}"), full)
        frugal = [unit for unit in units if unit.frees_space and unit.failure is None]
        if frugal:
            with self._writer.room():
                self._checkpoint()
                for unit in frugal:
                    self._commit_alone(unit, prepared)

    def _commit_alone(self, unit: U, prepared: Any) -> None:
        try:
            self._transact([unit], self._apply_each)
        except apsw.FullError as error:
            _fail([unit], DatabaseFullError(f"no space left: {error}"), error)
        except Exception as error:
            kind = DatabaseFullError if self._was_full(error) else DatabaseError
            _fail([unit], kind(f"database: {error}"), error)
            self._reopen()
        else:
            self._writer.committed(prepared, [unit])

    def _checkpoint(self) -> None:
        """Copy the log into the file, so that the next transaction overwrites it instead of making it longer."""
        with contextlib.suppress(apsw.Error):  # for want of space, too; the commit shows whether it was enough
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _apply_each(self, connection: apsw.Connection, units: Sequence[U]) -> None:
        for unit in units:
            connection.execute("SAVEPOINT unit")
            try:
                self._writer.apply(connection, [unit])
            except (apsw.FullError, *_DATABASE_ERRORS):
                raise  # concerns them all
            except Exception as error:
                connection.execute("ROLLBACK TO unit")
                unit.failure = error
            connection.execute("RELEASE unit")

    def _transact(self, units: _Batch[U], apply: Callable[[apsw.Connection, Sequence[U]], None]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            apply(connection, units)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite has rolled back by itself after some errors
                with contextlib.suppress(apsw.Error):  # what went wrong first is what counts
                    connection.execute("ROLLBACK")
            raise
        for unit in units:
            unit.committed = unit.failure is None

    def _reopen(self) -> None:
        """Trust nothing the connection remembers. Where no new one can be had now, the old one must do."""
        try:
            fresh = self._connect()
        except (apsw.Error, OSError):
            return  # the next batch fails by itself and comes here again
        old, self._connection = self._connection, fresh
        old.close(True)

    def _complete(self, batch: _Batch[U]) -> None:
        loops: dict[asyncio.AbstractEventLoop, _Batch[U]] = {}
        for unit in batch:
            loops.setdefault(unit.loop, []).append(unit)
        for loop, units in loops.items():
            try:
                loop.call_soon_threadsafe(self._finish, units)
            except RuntimeError:  # the loop was closed: nobody waits there any more
                continue

    # On the event loop again.

    def _finish(self, units: _Batch[U]) -> None:
        kept = [unit for unit in units if unit.failure is None]
        try:
            if kept:
                self._writer.announce(kept)
        finally:
            for unit in units:
                if unit.failure is None:
                    unit.outcome.set_result(unit.result)
                else:
                    unit.outcome.set_exception(unit.failure)


def _forget_refusals(units: Sequence[Unit[Any]]) -> None:
    """What a unit was refused for may have been the work of a neighbour that was rolled back with the batch."""
    for unit in units:
        unit.failure = None


def _fail(units: Sequence[Unit[Any]], failure: Exception, cause: BaseException | None) -> None:
    """Each unit gets an exception of its own: one that is raised in many tasks would gather all their tracebacks."""
    for unit in units:
        if unit.failure is None and not unit.committed:
            unit.failure = type(failure)(*failure.args)
            unit.failure.__cause__ = cause
