"""What an order to change flags comes to: decided from the rows of the messages it names, without a database."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from posthouse.mailstore.interface import KEYWORD_SHIFT, Flag, Marked, MessageColumns

_SEEN, _DELETED = int(Flag.SEEN), int(Flag.DELETED)


@dataclass(slots=True)
class FlagChanges:
    """The rows to be written, and what changes in the counters."""

    changing: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # new flags -> message ids
    keyword_sets: "Counter[int]" = field(default_factory=Counter)  # number of a set -> messages more, or fewer
    unseen: int = 0
    deleted: int = 0
    _rows: list[tuple[MessageColumns, bool]] = field(default_factory=list)  # as they will be; whether they change
    _conflicts: list[int] = field(default_factory=list)

    def marked(self, modseq: int) -> Marked:
        """What became of the order. `modseq` is that of this change, 0 when nothing is `changing`."""
        rows = [row._replace(modseq=modseq) if changes else row for row, changes in self._rows]
        return Marked(rows, self._conflicts, modseq)

    def change(self, row: MessageColumns, flags: int) -> None:
        """Count one message that gets other flags."""
        self._rows.append((row._replace(flags=flags), True))
        self.changing[flags].append(row.message)
        before, after = row.flags >> KEYWORD_SHIFT, flags >> KEYWORD_SHIFT
        if before != after:
            self.keyword_sets[before] -= 1
            self.keyword_sets[after] += 1
        self.unseen += bool(row.flags & _SEEN) - bool(flags & _SEEN)
        self.deleted += bool(flags & _DELETED) - bool(row.flags & _DELETED)

    def leave(self, row: MessageColumns) -> None:
        """One message whose flags are so already."""
        self._rows.append((row, False))

    def conflict(self, row: MessageColumns) -> None:
        """One that was changed since the order's `unchanged_since`."""
        self._conflicts.append(row.uid)


def decide_flags(
    rows: Iterable[MessageColumns], changed: Callable[[int], int], unchanged_since: int | None
) -> FlagChanges:
    """What becomes of messages, given by uid. `changed` gives what flags become, and is asked once for each flags."""
    changes = FlagChanges()
    become: dict[int, int] = {}  # flags -> new flags: messages have few different ones
    for row in rows:
        if unchanged_since is not None and row.modseq > unchanged_since:
            changes.conflict(row)
            continue
        flags = become.get(row.flags, -1)
        if flags < 0:
            flags = become[row.flags] = changed(row.flags)
        if flags == row.flags:
            changes.leave(row)
        else:
            changes.change(row, flags)
    return changes
