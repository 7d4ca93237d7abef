"""The messages of one session, as RFC 1939 counts them: numbers never move, and what is marked deleted is not seen."""

from collections.abc import Iterator, Sequence

from posthouse.protocol.pop3.events import MaildropContents

_BLOCK = 2048  # messages; a block of a listing is some 30 KiB


class OpenMaildrop:
    """The drop as it was at login, and what was marked deleted since. STAT's two numbers are kept, not counted."""

    __slots__ = ("_drop", "_total", "count", "deleted", "octets")

    def __init__(self, drop: MaildropContents) -> None:
        self._drop = drop
        self._total = sum(drop.octets)
        self.deleted: set[int] = set()
        self.count = len(drop.octets)
        self.octets = self._total

    def holds(self, number: int) -> bool:
        """Whether there is such a message, deleted or not."""
        return 1 <= number <= len(self._drop.octets)

    def octets_of(self, number: int) -> int:
        """What LIST says of this message."""
        return self._drop.octets[number - 1]

    def uidl_of(self, number: int) -> str:
        """What UIDL says of this message."""
        return self._drop.uidls[number - 1]

    def delete(self, number: int) -> None:
        """Mark it. It is there and not marked yet."""
        self.deleted.add(number)
        self.count -= 1
        self.octets -= self._drop.octets[number - 1]

    def restore(self) -> None:
        """Take all marks away."""
        self.deleted.clear()
        self.count, self.octets = len(self._drop.octets), self._total

    def sizes(self) -> Iterator[bytes]:
        """The lines of LIST, in blocks."""
        return self._blocks(self._drop.octets)

    def uidls(self) -> Iterator[bytes]:
        """The lines of UIDL, in blocks."""
        return self._blocks(self._drop.uidls)

    def _blocks(self, values: Sequence[int] | Sequence[str]) -> Iterator[bytes]:
        deleted = self.deleted
        for start in range(0, len(values), _BLOCK):
            numbered = enumerate(values[start : start + _BLOCK], start + 1)
            if deleted:
                lines = [f"{number} {value}\r\n" for number, value in numbered if number not in deleted]
            else:
                lines = [f"{number} {value}\r\n" for number, value in numbered]
            yield "".join(lines).encode()
