"""What only this server may have written does not come in from outside."""

import pytest

from posthouse.delivery.inbound.stages import UNKNOWN_ORIGIN, Origin
from tests.delivery.fixture import Fixture
from tests.delivery.inbound.test_pipeline import Door, codes

FORGED = b"Authentication-Results: MX.here.test (really); dkim=pass header.d=bank.test\r\n"
THEIRS = b"Authentication-Results: mx.other.test; dkim=fail\r\n"
REST = b"From: alice@here.test\r\nDate: Mon, 7 Sep 2026 10:00:00 +0000\r\nMessage-ID: <1@here.test>\r\n"
BODY = b"\r\nhi\r\n.\r\n"


async def kept(at: Fixture, door: Door, origin: Origin) -> bytes:
    data = FORGED + THEIRS + REST + FORGED + BODY
    assert codes(await door.receive("bob@here.test", data=data, origin=origin)) == [250]
    (found,) = await at.inbox("bob")
    return found


async def test_from_outside_they_are_cut(at: Fixture) -> None:
    found = await kept(at, Door(at), UNKNOWN_ORIGIN)
    assert found.endswith(THEIRS + REST + BODY)
    assert FORGED not in found


async def test_of_users_they_are_cut_before_the_message_is_signed(at: Fixture) -> None:
    door = Door(at)
    found = await kept(at, door, door.alice)
    assert found.endswith(THEIRS + REST + BODY)
    assert FORGED not in found


async def test_of_our_own_servers_they_stay(at: Fixture) -> None:
    assert (await kept(at, Door(at), Origin(trusted=True))).endswith(FORGED + THEIRS + REST + FORGED + BODY)


@pytest.mark.parametrize("data", [FORGED + BODY, FORGED, FORGED[:-2]])
async def test_nothing_else_is_there(at: Fixture, data: bytes) -> None:
    assert codes(await Door(at).receive("bob@here.test", data=data)) == [250]
    (found,) = await at.inbox("bob")
    assert b"bank.test" not in found
