"""What was verified once is known to all processes, and after a restart; without the key it is nothing."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from posthouse.accounts.interface import Account, Refusal, RefusalKind
from posthouse.accounts.passwords import PasswordHasher
from posthouse.accounts.pool import HashingPool
from posthouse.accounts.sqlite import SqliteDirectory, SqliteRegistry, SqliteVerifiedPasswordRows
from posthouse.accounts.sqlite.verified_passwords import keep_rows_of
from posthouse.accounts.sqlite.volatile import open_volatile
from posthouse.accounts.verified_passwords import VerifiedPasswordCache
from tests.accounts.clock import Clock
from tests.accounts.conftest import CHEAP, DirectoryMaker

IP = "192.0.2.1"
KEY, OTHER_KEY = b"k" * 32, b"o" * 32
WRONG = Refusal(RefusalKind.WRONG)


class CountingHasher(PasswordHasher):
    """Counts the checks."""

    def __init__(self) -> None:
        super().__init__(CHEAP)
        self.checks = 0

    def check(self, stored: str | None, password: str) -> bool:
        self.checks += 1
        return super().check(stored, password)


class Server:
    """Workers over one volatile.db."""

    def __init__(self, path: Path, make: DirectoryMaker, clock: Clock) -> None:
        self.path, self._make, self._clock = path, make, clock
        self.hasher = CountingHasher()
        self.connections: list[apsw.Connection] = []

    def worker(self, key: bytes = KEY, *, seconds: float = 1_000.0) -> SqliteDirectory:
        self.connections.append(open_volatile(self.path))
        rows = SqliteVerifiedPasswordRows(self.connections[-1])
        cache = VerifiedPasswordCache(self._clock, seconds=seconds, key=key, rows=rows, wall_clock=self._clock)
        return self._make(hasher=self.hasher, verified=cache, pool=HashingPool(1))

    def rows(self) -> int:
        with closing(apsw.Connection(str(self.path))) as connection:
            return int(connection.execute("SELECT count(*) FROM verified_passwords").get)


@pytest.fixture
def server(tmp_path: Path, registry: SqliteRegistry, open_directory: DirectoryMaker, clock: Clock) -> Iterator[Server]:
    registry.domains.add("a.test")
    registry.accounts.add("alice@a.test", "secret")
    server = Server(tmp_path / "volatile.db", open_directory, clock)
    yield server
    for connection in server.connections:
        connection.close()


async def logged_in(worker: SqliteDirectory, password: str = "secret") -> bool:
    return isinstance(await worker.logins.verify("alice@a.test", password, IP), Account)


async def test_one_hash_for_all_workers_and_those_after_a_restart(server: Server, clock: Clock) -> None:
    workers = [server.worker() for _ in range(3)]
    for worker in [*workers, *workers, server.worker()]:
        assert await logged_in(worker)
    assert server.hasher.checks == 1
    clock.now += 999
    assert await logged_in(server.worker())
    clock.now += 1  # counted from the hash, wherever it was made
    for worker in (workers[1], server.worker()):
        assert await logged_in(worker)
    assert server.hasher.checks == 2


async def test_wrong_ones_and_unknown_names_leave_nothing(server: Server) -> None:
    for _ in range(2):
        assert await server.worker().logins.verify("alice@a.test", "wrong", IP) == WRONG
        assert await server.worker().logins.verify("nobody@a.test", "secret", IP) == WRONG
    assert server.hasher.checks == 4
    assert server.rows() == 0


async def test_what_ends_a_password_ends_it_in_all_workers(server: Server, registry: SqliteRegistry) -> None:
    first, second = server.worker(), server.worker()
    assert await logged_in(first) and await logged_in(second)
    registry.accounts.set_password("alice@a.test", "new")
    assert not await logged_in(first) and not await logged_in(second)
    assert await logged_in(first, "new") and await logged_in(second, "new")
    registry.accounts.remove("alice@a.test")
    assert not await logged_in(first, "new") and not await logged_in(second, "new")
    registry.accounts.add("alice@a.test", "third")  # the generation of the first one
    for password in ("secret", "new"):
        assert not await logged_in(first, password)
    assert await logged_in(second, "third")


async def test_the_same_password_set_again_is_hashed_again(server: Server, registry: SqliteRegistry) -> None:
    worker = server.worker()
    assert await logged_in(worker)
    registry.accounts.set_password("alice@a.test", "secret")
    assert await logged_in(worker)
    assert server.hasher.checks == 2


async def test_rows_of_another_key_are_nothing_and_go(server: Server, clock: Clock) -> None:
    assert await logged_in(server.worker())
    assert await logged_in(server.worker(OTHER_KEY))
    assert (server.hasher.checks, server.rows()) == (2, 2)
    with closing(open_volatile(server.path)) as connection:
        keep_rows_of(connection, KEY, clock.now)
    assert server.rows() == 0  # it was not said before whose they are
    assert await logged_in(server.worker())
    with closing(open_volatile(server.path)) as connection:
        keep_rows_of(connection, KEY, clock.now)
        assert server.rows() == 1
        keep_rows_of(connection, OTHER_KEY, clock.now)
    assert server.rows() == 0


async def test_neither_key_nor_password_stands_in_the_file(server: Server) -> None:
    assert await logged_in(server.worker())
    written = b"".join(path.read_bytes() for path in server.path.parent.glob("volatile.db*"))
    for secret in (KEY, KEY.hex().encode(), b"secret", b"alice"):
        assert secret not in written


async def test_a_clock_that_was_ahead_gives_no_longer_life(server: Server, clock: Clock) -> None:
    clock.now += 86_400
    assert await logged_in(server.worker())
    clock.now -= 86_400
    assert await logged_in(server.worker())
    assert server.hasher.checks == 2


async def test_a_shorter_life_by_configuration_holds_for_what_is_there(server: Server) -> None:
    assert await logged_in(server.worker())
    assert await logged_in(server.worker(seconds=10))
    assert await logged_in(server.worker(seconds=0))
    assert server.hasher.checks == 3


async def test_a_renewed_hash_needs_no_second_check(server: Server, registry: SqliteRegistry) -> None:
    registry.accounts.set_hash(
        "alice@a.test",
        "{SHA512-CRYPT}$6$rounds=10000$saltstringsaltst$"
        "OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
    )
    worker = server.worker()
    assert await logged_in(worker, "Hello world!")
    await asyncio.wrap_future(worker._pool.submit(int))  # its one thread has then done the renewal
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert server.rows() == 2  # the old hash and the new one
    assert registry.accounts.all()[0].scheme == "ARGON2ID"
    assert await logged_in(server.worker(), "Hello world!")
    assert server.hasher.checks == 1


async def test_a_file_that_cannot_be_used_costs_a_hash_and_no_login(server: Server) -> None:
    worker = server.worker()
    server.connections[-1].execute("DROP TABLE verified_passwords")
    assert await logged_in(worker) and await logged_in(worker)
    assert server.hasher.checks == 1  # its own memory


async def test_rows_are_swept_and_bounded(tmp_path: Path) -> None:
    with closing(open_volatile(tmp_path / "volatile.db")) as connection:
        rows = SqliteVerifiedPasswordRows(connection, bound=100)
        for number in range(1_024):
            rows.add(number.to_bytes(16, "big"), number + 5_000.0, number)
        kept = {
            int.from_bytes(row[0], "big") for row in connection.execute("SELECT fingerprint FROM verified_passwords")
        }
        assert kept == set(range(924, 1_024))
        for _ in range(256):
            rows.add(b"x" * 16, 99_999.0, 10_000.0)
        assert connection.execute("SELECT count(*) FROM verified_passwords").get == 1
