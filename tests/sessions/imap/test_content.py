"""What is read from the store for the parts of a long message."""

from typing import Any

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import INBOX, MessageRef
from posthouse.protocol.imap.commands import Section
from posthouse.sessions.imap.content import Long, MessageSections
from posthouse.sessions.imap.trees import LastTree
from tests.memory_store import MemoryMailstore
from tests.stores import append, box_of, letter

BODY = b"0123456789abcde\r\n" * 40_000
TEXT = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + BODY + b"\r\n--b\r\n\r\nshort\r\n--b--\r\n"


class Counting:
    """A store that notes how many octets are read at once."""

    def __init__(self, store: MemoryMailstore) -> None:
        self._store = store
        self.reads: list[int] = []

    async def read(self, entry: MessageRef, offset: int, length: int) -> bytes:
        data = await self._store.read(entry, offset, length)
        self.reads.append(len(data))
        return data

    async def check(self, entry: MessageRef) -> None:
        await self._store.check(entry)


async def _octets(answer: bytes | Long) -> bytes:
    if isinstance(answer, bytes):
        return answer.partition(b"\r\n")[2]
    return b"".join([piece async for piece in answer.pieces])


async def test_a_long_part_is_read_while_it_is_sent() -> None:
    """The message is read whole once, to find its parts; after that each piece when its turn comes."""
    memory = MemoryMailstore(LocalBus())
    await append(memory, 1, letter(TEXT))
    counting, trees = Counting(memory), LastTree()
    store: Any = counting
    (item,) = await memory.items(1, (await box_of(memory, 1, INBOX)).id, [1])
    answer = await MessageSections(store, item, trees).section(Section(b"BODY[1]", (1,)))
    assert isinstance(answer, Long) and answer.octets == len(BODY)
    assert counting.reads == [len(TEXT), 1 << 16]
    assert await _octets(answer) == BODY
    assert max(counting.reads[1:]) == 1 << 16 and sum(counting.reads[1:]) == len(BODY)
    counting.reads.clear()
    for first in range(0, len(BODY), 50_000):  # as clients do that fetch in pieces
        part = await MessageSections(store, item, trees).section(Section(b"BODY[1]", (1,), partial=(first, 50_000)))
        assert await _octets(part) == BODY[first : first + 50_000]
    assert sum(counting.reads) == len(BODY)
    short = await MessageSections(store, item, trees).section(Section(b"BODY[2]", (2,)))
    assert await _octets(short) == b"short"
    assert await MessageSections(store, item, trees).section(Section(b"BODY[3]", (3,))) == b" NIL"
