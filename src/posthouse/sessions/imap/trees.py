"""Where the parts of a message are, between the commands of a session."""

from posthouse.message.mime import Part


class LastTree:
    """The parts of the long message that a session looked at last: clients ask for it piece by piece."""

    __slots__ = ("_message", "_root")

    def __init__(self) -> None:
        self._message = 0
        self._root: Part | None = None

    def find(self, message: int) -> Part | None:
        """Where its parts are, if it is that message."""
        return self._root if message == self._message else None

    def note(self, message: int, root: Part) -> None:
        """It is this one now."""
        self._message, self._root = message, root
