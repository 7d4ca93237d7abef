"""The terminal that a server was started from, if any."""

import os


class Terminal:
    """Made at the start. A server that was started without one, by a service manager, is never without it."""

    def __init__(self) -> None:
        self._descriptors = [descriptor for descriptor in (0, 1, 2) if os.isatty(descriptor)]

    def is_gone(self) -> bool:
        """Whether it was closed: no system call on it succeeds any more."""
        return bool(self._descriptors) and not any(os.isatty(descriptor) for descriptor in self._descriptors)
