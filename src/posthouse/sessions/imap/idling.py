"""IDLE (RFC 2177): updates are sent as soon as the bus says that something is new, and now and then a sign of life.

Without that many a NAT forgets a silent connection within minutes, and the client hears of no mail until it asks.
"""

import asyncio
from collections.abc import Callable

from posthouse.mailstore.interface import StoreError
from posthouse.sessions.imap.context import Context
from posthouse.sessions.imap.updating import update

POLL_SECONDS = 45.0  # news may get lost on the way from another worker: then this finds them


class Idling:
    """From IDLE to DONE."""

    __slots__ = ("_ctx", "_end_watch", "_news", "_notify_timer", "_poll_timer", "_task")

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._task: asyncio.Task[None] | None = None
        self._news = False
        self._end_watch: Callable[[], None] = ctx.dependencies.bus.watch(ctx.account.id, self._on_change)
        self._poll_timer: asyncio.TimerHandle | None = None
        self._notify_timer: asyncio.TimerHandle | None = None
        self._poll()
        self._wait_to_notify()

    async def end(self) -> None:
        """Stop; an update that has begun is sent to its end."""
        self._end_watch()
        for timer in (self._poll_timer, self._notify_timer):
            if timer is not None:
                timer.cancel()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _poll(self) -> None:
        self._poll_timer = asyncio.get_running_loop().call_later(POLL_SECONDS, self._polled)

    def _polled(self) -> None:
        self._on_change(0)
        self._poll()

    def _wait_to_notify(self) -> None:
        if seconds := self._ctx.dependencies.idle_notify:
            self._notify_timer = asyncio.get_running_loop().call_later(seconds, self._notify)

    def _notify(self) -> None:
        self._wait_to_notify()
        self._ctx.engine.send(b"* OK Still here\r\n")
        self._ctx.connection.wake()

    def _on_change(self, _modseq: int) -> None:
        self._news = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._send_updates())

    def _fail(self) -> None:
        """Called while the exception is handled: what was not sent comes later, unless half of it was sent already."""
        ctx = self._ctx
        ctx.services.log.exception("imap command failed", connection=ctx.connection.id, command="Idle")
        if ctx.unsettled:
            ctx.engine.fail()

    async def _send_updates(self) -> None:
        """Until nothing is new: news may come while we ask."""
        try:
            while self._news and not self._ctx.engine.closing:
                self._news = False
                try:
                    await update(self._ctx, expunge=True)
                except StoreError:
                    return  # the next news, or the poll, will try again
                except Exception:
                    self._fail()
                self._ctx.connection.wake()
        finally:
            self._task = None
