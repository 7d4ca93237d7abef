"""The same orders, given at random to both stores, must lead to the same mail. What must hold of each alone is seen to
after each order.

Modseqs are the stores' own: only their order counts, so a moment is known as the pair of both stores' modseqs.
"""

import asyncio
import itertools
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import (
    INBOX,
    Delta,
    Flag,
    Mailbox,
    Mailstore,
    Marked,
    Marks,
    Measure,
    MessageColumns,
    Role,
    Setting,
    StoreError,
    Target,
)
from tests.conformance.backends import BACKENDS, Backend
from tests.stores import NOW, Bytes, ascending, delivery_id, fetch, letter, rows_of

LONG = bool(os.environ.get("POSTHOUSE_LONG"))
_ACCOUNTS = st.sampled_from([1, 1, 1, 2])
_NAMES = st.sampled_from([INBOX, INBOX, "inbox", "INBOX/X", "A", "A", "A/B", "A/B/C", "B", "B/C", "Été", "A//B"])
_FLAGS = st.integers(0, 31).map(Flag)
_KEYWORDS = st.lists(st.sampled_from(["Work", "work", "Home", "$X", *(f"k{n}" for n in range(8))]), max_size=3)
_MARKS = st.builds(Marks, _FLAGS, _KEYWORDS.map(tuple))
_QUOTA = st.one_of(st.none(), st.none(), st.integers(0, 400))
_PICKS = st.lists(st.integers(0, 12), max_size=6)
_ROLES = st.sampled_from(list(Role))
_Rows = dict[tuple[int, int], dict[int, MessageColumns]]  # account, mailbox id -> uid -> row


class _Witness:
    """Remembers what one store gave out, and sees that nothing is given twice and nothing goes back."""

    def __init__(self) -> None:
        self.modseqs: dict[int, int] = {}
        self.uidnext: dict[tuple[int, int], int] = {}
        self.uidvalidity: dict[tuple[int, int], int] = {}
        self.messages: dict[tuple[int, int], tuple[int, int]] = {}  # account, message -> mailbox, uid
        self.uids: dict[tuple[int, int, int], int] = {}  # account, mailbox, uid -> message

    async def look(self, store: Mailstore, account: int) -> tuple[list[Mailbox], _Rows]:
        boxes = await store.mailboxes(account)
        modseq = store.modseq(account)
        assert modseq >= self.modseqs.get(account, 0)
        self.modseqs[account] = modseq
        found: _Rows = {}
        for box in boxes:
            rows = await rows_of(store, account, box.name)
            found[account, box.id] = {row.uid: row for row in rows}
            self._counters(box, rows)
            assert box.modseq <= modseq
            self._numbers(account, box, rows)
        usage = await store.usage(account)
        assert (usage.messages, usage.octets) == (sum(b.messages for b in boxes), sum(b.octets for b in boxes))
        return boxes, found

    def _counters(self, box: Mailbox, rows: Sequence[MessageColumns]) -> None:
        assert box.messages == len(rows)
        assert box.unseen == sum(not row.flags & Flag.SEEN for row in rows)
        assert box.deleted == sum(bool(row.flags & Flag.DELETED) for row in rows)
        assert box.octets == sum(row.octets for row in rows)
        assert box.modseq >= max((row.modseq for row in rows), default=0)

    def _numbers(self, account: int, box: Mailbox, rows: Sequence[MessageColumns]) -> None:
        assert ascending([row.uid for row in rows])
        assert box.uidnext > max((row.uid for row in rows), default=0)
        assert box.uidnext >= self.uidnext.get((account, box.id), 1)
        self.uidnext[account, box.id] = box.uidnext
        assert self.uidvalidity.setdefault((account, box.id), box.uidvalidity) == box.uidvalidity
        mine = [validity for (owner, _), validity in self.uidvalidity.items() if owner == account]
        assert len(mine) == len(set(mine))
        for row in rows:
            assert self.uids.setdefault((account, box.id, row.uid), row.message) == row.message
            place = self.messages.setdefault((account, row.message), (box.id, row.uid))
            assert place == (box.id, row.uid)  # a message id never stands for another message


class TwoStores(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._undo = ExitStack()
        self._runner = self._undo.enter_context(asyncio.Runner())
        self._backends = [self._undo.enter_context(closing(BACKENDS[name]())) for name in ("sqlite", "memory")]
        self._time = itertools.count(NOW)
        self._now = NOW
        self._serial = itertools.count()
        self._stores: list[Mailstore] = [self._open(backend) for backend in self._backends]
        self._witnesses = [_Witness(), _Witness()]
        self._moments: list[tuple[dict[int, tuple[int, ...]], _Rows]] = []  # account -> modseqs; what was there
        self._boxes: dict[int, list[Mailbox]] = {1: [], 2: []}
        self._rows: _Rows = {}
        self._known: list[bytes] = []

    def _open(self, backend: Backend) -> Mailstore:
        return backend.open(LocalBus(), clock=lambda: self._now)

    def teardown(self) -> None:
        for account in (1, 2):
            first, second = (self._run(self._contents(store, account)) for store in self._stores)
            assert first == second
        for store in self._stores:
            self._run(store.close())
        for backend in self._backends:
            backend.assert_sound()
        self._undo.close()

    # Orders

    @rule(account=_ACCOUNTS, name=_NAMES, quota=_QUOTA, again=st.integers(0, 5))
    def deliver(self, account: int, name: str, quota: int | None, again: int) -> None:
        if again >= len(self._known):
            self._known.append(delivery_id())
        body, prefix = self._body(), b"P" * again
        if name.count("//"):
            return  # those who deliver check names themselves
        delivery, placements = self._known[again % len(self._known)], [Target(account, prefix, name, quota)]

        async def deliver(store: Mailstore, _: int) -> object:
            receipt = await store.deliver(delivery, body, placements, NOW, all_or_nothing=False)
            return receipt.results, [copy and (copy.uid, copy.octets, copy.received) for copy in receipt.messages]

        self._both(deliver)

    @rule(
        account=_ACCOUNTS,
        name=_NAMES,
        several=st.lists(_MARKS, max_size=4),
        quota=_QUOTA,
        replaced=st.one_of(st.none(), st.none(), st.tuples(st.integers(0, 5), st.integers(0, 12))),
    )
    def append(
        self, account: int, name: str, several: list[Marks], quota: int | None, replaced: tuple[int, int] | None
    ) -> None:
        letters = [replace(letter(), body=self._body(), marks=marks) for marks in several]
        replacing = None
        if replaced is not None:
            box = self._box(account, replaced[0])
            replacing = (box, self._picked(account, box, [replaced[1]])[0])
        self._both(lambda store, _: store.append(account, name, letters, quota=quota, replacing=replacing))

    @rule(account=_ACCOUNTS, at=st.integers(0, 5), picks=_PICKS, setting=st.sampled_from(list(Setting)), marks=_MARKS)
    def mark(self, account: int, at: int, picks: list[int], setting: Setting, marks: Marks) -> None:
        box = self._box(account, at)
        ids = self._picked(account, box, picks)
        self._both(lambda store, _: store.mark(account, box, ids, setting, marks))

    @precondition(lambda self: self._moments)
    @rule(account=_ACCOUNTS, at=st.integers(0, 5), picks=_PICKS, marks=_MARKS, moment=st.integers(0, 9))
    def mark_unchanged(self, account: int, at: int, picks: list[int], marks: Marks, moment: int) -> None:
        box = self._box(account, at)
        ids = self._picked(account, box, picks)
        since = self._moments[moment % len(self._moments)][0][account]
        self._both(
            lambda store, number: store.mark(account, box, ids, Setting.REPLACE, marks, unchanged_since=since[number])
        )

    @rule(account=_ACCOUNTS, at=st.integers(0, 5), picks=_PICKS, name=_NAMES, quota=_QUOTA)
    def copy(self, account: int, at: int, picks: list[int], name: str, quota: int | None) -> None:
        box = self._box(account, at)
        ids = self._picked(account, box, picks)
        self._both(lambda store, _: store.copy(account, box, ids, name, quota=quota))

    @rule(account=_ACCOUNTS, at=st.integers(0, 5), picks=_PICKS, name=_NAMES)
    def move(self, account: int, at: int, picks: list[int], name: str) -> None:
        box = self._box(account, at)
        ids = self._picked(account, box, picks)
        before = self._run(self._origins(account))
        self._both(lambda store, _: store.move(account, box, ids, name))
        assert self._run(self._origins(account)) == before  # each in exactly one place, as before

    @rule(account=_ACCOUNTS, at=st.integers(0, 5), picks=_PICKS, marked=st.booleans())
    def remove(self, account: int, at: int, picks: list[int], marked: bool) -> None:
        box = self._box(account, at)
        ids = self._picked(account, box, picks)
        self._both(lambda store, _: store.deleted_octets(account, box))
        self._both(lambda store, _: store.remove(account, box, ids, marked=marked))

    @rule(account=_ACCOUNTS, name=_NAMES, picks=_PICKS)
    def expunge(self, account: int, name: str, picks: list[int]) -> None:
        self._both(lambda store, _: store.expunge(account, name, picks))

    @rule(account=_ACCOUNTS, name=_NAMES, role=_ROLES)
    def create(self, account: int, name: str, role: Role) -> None:
        self._both(lambda store, _: store.create(account, name, role))

    @rule(account=_ACCOUNTS, name=_NAMES, new=_NAMES)
    def rename(self, account: int, name: str, new: str) -> None:
        before = self._run(self._origins(account))
        self._both(lambda store, _: store.rename(account, name, new))
        assert self._run(self._origins(account)) == before

    @rule(account=_ACCOUNTS, name=_NAMES)
    def delete(self, account: int, name: str) -> None:
        self._both(lambda store, _: store.delete(account, name))

    @rule(account=_ACCOUNTS, name=_NAMES, wanted=st.booleans())
    def subscribe(self, account: int, name: str, wanted: bool) -> None:
        self._both(lambda store, _: store.subscribe(account, name, wanted))

    @rule(account=_ACCOUNTS, mailboxes=st.lists(st.tuples(_NAMES, _ROLES), max_size=4))
    def create_default_mailboxes(self, account: int, mailboxes: list[tuple[str, Role]]) -> None:
        self._both(lambda store, _: store.create_default_mailboxes(account, mailboxes))

    @rule(sure=st.integers(0, 3))
    def forget(self, sure: int) -> None:
        if sure == 3:
            self._both(lambda store, _: store.forget(2))

    @rule(account=_ACCOUNTS, at=st.integers(0, 5), measure=st.sampled_from(list(Measure)), low=st.integers(0, 40))
    def measured(self, account: int, at: int, measure: Measure, low: int) -> None:
        low += NOW if measure in (Measure.RECEIVED, Measure.SAVED) else 0
        box = self._box(account, at)
        self._both(lambda store, _: store.measured(account, box, measure, low, low + 10))

    @rule()
    def open_again(self) -> None:
        self._run(self._stores[0].close())
        self._stores[0] = self._open(self._backends[0])

    @rule()
    def note_the_moment(self) -> None:
        modseqs = {account: tuple(store.modseq(account) for store in self._stores) for account in (1, 2)}
        self._moments.append((modseqs, self._rows.copy()))

    @precondition(lambda self: self._moments)
    @rule(moment=st.integers(0, 9))
    def catch_up(self, moment: int) -> None:
        """Who was away since that moment is told what makes his rows today's."""
        modseqs, rows = self._moments[moment % len(self._moments)]
        for account, boxes in self._boxes.items():
            for box in boxes:
                since = [
                    self._run(store.since(account, box.id, modseqs[account][number]))
                    for number, store in enumerate(self._stores)
                ]
                assert _plain(since[0]) == _plain(since[1])
                there = {**rows.get((account, box.id), {}), **{row.uid: row for row in since[0].changed}}
                for uid in since[0].vanished:
                    there.pop(uid, None)
                assert there == self._rows[account, box.id]

    # What must hold after each

    @invariant()
    def the_same_mail(self) -> None:
        self._rows = {}
        for account in (1, 2):
            seen = [
                self._run(witness.look(store, account))
                for witness, store in zip(self._witnesses, self._stores, strict=True)
            ]
            (boxes, rows), (others, theirs) = seen
            assert [_plain(box) for box in boxes] == [_plain(box) for box in others]
            assert _ranked(rows) == _ranked(theirs)
            self._boxes[account] = boxes
            self._rows.update(rows)
            for ask in (Mailstore.keywords, Mailstore.keyword_sets, Mailstore.subscriptions, _changes):
                first, second = (self._run(ask(store, account)) for store in self._stores)
                assert first == second

    # Helpers

    def _body(self) -> Bytes:
        return Bytes(b"%d" % next(self._serial) * 7)

    def _box(self, account: int, at: int) -> int:
        """A mailbox that is there, or one that is not (any more)."""
        boxes = self._boxes[account]
        return boxes[at % len(boxes)].id if at < 5 else 2

    def _picked(self, account: int, box: int, picks: list[int]) -> list[int]:
        rows = list(self._rows.get((account, box), {}).values())
        return [rows[pick % len(rows)].message if rows and pick < 12 else 999 for pick in picks]

    def _run(self, order: Awaitable[Any]) -> Any:
        async def run() -> Any:
            return await order

        return self._runner.run(run())

    def _both(self, order: Callable[[Mailstore, int], Awaitable[Any]]) -> None:
        self._now = next(self._time)
        outcomes: list[Any] = []
        for number, store in enumerate(self._stores):
            try:
                outcomes.append(_plain(self._run(order(store, number))))
            except StoreError as error:
                outcomes.append(type(error))
        assert outcomes[0] == outcomes[1]

    async def _origins(self, account: int) -> "Counter[int]":
        origins: Counter[int] = Counter()
        store = self._stores[0]
        for box in await store.mailboxes(account):
            ids = [row.message for row in await rows_of(store, account, box.name)]
            origins.update(item.origin for item in await store.items(account, box.id, ids))
        return origins

    async def _contents(self, store: Mailstore, account: int) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for box in await store.mailboxes(account):
            ids = [row.message for row in await rows_of(store, account, box.name)]
            for item in await store.items(account, box.id, ids):
                text = await fetch(store, item.entry)
                found.append((box.id, item.entry[:5], item.flags, item.saved, item.origin, text))
        return found


async def _changes(store: Mailstore, account: int) -> list[tuple[int, int, int, bool]]:
    return [(c.mailbox, c.message, c.uid, c.expunged) for c in await store.changes(account, 0)]


def _plain(outcome: object) -> object:
    """An answer without modseqs."""
    match outcome:
        case Mailbox():
            return replace(outcome, modseq=0)
        case Marked(rows, conflicts, modseq):
            return [row._replace(modseq=0) for row in rows], conflicts, modseq > 0
        case Delta(box, _, changed, vanished):
            return _plain(box), [row._replace(modseq=0) for row in changed], vanished
        case _:
            return outcome


def _ranked(rows: _Rows) -> list[tuple[int, ...]]:
    """All rows with the rank of their modseq."""
    ranks = {modseq: rank for rank, modseq in enumerate(sorted({r.modseq for b in rows.values() for r in b.values()}))}
    return [(*key, *row._replace(modseq=ranks[row.modseq])) for key, box in rows.items() for row in box.values()]


TestTwoStores = TwoStores.TestCase
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # to find the least order that fails takes minutes
TestTwoStores.settings = settings(
    phases=(*_PHASES, Phase.shrink) if LONG else _PHASES,
    max_examples=500 if LONG else 12,
    stateful_step_count=60 if LONG else 35,
)
