"""The pump: takes bytes from a connection to an engine, the engine's events to a session, and the answers back.

As long as a session answers on the spot, everything happens inside the event loop's call that brought the bytes: no
task, no future. Only when there is something to await (a commit, a peer that does not read) a task goes on from there,
and what arrives meanwhile is held by the connection, within its bound. So it is, too, when a connection has had its
share and has more to do: see turns.
"""

import asyncio
from collections.abc import Awaitable, Callable

from structlog.typing import FilteringBoundLogger

from posthouse.net.connection import Connection, ConnectionGoneError
from posthouse.net.interface import Driver, Engine, Session
from posthouse.net.limits import Limits
from posthouse.net.tasks import Tasks
from posthouse.net.turns import SHARE_EVENTS, SHARE_OCTETS, SHARE_SECONDS, Meter, Turns

__all__ = ["Engine", "Pump", "Session"]

_LARGE = 1 << 16  # an engine that has this much to send may have stopped for it, see Engine.next_event


class Pump(Driver):
    """Drives one engine by one session over one connection, from the greeting to the end."""

    __slots__ = (
        "_busy",
        "_connection",
        "_ended",
        "_engine",
        "_eof_passed",
        "_fed",
        "_fed_since",
        "_idle_since",
        "_limits",
        "_log",
        "_meter",
        "_session",
        "_tasks",
    )

    def __init__(
        self,
        connection: Connection,
        session: Session,
        *,
        tasks: Tasks,
        limits: Limits,
        turns: Turns,
        log: FilteringBoundLogger,
    ) -> None:
        self._connection = connection
        self._session = session
        self._engine = session.engine
        self._tasks = tasks
        self._limits = limits
        self._meter = Meter(turns)
        self._log = log
        self._busy = False  # inside _advance, or a task goes on from there
        self._ended = False
        self._eof_passed = False
        self._idle_since = connection.now()  # since when it is the peer's turn
        self._fed = 0  # octets since the engine last had something to say
        self._fed_since = 0.0
        connection.reader = self

    # What the connection tells.

    def wake(self) -> None:
        """There is something new: bytes, the end of them, or a change that a session made from outside."""
        if self._busy or self._ended:
            return
        self._busy = True
        try:
            if self._meter.is_used_up:
                waiting: Awaitable[None] | None = self._meter.turn()
            else:
                self._feed()
                waiting = self._advance()
        except Exception:
            self._fail()
            return
        if waiting is None:
            self._busy = False
        else:
            self._tasks.start(self._carry_on(waiting))

    def lost(self) -> None:
        """The connection is gone."""
        if not self._busy:
            self._end()

    def flush(self) -> int:
        """Write what the engine has to say; returns how many octets that was."""
        data = self._engine.data_to_send()
        if data:
            self._fed = 0
            self._connection.write(data)
        return len(data)

    # What the server tells.

    def shut_down(self) -> None:
        """Let the peer know that the server stops; end now, or once the command at hand is done."""
        if not self._ended:
            self._call_engine(self._engine.shut_down)

    def check(self, now: float) -> None:
        """End the connection if the peer has let its time run out. `now` is the loop's time."""
        connection = self._connection
        if connection.congested_since and now - connection.congested_since > self._engine.patience:
            self._log.info("peer does not read", connection=connection.id, peer=connection.peer_ip)
            connection.abort()
        elif self._busy or self._ended:
            return  # it is our turn
        elif now - self._idle_since > self._engine.patience or self._is_dripping(now):
            self._log.info("peer timed out", connection=connection.id, peer=connection.peer_ip)
            self._call_engine(self._engine.time_out)

    def _is_dripping(self, now: float) -> bool:
        """Whether the peer sends so slowly that it only means to hold the connection."""
        allowed = self._limits.drip_grace + self._fed / self._limits.drip_rate
        return self._fed > 0 and now - self._fed_since > allowed

    # The work.

    def _call_engine(self, what: Callable[[], None]) -> None:
        try:
            what()
        except Exception:
            self._fail()
        else:
            self.wake()

    def _feed(self) -> int:
        """Hand what has come to the engine; returns how many octets, or 1 for the end of them."""
        data = self._connection.take()
        if data:
            if not self._fed:
                self._fed_since = self._connection.now()
            self._fed += len(data)
            self._engine.receive_data(data)
            return len(data)
        if self._connection.eof and not self._eof_passed:
            self._eof_passed = True
            self._engine.receive_eof()
            return 1
        return 0

    def _advance(self) -> Awaitable[None] | None:
        """Answer events until there is something to await, which is returned, or bytes are needed: None."""
        meter = self._meter
        began = meter.clock()
        try:
            return self._use_share(began + SHARE_SECONDS)
        finally:
            meter.note(began)

    def _use_share(self, until: float) -> Awaitable[None] | None:
        """The same, for one share: what is awaited may be the next turn."""
        connection, engine, handle, clock = self._connection, self._engine, self._session.handle, self._meter.clock
        events, octets = SHARE_EVENTS, SHARE_OCTETS
        while True:
            if connection.lost:
                self._end()
                return None
            event = engine.next_event()
            if event is not None:
                waiting = handle(event)
                if waiting is not None:
                    return waiting
                events -= 1
                if events and clock() < until:
                    continue
            sent = self.flush()
            if engine.closing:
                connection.close()
                self._end()
                return None
            if connection.congested_since:
                return connection.drain()
            if event is not None or sent >= _LARGE or engine.has_more or octets <= 0:
                return self._meter.turn()
            fed = self._feed()
            if not fed:
                self._idle_since = connection.now()
                return None
            octets -= fed

    async def _carry_on(self, waiting: Awaitable[None] | None) -> None:
        try:
            while waiting is not None:
                await self._meter.run(waiting)
                waiting = self._advance()
        except ConnectionGoneError:
            self._end()
        except asyncio.CancelledError:
            self._end()
            raise
        except Exception:
            self._fail()
        finally:
            self._busy = False

    def _fail(self) -> None:
        """A bug, here or in a session, ends this connection and no other. Called while the exception is handled."""
        connection = self._connection
        self._log.exception("connection failed", connection=connection.id, peer=connection.peer_ip)
        try:
            self._engine.fail()
            self.flush()
        except Exception:
            self._log.exception("engine failed to say so", connection=connection.id)
        connection.close()
        self._end()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._tasks.tidy(self._finish())

    async def _finish(self) -> None:
        try:
            await self._session.finish()
        except Exception:
            self._log.exception("session failed to finish", connection=self._connection.id)
