"""Whether what the stores say can be explained: is there an order of what was acknowledged that leads to just that?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from posthouse.mailstore.interface import MessageColumns
from tests.stateful.operations import KEPT, Model, Order, Outcome, model_outcome
from tests.stateful.worker import by_name

_RANKS = {"deliver": 0, "append": 1}
_TRIES = 30_000  # of orders of one group, before the judge gives up


@dataclass(frozen=True, slots=True)
class Done:
    """An order with what came of it. Without `sure` it may have happened or not."""

    order: Order
    outcome: Outcome
    sure: bool

    def __str__(self) -> str:
        return f"{self.order}\n   -> {self.outcome.how} {self.outcome.value}" + " (perhaps)" * (not self.sure)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a store says: account -> boxes, rows, keywords, subscriptions, changes, usage; rows of the other room."""

    accounts: dict[int, tuple[Any, ...]]
    probes: set[int]


class Judge:
    """Looks for the order in which a group was carried out. Orders for different accounts do not meet one another."""

    def __init__(self, done: Sequence[Done], seen: Seen) -> None:
        self._done = sorted(done, key=lambda each: (not each.sure, _RANKS.get(each.order.kind, 2)))
        self._seen = seen
        self._plain = {account: plain(view) for account, view in seen.accounts.items()}
        # Whatever was ever given a number: account, message -> mailbox id, uid.
        self._places = {
            (account, change.message): (change.mailbox, change.uid)
            for account, view in seen.accounts.items()
            for change in view[4]
        }
        self._tries = 0
        self._missing = len(done) + 1  # orders left where it came nearest
        self.nearest = ""

    def explain(self, model: Model) -> tuple[Model, list[Order]] | None:
        """The model after it and the orders that did not happen; None when nothing explains what was seen."""
        idle: list[Order] = []
        for group, accounts in self._groups():
            self._tries = 0
            found = self._search(model, group, accounts, [each.order for each in group])
            if found is None:
                return None
            model = found[0]
            idle += found[1]
        wrong = self._mismatch(model, list(self._plain), ()) or self._other_room(model.probes, self._seen.probes)
        if wrong:
            self.nearest = wrong
            return None
        return model, idle

    def _groups(self) -> list[tuple[list[Done], list[int]]]:
        """Those that have an account in common, with their accounts."""
        groups: list[tuple[list[Done], set[int]]] = []
        for each in self._done:
            mine = each.order.concerns if each.order.kind != "note" else {-len(groups) - 1}
            those = [each]
            for group in [group for group in groups if group[1] & mine]:
                groups.remove(group)
                those, mine = [*group[0], *those], mine | group[1]
            groups.append((those, mine))
        return [(those, [account for account in mine if account in self._plain]) for those, mine in groups]

    def _search(
        self, model: Model, left: Sequence[Done], accounts: Sequence[int], orders: Sequence[Order]
    ) -> tuple[Model, list[Order]] | None:
        if not any(each.sure for each in left):
            wrong = self._mismatch(model, accounts, orders)
            if not wrong:
                return model, [each.order for each in left]
            self._note(1, wrong)
        for at, each in enumerate(left):
            self._tries += 1
            if self._tries > _TRIES:
                self._note(0, f"given up after {_TRIES} tries; {self.nearest}")
                return None
            fork = model.fork()
            outcome = model_outcome(fork, each.order)
            if outcome != each.outcome if each.sure else outcome.how != KEPT:
                if each.sure:
                    self._note(len(left), f"{each.order}\n  came to {each.outcome}\n  the model says {outcome}")
                continue
            if not self._placed(model, fork, accounts):
                continue
            found = self._search(fork, [*left[:at], *left[at + 1 :]], accounts, orders)
            if found is not None:
                return found
        return None

    def _placed(self, before: Model, after: Model, accounts: Sequence[int]) -> bool:
        """Whether the new messages stand where they were seen, if they were."""
        for account in accounts:
            first, owner = before.state.look(account).next_message, after.state.look(account)
            if owner.next_message == first:
                continue
            for box in owner.boxes.values():
                for message in reversed(box.items):
                    if message < first:
                        break
                    place = (box.id, box.items[message].entry.uid)
                    if self._places.get((account, message), place) != place:
                        return False
        return True

    def _note(self, missing: int, what: str) -> None:
        if missing < self._missing:
            self._missing, self.nearest = missing, what

    def _mismatch(self, model: Model, accounts: Sequence[int], orders: Sequence[Order]) -> str:
        for account in accounts:
            expected = plain(view_of(model, account))
            if expected != self._plain[account]:
                return _difference(account, expected, self._plain[account])
        numbers = {order.values.get("probe") or order.values.get("number") for order in orders}
        return self._other_room(model.probes & numbers, self._seen.probes & numbers)

    def _other_room(self, expected: set[int], seen: set[int]) -> str:
        if expected == seen:
            return ""
        return f"rows of the other room: {expected - seen} are missing, {seen - expected} should not be"


def view_of(model: Model, account: int) -> tuple[Any, ...]:
    """What the model says of an account, in the form of worker.look()."""
    owner = model.state.look(account)
    boxes = [owner.boxes[name].view() for name in sorted(owner.boxes)]
    sets = owner.keywords.page(0)
    rows = {box.id: [by_name(_row(item), sets) for item in box.items.values()] for box in owner.boxes.values()}
    used = sorted({name for box in rows.values() for row in box for name in row.flags[1]})
    changes = sorted(owner.changes(), key=lambda change: (change.modseq, change.mailbox, change.uid))
    held = [item.entry.octets for item in owner.items()]
    numbers = (owner.next_message, owner.next_box)
    return boxes, rows, used, sorted(owner.subscriptions), changes, (len(held), sum(held)), numbers


def _row(item: Any) -> MessageColumns:
    entry = item.entry
    return MessageColumns(entry.uid, entry.message, item.flags, item.modseq, entry.octets, entry.received)


def plain(view: tuple[Any, ...]) -> tuple[Any, ...]:
    """A view in which modseqs are replaced by their rank: each store counts them in its own way."""
    boxes, rows, keywords, names, changes, usage, numbers = view
    used = sorted({row.modseq for box in rows.values() for row in box})
    ranks = {modseq: rank for rank, modseq in enumerate(used)}
    return (
        [replace(box, modseq=0) for box in boxes],
        {box: [(*row[:3], ranks[row.modseq], *row[4:]) for row in some] for box, some in rows.items()},
        keywords,
        names,
        sorted((change.mailbox, change.uid, change.message, change.expunged) for change in changes),
        tuple(usage) if isinstance(usage, tuple) else (usage.messages, usage.octets),
        numbers,
    )


def _difference(account: int, expected: tuple[Any, ...], seen: tuple[Any, ...]) -> str:
    names = ("mailboxes", "messages", "keywords", "subscriptions", "changes", "usage", "next numbers")
    parts = [f"account {account}:"]
    for name, should, does in zip(names, expected, seen, strict=True):
        if should != does:
            parts.append(f"  {name} should be {should}\n  {name} are       {does}")
    return "\n".join(parts)
