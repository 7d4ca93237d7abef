"""A registry over a new file, and directories that read it; the invariants are checked when a test ends."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from posthouse.accounts.passwords import HashCost, PasswordHasher
from posthouse.accounts.pool import HashingPool
from posthouse.accounts.sqlite import SqliteDirectory, SqliteRegistry
from posthouse.accounts.throttle import MemoryThrottleRows, Throttle
from posthouse.accounts.verified_passwords import VerifiedPasswordCache
from tests.accounts.clock import Clock
from tests.accounts.invariants import check_directory

CHEAP = HashCost(memory=8, passes=1, lanes=1, iterations=4096)


@pytest.fixture
def hasher() -> PasswordHasher:
    """Hashes in a millisecond."""
    return PasswordHasher(CHEAP)


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "directory.db"


def new_key(algorithm: str) -> bytes:
    """A private key that costs no time."""
    return f"a key for {algorithm}".encode()


@pytest.fixture
def registry(path: Path, hasher: PasswordHasher, clock: Clock) -> Iterator[SqliteRegistry]:
    with SqliteRegistry(path, hasher=hasher, clock=clock, new_key=new_key) as registry:
        yield registry
        check_directory(path)


DirectoryMaker = Callable[..., SqliteDirectory]


@pytest.fixture
def open_directory(
    path: Path, registry: SqliteRegistry, hasher: PasswordHasher, clock: Clock
) -> Iterator[DirectoryMaker]:
    """Opens directories over the registry's file."""
    opened: list[SqliteDirectory] = []

    def make(**options: object) -> SqliteDirectory:
        throttle = options.pop("throttle", None) or Throttle(MemoryThrottleRows(), clock)
        options = {"hasher": hasher, "pool": HashingPool(2), "verified": VerifiedPasswordCache(clock), **options}
        opened.append(SqliteDirectory(path, throttle, **{"failure_seconds": 0, **options}))  # type: ignore[arg-type]
        return opened[-1]

    yield make
    for directory in opened:
        directory.close()


@pytest.fixture
def directory(open_directory: DirectoryMaker) -> SqliteDirectory:
    return open_directory()
