"""What one client knows of the mailbox it has open.

The mailbox is the shared truth; this is the list by which the client counts. Messages that were expunged keep their
place in it until the client may be told (RFC 9051 5.5, 7.5.1): a sequence number never means two things at once.
"""

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace

from posthouse.mailstore.columns import drop
from posthouse.mailstore.interface import Delta, Flag, Mailbox, MessageColumns, Snapshot
from posthouse.protocol.imap.sets import NumberSet

_COLUMNS = ("uids", "messages", "flags", "modseqs", "octets", "received")


class View:
    """Columns by position; the sequence number of a position is one more."""

    __slots__ = (*_COLUMNS, "gone", "mailbox", "modseq", "read_only", "known_modseq")

    def __init__(self, snapshot: Snapshot, *, read_only: bool) -> None:
        self.mailbox: Mailbox = snapshot.mailbox
        self.modseq = snapshot.modseq  # of the account, up to which this is true
        self.known_modseq = snapshot.mailbox.modseq  # up to which the client knows all, what was expunged included
        self.uids: array[int] = snapshot.uids
        self.messages: array[int] = snapshot.messages
        self.flags: array[int] = snapshot.flags
        self.modseqs: array[int] = snapshot.modseqs
        self.octets: array[int] = snapshot.octets
        self.received: array[int] = snapshot.received
        self.gone: set[int] = set()  # uids that were expunged, which the client does not know yet
        self.read_only = read_only

    def __len__(self) -> int:
        return len(self.uids)

    def position(self, uid: int) -> int:
        """Where a uid stands; -1 when it is not there."""
        at = bisect_left(self.uids, uid)
        return at if at < len(self.uids) and self.uids[at] == uid else -1

    def among(self, uids: Sequence[int]) -> list[int]:
        """Where uids, ascending, stand; those that are not there are passed over."""
        found, at = [], 0
        for uid in uids:
            at = bisect_left(self.uids, uid, at)
            if at < len(self.uids) and self.uids[at] == uid:
                found.append(at)
        return found

    def positions(self, numbers: NumberSet, *, uid: bool, saved: Iterable[int] = ()) -> Sequence[int]:
        """The positions that a set names, ascending; `saved` are the uids of $. Uids nobody has are passed over."""
        if numbers.saved:
            return sorted(at for at in map(self.position, saved) if at >= 0)
        ranges = self._ranges(numbers, uid)
        if len(ranges) == 1:
            return range(*ranges[0])
        return [at for first, end in ranges for at in range(first, end)]

    def first_without(self, flag: Flag) -> int:
        """The first position of a message that has not that flag; -1 when all have it. Without a step for each."""
        lowest = memoryview(self.flags).cast("B")[0 if sys.byteorder == "little" else 7 :: 8]  # octet of each message
        without = bytes(not octet & flag.value for octet in range(256))
        return bytes(lowest).translate(without).find(1)

    def named(self, among: Sequence[int], numbers: NumberSet, *, uid: bool, saved: Iterable[int] = ()) -> Sequence[int]:
        """Those of some positions, ascending, that a set names; quick when they are few, too. `saved`: uids of $."""
        if numbers.saved:
            uids = set(saved)
            return [at for at in among if self.uids[at] in uids]
        found: list[int] = []
        for first, end in self._ranges(numbers, uid):
            found += among[bisect_left(among, first) : bisect_left(among, end)]
        return found

    def _ranges(self, numbers: NumberSet, uid: bool) -> list[tuple[int, int]]:
        """First positions and those behind the last, ascending."""
        uids = self.uids
        if not uids:
            return []
        if not uid:
            return [(first - 1, min(end, len(uids))) for first, end in numbers.resolved(len(uids))]
        return [(bisect_left(uids, first), bisect_right(uids, end)) for first, end in numbers.resolved(uids[-1])]

    def apply(self, rows: Iterable[MessageColumns]) -> list[int]:
        """Apply what happened, all or some of the rows of a delta, by uid; the positions whose flags changed.

        New messages are at the end. When all rows were taken up settle() is to follow.
        """
        changed = []
        last, at = self.uids[-1] if self.uids else 0, 0
        for row in rows:
            if row.uid > last:
                self.uids.append(row.uid)
                self.messages.append(row.message)
                self.flags.append(row.flags)
                self.modseqs.append(row.modseq)
                self.octets.append(row.octets)
                self.received.append(row.received)
                continue
            at = bisect_left(self.uids, row.uid, at)
            if self.uids[at] == row.uid and self.modseqs[at] < row.modseq:
                self.flags[at], self.modseqs[at] = row.flags, row.modseq
                changed.append(at)
        return changed

    def settle(self, delta: Delta) -> None:
        """All that is new is applied; what has vanished is noted."""
        self.mailbox, self.modseq = delta.mailbox, delta.modseq
        self.gone.update(uid for uid in delta.vanished if self.position(uid) >= 0)

    def note_change(self, modseq: int) -> None:
        """Flags have changed with that modseq, and all of it is known."""
        self.modseq = modseq
        self.mailbox = replace(self.mailbox, modseq=modseq)
        if not self.gone:
            self.known_modseq = modseq

    def note(self, row: MessageColumns) -> bool:
        """Apply the flags of a message; whether that was news."""
        at = self.position(row.uid)
        if at < 0 or self.modseqs[at] >= row.modseq:
            return False
        self.flags[at], self.modseqs[at] = row.flags, row.modseq
        return True

    def drop_gone(self) -> tuple[list[int], list[int]]:
        """Take the expunged messages out; their sequence numbers as each is when its turn comes, and their uids."""
        places = sorted(at for at in map(self.position, self.gone) if at >= 0)
        self.gone.clear()
        if not places:
            return [], []
        uids = [self.uids[at] for at in places]
        drop([getattr(self, name) for name in _COLUMNS], places)
        return [at + 1 - before for before, at in enumerate(places)], uids
