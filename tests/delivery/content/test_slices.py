"""Large messages leave others their turn, however they are worked on."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from posthouse.delivery.content.body_with_cuts import tail, trim
from posthouse.delivery.content.queued import PIECE, QueuedContent
from posthouse.delivery.content.signing import Signing
from posthouse.delivery.content.slices import SLICE, in_slices
from posthouse.mailstore.interface import MessageRef, Traits
from posthouse.message.signing import SigningKey
from posthouse.policy.dkim.signer import Signer
from tests.policy.dkim.keys import ed25519_key
from tests.stores import Bytes

HEAD = b"From: a@here.test\r\nBcc: b@here.test\r\nSubject: x\r\n\r\n"
LARGE = HEAD + b"0123456789abcdef\r\n" * 200_000
BCC = ((19, 36),)


class Counted(Bytes):
    """A body, and a file in the store, of which is counted how much is asked for between two turns of others."""

    octets_now = most = 0

    def chunks(self) -> Iterator[bytes]:
        return map(self.count, super().chunks())

    async def check(self, entry: MessageRef) -> None:
        pass

    async def read(self, entry: MessageRef, offset: int, length: int) -> bytes:
        return self.count(LARGE[offset : offset + length])

    def count(self, data: bytes) -> bytes:
        self.octets_now += len(data)
        self.most = max(self.most, self.octets_now)
        return data

    async def beside_others(self, work: Coroutine[Any, Any, bytes]) -> bytes:
        async def take_turns() -> None:
            while True:
                self.octets_now = 0
                await asyncio.sleep(0)

        others = asyncio.get_running_loop().create_task(take_turns())
        await asyncio.sleep(0)
        try:
            return await work
        finally:
            others.cancel()


class Directory:
    keys: tuple[SigningKey, ...] = ()

    @property
    def addresses(self) -> "Directory":
        return self

    def signing_keys(self, domain: str) -> tuple[SigningKey, ...]:
        return self.keys


@pytest.fixture
def body() -> Counted:
    return Counted(LARGE, chunk=SLICE // 2)


async def test_leaving_fields_out(body: Counted) -> None:
    async def work() -> bytes:
        return (await trim(body, BCC)).digest

    assert await body.beside_others(work()) == Bytes(LARGE[:19] + LARGE[36:]).digest
    assert body.most <= 2 * SLICE


async def test_signing(body: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Directory()
    directory.keys = (ed25519_key(),)
    signing = Signing(directory, lambda: 1_790_000_000.0)  # type: ignore[arg-type]
    signed = await body.beside_others(signing.sign("here.test", HEAD, tail(body, len(HEAD))))
    assert signed == Signer(directory.keys).sign(HEAD, [LARGE[len(HEAD) :]], 1_790_000_000)
    assert body.most <= 2 * SLICE


async def test_sending(body: Counted) -> None:
    """The store answers at once, as it does for what the kernel has in memory."""
    entry = MessageRef(1, 1, len(LARGE), 0, Traits.NONE, None)
    content = QueuedContent(body, entry)  # type: ignore[arg-type]

    async def look() -> bytes:
        assert await content.is_presentable()
        return b"".join([piece async for piece in content.pieces()])

    assert await body.beside_others(look()) == LARGE
    assert body.most <= 2 * PIECE


@pytest.mark.parametrize("size", [1, 1000, SLICE, 3 * SLICE])
async def test_nothing_is_lost_by_cutting(size: int) -> None:
    data = LARGE[: 4 * SLICE] if size > 1 else LARGE[:100]
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    cut = [piece async for piece in in_slices(pieces)]
    assert b"".join(cut) == data
    assert max(map(len, cut)) <= SLICE
