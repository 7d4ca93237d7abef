"""The index of messages, as sessions use it."""

import asyncio
import contextlib
import errno
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar, TypeVarTuple
from weakref import WeakValueDictionary

from posthouse.mailstore.index.envelopes import Envelopes
from posthouse.mailstore.index.interface import IndexRows
from posthouse.mailstore.index.records import IndexRecord, MessageSummary, SortKeys, folded, record, summary_of
from posthouse.mailstore.interface import (
    DamagedError,
    MailboxMessage,
    MessageReader,
    MessageRef,
    NoSuchMailboxError,
    StoreError,
)
from posthouse.message.header import header_end
from posthouse.message.mime import Part, envelope
from posthouse.message.text import digest

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_Job = Callable[[int, Sequence[int]], Awaitable[T]]  # given an account and messages of it
_CHUNK = 100  # messages that are made and kept together
_CHUNK_OCTETS = 8 << 20
_PIECE = 4000  # messages that one job reads: tens of milliseconds at most
_AT_ONCE = 2  # such jobs
_SMALL = 16 << 10  # octets of a message that is read through on the event loop; also, where headers end as a rule
_TRIES = 3
_REMOVED = 500  # rows of each table in one transaction
_EMPTY = summary_of(digest(b"", 0))
_MISSING = MessageSummary(b"", b"", "")


class MessageIndex:
    """Answers from the rows of the index; makes what is missing there from the messages. One per event loop.

    Raises StoreError when the rows can neither be used nor made, and when a message cannot be read now: then an answer
    without it would be false. Without one that is damaged it is true.
    """

    def __init__(self, rows: IndexRows, store: MessageReader) -> None:
        self._rows = rows
        self._store = store
        self._maker = ThreadPoolExecutor(1, "index-maker")
        self._envelopes = Envelopes()
        self._making: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._keeping: set[asyncio.Task[None]] = set()

    async def summaries(
        self, account: int, items: Sequence[MailboxMessage], *, envelope_only: bool = False
    ) -> list[MessageSummary]:
        """What is shown of each, in order. Of a message that cannot be read: one that is_missing.

        With `envelope_only`, a message that is not indexed is not read whole: the rest is empty then.
        """
        messages = [item.entry.message for item in items]
        known = self._envelopes.those(account, messages) if envelope_only else {}
        absent = [message for message in messages if message not in known]
        if absent:
            with contextlib.suppress(StoreError):  # the messages themselves are there
                known |= await self._rows.summaries(account, absent)
        records = []
        for item in items:
            message = item.entry.message
            if message in known:
                continue
            if envelope_only:
                known[message] = await self._envelope(item.entry)
                continue
            made = None
            with contextlib.suppress(StoreError):  # the caller finds out when it reads the message
                made = await self._made(item.entry)
            known[message] = made.summary if made is not None else _MISSING
            if made is not None:
                records.append((message, made.record))
        if records:
            self._keep_later(account, records)
        if envelope_only:
            self._envelopes.keep(
                account, {message: known[message] for message in absent if not known[message].is_missing}
            )
        return [known[message] for message in messages]

    async def contains(self, account: int, mailbox: int, messages: Sequence[int], field: str, needle: str) -> set[int]:
        """Ids of those whose field has the needle as a substring, both folded.

        `field`: "text" (body or headers, those of parts, too), "body", "subject", "from", "to", "cc", "bcc", or
        "header:" and a field's name. With an empty needle fields find all messages that have such a field.
        """
        parts = await self._read(
            account, mailbox, messages, partial(self._rows.find, field=field, needle=folded(needle))
        )
        return set().union(*parts)

    async def sent_days(self, account: int, mailbox: int, messages: Sequence[int]) -> dict[int, int]:
        """The day each was written, as its writer wrote it, in days since 1970."""
        return _merged(await self._read(account, mailbox, messages, self._rows.sent_days))

    async def sort_keys(self, account: int, mailbox: int, messages: Sequence[int]) -> dict[int, SortKeys]:
        """What each is sorted and threaded by."""
        return _merged(await self._read(account, mailbox, messages, self._rows.sort_keys))

    async def ensure(self, account: int, mailbox: int, messages: Sequence[int]) -> None:
        """Index those that are not yet. What is gone, or damaged, is passed over."""
        absent = [message for part in await self._read_all(account, messages, self._rows.missing) for message in part]
        for start in range(0, len(absent), _CHUNK):
            await self._index(account, mailbox, absent[start : start + _CHUNK])

    async def remove(self, account: int, messages: Sequence[int]) -> None:
        """Throw away what is kept of messages that were expunged."""
        for start in range(0, len(messages), _REMOVED):
            await self._rows.remove(account, messages[start : start + _REMOVED])

    async def forget(self, account: int) -> None:
        """Throw away what is kept of an account, in short transactions."""
        while await self._rows.remove_some(account, _REMOVED):
            continue

    async def followed(self, account: int) -> int:
        """Up to which modseq of the account note_followed() was called."""
        return await self._rows.followed(account)

    async def note_followed(self, account: int, modseq: int) -> None:
        """All that happened up to then is taken care of."""
        await self._rows.note_followed(account, modseq)

    async def close(self) -> None:
        """Finish what waits. More than once does no harm."""
        if self._keeping:
            await asyncio.gather(*self._keeping)
        await self._rows.close()
        await asyncio.to_thread(self._maker.shutdown)

    async def _read(self, account: int, mailbox: int, messages: Sequence[int], job: _Job[T]) -> list[T]:
        """What a reading job finds when all messages are indexed."""
        for _ in range(_TRIES):
            generation = self._rows.generation
            await self.ensure(account, mailbox, messages)
            found = await self._read_all(account, messages, job)
            if self._rows.generation == generation:  # else the rows were lost meanwhile
                return found
        raise StoreError("the index is damaged again and again")

    async def _read_all(self, account: int, messages: Sequence[int], job: _Job[T]) -> list[T]:
        """Run a reading job on all messages, piece by piece, some at once; others get their turn between."""
        pieces = iter([messages[start : start + _PIECE] for start in range(0, len(messages), _PIECE)])
        found: list[T] = []

        async def work() -> None:
            for piece in pieces:
                part = await job(account, piece)
                found.append(part)

        await asyncio.gather(*(work() for _ in range(min(_AT_ONCE, -(-len(messages) // _PIECE)))))
        return found

    async def _index(self, account: int, mailbox: int, messages: Sequence[int]) -> None:
        lock = self._making.setdefault(account, asyncio.Lock())
        waited = lock.locked()
        async with lock:
            if waited:  # the other one may have made them
                messages = await self._rows.missing(account, messages)
            try:
                items = await self._store.items(account, mailbox, messages) if messages else []
            except NoSuchMailboxError:
                return
            records: list[tuple[int, IndexRecord]] = []
            octets, failure = 0, None
            for item in items:
                try:
                    made = await self._made(item.entry)
                except StoreError as error:  # the others need not wait for it
                    made, failure = None, error
                if made is not None:
                    records.append((item.entry.message, made.record))
                octets += item.entry.octets
                if octets > _CHUNK_OCTETS:
                    await self._keep(account, records)
                    records, octets = [], 0
                await asyncio.sleep(0)
            await self._keep(account, records)
            if failure is not None:
                raise failure

    async def _keep(self, account: int, records: Sequence[tuple[int, IndexRecord]]) -> None:
        if records:
            await self._rows.add(account, records)

    def _keep_later(self, account: int, records: Sequence[tuple[int, IndexRecord]]) -> None:
        async def keep() -> None:
            with contextlib.suppress(StoreError):  # they will be made again
                await self._keep(account, records)

        task = asyncio.get_running_loop().create_task(keep())
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _made(self, entry: MessageRef) -> "_Made | None":
        """None when the message is damaged."""
        try:
            data = await self._octets_of(entry, entry.octets)
        except DamagedError:
            return None
        except StoreError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EIO:  # a bad sector stays bad
                return None
            raise
        return await self._derive(_make, data, entry.received)

    async def _envelope(self, entry: MessageRef) -> MessageSummary:
        try:
            data = await self._octets_of(entry, _SMALL)
            if header_end(data, bare_lf=True) == len(data):  # there is none yet
                data = await self._octets_of(entry, entry.octets)
        except StoreError:
            return _MISSING
        return MessageSummary(await self._derive(_envelope, data), _EMPTY.structure, "")

    async def _derive(self, job: Callable[[bytes, *Ts], T], data: bytes, *args: *Ts) -> T:
        """On the spot, or by the thread for it when that may take longer than others should wait."""
        if len(data) <= _SMALL:
            return job(data, *args)
        return await asyncio.get_running_loop().run_in_executor(self._maker, partial(job, data, *args))

    async def _octets_of(self, entry: MessageRef, octets: int) -> bytes:
        octets = min(octets, entry.octets)
        data = await self._store.read(entry, 0, octets)
        while len(data) < octets and (more := await self._store.read(entry, len(data), octets - len(data))):
            data += more
        return data


class _Made(NamedTuple):
    """What is made of one message."""

    summary: MessageSummary
    record: IndexRecord


def _make(data: bytes, received: int) -> _Made:
    made = digest(data, received)
    return _Made(summary_of(made), record(made))


def _envelope(data: bytes) -> bytes:
    body = header_end(data, bare_lf=True)
    return envelope(data, Part(0, body, body))


def _merged(parts: Iterable[dict[int, T]]) -> dict[int, T]:
    found: dict[int, T] = {}
    for part in parts:
        found.update(part)
    return found
