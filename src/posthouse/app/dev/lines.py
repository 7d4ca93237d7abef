"""Lines for those who watch, written by a thread: one that does not read must not hold up the mail."""

import os
import threading
from collections.abc import Callable

_BOUND = 1 << 20  # octets that wait to be read


class LineWriter:
    """Writes lines to a descriptor. What does not fit the bound is left out and counted."""

    def __init__(self, descriptor: int, left_out: Callable[[int], str], *, bound: int = _BOUND) -> None:
        """`left_out` makes the line that says how many are missing at this place."""
        self._descriptor = descriptor
        self._left_out = left_out
        self._bound = bound
        self._changed = threading.Condition()
        self._lines: list[bytes] = []
        self._octets = 0
        self._missing = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Have a line written in its turn. Never waits."""
        data = line.encode(errors="backslashreplace") + b"\n"
        with self._changed:
            if self._missing or self._octets + len(data) > self._bound:
                self._missing += 1
                return
            self._lines.append(data)
            self._octets += len(data)
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Write what waits, if that is read within so many seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while piece := self._next():
            try:
                while piece:
                    piece = piece[os.write(self._descriptor, piece) :]
            except OSError:
                return  # the reader is gone, or its disk is full: mail goes on without it

    def _next(self) -> bytes:
        """All that waits; b"" at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closed)
            piece = b"".join(self._lines)
            if self._missing:
                piece += self._left_out(self._missing).encode() + b"\n"
            self._lines.clear()
            self._octets = self._missing = 0
            return piece
