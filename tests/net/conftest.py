"""Every test here runs on both loops. At the end of each, `house` sees that nothing was left behind."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import structlog
from structlog.testing import LogCapture

from posthouse.net.loop import new_event_loop
from tests.net.fixture import Certificate, Fixture, issue


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return issue(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def logged() -> LogCapture:
    return LogCapture()


@pytest.fixture
def log(logged: LogCapture) -> structlog.typing.FilteringBoundLogger:
    wrapper = structlog.make_filtering_bound_logger(0)
    return structlog.wrap_logger(None, processors=[logged], wrapper_class=wrapper)  # type: ignore[no-any-return]


@pytest.fixture
async def house(log: structlog.typing.FilteringBoundLogger) -> AsyncIterator[Fixture]:
    house = Fixture(log)
    yield house
    for client in house.clients:
        await client.close()
    for server in house.servers:
        await server.shut_down(2.0)
        assert server.numbers.open == 0
    assert all(session.finished == 1 for session in house.sessions)
