"""What was opened, to be closed again in the opposite order: all of it, whatever one part's end brings."""

import inspect
from collections.abc import Awaitable, Callable

from structlog.typing import FilteringBoundLogger

Close = Callable[[], Awaitable[object] | None]


class CloseStack:
    """The parts of a server that need an end."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._open: list[tuple[str, Close]] = []

    def add(self, name: str, close: Close) -> None:
        """Have `close` called when all is closed."""
        self._open.append((name, close))

    async def close(self) -> None:
        """Close all, the last first. One that fails is logged, and the next one is closed. Twice does no harm."""
        while self._open:
            name, close = self._open.pop()
            try:
                waiting = close()
                if inspect.isawaitable(waiting):
                    await waiting
            except Exception:
                self._log.exception("not closed", part=name)
