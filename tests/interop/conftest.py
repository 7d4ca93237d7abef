"""One running program for all foreign clients; each test uses a mailbox of its own."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.outside.program import Program, running

ACCOUNTS = 240


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program, with accounts i0 .. i239."""
    with running(tmp_path_factory.mktemp("interop") / "data") as program:
        program.add_accounts([f"i{n}" for n in range(ACCOUNTS)])
        yield program


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return itertools.count()


@pytest.fixture
def address(_numbers: Iterator[int]) -> str:
    """The address of a mailbox that no other test uses."""
    number = next(_numbers)
    assert number < ACCOUNTS, "more tests than mailboxes: raise ACCOUNTS"
    return f"i{number}@example.test"


@pytest.fixture
def new_home(tmp_path: Path) -> Callable[[], Path]:
    """Makes home folders, one per foreign program, so that none sees another's settings."""
    numbers = itertools.count()

    def make() -> Path:
        home = tmp_path / f"home{next(numbers)}"
        home.mkdir()
        return home

    return make
