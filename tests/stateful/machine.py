"""Drives a schedule through two workers and the model, and judges after each step what they say."""

import contextlib
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.findings import Severity
from posthouse.mailstore.fsck import check
from posthouse.mailstore.interface import MessageRef
from posthouse.mailstore.records import PACK_HEAD_OCTETS
from tests.stateful.faulty_disk import DATABASE_POINTS, Fault
from tests.stateful.judge import Done, Judge, Seen
from tests.stateful.operations import FAILED, KEPT, ODD, REFUSED, UNKNOWN, Model, Order, Outcome
from tests.stateful.orders import Orders
from tests.stateful.schedules import WORKERS, Chosen, Schedule, Step
from tests.stateful.stopped import MOMENTS
from tests.stateful.worker import digest
from tests.stateful.workers import DeadError, Worker, Workshop, WrongError
from tests.stores import NOW

_LIMBO = 4  # orders of which only the log knows whether they happened
_FOREVER = 1e9  # seconds of grace: nothing is given back
_SLOTS = 3  # accounts at a time
_CERTAIN = ("log write: full", "database write: full")


class Machine:
    """One folder and what must be in it. `run` raises WrongError when a promise is broken."""

    def __init__(self, workshop: Workshop, folder: Path, stats: "Counter[str]") -> None:
        self._workshop = workshop
        self._folder = folder
        self._stats = stats
        self._now = self._latest = NOW
        self._model = Model.begin(LocalBus(), lambda: self._now)
        self._orders = Orders()
        self._next_account = 1
        self._accounts = [self._new_account() for _ in range(_SLOTS)]
        self._views: dict[int, tuple[Any, ...]] = {}
        self._limbo: list[Order] = []  # failed at the commit, and nothing was committed since
        self._recovered = False  # whether nobody had the store open for a moment
        self._excused: set[int] = set()  # workers whose reaper was stopped on an ill disk
        self._troubled = False  # whether anything was to fail in this group
        self._moments: dict[int, dict[int, tuple[int, dict[int, Any]]]] = {}  # account, mailbox -> modseq, rows by uid
        self._loose: set[int] = set()  # rows of the other room that may be there
        self._digests: dict[tuple[int, int], tuple[int, bytes, bytes]] = {}
        self._entries: dict[tuple[int, int], tuple[MessageRef, bytes]] = {}  # of all messages there ever were
        self._workers: list[Worker] = []

    def run(self, schedule: Schedule) -> None:
        """All steps, and what must hold in the end."""
        try:
            self._workers = [self._open() for _ in range(WORKERS)]
            self._look(0)
            for step in schedule:
                self._stats[step.kind] += 1
                getattr(self, f"_step_{step.kind}")(step)
            self._finish()
        finally:
            for worker in self._workers:
                worker.kill()

    # Steps

    def _step_group(self, step: Step) -> None:
        if step.orders:
            self._group(step.orders, step.faults, step.seed)

    def _step_reap(self, step: Step) -> None:
        self._reap(step, "reap", self._now + 1, _grace(random.Random(step.seed)))

    def _step_stop(self, step: Step) -> None:
        """The reaper has seen what it may give back, and does so some steps later."""
        self._reap(step, "go_on")
        rng = random.Random(step.seed)
        moment = rng.choice(MOMENTS)
        worker = self._workers[step.worker]
        stopped, failure, fired = worker.call(self._now, "stop", self._now + 1, _grace(rng), moment)
        self._judge_reaping(failure, fired, excused=worker.ill)
        if stopped:
            self._stats[f"stopped: {moment}"] += 1
            if worker.ill:
                self._excused.add(step.worker)  # what has failed so far is said at the end

    def _step_go_on(self, step: Step) -> None:
        self._reap(step, "go_on")
        self._read(self._workers[1 - step.worker], self._wanted())

    def _reap(self, step: Step, name: str, *values: float) -> None:
        worker = self._workers[step.worker]
        faults = [fault for who, fault in step.faults if who == step.worker]
        ill = worker.ill
        try:
            failure, fired = worker.call(self._now, name, faults, *values)
        except DeadError:
            self._reopen(step.worker)
        else:
            worker.ill = ill or any(fault.lasting for fault in faults)
            self._judge_reaping(failure, fired, excused=ill or (name == "go_on" and step.worker in self._excused))
        if name == "go_on":
            self._excused.discard(step.worker)
        self._look(1 - step.worker)

    def _judge_reaping(self, failure: str, fired: Sequence[str], *, excused: bool) -> None:
        self._count(fired)
        if failure and not fired and not excused:
            raise WrongError(f"space could not be given back: {failure}")

    def _step_kill(self, step: Step) -> None:
        victims = range(WORKERS) if step.seed % 3 == 0 else [step.worker]
        for number in victims:
            self._workers[number].kill()
        self._stats["kills"] += len(victims)
        self._recovered |= len(victims) == WORKERS
        for number in victims:
            self._workers[number] = self._open()
        self._look(step.worker)

    def _step_close(self, step: Step) -> None:
        those = range(WORKERS) if step.seed % 3 == 0 else [step.worker]
        for number in those:
            try:
                self._workers[number].call(self._now, "close")
            except DeadError as error:
                raise WrongError("the store could not be closed") from error
            self._workers[number].kill()
        self._recovered |= len(those) == WORKERS
        for number in those:
            faults = [fault for who, fault in step.faults if who == number]
            self._workers[number] = self._open(faults)
        self._look(step.worker)

    def _step_clock(self, step: Step) -> None:
        if self._limbo:  # what the log may bring back was done by the clock of before, which the model has not
            return
        self._latest = max(self._latest, self._now)
        self._now = max(NOW - 500_000, self._now + random.Random(step.seed).choice((1, 61, 3700, -61, -4000, 90_000)))

    def _step_heal(self, step: Step) -> None:
        self._heal()

    def _step_repair(self, step: Step) -> None:
        self._fsck(repair=True)

    def _step_inspect(self, step: Step) -> None:
        self._inspect(step.seed)
        self._fsck()

    # A group of orders

    def _group(self, chosen: Sequence[Chosen], faults: Sequence[tuple[int, Fault]], seed: int) -> None:
        if len(self._limbo) > _LIMBO:
            self._heal()  # so that something is committed, and the judge need not try more orders than there are
        orders = self._concrete(chosen)
        results: list[tuple[Order, Outcome, bool]] = []
        self._troubled = bool(faults) or any(worker.ill for worker in self._workers)
        for number, worker in enumerate(self._workers):
            mine = [fault for who, fault in faults if who == number]
            those = [
                (order, each.cancelled) for order, each in zip(orders, chosen, strict=True) if each.worker == number
            ]
            with contextlib.suppress(DeadError):
                worker.ask(self._now, "group", mine, those)
        for number, worker in enumerate(self._workers):
            own = [order for order, each in zip(orders, chosen, strict=True) if each.worker == number]
            was_ill = worker.ill
            worker.ill |= any(fault.lasting for who, fault in faults if who == number)
            results += self._results(worker, number, own, was_ill)
        self._stats["orders"] += len(orders)
        for order, outcome, _ in results:
            self._stats[f"{order.kind}: {outcome.how}"] += 1
        self._settle(results, seed)

    def _concrete(self, chosen: Sequence[Chosen]) -> list[Order]:
        modseqs = {
            (account, box, row.uid): row.modseq
            for account, view in self._views.items()
            for box, rows in view[1].items()
            for row in rows
        }
        orders: list[Order] = []
        doomed: set[int] = set()
        for each in chosen:
            whom = [account for account in self._accounts if account not in doomed or each.kind != "deliver"]
            order = self._orders.make(each.kind, each.seed, self._model, whom, self._now, modseqs)
            if each.kind == "forget":
                if doomed or any(order.account in other.accounts for other in orders if len(other.accounts) > 1):
                    order = self._orders.make("subscribe", each.seed, self._model, whom, self._now, modseqs)
                else:
                    doomed.add(order.account)
            orders.append(order)
        return orders

    def _results(
        self, worker: Worker, number: int, orders: Sequence[Order], was_ill: bool
    ) -> list[tuple[Order, Outcome, bool]]:
        try:
            outcomes, fired = worker.answer()
        except DeadError:
            self._stats["kills"] += 1
            self._workers[number].kill()
            self._workers[number] = self._open()
            return [(order, Outcome(UNKNOWN), False) for order in orders]
        self._count(fired)
        # A full disk is met before the last page of a transaction is in the log: then nothing was done.
        uncertain = any(each.startswith(DATABASE_POINTS) and each not in _CERTAIN for each in fired)
        found = []
        for order, outcome in zip(orders, outcomes, strict=True):
            if outcome.how == ODD:
                raise WrongError(f"{order} raised what the interface does not know:\n{outcome.value}")
            if outcome.how == FAILED and not (fired or was_ill or worker.ill or order.spoilt):
                raise WrongError(f"{order} was refused without cause: {outcome.value}")
            sure = outcome.how in (KEPT, REFUSED)
            found.append((order, outcome, sure or (outcome.how == FAILED and (order.spoilt or not uncertain))))
        return found

    def _settle(self, results: Sequence[tuple[Order, Outcome, bool]], seed: int) -> None:
        gone = [order.account for order, _, _ in results if order.kind == "forget"]
        half = any(order.kind == "delete" and (self._troubled or not sure) for order, _, sure in results)
        if half or gone:
            self._heal()
            for account in gone:
                self._forget(account)
            self._sweep()
        done = []
        for order, outcome, sure in results:
            if order.account in gone and len(order.concerns) == 1:
                self._loose.add(order.values.get("probe", 0))  # whether it was before the removal, nobody can tell
                continue
            if not (sure and outcome.how == FAILED):
                done.append(Done(order, outcome, sure))
        for account in gone:
            self._views.pop(account, None)
        self._look(seed % WORKERS, done, part=seed % 8 > 0)

    def _forget(self, account: int) -> None:
        worker = self._workers[0]
        order = Order("forget", account)
        (outcome,), _ = worker.call(self._now, "group", [], [(order, False)])
        if outcome.how != KEPT:
            raise WrongError(f"account {account} cannot be removed: {outcome.value}")
        usage, entries = worker.call(self._now, "left", account)
        if entries or usage.messages or usage.octets:
            raise WrongError(f"account {account} was removed, and {usage} is left")
        self._model.drop(account)
        self._accounts[self._accounts.index(account)] = self._new_account()
        self._limbo = [order for order in self._limbo if order.account != account]

    def _sweep(self) -> None:
        """Mailboxes that were on their way out are removed to the end."""
        failure, _ = self._workers[0].call(self._now, "reap", [], self._now, _FOREVER)
        if failure:
            raise WrongError(f"what was half removed stays: {failure}")

    # What must hold

    def _look(self, number: int, done: Sequence[Done] = (), *, part: bool = False) -> None:
        """What a worker says is explained by what was done. With `part`, only of accounts that it concerns."""
        worker = self._workers[number]
        fresh = [account for account in self._accounts if account not in self._views]
        concerned = {*fresh, *(account for each in done for account in each.order.concerns)}
        whole = not part or self._recovered
        wanted = [account for account in self._accounts if whole or account in concerned]
        accounts, probes = worker.call(self._now, "state", wanted)
        for account in fresh:
            self._model.birth(account)
        self._model.probes |= self._loose & probes
        model = self._explain(done, Seen(accounts, probes))
        self._witness(accounts)
        new = self._new_messages(accounts, model)
        self._model = model
        self._views.update(accounts)
        self._read(worker, new)

    def _explain(self, done: Sequence[Done], seen: Seen) -> Model:
        # What failed at its commit may lie whole in the log, where the next to open it alone finds it.
        limbo = [Done(order, Outcome(UNKNOWN), False) for order in self._limbo if self._recovered]
        judge = Judge([*limbo, *done], seen)
        explained = judge.explain(self._model)
        if explained is None:
            what = "\n".join(map(str, [*limbo, *done]))
            raise WrongError(f"no order explains what is there: {judge.nearest}\n{what}")
        model, not_done = explained
        changed = any(self._views.get(account) != view for account, view in seen.accounts.items())
        if changed or seen.probes != self._model.probes or self._recovered:
            self._limbo = []  # a commit overwrites what failed before it
        self._limbo += [order for order in not_done if not any(order is each.order for each in limbo)]
        self._recovered = False
        return model

    def _witness(self, accounts: dict[int, tuple[Any, ...]]) -> None:
        """Nothing goes back, and what changed has a modseq higher than all before."""
        for account, view in accounts.items():
            before = self._views.get(account)
            if before is None:
                continue
            old = {box.id: box for box in before[0]}
            last = max([box.modseq for box in before[0]])
            for box in view[0]:
                if box.id in old and (box.modseq < old[box.id].modseq or box.uidnext < old[box.id].uidnext):
                    raise WrongError(f"account {account}, {box} was {old[box.id]}")
                was = {row.uid: row for row in before[1].get(box.id, ())}
                for row in view[1][box.id]:
                    if row != was.get(row.uid) and row.modseq <= was.get(row.uid, row).modseq and row.uid in was:
                        raise WrongError(f"account {account}, {box.name}: {row} was {was[row.uid]}")
                    if row.uid not in was and box.id in old and row.modseq <= old[box.id].modseq:
                        raise WrongError(f"account {account}, {box.name}: {row} is new, but not after {last}")

    def _new_messages(self, accounts: dict[int, tuple[Any, ...]], model: Model) -> list[tuple[int, int, list[int]]]:
        found = []
        for account, view in accounts.items():
            for box, rows in view[1].items():
                new = [row.message for row in rows if (account, row.message) not in self._digests]
                for message in new:
                    text = model.text(account, box, message)
                    self._digests[account, message] = digest(text)
                    self._entries[account, message] = MessageRef(message, 0, 0, 0, 0, None), text
                if new:
                    found.append((account, box, new))
        return found

    def _read(self, worker: Worker, wanted: Sequence[tuple[int, int, list[int]]]) -> None:
        """Each of these messages is there, octet by octet."""
        if not wanted:
            return
        found = worker.call(self._now, "digests", wanted)
        for account, box, ids in wanted:
            for message in ids:
                entry, got = found[account, box, message]
                expected = self._digests[account, message]
                self._entries[account, message] = entry, self._entries[account, message][1]
                if got != expected:
                    what = self._verdict(account, got)
                    raise WrongError(f"{what}: account {account}, message {message} reads {got}, not {expected}")
        self._stats["messages read"] += len(found)

    def _verdict(self, account: int, got: Any) -> str:
        if isinstance(got, str):
            return "LOST"
        mine = b"account %d\r\n" % account in got[2] or b",%d" % account in got[2] or b"%d," % account in got[2]
        return "WRONG" if mine else "LEAK"

    def _inspect(self, seed: int) -> None:
        """Both workers give all there is; and what they once said of messages, whole or in part, never leads astray."""
        rng = random.Random(seed)
        for number, worker in enumerate(self._workers):
            self._look(number)
            self._read(worker, self._wanted())
            self._read_again(worker, rng)
            self._catch_up(worker, rng)
        self._flip(rng)

    def _catch_up(self, worker: Worker, rng: random.Random) -> None:
        """Who was away since some moment is told what makes his rows today's."""
        for account, boxes in self._moments.items():
            view = self._views.get(account)
            for box, (modseq, before) in boxes.items():
                if view is None or box not in view[1]:
                    continue
                delta = worker.call(self._now, "since", account, box, modseq)
                there = {**before, **{row.uid: row for row in delta.changed}}
                for uid in delta.vanished:
                    there.pop(uid, None)
                now = {row.uid: row for row in view[1][box]}
                if there != now:
                    raise WrongError(f"account {account}, mailbox {box}: since {modseq} leads to {there}, not {now}")
        if rng.random() < 0.5:
            self._moments = {
                account: {box.id: (box.modseq, {row.uid: row for row in view[1][box.id]}) for box in view[0]}
                for account, view in self._views.items()
            }

    def _flip(self, rng: random.Random) -> None:
        """A flipped bit of a pack: what it hits is refused, all else is as it was."""
        packs = [path for path in sorted((self._folder / "packs").glob("*.pack")) if path.stat().st_size]
        if not packs:
            return
        path = rng.choice(packs)
        at, bit = rng.randrange(path.stat().st_size), 1 << rng.randrange(8)
        _toggle(path, at, bit)
        for worker in self._workers:
            found = worker.call(self._now, "digests", self._wanted())
            hurt = set()
            for (account, box, message), (_, got) in found.items():
                if isinstance(got, str):
                    hurt.add(self._model.body(account, box, message))
                elif got != self._digests[account, message]:
                    raise WrongError(f"FLIP at {at} of {path.name}: account {account}, message {message} reads {got}")
            if len(hurt) > 1:
                raise WrongError(f"FLIP at {at} of {path.name} hurts {len(hurt)} bodies")
        _toggle(path, at, bit)
        self._stats["bits flipped"] += 1

    def _wanted(self) -> list[tuple[int, int, list[int]]]:
        return [
            (account, box, [row.message for row in rows])
            for account, view in self._views.items()
            for box, rows in view[1].items()
            if rows
        ]

    def _read_again(self, worker: Worker, rng: random.Random) -> None:
        known = [(entry, text, key) for key, (entry, text) in self._entries.items() if entry.place is not None]
        picked = []
        for entry, text, key in rng.sample(known, min(len(known), 40)):
            start = rng.choice((0, 0, rng.randrange(len(text))))
            length = rng.choice((len(text), rng.randint(1, len(text))))
            picked.append((entry, start, length, text, key))
        answers = worker.call(self._now, "again", [each[:3] for each in picked])
        for (entry, start, length, text, key), got in zip(picked, answers, strict=True):
            if not isinstance(got, str) and got != digest(text[start : start + length]):
                what = self._verdict(key[0], got)
                raise WrongError(
                    f"{what}: an old reference of account {key[0]} to {entry}, {start}+{length} reads {got}"
                )

    def _fsck(self, *, repair: bool = False) -> None:
        found = [finding for finding in check(self._folder, repair=repair) if finding.severity is not Severity.NOTE]
        if found:
            raise WrongError("fsck: " + "\n".join(f"{each.kind}: {each.where}: {each.what}" for each in found))
        self._stats["fsck"] += 1

    def _finish(self) -> None:
        """The disk is well, and all was closed and opened: all is there, and it goes on; then space comes back."""
        self._heal()
        for number in range(WORKERS):
            self._step_go_on(Step("go_on", number))
        self._inspect(0)
        self._step_close(Step("close", seed=0))
        self._step_kill(Step("kill", seed=0))
        self._inspect(1)
        for number in range(WORKERS):
            self._group([Chosen(number, "deliver", seed) for seed in range(3)], (), number)
        self._fsck()
        self._empty()
        self._fsck()

    def _empty(self) -> None:
        self._latest = max(self._latest, self._now)
        for account in list(self._accounts):
            self._forget(account)
        self._stats["forgets"] += 1
        failure, _ = self._workers[1].call(self._now, "reap", [], self._latest + 1, 0)
        if failure:
            raise WrongError(f"space could not be given back: {failure}")
        self._step_close(Step("close", seed=0))  # nobody writes to a pack any more
        self._sweep()
        with contextlib.closing(apsw.Connection(str(self._folder / "posthouse.db"))) as connection:
            rows: list[Any] = connection.execute("SELECT pack, end FROM pack").fetchall()
        ends: dict[int, int] = dict(rows)
        # One that goes on behind its end, as after a kill, is spared: nobody knows what that is.
        known = {pack: end for pack, end in ends.items() if not self._goes_on(pack, end)}
        left = [path.name for path in (self._folder / "packs").iterdir() if int(path.stem) not in ends]
        if known or (left and not self._stats["kills"]):
            raise WrongError(f"all mail is gone, and these packs are not: {left}; known are {known}")
        self._stats["stray packs"] += len(left)

    # Helpers

    def _goes_on(self, pack: int, end: int) -> bool:
        path = self._folder / "packs" / f"{pack}.pack"
        return path.exists() and path.stat().st_size > max(end, PACK_HEAD_OCTETS)

    def _new_account(self) -> int:
        self._next_account += 1
        return self._next_account + 100

    def _open(self, faults: Sequence[Fault] = ()) -> Worker:
        worker = self._workshop.make(self._folder, self._now, faults)
        try:
            failure, fired = worker.opened()
        except DeadError:
            worker.kill()
            self._stats["kills"] += 1
            return self._open()
        self._count(fired)
        if failure:
            worker.kill()
            if not fired:
                raise WrongError(f"the store cannot be opened: {failure}")
            return self._open()
        worker.ill = any(fault.lasting for fault in faults)
        return worker

    def _reopen(self, number: int) -> None:
        self._stats["kills"] += 1
        self._workers[number].kill()
        self._workers[number] = self._open()

    def _heal(self) -> None:
        for worker in self._workers:
            worker.call(self._now, "heal")
            worker.ill = False

    def _count(self, fired: Sequence[str]) -> None:
        self._stats.update(f"fault {each}" for each in fired)


def _grace(rng: random.Random) -> int:
    return rng.choice((0, 0, 100))


def _toggle(path: Path, at: int, bit: int) -> None:
    with path.open("r+b", buffering=0) as pack:
        octet = os.pread(pack.fileno(), 1, at)
        os.pwrite(pack.fileno(), bytes([octet[0] ^ bit]), at)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory, where there is such a thing: no power is cut here."""
    home = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="posthouse-", dir=home))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
