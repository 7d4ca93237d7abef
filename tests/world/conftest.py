"""One world for all tests; each test has letters of its own in it."""

from collections.abc import Iterator

import pytest

from tests.world.world import World, world


@pytest.fixture(scope="session", name="world")
def one_world() -> Iterator[World]:
    """Everything runs."""
    with world() as made:
        yield made
