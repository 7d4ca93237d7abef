"""Two senders on one queue, through random schedules of mail, answers, faults, clocks and operators.

Everything is real but the network and the time: mailstore, queue, router, bounces and sender; a courier answers as the
schedule says, and a minute takes milliseconds. The model is what the courier has seen. POSTHOUSE_LONG=1 runs schedules
for POSTHOUSE_STATEFUL_SECONDS (600); a schedule that fails is printed, and found again by POSTHOUSE_STATEFUL_SEED.
"""

import asyncio
import itertools
import os
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from posthouse.database.connection import open_reader
from posthouse.delivery.outbound.leases import RENEW_SECONDS
from posthouse.delivery.outbound.schedule import Schedule
from posthouse.mailstore.interface import StoreError
from posthouse.queue.interface import LEASE_SECONDS, Filter, RecipientState, Traced
from tests.delivery.sending import Fault, Fixture, Worker, failing, full, sending
from tests.store_invariants import assert_sound
from tests.virtual import VirtualLoop

PATIENCE = 70.0  # of couriers with silent hosts: longer than a lease
SETTLED_WITHIN = 3000.0  # seconds after the last fault
LOOKS_WITHIN = 6.0  # seconds by which others may have seen the last beat earlier than it was made
LETS_GO_WITHIN = 5.0  # until a sender has seen what an operator wants
SCHEDULE = Schedule(first_retry=5, delay_warning=300, expire=900, chance=lambda: 0.5)
DESTINATIONS = ("a.test", "b.test", "c.test")
WORDS = ("ok", "ok", "later", "never", "raise", "slow", "silent", "mute", "down", "short", "hang")
STEPS = (61, 8 * 3600, 30 * 86400, -400 * 86400, -61, -8 * 3600)


@dataclass
class Attempt:
    """One that reached an end for good: what the other server said of it, to whom."""

    worker: Worker
    word: str
    ended: float  # running time
    could_record: bool  # nothing kept its worker from writing that down
    began: float  # running time


@dataclass
class Known:
    """What the model knows of a recipient."""

    since: float = 0.0  # when it was handed in: the loop's time
    is_acknowledged: bool = False
    final: list[Attempt] = field(default_factory=list)
    is_dropped: bool = False
    held_since: float | None = None  # running time
    is_recorded: bool = False  # its delivery, by all that is known: whatever is said later changes nothing


class QueueMachine(RuleBasedStateMachine):
    schedules: ClassVar[int] = 0
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        QueueMachine.schedules += 1
        shm = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(prefix="queue-machine-", dir=shm if shm.is_dir() else None))
        self.loop = VirtualLoop()
        self.known: dict[str, Known] = defaultdict(Known)
        self.problems: list[str] = []
        self.numbers = itertools.count(1)
        self.claimed_since: dict[str, float] = {}
        self.calm_since = self.loop.time()
        self.stopped = 0.0
        self.stops: list[tuple[float, float]] = []  # when the group went on, and for how long it had stood still
        self.impaired_since: dict[int, float] = {}  # workers, since when they could not renew their leases
        self.began: dict[tuple[int, str], float] = {}  # worker, recipient: the last attempt; running time
        self.lost_at: dict[int, float] = {}  # workers, when they last were in that state for too long
        self.context: Any = None

    # Beginning and end.

    @initialize()
    def begin(self) -> None:
        self.context = sending(self.folder, self.loop, SCHEDULE)
        self.fixture: Fixture = self.run(self.context.__aenter__())
        self.look = open_reader(self.folder / "posthouse.db")
        self.postbox = self.run(self.fixture.worker(starts=False))  # a process that sends nothing
        self.postbox.router._active = None
        self.workers = [self.start_worker(), self.start_worker()]

    def teardown(self) -> None:
        try:
            if self.context is not None:
                self.settle()
        finally:
            if self.context is not None:
                self.run(self.context.__aexit__(None, None, None))
                self.look.close()
                assert_sound(self.folder)
            self.loop.close()
            shutil.rmtree(self.folder)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def start_worker(self) -> Worker:
        worker: Worker = self.run(self.fixture.worker())
        worker.courier.patience = PATIENCE
        worker.store.fail = no_fault
        worker.courier.begins = lambda address: self.begins(worker, address)
        worker.courier.ends = lambda address, word: self.ends(worker, address, word)
        return worker

    # What the courier sees.

    def begins(self, worker: Worker, address: str) -> None:
        self.began[worker.name, address] = self.running
        known = self.known[address]
        if worker.store.is_dead:
            self.problems.append(f"{address}: a dead worker sends")
        claim = self.look.execute("SELECT claim FROM queued_recipient WHERE address = ?", (address,)).get
        if claim != worker.outgoing._token and not known.is_dropped and not self.was_just_delivered(known):
            self.problems.append(f"{address}: tried by a worker that does not hold it")
        for attempt in known.final:
            if not self.may_have_lost(attempt):
                self.problems.append(f"{address}: sent again after {attempt.word}, whose worker lives")
        if known.is_dropped and self.loop.time() - (known.held_since or 0) > LETS_GO_WITHIN:
            self.problems.append(f"{address}: newly tried, though it was dropped")
        if known.held_since is not None and self.loop.time() - known.held_since > LETS_GO_WITHIN:
            self.problems.append(f"{address}: newly tried, though it is held")

    def may_have_lost(self, attempt: Attempt) -> bool:
        """Whether the worker of an attempt was in no position to keep its outcome: dead, or its lease lost."""
        name = attempt.worker.name
        if attempt.worker.store.is_dead:
            return True
        since = self.impaired_since.get(name)
        if since is not None and self.running - since >= LEASE_SECONDS - RENEW_SECONDS:
            return True
        if self.since_renewal(attempt.worker) >= LEASE_SECONDS - LOOKS_WITHIN:
            return True
        return self.lost_at.get(name, -1.0) >= attempt.began  # what had begun goes on

    def since_renewal(self, worker: Worker) -> float:
        """Seconds of running time since its last beat."""
        renewed = worker.outgoing._renewed
        return self.loop.time() - renewed - sum(seconds for at, seconds in self.stops if at > renewed)

    def was_just_delivered(self, known: Known) -> bool:
        """By one who had lost the claim: the other has not seen that yet."""
        return any(each.word == "ok" and self.running - each.ended <= LETS_GO_WITHIN for each in known.final)

    def ends(self, worker: Worker, address: str, word: str) -> None:
        if word in ("ok", "never"):
            known = self.known[address]
            known.is_recorded |= any(self.is_recorded(each) for each in known.final)
            could_record = worker.store.fail is no_fault
            began = self.began.get((worker.name, address), self.running)
            known.final.append(Attempt(worker, word, self.running, could_record, began))

    def is_recorded(self, attempt: Attempt) -> bool:
        """Whether its worker has had the time to write down that it had delivered, and no fault to keep it from it."""
        seconds = self.running - attempt.ended
        was_calm = self.loop.time() - self.calm_since >= seconds > 1.0
        return attempt.word == "ok" and attempt.could_record and was_calm and not attempt.worker.store.is_dead

    @property
    def running(self) -> float:
        """Seconds in which the processes ran."""
        return self.loop.time() - self.stopped

    def impair(self, worker: Worker, is_impaired: bool) -> None:
        """It cannot renew its lease from now on; or it can again."""
        since = self.impaired_since.get(worker.name)
        if is_impaired:
            self.impaired_since.setdefault(worker.name, self.running)
        elif since is not None:
            if self.running - since >= LEASE_SECONDS - RENEW_SECONDS:
                self.lost_at[worker.name] = self.running
            del self.impaired_since[worker.name]

    # What happens.

    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @rule(
        who=st.integers(0, 2),
        count=st.integers(1, 3),
        where=st.lists(st.sampled_from(DESTINATIONS), min_size=1, max_size=3),
    )
    def submit(self, who: int, count: int, where: list[str]) -> None:
        """By a process that sends, at once if there is room; or by one that does not."""
        worker = (*self.workers, self.postbox)[who]
        for _ in range(count):
            to = [f"{next(self.numbers)}@{name}" for name in where]
            for each in to:
                self.known[each].since = self.loop.time()
            try:
                replies = self.run(self.fixture.submit(worker, *to))
            except StoreError:
                continue  # whether it is queued nobody knows; what is, must end well
            if replies[0].is_positive:
                for each in to:
                    self.known[each].is_acknowledged = True

    @rule(who=st.integers(0, 1), turns=st.integers(0, 12), where=st.sampled_from(DESTINATIONS))
    def submit_and_hang_up(self, who: int, turns: int, where: str) -> None:
        """The task that takes a message in is cancelled somewhere on the way."""

        to = f"{next(self.numbers)}@{where}"
        self.known[to].since = self.loop.time()

        async def work() -> None:
            task = asyncio.ensure_future(self.fixture.submit(self.workers[who], to))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()

        self.run(work())

    @rule(where=st.sampled_from(DESTINATIONS), word=st.sampled_from(WORDS))
    def answer(self, where: str, word: str) -> None:
        self.fixture.script[where] = word

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.0, 3.0, 10.0, 30.0, 75.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.wait(seconds)

    @rule(
        who=st.integers(0, 1),
        name=st.sampled_from(["transact", "deliver", "find", "ask", "entries", "expunge"]),
        times=st.integers(1, 3),
        how=st.sampled_from(["before", "after", "inside"]),
    )
    def store_fails(self, who: int, name: str, times: int, how: str) -> None:
        self.shake()
        self.impair(self.workers[who], False)
        if how != "inside":
            self.workers[who].store.fail = failing(times, name, after=how == "after")
            return
        left = [times]

        def fail(called: str) -> Exception | None:
            if called != name or left[0] <= 0:
                return None
            left[0] -= 1
            return Fault("a unit of its own raises")

        self.workers[who].store.fail = fail

    @rule(who=st.integers(0, 1))
    def disk_is_full(self, who: int) -> None:
        self.shake()
        self.impair(self.workers[who], True)
        self.workers[who].store.fail = full

    @rule(who=st.integers(0, 1))
    def disk_has_space(self, who: int) -> None:
        self.shake()
        self.impair(self.workers[who], False)
        self.workers[who].store.fail = no_fault

    @rule(who=st.integers(0, 1), seconds=st.sampled_from([25.0, 65.0, 90.0]))
    def renewed_late(self, who: int, seconds: float) -> None:
        """All but the renewal goes on: the worst that may happen to a lease."""
        self.shake()
        outgoing: Any = self.workers[who].outgoing

        async def renew() -> bool:
            raise StoreError("not now")

        outgoing.renew = renew
        self.impair(self.workers[who], True)
        self.wait(seconds)
        del outgoing.renew
        if self.workers[who].store.fail is not full:
            self.impair(self.workers[who], False)

    @rule(
        who=st.integers(0, 1),
        where=st.sampled_from(DESTINATIONS),
        then=st.sampled_from(["never after a while", "never", "ok", "later"]),
        seconds=st.sampled_from([65.0, 90.0, 130.0]),
    )
    def stopped_in_mid_transaction(self, who: int, where: str, then: str, seconds: float) -> None:
        """For longer than its lease; then the other server says 250 to it, whatever it says to the next one."""
        self.fixture.script[where] = "ok after a lease"
        self.submit(who, 1, [where])
        self.wait(0.01)
        self.fixture.script[where] = then
        self.renewed_late(who, seconds)

    @rule(who=st.integers(0, 1))
    def kill(self, who: int) -> None:
        self.shake()
        self.workers[who].kill()
        self.workers[who] = self.start_worker()

    @rule(who=st.integers(0, 1))
    def stop_and_start(self, who: int) -> None:
        self.shake()
        worker = self.workers[who]
        worker.store.fail = no_fault
        self.run(worker.sender.stop(3.0))
        worker.kill()
        self.workers[who] = self.start_worker()

    @rule(step=st.sampled_from(STEPS))
    def clock_steps(self, step: int) -> None:
        self.shake()
        self.fixture.step_clock(step)

    @rule(step=st.sampled_from(STEPS))
    def clock_is_wrong_for_a_moment(self, step: int) -> None:
        self.clock_steps(step)
        self.wait(5.0)  # it is noticed
        self.clock_steps(-step)

    @rule(step=st.sampled_from(STEPS), where=st.sampled_from(DESTINATIONS))
    def clock_is_wrong_while_mail_waits(self, step: int, where: str) -> None:
        """Long enough for the tries that a notice of delay asks for, and too short for the notice."""
        self.fixture.script[where] = "later"
        self.submit(0, 1, [where])
        self.clock_is_wrong_for_a_moment(step)
        self.wait(120.0)

    @rule(seconds=st.sampled_from([5.0, 61.0, 80.0]))
    def group_is_stopped(self, seconds: float) -> None:
        self.shake()
        self.fixture.stop_group(seconds)
        self.stopped += seconds
        self.stops.append((self.loop.time(), seconds))
        self.shake()  # a lease is so much time in which the others run

    @rule(
        change=st.sampled_from(["hold", "release", "drop", "retry"]),
        where=st.sampled_from(DESTINATIONS),
        nth=st.integers(0, 9),
    )
    def operator(self, change: str, where: str, nth: int) -> None:
        """Does something with one recipient, or with all of a destination."""
        of_it = [to for to in self.fixture.rows() if to.endswith(f"@{where}")]
        wanted = Filter(destination=where)
        if nth < len(of_it):
            wanted = Filter(recipient=of_it[nth])
        with self.fixture.desk() as desk:
            meant = {
                str(each.recipient.address) for each in desk.recipients(wanted) if each.state is RecipientState.WAITING
            }
            getattr(desk, change)(wanted)
        for to in meant:
            known = self.known[to]
            if change == "drop":
                known.is_dropped = True
                known.held_since = self.loop.time()
            elif change == "hold" and known.held_since is None:
                known.held_since = self.loop.time()
            elif change == "release":
                known.held_since = None

    def shake(self) -> None:
        """What follows a fault may take a while."""
        self.calm_since = self.loop.time()

    # What must hold.

    @invariant()
    def holds(self) -> None:
        QueueMachine.steps += 1
        if self.context is None:
            return
        assert not self.problems, self.problems
        rows = self.fixture.rows()
        self.check_claims(rows)
        for to, row in rows.items():
            self.check_state(to, row)
        warned: Any = self.look.execute("SELECT address FROM queued_recipient WHERE warned").fetchall()
        for (to,) in warned:
            assert self.age(to) >= SCHEDULE.delay_warning, f"{to}: told of a delay after {self.age(to)} seconds"

    def age(self, to: str) -> float:
        """Seconds since it was handed in, whatever the clock says; it counts in whole ones."""
        return self.loop.time() - self.known[to].since + 2.0

    def check_state(self, to: str, row: Traced) -> None:
        known = self.known[to]
        words = {attempt.word for attempt in known.final}
        if row.state is RecipientState.DELIVERED:
            assert "ok" in words, f"{to} was delivered by nobody"
        elif row.state is RecipientState.FAILED:
            assert "never" in words, f"{to} was refused by nobody"
            assert not known.is_recorded, f"{to} failed though it was delivered, and that could be recorded"
        elif row.state is RecipientState.DROPPED:
            assert known.is_dropped, f"{to} was dropped by nobody"
        elif row.state is RecipientState.EXPIRED:
            assert row.attempts >= SCHEDULE.least_attempts, f"{to} was given up after {row.attempts} tries"
            assert self.age(to) >= SCHEDULE.expire, f"{to} was given up after {self.age(to)} seconds"

    def check_claims(self, rows: dict[str, Traced]) -> None:
        """In nobody's hands, and nobody's to try: for no longer than it takes to see that its claimer is dead."""
        if any(worker.store.fail is full for worker in self.workers):
            self.shake()  # where nothing can be written nothing can be given back
        in_hand = set().union(*(worker.active.held for worker in self.workers))
        for to, row in rows.items():
            if not row.claimed or (row.message.number, row.n) in in_hand:
                self.claimed_since.pop(to, None)
                continue
            since = max(self.claimed_since.setdefault(to, self.loop.time()), self.calm_since)
            assert self.loop.time() - since <= LEASE_SECONDS + 30, f"{to} is claimed by nobody"

    def check_told(self, rows: dict[str, Traced]) -> None:
        told = self.run(self.fixture.told())
        for to, counts in told.items():
            assert max(counts.values()) == 1, f"{to}: told {dict(counts)}"
        for to, row in rows.items():
            failed = told[to]["failed"] if to in told else 0
            assert failed == (row.state in (RecipientState.FAILED, RecipientState.EXPIRED)), (
                f"{to}: {row.state.name}, told {failed}"
            )

    def settle(self) -> None:
        """All faults end: then everything comes to an end, within a bounded time."""
        for worker in self.workers:
            self.impair(worker, False)
            worker.store.fail = no_fault
        for name in DESTINATIONS:
            self.fixture.script[name] = "ok"
        hanging = [worker for worker in self.workers if any(worker.courier.hanging.values())]
        for n, worker in enumerate(self.workers):
            if worker in hanging:  # only the death of its process ends such an attempt
                worker.kill()
                self.workers[n] = self.start_worker()
        with self.fixture.desk() as desk:
            desk.release(Filter())
        for known in self.known.values():
            known.held_since = known.held_since if known.is_dropped else None
        self.shake()
        until = self.loop.time() + SETTLED_WITHIN
        while any(row.state is RecipientState.WAITING for row in self.fixture.rows().values()):
            left = [f"{to} {row}" for to, row in self.fixture.rows().items() if row.state is RecipientState.WAITING]
            assert self.loop.time() < until, f"still waiting: {left}"
            self.wait(20.0)
            self.holds()
        rows, told = self.fixture.rows(), self.run(self.fixture.told())
        self.check_told(rows)
        self.check_sent_again()
        for to, known in self.known.items():
            # A clock that is a month ahead forgets what was settled; then the model must know of its end.
            has_ended = known.final or known.is_dropped or told.get(to, {}).get("failed")  # the last: it was given up
            assert to in rows or not known.is_acknowledged or has_ended, f"{to} is lost"

    def check_sent_again(self) -> None:
        delivered = Counter(to for _, to, word in self.fixture.sent if word == "ok")
        for to, count in delivered.items():
            excused = sum(self.may_have_lost(attempt) for attempt in self.known[to].final)
            assert count <= 1 + excused, f"{to}: delivered {count} times"


def no_fault(name: str) -> Exception | None:
    """The store does what it is to do."""
    return None


def _settings(examples: int, steps: int, *, derandomize: bool) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=derandomize,
        database=None,
        print_blob=True,
        phases=[Phase.generate, Phase.shrink],
        verbosity=Verbosity.normal,
        suppress_health_check=list(HealthCheck),
    )


def test_random_schedules_end_well() -> None:
    run_state_machine_as_test(QueueMachine, settings=_settings(8, 25, derandomize=True))


@pytest.mark.skipif(not os.environ.get("POSTHOUSE_LONG"), reason="takes as long as it is given")
@pytest.mark.timeout(0)
def test_random_schedules_end_well_for_long(capsys: pytest.CaptureFixture[str]) -> None:
    until = time.monotonic() + float(os.environ.get("POSTHOUSE_STATEFUL_SECONDS", "600"))
    first = int(os.environ.get("POSTHOUSE_STATEFUL_SEED", str(time.time_ns() % 1_000_000)))
    QueueMachine.schedules = QueueMachine.steps = 0
    number = first
    try:
        while time.monotonic() < until:
            seeded: Any = seed(number)(type("Seeded", (QueueMachine,), {}))
            run_state_machine_as_test(seeded, settings=_settings(20, 50, derandomize=False))
            number += 1
    finally:
        with capsys.disabled():
            print(f"\nseeds {first} to {number}: {QueueMachine.schedules} schedules, {QueueMachine.steps} steps")
