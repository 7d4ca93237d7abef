"""Makes the orders of a schedule concrete: for the accounts, mailboxes and messages there are when their turn comes."""

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

from posthouse.mailstore.interface import INBOX, Flag, Marks, Role, Setting
from tests.stateful.operations import Model, Order

_NAMES = (INBOX, INBOX, "inbox", "A", "A", "B", "A/B", "A/B/C", "INBOX/X", "Été")
_KEYWORDS = ("Work", "work", "Home", "$X", "k1", "k2")


class Orders:
    """Numbers what it makes, so that no two bodies are alike."""

    def __init__(self) -> None:
        self._serial = itertools.count(1)
        self._known: list[bytes] = []  # deliveries

    def make(
        self, kind: str, seed: int, model: Model, accounts: Sequence[int], now: int, modseqs: dict[Any, int]
    ) -> Order:
        """`accounts`: whom it may concern. `modseqs`: (account, mailbox id, uid) -> modseq in the true store."""
        rng = random.Random(seed)
        account = rng.choice(accounts)
        makers: dict[str, Callable[[], Order]] = {
            "deliver": lambda: self._deliver(rng, account, accounts, now),
            "append": lambda: self._append(rng, account, model, now),
            "mark": lambda: _mark(rng, account, model, modseqs),
            "copy": lambda: _copy(rng, account, model),
            "move": lambda: _copy(rng, account, model, kind="move"),
            "remove": lambda: _remove(rng, account, model),
            "expunge": lambda: _expunge(rng, account, model),
            "note": lambda: self._note(rng),
        }
        if kind in makers:
            return makers[kind]()
        return _mailbox_order(rng, kind, account)

    def _text(self, rng: random.Random, accounts: Sequence[int]) -> bytes:
        serial = next(self._serial)
        whose = b",".join(b"%d" % account for account in sorted(set(accounts)))
        octets = rng.choice((30, 200, 200, 800, 2000, 4500, 4500, 12_000, 20_000))
        octets = rng.randint(octets // 2, octets)
        lines = [b"Subject: letter %d of account %s\r\n\r\n" % (serial, whose)]
        filler = b"%s:%d:" % (whose, serial)
        lines += [b"%s%d\r\n" % (filler, line) for line in range(octets // (len(filler) + 4))]
        return b"".join(lines)

    def _deliver(self, rng: random.Random, account: int, accounts: Sequence[int], now: int) -> Order:
        several = [account]
        if rng.random() < 0.3:
            several += [rng.choice(accounts) for _ in range(rng.randint(1, 2))]
        again = bool(self._known) and rng.random() < 0.15
        if not again:
            self._known.append((now * 1000).to_bytes(6, "big") + next(self._serial).to_bytes(10, "big"))
        placements = []
        for each in several:
            prefix = b"Delivered-To: account %d\r\n" % each * rng.choice((1, 1, 1, 0, 2))
            quota = rng.choice((None, None, None, None, rng.randrange(60_000)))
            placements.append((each, prefix, rng.choice(_NAMES), quota))
        values = {
            "delivery": rng.choice(self._known[-20:]) if again else self._known[-1],
            "text": self._text(rng, several),
            "chunk": rng.choice((100, 4096, 1 << 20)),
            "placements": placements,
            "at": now,
            "whole": rng.random() < 0.6,
            "probe": next(self._serial) if rng.random() < 0.3 else 0,
        }
        spoilt = bool(values["probe"]) and rng.random() < 0.3
        return Order("deliver", account, values, tuple(several), spoilt=spoilt)

    def _append(self, rng: random.Random, account: int, model: Model, now: int) -> Order:
        letters = [
            (self._text(rng, [account]), now - rng.randrange(1000), _marks(rng))
            for _ in range(rng.choice((1, 1, 2, 3)))
        ]
        replacing = None
        if rng.random() < 0.2:
            box, ids = _some(rng, account, model)
            replacing = (box, ids[0] if ids else 999_999)
        quota = rng.choice((None, None, None, rng.randrange(60_000)))
        values = {"name": rng.choice(_NAMES), "letters": letters, "quota": quota, "replacing": replacing}
        return Order("append", account, values)

    def _note(self, rng: random.Random) -> Order:
        values = {"number": next(self._serial), "sql": rng.random() < 0.5}
        return Order("note", 0, values, spoilt=rng.random() < 0.5)


def _marks(rng: random.Random) -> Marks:
    return Marks(Flag(rng.randrange(32)), tuple(rng.sample(_KEYWORDS, rng.choice((0, 0, 1, 2)))))


def _some(rng: random.Random, account: int, model: Model) -> tuple[int, list[int]]:
    """A mailbox, and some of its messages; now and then ones that are not there."""
    boxes = list(model.state.look(account).boxes.values())
    if not boxes or rng.random() < 0.03:
        return 999, [1]
    full = [box for box in boxes if box.items]
    box = rng.choice(full if full and rng.random() < 0.8 else boxes)
    ids = list(box.items)
    few = rng.sample(ids, min(len(ids), rng.choice((1, 1, 2, 3, 8, 50))))
    return box.id, [*few, 999_998] if rng.random() < 0.1 else few


def _mark(rng: random.Random, account: int, model: Model, modseqs: dict[Any, int]) -> Order:
    box, ids = _some(rng, account, model)
    since = None
    if ids and rng.random() < 0.3:
        owner = model.state.look(account)
        items = [item for each in owner.boxes.values() if each.id == box for item in each.items.values()]
        if items:
            item = rng.choice(items)
            since = (modseqs[account, box, item.entry.uid], item.modseq)
    setting = rng.choice(list(Setting))
    values = {"box": box, "ids": ids, "setting": setting, "marks": _marks(rng), "since": since}
    return Order("mark", account, values)


def _copy(rng: random.Random, account: int, model: Model, *, kind: str = "copy") -> Order:
    box, ids = _some(rng, account, model)
    values: dict[str, Any] = {"box": box, "ids": ids, "name": rng.choice(_NAMES)}
    if kind == "copy":
        values["quota"] = rng.choice((None, None, rng.randrange(60_000)))
    return Order(kind, account, values)


def _remove(rng: random.Random, account: int, model: Model) -> Order:
    box, ids = _some(rng, account, model)
    return Order("remove", account, {"box": box, "ids": ids, "marked": rng.random() < 0.4})


def _expunge(rng: random.Random, account: int, model: Model) -> Order:
    box, ids = _some(rng, account, model)
    names = [each.name for each in model.state.look(account).boxes.values() if each.id == box]
    return Order("expunge", account, {"name": names[0] if names else "B", "ids": ids})


def _mailbox_order(rng: random.Random, kind: str, account: int) -> Order:
    name = rng.choice(_NAMES)
    match kind:
        case "create":
            name = "A//B" if rng.random() < 0.05 else name
            values: dict[str, Any] = {"name": name, "role": rng.choice((Role.NONE, Role.NONE, *Role))}
        case "rename":
            values = {"name": name, "new": rng.choice(_NAMES)}
        case "subscribe":
            values = {"name": name, "wanted": rng.random() < 0.7}
        case "create_default_mailboxes":
            values = {"boxes": [(rng.choice(_NAMES), rng.choice(list(Role))) for _ in range(rng.randint(0, 3))]}
        case "delete":
            values = {"name": name}
        case _:
            values = {}
    return Order(kind, account, values)
