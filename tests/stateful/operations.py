"""Orders to a store as values: they go to workers and to the model alike, and what came of them can be compared.

Every body and every trace header names its account, so that another's mail is recognised wherever it turns up.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from posthouse.database.sqlite_transaction import connection_of
from posthouse.database.transaction import SharedTransaction
from posthouse.mailstore.interface import (
    SYSTEM_FLAGS,
    Appending,
    Mailbox,
    Mailstore,
    Marked,
    Marks,
    MessageRef,
    StoreError,
    Target,
)
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.memory_store import MemoryMailstore
from tests.stores import Bytes

ROOM = "probe"  # another room's rows in the same database
MIGRATIONS = ("CREATE TABLE probe (number INTEGER PRIMARY KEY)",)
_INSERT = "INSERT INTO probe VALUES (?)"

KEPT, REFUSED, FAILED, UNKNOWN, ODD = "kept", "refused", "failed", "unknown", "odd"


@dataclass(frozen=True, slots=True)
class Order:
    """What to ask of a store."""

    kind: str
    account: int
    values: dict[str, Any] = field(default_factory=dict)
    accounts: tuple[int, ...] = ()  # all it concerns, if more than that one
    spoilt: bool = False  # it must fail by itself

    @property
    def concerns(self) -> set[int]:
        """All accounts it may change."""
        return {self.account, *self.accounts}

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_short(value)}" for name, value in self.values.items())
        return f"{self.kind}({self.account}{', spoilt' * self.spoilt}: {shown})"


def _short(value: object) -> str:
    match value:
        case bytes():
            return value.hex() if len(value) == 16 else f"<{len(value)}>"
        case list() | tuple():
            return f"[{', '.join(map(_short, value))}]"
        case Marks(flags, keywords):
            return f"{int(flags)}{list(keywords)}"
        case _:
            return str(value)


@dataclass(frozen=True, slots=True)
class Outcome:
    """KEPT with the result; REFUSED by a rule of the store, with its name; FAILED: the store could not; UNKNOWN: nobody
    knows; ODD: what the interface does not allow for.
    """

    how: str
    value: Any = None


class Model(MemoryMailstore):
    """The store in memory with the rows of the other room; it can be copied quickly."""

    probes: set[int]

    @classmethod
    def begin(cls, bus: Any, clock: Any) -> "Model":
        model = cls(bus, clock=clock)
        model.probes = set()
        return model

    def fork(self) -> "Model":
        """A copy. What both share is never changed."""
        other = Model.begin(self.state.bus, self.state.clock)
        other.probes = self.probes.copy()
        other.state.delivered = self.state.delivered.copy()
        for number, account in self.state.accounts.items():
            boxes = {name: replace(box, items=box.items.copy()) for name, box in account.boxes.items()}
            other.state.accounts[number] = replace(
                account,
                boxes=boxes,
                gone=account.gone.copy(),
                keywords=account.keywords.copy(),
                subscriptions=account.subscriptions.copy(),
            )
        return other

    def birth(self, account: int) -> None:
        """An account gets its INBOX, as every store gives it one when it is looked at."""
        with self.state.change(account, inbox=True):
            pass

    def drop(self, account: int) -> None:
        """Know nothing of an account any more."""
        self.state.accounts.pop(account, None)

    def body(self, account: int, mailbox: int, message: int) -> bytes:
        """The body, without trace headers."""
        place: Any = self.state.accounts[account].by_id(mailbox).items[message].entry.place
        return bytes(place[1])

    def text(self, account: int, mailbox: int, message: int) -> bytes:
        """All octets of a message."""
        place: Any = self.state.accounts[account].by_id(mailbox).items[message].entry.place
        return bytes(place[0] + place[1])


class _Hook:
    """Notes a number in the transaction of a delivery, or undoes it."""

    def __init__(self, store: Mailstore, number: int, spoilt: bool) -> None:
        self._store = store
        self._number = number
        self._spoilt = spoilt

    def __call__(self, transaction: SharedTransaction, copies: Sequence[MessageRef | None]) -> None:
        if not any(copies):
            return
        if isinstance(self._store, Model):
            self._store.probes.add(self._number)
        else:
            connection_of(transaction).execute(_INSERT, (self._number,))
        if self._spoilt:
            raise RuntimeError("the hook fails")


async def carry_out(store: Mailstore, order: Order) -> Outcome:
    """Ask it of the store."""
    try:
        return Outcome(KEPT, _plain(await _ask(store, order)))
    except StoreError as error:
        if type(error).__name__ in ("StoreError", "StoreFullError"):
            return Outcome(FAILED, str(error))
        return Outcome(REFUSED, type(error).__name__)


async def _ask(store: Mailstore, order: Order) -> Any:
    values, account = order.values, order.account
    match order.kind:
        case "deliver":
            return await _deliver(store, order)
        case "append":
            letters = [Appending(Bytes(text, chunk=700), at, marks) for text, at, marks in values["letters"]]
            extra = {"quota": values["quota"], "replacing": values["replacing"]}
            return await store.append(account, values["name"], letters, **extra)
        case "mark":
            since = values["since"]
            since = since and since[isinstance(store, Model)]
            return await store.mark(
                account, values["box"], values["ids"], values["setting"], values["marks"], unchanged_since=since
            )
        case "copy":
            return await store.copy(account, values["box"], values["ids"], values["name"], quota=values["quota"])
        case "move":
            return await store.move(account, values["box"], values["ids"], values["name"])
        case "remove":
            return await store.remove(account, values["box"], values["ids"], marked=values["marked"])
        case "expunge":
            return await store.expunge(account, values["name"], values["ids"])
        case "create":
            made = await store.create(account, values["name"], values["role"])
            return made.id, made.name, made.uidvalidity
        case "rename":
            return await store.rename(account, values["name"], values["new"])
        case "delete":
            return await store.delete(account, values["name"])
        case "subscribe":
            return await store.subscribe(account, values["name"], values["wanted"])
        case "create_default_mailboxes":
            return await store.create_default_mailboxes(account, values["boxes"])
        case "forget":
            return await store.forget(account)
        case "note":
            return await _note(store, order)
    raise AssertionError(order.kind)


async def _deliver(store: Mailstore, order: Order) -> Any:
    values = order.values
    placements = [Target(*placement) for placement in values["placements"]]
    hooks = [_Hook(store, values["probe"], order.spoilt)] if values["probe"] else []
    body = Bytes(values["text"], chunk=values["chunk"])
    receipt = await store.deliver(
        values["delivery"], body, placements, values["at"], all_or_nothing=values["whole"], in_transaction=hooks
    )
    return receipt.results


async def _note(store: Mailstore, order: Order) -> Any:
    """Work of another room: a row of its own, and perhaps a mistake after it."""
    number, sql = order.values["number"], order.values["sql"]
    if isinstance(store, Model):
        if order.spoilt:
            raise StoreError("not stored: a mistake")
        return store.probes.add(number)
    assert isinstance(store, SqliteMailstore)

    def work(connection: Any) -> None:
        connection.execute(_INSERT, (number,))
        if order.spoilt and sql:
            connection.execute("INSERT INTO no_such_table VALUES (1)")
        if order.spoilt:
            raise LookupError("a mistake of another room")

    return await store.transact(work)


def model_outcome(model: Model, order: Order) -> Outcome:
    """What the model says to it. Its methods never wait."""
    call = carry_out(model, order)
    with contextlib.closing(call):
        try:
            call.send(None)
        except StopIteration as result:
            return result.value  # type: ignore[no-any-return]
    raise AssertionError("the model waited")


def _plain(result: object) -> object:
    """Without modseqs, which are each store's own."""
    match result:
        case Mailbox():
            return replace(result, modseq=0)
        case Marked(rows, conflicts, modseq):
            # Which number a set of keywords has is the store's own; that its keywords are right is seen in its rows.
            plain = [row._replace(modseq=0, flags=row.flags & SYSTEM_FLAGS) for row in rows]
            return plain, conflicts, modseq > 0
        case _:
            return result
