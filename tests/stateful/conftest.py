from collections.abc import Iterator

import pytest

from tests.stateful.explore import Explorer


@pytest.fixture(scope="module")
def explorer() -> Iterator[Explorer]:
    with Explorer() as opened:
        yield opened
