"""Memory, shared work, bounds and throttling of password checks, over a hasher that counts and waits."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from posthouse.accounts.interface import Account, Refusal, RefusalKind
from posthouse.accounts.login_names import LoginName
from posthouse.accounts.passwords import PasswordHasher
from posthouse.accounts.pool import HashingPool, PoolFullError
from posthouse.accounts.rows import Credential, LoginRow
from posthouse.accounts.throttle import MemoryThrottleRows, Throttle
from posthouse.accounts.verified_passwords import VerifiedPasswordCache
from posthouse.accounts.verifier import Verifier
from posthouse.message.address import Address
from posthouse.message.credentials import ScramKeys
from tests.accounts.clock import Clock

IP = "192.0.2.1"
ALICE = Account(1, Address("alice", "a.test"), None)
WRONG = Refusal(RefusalKind.WRONG)


class GatedHasher(PasswordHasher):
    """The right password is "secret". Checks are counted, and wait while the gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.checked: list[tuple[str | None, str]] = []

    def check(self, stored: str | None, password: str) -> bool:
        self.checked.append((stored, password))
        assert self.gate.wait(30)
        if password == "raise":
            raise RuntimeError("the hash library broke")
        return stored is not None and password == "secret"

    def is_current(self, credential: Credential) -> bool:
        return credential.hash == "{X}"


class Bench:
    """A verifier and all it stands on. `generation` None: alice is gone."""

    def __init__(self, clock: Clock) -> None:
        self.generation: int | None = 1
        self.hash = "{X}"
        self.renewed: list[LoginRow] = []
        self.clock = clock
        self.hasher = GatedHasher()
        self.throttle = Throttle(MemoryThrottleRows(), clock)
        self.pool = HashingPool(1, waiting=3)
        self.verifier = Verifier(
            self.find,
            lambda login, _credential: self.renewed.append(login),
            self.throttle,
            self.hasher,
            self.pool,
            VerifiedPasswordCache(clock, seconds=600),
            failure_seconds=0,
        )

    def find(self, login: str) -> LoginName:
        if login != "alice" or self.generation is None:
            return LoginName(login, None)
        credential = Credential(self.hash, ScramKeys(b"", 0, b"", b""))
        return LoginName("alice", LoginRow(ALICE, self.generation, credential))

    async def verify(self, password: str, login: str = "alice", ip: str = IP) -> Account | Refusal:
        return await self.verifier.verify(login, password, ip)

    async def started(self, count: int, *tries: tuple[str, str, str]) -> "list[asyncio.Task[Account | Refusal]]":
        """Begin tries of (login, password, ip) with the gate shut; wait until `count` checks run or wait."""
        self.hasher.gate.clear()
        tasks = [asyncio.create_task(self.verifier.verify(*one)) for one in tries]
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(self.verifier._running) == count
        return tasks

    async def settled(self) -> None:
        """Wait until no check is under way."""
        await asyncio.gather(*[check.future for check in self.verifier._running.values()], return_exceptions=True)


@pytest.fixture
def bench(clock: Clock) -> Iterator[Bench]:
    bench = Bench(clock)
    yield bench
    bench.hasher.gate.set()
    bench.pool.close()
    assert bench.verifier._running == {}
    assert bench.throttle._pending == {}


async def test_right_and_wrong(bench: Bench) -> None:
    assert await bench.verify("secret") == ALICE
    assert await bench.verify("wrong") == WRONG
    assert await bench.verify("secret", "nobody") == WRONG
    assert bench.hasher.checked == [("{X}", "secret"), ("{X}", "wrong"), (None, "secret")]


async def test_what_was_right_is_remembered_for_a_while(bench: Bench) -> None:
    for _ in range(5):
        assert await bench.verify("secret") == ALICE
    assert len(bench.hasher.checked) == 1
    bench.clock.now += 599
    assert await bench.verify("secret", ip="198.51.100.7") == ALICE
    assert len(bench.hasher.checked) == 1
    bench.clock.now += 1
    assert await bench.verify("secret") == ALICE
    assert len(bench.hasher.checked) == 2


async def test_what_was_wrong_is_not_remembered(bench: Bench) -> None:
    for _ in range(3):
        assert await bench.verify("wrong") == WRONG
    assert len(bench.hasher.checked) == 3


async def test_a_remembered_answer_needs_no_thread(bench: Bench) -> None:
    await bench.verify("secret")
    bench.pool.close()
    assert await bench.verify("secret") == ALICE


async def test_a_change_of_password_ends_what_is_remembered(bench: Bench) -> None:
    await bench.verify("secret")
    bench.generation = 2
    await bench.verify("secret")
    assert len(bench.hasher.checked) == 2


async def test_those_who_ask_the_same_share_one_check(bench: Bench) -> None:
    tasks = await bench.started(1, *[("alice", "secret", f"192.0.2.{number}") for number in range(50)])
    bench.hasher.gate.set()
    assert await asyncio.gather(*tasks) == [ALICE] * 50
    assert len(bench.hasher.checked) == 1


async def test_a_shared_failure_counts_once_per_network(bench: Bench) -> None:
    tries = [("alice", "wrong", ip) for ip in (IP, IP, IP, IP, IP, IP, "2001:db8::1", "2001:db8::2")]
    tasks = await bench.started(1, *tries)
    bench.hasher.gate.set()
    assert await asyncio.gather(*tasks) == [WRONG] * 8
    for number in range(4):
        assert bench.throttle.wait("alice", IP) == bench.throttle.wait("alice", "2001:db8::9") == 0
        for ip in (IP, "2001:db8::3"):
            await bench.verify(f"wrong{number}", ip=ip)
    assert bench.throttle.wait("alice", IP) == bench.throttle.wait("alice", "2001:db8::9") == 2


async def test_when_too_many_wait_the_answer_is_busy(bench: Bench) -> None:
    tasks = await bench.started(4, *[(f"user{number}", "wrong", IP) for number in range(4)])
    refusal = await bench.verify("secret")
    assert isinstance(refusal, Refusal) and refusal.kind is RefusalKind.BUSY and refusal.seconds > 0
    assert await bench.verify("secret", "nobody") == refusal
    bench.hasher.gate.set()
    assert await asyncio.gather(*tasks) == [WRONG] * 4
    assert await bench.verify("secret") == ALICE


@pytest.mark.parametrize("login", ["alice", "nobody"])
async def test_guessing_is_throttled_unhashed_for_known_and_unknown_alike(bench: Bench, login: str) -> None:
    for number in range(5):
        assert await bench.verify(f"wrong{number}", login) == WRONG
    for password in ("secret", "wrong"):
        assert await bench.verify(password, login) == Refusal(RefusalKind.THROTTLED, 2)
    assert len(bench.hasher.checked) == 5
    bench.clock.now += 2
    assert await bench.verify("wrong", login) == WRONG
    assert await bench.verify("secret", login) == Refusal(RefusalKind.THROTTLED, 4)


async def test_a_throttled_guesser_learns_nothing_from_memory(bench: Bench) -> None:
    await bench.verify("secret", ip="198.51.100.7")
    for number in range(5):
        await bench.verify(f"wrong{number}")
    refusal = await bench.verify("secret")
    assert isinstance(refusal, Refusal) and refusal.kind is RefusalKind.THROTTLED
    assert await bench.verify("secret", ip="198.51.100.7") == ALICE


async def test_success_resets_the_pair(bench: Bench) -> None:
    for _ in range(2):
        for number in range(4):
            assert await bench.verify(f"wrong{number}") == WRONG
        bench.clock.now += 600
        assert await bench.verify("secret") == ALICE
    assert len(bench.hasher.checked) == 10


async def test_many_guesses_at_once_get_no_further_than_in_turn(bench: Bench) -> None:
    bench.pool.close()
    bench.pool = bench.verifier._pool = HashingPool(1, waiting=100)
    tasks = await bench.started(5, *[("alice", f"wrong{number}", IP) for number in range(50)])
    bench.hasher.gate.set()
    answers = await asyncio.gather(*tasks)
    assert answers.count(WRONG) == 5
    assert answers.count(Refusal(RefusalKind.THROTTLED, 1.0)) == 45
    assert bench.throttle.wait("alice", IP) == 2


async def test_a_peer_that_hangs_up_is_counted_all_the_same(bench: Bench) -> None:
    for number in range(5):
        (task,) = await bench.started(1, ("alice", f"wrong{number}", IP))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        bench.hasher.gate.set()
        await bench.settled()
    assert bench.throttle.wait("alice", IP) == 2


async def test_one_who_hangs_up_does_not_spoil_it_for_others(bench: Bench) -> None:
    first, second = await bench.started(1, ("alice", "secret", IP), ("alice", "secret", IP))
    first.cancel()
    bench.hasher.gate.set()
    assert await second == ALICE


@pytest.mark.parametrize("generation", [2, None])
async def test_a_password_changed_during_the_check_counts_no_more(bench: Bench, generation: int | None) -> None:
    (task,) = await bench.started(1, ("alice", "secret", IP))
    bench.generation = generation
    bench.hasher.gate.set()
    assert await task == WRONG


async def test_a_check_that_breaks_breaks_only_itself(bench: Bench) -> None:
    with pytest.raises(RuntimeError, match="library broke"):
        await bench.verify("raise")
    (task,) = await bench.started(1, ("alice", "raise", IP))
    task.cancel()
    bench.hasher.gate.set()
    await bench.settled()
    assert await bench.verify("secret") == ALICE
    assert bench.throttle.wait("alice", IP) == 0


async def test_a_login_renews_an_old_hash_once_there_is_room(bench: Bench) -> None:
    bench.hash = "{OLD}"
    tasks = await bench.started(4, *[("alice", "secret", IP), *((f"user{number}", "wrong", IP) for number in range(3))])
    submit, full = bench.pool.submit, PoolFullError()

    def no_room(*_job: object) -> None:
        raise full

    bench.pool.submit = no_room  # type: ignore[method-assign, assignment]
    bench.hasher.gate.set()
    assert (await asyncio.gather(*tasks))[0] == ALICE
    assert bench.renewed == []
    bench.pool.submit = submit  # type: ignore[method-assign]
    bench.clock.now += 600
    assert await bench.verify("secret") == ALICE
    bench.pool.submit(int).result(30)
    assert [login.account for login in bench.renewed] == [ALICE]


# When answers go out.


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The sleeps that were asked for; they take no time."""
    found: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds:
            found.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    return found


async def test_a_wrong_password_is_answered_at_full_seconds(bench: Bench, slept: list[float]) -> None:
    """Whatever the hash of the account costs, and whether there is one."""
    bench.verifier._failure_seconds = 60.0
    for login in ("alice", "nobody"):
        assert await bench.verify("wrong", login) == WRONG
    assert len(slept) == 2
    assert all(0 < seconds < 60 for seconds in slept)
    assert await bench.verify("secret") == ALICE
    assert len(slept) == 2


async def test_while_many_guess_the_owner_comes_in_from_a_new_address(bench: Bench, slept: list[float]) -> None:
    for number in range(200):
        bench.throttle.failed("alice", f"203.0.113.{number}")
    assert await bench.verify("wrong", ip="198.51.100.7") == WRONG
    assert await bench.verify("secret", ip="198.51.100.7") == ALICE
    assert slept == [15, 15]
    assert await bench.verify("secret", ip="198.51.100.7") == ALICE  # that network is known from now on
    assert slept == [15, 15]


async def test_guesses_that_are_held_back_are_counted_at_once(bench: Bench, slept: list[float]) -> None:
    for number in range(200):
        bench.throttle.failed("alice", f"203.0.113.{number}")
    outcomes = await asyncio.gather(*(bench.verify(f"guess {number}", ip="198.51.100.7") for number in range(30)))
    assert outcomes.count(WRONG) <= 5
    kinds = {outcome.kind for outcome in outcomes if isinstance(outcome, Refusal)}
    assert len(kinds) > 1 and kinds <= {RefusalKind.WRONG, RefusalKind.THROTTLED, RefusalKind.BUSY}
