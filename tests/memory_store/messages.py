"""Messages in memory: marked, copied and moved. What raises has changed nothing."""

from collections.abc import Iterable, Sequence

from posthouse.mailstore.interface import (
    Appending,
    MailboxMessage,
    Marked,
    Marks,
    Measure,
    MessageColumns,
    MessageRef,
    NoSuchMailboxError,
    OverQuotaError,
    Placed,
    Setting,
    TooManyKeywordsError,
)
from tests.memory_store.account import Box, MemoryAccount


def row(item: MailboxMessage) -> MessageColumns:
    """Its columns."""
    entry = item.entry
    return MessageColumns(entry.uid, entry.message, item.flags, item.modseq, entry.octets, entry.received)


def mark(
    owner: MemoryAccount,
    box: Box,
    messages: Sequence[int],
    setting: Setting,
    marks: Marks,
    unchanged_since: int | None,
) -> Marked:
    """See Mailstore."""
    if not messages:
        return Marked([], [])
    before = owner.keywords.copy()
    rows: list[MessageColumns] = []
    conflicts: list[int] = []
    modseq, changed = owner.modseq + 1, 0
    become: dict[int, int] = {}  # message -> new flags
    try:
        for item in box.those(messages):
            if unchanged_since is not None and item.modseq > unchanged_since:
                conflicts.append(item.entry.uid)
            else:
                become[item.entry.message] = owner.keywords.changed(item.flags, setting, marks)
    except TooManyKeywordsError:
        owner.keywords = before
        raise
    for message, flags in become.items():
        item = box.items[message]
        if flags != item.flags:
            owner.modseq = box.modseq = changed = modseq
            item = box.items[message] = item._replace(flags=flags, modseq=modseq)
        rows.append(row(item))
    return Marked(rows, conflicts, changed)


def append(
    owner: MemoryAccount,
    box: Box,
    messages: Sequence[Appending],
    bodies: Sequence[bytes],
    quota: int | None,
    replacing: tuple[Box, int] | None,
    now: int,
) -> Placed:
    """See Mailstore."""
    freed = 0
    if replacing is not None:
        if replacing[1] not in replacing[0].items:
            raise NoSuchMailboxError("the message to be replaced is not there")
        freed = replacing[0].items[replacing[1]].entry.octets
    if bodies:
        _check_room(owner, sum(map(len, bodies)) - freed, quota)
    uids = []
    several = [owner.keywords.fitting(message.marks) for message in messages]
    for message, flags, body in zip(messages, several, bodies, strict=True):
        owner.bump()
        entry = MessageRef(0, 0, len(body), int(message.body.traits), message.received, (b"", body))
        uids.append(owner.put(box, entry, flags, now))
    sources = owner.take(replacing[0], [replacing[1]]) if replacing else []
    return Placed(box.uidvalidity, sources, uids)


def copy(owner: MemoryAccount, box: Box, messages: Iterable[int], target: Box, quota: int | None, now: int) -> Placed:
    """See Mailstore."""
    sources = box.those(messages)
    if sources:
        _check_room(owner, sum(item.entry.octets for item in sources), quota)
        owner.bump()
    uids = [owner.put(target, item.entry, item.flags, now, item.origin) for item in sources]
    return Placed(target.uidvalidity, [item.entry.uid for item in sources], uids)


def move(owner: MemoryAccount, box: Box, messages: Sequence[int], target: Box, now: int) -> Placed:
    """See Mailstore."""
    placed = copy(owner, box, messages, target, None, now)
    owner.take(box, messages)
    return placed


def number(item: MailboxMessage, measure: Measure) -> int:
    """What a message measures."""
    match measure:
        case Measure.OCTETS:
            return item.entry.octets
        case Measure.RECEIVED:
            return item.entry.received
        case Measure.SAVED:
            return item.saved
        case Measure.ORIGIN:
            return item.origin


def _check_room(owner: MemoryAccount, coming: int, quota: int | None) -> None:
    if quota is not None and owner.octets + coming > quota:
        raise OverQuotaError("there is no room for this")
