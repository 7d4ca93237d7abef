"""Every store that there is, one after the other."""

import time
from collections.abc import AsyncIterator, Iterator

import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import Mailstore
from tests.conformance.backends import BACKENDS, Backend


class Clock:
    """A clock that a test can set."""

    now: float | None = None

    def __call__(self) -> float:
        return time.time() if self.now is None else self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bus() -> LocalBus:
    return LocalBus()


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    found = BACKENDS[request.param]()
    yield found
    found.close()


@pytest.fixture
async def store(backend: Backend, bus: LocalBus, clock: Clock) -> AsyncIterator[Mailstore]:
    opened = backend.open(bus, clock=clock)
    yield opened
    await opened.close()
    backend.assert_sound()
